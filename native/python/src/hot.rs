//! The methods that run per message: `send`, `recv`, `send_multipart` and `recv_multipart`. They are bound
//! through the raw C calling convention (METH_FASTCALL), because a generated wrapper costs more than
//! the ring.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use shmzmq_core::error::Error;
use shmzmq_core::origin::Origin;
use shmzmq_core::socket::{Interest, Socket as Core};

use crate::arguments::Call;
use crate::attempt::{try_recv, try_recv_multipart, try_send, try_send_multipart};
use crate::block::Block;
use crate::errors::{bug, raise};
use crate::frame;
use crate::future::{future_recv, future_recv_multipart, future_send, future_send_multipart};
use crate::many::{recv_many, send_many};
use crate::outgoing::{Few, Held, Many, One, Plain, refused};
use crate::release;
use crate::sink::{Become, PySink, Writable};
use crate::socket::Socket;
use crate::waiting::{SNDMORE, until_done};

/// Runs the body of a raw method: errors and panics become exceptions.
#[inline(always)]
unsafe fn raw(
    slf: *mut ffi::PyObject,
    body: impl FnOnce(Python<'_>, &Socket) -> PyResult<*mut ffi::PyObject>,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls methods with the GIL held.
    let py = unsafe { Python::assume_attached() };
    let run = || {
        // SAFETY: the method descriptor checked that `slf` is a Socket; the class is frozen.
        let socket = unsafe { Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<Socket>() };
        let done = body(py, socket.get());
        release::drain(py);
        done
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => failed(py, error),
        Err(payload) => failed(py, bug(&*payload)),
    }
}

/// What a raw method returns when it raises.
#[cold]
fn failed(py: Python<'_>, error: PyErr) -> *mut ffi::PyObject {
    error.restore(py);
    std::ptr::null_mut()
}

fn none() -> *mut ffi::PyObject {
    // SAFETY: the GIL is held; a new reference to None.
    unsafe { ffi::Py_NewRef(ffi::Py_None()) }
}

fn send(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    if let Some(data) = call.only() {
        // SAFETY: an argument of the running call.
        return unsafe { send_one(py, socket, data, 0) };
    }
    let names = ["data", "flags", "copy", "track", "routing_id", "group"];
    let given = call.arguments(py, "send", names)?;
    given.refuse_drafts(py)?;
    let data = given.required(0, "send", "data")?;
    // A Frame is never copied on its way, so it is tracked whatever `copy` says (pyzmq's rule).
    // SAFETY: `data` is an argument of the running call, here and below.
    let is_frame = || unsafe { frame::is_tracked(py, data) };
    let tracked = given.truth(py, 3, false)? && (!given.truth(py, 2, true)? || is_frame());
    // SAFETY: as above.
    let tracker = if tracked { unsafe { frame::done_tracker(py, data)? } } else { none() };
    // A send that fails lets go of it.
    // SAFETY: a new reference that nobody else owns.
    let tracker = unsafe { Bound::from_owned_ptr(py, tracker) };
    // SAFETY: as above.
    unsafe { send_one(py, socket, data, given.int(py, 1)?)? };
    // By now the bytes are in a ring or a queue: the caller may change its buffer.
    Ok(tracker.into_ptr())
}

#[inline(always)]
unsafe fn send_one(
    py: Python<'_>,
    socket: &Socket,
    data: *mut ffi::PyObject,
    flags: i64,
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: `data` is an argument of the running call, so alive; the GIL is held.
    let plain = if flags == 0 { unsafe { Plain::of(data) } } else { None };
    if let Some(plain) = plain {
        until_done(py, socket.core(py)?, Interest::Send, 0, |core, patient| core.try_send(&plain, patient))?;
        return Ok(none());
    }
    // SAFETY: as above.
    let frames = One::new(unsafe { Held::new(py, data)? });
    if flags & SNDMORE != 0 {
        until_done(py, socket.core(py)?, Interest::Send, flags, |core, _| core.try_send_more(&frames))?;
    } else {
        until_done(py, socket.core(py)?, Interest::Send, flags, |core, patient| {
            core.try_send(&frames, patient)
        })?;
    }
    frames.held.accepted();
    Ok(none())
}

fn send_multipart(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    if let Some(parts) = call.only() {
        // SAFETY: an argument of the running call.
        send_parts(py, socket, &unsafe { Bound::from_borrowed_ptr(py, parts) }, 0)?;
        return Ok(none());
    }
    let names = ["msg_parts", "flags", "copy", "track", "routing_id", "group"];
    let given = call.arguments(py, "send_multipart", names)?;
    given.refuse_drafts(py)?;
    let mut parts = given.required_object(py, 0, "send_multipart", "msg_parts")?;
    let tracks = !given.truth(py, 2, true)? && given.truth(py, 3, false)?;
    if tracks && !parts.is_instance_of::<PyTuple>() {
        // Read once: the tracker is of the very parts that are sent.
        parts = PyTuple::new(py, parts.try_iter()?.collect::<PyResult<Vec<_>>>()?)?.into_any();
    }
    send_parts(py, socket, &parts, given.int(py, 1)?)?;
    if !tracks {
        return Ok(none());
    }
    // SAFETY: a live object.
    unsafe { frame::done_tracker(py, parts.as_ptr()) }
}

/// Sends all parts as one message, or none: their types are checked before the first goes anywhere.
fn send_parts(py: Python<'_>, socket: &Socket, parts: &Bound<'_, PyAny>, flags: i64) -> PyResult<()> {
    if flags == 0
        && let Some(few) = Few::of(parts)
    {
        return until_done(py, socket.core(py)?, Interest::Send, 0, |core, patient| {
            core.try_send(&few, patient)
        });
    }
    let parts: Vec<Bound<'_, PyAny>> = parts.try_iter()?.collect::<PyResult<_>>()?;
    let mut held = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        // SAFETY: the object is held by `parts` during the call, its buffer by the view.
        let one = unsafe { Held::new(py, part.as_ptr()) };
        held.push(one.map_err(|error| refused(error, &format!("Frame {index}"), part))?);
    }
    if held.is_empty() {
        return Err(PyIndexError::new_err("a message has at least one frame, msg_parts is empty"));
    }
    if flags & SNDMORE != 0 {
        for one in held.into_iter().map(One::new) {
            until_done(py, socket.core(py)?, Interest::Send, flags, |core, _| core.try_send_more(&one))?;
            one.held.accepted();
        }
        return Ok(());
    }
    let frames = Many::new(held);
    until_done(py, socket.core(py)?, Interest::Send, flags, |core, patient| core.try_send(&frames, patient))?;
    frames.held.iter().for_each(Held::accepted);
    Ok(())
}

fn recv(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    if call.is_empty() {
        return recv_one(py, socket, 0);
    }
    let names = ["flags", "copy", "track"];
    let given = call.arguments(py, "recv", names)?;
    let flags = given.int(py, 0)?;
    if given.truth(py, 1, true)? {
        return recv_one(py, socket, flags);
    }
    let (made, more, origin) = recv_memory(py, socket, flags)?;
    Ok(frame::received(py, made, more, origin, given.truth(py, 2, false)?)?.into_ptr())
}

/// One frame as memory for a Frame, whether more follow, and the connection it came over.
pub fn recv_memory<'py>(
    py: Python<'py>,
    socket: &Socket,
    flags: i64,
) -> PyResult<(Bound<'py, PyAny>, bool, Option<Arc<Origin>>)> {
    let mut sink = PySink::new(Become::ByteArray);
    let attempt = |core: &Core, _| core.try_recv_from(&mut sink);
    let (more, origin) = until_done(py, socket.core(py)?, Interest::Receive, flags, attempt)?;
    if sink.made.is_null() {
        abandon(py, socket);
        return Err(raise(py, &Error::NoRoom));
    }
    // SAFETY: a new reference that nobody else owns.
    Ok((unsafe { Bound::from_owned_ptr(py, sink.made) }, more, origin))
}

/// One frame as a new reference.
#[inline(always)]
fn recv_one(py: Python<'_>, socket: &Socket, flags: i64) -> PyResult<*mut ffi::PyObject> {
    let mut sink = PySink::finishing(Become::Bytes);
    until_done(py, socket.core(py)?, Interest::Receive, flags, |core, _| core.try_recv(&mut sink))?;
    if sink.made.is_null() {
        abandon(py, socket);
        return Err(raise(py, &Error::NoRoom));
    }
    sink.finish(py);
    Ok(sink.made)
}

/// One frame that is not finished yet, and whether more follow.
#[inline]
fn take_one(py: Python<'_>, socket: &Socket, flags: i64, become_: Become) -> PyResult<(PySink, bool)> {
    let mut sink = PySink::finishing(become_);
    let more =
        until_done(py, socket.core(py)?, Interest::Receive, flags, |core, _| core.try_recv(&mut sink))?;
    if sink.made.is_null() {
        abandon(py, socket);
        return Err(raise(py, &Error::NoRoom));
    }
    Ok((sink, more))
}

fn recv_multipart(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    if call.is_empty() {
        return recv_all(py, socket, 0);
    }
    let names = ["flags", "copy", "track"];
    let given = call.arguments(py, "recv_multipart", names)?;
    let flags = given.int(py, 0)?;
    if given.truth(py, 1, true)? {
        return recv_all(py, socket, flags);
    }
    recv_frames(py, socket, flags, given.truth(py, 2, false)?)
}

/// All frames of one message.
fn recv_all(py: Python<'_>, socket: &Socket, flags: i64) -> PyResult<*mut ffi::PyObject> {
    let frames = PyList::empty(py);
    let (first, more) = take_one(py, socket, flags, Become::Bytes)?;
    take_rest(py, socket, frames, first, more)
}

/// A message whose first frame was taken. The rest of a message is always there once its first frame is.
pub fn take_rest(
    py: Python<'_>,
    socket: &Socket,
    frames: Bound<'_, PyList>,
    mut sink: PySink,
    mut more: bool,
) -> PyResult<*mut ffi::PyObject> {
    // Copied when all are there: that may let other threads run, and one of them might receive the rest.
    let mut unfinished = Vec::new();
    loop {
        // SAFETY: a new reference that nobody else owns.
        frames.append(unsafe { Bound::from_owned_ptr(py, sink.made) })?;
        if sink.is_unfinished() {
            unfinished.push(sink);
        }
        if !more {
            break;
        }
        (sink, more) = take_one(py, socket, 0, Become::Bytes).inspect_err(|_| abandon(py, socket))?;
    }
    // The list keeps what is written to.
    unfinished.iter_mut().for_each(|sink| sink.finish(py));
    Ok(frames.into_ptr())
}

/// A message of which only the first frames found memory goes as a whole: its rest would look like a message.
#[cold]
pub fn abandon(py: Python<'_>, socket: &Socket) {
    if let Ok(core) = socket.core(py) {
        core.abandon_message();
    }
}

/// As `recv_all`, as Frames.
fn recv_frames(py: Python<'_>, socket: &Socket, flags: i64, track: bool) -> PyResult<*mut ffi::PyObject> {
    // Collected before the first Frame is made: its Python code might let another thread receive the rest.
    let mut parts = Vec::new();
    parts.push(recv_memory(py, socket, flags)?);
    while parts.last().is_some_and(|(_, more, _)| *more) {
        parts.push(recv_memory(py, socket, flags).inspect_err(|_| abandon(py, socket))?);
    }
    let frames = PyList::empty(py);
    for (memory, more, origin) in parts {
        frames.append(frame::received(py, memory, more, origin, track)?)?;
    }
    Ok(frames.into_ptr())
}

fn recv_into(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    let Some(buffer) = call.only_positional() else {
        let count = call.positional();
        let text = format!("recv_into() takes exactly one positional argument ({count} given)");
        return Err(PyTypeError::new_err(text));
    };
    let names = ["", "nbytes", "flags"];
    let given = call.arguments(py, "recv_into", names)?;
    // SAFETY: an argument of the running call.
    let mut room = unsafe { Writable::new(py, buffer)? };
    room.limit(given.int(py, 1)?)?;
    let flags = given.int(py, 2)?;
    until_done(py, socket.core(py)?, Interest::Receive, flags, |core, _| core.try_recv(&mut room))?;
    room.finish(py);
    Ok(room.size.into_pyobject(py)?.into_ptr())
}

fn alloc(py: Python<'_>, socket: &Socket, call: Call) -> PyResult<*mut ffi::PyObject> {
    let given = call.arguments(py, "alloc", ["nbytes", "flags"])?;
    let nbytes: i64 = given.required_object(py, 0, "alloc", "nbytes")?.extract()?;
    let flags = given.int(py, 1)?;
    let Ok(len) = usize::try_from(nbytes) else {
        return Err(PyValueError::new_err(format!("nbytes={nbytes} is negative")));
    };
    let core = socket.core(py)?.clone();
    let attempt = |_: &Core, patient| core.context.try_alloc(&core, len, patient);
    let block = until_done(py, &core, Interest::Memory, flags, attempt)?;
    Ok(Bound::new(py, Block::new(block, len))?.into_any().into_ptr())
}

/// A raw method whose body is a function of (`Python`, `&Socket`, `Call`), with `self` also of the object.
macro_rules! method {
    ($name:literal, $body:path, $doc:literal $(,)?) => {
        method!(@ $name, $doc, |py, socket, _slf, call| $body(py, socket, call))
    };
    (self $name:literal, $body:path, $doc:literal $(,)?) => {
        method!(@ $name, $doc, |py, socket, slf, call| $body(py, socket, slf, call))
    };
    (@ $name:literal, $doc:literal, |$py:ident, $socket:ident, $slf:ident, $call:ident| $body:expr) => {{
        unsafe extern "C" fn call(
            slf: *mut ffi::PyObject,
            args: *const *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
            keywords: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: called by the interpreter as METH_FASTCALL|METH_KEYWORDS with these arguments.
            let $call = unsafe { Call::new(args, count, keywords) };
            let $slf = slf;
            // SAFETY: the same, with a Socket.
            unsafe { raw(slf, |$py, $socket| $body) }
        }
        ffi::PyMethodDef {
            ml_name: $name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: call },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: $doc.as_ptr(),
        }
    }};
}

/// A table that the interpreter keeps pointers into.
struct Methods([ffi::PyMethodDef; 16]);

// SAFETY: constant data; the pointers are to string literals and functions.
unsafe impl Sync for Methods {}

static METHODS: Methods = Methods([
    method!(
        c"send",
        send,
        c"send($self, data, flags=0, copy=True, track=False, routing_id=None, group=None)\n--\n\nSend one frame.",
    ),
    method!(
        c"send_multipart",
        send_multipart,
        c"send_multipart($self, msg_parts, flags=0, copy=True, track=False, routing_id=None, group=None)\n--\n\nSend one whole message.",
    ),
    method!(c"recv", recv, c"recv($self, flags=0, copy=True, track=False)\n--\n\nReceive one frame."),
    method!(
        c"recv_multipart",
        recv_multipart,
        c"recv_multipart($self, flags=0, copy=True, track=False)\n--\n\nReceive one whole message.",
    ),
    method!(
        c"recv_into",
        recv_into,
        c"recv_into($self, buffer, /, *, nbytes=0, flags=0)\n--\n\nReceive one frame into memory you own.",
    ),
    method!(c"_try_recv", try_recv, c"_try_recv($self)\n--\n\nOne frame, or NotImplemented."),
    method!(
        c"_try_recv_multipart",
        try_recv_multipart,
        c"_try_recv_multipart($self)\n--\n\nOne whole message, or NotImplemented.",
    ),
    method!(
        c"_try_send",
        try_send,
        c"_try_send($self, data, /)\n--\n\nSend one frame: None, or NotImplemented.",
    ),
    method!(
        c"_try_send_multipart",
        try_send_multipart,
        c"_try_send_multipart($self, msg_parts, /)\n--\n\nSend one whole message: None, or NotImplemented.",
    ),
    method!(self c"_future_recv", future_recv, c"_future_recv($self, flags=0, copy=True, track=False)\n--\n\nReceive one frame."),
    method!(
        self
        c"_future_recv_multipart",
        future_recv_multipart,
        c"_future_recv_multipart($self, flags=0, copy=True, track=False)\n--\n\nReceive one whole message.",
    ),
    method!(
        self
        c"_future_send",
        future_send,
        c"_future_send($self, data, flags=0, copy=True, track=False, **kwargs)\n--\n\nSend one frame.",
    ),
    method!(
        self
        c"_future_send_multipart",
        future_send_multipart,
        c"_future_send_multipart($self, msg_parts, flags=0, copy=True, track=False, **kwargs)\n--\n\nSend one message.",
    ),
    method!(
        c"alloc",
        alloc,
        c"alloc($self, nbytes, flags=0)\n--\n\nMemory for one frame, to be filled in place.",
    ),
    method!(
        c"send_many",
        send_many,
        c"send_many($self, messages, flags=0, copy=True)\n--\n\nSend a burst of messages.",
    ),
    method!(
        c"recv_many",
        recv_many,
        c"recv_many($self, max=1000, timeout=None, multipart=False, copy=True)\n--\n\nReceive the messages that are there.",
    ),
]);

/// Puts the raw methods on the class.
pub fn install_hot_methods(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<Socket>();
    for definition in &METHODS.0 {
        // SAFETY: the table is static; PyDescr_NewMethod returns a new reference or null with an error.
        let descriptor = unsafe {
            let made = ffi::PyDescr_NewMethod(class.as_type_ptr(), std::ptr::from_ref(definition).cast_mut());
            Bound::from_owned_ptr_or_err(py, made)?
        };
        // SAFETY: the name is one of the literals above.
        let name = unsafe { CStr::from_ptr(definition.ml_name) };
        class.setattr(name.to_string_lossy().as_ref(), descriptor)?;
    }
    Ok(())
}
