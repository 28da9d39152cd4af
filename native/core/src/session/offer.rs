//! OFFER and ACCEPT: the binder makes the rings and the connecter maps them, or says why not.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use shmzmq_shm::fork::Fd;
use shmzmq_shm::segment::{PipeSegment, SegmentError};

use super::link::Phase;
use super::luxury::keeps_bells;
use super::{Session, Step};
use crate::failure::Failure;
use crate::handshake::{self, Facts};
use crate::options::Options;
use crate::reactor::Io;
use crate::signaler::PeerSignaler;

/// A number in our fd table for an fd that an ACCEPT brings: the connecter is on its rings by then.
fn spare(fd: &OwnedFd) -> Result<Fd, SegmentError> {
    rustix::io::fcntl_dupfd_cloexec(fd, 0)
        .map(Fd::from)
        .map_err(|errno| SegmentError::System { call: "fcntl(F_DUPFD)", errno })
}

impl Session {
    /// Binder: makes the segment and answers READY and OFFER in one.
    pub(super) fn offer(&mut self, io: &mut Io, slot: usize, options: &Options) -> Step<()> {
        let link = self.link.as_mut().ok_or("no connection")?;
        let wanted = link.terms.map_or(0, |terms| terms.ring_bytes as i64).max(options.ring_bytes);
        let ring_bytes = (wanted.max(4096) as usize).next_power_of_two().min(1 << 30);
        let mut bytes = handshake::ready(self.socket.kind, options, true);
        let wants_bell = keeps_bells();
        let made = PipeSegment::create(ring_bytes).and_then(|(fd, segment)| {
            let spare = (0..1 + u8::from(wants_bell)).map(|_| spare(&fd)).collect::<Result<Vec<Fd>, _>>()?;
            Ok((fd, segment, spare))
        });
        let (fd, segment, spare) = match made {
            Ok(made) => made,
            Err(error) => {
                link.channel.send(bytes, &[]).map_err(Failure::send)?;
                return self.refuse_rings(io, &format!("no memory for rings: {error}"));
            }
        };
        bytes.extend(handshake::offer(ring_bytes, slot, wants_bell));
        let signaler = &self.socket.signaler;
        let fds = [fd.as_fd(), signaler.page_fd(), signaler.event_fd()];
        link.channel.send(bytes, &fds).map_err(Failure::send)?;
        link.phase = Phase::Offered { segment, spare };
        Ok(())
    }

    /// Connecter: maps what is offered, answers ACCEPT, and is connected.
    pub(super) fn on_offer(&mut self, io: &mut Io, facts: &Facts) -> Step<()> {
        let options = self.options();
        let link = self.link.as_mut().ok_or("no connection")?;
        let fds = (link.fds.pop_front(), link.fds.pop_front(), link.fds.pop_front());
        if let Some(why) = link.unwanted.clone() {
            return self.refuse_rings(io, &why);
        }
        let (fd, page, event) = match fds {
            (Some(fd), Some(page), Some(event)) => (fd, page, event),
            // A relay between us passes bytes on and nothing else.
            _ if !link.lost_fds => return self.refuse_rings(io, "fds were lost on the way"),
            _ => return self.refuse_rings(io, &format!("cannot map rings: recvmsg: {}", Errno::MFILE)),
        };
        let ring_bytes = facts.number("ring").ok_or("peer's OFFER names no ring size")?;
        let theirs = facts.number("slot").ok_or("peer's OFFER names no slot")? as u32;
        let event = keeps_bells().then_some(event);
        let channel = link.channel.clone();
        let mapped = PipeSegment::attach(fd.as_fd(), ring_bytes).and_then(|segment| {
            Ok((segment, PeerSignaler::new(page.as_fd(), event, theirs, channel.clone())?))
        });
        let (segment, signaler) = match mapped {
            Ok(mapped) => mapped,
            Err(SegmentError::System { call, errno }) => {
                return self.refuse_rings(io, &format!("cannot map rings: {call}: {errno}"));
            }
            Err(error) => return Err(error.into()),
        };
        let accept = handshake::accept(self.take_slot()?, true);
        let wants_bell = facts.number("bell") == Some(1);
        let ours = self.socket.signaler.clone();
        let fds = [ours.page_fd(), ours.event_fd()];
        let fds = &fds[..if wants_bell { 2 } else { 1 }];
        if !self.socket.subscribes() {
            channel.send(accept, fds).map_err(Failure::send)?;
            return self.join(io, &segment, Arc::new(signaler), &options);
        }
        // First the subscriptions go into the ring, then ACCEPT leaves: whoever counts us as a peer finds
        // them there (docs/design/decisions/0007).
        let joined = self.join(io, &segment, Arc::new(signaler), &options);
        channel.send(accept, fds).map_err(Failure::send)?;
        joined
    }

    /// Binder: the connecter has everything.
    pub(super) fn on_accept(&mut self, io: &mut Io, facts: &Facts) -> Step<()> {
        let options = self.options();
        let link = self.link.as_mut().ok_or("no connection")?;
        let page = link.fds.pop_front().ok_or("peer's ACCEPT lacks its ready page")?;
        let event = link.fds.pop_front();
        let theirs = facts.number("slot").ok_or("peer's ACCEPT names no slot")? as u32;
        let event = event.filter(|_| keeps_bells());
        let signaler = PeerSignaler::new(page.as_fd(), event, theirs, link.channel.clone())?;
        let Phase::Offered { segment, .. } = std::mem::replace(&mut link.phase, Phase::Live) else {
            return Err("no OFFER is out".into());
        };
        self.join(io, &segment, Arc::new(signaler), &options)
    }
}
