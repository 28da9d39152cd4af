//! The turn of reading: the engine reads a connection, or a program that waits for what comes over it.
//!
//! **Theory of operation.** A program that waits in `recv` again and again, on a socket that has this one connection
//! and no watcher, takes the turn: it sleeps on the connection as well as on its doorbell, and does by itself what
//! the engine would do. So a message crosses no other thread, and a large frame is read into the very object that
//! `recv` returns ([`Blank`]). The I/O thread hears no more of what comes; of the end of the connection it does.
//!
//! ```text
//!          take_turn: a program waits, and has just waited
//! engine ─────────────────────────────────────────────────────► caller
//!   ▲                                                              │ give_back:
//!   │    the program went away for a TICK, waits otherwise (a poller, the FD, a second peer), closes;
//!   └─── the connection ends, or what came is a mistake ───────────┘
//! ```
//!
//! Invariants
//! - S-7 One reads at a time: whoever holds the lock of the intake and has the turn, which is a word under that lock.
//!   Whoever gives the turn back lets the I/O thread hear again, which tells it of what is there; so nothing waits
//!   for a reader that is gone. A caller that has the turn and does not wait is looked after every `TICK`.
//!
//! What a caller finds that is the engine's business (a PING, a mistake, the end) it leaves in the intake, and wakes
//! the engine.

use std::time::Duration;

use super::intake::{Came, Intake};
use super::{Stream, mark};
use crate::failure::Failure;

/// A program that did not look for so long has left its turn.
pub const TICK: Duration = Duration::from_millis(10);
/// Reads in a row of a program that waits, and of one that only looks.
const ROUNDS: usize = 4;

#[derive(Default)]
pub struct Turn {
    /// It is the caller's.
    pub callers: bool,
    /// The caller sleeps until something comes.
    pub sleeps: bool,
    /// The engine looks every `TICK` whether the caller still reads.
    pub ticks: bool,
    /// How often the caller has read.
    pub reads: u64,
    /// For the engine to end the connection with.
    pub failure: Option<Failure>,
}

/// What a caller's read found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caught {
    /// Something was queued.
    Message,
    /// Nothing that is whole, and nothing is left.
    Nothing,
    /// Nothing that is whole yet.
    Part,
    /// It is not the caller's turn.
    NotOurs,
}

impl Stream {
    /// Caller: reads by itself from now on. False: the engine does.
    pub fn take_turn(&self) -> bool {
        // An engine that reads just now has something.
        let Some(mut intake) = self.intake.try_lock() else { return false };
        if intake.turn.callers {
            return true;
        }
        let Some(channel) = intake.lendable() else { return false };
        let signaler = {
            let input = self.input.lock();
            // Of what nobody reads while the program is busy, the first is not the newest.
            if input.conflates {
                return false;
            }
            input.reader.0.clone()
        };
        if signaler.listen(channel.fd()).is_err() {
            return false;
        }
        if self.session.hear(channel.fd(), false).is_err() {
            signaler.ignore(channel.fd());
            return false;
        }
        intake.turn.callers = true;
        intake.resume();
        self.have_ticks(&mut intake);
        true
    }

    /// Caller: whether it still reads by itself. An engine that has the lock took the turn, or looks only.
    pub fn has_turn(&self) -> bool {
        self.intake.try_lock().is_some_and(|intake| intake.turn.callers)
    }

    /// S-7: the engine reads again, beginning with what is there.
    pub fn give_back(&self, intake: &mut Intake) {
        if !std::mem::take(&mut intake.turn.callers) {
            return;
        }
        intake.turn.ticks = false;
        intake.forget_blank();
        let Some(channel) = intake.channel() else { return };
        let mut input = self.input.lock();
        input.forget_spare();
        let signaler = input.reader.0.clone();
        drop(input);
        signaler.ignore(channel.fd());
        // It is known there until its session has seen its end; then nothing is to be heard.
        let _ = self.session.hear(channel.fd(), true);
    }

    fn have_ticks(&self, intake: &mut Intake) {
        if !std::mem::replace(&mut intake.turn.ticks, true) {
            self.session.resume();
        }
    }

    /// Caller: reads what is there. A program that only looks reads little, and nothing of a large frame.
    pub fn read_here(&self, waits: bool) -> Caught {
        // Another thread reads. Whoever took that for the end would sleep through what it leaves.
        let Some(mut intake) = self.intake.try_lock() else { return Caught::Part };
        let intake = &mut *intake;
        if !intake.turn.callers {
            return Caught::NotOurs;
        }
        if !waits && intake.is_inside_large() {
            return Caught::Nothing;
        }
        intake.turn.reads += 1;
        let came = intake.read(self, if waits { ROUNDS } else { 1 }, false);
        let tells = came.is_err() || intake.signs.are_urgent();
        let found = match (&came, intake.take_pushed()) {
            (_, true) => Caught::Message,
            (Ok(Came::Some), false) => Caught::Part,
            _ => Caught::Nothing,
        };
        match came {
            Err(failure) => {
                intake.turn.failure = Some(failure);
                self.give_back(intake);
            }
            // The engine knows when to look again.
            Ok(Came::Short) => self.give_back(intake),
            Ok(_) => {}
        }
        if tells {
            self.session.resume();
        } else {
            self.have_ticks(intake);
        }
        found
    }

    /// Caller: the socket looks at this pipe again.
    pub fn mark_reader(&self) {
        let reader = self.input.lock().reader.clone();
        mark(&reader);
    }

    /// Caller: sleeps until something comes, or does no more.
    pub fn set_asleep(&self, sleeps: bool) {
        self.intake.lock().turn.sleeps = sleeps;
    }
}
