//! The native half of a Socket: the handle, and what is not called per message. The Python class derives
//! from it, and its `send`, `recv`, `send_multipart` and `recv_multipart` *are* those of `hot.rs`.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use shmzmq_core::dial::{Address, TcpAddress};
use shmzmq_core::error::Error;
use shmzmq_core::options::Options;
use shmzmq_core::socket::{Interest, Socket as Core};
use shmzmq_core::stats::Stats;

use crate::context::Context;
use crate::errors::raise;
use crate::log;
use crate::release;
use crate::waiting::Sleep;

const POLLIN: i64 = 1;
const POLLOUT: i64 = 2;

/// What a Python socket holds.
enum Handle {
    New,
    Open(Arc<Core>),
    /// Nothing of the native socket is kept: its fds and maps go although the object may live on.
    Closed(Box<Stats>),
}

/// Read and replaced under the GIL only (the module declares that it needs one). A call that releases
/// the GIL has cloned the Arc before, see `waiting.rs`.
struct GilCell {
    handle: UnsafeCell<Handle>,
    permits: Permits,
}

/// Whether calls that give futures may be done without asking Python: nobody waits before them (`future.rs`).
#[derive(Default)]
pub struct Permits {
    pub receives: Cell<bool>,
    pub sends: Cell<bool>,
}

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
        if let Handle::Open(core) = self.handle.get_mut() {
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
        unsafe { &*self.cell().handle.get() }
    }

    #[inline(always)]
    pub(crate) fn core(&self, py: Python<'_>) -> PyResult<&Arc<Core>> {
        match self.handle() {
            Handle::Open(core) => Ok(core),
            other => Err(other.refuse(py)),
        }
    }

    /// Of all Python objects that stand for this native socket; under the GIL.
    #[inline(always)]
    pub fn permits(&self) -> &Permits {
        &self.cell().permits
    }

    /// The native socket while it is open; under the GIL.
    pub fn opened(&self) -> Option<&Arc<Core>> {
        match self.handle() {
            Handle::Open(core) => Some(core),
            _ => None,
        }
    }

    /// Puts another handle in place; the old one is dropped by the caller, outside any borrow.
    fn replace(&self, new: Handle) -> Handle {
        // SAFETY: under the GIL, and no borrow of the old handle is alive in this thread.
        unsafe { std::mem::replace(&mut *self.cell().handle.get(), new) }
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

#[pymethods]
impl Socket {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Socket {
        Socket {
            cell: Arc::new(GilCell { handle: UnsafeCell::new(Handle::New), permits: Permits::default() }),
            other: OnceLock::new(),
        }
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

    /// Serves a listening socket; takes the fd over.
    fn _listen(&self, py: Python<'_>, fd: i32, text: Vec<u8>) -> PyResult<u64> {
        let core = self.core(py)?;
        // SAFETY: the caller detached the fd from its Python socket and gives it away.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        core.context.listen(core, fd, text.into()).map_err(|error| raise(py, &error))
    }

    fn _connect_path(&self, py: Python<'_>, path: Vec<u8>) -> PyResult<u64> {
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        self.connect(py, Address::Path(path))
    }

    fn _connect_abstract(&self, py: Python<'_>, name: Vec<u8>) -> PyResult<u64> {
        self.connect(py, Address::Abstract(name))
    }

    /// `source_host` is empty, and `source_port` 0, for any.
    fn _connect_tcp(
        &self,
        py: Python<'_>,
        host: Vec<u8>,
        port: u16,
        source_host: Vec<u8>,
        source_port: u16,
        text: Vec<u8>,
    ) -> PyResult<u64> {
        let host = String::from_utf8_lossy(&host).into_owned();
        let source_host = String::from_utf8_lossy(&source_host).into_owned();
        let address = TcpAddress { host, port, source_host, source_port, text: text.into() };
        self.connect(py, Address::Tcp(Arc::new(address)))
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

    /// `linger` counts also when the context ends and refuses options.
    #[pyo3(signature = (linger=None))]
    fn _close(&self, py: Python<'_>, linger: Option<i64>) {
        let Handle::Open(core) = self.handle() else { return };
        let core = core.clone();
        if let Some(linger) = linger {
            core.state().core.options.linger = linger;
        }
        py.detach(|| core.context.close(&core));
        let counters = core.stats();
        let old = self.replace(Handle::Closed(Box::new(counters)));
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

    /// HELLO_MSG and its kin.
    fn _set_message(&self, py: Python<'_>, number: i32, value: Vec<u8>) -> PyResult<()> {
        self.core(py)?.set_message(number, value).map_err(|error| raise(py, &error))
    }

    /// Tells events in `mask` at an inproc name from now on; with no name to nobody.
    fn _monitor(&self, py: Python<'_>, name: Option<&str>, mask: u32) -> PyResult<()> {
        let core = self.core(py)?;
        match name {
            Some(name) => core.context.monitor(core, name, mask).map_err(|error| raise(py, &error)),
            None => {
                core.context.stop_monitor(core);
                Ok(())
            }
        }
    }

    /// Tells one event: those of a bind that failed.
    fn _emit(&self, py: Python<'_>, event: u32, value: u32, endpoint: Vec<u8>) -> PyResult<()> {
        self.core(py)?.events.emit(event, value, &endpoint);
        Ok(())
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
        log::tell(py)?;
        let (receive, send) = self.core(py)?.events().map_err(|error| raise(py, &error))?;
        Ok(if receive { POLLIN } else { 0 } | if send { POLLOUT } else { 0 })
    }

    /// Waits until one of the events in `mask` holds; what holds then.
    fn _poll(&self, py: Python<'_>, mask: i64, timeout_ms: i64) -> PyResult<i64> {
        let core = self.core(py)?.clone();
        let deadline = Options::timeout(timeout_ms).map(|timeout| Instant::now() + timeout);
        let interest = Interest::Events { receive: mask & POLLIN != 0, send: mask & POLLOUT != 0 };
        let mut sleep = Sleep::new();
        loop {
            let events = self._events(py)? & mask;
            if events != 0 || deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(events);
            }
            let woken =
                py.detach(|| sleep.wait(&core, interest, deadline)).map_err(|error| raise(py, &error))?;
            sleep.woke(py, woken)?;
        }
    }

    /// Whether receiving may give futures without asking Python.
    fn _permit_receives(&self, permitted: bool) {
        self.permits().receives.set(permitted);
    }

    /// Whether sending may give futures without asking Python.
    fn _permit_sends(&self, permitted: bool) {
        self.permits().sends.set(permitted);
    }

    /// An fd that becomes readable when something changed.
    fn _fd(&self, py: Python<'_>) -> PyResult<c_int> {
        let fd = self.core(py)?.use_fd().map_err(|error| raise(py, &error))?;
        Ok(fd.as_raw_fd())
    }

    /// Name and value of every counter of this socket.
    fn _stats(&self, py: Python<'_>) -> PyResult<Vec<(String, u64)>> {
        match self.handle() {
            Handle::Closed(counters) => Ok(counters.rows()),
            _ => Ok(self.core(py)?.stats().rows()),
        }
    }

    /// (endpoint, transport, pid, uid, depth, routing id, socket type, since, reason) of every pipe.
    fn _peers<'py>(&self, py: Python<'py>) -> PyResult<Vec<PeerTuple<'py>>> {
        let rows = self.core(py)?.peers().map_err(|error| raise(py, &error))?;
        let tuple = |row: shmzmq_core::socket::life::PeerRow| {
            let id = PyBytes::new(py, &row.routing_id);
            (row.endpoint, row.transport, row.pid, row.uid, row.depth, id, row.kind, row.since, row.reason)
        };
        Ok(rows.into_iter().map(tuple).collect())
    }

    /// Waits until `wanted` connections are up; how many are.
    fn _wait_for_peers(&self, py: Python<'_>, wanted: usize, timeout_ms: i64) -> PyResult<usize> {
        let core = self.core(py)?.clone();
        let deadline = Options::timeout(timeout_ms).map(|timeout| Instant::now() + timeout);
        // Neither direction: what wakes us is the socket's own mark, set when a peer comes or goes.
        let interest = Interest::Events { receive: false, send: false };
        let mut sleep = Sleep::new();
        loop {
            let up = core.connections().map_err(|error| raise(py, &error))?;
            if up >= wanted {
                return Ok(up);
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Err(raise(py, &Error::Again));
            }
            let woken =
                py.detach(|| sleep.wait(&core, interest, deadline)).map_err(|error| raise(py, &error))?;
            sleep.woke(py, woken)?;
        }
    }
}

type PeerTuple<'py> = (
    u64,
    &'static str,
    i32,
    u32,
    u64,
    Bound<'py, PyBytes>,
    Option<&'static str>,
    Option<f64>,
    Option<String>,
);

impl Socket {
    fn connect(&self, py: Python<'_>, address: Address) -> PyResult<u64> {
        let core = self.core(py)?;
        core.context.connect(core, address).map_err(|error| raise(py, &error))
    }
}
