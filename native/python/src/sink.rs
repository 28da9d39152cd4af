//! Where received frames go: one new Python object each.

use pyo3::ffi;
use shmzmq_core::message::{Payload, Sink};

use crate::bytes;

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
}

impl PySink {
    pub fn new(become_: Become) -> PySink {
        PySink { made: std::ptr::null_mut(), more: false, become_ }
    }

    #[inline]
    fn make(&mut self, len: usize) -> *mut u8 {
        // SAFETY: the GIL is held; a new object of `len` uninitialised bytes, or null with an error set.
        unsafe {
            match self.become_ {
                Become::Bytes => {
                    self.made = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len as ffi::Py_ssize_t);
                    if self.made.is_null() { std::ptr::null_mut() } else { bytes::data(self.made) }
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
