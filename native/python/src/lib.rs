//! The one crate that names Python: a table of contents and one thin file per visible class.
//!
//! Rules of the border: a call that can wait releases the GIL and obeys signals; nothing that runs
//! under a socket's lock calls into Python code; native threads neither take the GIL nor hold a
//! Python object, except owners of buffers, which they return through [`release`]; no panic leaves
//! this crate.

mod arguments;
mod attempt;
mod batch;
mod block;
mod bytes;
mod context;
mod errors;
mod frame;
mod future;
mod hot;
mod log;
mod many;
mod outgoing;
mod poller;
mod proxy;
mod release;
mod sink;
mod socket;
mod waiting;

use pyo3::prelude::*;

/// Before os.fork: every I/O thread stands still.
#[pyfunction]
fn before_fork(py: Python<'_>) {
    py.detach(shmzmq_core::context::before_fork);
}

/// After os.fork, in the parent.
#[pyfunction]
fn after_fork_in_parent() {
    shmzmq_core::context::after_fork_in_parent();
}

/// After os.fork, in the child.
#[pyfunction]
fn after_fork_in_child() {
    shmzmq_core::context::after_fork_in_child();
    release::forget();
}

/// Bytes of shared memory that this process may make for large messages; 0 for the default.
#[pyfunction]
fn set_shm_max(bytes: u64) {
    shmzmq_shm::budget::set_max(bytes);
}

/// Bytes of shared memory that this process may make, and has made, for large messages.
#[pyfunction]
fn shm_max() -> (u64, u64) {
    (shmzmq_shm::budget::max(), shmzmq_shm::budget::used())
}

/// Lines that native code wants logged: (cause, text). Empties the list.
#[pyfunction]
fn take_log() -> Vec<(std::borrow::Cow<'static, str>, String)> {
    shmzmq_core::context::take_log()
}

/// Wakes the owner of the file of counters behind this fd, which is open for writing. False: it has no such word.
#[pyfunction]
fn wake_counters(fd: i32) -> PyResult<bool> {
    if fd < 0 {
        return Err(pyo3::exceptions::PyValueError::new_err(format!("fd={fd}")));
    }
    // SAFETY: the caller keeps it open during the call; a number that is no open fd gives EBADF.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    Ok(shmzmq_core::counters::wake(fd))
}

/// The process is over: removes its file of counters.
#[pyfunction]
fn close_counters(py: Python<'_>) {
    py.detach(shmzmq_core::counters::close);
}

#[global_allocator]
static ALLOCATOR: shmzmq_core::reserve::Allocator = shmzmq_core::reserve::Allocator;

#[pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::block::{Block, Loan, Usage};
    #[pymodule_export]
    use super::context::Context;
    #[pymodule_export]
    use super::frame::Frame;
    #[pymodule_export]
    use super::frame::Origin;
    #[pymodule_export]
    use super::frame::set_frame_class;
    #[pymodule_export]
    use super::future::{begin_turn, end_turn, spend_turn};
    #[pymodule_export]
    use super::poller::{Poller, zmq_poll};
    #[pymodule_export]
    use super::proxy::{proxy, proxy_steerable};
    #[pymodule_export]
    use super::socket::Socket;
    #[pymodule_export]
    use super::{after_fork_in_child, after_fork_in_parent, before_fork};
    #[pymodule_export]
    use super::{close_counters, set_shm_max, shm_max, take_log, wake_counters};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        shmzmq_core::reserve::set_aside();
        super::bytes::learn(module.py());
        super::hot::install_hot_methods(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("LAYOUT_VERSION", shmzmq_shm::layout::ABI)?;
        module.add("BUILD_PROFILE", if cfg!(debug_assertions) { "debug" } else { "release" })?;
        Ok(())
    }
}
