//! What can go wrong in a call, as codes; exceptions are born in Python.

/// The failure of one call on a socket or context. Nothing was sent, received or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("would block")]
    Again,
    #[error("not supported by this socket type")]
    NotSupported,
    #[error("not possible in the socket's current state")]
    Fsm,
    #[error("no route to that routing id")]
    HostUnreachable,
    #[error("{0}")]
    Invalid(String),
    #[error("socket is closed")]
    NotSocket,
    #[error("context was terminated")]
    Terminated,
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    AddressInUse(String),
    #[error("out of memory: {0}")]
    NoMemory(String),
    #[error("too many sockets: MAX_SOCKETS is {0}")]
    TooManySockets(i32),
    /// The sink had no room (the caller's own error is pending); the frame is still there.
    #[error("no room for the received frame")]
    NoRoom,
    /// Made by process `0`, used by another one.
    #[error("made by process {0}")]
    Forked(u32),
    #[error("{call} failed: {errno}")]
    System { call: &'static str, errno: i32 },
}

const EFSM: i32 = 156_384_763;
const ETERM: i32 = 156_384_765;

impl Error {
    /// The errno that pyzmq reports for it.
    pub fn errno(&self) -> i32 {
        match self {
            Error::Again => libc::EAGAIN,
            Error::NotSupported => libc::ENOTSUP,
            Error::Fsm => EFSM,
            Error::HostUnreachable => libc::EHOSTUNREACH,
            Error::Invalid(_) => libc::EINVAL,
            Error::NotSocket | Error::Forked(_) => libc::ENOTSOCK,
            Error::Terminated => ETERM,
            Error::NotFound(_) => libc::ENOENT,
            Error::AddressInUse(_) => libc::EADDRINUSE,
            Error::NoMemory(_) | Error::NoRoom => libc::ENOMEM,
            Error::TooManySockets(_) => libc::EMFILE,
            Error::System { errno, .. } => *errno,
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;
