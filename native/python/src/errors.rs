//! Codes to exceptions. The classes are born in `shmzmq/errors.py`; here they are only raised.

use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use shmzmq_core::error::Error;

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    let module = MODULE.get_or_try_init(py, || py.import("shmzmq.errors").map(Bound::unbind))?;
    Ok(module.bind(py))
}

/// The text behind the errno's own text; empty where that says it all.
fn detail(error: &Error) -> String {
    match error {
        Error::Again | Error::Fsm | Error::NotSocket | Error::Terminated | Error::NotSupported => {
            String::new()
        }
        other => other.to_string(),
    }
}

/// The exception for a failed call; an exception that is already pending wins.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    if let Error::NoRoom = error {
        return PyErr::take(py).unwrap_or_else(|| PyMemoryError::new_err("no room for the received frame"));
    }
    let made = module(py).and_then(|module| match error {
        Error::Forked(pid) => module.getattr("ForkedError")?.call1((*pid,)),
        _ => module.getattr("error_for")?.call1((error.errno(), detail(error))),
    });
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    }
}

/// The exception for our own bug.
pub fn bug(payload: &(dyn std::any::Any + Send)) -> PyErr {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    PyRuntimeError::new_err(format!("internal error in shmzmq, please report it: {text}"))
}
