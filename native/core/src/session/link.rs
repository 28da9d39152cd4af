//! One connection of a session, and how far it is. What is done with it is its neighbours' business.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use shmzmq_shm::fork::Fd;
use shmzmq_shm::segment::{MappedRing, PipeSegment};
use shmzmq_zmtp::{Inbound, Ready};

use super::COMMAND_BYTES;
use super::luxury::PEERS;
use crate::channel::Channel;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::handshake::Terms;
use crate::loan::View;
use crate::pipe::Peer;
use crate::signaler::PeerSignaler;

pub(super) enum Phase {
    /// Connecter over tcp: the kernel is at it.
    Dialing,
    /// Greeting and READY are awaited.
    Hello,
    /// Binder: OFFER is out, ACCEPT is awaited.
    Offered { segment: PipeSegment, spare: Vec<Fd> },
    /// Connecter: OFFER is awaited.
    Wanting,
    /// Over rings.
    Live,
    /// ZMTP traffic over the connection itself.
    Streaming(Box<Engine>),
}

/// One connection.
pub(super) struct Link {
    pub(super) channel: Arc<Channel>,
    pub(super) greeted: bool,
    pub(super) inbound: Inbound,
    pub(super) fds: VecDeque<OwnedFd>,
    /// Some were dropped, because our fd table was full.
    pub(super) lost_fds: bool,
    pub(super) phase: Phase,
    pub(super) peer: Peer,
    pub(super) terms: Option<Terms>,
    /// Binder: rings that the connecter went on in before its ACCEPT left.
    pub(super) early_rings: Vec<(u32, MappedRing)>,
    pub(super) early_segments: Vec<(u32, View)>,
    /// Connecter: why it has to end. The binder was asked to (HALT), and hands out nothing more once it says BYE.
    pub(super) leaving: Option<Failure>,
    /// Its last holder at the other side let go of it, or died.
    pub(super) ended: bool,
    pub(super) routing_id: Vec<u8>,
    /// Commands that mean nothing to us, while this is no stream.
    pub(super) unknown: u32,
    /// What the peer said of itself.
    pub(super) ready: Option<Ready>,
    /// The peer's minor version.
    pub(super) minor: u8,
    /// Why this side wants no rings; at a connecter also why it cannot have those that the peer wants.
    pub(super) unwanted: Option<String>,
    pub(super) pidfd: Option<Fd>,
    pub(super) signaler: Option<Arc<PeerSignaler>>,
    /// In PEERS.
    pub(super) counted: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.counted {
            PEERS.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Link {
    /// Before a read: what was kept free for the fds of an ACCEPT is free now. False: there is nothing to read, and
    /// it is kept on.
    pub(super) fn frees_spare(&mut self) -> bool {
        match &mut self.phase {
            Phase::Offered { spare, .. } if !spare.is_empty() => {
                let comes = self.channel.has_input();
                if comes {
                    spare.clear();
                }
                comes
            }
            _ => true,
        }
    }

    /// Our fd table had no room for what came. Who awaits an offer of rings can do without it; what is sent later is
    /// needed.
    pub(super) fn lose_fds(&mut self) -> Result<(), Failure> {
        if !matches!(self.phase, Phase::Hello | Phase::Wanting) {
            return Err(Failure::ours(format!("cannot receive: {}", Errno::MFILE)));
        }
        self.fds.clear();
        self.lost_fds = true;
        Ok(())
    }

    pub(super) fn new(fd: OwnedFd, phase: Phase) -> Link {
        Link {
            channel: Arc::new(Channel::new(fd)),
            greeted: false,
            inbound: Inbound::new(COMMAND_BYTES),
            fds: VecDeque::new(),
            lost_fds: false,
            phase,
            peer: Peer::default(),
            terms: None,
            early_rings: Vec::new(),
            early_segments: Vec::new(),
            leaving: None,
            ended: false,
            routing_id: Vec::new(),
            unknown: 0,
            ready: None,
            minor: 0,
            unwanted: None,
            pidfd: None,
            signaler: None,
            counted: false,
        }
    }
}
