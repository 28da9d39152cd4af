//! Python objects that native code lets go of, to be released under the GIL later.
//!
//! A frame that waits in a queue keeps its `bytes` alive. Whoever drops the frame, an I/O thread
//! perhaps, pushes the object here; the next call into this module that holds the GIL empties the
//! list. A Treiber stack: push by CAS, take all by one swap, so there is no ABA to fear.

use std::alloc::Layout;
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

struct Node {
    object: *mut ffi::PyObject,
    next: *mut Node,
}

static HEAD: AtomicPtr<Node> = AtomicPtr::new(std::ptr::null_mut());

/// Gives a reference away. From any thread, with or without the GIL.
pub fn later(object: *mut c_void) {
    // SAFETY: the layout is that of a Box<Node>, which it becomes.
    let node = unsafe { std::alloc::alloc(Layout::new::<Node>()) }.cast::<Node>();
    if node.is_null() {
        // The object stays for ever; without memory for sixteen bytes that is the smaller evil.
        return;
    }
    // SAFETY: it is memory for a Node, and nobody else knows of it.
    unsafe { node.write(Node { object: object.cast(), next: std::ptr::null_mut() }) };
    let mut head = HEAD.load(Ordering::Relaxed);
    loop {
        // SAFETY: the node is ours until the exchange below succeeds.
        unsafe { (*node).next = head };
        match HEAD.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

/// Releases what was given away. Runs destructors: never call it under a socket's lock.
#[inline(always)]
pub fn drain(_py: Python<'_>) {
    if !HEAD.load(Ordering::Relaxed).is_null() {
        drain_some();
    }
}

#[cold]
fn drain_some() {
    let mut node = HEAD.swap(std::ptr::null_mut(), Ordering::Acquire);
    while !node.is_null() {
        // SAFETY: the swap made the whole list ours.
        let taken = unsafe { Box::from_raw(node) };
        node = taken.next;
        // SAFETY: the caller of `drain` holds the GIL; the node owned this reference.
        unsafe { ffi::Py_DECREF(taken.object) };
    }
}

/// In a forked child: the list may be half-pushed, and the references were the parent's. A few
/// objects stay alive here; nothing else happens.
pub fn forget() {
    HEAD.store(std::ptr::null_mut(), Ordering::Release);
}
