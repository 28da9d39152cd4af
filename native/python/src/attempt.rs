//! Sends and receives that are tried once: NotImplemented instead of Again. An event loop finds nothing so
//! often that an exception each time would be what it spends its time on.
//!
//! Refuses to know flags, copies and trackers: these are the calls without them.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;
use shmzmq_core::error::Error;
use shmzmq_core::message::Frames;

use crate::arguments::Call;
use crate::errors::raise;
use crate::hot::{abandon, take_rest};
use crate::outgoing::{Few, Held, Many, One, Plain, refused};
use crate::sink::{Become, PySink};
use crate::socket::Socket;

/// The only argument, or what Python says of a call with others.
fn only(call: &Call, what: &str) -> PyResult<*mut ffi::PyObject> {
    let wrong = || pyo3::exceptions::PyTypeError::new_err(format!("{what}() takes one positional argument"));
    call.only().ok_or_else(wrong)
}

fn not_now() -> *mut ffi::PyObject {
    // SAFETY: the GIL is held; a new reference to NotImplemented.
    unsafe { ffi::Py_NewRef(ffi::Py_NotImplemented()) }
}

fn none() -> *mut ffi::PyObject {
    // SAFETY: the GIL is held; a new reference to None.
    unsafe { ffi::Py_NewRef(ffi::Py_None()) }
}

/// One frame; None if there is none.
#[inline]
fn take_first(py: Python<'_>, socket: &Socket) -> PyResult<Option<(PySink, bool)>> {
    let mut sink = PySink::finishing(Become::Bytes);
    match socket.core(py)?.try_recv(&mut sink) {
        Ok(_) if sink.made.is_null() => {
            abandon(py, socket);
            Err(raise(py, &Error::NoRoom))
        }
        Ok(more) => Ok(Some((sink, more))),
        Err(Error::Again) => Ok(None),
        Err(error) => Err(raise(py, &error)),
    }
}

pub fn try_recv(py: Python<'_>, socket: &Socket, _call: Call) -> PyResult<*mut ffi::PyObject> {
    let Some((mut sink, _)) = take_first(py, socket)? else { return Ok(not_now()) };
    sink.finish(py);
    Ok(sink.made)
}

pub fn try_recv_multipart(py: Python<'_>, socket: &Socket, _call: Call) -> PyResult<*mut ffi::PyObject> {
    let Some((sink, more)) = take_first(py, socket)? else { return Ok(not_now()) };
    take_rest(py, socket, PyList::empty(py), sink, more)
}

fn tried(py: Python<'_>, socket: &Socket, frames: &dyn Frames) -> PyResult<bool> {
    match socket.core(py)?.try_send(frames, false) {
        Ok(()) => Ok(true),
        Err(Error::Again) => Ok(false),
        Err(error) => Err(raise(py, &error)),
    }
}

pub fn try_send(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    let data = only(&call, "_try_send")?;
    // SAFETY: an argument of the running call, so alive; the GIL is held.
    let sent = if let Some(plain) = unsafe { Plain::of(data) } {
        tried(py, socket, &plain)?
    } else {
        // SAFETY: as above.
        let one = One::new(unsafe { Held::new(py, data)? });
        let sent = tried(py, socket, &one)?;
        if sent {
            one.held.accepted();
        }
        sent
    };
    Ok(if sent { none() } else { not_now() })
}

pub fn try_send_multipart(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: an argument of the running call.
    let parts = unsafe { Bound::from_borrowed_ptr(py, only(&call, "_try_send_multipart")?) };
    if let Some(few) = Few::of(&parts) {
        return Ok(if tried(py, socket, &few)? { none() } else { not_now() });
    }
    let parts: Vec<Bound<'_, PyAny>> = parts.try_iter()?.collect::<PyResult<_>>()?;
    let mut held = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        // SAFETY: the object is held by `parts` during the call, its buffer by the view.
        let one = unsafe { Held::new(py, part.as_ptr()) };
        held.push(one.map_err(|error| refused(error, &format!("Frame {index}"), part))?);
    }
    if held.is_empty() {
        let text = "a message has at least one frame, msg_parts is empty";
        return Err(pyo3::exceptions::PyIndexError::new_err(text));
    }
    let frames = Many::new(held);
    if !tried(py, socket, &frames)? {
        return Ok(not_now());
    }
    frames.held.iter().for_each(Held::accepted);
    Ok(none())
}
