//! The native half of a Socket. The Python class derives from it, and its `send`, `recv`,
//! `send_multipart` and `recv_multipart` *are* the ones here: bound through the raw C calling
//! convention (METH_FASTCALL), because a generated wrapper costs more than the ring.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use shmzmq_core::error::Error;
use shmzmq_core::message::{Payload, Sink};
use shmzmq_core::options::{Options, RCVTIMEO, SNDTIMEO};
use shmzmq_core::session::Address;
use shmzmq_core::socket::{Interest, Socket as Core, Woken};

use crate::context::Context;
use crate::errors::{bug, raise};
use crate::frame;
use crate::outgoing::{Held, Many, One};
use crate::release;

const DONTWAIT: i64 = 1;
const SNDMORE: i64 = 2;
const POLLIN: i64 = 1;
const POLLOUT: i64 = 2;
/// A spin holds the GIL at most this long; another thread may be the one we wait for.
const SPIN_WITH_GIL: Duration = Duration::from_micros(1);

/// What a Python socket holds.
enum Handle {
    New,
    Open(Arc<Core>),
    /// Nothing of the native socket is kept: its fds and maps go although the object may live on.
    Closed(Vec<(String, u64)>),
}

/// Read and replaced under the GIL only (the module declares that it needs one). A call that releases
/// the GIL has cloned the Arc before, see `wait_for`.
struct GilCell(UnsafeCell<Handle>);

// SAFETY: by the rule above there is one thread at a time inside.
unsafe impl Sync for GilCell {}
// SAFETY: as above; what it holds is Send.
unsafe impl Send for GilCell {}

#[pyclass(subclass, frozen, module = "shmzmq._native")]
pub struct Socket {
    /// Shared by all Python objects that stand for one native socket.
    cell: Arc<GilCell>,
    /// Set by `_share`: the cell of the socket that this one shadows.
    other: OnceLock<Arc<GilCell>>,
}

impl Drop for GilCell {
    fn drop(&mut self) {
        if let Handle::Open(core) = self.0.get_mut() {
            core.context.close(core);
        }
    }
}

impl Socket {
    #[inline(always)]
    fn cell(&self) -> &Arc<GilCell> {
        self.other.get().unwrap_or(&self.cell)
    }

    #[inline(always)]
    fn handle(&self) -> &Handle {
        // SAFETY: under the GIL nobody replaces it while this borrow is used; whoever releases the GIL
        // holds a clone of the Arc instead.
        unsafe { &*self.cell().0.get() }
    }

    #[inline(always)]
    fn core(&self, py: Python<'_>) -> PyResult<&Arc<Core>> {
        match self.handle() {
            Handle::Open(core) => Ok(core),
            other => Err(other.refuse(py)),
        }
    }

    /// Puts another handle in place; the old one is dropped by the caller, outside any borrow.
    fn replace(&self, new: Handle) -> Handle {
        // SAFETY: under the GIL, and no borrow of the old handle is alive in this thread.
        unsafe { std::mem::replace(&mut *self.cell().0.get(), new) }
    }
}

impl Handle {
    #[cold]
    fn refuse(&self, py: Python<'_>) -> PyErr {
        match self {
            Handle::New => PyRuntimeError::new_err("Socket.__init__ was not called"),
            _ => raise(py, &Error::NotSocket),
        }
    }
}

/// Repeats `attempt` until it does not say Again, waiting in between as `flags` and the time-out allow.
#[inline]
fn until_done<T>(
    py: Python<'_>,
    core: &Arc<Core>,
    interest: Interest,
    flags: i64,
    mut attempt: impl FnMut(&Core) -> Result<T, Error>,
) -> PyResult<T> {
    match attempt(core) {
        Ok(done) => Ok(done),
        Err(Error::Again) if flags & DONTWAIT == 0 => wait_for(py, core, interest, &mut attempt),
        Err(error) => Err(raise(py, &error)),
    }
}

#[cold]
#[inline(never)]
fn wait_for<T>(
    py: Python<'_>,
    core: &Arc<Core>,
    interest: Interest,
    attempt: &mut dyn FnMut(&Core) -> Result<T, Error>,
) -> PyResult<T> {
    // Another thread may close the Python socket while the GIL is released.
    let core = core.clone();
    let option = if interest == Interest::Send { SNDTIMEO } else { RCVTIMEO };
    let mut deadline = None;
    let mut timed = false;
    loop {
        if !core.spin_briefly(interest, SPIN_WITH_GIL) {
            if !timed {
                let timeout = core.option(option).map_err(|error| raise(py, &error))?;
                deadline = Options::timeout(timeout).map(|timeout| Instant::now() + timeout);
                timed = true;
            }
            let woken = py.detach(|| core.wait(interest, deadline)).map_err(|error| raise(py, &error))?;
            if woken == Woken::Interrupted {
                py.check_signals()?;
            }
        }
        match attempt(&core) {
            Ok(done) => return Ok(done),
            Err(Error::Again) => {}
            Err(error) => return Err(raise(py, &error)),
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return Err(raise(py, &Error::Again));
        }
    }
}

/// What a received frame becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Become {
    Bytes,
    /// Writable memory of a Frame.
    ByteArray,
}

/// Makes one Python object of one frame. Under the socket's lock: allocates, but calls no Python code
/// (neither type takes part in cyclic garbage collection).
struct PySink {
    made: *mut ffi::PyObject,
    more: bool,
    become_: Become,
}

impl PySink {
    fn new(become_: Become) -> PySink {
        PySink { made: std::ptr::null_mut(), more: false, become_ }
    }

    #[inline]
    fn make(&mut self, len: usize) -> *mut u8 {
        // SAFETY: the GIL is held; a new object of `len` uninitialised bytes, or null with an error set.
        unsafe {
            match self.become_ {
                Become::Bytes => {
                    self.made = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len as ffi::Py_ssize_t);
                    if self.made.is_null() {
                        std::ptr::null_mut()
                    } else {
                        ffi::PyBytes_AsString(self.made).cast()
                    }
                }
                Become::ByteArray => {
                    self.made = ffi::PyByteArray_FromStringAndSize(std::ptr::null(), len as ffi::Py_ssize_t);
                    if self.made.is_null() {
                        std::ptr::null_mut()
                    } else {
                        ffi::PyByteArray_AsString(self.made).cast()
                    }
                }
            }
        }
    }
}

impl Sink for PySink {
    #[inline]
    fn room(&mut self, len: usize, more: bool) -> Option<*mut u8> {
        self.more = more;
        let at = self.make(len);
        (!at.is_null()).then_some(at)
    }

    fn owned(&mut self, payload: Payload, more: bool) {
        self.more = more;
        match payload {
            // What the sender gave is what the receiver gets: nothing is copied.
            Payload::Foreign(foreign) if self.become_ == Become::Bytes => {
                self.made = foreign.into_owner().cast();
            }
            payload => {
                let bytes = payload.bytes();
                let at = self.make(bytes.len());
                if !at.is_null() {
                    // SAFETY: the object made above has that many bytes.
                    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
                }
            }
        }
    }
}

/// Arguments of a fast call by position or keyword, in the order of `names`.
struct Arguments<const N: usize> {
    values: [*mut ffi::PyObject; N],
}

impl<const N: usize> Arguments<N> {
    /// # Safety
    /// The arguments are those that the interpreter passed to a METH_FASTCALL|METH_KEYWORDS function.
    unsafe fn parse(
        py: Python<'_>,
        what: &str,
        names: [&str; N],
        args: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        keywords: *mut ffi::PyObject,
    ) -> PyResult<Self> {
        let mut values = [std::ptr::null_mut(); N];
        let count = count as usize;
        if count > N {
            return Err(PyTypeError::new_err(format!(
                "{what}() takes at most {N} arguments ({count} given)"
            )));
        }
        for (index, value) in values.iter_mut().enumerate().take(count) {
            // SAFETY: `args` has `count` entries.
            *value = unsafe { *args.add(index) };
        }
        if !keywords.is_null() {
            // SAFETY: `keywords` is a tuple of str, by the calling convention.
            let keywords = unsafe { Bound::from_borrowed_ptr(py, keywords).cast_into_unchecked::<PyTuple>() };
            for (index, keyword) in keywords.iter().enumerate() {
                let keyword: String = keyword.extract()?;
                let place = names.iter().position(|name| *name == keyword).ok_or_else(|| {
                    PyTypeError::new_err(format!("{what}() got an unexpected keyword argument '{keyword}'"))
                })?;
                if !values[place].is_null() {
                    return Err(PyTypeError::new_err(format!(
                        "{what}() got multiple values for '{keyword}'"
                    )));
                }
                // SAFETY: keyword values follow the positional ones.
                values[place] = unsafe { *args.add(count + index) };
            }
        }
        Ok(Arguments { values })
    }

    fn required(&self, index: usize, what: &str, name: &str) -> PyResult<*mut ffi::PyObject> {
        if self.values[index].is_null() {
            return Err(PyTypeError::new_err(format!("{what}() missing required argument: '{name}'")));
        }
        Ok(self.values[index])
    }

    fn get<'py>(&self, py: Python<'py>, index: usize) -> Option<Bound<'py, PyAny>> {
        let value = self.values[index];
        // SAFETY: borrowed from the caller's arguments, alive during the call.
        (!value.is_null()).then(|| unsafe { Bound::from_borrowed_ptr(py, value) })
    }

    /// routing_id and group belong to draft socket types.
    fn refuse_drafts(&self, py: Python<'_>) -> PyResult<()> {
        for (index, name) in [(N - 2, "routing_id"), (N - 1, "group")] {
            if self.get(py, index).is_some_and(|value| !value.is_none()) {
                let error = Error::Invalid(format!("{name} belongs to draft socket types"));
                return Err(raise(py, &error));
            }
        }
        Ok(())
    }

    fn int(&self, py: Python<'_>, index: usize) -> PyResult<i64> {
        self.get(py, index).map_or(Ok(0), |value| value.extract())
    }

    fn truth(&self, py: Python<'_>, index: usize, default: bool) -> PyResult<bool> {
        self.get(py, index).map_or(Ok(default), |value| value.is_truthy())
    }
}

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
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Err(bug(&*payload)));
    result.unwrap_or_else(|error| {
        error.restore(py);
        std::ptr::null_mut()
    })
}

fn none() -> *mut ffi::PyObject {
    // SAFETY: the GIL is held; a new reference to None.
    unsafe { ffi::Py_NewRef(ffi::Py_None()) }
}

unsafe extern "C" fn send(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter as METH_FASTCALL|METH_KEYWORDS with a Socket.
    unsafe {
        raw(slf, |py, socket| {
            if count == 1 && keywords.is_null() {
                return send_one(py, socket, *args, 0);
            }
            let names = ["data", "flags", "copy", "track", "routing_id", "group"];
            let given = Arguments::parse(py, "send", names, args, count, keywords)?;
            given.refuse_drafts(py)?;
            let data = given.required(0, "send", "data")?;
            let tracked = !given.truth(py, 2, true)? && given.truth(py, 3, false)?;
            let tracker = if tracked { frame::done_tracker(py, data)? } else { none() };
            send_one(py, socket, data, given.int(py, 1)?)?;
            // By now the bytes are in a ring or a queue: the caller may change its buffer.
            Ok(tracker)
        })
    }
}

#[inline]
unsafe fn send_one(
    py: Python<'_>,
    socket: &Socket,
    data: *mut ffi::PyObject,
    flags: i64,
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: `data` is an argument of the running call, so alive; the GIL is held.
    let frames = One::new(unsafe { Held::new(py, data)? });
    if flags & SNDMORE != 0 {
        until_done(py, socket.core(py)?, Interest::Send, flags, |core| core.try_send_more(&frames))?;
    } else {
        let patient = flags & DONTWAIT == 0;
        until_done(py, socket.core(py)?, Interest::Send, flags, |core| core.try_send(&frames, patient))?;
    }
    Ok(none())
}

unsafe extern "C" fn send_multipart(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter as METH_FASTCALL|METH_KEYWORDS with a Socket.
    unsafe {
        raw(slf, |py, socket| {
            let names = ["msg_parts", "flags", "copy", "track", "routing_id", "group"];
            let given = Arguments::parse(py, "send_multipart", names, args, count, keywords)?;
            given.refuse_drafts(py)?;
            let parts = Bound::from_borrowed_ptr(py, given.required(0, "send_multipart", "msg_parts")?);
            send_parts(py, socket, &parts, given.int(py, 1)?)?;
            if given.truth(py, 2, true)? || !given.truth(py, 3, false)? {
                return Ok(none());
            }
            frame::done_tracker(py, parts.as_ptr())
        })
    }
}

/// Sends all parts as one message, or none: their types are checked before the first goes anywhere.
fn send_parts(py: Python<'_>, socket: &Socket, parts: &Bound<'_, PyAny>, flags: i64) -> PyResult<()> {
    let parts: Vec<Bound<'_, PyAny>> = parts.try_iter()?.collect::<PyResult<_>>()?;
    let mut held = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        // SAFETY: the object is held by `parts` during the call, its buffer by the view.
        let one = unsafe { Held::new(py, part.as_ptr()) };
        held.push(one.map_err(|error| {
            if !error.is_instance_of::<PyTypeError>(py) {
                return error;
            }
            let shown = part.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string());
            let shown: String = shown.chars().take(40).collect();
            PyTypeError::new_err(format!("Frame {index} ({shown}) does not support the buffer interface."))
        })?);
    }
    if held.is_empty() {
        return Err(PyIndexError::new_err("a message has at least one frame, msg_parts is empty"));
    }
    if flags & SNDMORE != 0 {
        for one in held.into_iter().map(One::new) {
            until_done(py, socket.core(py)?, Interest::Send, flags, |core| core.try_send_more(&one))?;
        }
        return Ok(());
    }
    let frames = Many::new(held);
    let patient = flags & DONTWAIT == 0;
    until_done(py, socket.core(py)?, Interest::Send, flags, |core| core.try_send(&frames, patient))
}

unsafe extern "C" fn recv(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter as METH_FASTCALL|METH_KEYWORDS with a Socket.
    unsafe {
        raw(slf, |py, socket| {
            if count == 0 && keywords.is_null() {
                return recv_one(py, socket, 0, Become::Bytes).map(|(made, _)| made);
            }
            let names = ["flags", "copy", "track"];
            let given = Arguments::parse(py, "recv", names, args, count, keywords)?;
            let flags = given.int(py, 0)?;
            if given.truth(py, 1, true)? {
                return recv_one(py, socket, flags, Become::Bytes).map(|(made, _)| made);
            }
            let (made, more) = recv_one(py, socket, flags, Become::ByteArray)?;
            Ok(frame::received(py, Bound::from_owned_ptr(py, made), more)?.into_ptr())
        })
    }
}

/// One frame as a new reference, and whether more follow.
#[inline]
fn recv_one(
    py: Python<'_>,
    socket: &Socket,
    flags: i64,
    become_: Become,
) -> PyResult<(*mut ffi::PyObject, bool)> {
    let mut sink = PySink::new(become_);
    let more = until_done(py, socket.core(py)?, Interest::Receive, flags, |core| core.try_recv(&mut sink))?;
    if sink.made.is_null() {
        return Err(raise(py, &Error::NoRoom));
    }
    Ok((sink.made, more))
}

unsafe extern "C" fn recv_multipart(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter as METH_FASTCALL|METH_KEYWORDS with a Socket.
    unsafe {
        raw(slf, |py, socket| {
            let names = ["flags", "copy", "track"];
            let given = Arguments::parse(py, "recv_multipart", names, args, count, keywords)?;
            let become_ = if given.truth(py, 1, true)? { Become::Bytes } else { Become::ByteArray };
            recv_all(py, socket, given.int(py, 0)?, become_)
        })
    }
}

/// All frames of one message. The rest of a message is always there once its first frame is.
fn recv_all(py: Python<'_>, socket: &Socket, flags: i64, become_: Become) -> PyResult<*mut ffi::PyObject> {
    // Collected before the first Frame is made: its Python code might let another thread receive the rest.
    let mut parts = Vec::new();
    loop {
        let (made, more) = recv_one(py, socket, flags, become_)?;
        // SAFETY: a new reference that nobody else owns.
        parts.push((unsafe { Bound::from_owned_ptr(py, made) }, more));
        if !more {
            break;
        }
    }
    let frames = PyList::empty(py);
    for (object, more) in parts {
        match become_ {
            Become::Bytes => frames.append(object)?,
            Become::ByteArray => frames.append(frame::received(py, object, more)?)?,
        }
    }
    Ok(frames.into_ptr())
}

const fn method(
    name: &'static CStr,
    call: ffi::PyCFunctionFastWithKeywords,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: call },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    }
}

/// A table that the interpreter keeps pointers into.
struct Methods([ffi::PyMethodDef; 4]);

// SAFETY: constant data; the pointers are to string literals and functions.
unsafe impl Sync for Methods {}

static METHODS: Methods = Methods([
    method(
        c"send",
        send,
        c"send($self, data, flags=0, copy=True, track=False, routing_id=None, group=None)\n--\n\nSend one frame.",
    ),
    method(
        c"send_multipart",
        send_multipart,
        c"send_multipart($self, msg_parts, flags=0, copy=True, track=False, routing_id=None, group=None)\n--\n\nSend one whole message.",
    ),
    method(c"recv", recv, c"recv($self, flags=0, copy=True, track=False)\n--\n\nReceive one frame."),
    method(
        c"recv_multipart",
        recv_multipart,
        c"recv_multipart($self, flags=0, copy=True, track=False)\n--\n\nReceive one whole message.",
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

#[pymethods]
impl Socket {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Socket {
        Socket { cell: Arc::new(GilCell(UnsafeCell::new(Handle::New))), other: OnceLock::new() }
    }

    fn _open(&self, py: Python<'_>, context: &Context, kind: i32) -> PyResult<()> {
        let core = context.core()?.socket(kind).map_err(|error| raise(py, &error))?;
        drop(self.replace(Handle::Open(core)));
        Ok(())
    }

    /// Uses the same native socket as `other`.
    fn _share(&self, py: Python<'_>, other: &Socket) -> PyResult<()> {
        other.core(py)?;
        let _ = self.other.set(other.cell().clone());
        Ok(())
    }

    fn _identity(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(Arc::as_ptr(self.core(py)?) as usize)
    }

    /// Serves a listening UNIX socket; takes the fd over.
    fn _listen(&self, py: Python<'_>, fd: i32) -> PyResult<u64> {
        let core = self.core(py)?;
        // SAFETY: the caller detached the fd from its Python socket and gives it away.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        core.context.listen(core, fd).map_err(|error| raise(py, &error))
    }

    fn _connect_path(&self, py: Python<'_>, path: Vec<u8>) -> PyResult<u64> {
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        self.connect(py, Address::Path(path))
    }

    fn _connect_abstract(&self, py: Python<'_>, name: Vec<u8>) -> PyResult<u64> {
        self.connect(py, Address::Abstract(name))
    }

    fn _bind_inproc(&self, py: Python<'_>, name: &str) -> PyResult<u64> {
        let core = self.core(py)?;
        core.context.bind_inproc(core, name).map_err(|error| raise(py, &error))
    }

    fn _connect_inproc(&self, py: Python<'_>, name: &str) -> PyResult<u64> {
        let core = self.core(py)?;
        core.context.connect_inproc(core, name).map_err(|error| raise(py, &error))
    }

    /// Ends one endpoint; a listening fd is closed on return.
    fn _stop(&self, py: Python<'_>, endpoint: u64, pipes: bool) -> PyResult<()> {
        let core = &self.core(py)?.clone();
        let stopped = py.detach(|| {
            core.context.stop_endpoint(core, endpoint)?;
            if pipes {
                core.context.drop_local_pipes(core, endpoint);
            }
            Ok(())
        });
        stopped.map_err(|error: Error| raise(py, &error))
    }

    fn _close(&self, py: Python<'_>) {
        let Handle::Open(core) = self.handle() else { return };
        let core = core.clone();
        py.detach(|| core.context.close(&core));
        let counters = core.stats().rows();
        let old = self.replace(Handle::Closed(counters));
        py.detach(|| drop((old, core)));
        release::drain(py);
    }

    #[getter]
    fn _closed(&self) -> bool {
        match self.handle() {
            Handle::Open(core) => core.is_closed(),
            _ => true,
        }
    }

    fn _check_process(&self, py: Python<'_>) -> PyResult<()> {
        self.core(py)?.check_process().map_err(|error| raise(py, &error))
    }

    fn _set_int(&self, py: Python<'_>, number: i32, value: i64) -> PyResult<()> {
        self.core(py)?.set_option(number, value).map_err(|error| raise(py, &error))
    }

    fn _get_int(&self, py: Python<'_>, number: i32) -> PyResult<i64> {
        self.core(py)?.option(number).map_err(|error| raise(py, &error))
    }

    /// Sets an option of this type whose value is bytes.
    fn _set_bytes(&self, py: Python<'_>, number: i32, value: &[u8]) -> PyResult<()> {
        self.core(py)?.set_bytes(number, value).map_err(|error| raise(py, &error))
    }

    fn _set_routing_id(&self, py: Python<'_>, id: Vec<u8>) -> PyResult<()> {
        self.core(py)?.set_routing_id(&id).map_err(|error| raise(py, &error))
    }

    fn _set_connect_routing_id(&self, py: Python<'_>, id: Vec<u8>) -> PyResult<()> {
        let mut state = self.core(py)?.enter().map_err(|error| raise(py, &error))?;
        state.core.options.connect_routing_id = id;
        Ok(())
    }

    fn _routing_id(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let core = self.core(py)?;
        drop(core.enter().map_err(|error| raise(py, &error))?);
        Ok(core.routing_id())
    }

    fn _rcvmore(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.core(py)?.enter().map_err(|error| raise(py, &error))?.rcvmore)
    }

    /// POLLIN and POLLOUT now, as a mask.
    fn _events(&self, py: Python<'_>) -> PyResult<i64> {
        let (receive, send) = self.core(py)?.events().map_err(|error| raise(py, &error))?;
        Ok(if receive { POLLIN } else { 0 } | if send { POLLOUT } else { 0 })
    }

    /// Waits until one of the events in `mask` holds; what holds then.
    fn _poll(&self, py: Python<'_>, mask: i64, timeout_ms: i64) -> PyResult<i64> {
        let core = self.core(py)?.clone();
        let deadline = Options::timeout(timeout_ms).map(|timeout| Instant::now() + timeout);
        let interest = Interest::Events { receive: mask & POLLIN != 0, send: mask & POLLOUT != 0 };
        loop {
            let events = self._events(py)? & mask;
            if events != 0 || deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(events);
            }
            let woken = py.detach(|| core.wait(interest, deadline)).map_err(|error| raise(py, &error))?;
            if woken == Woken::Interrupted {
                py.check_signals()?;
            }
        }
    }

    /// An fd that becomes readable when something changed.
    fn _fd(&self, py: Python<'_>) -> PyResult<c_int> {
        let fd = self.core(py)?.use_fd().map_err(|error| raise(py, &error))?;
        Ok(fd.as_raw_fd())
    }

    /// Name and value of every counter of this socket.
    fn _stats(&self, py: Python<'_>) -> PyResult<Vec<(String, u64)>> {
        match self.handle() {
            Handle::Closed(counters) => Ok(counters.clone()),
            _ => Ok(self.core(py)?.stats().rows()),
        }
    }

    /// (endpoint, transport, pid, uid, depth, routing id) of every pipe.
    #[allow(clippy::type_complexity)]
    fn _peers(&self, py: Python<'_>) -> PyResult<Vec<(u64, &'static str, i32, u32, u64, Vec<u8>)>> {
        let rows = self.core(py)?.peers().map_err(|error| raise(py, &error))?;
        let tuple = |row: shmzmq_core::socket::life::PeerRow| {
            (row.endpoint, row.transport, row.pid, row.uid, row.depth, row.routing_id)
        };
        Ok(rows.into_iter().map(tuple).collect())
    }
}

impl Socket {
    fn connect(&self, py: Python<'_>, address: Address) -> PyResult<u64> {
        let core = self.core(py)?;
        core.context.connect(core, address).map_err(|error| raise(py, &error))
    }
}
