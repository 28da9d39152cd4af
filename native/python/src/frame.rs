//! The buffer half of a Frame; names, caching and trackers are Python's (`frame.py`).

use std::sync::Arc;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::block::{Block, Usage};

static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Tells native code which class `recv(copy=False)` makes.
#[pyfunction]
pub fn set_frame_class(py: Python<'_>, class: Py<PyAny>) {
    let _ = CLASS.set(py, class);
}

/// What a received frame knows of the connection that it came over.
#[pyclass(frozen, module = "shmzmq._native")]
pub struct Origin(Arc<shmzmq_core::origin::Origin>);

#[pymethods]
impl Origin {
    /// A property as the peer or we gave it; None if there is none of that name.
    fn get<'py>(&self, py: Python<'py>, name: &[u8]) -> Option<Bound<'py, PyBytes>> {
        self.0.get(name).map(|value| PyBytes::new(py, value))
    }

    #[getter]
    fn fd(&self) -> i32 {
        self.0.fd
    }
}

/// A received frame: the class's `_received(memory, more, origin, track)`.
pub fn received<'py>(
    py: Python<'py>,
    memory: Bound<'py, PyAny>,
    more: bool,
    origin: Option<Arc<shmzmq_core::origin::Origin>>,
    track: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let class = CLASS.get(py).ok_or_else(|| PyBufferError::new_err("no Frame class was set"))?;
    class.bind(py).call_method1("_received", (memory, more, origin.map(Origin), track))
}

/// The tracker of what was sent, as a new reference: the class's `_done(sent)`.
///
/// # Safety
/// `sent` is a live object and the GIL is held.
pub unsafe fn done_tracker(py: Python<'_>, sent: *mut ffi::PyObject) -> PyResult<*mut ffi::PyObject> {
    let class = CLASS.get(py).ok_or_else(|| PyBufferError::new_err("no Frame class was set"))?;
    // SAFETY: the caller's word.
    let sent = unsafe { Bound::from_borrowed_ptr(py, sent) };
    let mut usages = Vec::new();
    if sent.is_instance_of::<PyList>() || sent.is_instance_of::<PyTuple>() {
        sent.try_iter()?.flatten().for_each(|part| usages.extend(usage(&part)));
    } else {
        usages.extend(usage(&sent));
    }
    Ok(class.bind(py).call_method1("_done", (sent, usages))?.into_ptr())
}

/// Of a block, or of a frame that holds one.
fn usage(sent: &Bound<'_, PyAny>) -> Option<Usage> {
    let memory = sent.cast::<Frame>().ok().and_then(|frame| frame.borrow().memory(sent.py()));
    let memory = memory.map(|memory| memory.into_bound(sent.py()));
    let block = memory.as_ref().unwrap_or(sent);
    block.cast::<Block>().ok().map(|block| block.get().usage())
}

/// True for a Frame and for a Block: they are not copied on their way whatever a send is told.
///
/// # Safety
/// `object` is a live object and the GIL is held.
pub unsafe fn is_tracked(py: Python<'_>, object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's word.
    let object = unsafe { Bound::from_borrowed_ptr(py, object) };
    object.is_instance_of::<Frame>() || object.is_instance_of::<Block>()
}

/// Shows the memory of another object through the buffer protocol.
#[pyclass(subclass, module = "shmzmq._native")]
pub struct Frame {
    memory: Option<Py<PyAny>>,
}

#[pymethods]
impl Frame {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Frame {
        Frame { memory: None }
    }

    /// The object whose bytes these are.
    #[getter(_memory)]
    pub fn memory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.memory.as_ref().map(|memory| memory.clone_ref(py))
    }

    #[setter(_memory)]
    fn set_memory(&mut self, memory: Py<PyAny>) {
        self.memory = Some(memory);
    }

    unsafe fn __getbuffer__(
        slf: PyRef<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let memory = slf.memory.as_ref().ok_or_else(|| PyBufferError::new_err("frame has no memory"))?;
        // SAFETY: `view` comes from the interpreter; the memory's own exporter fills it and is the
        // owner named in it, so the release goes there too.
        if unsafe { ffi::PyObject_GetBuffer(memory.as_ptr(), view, flags) } == 0 {
            return Ok(());
        }
        Err(PyErr::take(slf.py()).unwrap_or_else(|| PyBufferError::new_err("frame has no buffer")))
    }
}
