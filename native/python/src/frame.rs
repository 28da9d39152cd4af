//! The buffer half of a Frame; names, caching and trackers are Python's (`frame.py`).

use std::sync::Arc;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple, PyType};

use crate::block::{Block, Usage};

/// What `recv(copy=False)` makes, and the tracker of what needs no waiting.
struct Class {
    class: Py<PyType>,
    new: ffi::newfunc,
    done: Py<PyAny>,
}

static CLASS: PyOnceLock<Class> = PyOnceLock::new();

/// Tells native code which class `recv(copy=False)` makes, and its tracker that is done.
#[pyfunction]
pub fn set_frame_class(py: Python<'_>, class: Bound<'_, PyType>, done: Py<PyAny>) -> PyResult<()> {
    // SAFETY: a live type; the slot of a class that can be made is a newfunc.
    let new = unsafe {
        let slot = ffi::PyType_GetSlot(class.as_type_ptr(), ffi::Py_tp_new);
        if slot.is_null() {
            return Err(PyErr::take(py).unwrap_or_else(|| PyBufferError::new_err("class cannot be made")));
        }
        std::mem::transmute::<*mut std::ffi::c_void, ffi::newfunc>(slot)
    };
    let _ = CLASS.set(py, Class { class: class.unbind(), new, done });
    Ok(())
}

fn known(py: Python<'_>) -> PyResult<&Class> {
    CLASS.get(py).ok_or_else(|| PyBufferError::new_err("no Frame class was set"))
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

/// A received frame. No Python code runs: `__init__` is for frames that programs make.
pub fn received<'py>(
    py: Python<'py>,
    memory: Bound<'py, PyAny>,
    more: bool,
    origin: Option<Arc<shmzmq_core::origin::Origin>>,
    track: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let Class { class, new, done } = known(py)?;
    let nothing = PyTuple::empty(py);
    // SAFETY: the class's own `tp_new`, with the arguments it wants; a new reference or null with an error.
    let made = unsafe {
        let made = new(class.bind(py).as_type_ptr(), nothing.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, made)?
    };
    let frame = made.cast::<Frame>()?;
    let mut fields = frame.borrow_mut();
    fields.memory = Some(memory.unbind());
    (fields.more, fields.origin) = (more, origin);
    if track {
        fields.tracker = Some(done.clone_ref(py));
    }
    drop(fields);
    Ok(made)
}

/// The tracker of what was sent, as a new reference: the class's `_done(sent)`.
///
/// # Safety
/// `sent` is a live object and the GIL is held.
pub unsafe fn done_tracker(py: Python<'_>, sent: *mut ffi::PyObject) -> PyResult<*mut ffi::PyObject> {
    let class = &known(py)?.class;
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

/// The fields of a frame, and its memory through the buffer protocol. What they mean is Python's.
#[pyclass(subclass, module = "shmzmq._native")]
pub struct Frame {
    memory: Option<Py<PyAny>>,
    #[pyo3(get, set)]
    more: bool,
    origin: Option<Arc<shmzmq_core::origin::Origin>>,
    tracker: Option<Py<PyAny>>,
    tracker_event: Option<Py<PyAny>>,
    /// What `bytes` and `buffer` gave before.
    bytes: Option<Py<PyAny>>,
    buffer: Option<Py<PyAny>>,
    #[pyo3(get, set)]
    _shared: bool,
}

fn again(py: Python<'_>, field: Option<&Py<PyAny>>) -> Option<Py<PyAny>> {
    field.map(|object| object.clone_ref(py))
}

#[pymethods]
impl Frame {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Frame {
        Frame {
            memory: None,
            more: false,
            origin: None,
            tracker: None,
            tracker_event: None,
            bytes: None,
            buffer: None,
            _shared: false,
        }
    }

    /// The object whose bytes these are.
    #[getter(_memory)]
    pub fn memory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        again(py, self.memory.as_ref())
    }

    #[setter(_memory)]
    fn set_memory(&mut self, memory: Py<PyAny>) {
        self.memory = Some(memory);
    }

    #[getter(_origin)]
    fn origin(&self) -> Option<Origin> {
        self.origin.clone().map(Origin)
    }

    #[setter(_origin)]
    fn set_origin(&mut self, origin: Option<PyRef<'_, Origin>>) {
        self.origin = origin.map(|origin| origin.0.clone());
    }

    #[getter]
    fn tracker(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        again(py, self.tracker.as_ref())
    }

    #[setter]
    fn set_tracker(&mut self, tracker: Option<Py<PyAny>>) {
        self.tracker = tracker;
    }

    #[getter]
    fn tracker_event(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        again(py, self.tracker_event.as_ref())
    }

    #[setter]
    fn set_tracker_event(&mut self, event: Option<Py<PyAny>>) {
        self.tracker_event = event;
    }

    #[getter(_bytes)]
    fn bytes(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        again(py, self.bytes.as_ref())
    }

    #[setter(_bytes)]
    fn set_bytes(&mut self, bytes: Option<Py<PyAny>>) {
        self.bytes = bytes;
    }

    #[getter(_buffer)]
    fn buffer(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        again(py, self.buffer.as_ref())
    }

    #[setter(_buffer)]
    fn set_buffer(&mut self, buffer: Option<Py<PyAny>>) {
        self.buffer = buffer;
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
