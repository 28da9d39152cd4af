//! Sends and receives that give futures: what can be done at once is done here, all else in Python.
//!
//! Knows how a future that is done is made, and how much may be done in one turn. Refuses to know loops and
//! queues: Python says (`Permits`) that nobody waits before a call, and when a turn begins.
//!
//! A turn. Whoever awaits a future that is done does not let the loop run. So what is done by one thread, that is
//! by one loop, is counted: after TURN_CALLS, or TURN_TIME, Python is asked for a future that is done later. A loop
//! does not say when it runs, so the first call of a turn has it asked for that: it calls back, with the turn's mark.

use std::cell::Cell;
use std::ffi::CStr;
use std::time::{Duration, Instant};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::Call;
use crate::attempt::{try_recv, try_recv_multipart, try_send, try_send_multipart};
use crate::socket::Socket;

/// One less than are allowed: the call that is told "later" may be a send, which has been done.
const TURN_CALLS: u32 = 63;
/// Less than is promised by what a message may take.
const TURN_TIME: Duration = Duration::from_micros(400);

thread_local! {
    static TURN: Turn = const {
        Turn { left: Cell::new(0), ends: Cell::new(None), mark: Cell::new(GO_ON), met: Cell::new(GO_ON) }
    };
}

struct Turn {
    left: Cell<u32>,
    ends: Cell<Option<Instant>>,
    /// The last mark that the loop was given, and the last one that it met. One that a loop never meets, because
    /// it ended, is forgotten with the next: at worst a call is done one round later.
    mark: Cell<u64>,
    met: Cell<u64>,
}

/// What Python is told of a call; more is the number of a mark.
const LATER: u64 = 0;
const GO_ON: u64 = 1;

impl Turn {
    fn begin(&self) -> u64 {
        self.left.set(TURN_CALLS);
        self.ends.set(Some(Instant::now() + TURN_TIME));
        self.mark.set(self.mark.get() + 1);
        self.mark.get()
    }

    fn lasts(&self) -> bool {
        self.met.get() < self.mark.get()
    }

    /// One call more. False: no turn has begun, or it is over.
    #[inline]
    fn spend(&self) -> bool {
        let in_time = || self.ends.get().is_some_and(|ends| Instant::now() <= ends);
        let goes_on = self.lasts() && self.left.get() > 0 && in_time();
        if goes_on {
            self.left.set(self.left.get() - 1);
        }
        goes_on
    }

    /// One call more, asked for by Python.
    fn ask(&self) -> u64 {
        if self.spend() {
            return GO_ON;
        }
        if self.lasts() {
            return LATER;
        }
        let mark = self.begin();
        self.left.set(TURN_CALLS - 1);
        mark
    }
}

/// The loop runs, and met this mark: the next call begins a turn.
#[pyfunction]
pub fn end_turn(mark: u64) {
    TURN.with(|turn| turn.met.set(turn.met.get().max(mark)));
}

/// The loop runs: a turn begins. Gives the mark that it has to meet after those who go on now.
#[pyfunction]
pub fn begin_turn() -> u64 {
    TURN.with(Turn::begin)
}

/// Counts one call. 0: the loop must run before the next. 1: go on. More: go on, a turn begins, and the loop has
/// to call `end_turn` with that.
#[pyfunction]
pub fn spend_turn() -> u64 {
    TURN.with(Turn::ask)
}

static FUTURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

type Attempt = fn(Python<'_>, &Socket, Call) -> PyResult<*mut ffi::PyObject>;

/// A new future of the running loop.
///
/// Asking for that loop costs a system call in some versions of Python (getpid). asyncio puts an object into
/// the thread's dictionary whenever a loop begins or ends to run: as long as it is the same object, the loop is.
/// Where it is not to be found there, the future asks for its loop itself.
fn new_future<'py>(py: Python<'py>, class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: borrowed, of this thread; null if there is none.
    let dict = unsafe { ffi::PyThreadState_GetDict() };
    if dict.is_null() {
        return class.call0();
    }
    let (theirs, ours) = (intern!(py, "__asyncio_running_event_loop__"), intern!(py, "__shm_running_loop__"));
    // SAFETY: borrowed references, or null, used while nothing else runs; the tuple is ours and has two.
    unsafe {
        let holder = ffi::PyDict_GetItemWithError(dict, theirs.as_ptr());
        let known = ffi::PyDict_GetItemWithError(dict, ours.as_ptr());
        if !holder.is_null() && !known.is_null() && ffi::PyTuple_GetItem(known, 0) == holder {
            let keywords = Bound::from_borrowed_ptr(py, ffi::PyTuple_GetItem(known, 1));
            let none = PyTuple::empty(py);
            let made = ffi::PyObject_Call(class.as_ptr(), none.as_ptr(), keywords.as_ptr());
            return Bound::from_owned_ptr_or_err(py, made);
        }
        let future = class.call0()?;
        if !holder.is_null() {
            remember_loop(py, Bound::from_borrowed_ptr(py, dict), Bound::from_borrowed_ptr(py, holder))?;
        }
        Ok(future)
    }
}

#[cold]
fn remember_loop(py: Python<'_>, dict: Bound<'_, PyAny>, holder: Bound<'_, PyAny>) -> PyResult<()> {
    let name = intern!(py, "__shm_running_loop__");
    let running = py.import("asyncio")?.call_method0("_get_running_loop")?;
    let keywords = PyDict::new(py);
    if running.is_none() {
        return dict.call_method1("pop", (name, py.None())).map(drop);
    }
    keywords.set_item("loop", running)?;
    dict.set_item(name, (holder, keywords))
}

/// A future of the running loop, done with `result`, which is taken over.
fn done(py: Python<'_>, result: *mut ffi::PyObject) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: a new reference that nobody else owns.
    let result = unsafe { Bound::from_owned_ptr(py, result) };
    let class =
        FUTURE.get_or_try_init(py, || Ok::<_, PyErr>(py.import("asyncio")?.getattr("Future")?.unbind()))?;
    let future = new_future(py, class.bind(py))?;
    let name = intern!(py, "set_result");
    // SAFETY: live objects; the list of arguments ends with null. A new reference, or null with an error set.
    unsafe {
        let null = std::ptr::null_mut::<ffi::PyObject>();
        let set = ffi::PyObject_CallMethodObjArgs(future.as_ptr(), name.as_ptr(), result.as_ptr(), null);
        Bound::from_owned_ptr_or_err(py, set)?;
    }
    Ok(future.into_ptr())
}

/// The same call to a method of the Python class.
#[cold]
fn in_python(
    py: Python<'_>,
    slf: *mut ffi::PyObject,
    name: &CStr,
    call: &Call,
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: the object whose method runs.
    let socket = unsafe { Bound::from_borrowed_ptr(py, slf) };
    let (args, keywords): (Bound<'_, PyTuple>, Option<Bound<'_, PyDict>>) = call.boxed(py)?;
    Ok(socket.getattr(name.to_string_lossy().as_ref())?.call(args, keywords.as_ref())?.into_ptr())
}

/// One attempt if it is permitted and works; None leaves it to Python, which says what is wrong, too.
#[inline]
fn at_once(
    py: Python<'_>,
    socket: &Socket,
    permit: &Cell<bool>,
    attempt: Attempt,
    call: Call,
) -> PyResult<Option<*mut ffi::PyObject>> {
    if !permit.get() || !TURN.with(Turn::spend) {
        return Ok(None);
    }
    let Ok(result) = attempt(py, socket, call) else { return Ok(None) };
    // SAFETY: a pointer is compared; the reference is ours.
    unsafe {
        if result == ffi::Py_NotImplemented() {
            ffi::Py_DECREF(result);
            return Ok(None);
        }
    }
    done(py, result).map(Some)
}

macro_rules! future_of {
    ($name:ident, $python:literal, $permits:ident, $plain:ident, $attempt:path) => {
        pub fn $name(
            py: Python<'_>,
            socket: &Socket,
            slf: *mut ffi::PyObject,
            call: Call,
        ) -> PyResult<*mut ffi::PyObject> {
            if call.$plain()
                && let Some(future) = at_once(py, socket, &socket.permits().$permits, $attempt, call)?
            {
                return Ok(future);
            }
            in_python(py, slf, $python, &call)
        }
    };
}

future_of!(future_recv, c"_recv", receives, is_empty, try_recv);
future_of!(future_recv_multipart, c"_recv_multipart", receives, is_empty, try_recv_multipart);
future_of!(future_send, c"_send", sends, is_only, try_send);
future_of!(future_send_multipart, c"_send_multipart", sends, is_only, try_send_multipart);
