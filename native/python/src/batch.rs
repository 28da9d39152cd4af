//! The messages of a burst: Python objects, checked and held as long as the call.
//!
//! Knows what a message may be made of. Refuses to know how it is sent.

use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use shmzmq_core::error::Result;
use shmzmq_core::message::{Frames, Payload};
use shmzmq_core::socket::burst::Burst;
use shmzmq_shm::ring::Part;

use crate::outgoing::{Held, refused};

/// Messages to be sent, and which of them are.
pub struct Batch<'py> {
    held: Vec<Held>,
    parts: Vec<Part>,
    /// Behind the last frame of each message; empty as long as every message has one frame.
    ends: Vec<usize>,
    messages: usize,
    /// How many of them were accepted.
    pub sent: usize,
    /// What keeps the objects alive, whatever happens to the caller's lists during a wait.
    owners: Vec<Bound<'py, PyAny>>,
    /// The list whose items are borrowed.
    lender: Option<Bound<'py, PyList>>,
}

impl<'py> Batch<'py> {
    /// Checks every item before the first is sent anywhere.
    pub fn new(py: Python<'py>, messages: &Bound<'py, PyAny>) -> PyResult<Self> {
        if messages.is_instance_of::<PyBytes>() || messages.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("send_many takes a list of messages, not one message"));
        }
        if let Some(batch) = Batch::borrowed(messages) {
            return Ok(batch);
        }
        // SAFETY: the GIL is held; a new reference (to `messages` itself if it is a tuple), or null.
        let items = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PySequence_Tuple(messages.as_ptr()))? };
        // SAFETY: PySequence_Tuple makes nothing else.
        let items = unsafe { items.cast_into_unchecked::<PyTuple>() };
        let count = items.len();
        let mut batch = Batch::of(count);
        for index in 0..count {
            // SAFETY: inside the tuple, which lives as long as the batch; a borrowed reference.
            let item = unsafe { ffi::PyTuple_GetItem(items.as_ptr(), index as ffi::Py_ssize_t) };
            // SAFETY: as above.
            unsafe { batch.add(py, item, index)? };
        }
        batch.owners.push(items.into_any());
        Ok(batch)
    }

    fn of(count: usize) -> Self {
        Batch {
            held: Vec::with_capacity(count),
            parts: Vec::with_capacity(count),
            ends: Vec::new(),
            messages: 0,
            sent: 0,
            owners: Vec::new(),
            lender: None,
        }
    }

    /// A list of `bytes` and nothing else: its items are borrowed, since no Python code runs before
    /// the GIL is released. None for any other thing.
    fn borrowed(messages: &Bound<'py, PyAny>) -> Option<Self> {
        let list = messages.cast_exact::<PyList>().ok()?;
        let count = list.len();
        let mut batch = Batch::of(count);
        for index in 0..count {
            // SAFETY: inside the list; a borrowed reference, see above.
            let item = unsafe { ffi::PyList_GetItem(list.as_ptr(), index as ffi::Py_ssize_t) };
            // SAFETY: a live object; the GIL is held.
            let held = unsafe { Held::bytes(item)? };
            batch.push(held);
        }
        batch.messages = count;
        batch.lender = Some(list.clone());
        Some(batch)
    }

    /// Before the GIL is released for the first time: what was borrowed is kept alive.
    pub fn own(&mut self) {
        if let Some(list) = self.lender.take() {
            self.owners.push(list.to_tuple().into_any());
        }
    }

    /// # Safety
    /// `item` is alive as long as the batch; the GIL is held.
    #[inline]
    unsafe fn add(&mut self, py: Python<'py>, item: *mut ffi::PyObject, index: usize) -> PyResult<()> {
        // SAFETY: a live object, by the caller's word.
        unsafe {
            if ffi::PyBytes_CheckExact(item) != 0 {
                self.push(Held::new(py, item)?);
            } else if ffi::PyList_Check(item) != 0 || ffi::PyTuple_Check(item) != 0 {
                self.add_parts(py, item, index)?;
            } else {
                let held = Held::new(py, item);
                let shown = Bound::from_borrowed_ptr(py, item);
                self.push(held.map_err(|error| refused(error, &format!("Message {index}"), &shown))?);
            }
        }
        self.messages += 1;
        if !self.ends.is_empty() {
            self.ends.push(self.parts.len());
        }
        Ok(())
    }

    #[inline]
    fn push(&mut self, held: Held) {
        self.parts.push(held.part());
        self.held.push(held);
    }

    /// # Safety
    /// `item` is a live list or tuple; the GIL is held.
    #[cold]
    unsafe fn add_parts(&mut self, py: Python<'py>, item: *mut ffi::PyObject, index: usize) -> PyResult<()> {
        if self.ends.is_empty() {
            // Until here every message had one frame. The leading 0 keeps `ends` from being empty.
            self.ends.extend(0..=self.messages);
        }
        // SAFETY: live, by the caller's word; what PySequence_Tuple makes is a tuple.
        let parts = unsafe {
            let made = Bound::from_owned_ptr_or_err(py, ffi::PySequence_Tuple(item))?;
            made.cast_into_unchecked::<PyTuple>()
        };
        if parts.is_empty() {
            let text = format!("a message has at least one frame, message {index} is empty");
            return Err(PyIndexError::new_err(text));
        }
        for (number, part) in parts.iter().enumerate() {
            // SAFETY: the tuple is kept among the owners.
            let held = unsafe { Held::new(py, part.as_ptr()) };
            let name = || format!("Message {index} frame {number}");
            self.push(held.map_err(|error| refused(error, &name(), &part))?);
        }
        self.owners.push(parts.into_any());
        Ok(())
    }

    /// Where the frames of the next `messages` end.
    fn end(&self, messages: usize) -> usize {
        let last = self.sent + messages;
        if self.ends.is_empty() { last } else { self.ends[last] }
    }

    /// Where the frames of the message to be sent begin.
    fn begin(&self) -> usize {
        if self.ends.is_empty() { self.sent } else { self.ends[self.sent] }
    }
}

impl Frames for Batch<'_> {
    #[inline]
    fn parts(&self) -> &[Part] {
        if self.ends.is_empty() {
            return &self.parts[self.sent..=self.sent];
        }
        &self.parts[self.ends[self.sent]..self.ends[self.sent + 1]]
    }

    fn keep(&self, index: usize) -> Result<Payload> {
        self.held[self.begin() + index].keep()
    }
}

impl Burst for Batch<'_> {
    #[inline]
    fn next(&self) -> Option<&dyn Frames> {
        if self.sent < self.messages { Some(self) } else { None }
    }

    #[inline]
    fn accepted(&mut self, messages: usize) {
        let begin = self.begin();
        let end = self.end(messages);
        self.held[begin..end].iter().for_each(Held::accepted);
        self.sent += messages;
    }

    #[inline]
    fn run(&self) -> &[Part] {
        if self.ends.is_empty() { &self.parts[self.sent..] } else { &[] }
    }
}
