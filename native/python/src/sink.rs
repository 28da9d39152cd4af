//! Where received frames go: one new Python object each, or memory of the caller.

use std::sync::Arc;

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use shmzmq_core::copy::copy;
use shmzmq_core::message::{Blank, Foreign, Payload, Sink};
use shmzmq_core::reserve;
use shmzmq_shm::huge;

use crate::block::Loan;
use crate::bytes;
use crate::release;

/// What a received frame becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Become {
    Bytes,
    /// Writable memory of a Frame.
    ByteArray,
}

/// Makes one Python object of one frame. Under the socket's lock: allocates, but calls no Python code
/// (neither type takes part in cyclic garbage collection).
pub struct PySink {
    /// A new reference; null until a frame came, or if there was no memory for it.
    pub made: *mut ffi::PyObject,
    more: bool,
    become_: Become,
    /// To be copied into `made` when the lock is released.
    lent: Option<Payload>,
    /// Whoever uses the sink calls `finish`.
    finishes: bool,
}

/// Frames of so many bytes are copied outside the socket's lock, larger ones without the GIL too.
const COPY_OUTSIDE: usize = 256 * 1024;
const COPY_DETACHED: usize = 1 << 20;
/// A Frame takes an owned frame of so many bytes as it is.
const KEPT_MIN: usize = 16 * 1024;

impl PySink {
    pub fn new(become_: Become) -> PySink {
        PySink { made: std::ptr::null_mut(), more: false, become_, lent: None, finishes: false }
    }

    /// For one frame, after which `finish` is called.
    pub fn finishing(become_: Become) -> PySink {
        PySink { finishes: true, ..PySink::new(become_) }
    }

    /// The frame was only borrowed: what `made` holds is to be had from `finish`.
    #[inline(always)]
    pub fn is_unfinished(&self) -> bool {
        self.lent.is_some()
    }

    /// Outside the socket's lock: copies what was only borrowed under it.
    #[inline(always)]
    pub fn finish(&mut self, py: Python<'_>) {
        if self.lent.is_some() {
            self.copy_lent(py);
        }
    }

    #[cold]
    fn copy_lent(&mut self, py: Python<'_>) {
        let Some(payload) = self.lent.take() else { return };
        let (bytes, to) = (payload.bytes(), To(self.memory()));
        // SAFETY: the object was made with so many bytes, and nobody else knows it yet.
        let copy = || unsafe { copy(bytes.as_ptr(), to.get(), bytes.len()) };
        if bytes.len() >= COPY_DETACHED { py.detach(copy) } else { copy() }
    }

    fn memory(&self) -> *mut u8 {
        // SAFETY: `made` is a live object of the kind that `become_` says.
        unsafe {
            match self.become_ {
                Become::Bytes => bytes::data(self.made),
                Become::ByteArray => ffi::PyByteArray_AsString(self.made).cast(),
            }
        }
    }

    #[inline]
    fn make(&mut self, len: usize) -> *mut u8 {
        let mut at = self.make_plain(len);
        if at.is_null() && reserve::give_back_for(len) {
            // What is received makes room for what is not.
            // SAFETY: the GIL is held.
            unsafe { ffi::PyErr_Clear() };
            at = self.make_plain(len);
        }
        if len >= huge::ADVISED_MIN && !at.is_null() {
            // SAFETY: the object made above has so many bytes.
            unsafe { huge::advise(at, len) };
        }
        at
    }

    #[inline]
    fn make_plain(&mut self, len: usize) -> *mut u8 {
        // SAFETY: the GIL is held; a new object of `len` uninitialised bytes, or null with an error set.
        unsafe {
            match self.become_ {
                Become::Bytes => {
                    self.made = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len as ffi::Py_ssize_t);
                    if self.made.is_null() { std::ptr::null_mut() } else { bytes::data(self.made) }
                }
                Become::ByteArray => {
                    // Made empty first: one that finds no memory at once complains of exported buffers.
                    self.made = ffi::PyByteArray_FromStringAndSize(std::ptr::null(), 0);
                    if !self.made.is_null() && ffi::PyByteArray_Resize(self.made, len as ffi::Py_ssize_t) != 0
                    {
                        ffi::Py_DECREF(std::mem::replace(&mut self.made, std::ptr::null_mut()));
                    }
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

impl PySink {
    /// The frame stays where it is, and `made` shows it.
    fn lend(&mut self, payload: Payload) {
        // SAFETY: a sink is used under the GIL only.
        let py = unsafe { Python::assume_attached() };
        // The type takes no part in garbage collection, so nothing else runs here.
        self.made = Bound::new(py, Loan::new(payload))
            .map_or(std::ptr::null_mut(), |loan| loan.into_any().into_ptr());
    }

    /// A frame that others have too. A block is not lent from behind it: it counts who has it.
    fn lends(&self, shared: &Payload) -> bool {
        let copies = matches!(shared, Payload::Block(..) | Payload::Shared(_));
        self.become_ == Become::ByteArray && shared.bytes().len() >= KEPT_MIN && !copies
    }

    fn copy(&mut self, bytes: &[u8]) {
        let at = self.make(bytes.len());
        if !at.is_null() {
            // SAFETY: the object made above has that many bytes.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
        }
    }
}

/// An address that a copy without the GIL writes to.
#[derive(Clone, Copy)]
struct To(*mut u8);

// SAFETY: the memory belongs to the one thread that copies.
unsafe impl Send for To {}
// SAFETY: as above.
unsafe impl Sync for To {}

impl To {
    fn get(self) -> *mut u8 {
        self.0
    }
}

impl Sink for PySink {
    #[inline]
    fn room(&mut self, len: usize, more: bool) -> Option<*mut u8> {
        self.more = more;
        // `borrows` may have made it, in vain.
        let at = if self.finishes && !self.made.is_null() { self.memory() } else { self.make(len) };
        (!at.is_null()).then_some(at)
    }

    fn keeps(&self) -> bool {
        self.become_ == Become::ByteArray
    }

    fn borrows(&mut self, len: usize) -> bool {
        match self.become_ {
            Become::ByteArray => true,
            // Without memory for a copy the frame stays where it is.
            Become::Bytes => self.finishes && len >= COPY_OUTSIDE && !self.make(len).is_null(),
        }
    }

    fn blank(&mut self, len: usize) -> Option<Blank> {
        if self.become_ != Become::Bytes || !self.finishes || !self.made.is_null() {
            return None;
        }
        let at = self.make(len);
        let object = std::mem::replace(&mut self.made, std::ptr::null_mut());
        if at.is_null() {
            // SAFETY: a sink is used under the GIL only. It was a wish, and not what the call asked for.
            unsafe { ffi::PyErr_Clear() };
            return None;
        }
        // SAFETY: a new object of so many bytes, whose one reference the Blank has; it is released by `later`.
        Some(unsafe {
            Blank::new(at, Payload::Foreign(Foreign::new(at, len, object.cast(), release::later)))
        })
    }

    fn owned(&mut self, payload: Payload, more: bool) {
        self.more = more;
        match payload {
            Payload::Loan(_) | Payload::Heap(_)
                if self.become_ == Become::Bytes && !self.made.is_null() && self.finishes =>
            {
                self.lent = Some(payload);
            }
            // Read straight into memory that nobody else has.
            Payload::Heap(bytes) if self.become_ == Become::ByteArray && bytes.len() >= KEPT_MIN => {
                self.lend(Payload::Heap(bytes));
            }
            payload @ (Payload::Loan(_) | Payload::Block(..)) if self.become_ == Become::ByteArray => {
                self.lend(payload);
            }
            // What others have too is copied when somebody may write into it (block.rs), if ever.
            Payload::Foreign(foreign) if self.become_ == Become::ByteArray && foreign.len() >= KEPT_MIN => {
                self.lend(Payload::Shared(Arc::new(Payload::Foreign(foreign))));
            }
            // What the sender gave is what the receiver gets: nothing is copied.
            Payload::Foreign(foreign) if self.become_ == Become::Bytes => {
                self.made = foreign.into_owner().cast();
            }
            Payload::Shared(shared) => match Arc::try_unwrap(shared) {
                Ok(payload) => self.owned(payload, more),
                Err(shared) if self.lends(&shared) => self.lend(Payload::Shared(shared)),
                Err(shared) => self.copy(shared.bytes()),
            },
            payload => self.copy(payload.bytes()),
        }
    }
}

/// The caller's memory: a frame is written straight into it, and what does not fit is cut off.
pub struct Writable {
    view: Box<ffi::Py_buffer>,
    room: usize,
    /// Takes a frame that is larger than the room.
    spill: Vec<u8>,
    /// To be copied when the lock is released.
    lent: Option<Payload>,
    /// Bytes of the frame, all of them.
    pub size: usize,
}

impl Writable {
    /// # Safety
    /// `object` is a live object and the GIL is held, here and when the result is dropped.
    pub unsafe fn new(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<Writable> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: the caller's word; fills the view or raises. It refuses what is read-only or strided.
        if unsafe { ffi::PyObject_GetBuffer(object, &mut *view, ffi::PyBUF_WRITABLE) } != 0 {
            let error = PyErr::take(py).unwrap_or_else(|| PyBufferError::new_err("not a writable buffer"));
            // numpy's word for what is read-only or strided.
            let numpys = error.is_instance_of::<PyValueError>(py);
            return Err(if numpys { PyBufferError::new_err(error.value(py).to_string()) } else { error });
        }
        let room = view.len as usize;
        Ok(Writable { view, room, spill: Vec::new(), lent: None, size: 0 })
    }

    /// Writes at most that many bytes; 0 keeps the whole buffer.
    pub fn limit(&mut self, bytes: i64) -> PyResult<()> {
        match usize::try_from(bytes) {
            Ok(0) => Ok(()),
            Ok(bytes) if bytes <= self.room => {
                self.room = bytes;
                Ok(())
            }
            _ => Err(PyValueError::new_err(format!(
                "nbytes={bytes} is not in 0 to {}, the bytes of the buffer",
                self.room
            ))),
        }
    }

    fn memory(&mut self) -> *mut u8 {
        // An empty buffer may be nowhere.
        if self.room == 0 { std::ptr::dangling_mut() } else { self.view.buf.cast() }
    }

    /// Outside the socket's lock: copies what was only borrowed under it.
    pub fn finish(&mut self, py: Python<'_>) {
        let Some(payload) = self.lent.take() else { return };
        let bytes = payload.bytes();
        let (to, len) = (To(self.memory()), bytes.len().min(self.room));
        // SAFETY: the room is inside the view, which is writable while it is held.
        let copy = || unsafe { copy(bytes.as_ptr(), to.get(), len) };
        if len >= COPY_DETACHED { py.detach(copy) } else { copy() }
    }

    /// What the spill holds goes to the caller as far as it fits.
    fn settle(&mut self) {
        if !self.spill.is_empty() {
            // SAFETY: the room is inside the view, and the spill is larger than it.
            unsafe { std::ptr::copy_nonoverlapping(self.spill.as_ptr(), self.memory(), self.room) };
        }
    }
}

impl Sink for Writable {
    fn room(&mut self, len: usize, _more: bool) -> Option<*mut u8> {
        self.size = len;
        if len <= self.room {
            return Some(self.memory());
        }
        self.spill = vec![0; len];
        Some(self.spill.as_mut_ptr())
    }

    fn keeps(&self) -> bool {
        false
    }

    fn borrows(&mut self, len: usize) -> bool {
        len > self.room || len >= COPY_OUTSIDE
    }

    fn owned(&mut self, payload: Payload, _more: bool) {
        let bytes = payload.bytes();
        self.size = bytes.len();
        if let Payload::Loan(_) | Payload::Heap(_) = payload {
            self.lent = Some(payload);
            return;
        }
        // SAFETY: the room is inside the view, which is writable while it is held.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.memory(), bytes.len().min(self.room));
        }
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        self.settle();
        // SAFETY: filled by PyObject_GetBuffer above, released once, under the GIL.
        unsafe { ffi::PyBuffer_Release(&mut *self.view) };
    }
}
