//! Hello: greeting and READY, either way, and what follows from the peer's. It decides between rings and a stream;
//! how each begins is its neighbours' business.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use shmzmq_zmtp::Ready;

use super::link::{Link, Phase};
use super::{Session, Step};
use crate::dial::tune;
use crate::failure::Failure;
use crate::handshake::{self, Terms};
use crate::monitor;
use crate::options::{self, Options};
use crate::pipe::Peer;
use crate::reactor::Io;
use crate::socket::Socket;

impl Session {
    /// The connection is there: watches it and says hello.
    pub(super) fn open(&mut self, io: &mut Io) -> Step<()> {
        let options = self.options();
        let raw = self.socket.is_raw();
        if options.handshake_ivl > 0 && !raw {
            let by = Instant::now() + Duration::from_millis(options.handshake_ivl as u64);
            self.handshake_by = Some(by);
            io.call_at(by, self.token);
        }
        self.step_in(io);
        let connecter = self.address.is_some();
        if let (true, Some(fd)) = (connecter, self.link_fd()) {
            self.tell(monitor::CONNECTED, fd);
        }
        let tcp = self.tcp;
        let link = self.link.as_mut().ok_or("no connection")?;
        if tcp && !connecter {
            tune(link.channel.fd(), &options, false).map_err(Failure::send)?;
        }
        io.watch(link.channel.fd(), self.token)?;
        link.hello(connecter, tcp, &self.socket, &options)?;
        if raw { self.join_stream(io, "") } else { Ok(()) }
    }

    /// Accepted: stands in the door until its handshake is over.
    fn step_in(&mut self, io: &mut Io) {
        let (Some(door), Some(link)) = (self.door.take(), &self.link) else { return };
        let (place, go) = door.enter(link.channel.fd(), self.token);
        self.place = Some(place);
        io.evict(go);
    }

    pub(super) fn on_ready_command(&mut self, io: &mut Io, body: &[u8]) -> Step<()> {
        let ready = Ready::parse(body).map_err(Failure::protocol)?;
        let link = self.link.as_mut().ok_or("no connection")?;
        if let Err(error) = ready.check_peer_of(self.socket.kind) {
            let mut bytes = Vec::new();
            shmzmq_zmtp::encode_error("Invalid socket type", &mut bytes);
            link.channel.send(bytes, &[])?;
            return Err(Failure::protocol(error));
        }
        link.routing_id = ready.identity.clone();
        if self.tcp {
            link.ready = Some(ready);
            return self.join_stream(io, "");
        }
        let theirs = ready.properties.get(handshake::PROPERTY);
        let asked = theirs.is_some();
        let terms = match &link.unwanted {
            Some(why) => Err(why.clone()),
            None => handshake::terms(theirs),
        };
        link.ready = Some(ready);
        match terms {
            Ok(terms) => self.on_terms(io, terms),
            Err(why) => self.do_without(io, asked, &why),
        }
    }

    /// There can be rings, as far as what was said goes.
    fn on_terms(&mut self, io: &mut Io, terms: Terms) -> Step<()> {
        let link = self.link.as_mut().ok_or("no connection")?;
        link.terms = Some(terms);
        if self.address.is_some() {
            link.phase = Phase::Wanting;
            return Ok(());
        }
        let slot = self.take_slot()?;
        self.offer(io, slot, &self.options())
    }

    /// There are no rings; `asked`: the peer wants some, and to know why.
    fn do_without(&mut self, io: &mut Io, asked: bool, why: &str) -> Step<()> {
        let options = self.options();
        let link = self.link.as_mut().ok_or("no connection")?;
        if self.address.is_some() && asked && link.unwanted.is_none() {
            // Both have asked, so an answer of the binder's follows, and it need not think as we do: an OFFER is
            // to be refused.
            link.unwanted = Some(why.to_owned());
            link.phase = Phase::Wanting;
            return Ok(());
        }
        if self.address.is_none() {
            let mut bytes = handshake::ready(self.socket.kind, &options, link.unwanted.is_none());
            if asked {
                bytes.extend(handshake::no(why));
            }
            link.channel.send(bytes, &[]).map_err(Failure::send)?;
        }
        self.join_stream(io, why)
    }

    /// The handshake is over: the connection is a peer's.
    pub(super) fn end_handshake(&mut self, io: &mut Io) {
        // A timer that is left wakes the thread for nothing when nobody else does.
        if let Some(by) = self.handshake_by.take() {
            io.forget(by, self.token);
        }
        self.attempts = 0;
        self.place = None;
    }

    /// The slot of the pipe. With IMMEDIATE, and of an accepted peer, it exists from now on and ends with the
    /// connection.
    pub(super) fn take_slot(&mut self) -> Step<usize> {
        let slot = match self.slot {
            Some(slot) => slot,
            None => self.socket.add_accepted(self.endpoint).ok_or("socket was closed")?,
        };
        self.slot = Some(slot);
        Ok(slot)
    }

    /// Says why there are no rings, and goes on without.
    pub(super) fn refuse_rings(&mut self, io: &mut Io, why: &str) -> Step<()> {
        let link = self.link.as_mut().ok_or("no connection")?;
        link.channel.send(handshake::no(why), &[]).map_err(Failure::send)?;
        self.join_stream(io, why)
    }
}

impl Link {
    /// Says the greeting, and READY with it where that depends on nothing; once.
    pub(super) fn hello(
        &mut self,
        connecter: bool,
        tcp: bool,
        socket: &Socket,
        options: &Options,
    ) -> Step<()> {
        if std::mem::replace(&mut self.greeted, true) {
            return Ok(());
        }
        if !tcp {
            self.check_credentials(options)?;
        }
        if socket.is_raw() {
            return Ok(());
        }
        let mut bytes = shmzmq_zmtp::greeting().to_vec();
        // A binder on an ipc path waits: its READY goes with its OFFER.
        if connecter || tcp {
            bytes.extend(handshake::ready(socket.kind, options, !tcp && self.unwanted.is_none()));
        }
        // Somebody may only have looked whether we are here, as a second `bind` of the path does.
        self.channel.send(bytes, &[]).map_err(Failure::send)
    }

    /// SO_PEERCRED (unix(7)): who connected, or who listens. Rings are for the same user.
    fn check_credentials(&mut self, options: &Options) -> Step<()> {
        self.peer = credentials(self.channel.fd())?;
        let (uid, ours) = (self.peer.uid, rustix::process::geteuid().as_raw());
        if uid != ours {
            self.unwanted = Some(format!("peer has uid {uid}, we have {ours}"));
        } else if options.ipc_mode == options::IPC_ZMTP {
            self.unwanted = Some("switched off by IPC_MODE".to_owned());
        }
        Ok(())
    }
}

/// Who is at the other end. Its pid is 0 if it lives in a pid namespace that we cannot see into; that is
/// why this is not rustix's call, which has no such pid.
fn credentials(fd: BorrowedFd<'_>) -> Result<Peer, Errno> {
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `found` and `len` are valid for writing, and `len` is the size of what `found` is.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut found).cast(),
            &mut len,
        )
    };
    if done == 0 { Ok(Peer { pid: found.pid, uid: found.uid, gid: found.gid }) } else { Err(Errno::INVAL) }
}
