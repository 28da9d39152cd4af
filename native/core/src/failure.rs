//! A failure: why a connection ends, for the log in words and for a monitor as an event.
//!
//! Who counts it, and what the session does next, is the session's business.

use rustix::io::Errno;
use shmzmq_zmtp::ProtocolError;

/// RFC 27's statuses: a temporary error, no authentication, an error inside whoever decides.
const NOT_NOW: u32 = 300;
pub const DENIED: u32 = 400;
pub const NO_DECISION: u32 = 500;

/// What a monitor is told of the end of a connection, before or beside DISCONNECTED.
#[derive(Clone, Copy)]
pub enum Tell {
    /// Nothing at all, not even DISCONNECTED: the socket ends it.
    Nothing,
    /// DISCONNECTED alone, also if the handshake was not over.
    Disconnected,
    /// In a handshake HANDSHAKE_FAILED_NO_DETAIL with this errno.
    Errno(i32),
    /// In a handshake HANDSHAKE_FAILED_PROTOCOL with this number of libzmq's.
    Protocol(u32),
    /// In a handshake HANDSHAKE_FAILED_AUTH with this status.
    Auth(u32),
}

/// A reason to end a connection; the text says whose and what, and is empty if nobody is to blame.
pub struct Failure {
    pub reason: String,
    pub tell: Tell,
    /// The peer lives and did nothing wrong: none of its messages may be lost, or come twice over the next connection.
    pub blameless: bool,
}

impl<T: std::fmt::Display> From<T> for Failure {
    #[cold]
    #[inline(never)]
    fn from(error: T) -> Self {
        Failure { reason: error.to_string(), tell: Tell::Errno(libc::EPROTO), blameless: false }
    }
}

impl Failure {
    /// The peer left: EPIPE at the end of what it sent, ECONNRESET if it had not read all.
    pub fn gone(errno: Errno) -> Failure {
        Failure { reason: String::new(), tell: Tell::Errno(errno.raw_os_error()), blameless: false }
    }

    /// We lack something that the connection needs: an fd, memory.
    #[cold]
    pub fn ours(reason: String) -> Failure {
        Failure { blameless: true, ..reason.into() }
    }

    /// A connecter lacks something and asked us to end it.
    pub fn halted() -> Failure {
        Failure { blameless: true, ..Failure::gone(Errno::PIPE) }
    }

    /// Everything is done: the socket's own end, of which nobody is told.
    pub fn finished() -> Failure {
        Failure { reason: String::new(), tell: Tell::Nothing, blameless: false }
    }

    /// What we had to say cannot be said; nobody is to blame if the peer has left.
    #[cold]
    pub fn send(errno: Errno) -> Failure {
        if let Errno::PIPE | Errno::CONNRESET = errno {
            return Failure::gone(errno);
        }
        Failure { reason: errno.to_string(), tell: Tell::Errno(errno.raw_os_error()), blameless: false }
    }

    /// READY with metadata that does not fit ends the connection without another event, as in libzmq.
    #[cold]
    pub fn protocol(error: ProtocolError) -> Failure {
        let tell = match error.code() {
            Some(INVALID_METADATA) => Tell::Disconnected,
            Some(code) => Tell::Protocol(code),
            None => Tell::Errno(libc::EPROTO),
        };
        Failure { reason: error.to_string(), tell, blameless: false }
    }

    /// The peer said ERROR in the handshake. A status of ZAP (RFC 27) is told as one, as in libzmq.
    #[cold]
    pub fn refused(text: &str) -> Failure {
        let tell = match text {
            "300" => Tell::Auth(NOT_NOW),
            "400" => Tell::Auth(DENIED),
            "500" => Tell::Auth(NO_DECISION),
            _ => Tell::Disconnected,
        };
        Failure { reason: format!("peer refuses: {text}"), tell, blameless: false }
    }

    /// The peer speaks ZMTP, but there is no ring for it.
    pub fn no_rings(reason: &str) -> Failure {
        Failure { reason: reason.to_owned(), tell: Tell::Errno(libc::EPROTONOSUPPORT), blameless: false }
    }
}

/// libzmq's PROTOCOL_ERROR_ZMTP_INVALID_METADATA.
const INVALID_METADATA: u32 = 0x1000_0018;
