//! `send_many` and `recv_many`: whole bursts of messages in one call.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;
use shmzmq_core::error::Error;
use shmzmq_core::message::{Payload, Sink};
use shmzmq_core::socket::{Interest, Socket as Core};

use crate::arguments::{Arguments, Call};
use crate::batch::Batch;
use crate::errors::raise;
use crate::frame;
use crate::hot::abandon;
use crate::sink::{Become, PySink};
use crate::socket::Socket;
use crate::waiting::{DONTWAIT, SNDMORE, Stop, wait_for};

/// Most messages of one `recv_many` that was not told a number.
const MAX: usize = 1000;
/// Room for this many frames is made before the first is received.
const USUAL: usize = 128;

pub fn send_many(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    let names = ["messages", "flags", "copy"];
    let given = call.arguments(py, "send_many", names)?;
    let messages = given.required_object(py, 0, "send_many", "messages")?;
    let flags = given.int(py, 1)?;
    if flags & SNDMORE != 0 {
        return Err(PyValueError::new_err("SNDMORE: send_many sends whole messages"));
    }
    let mut batch = Batch::new(py, &messages)?;
    send_all(py, socket, &mut batch, flags & DONTWAIT == 0)?;
    Ok(batch.sent.into_pyobject(py)?.into_ptr())
}

/// Sends until all is accepted, or an error or the end of the time comes; that is raised only if nothing
/// was sent, for the caller must learn how many were.
fn send_all(py: Python<'_>, socket: &Socket, batch: &mut Batch<'_>, patient: bool) -> PyResult<()> {
    let core = socket.core(py)?;
    let ended = match core.try_send_burst(batch, patient) {
        Err(Error::Again) if patient => {
            batch.own();
            let mut attempt = |core: &Core, patient| core.try_send_burst(batch, patient);
            wait_for(py, core, Interest::Send, None, &mut attempt)
        }
        ended => ended.map_err(Stop::Refused),
    };
    match ended {
        Err(Stop::Refused(_)) if batch.sent > 0 => Ok(()),
        ended => ended.map_err(|stop| stop.raise(py)),
    }
}

/// Frames as they come, and whether more of their message follow.
struct Received<'py> {
    py: Python<'py>,
    one: PySink,
    frames: Vec<(Bound<'py, PyAny>, bool)>,
    /// A frame was taken for which there was no memory.
    failed: bool,
    /// A frame was left where it is for that, and Python has an error set.
    starved: bool,
}

impl Received<'_> {
    #[inline]
    fn keep(&mut self, more: bool) {
        if self.one.made.is_null() {
            self.failed = true;
            return;
        }
        // SAFETY: a new reference that nobody else owns; the GIL is held.
        let made = unsafe { Bound::from_owned_ptr(self.py, self.one.made) };
        self.frames.push((made, more));
    }
}

impl Sink for Received<'_> {
    #[inline]
    fn room(&mut self, len: usize, more: bool) -> Option<*mut u8> {
        let room = self.one.room(len, more);
        if room.is_none() {
            self.starved = true;
        } else {
            self.keep(more);
        }
        room
    }

    fn keeps(&self) -> bool {
        self.one.keeps()
    }

    fn borrows(&mut self, len: usize) -> bool {
        self.one.borrows(len)
    }

    fn owned(&mut self, payload: Payload, more: bool) {
        self.one.owned(payload, more);
        self.keep(more);
    }
}

/// What `recv_many` was asked for.
struct Wish {
    max: usize,
    /// Milliseconds; None is RCVTIMEO.
    timeout: Option<i64>,
    multipart: bool,
    /// Frames instead of bytes.
    frames: bool,
}

impl Wish {
    fn new<const N: usize>(py: Python<'_>, given: &Arguments<N>) -> PyResult<Wish> {
        let max = given.get(py, 0).map_or(Ok(MAX as i64), |max| max.extract())?;
        if max < 1 {
            return Err(PyValueError::new_err(format!("max={max} is less than one message")));
        }
        let timeout = match given.get(py, 1).filter(|timeout| !timeout.is_none()) {
            Some(timeout) => Some(milliseconds(&timeout)?),
            None => None,
        };
        let (multipart, frames) = (given.truth(py, 2, false)?, !given.truth(py, 3, true)?);
        Ok(Wish { max: max as usize, timeout, multipart, frames })
    }
}

/// A time as pyzmq's poll takes it: int or float, negative for ever.
pub fn milliseconds(timeout: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Ok(whole) = timeout.extract::<i64>() {
        return Ok(whole.max(-1));
    }
    let timeout: f64 = timeout.extract()?;
    if timeout.is_nan() {
        return Err(PyValueError::new_err("timeout is not a number"));
    }
    if timeout > 9.2e18 {
        return Err(PyOverflowError::new_err("timeout too large"));
    }
    Ok(if timeout < 0.0 { -1 } else { timeout.ceil() as i64 })
}

pub fn recv_many(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    let names = ["max", "timeout", "multipart", "copy"];
    let given = call.arguments(py, "recv_many", names)?;
    let wish = Wish::new(py, &given)?;
    if wish.frames {
        return Ok(recv_frames(py, socket, &wish)?.into_ptr());
    }
    let frames = Vec::with_capacity(wish.max.min(USUAL));
    let mut sink = Received { py, one: PySink::new(Become::Bytes), frames, failed: false, starved: false };
    let messages = recv_some(py, socket, &wish, &mut sink)?;
    if sink.failed {
        return Err(raise(py, &Error::NoRoom));
    }
    if sink.starved {
        // The next call meets it first.
        drop(PyErr::take(py));
    }
    Ok(listed(py, sink.frames, messages, &wish)?.into_ptr())
}

fn recv_some(py: Python<'_>, socket: &Socket, wish: &Wish, sink: &mut Received<'_>) -> PyResult<usize> {
    let core = socket.core(py)?;
    let received = match core.try_recv_burst(sink, wish.max) {
        Err(Error::Again) if wish.timeout != Some(0) => {
            let mut attempt = |core: &Core, _| core.try_recv_burst(sink, wish.max);
            wait_for(py, core, Interest::Receive, wish.timeout, &mut attempt)
        }
        received => received.map_err(Stop::Refused),
    };
    received.map_err(|stop| stop.raise(py))
}

/// The list of the messages.
fn listed<'py>(
    py: Python<'py>,
    frames: Vec<(Bound<'py, PyAny>, bool)>,
    messages: usize,
    wish: &Wish,
) -> PyResult<Bound<'py, PyList>> {
    let mut frames = frames.into_iter();
    if frames.len() != messages || wish.multipart {
        let made: Vec<_> =
            (0..messages).map(|_| shaped(py, &mut frames, wish.multipart)).collect::<PyResult<_>>()?;
        return PyList::new(py, made);
    }
    // SAFETY: the GIL is held; PyList_New makes a list, whose items are all set below, before anybody
    // sees it.
    let list = unsafe {
        let made = Bound::from_owned_ptr_or_err(py, ffi::PyList_New(messages as ffi::Py_ssize_t))?;
        made.cast_into_unchecked::<PyList>()
    };
    for (index, (message, _)) in frames.enumerate() {
        // SAFETY: `index` is below the list's length; the reference is given away.
        unsafe { ffi::PyList_SetItem(list.as_ptr(), index as ffi::Py_ssize_t, message.into_ptr()) };
    }
    Ok(list)
}

/// The next message: its frame if it has one, or a list of its frames.
fn shaped<'py>(
    py: Python<'py>,
    frames: &mut impl Iterator<Item = (Bound<'py, PyAny>, bool)>,
    multipart: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let mut parts = Vec::new();
    for (object, more) in frames {
        parts.push(object);
        if !more {
            break;
        }
    }
    match parts.pop() {
        Some(only) if parts.is_empty() && !multipart => Ok(only),
        last => {
            parts.extend(last);
            Ok(PyList::new(py, parts)?.into_any())
        }
    }
}

/// The messages that are there as Frames: they are made of Python code anyway, so one by one.
fn recv_frames<'py>(py: Python<'py>, socket: &Socket, wish: &Wish) -> PyResult<Bound<'py, PyList>> {
    let mut found = Vec::new();
    let mut messages = 0;
    while messages < wish.max {
        let mut sink = PySink::new(Become::ByteArray);
        let mut attempt = |core: &Core, _| core.try_recv_from(&mut sink);
        let core = socket.core(py)?;
        let (more, origin) = match attempt(core, false) {
            Ok(received) => received,
            Err(Error::Again) if found.is_empty() && wish.timeout != Some(0) => {
                wait_for(py, core, Interest::Receive, wish.timeout, &mut attempt)
                    .map_err(|stop| stop.raise(py))?
            }
            Err(error) => {
                if found.last().is_some_and(|(_, more, _)| *more) {
                    abandon(py, socket);
                }
                let error = raise(py, &error);
                // What is whole is returned, and the next call meets the error.
                if messages == 0 {
                    return Err(error);
                }
                break;
            }
        };
        if sink.made.is_null() {
            abandon(py, socket);
            return Err(raise(py, &Error::NoRoom));
        }
        // SAFETY: a new reference that nobody else owns.
        found.push((unsafe { Bound::from_owned_ptr(py, sink.made) }, more, origin));
        messages += usize::from(!more);
    }
    let framed = found.into_iter().map(|(memory, more, origin)| {
        frame::received(py, memory, more, origin, false).map(|frame| (frame, more))
    });
    let mut framed = framed.collect::<PyResult<Vec<_>>>()?.into_iter();
    let made: Vec<_> =
        (0..messages).map(|_| shaped(py, &mut framed, wish.multipart)).collect::<PyResult<_>>()?;
    PyList::new(py, made)
}
