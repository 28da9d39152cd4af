//! A call that may wait: an attempt, then waits and attempts until it is done or its time is over.
//!
//! Knows the GIL (released while a wait sleeps), signals and the time-outs. Refuses to know what is
//! attempted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use shmzmq_core::error::Error;
use shmzmq_core::options::{Options, RCVTIMEO, SNDTIMEO};
use shmzmq_core::poller::{Poller, Raw};
use shmzmq_core::socket::{Interest, Socket as Core, Woken};

use crate::errors::raise;
use crate::log;

pub const DONTWAIT: i64 = 1;
pub const SNDMORE: i64 = 2;
/// A spin holds the GIL at most this long; another thread may be the one we wait for.
const SPIN_WITH_GIL: Duration = Duration::from_micros(1);

/// So long at most a signal waits that came just before a sleep.
const SIGNAL_WAITS: Duration = Duration::from_millis(50);

/// Ends the first sleep of a call early, once.
///
/// A signal that comes between the last look at signals and the sleep in the kernel interrupts nothing: its
/// handler has only left a note for Python. That is no rare moment, since a call spins and gives way before
/// it sleeps, to a peer who may just then send the signal. So a sleep after anything has moved is short, and
/// signals are looked at after it; then nothing has moved and nobody is in a hurry: the next one is long, and
/// begins at once.
pub struct Sleep {
    short: bool,
    /// When signals were looked at last: something may move again and again, so that there is no sleep.
    heard: Instant,
}

impl Sleep {
    pub fn new() -> Sleep {
        Sleep { short: true, heard: Instant::now() }
    }

    /// Waits, at most to `deadline`. Needs no GIL.
    pub fn wait(&self, core: &Core, interest: Interest, deadline: Option<Instant>) -> Result<Woken, Error> {
        let until = self.until(deadline);
        if self.short { core.wait(interest, until) } else { core.wait_on(interest, until) }
    }

    /// The same for a poller.
    pub fn wait_for_any(
        &self,
        core: &mut Poller,
        raws: &[Raw],
        deadline: Option<Instant>,
    ) -> Result<Woken, Error> {
        let until = self.until(deadline);
        if self.short { core.wait(raws, until) } else { core.wait_on(raws, until) }
    }

    /// When to wake at the latest, of a call that may last until `deadline`.
    fn until(&self, deadline: Option<Instant>) -> Option<Instant> {
        if !self.short {
            return deadline;
        }
        let soon = Instant::now() + SIGNAL_WAITS;
        Some(deadline.map_or(soon, |at| at.min(soon)))
    }

    /// Runs the handlers of signals that may have come, and logs what there is to log. Raises what they raise.
    pub fn woke(&mut self, py: Python<'_>, woken: Woken) -> PyResult<()> {
        self.short = woken != Woken::TimedOut;
        log::tell(py)?;
        if woken == Woken::Look && self.heard.elapsed() < SIGNAL_WAITS {
            return Ok(());
        }
        self.heard = Instant::now();
        py.check_signals()
    }
}

/// Why a call ended without what it wanted.
pub enum Stop {
    /// The socket said so.
    Refused(Error),
    /// A signal handler raised.
    Raised(PyErr),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Refused(error)
    }
}

impl Stop {
    #[cold]
    pub fn raise(self, py: Python<'_>) -> PyErr {
        match self {
            Stop::Refused(error) => raise(py, &error),
            Stop::Raised(error) => error,
        }
    }
}

/// Repeats `attempt` until it does not say Again, waiting in between as `flags` and the time-out allow. It is told
/// whether it may be patient, that is refuse what could be done but had better wait a moment.
#[inline(always)]
pub fn until_done<T>(
    py: Python<'_>,
    core: &Arc<Core>,
    interest: Interest,
    flags: i64,
    mut attempt: impl FnMut(&Core, bool) -> Result<T, Error>,
) -> PyResult<T> {
    let patient = flags & DONTWAIT == 0;
    match attempt(core, patient) {
        Ok(done) => Ok(done),
        Err(Error::Again) if patient => {
            wait_for(py, core, interest, None, &mut attempt).map_err(|stop| stop.raise(py))
        }
        Err(error) => Err(raise(py, &error)),
    }
}

/// The slow half of `until_done`. `timeout` in milliseconds (negative for ever) stands in for the
/// socket's SNDTIMEO or RCVTIMEO. Once it is over, one attempt is made that may not be patient.
#[cold]
#[inline(never)]
pub fn wait_for<T>(
    py: Python<'_>,
    core: &Arc<Core>,
    interest: Interest,
    timeout: Option<i64>,
    attempt: &mut dyn FnMut(&Core, bool) -> Result<T, Error>,
) -> Result<T, Stop> {
    // Another thread may close the Python socket while the GIL is released.
    let core = core.clone();
    let sends = matches!(interest, Interest::Send | Interest::Memory);
    let option = if sends { SNDTIMEO } else { RCVTIMEO };
    let mut deadline = None;
    let mut timed = false;
    let mut sleep = Sleep::new();
    // Something may move again and again that is nothing for this call: the next look is then one that knows
    // its deadline, hears signals, and lets other threads run.
    let mut vain = false;
    loop {
        vain = !vain && core.spin_briefly(interest, SPIN_WITH_GIL);
        if !vain {
            if !timed {
                let timeout = timeout.map_or_else(|| core.option(option), Ok)?;
                deadline = Options::timeout(timeout).map(|timeout| Instant::now() + timeout);
                timed = true;
            }
            let woken = py.detach(|| sleep.wait(&core, interest, deadline))?;
            sleep.woke(py, woken).map_err(Stop::Raised)?;
        }
        let over = deadline.is_some_and(|at| Instant::now() >= at);
        match attempt(&core, !over) {
            Ok(done) => return Ok(done),
            Err(Error::Again) if !over => {}
            Err(error) => return Err(error.into()),
        }
    }
}
