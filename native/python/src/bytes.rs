//! Where the data of a `bytes` object lies: learned once, so that no call per message has to ask.
//!
//! The stable ABI has a function for it and no field. But all `bytes` objects of one interpreter have
//! their data at the same distance from the object, behind a header of fixed size.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

static DISTANCE: AtomicUsize = AtomicUsize::new(0);

/// Called when the module is made, before any socket.
pub fn learn(py: Python<'_>) {
    let sample = PyBytes::new(py, b"sample");
    // SYNC none: written before any other thread can reach the module, the same value each time.
    DISTANCE.store(sample.as_bytes().as_ptr() as usize - sample.as_ptr() as usize, Ordering::Relaxed);
}

/// The first byte of `object`.
///
/// # Safety
/// `object` is a live `bytes`.
#[inline(always)]
pub unsafe fn data(object: *mut ffi::PyObject) -> *mut u8 {
    // SAFETY: inside the object, see the top of the file.
    unsafe { object.cast::<u8>().add(DISTANCE.load(Ordering::Relaxed)) }
}
