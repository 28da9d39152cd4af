//! A proxy: moves whole messages between two sockets, both ways, until somebody ends it.
//!
//! Knows    when a side has a message and the other takes one; the commands of a control socket.
//! Refuses  to know what is in a message, and Python.
//!
//! A message is received only when the other side, and the capture socket if there is one, would take
//! it: what cannot go on stays where its sender's high-water marks count it. Each direction moves up to
//! [`BURST`] messages, then it is the other's turn. Nothing moves while the proxy is paused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shmzmq_shm::ring::Part;
use shmzmq_zmtp::SocketType;

use crate::context::{has_log, log};
use crate::error::{Error, Result};
use crate::message::{Frames, Payload, Sink};
use crate::poller::{IN, OUT, Poller, Ready};
use crate::socket::{Socket, Woken};

/// Messages of one direction before the other has its turn (libzmq's, zmq_proxy in 4.3.5).
const BURST: usize = 1000;
/// A busy proxy lets signal handlers run this often.
const BREATH: Duration = Duration::from_millis(50);
/// A message that a writable socket refused is tried again after this at the latest: the poller may take the mark
/// that says when.
const REFUSED: Duration = Duration::from_millis(10);

/// Why `run` came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Let the language run its signal handlers and log, then go on.
    Breath,
    /// The control socket said TERMINATE.
    Terminated,
}

/// What one side has received and sent, in frames and bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    received: (u64, u64),
    sent: (u64, u64),
}

/// A message between its two sockets.
struct Parcel {
    frames: Vec<Arc<Payload>>,
    parts: Vec<Part>,
    captured: bool,
}

// SAFETY: the parts point into the frames, which are owned, unchanging and may change threads.
unsafe impl Send for Parcel {}

impl Frames for Parcel {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn keep(&self, index: usize) -> Result<Payload> {
        Ok(Payload::Shared(self.frames[index].clone()))
    }
}

/// Takes one frame as it is, or makes room for it.
#[derive(Default)]
struct OneFrame {
    copied: Vec<u8>,
    len: usize,
    owned: Option<Payload>,
}

impl Sink for OneFrame {
    fn room(&mut self, len: usize, _more: bool) -> Option<*mut u8> {
        self.copied.try_reserve_exact(len).ok()?;
        self.len = len;
        Some(self.copied.as_mut_ptr())
    }

    fn borrows(&mut self, _len: usize) -> bool {
        true
    }

    fn owned(&mut self, payload: Payload, _more: bool) {
        self.owned = Some(payload);
    }
}

impl OneFrame {
    fn into_payload(mut self) -> Payload {
        if let Some(payload) = self.owned {
            return payload;
        }
        // SAFETY: `room` reserved that many bytes, and the receive that succeeded since wrote them all.
        unsafe { self.copied.set_len(self.len) };
        Payload::from(self.copied)
    }
}

impl Parcel {
    /// The next whole message; None if there is none now.
    fn receive(from: &Socket) -> Result<Option<Parcel>> {
        let mut frames = Vec::with_capacity(1);
        loop {
            let mut frame = OneFrame::default();
            match from.try_recv(&mut frame) {
                Ok(more) => {
                    frames.push(Arc::new(frame.into_payload()));
                    if !more {
                        break;
                    }
                }
                // A side that cannot receive, or not now, has nothing; the other direction goes on.
                Err(Error::Again | Error::NotSupported | Error::Fsm) if frames.is_empty() => {
                    return Ok(None);
                }
                Err(Error::NoRoom) => {
                    return Err(Error::NoMemory("a message on its way through a proxy".to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        let parts = frames.iter().map(|frame| frame.part()).collect();
        Ok(Some(Parcel { frames, parts, captured: false }))
    }

    fn size(&self) -> (u64, u64) {
        (self.parts.len() as u64, self.parts.iter().map(|part| part.len as u64).sum())
    }
}

/// Whom a direction waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stuck {
    /// Nobody: it had its burst.
    No,
    Source,
    Target,
    Capture,
}

/// Tokens in the poller; front and back are the sides' numbers too.
const FRONT: usize = 0;
const BACK: usize = 1;
const CAPTURE: usize = 2;
const CONTROL: usize = 3;

pub struct Proxy {
    sides: [Arc<Socket>; 2],
    capture: Option<Arc<Socket>>,
    control: Option<Arc<Socket>>,
    /// By the side it came from: received, and refused by the other side against its word.
    held: [Option<Parcel>; 2],
    traffic: [Traffic; 2],
    paused: bool,
    poller: Poller,
    /// What the poller watches each token for.
    watched: [i32; 4],
}

impl Proxy {
    pub fn new(
        front: Arc<Socket>,
        back: Arc<Socket>,
        capture: Option<Arc<Socket>>,
        control: Option<Arc<Socket>>,
    ) -> Proxy {
        let mut poller = Poller::default();
        let all = [Some(&front), Some(&back), capture.as_ref(), control.as_ref()];
        for (token, socket) in all.into_iter().enumerate() {
            if let Some(socket) = socket {
                poller.add(token, &Arc::downgrade(socket), 0);
            }
        }
        Proxy {
            sides: [front, back],
            capture,
            control,
            held: [None, None],
            traffic: Default::default(),
            paused: false,
            poller,
            watched: [0; 4],
        }
    }

    /// Moves messages until there is a reason to come back. Needs no GIL.
    pub fn run(&mut self) -> Result<Pause> {
        let breath = Instant::now() + BREATH;
        loop {
            if self.obey()? {
                return Ok(Pause::Terminated);
            }
            let stuck = self.move_both()?;
            if stuck.contains(&Stuck::No) {
                if Instant::now() >= breath {
                    return Ok(Pause::Breath);
                }
                continue;
            }
            if self.wait(stuck)? == Woken::Interrupted || has_log() {
                return Ok(Pause::Breath);
            }
        }
    }

    fn move_both(&mut self) -> Result<[Stuck; 2]> {
        if self.paused {
            return Ok([Stuck::Source; 2]);
        }
        let forth = self.forward(FRONT, BACK)?;
        // One socket on both sides: there is one direction.
        if Arc::ptr_eq(&self.sides[FRONT], &self.sides[BACK]) {
            return Ok([forth; 2]);
        }
        Ok([forth, self.forward(BACK, FRONT)?])
    }

    /// One direction's turn.
    fn forward(&mut self, from: usize, to: usize) -> Result<Stuck> {
        for _ in 0..BURST {
            if self.held[from].is_none() {
                if !self.sides[to].can_send()? {
                    return Ok(Stuck::Target);
                }
                if let Some(capture) = &self.capture
                    && !capture.can_send()?
                {
                    return Ok(Stuck::Capture);
                }
                let Some(parcel) = Parcel::receive(&self.sides[from])? else { return Ok(Stuck::Source) };
                let (frames, bytes) = parcel.size();
                self.traffic[from].received.0 += frames;
                self.traffic[from].received.1 += bytes;
                self.held[from] = Some(parcel);
            }
            let stuck = self.deliver(from, to)?;
            if stuck != Stuck::No {
                return Ok(stuck);
            }
        }
        Ok(Stuck::No)
    }

    /// Sends the held message to the capture socket and to the other side.
    fn deliver(&mut self, from: usize, to: usize) -> Result<Stuck> {
        let Some(parcel) = &mut self.held[from] else { return Ok(Stuck::No) };
        if let Some(capture) = &self.capture
            && !parcel.captured
        {
            match capture.try_send(parcel, false) {
                Ok(()) => parcel.captured = true,
                Err(Error::Again) => return Ok(Stuck::Capture),
                Err(error) => return Err(error),
            }
        }
        match self.sides[to].try_send(parcel, false) {
            Ok(()) => {}
            Err(Error::Again) => return Ok(Stuck::Target),
            Err(error) => return Err(error),
        }
        let (frames, bytes) = parcel.size();
        self.traffic[to].sent.0 += frames;
        self.traffic[to].sent.1 += bytes;
        self.held[from] = None;
        Ok(Stuck::No)
    }

    /// Waits for whatever both directions, and the control socket, wait for.
    fn wait(&mut self, stuck: [Stuck; 2]) -> Result<Woken> {
        let mut wanted = [0; 4];
        let mut refused = Vec::new();
        for (from, to) in [(FRONT, BACK), (BACK, FRONT)] {
            let target = match stuck[from] {
                _ if self.paused => continue,
                Stuck::No => continue,
                Stuck::Source => {
                    wanted[from] |= IN;
                    continue;
                }
                Stuck::Target => to,
                Stuck::Capture => CAPTURE,
            };
            if self.held[from].is_some() && self.says_it_takes(target)? {
                refused.push(target);
            } else {
                wanted[target] |= OUT;
            }
        }
        if Arc::ptr_eq(&self.sides[FRONT], &self.sides[BACK]) {
            wanted[BACK] = 0;
        }
        wanted[CONTROL] = IN;
        for (token, events) in wanted.into_iter().enumerate() {
            if std::mem::replace(&mut self.watched[token], events) != events {
                self.poller.modify(token, events);
            }
        }
        let mut ready: Vec<Ready> = Vec::new();
        self.poller.try_poll(&[], &mut ready)?;
        if !ready.is_empty() {
            return Ok(Woken::Look);
        }
        let mut deadline = None;
        for target in refused {
            if self.socket(target).is_some_and(|socket| !socket.sleep_output()) {
                return Ok(Woken::Look);
            }
            deadline = Some(Instant::now() + REFUSED);
        }
        self.poller.wait(&[], deadline)
    }

    fn socket(&self, token: usize) -> Option<&Arc<Socket>> {
        if token == CAPTURE { self.capture.as_ref() } else { self.sides.get(token) }
    }

    /// It refused the message at hand and yet is writable: POLLOUT of some types does not speak of the one peer,
    /// or of all those, that such a message is for.
    fn says_it_takes(&self, token: usize) -> Result<bool> {
        self.socket(token).map_or(Ok(false), |socket| socket.can_send())
    }

    /// Does what the control socket says. True: the end.
    fn obey(&mut self) -> Result<bool> {
        let Some(control) = self.control.clone() else { return Ok(false) };
        loop {
            let command = match Parcel::receive(&control) {
                Ok(Some(command)) => command,
                Ok(None) => return Ok(false),
                Err(error) => return Err(error),
            };
            let mut answer = vec![Payload::empty()];
            let mut answers = control.kind == SocketType::Rep;
            let mut ends = false;
            match command.frames[0].bytes() {
                b"PAUSE" => self.paused = true,
                b"RESUME" => self.paused = false,
                b"TERMINATE" => ends = true,
                b"STATISTICS" => {
                    answer = self.statistics();
                    answers = true;
                }
                other => {
                    let shown = String::from_utf8_lossy(&other[..other.len().min(40)]).into_owned();
                    log("proxy", format!("the control socket said {shown:?}, which is no command"));
                }
            }
            if answers {
                let frames: Vec<_> = answer.into_iter().map(Arc::new).collect();
                let parts = frames.iter().map(|frame| frame.part()).collect();
                // Who asked and does not read, or cannot be answered, goes without.
                let _ = control.try_send(&Parcel { frames, parts, captured: false }, false);
            }
            if ends {
                return Ok(true);
            }
        }
    }

    /// Eight numbers in the machine's byte order: frames and bytes that the front received, that it sent,
    /// and the same of the back (zmq_proxy_steerable(3)).
    fn statistics(&self) -> Vec<Payload> {
        let of = |side: &Traffic| [side.received.0, side.received.1, side.sent.0, side.sent.1];
        let numbers = self.traffic.iter().flat_map(of);
        numbers.map(|number| Payload::from(&number.to_ne_bytes()[..])).collect()
    }
}
