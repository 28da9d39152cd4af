//! Counters: what a process shows of its sockets to whoever looks from outside.
//!
//! **Theory of operation.** A process with at least one context in use has one named file (file.rs) and one thread,
//! which sleeps on a word of that file. Whoever looks writes another number there and wakes it; the thread takes a
//! snapshot (snapshot.rs) of the plain counters that the sockets have anyway, and writes it into the file.
//! So nothing is counted twice, nothing is copied while nobody looks, and an idle process stays asleep. The thread
//! needs no GIL: a program that computes for a minute answers all the same; one that is stopped does not.
//!
//! **Who owns what.** The first socket of a context begins (`begin`), the end of the context ends (`end`). The
//! thread makes the file, not the caller, and removes it when it comes to its end. The kernel's lock on the file
//! says that the owner lives (K-1). A forked child has neither thread nor file; its first socket makes its own.
//!
//! **No file, no failure.** Whatever prevents it is one line of the log in the life of a process.

mod endpoints;
mod file;
mod gate;
pub mod snapshot;
mod text;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use shmzmq_shm::fork::Global;

use crate::context::{Context, all_contexts, log};
use crate::reactor::with_signals_blocked;
use file::File;
use gate::Gate;
use snapshot::Facts;

pub use endpoints::Endpoints;
pub use file::wake;

/// Between two answers; a crowd of lookers shares them. The end of the last context may wait so long.
const PAUSE: Duration = Duration::from_millis(2);
/// From the first socket to the file: whatever the program is about, its first message is more urgent. A context
/// that is over before has cost a thread and nothing else.
const DELAY: Duration = Duration::from_millis(20);
/// The thread keeps little on its stack.
const STACK: usize = 128 * 1024;

static GATE: Gate = Gate::new();
static KEEPER: Global<Keeper> = Global::new();
/// The one line was written.
static SAID: AtomicBool = AtomicBool::new(false);

#[derive(Default)]
struct Keeper {
    /// Contexts in use.
    users: usize,
    /// The process ends: nothing begins any more.
    closed: bool,
    thread: Option<(Arc<Shared>, JoinHandle<()>)>,
}

/// Between the thread and who ends it.
#[derive(Default)]
struct Shared {
    stopped: Mutex<(bool, Option<Arc<File>>)>,
    early: Condvar,
}

impl Shared {
    /// False: the thread sleeps on and cannot be woken.
    fn stop(&self) -> bool {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.0 = true;
        self.early.notify_one();
        stopped.1.as_ref().is_none_or(|file| file.ring())
    }

    /// True: it was stopped before there is a file.
    fn is_stopped_within(&self, delay: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        match self.early.wait_timeout_while(stopped, delay, |stopped| !stopped.0) {
            Ok((stopped, _)) => stopped.0,
            Err(poisoned) => poisoned.into_inner().0.0,
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn set_file(&self, file: Option<Arc<File>>) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).1 = file;
    }
}

fn say(reason: &str) {
    if !SAID.swap(true, Ordering::Relaxed) {
        log("counters off", reason.to_owned());
    }
}

/// A context has its first socket. What prevented the file before may be over: each of them tries again.
pub fn begin() {
    let mut keeper = KEEPER.lock();
    keeper.users += 1;
    let runs = keeper.thread.as_ref().is_some_and(|(_, handle)| !handle.is_finished());
    if runs || keeper.closed || std::env::var_os("SHMZMQ_COUNTERS").is_some_and(|set| set == "0") {
        return;
    }
    let shared = Arc::new(Shared::default());
    let its = shared.clone();
    let builder = std::thread::Builder::new().name("shmzmq-counters".to_owned()).stack_size(STACK);
    match with_signals_blocked(|| builder.spawn(move || run(&its))) {
        Ok(handle) => keeper.thread = Some((shared, handle)),
        Err(error) => say(&format!("pthread_create: {error}")),
    }
}

/// That context is over.
pub fn end() {
    let thread = {
        let mut keeper = KEEPER.lock();
        keeper.users = keeper.users.saturating_sub(1);
        if keeper.users == 0 { keeper.thread.take() } else { None }
    };
    stop(thread);
}

/// The process is over: removes the file whatever contexts there are.
pub fn close() {
    let thread = {
        let mut keeper = KEEPER.lock();
        keeper.closed = true;
        keeper.thread.take()
    };
    stop(thread);
}

fn stop(thread: Option<(Arc<Shared>, JoinHandle<()>)>) {
    if let Some((shared, handle)) = thread
        && shared.stop()
    {
        let _ = handle.join();
    }
}

fn run(shared: &Shared) {
    if shared.is_stopped_within(DELAY) {
        return;
    }
    let made = GATE.inside(|| {
        let made = File::make();
        shared.set_file(made.as_ref().ok().cloned());
        made.map(|file| (file, Facts::gather()))
    });
    match made {
        Ok((file, facts)) => {
            answer(shared, &file, &facts);
            GATE.inside(|| {
                shared.set_file(None);
                drop(file);
            });
        }
        Err(reason) => say(&reason),
    }
}

/// Answers who looks, until it is stopped or the file is no more what it was.
fn answer(shared: &Shared, file: &File, facts: &Facts) {
    let mut answered = 0;
    let mut sequence = 0;
    // Asked before each sleep: who stops us before there is a file has nothing to ring, and who does so after this
    // look changes the word that we sleep on.
    while !shared.is_stopped() {
        if file.wait(answered).is_err() {
            return;
        }
        let Ok(asked) = file.asked() else { return };
        if asked == answered || shared.is_stopped() {
            continue;
        }
        if GATE.inside(|| show(file, facts, asked, sequence)).is_err() {
            return;
        }
        answered = asked;
        sequence += 2;
        std::thread::sleep(PAUSE);
    }
}

fn show(file: &File, facts: &Facts, asked: u32, sequence: u64) -> Result<(), rustix::io::Errno> {
    let contexts: Vec<_> = all_contexts().into_iter().filter(|context| context.is_shown()).collect();
    let mut text = snapshot::of_process(facts, &contexts, file::TEXT_MOST);
    let room = file.room(text.len())?;
    if room < text.len() {
        text = snapshot::of_process(facts, &contexts, room);
    }
    // A room for not even the sockets is no room: what was there stays.
    if text.len() > room { Ok(()) } else { file.show(asked, sequence, &text) }
}

pub fn before_fork() {
    GATE.before_fork();
}

pub fn after_fork_in_parent() {
    GATE.after_fork_in_parent();
}

pub fn after_fork_in_child() {
    GATE.after_fork_in_child();
    // The thread that it would join is not there.
    std::mem::forget(KEEPER.renew());
}

/// What `Context.stats` shows, as text.
pub fn of_context(context: &Arc<Context>) -> Vec<u8> {
    snapshot::of_context(context)
}
