//! The log: lines of native code are handed over where a call waits or looks for events.
//!
//! A server binds once and then waits for messages, and native threads never take the GIL.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use shmzmq_core::context::has_log;

/// Hands over what there is; a load if there is nothing. Raises what ends a program; no other mistake of who
/// writes the log down is one of who receives a message.
#[inline]
pub fn tell(py: Python<'_>) -> PyResult<()> {
    if has_log() { tell_lines(py) } else { Ok(()) }
}

#[cold]
fn tell_lines(py: Python<'_>) -> PyResult<()> {
    let told = py.import("shmzmq._backend").and_then(|backend| backend.call_method0("drain_log"));
    match told {
        Err(error) if error.is_instance_of::<PyException>(py) => {
            error.write_unraisable(py, None);
            Ok(())
        }
        other => other.map(drop),
    }
}
