//! What a socket was told, as plain numbers. Types, ranges and texts are Python's (`options.py`);
//! here a value is only stored and read. Numbers are libzmq's; from 1000 on they are ours.

use std::time::Duration;

use shmzmq_shm::budget;

use crate::pipe::overflow::Policy;
use crate::pipe::ring::Limits;

macro_rules! numbers {
    ($($name:ident = $number:literal),* $(,)?) => { $(pub const $name: i32 = $number;)* };
}

numbers! {
    ROUTING_ID = 5, LINGER = 17, RECONNECT_IVL = 18, BACKLOG = 19, RECONNECT_IVL_MAX = 21, MAXMSGSIZE = 22,
    SNDHWM = 23, RCVHWM = 24, RCVTIMEO = 27, SNDTIMEO = 28, ROUTER_MANDATORY = 33, IMMEDIATE = 39,
    SUBSCRIBE = 6, UNSUBSCRIBE = 7, XPUB_VERBOSE = 40, XPUB_NODROP = 69, XPUB_MANUAL = 71,
    XPUB_WELCOME_MSG = 72, INVERT_MATCHING = 74, XPUB_VERBOSER = 78, XPUB_MANUAL_LAST_VALUE = 98,
    ONLY_FIRST_SUBSCRIBE = 108, ROUTER_NOTIFY = 97, RECONNECT_STOP = 109, HELLO_MSG = 110,
    DISCONNECT_MSG = 111, HICCUP_MSG = 114, TOPICS_COUNT = 116, PROBE_ROUTER = 51,
    REQ_CORRELATE = 52, REQ_RELAXED = 53, ROUTER_HANDOVER = 56, HANDSHAKE_IVL = 66, CONFLATE = 54,
    SNDBUF = 11, RCVBUF = 12, TCP_KEEPALIVE = 34, TCP_KEEPALIVE_CNT = 35, TCP_KEEPALIVE_IDLE = 36,
    TCP_KEEPALIVE_INTVL = 37, IPV6 = 42, TOS = 57, STREAM_NOTIFY = 73, HEARTBEAT_IVL = 75, HEARTBEAT_TTL = 76,
    HEARTBEAT_TIMEOUT = 77, CONNECT_TIMEOUT = 79, TCP_MAXRT = 80,
    SPIN_US = 1000, RING_BYTES = 1005, HWM_BYTES = 1006, OVERFLOW = 1008, ARENA_MAX = 1009,
    IPC_MODE = 1011,
}

/// Bits of ROUTER_NOTIFY.
pub const NOTIFY_CONNECT: i64 = 1;
pub const NOTIFY_DISCONNECT: i64 = 2;
/// Bits of RECONNECT_STOP.
pub const STOP_REFUSED: i64 = 1;
pub const STOP_HANDSHAKE_FAILED: i64 = 2;
pub const STOP_AFTER_DISCONNECT: i64 = 4;
/// Values of IPC_MODE: rings where both sides can, never, or only.
pub const IPC_AUTO: i64 = 0;
pub const IPC_ZMTP: i64 = 1;
pub const IPC_RING: i64 = 2;

#[derive(Debug, Clone)]
pub struct Options {
    pub routing_id: Vec<u8>,
    /// For the next connect of a ROUTER.
    pub connect_routing_id: Vec<u8>,
    pub linger: i64,
    pub reconnect_ivl: i64,
    pub reconnect_ivl_max: i64,
    pub backlog: i64,
    pub maxmsgsize: i64,
    pub sndhwm: i64,
    pub rcvhwm: i64,
    pub rcvtimeo: i64,
    pub sndtimeo: i64,
    pub router_mandatory: i64,
    pub router_handover: i64,
    pub immediate: i64,
    pub probe_router: i64,
    pub req_correlate: i64,
    pub req_relaxed: i64,
    pub handshake_ivl: i64,
    pub invert_matching: i64,
    pub only_first_subscribe: i64,
    pub router_notify: i64,
    pub reconnect_stop: i64,
    /// Messages of connections' ends; empty for none.
    pub hello_msg: Vec<u8>,
    pub disconnect_msg: Vec<u8>,
    pub hiccup_msg: Vec<u8>,
    pub spin_us: i64,
    pub ring_bytes: i64,
    pub conflate: i64,
    pub hwm_bytes: i64,
    pub overflow: i64,
    pub arena_max: i64,
    pub ipc_mode: i64,
    /// Of tcp, in the units of its row in `options.py`; -1 (0 for TOS and MAXRT) is the system's own.
    pub ipv6: i64,
    pub sndbuf: i64,
    pub rcvbuf: i64,
    pub tcp_keepalive: i64,
    pub tcp_keepalive_cnt: i64,
    pub tcp_keepalive_idle: i64,
    pub tcp_keepalive_intvl: i64,
    pub tcp_maxrt: i64,
    pub tos: i64,
    pub connect_timeout: i64,
    pub heartbeat_ivl: i64,
    /// Milliseconds in whole tenths of a second, as it goes over the wire.
    pub heartbeat_ttl: i64,
    /// -1: as long as `heartbeat_ivl`.
    pub heartbeat_timeout: i64,
    pub stream_notify: i64,
}

impl Default for Options {
    /// libzmq's defaults (zmq_setsockopt(3), 4.3.5); the oracle test compares them.
    fn default() -> Self {
        Options {
            routing_id: Vec::new(),
            connect_routing_id: Vec::new(),
            linger: -1,
            reconnect_ivl: 100,
            reconnect_ivl_max: 0,
            backlog: 100,
            maxmsgsize: -1,
            sndhwm: 1000,
            rcvhwm: 1000,
            rcvtimeo: -1,
            sndtimeo: -1,
            router_mandatory: 0,
            router_handover: 0,
            immediate: 0,
            probe_router: 0,
            req_correlate: 0,
            req_relaxed: 0,
            handshake_ivl: 30_000,
            invert_matching: 0,
            only_first_subscribe: 0,
            router_notify: 0,
            reconnect_stop: 0,
            hello_msg: Vec::new(),
            disconnect_msg: Vec::new(),
            hiccup_msg: Vec::new(),
            spin_us: -1,
            ring_bytes: shmzmq_shm::layout::RING_BYTES as i64,
            conflate: 0,
            hwm_bytes: 0,
            overflow: 0,
            arena_max: 0,
            ipc_mode: IPC_AUTO,
            ipv6: 0,
            sndbuf: -1,
            rcvbuf: -1,
            tcp_keepalive: -1,
            tcp_keepalive_cnt: -1,
            tcp_keepalive_idle: -1,
            tcp_keepalive_intvl: -1,
            tcp_maxrt: 0,
            tos: 0,
            connect_timeout: 0,
            heartbeat_ivl: 0,
            heartbeat_ttl: 0,
            heartbeat_timeout: -1,
            stream_notify: 1,
        }
    }
}

impl Options {
    fn row(&mut self, number: i32) -> Option<&mut i64> {
        Some(match number {
            LINGER => &mut self.linger,
            RECONNECT_IVL => &mut self.reconnect_ivl,
            RECONNECT_IVL_MAX => &mut self.reconnect_ivl_max,
            BACKLOG => &mut self.backlog,
            MAXMSGSIZE => &mut self.maxmsgsize,
            SNDHWM => &mut self.sndhwm,
            RCVHWM => &mut self.rcvhwm,
            RCVTIMEO => &mut self.rcvtimeo,
            SNDTIMEO => &mut self.sndtimeo,
            ROUTER_MANDATORY => &mut self.router_mandatory,
            ROUTER_HANDOVER => &mut self.router_handover,
            IMMEDIATE => &mut self.immediate,
            PROBE_ROUTER => &mut self.probe_router,
            REQ_CORRELATE => &mut self.req_correlate,
            REQ_RELAXED => &mut self.req_relaxed,
            HANDSHAKE_IVL => &mut self.handshake_ivl,
            INVERT_MATCHING => &mut self.invert_matching,
            ONLY_FIRST_SUBSCRIBE => &mut self.only_first_subscribe,
            ROUTER_NOTIFY => &mut self.router_notify,
            RECONNECT_STOP => &mut self.reconnect_stop,
            SPIN_US => &mut self.spin_us,
            RING_BYTES => &mut self.ring_bytes,
            CONFLATE => &mut self.conflate,
            HWM_BYTES => &mut self.hwm_bytes,
            OVERFLOW => &mut self.overflow,
            ARENA_MAX => &mut self.arena_max,
            IPC_MODE => &mut self.ipc_mode,
            IPV6 => &mut self.ipv6,
            SNDBUF => &mut self.sndbuf,
            RCVBUF => &mut self.rcvbuf,
            TCP_KEEPALIVE => &mut self.tcp_keepalive,
            TCP_KEEPALIVE_CNT => &mut self.tcp_keepalive_cnt,
            TCP_KEEPALIVE_IDLE => &mut self.tcp_keepalive_idle,
            TCP_KEEPALIVE_INTVL => &mut self.tcp_keepalive_intvl,
            TCP_MAXRT => &mut self.tcp_maxrt,
            TOS => &mut self.tos,
            CONNECT_TIMEOUT => &mut self.connect_timeout,
            HEARTBEAT_IVL => &mut self.heartbeat_ivl,
            HEARTBEAT_TTL => &mut self.heartbeat_ttl,
            HEARTBEAT_TIMEOUT => &mut self.heartbeat_timeout,
            STREAM_NOTIFY => &mut self.stream_notify,
            _ => return None,
        })
    }

    /// False if there is no such number here.
    pub fn set(&mut self, number: i32, value: i64) -> bool {
        self.row(number).map(|row| *row = value).is_some()
    }

    pub fn get(&mut self, number: i32) -> Option<i64> {
        self.row(number).map(|row| *row)
    }

    /// An option that is a message. False if there is no such number here.
    pub fn set_message(&mut self, number: i32, value: Vec<u8>) -> bool {
        let row = match number {
            HELLO_MSG => &mut self.hello_msg,
            DISCONNECT_MSG => &mut self.disconnect_msg,
            HICCUP_MSG => &mut self.hiccup_msg,
            _ => return false,
        };
        *row = value;
        true
    }

    /// What a pipe made from now on does without room.
    pub fn policy(&self) -> Policy {
        if self.conflate != 0 { Policy::KeepLatest } else { Policy::from_number(self.overflow) }
    }

    /// Bytes of our large frames that one peer may hold as loans: half of all there may be. With several of
    /// them it is less (arena.rs, `lend`).
    pub fn lends(&self) -> u64 {
        let most = budget::max();
        (if self.arena_max > 0 { most.min(self.arena_max as u64) } else { most }) / 2
    }

    /// What one pipe may hold, as far as this side says.
    pub fn limits(&self) -> Limits {
        let (sndhwm, rcvhwm) = (self.sndhwm, self.rcvhwm);
        Limits { sndhwm, rcvhwm, hwm_bytes: self.hwm_bytes, policy: self.policy() }
    }

    /// Milliseconds of an option: None waits for ever.
    pub fn timeout(value: i64) -> Option<Duration> {
        u64::try_from(value).ok().map(Duration::from_millis)
    }
}

/// Messages that may be under way: the sum of both marks, 0 (no limit) if either has none.
pub fn credit(sndhwm: i64, rcvhwm: i64) -> u64 {
    if sndhwm <= 0 || rcvhwm <= 0 { 0 } else { sndhwm as u64 + rcvhwm as u64 }
}
