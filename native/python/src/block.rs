//! Blocks of shared memory as Python sees them: one to be filled and sent, and a received one.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes};
use shmzmq_core::error::Result;
use shmzmq_core::message::Payload;
use shmzmq_shm::arena;

const FREE: u8 = 0;
const SENDING: u8 = 1;
const SENT: u8 = 2;
const RELEASED: u8 = 3;

/// Fills `view` with memory of `owner`.
///
/// # Safety
/// `view` comes from the interpreter, and `at` is good for `len` bytes as long as `owner` lives.
unsafe fn fill(
    owner: &Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    (at, len): (*mut u8, usize),
    readonly: bool,
    flags: c_int,
) -> PyResult<()> {
    // SAFETY: the caller's word; the interpreter takes a reference to `owner`.
    let filled = unsafe {
        ffi::PyBuffer_FillInfo(
            view,
            owner.as_ptr(),
            at.cast(),
            len as ffi::Py_ssize_t,
            c_int::from(readonly),
            flags,
        )
    };
    if filled == 0 {
        return Ok(());
    }
    Err(PyErr::take(owner.py()).unwrap_or_else(|| PyBufferError::new_err("no buffer")))
}

/// Memory of a socket that is filled in place and sent without a copy. Its memory is used again when no
/// peer has it any more and this object is gone, so no view of it ever shows another message.
#[pyclass(frozen, weakref, module = "shmzmq._native")]
pub struct Block {
    block: Arc<arena::Block>,
    len: usize,
    state: AtomicU8,
    /// A send that waits has it.
    entrusted: AtomicBool,
}

impl Block {
    pub fn new(block: Arc<arena::Block>, len: usize) -> Block {
        block.filled();
        Block { block, len, state: AtomicU8::new(FREE), entrusted: AtomicBool::new(false) }
    }

    fn refuse(&self, state: u8) -> PyErr {
        let what = match state {
            SENT => "was sent: its memory is its receivers' now",
            SENDING => "is being sent, or stands twice in one message",
            _ => "was released",
        };
        PyValueError::new_err(format!("block of {} bytes {what}", self.len))
    }

    fn check(&self) -> PyResult<()> {
        if !self.block.is_ours() {
            return Err(PyValueError::new_err("block was made in another process, before a fork"));
        }
        match self.state.load(Ordering::Acquire) {
            FREE => Ok(()),
            state => Err(self.refuse(state)),
        }
    }

    /// A send begins; `end_send` follows.
    pub fn begin_send(&self) -> PyResult<Payload> {
        self.check()?;
        self.state
            .compare_exchange(FREE, SENDING, Ordering::AcqRel, Ordering::Acquire)
            .map_err(|state| self.refuse(state))?;
        Ok(Payload::Block(self.block.clone(), self.len))
    }

    pub fn end_send(&self, sent: bool) {
        let _ = self.state.compare_exchange(
            SENDING,
            if sent { SENT } else { FREE },
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    pub fn usage(&self) -> Usage {
        Usage(self.block.usage())
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.block.unfilled();
    }
}

#[pymethods]
impl Block {
    /// Bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.len
    }

    fn __len__(&self) -> usize {
        self.len
    }

    /// True once a send took it.
    #[getter]
    fn sent(&self) -> bool {
        self.state.load(Ordering::Acquire) == SENT
    }

    /// Gives it up unsent; after a send nothing happens.
    fn release(&self) {
        let _ = self.state.compare_exchange(FREE, RELEASED, Ordering::AcqRel, Ordering::Acquire);
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        slf.check()?;
        Ok(slf)
    }

    fn __exit__(&self, _kind: Py<PyAny>, _value: Py<PyAny>, _trace: Py<PyAny>) {
        if !self.entrusted.load(Ordering::Relaxed) {
            self.release();
        }
    }

    /// A send has it that waits and ends after the `with`, if there is one: it is not given up there.
    fn _entrust(&self) {
        self.entrusted.store(true, Ordering::Relaxed);
    }

    fn __repr__(&self) -> String {
        let state = match self.state.load(Ordering::Acquire) {
            SENT => ", sent",
            RELEASED => ", released",
            _ => "",
        };
        format!("<shmzmq.Block({} bytes{state})>", self.len)
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let block = slf.get();
        block.check()?;
        let memory = (block.block.at(), block.len);
        // SAFETY: the interpreter's view; this object keeps the block.
        unsafe { fill(slf.as_any(), view, memory, false, flags) }
    }
}

/// Says when what was sent in a block is nowhere any more.
#[pyclass(frozen, module = "shmzmq._native")]
pub struct Usage(arena::Usage);

#[pymethods]
impl Usage {
    /// True once no queue and no peer has it.
    fn is_over(&self) -> bool {
        self.0.is_over()
    }
}

/// A received frame where its sender has it. Ends the loan when the last view of it is gone, which
/// need not be a buffer that was exported: numpy keeps the object instead (numpy#9562).
#[pyclass(frozen, module = "shmzmq._native")]
pub struct Loan {
    payload: Payload,
    /// In place of what others of this process may see: a copy, made when somebody may write.
    own: PyOnceLock<Py<PyByteArray>>,
    /// Somebody has a view of the loan itself, and others of this frame see what is written there.
    shown: AtomicBool,
}

impl Loan {
    pub fn new(payload: Payload) -> Loan {
        if let Payload::Block(block, _) = &payload {
            block.exported();
        }
        Loan { payload, own: PyOnceLock::new(), shown: AtomicBool::new(false) }
    }

    pub fn payload(&self, py: Python<'_>) -> Result<Payload> {
        match self.own.get(py) {
            // SAFETY: the GIL is held, and nothing that could change its size runs meanwhile.
            Some(own) => Payload::copy(unsafe { own.bind(py).as_bytes() }),
            None => self.payload.again(),
        }
    }

    fn memory(&self, py: Python<'_>) -> (*mut u8, usize) {
        match self.own.get(py) {
            Some(own) => (own.bind(py).data(), own.bind(py).len()),
            None => {
                let bytes = self.payload.bytes();
                (bytes.as_ptr().cast_mut(), bytes.len())
            }
        }
    }

    /// Somebody may write from now on.
    fn expect_writes(&self, py: Python<'_>) -> PyResult<()> {
        let others_see = match &self.payload {
            // Sent on within this process: its private pages are those of the others too.
            Payload::Loan(loan) if Arc::strong_count(loan) > 1 && !self.shown.load(Ordering::Relaxed) => true,
            Payload::Loan(loan) => {
                self.shown.store(true, Ordering::Relaxed);
                loan.set_written();
                false
            }
            Payload::Block(block, _) => !block.is_alone(),
            Payload::Foreign(_) | Payload::Shared(_) => true,
            Payload::Heap(_) => false,
        };
        if others_see {
            self.own.get_or_try_init(py, || {
                let bytes = self.payload.bytes();
                let copy = |to: &mut [u8]| {
                    to.copy_from_slice(bytes);
                    Ok(())
                };
                PyByteArray::new_with(py, bytes.len(), copy).map(Bound::unbind)
            })?;
        }
        Ok(())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Payload::Block(block, _) = &self.payload {
            block.unexported();
        }
    }
}

#[pymethods]
impl Loan {
    fn __len__(&self) -> usize {
        self.payload.bytes().len()
    }

    fn tobytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let (at, len) = self.memory(py);
        // SAFETY: readable for `len` bytes as long as `self` lives; whoever may write has the GIL.
        PyBytes::new(py, unsafe { std::slice::from_raw_parts(at, len) })
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let loan = slf.get();
        // The plainest request is that of a reader: nobody asks for it and writes. Any other view may be
        // written through, for it says that it is not read-only.
        let writable = flags != ffi::PyBUF_SIMPLE;
        if writable {
            loan.expect_writes(slf.py())?;
        }
        let memory = loan.memory(slf.py());
        // SAFETY: the interpreter's view; this object keeps the payload. A loan's pages are private to this
        // process once they are written.
        unsafe { fill(slf.as_any(), view, memory, !writable, flags) }
    }
}
