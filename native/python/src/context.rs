//! The native half of a Context.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use shmzmq_core::context::Context as Core;
use shmzmq_core::socket::Woken;

use crate::errors::raise;

#[pyclass(subclass, frozen, module = "shmzmq._native")]
pub struct Context {
    core: Mutex<Option<Arc<Core>>>,
}

impl Context {
    pub fn core(&self) -> PyResult<Arc<Core>> {
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.clone().ok_or_else(|| PyRuntimeError::new_err("Context.__init__ was not called"))
    }

    fn replace(&self, core: Arc<Core>) {
        *self.core.lock().unwrap_or_else(PoisonError::into_inner) = Some(core);
    }
}

#[pymethods]
impl Context {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Context {
        Context { core: Mutex::default() }
    }

    /// Makes the native context; in a forked child, a new one in place of the parent's.
    fn _open(&self, io_threads: u32) {
        self.replace(Core::new(io_threads));
    }

    /// Uses the same native context as `other`.
    fn _share(&self, other: &Context) -> PyResult<()> {
        self.replace(other.core()?);
        Ok(())
    }

    /// A number that tells native contexts apart.
    fn _identity(&self) -> PyResult<usize> {
        Ok(Arc::as_ptr(&self.core()?) as usize)
    }

    fn _check_process(&self, py: Python<'_>) -> PyResult<()> {
        self.core()?.check_process().map_err(|error| raise(py, &error))
    }

    fn _set_io_threads(&self, threads: u32) -> PyResult<()> {
        self.core()?.io_threads.store(threads, Ordering::Relaxed);
        Ok(())
    }

    fn _set_max_sockets(&self, sockets: u32) -> PyResult<()> {
        self.core()?.max_sockets.store(sockets, Ordering::Relaxed);
        Ok(())
    }

    /// Makes every call on the context's sockets fail with ETERM.
    fn _terminate(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core()?;
        py.detach(|| core.terminate());
        Ok(())
    }

    /// Waits until all sockets are closed and have lingered; False when the time was over first.
    #[pyo3(signature = (timeout_ms=None))]
    fn _wait_empty(&self, py: Python<'_>, timeout_ms: Option<u64>) -> PyResult<bool> {
        let core = self.core()?;
        let deadline = timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        loop {
            match py.detach(|| core.wait_empty(deadline)) {
                Woken::Look => return Ok(true),
                Woken::TimedOut => return Ok(false),
                Woken::Interrupted => py.check_signals()?,
            }
        }
    }

    /// One line for each socket that `_wait_empty` waits for.
    fn _blockers(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let core = self.core()?;
        Ok(py.detach(|| core.blockers()))
    }

    /// What its sockets look like now, as JSON (native/core/src/counters/snapshot.rs).
    fn _snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let core = self.core()?;
        core.check_process().map_err(|error| raise(py, &error))?;
        let text = py.detach(|| shmzmq_core::counters::of_context(&core));
        Ok(PyBytes::new(py, &text))
    }

    /// Ends the I/O threads.
    fn _finish(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core()?;
        py.detach(|| core.finish());
        Ok(())
    }
}
