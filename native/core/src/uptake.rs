//! Uptake: how far the other side's kernel has taken what was sent on a connection. It knows the kernel's counts
//! of one tcp socket; what they mean for a connection is engine.rs'.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// `struct tcp_info` of linux/tcp.h (6.1), which the C library knows the beginning of: where the two counts lie.
/// The kernel only ever appends (bytes_acked: since 4.1).
const LAST_ACK_RECV: usize = 56;
const BYTES_ACKED: usize = 120;
const INFO_BYTES: usize = BYTES_ACKED + 8;

/// One look.
pub struct Uptake {
    /// Bytes acknowledged since the connection began.
    pub acked: u64,
    /// Time since anything was acknowledged.
    pub since: Duration,
}

impl Uptake {
    /// None if it is no tcp connection, or the kernel does not count.
    pub fn look(fd: BorrowedFd<'_>) -> Option<Uptake> {
        let mut info = [0u8; INFO_BYTES];
        let mut len = INFO_BYTES as libc::socklen_t;
        // SAFETY: `info` and `len` are valid for writing, and `len` is the size of `info`.
        let done = unsafe {
            libc::getsockopt(
                fd.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &mut len,
            )
        };
        if done != 0 || (len as usize) < INFO_BYTES {
            return None;
        }
        let (acked, since) = (info[BYTES_ACKED..].first_chunk()?, info[LAST_ACK_RECV..].first_chunk()?);
        let since = Duration::from_millis(u64::from(u32::from_ne_bytes(*since)));
        Some(Uptake { acked: u64::from_ne_bytes(*acked), since })
    }
}

/// Bytes that the kernel holds and the other side's has not acknowledged (tcp(7) SIOCOUTQ).
pub fn unacked(fd: BorrowedFd<'_>) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int, to `bytes`.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, std::ptr::from_mut(&mut bytes)) };
    (done == 0).then(|| u64::try_from(bytes).unwrap_or_default())
}
