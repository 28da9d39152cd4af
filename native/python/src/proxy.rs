//! `proxy` and `proxy_steerable`: the core's proxy, with signals.

use std::sync::Arc;

use pyo3::prelude::*;
use shmzmq_core::error::Error;
use shmzmq_core::proxy::{Pause, Proxy};
use shmzmq_core::socket::Socket as Core;

use crate::errors::raise;
use crate::log;
use crate::release;
use crate::socket::Socket;

/// EFAULT: what pyzmq says of a closed socket here.
const BAD_ADDRESS: i32 = 14;

fn opened(py: Python<'_>, socket: &Socket) -> PyResult<Arc<Core>> {
    let closed = Error::System { call: "proxy of a closed socket", errno: BAD_ADDRESS };
    socket.opened().cloned().ok_or_else(|| raise(py, &closed))
}

/// Moves messages between two sockets until one of them, or their context, ends.
#[pyfunction]
#[pyo3(signature = (frontend, backend, capture=None))]
pub fn proxy(
    py: Python<'_>,
    frontend: &Bound<'_, Socket>,
    backend: &Bound<'_, Socket>,
    capture: Option<&Bound<'_, Socket>>,
) -> PyResult<i32> {
    proxy_steerable(py, frontend, backend, capture, None)
}

/// `proxy` that obeys a control socket.
#[pyfunction]
#[pyo3(signature = (frontend, backend, capture=None, control=None))]
pub fn proxy_steerable(
    py: Python<'_>,
    frontend: &Bound<'_, Socket>,
    backend: &Bound<'_, Socket>,
    capture: Option<&Bound<'_, Socket>>,
    control: Option<&Bound<'_, Socket>>,
) -> PyResult<i32> {
    let front = opened(py, frontend.get())?;
    let back = opened(py, backend.get())?;
    let capture = capture.map(|socket| opened(py, socket.get())).transpose()?;
    let control = control.map(|socket| opened(py, socket.get())).transpose()?;
    let mut proxy = Proxy::new(front, back, capture, control);
    loop {
        let pause = py.detach(|| proxy.run()).map_err(|error| raise(py, &error))?;
        release::drain(py);
        log::tell(py)?;
        if pause == Pause::Terminated {
            return Ok(0);
        }
        py.check_signals()?;
    }
}
