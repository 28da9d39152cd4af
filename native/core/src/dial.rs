//! Dialling: from an endpoint to a connection, or to the beginning of one. It knows addresses and the options of
//! a kernel's socket; when to try again is the session's.
//!
//! A host name is looked up anew for every attempt, in a thread of its own: getaddrinfo(3) may take as long as
//! it likes, and an I/O thread may not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType as OsSocketType, sockopt};

use crate::options::Options;
use crate::reactor::{Command, IoThread};

/// Where a connecter dials.
#[derive(Debug, Clone)]
pub enum Address {
    Path(PathBuf),
    Abstract(Vec<u8>),
    Tcp(Arc<TcpAddress>),
}

/// A peer across the network, and from where to dial.
#[derive(Debug)]
pub struct TcpAddress {
    pub host: String,
    pub port: u16,
    /// An address of this host to dial from; empty for any.
    pub source_host: String,
    pub source_port: u16,
    pub text: Arc<[u8]>,
}

/// How far a dial came.
pub enum Dialed {
    Up(OwnedFd),
    /// The kernel is at it: writable when it is decided.
    Begun(OwnedFd),
    /// A name is being looked up; `Command::Resolved` follows.
    Resolving,
}

/// Why it failed; with the number of the fd that was tried and closed, if there was one.
pub struct Undialed {
    pub fd: Option<i32>,
    pub errno: Errno,
}

impl From<Errno> for Undialed {
    fn from(errno: Errno) -> Undialed {
        Undialed { fd: None, errno }
    }
}

impl Address {
    /// The endpoint as LAST_ENDPOINT shows it.
    pub fn text(&self) -> Arc<[u8]> {
        match self {
            Address::Path(path) => [b"ipc://", path.as_os_str().as_bytes()].concat().into(),
            Address::Abstract(name) => [b"ipc://@", name.as_slice()].concat().into(),
            Address::Tcp(tcp) => tcp.text.clone(),
        }
    }

    pub fn is_tcp(&self) -> bool {
        matches!(self, Address::Tcp(_))
    }

    fn unix(&self) -> Result<SocketAddrUnix, Errno> {
        match self {
            Address::Path(path) => SocketAddrUnix::new(path.as_path()),
            Address::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
            Address::Tcp(_) => Err(Errno::INVAL),
        }
    }

    /// One attempt. Never waits.
    pub fn dial(&self, options: &Options, thread: &Arc<IoThread>, token: u64) -> Result<Dialed, Undialed> {
        let Address::Tcp(tcp) = self else { return dial_unix(&self.unix()?) };
        if let Some(to) = tcp.numeric() {
            return tcp.dial(to, options);
        }
        tcp.clone().resolve(options.ipv6 != 0, thread.clone(), token)?;
        Ok(Dialed::Resolving)
    }

    /// One attempt that needs no thread, from a thread of the program. A failure is found again later.
    pub fn dial_early(&self, options: &Options) -> Option<Dialed> {
        match self {
            Address::Tcp(tcp) => tcp.dial(tcp.numeric()?, options).ok(),
            _ => dial_unix(&self.unix().ok()?).ok(),
        }
    }

    /// The attempt at one of a name's addresses.
    pub fn dial_resolved(&self, to: SocketAddr, options: &Options) -> Result<Dialed, Undialed> {
        match self {
            Address::Tcp(tcp) => tcp.dial(to, options),
            _ => Err(Errno::INVAL.into()),
        }
    }
}

fn dial_unix(to: &SocketAddrUnix) -> Result<Dialed, Undialed> {
    let fd = new_socket(AddressFamily::UNIX)?;
    match rustix::net::connect(&fd, to) {
        Ok(()) => Ok(Dialed::Up(fd)),
        Err(errno) => Err(Undialed { fd: Some(fd.as_raw_fd()), errno }),
    }
}

fn new_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(family, OsSocketType::STREAM, flags, None)
}

impl TcpAddress {
    /// The address itself, if the host is one and no name.
    fn numeric(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }

    fn resolve(self: Arc<Self>, ipv6: bool, thread: Arc<IoThread>, token: u64) -> Result<(), Errno> {
        let look_up = move || {
            let found = (self.host.as_str(), self.port).to_socket_addrs();
            // As libzmq: IPv4 only, unless IPV6 is set; then what the system names first.
            let address = found.ok().and_then(|mut all| all.find(|address| ipv6 || address.is_ipv4()));
            thread.post(Command::Resolved { token, address });
        };
        let spawned = std::thread::Builder::new().name("shmzmq-resolve".to_owned()).spawn(look_up);
        spawned.map(drop).map_err(|_| Errno::AGAIN)
    }

    fn dial(&self, to: SocketAddr, options: &Options) -> Result<Dialed, Undialed> {
        let fd = new_socket(if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 })?;
        let failed = |errno| Undialed { fd: Some(fd.as_raw_fd()), errno };
        tune(fd.as_fd(), options, true).map_err(failed)?;
        self.bind_source(fd.as_fd(), to).map_err(failed)?;
        match rustix::net::connect(&fd, &to) {
            Ok(()) => Ok(Dialed::Up(fd)),
            Err(Errno::INPROGRESS | Errno::INTR) => Ok(Dialed::Begun(fd)),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn bind_source(&self, fd: BorrowedFd<'_>, to: SocketAddr) -> Result<(), Errno> {
        if self.source_host.is_empty() && self.source_port == 0 {
            return Ok(());
        }
        let any = || if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let ip = if self.source_host.is_empty() {
            any()
        } else {
            self.source_host.parse().map_err(|_| Errno::INVAL)?
        };
        // A source port is to be used again while its last connection is in TIME_WAIT.
        sockopt::set_socket_reuseaddr(fd, true)?;
        rustix::net::bind(fd, &SocketAddr::new(ip, self.source_port))
    }
}

/// What the socket's options say of a tcp connection. `early`: before it is connected, when its buffers still count.
pub fn tune(fd: BorrowedFd<'_>, options: &Options, early: bool) -> Result<(), Errno> {
    sockopt::set_tcp_nodelay(fd, true)?;
    if early {
        set_positive(options.sndbuf, |bytes| sockopt::set_socket_send_buffer_size(fd, bytes as usize))?;
        set_positive(options.rcvbuf, |bytes| sockopt::set_socket_recv_buffer_size(fd, bytes as usize))?;
    }
    if options.tcp_keepalive >= 0 {
        sockopt::set_socket_keepalive(fd, options.tcp_keepalive != 0)?;
    }
    if options.tcp_keepalive == 1 {
        set_positive(options.tcp_keepalive_cnt, |count| sockopt::set_tcp_keepcnt(fd, count as u32))?;
        set_positive(options.tcp_keepalive_idle, |seconds| {
            sockopt::set_tcp_keepidle(fd, Duration::from_secs(seconds))
        })?;
        set_positive(options.tcp_keepalive_intvl, |seconds| {
            sockopt::set_tcp_keepintvl(fd, Duration::from_secs(seconds))
        })?;
    }
    set_positive(options.tcp_maxrt, |millis| sockopt::set_tcp_user_timeout(fd, millis as u32))?;
    // tcp(7): IP_TOS counts on an IPv6 socket for its mapped addresses only; each may refuse the other's.
    let _ = set_positive(options.tos, |tos| sockopt::set_ip_tos(fd, tos as u8));
    let _ = set_positive(options.tos, |tos| sockopt::set_ipv6_tclass(fd, tos as u32));
    Ok(())
}

/// Within the host there is no path whose rate could be found out: a congestion control that paces what it sends
/// (BBR) only makes it wait for timers. Any that does not will do; reno is there in every kernel and for every user.
pub fn do_not_pace_within_host(fd: BorrowedFd<'_>) {
    let stays = peer_ip(fd).is_some_and(|peer| peer.is_loopback() || own_ip(fd) == Some(peer));
    if stays && sockopt::tcp_congestion(fd).is_ok_and(|name| name.starts_with("bbr")) {
        let _ = sockopt::set_tcp_congestion(fd, "reno");
    }
}

/// Options that say "the system's" with 0 or less.
fn set_positive(value: i64, set: impl FnOnce(u64) -> Result<(), Errno>) -> Result<(), Errno> {
    match u64::try_from(value) {
        Ok(value @ 1..) => set(value),
        _ => Ok(()),
    }
}

/// The numeric address of the other end as the socket has it, so that of an IPv4 peer of an IPv6 listener is a mapped
/// one, as libzmq's; empty if there is none (any more).
pub fn peer_address(fd: BorrowedFd<'_>) -> String {
    peer(fd).map(|address| address.ip().to_string()).unwrap_or_default()
}

fn own_ip(fd: BorrowedFd<'_>) -> Option<IpAddr> {
    SocketAddr::try_from(rustix::net::getsockname(fd).ok()?).ok().map(|address| address.ip().to_canonical())
}

/// The address of the other end.
pub fn peer_ip(fd: BorrowedFd<'_>) -> Option<IpAddr> {
    peer(fd).map(|address| address.ip().to_canonical())
}

fn peer(fd: BorrowedFd<'_>) -> Option<SocketAddr> {
    SocketAddr::try_from(rustix::net::getpeername(fd).ok().flatten()?).ok()
}
