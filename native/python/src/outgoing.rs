//! Python objects as frames to be sent.

use std::cell::Cell;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use shmzmq_core::error::Result;
use shmzmq_core::message::{Foreign, Frames, Payload};
use shmzmq_shm::ring::Part;

use crate::block::{Block, Loan};
use crate::bytes;
use crate::errors::raise;
use crate::frame::Frame;
use crate::release;

/// One object whose bytes are to be sent; borrowed from the caller for the length of the call.
pub struct Held {
    part: Part,
    /// A `bytes` to be kept by reference; null for anything that could change.
    bytes: *mut ffi::PyObject,
    other: Option<Box<Other>>,
}

/// What is not a `bytes`.
enum Other {
    View(ffi::Py_buffer),
    /// A received frame that is sent on.
    Received(Payload),
    /// A block that was filled to be sent.
    Block {
        /// A reference of our own. Not a `Py`: that lets go only when pyo3 knows of the GIL, and in the raw
        /// methods it does not.
        block: *mut ffi::PyObject,
        payload: Payload,
        sent: Cell<bool>,
    },
}

impl Held {
    /// # Safety
    /// `object` is alive as long as the result, and the GIL is held.
    #[inline]
    pub unsafe fn new(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<Held> {
        // SAFETY: the caller's word.
        match unsafe { Held::bytes(object) } {
            Some(held) => Ok(held),
            // SAFETY: as above.
            None => unsafe { Held::view(py, object) },
        }
    }

    /// A `bytes`; None for anything else. Runs no Python code.
    ///
    /// # Safety
    /// As in `new`.
    #[inline(always)]
    pub unsafe fn bytes(object: *mut ffi::PyObject) -> Option<Held> {
        // SAFETY: `object` is a live object and the GIL is held, by the caller's word.
        unsafe {
            if ffi::PyBytes_CheckExact(object) == 0 {
                return None;
            }
            let at = bytes::data(object).cast_const();
            let len = ffi::Py_SIZE(object) as usize;
            Some(Held { part: Part::new(at, len), bytes: object, other: None })
        }
    }

    #[cold]
    unsafe fn view(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<Held> {
        // SAFETY: live object, GIL held; PyObject_GetBuffer fills the view or raises.
        unsafe {
            if ffi::PyUnicode_Check(object) != 0 {
                return Err(PyTypeError::new_err("unicode not allowed, use send_string"));
            }
            if let Some(other) = Other::of(&Bound::from_borrowed_ptr(py, object))? {
                return Ok(Held::other(other));
            }
            let mut other = Box::new(Other::View(ffi::Py_buffer::new()));
            // Fortran's order is as good as C's: the bytes go as they lie there.
            if let Other::View(view) = &mut *other
                && ffi::PyObject_GetBuffer(object, view, ffi::PyBUF_ANY_CONTIGUOUS) != 0
            {
                // There is nothing to be released.
                std::mem::forget(std::mem::replace(&mut *other, Other::Received(Payload::empty())));
                return Err(PyErr::take(py).unwrap_or_else(|| PyTypeError::new_err("not a buffer")));
            }
            Ok(Held::other(other))
        }
    }

    fn other(other: Box<Other>) -> Held {
        let part = match &*other {
            Other::View(view) => Part::new(view.buf.cast::<u8>().cast_const(), view.len as usize),
            Other::Received(payload) | Other::Block { payload, .. } => payload.part(),
        };
        Held { part, bytes: std::ptr::null_mut(), other: Some(other) }
    }

    #[inline]
    pub fn part(&self) -> Part {
        self.part
    }

    /// The message it belongs to was accepted.
    #[inline(always)]
    pub fn accepted(&self) {
        if let Some(other) = &self.other
            && let Other::Block { sent, .. } = &**other
        {
            sent.set(true);
        }
    }

    pub fn keep(&self) -> Result<Payload> {
        if let Some(other) = &self.other {
            return match &**other {
                Other::View(_) => {
                    // SAFETY: the part is readable while the view is held.
                    let bytes = unsafe { std::slice::from_raw_parts(self.part.at, self.part.len) };
                    Payload::copy(bytes)
                }
                Other::Received(payload) | Other::Block { payload, .. } => payload.again(),
            };
        }
        // SAFETY: the object is alive and the GIL held (we are inside the caller's call); a `bytes`
        // never changes, and `later` may be called anywhere.
        unsafe {
            ffi::Py_INCREF(self.bytes);
            let foreign = Foreign::new(self.part.at, self.part.len, self.bytes.cast(), release::later);
            Ok(Payload::Foreign(foreign))
        }
    }
}

impl Other {
    /// A block, or a received frame that is still in its sender's; None for anything else.
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Option<Box<Other>>> {
        let memory = match object.cast::<Frame>() {
            Ok(frame) => frame.borrow().memory(object.py()).map(|memory| memory.into_bound(object.py())),
            Err(_) => None,
        };
        let object = memory.as_ref().unwrap_or(object);
        if let Ok(block) = object.cast::<Block>() {
            let payload = block.get().begin_send()?;
            let sent = Cell::new(false);
            return Ok(Some(Box::new(Other::Block { block: block.clone().into_ptr(), payload, sent })));
        }
        let Ok(received) = object.cast::<Loan>() else { return Ok(None) };
        let payload = received.get().payload(object.py()).map_err(|error| raise(object.py(), &error))?;
        Ok(Some(Box::new(Other::Received(payload))))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        match self {
            // SAFETY: filled by PyObject_GetBuffer above, released once, under the GIL.
            Other::View(view) => unsafe { ffi::PyBuffer_Release(view) },
            Other::Block { block, sent, .. } => {
                // SAFETY: a reference of our own to a Block, and the GIL is held wherever a call ends.
                let block = unsafe {
                    Bound::from_owned_ptr(Python::assume_attached(), *block).cast_into_unchecked::<Block>()
                };
                block.get().end_send(sent.get());
            }
            Other::Received(_) => {}
        }
    }
}

/// The TypeError for an object that is no buffer, with its place among the others.
#[cold]
pub fn refused(error: PyErr, place: &str, object: &Bound<'_, PyAny>) -> PyErr {
    if !error.is_instance_of::<PyTypeError>(object.py()) {
        return error;
    }
    let shown = object.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string());
    let shown: String = shown.chars().take(40).collect();
    PyTypeError::new_err(format!("{place} ({shown}) does not support the buffer interface."))
}

/// A message that is one `bytes`, borrowed from the caller; with nothing to let go of.
pub struct Plain {
    parts: [Part; 1],
    object: *mut ffi::PyObject,
}

impl Plain {
    /// None: it is something else.
    ///
    /// # Safety
    /// `object` is alive as long as the result, and the GIL is held.
    #[inline(always)]
    pub unsafe fn of(object: *mut ffi::PyObject) -> Option<Plain> {
        // SAFETY: the caller's word.
        unsafe {
            if ffi::PyBytes_CheckExact(object) == 0 {
                return None;
            }
            let part = Part::new(bytes::data(object).cast_const(), ffi::Py_SIZE(object) as usize);
            Some(Plain { parts: [part], object })
        }
    }
}

impl Frames for Plain {
    #[inline(always)]
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn keep(&self, _index: usize) -> Result<Payload> {
        // SAFETY: as in `Held::keep`.
        unsafe {
            ffi::Py_INCREF(self.object);
            let [Part { at, len, .. }] = self.parts;
            Ok(Payload::Foreign(Foreign::new(at, len, self.object.cast(), release::later)))
        }
    }
}

/// A message of one frame.
pub struct One {
    pub held: Held,
    parts: [Part; 1],
}

impl One {
    #[inline]
    pub fn new(held: Held) -> One {
        let parts = [held.part()];
        One { held, parts }
    }
}

impl Frames for One {
    #[inline(always)]
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn keep(&self, _index: usize) -> Result<Payload> {
        self.held.keep()
    }
}

/// A message of several frames.
pub struct Many {
    pub held: Vec<Held>,
    parts: Vec<Part>,
}

impl Many {
    pub fn new(held: Vec<Held>) -> Many {
        let parts = held.iter().map(Held::part).collect();
        Many { held, parts }
    }
}

impl Frames for Many {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn keep(&self, index: usize) -> Result<Payload> {
        self.held[index].keep()
    }
}

const FEW: usize = 3;

/// A message of one to three `bytes` in a list or tuple, as brokers send it; without an allocation.
pub struct Few {
    /// Owned: while the call waits, another thread may change the list.
    objects: [*mut ffi::PyObject; FEW],
    parts: [Part; FEW],
    count: usize,
}

impl Few {
    /// None: it is something else.
    pub fn of(parts: &Bound<'_, PyAny>) -> Option<Few> {
        let mut few = Few { objects: [std::ptr::null_mut(); FEW], parts: [Part::of(&[]); FEW], count: 0 };
        // SAFETY: a live list or tuple, the GIL is held, and every index is below its size; what is taken
        // is a `bytes`, which never changes, and a reference of our own keeps it.
        unsafe {
            let whole = parts.as_ptr();
            let list = ffi::PyList_CheckExact(whole) != 0;
            if !list && ffi::PyTuple_CheckExact(whole) == 0 {
                return None;
            }
            let size = if list { ffi::PyList_Size(whole) } else { ffi::PyTuple_Size(whole) } as usize;
            if size == 0 || size > FEW {
                return None;
            }
            for index in 0..size {
                let at = index as ffi::Py_ssize_t;
                let object =
                    if list { ffi::PyList_GetItem(whole, at) } else { ffi::PyTuple_GetItem(whole, at) };
                if object.is_null() || ffi::PyBytes_CheckExact(object) == 0 {
                    return None;
                }
                few.objects[index] = ffi::Py_NewRef(object);
                few.parts[index] = Part::new(
                    ffi::PyBytes_AsString(object).cast::<u8>().cast_const(),
                    ffi::PyBytes_Size(object) as usize,
                );
                few.count = index + 1;
            }
        }
        Some(few)
    }
}

impl Drop for Few {
    fn drop(&mut self) {
        for object in &self.objects[..self.count] {
            // SAFETY: a reference of our own, and the GIL is held wherever a call ends.
            unsafe { ffi::Py_DecRef(*object) };
        }
    }
}

impl Frames for Few {
    #[inline(always)]
    fn parts(&self) -> &[Part] {
        &self.parts[..self.count]
    }

    fn keep(&self, index: usize) -> Result<Payload> {
        let Part { at, len, .. } = self.parts[index];
        // SAFETY: as in `Held::keep`: the object is alive and never changes; `later` releases it anywhere.
        unsafe {
            let owner = ffi::Py_NewRef(self.objects[index]);
            Ok(Payload::Foreign(Foreign::new(at, len, owner.cast(), release::later)))
        }
    }
}
