//! What is known of the connection that a message came over: its properties as libzmq names them.
//!
//! One per connection, shared with the frames that Python asked for without a copy. A connection inside
//! the process has none (libzmq's rule, kept).

use crate::pipe::Peer;

#[derive(Debug)]
pub struct Origin {
    /// From the peer's READY, in its order; then what we know ourselves.
    properties: Vec<(Vec<u8>, Vec<u8>)>,
    /// The connection's file descriptor, as a number: it may be closed by now.
    pub fd: i32,
}

impl Origin {
    pub fn new<'a>(said: impl Iterator<Item = (&'a [u8], &'a [u8])>, peer: Peer, fd: i32) -> Origin {
        // The form that libzmq gives a UNIX peer: host, uid, gid, pid.
        Origin::over_tcp(said, &format!("localhost:{}:{}:{}", peer.uid, peer.gid, peer.pid), fd)
    }

    /// `address`: the peer's, in numbers.
    pub fn over_tcp<'a>(said: impl Iterator<Item = (&'a [u8], &'a [u8])>, address: &str, fd: i32) -> Origin {
        let hidden = crate::handshake::PROPERTY.as_bytes();
        let said = said.filter(|(name, _)| *name != hidden);
        let mut properties: Vec<_> = said.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        properties.push((b"Peer-Address".to_vec(), address.as_bytes().to_vec()));
        Origin { properties, fd }
    }

    /// Names are compared case by case, as libzmq does here.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..])
    }
}
