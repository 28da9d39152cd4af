//! The machine: sockets, pipes, routing, and the I/O threads that connect them.
//!
//! This crate knows no Python. Application threads call [`socket::Socket`]; they move messages through
//! rings and queues themselves. I/O threads accept, connect, shake hands, pass fds, notice deaths and
//! flush what was sent before a peer was there: everything that has a deadline and nothing that has
//! a rate.
//!
//! | file | noun |
//! |---|---|
//! | [`context`] | owner of sockets and I/O threads; term; the inproc names |
//! | [`socket`] | the pattern end point: base, and one short file per type |
//! | [`route`] | fair queue in, load balance or distribution out, the tree of topics |
//! | [`pipe`] | two one-way queues to one peer: pre-connection queue, ring, local, stream |
//! | [`poller`] | waits for many sockets and raw fds |
//! | [`proxy`] | moves messages between two sockets |
//! | [`session`] | what lives between a pipe and whatever connection serves it now |
//! | [`dial`] | from an endpoint to a connection: addresses, names, a kernel socket's options |
//! | [`door`] | who of a listener's peers is still shaking hands |
//! | [`engine`] | between a connection and the two queues of its stream; heartbeats |
//! | [`failure`] | why a connection ends |
//! | [`handshake`] | greeting, READY, X-SHM: bytes and properties, no I/O |
//! | [`copy`] | copying large frames in and out of shared memory |
//! | [`channel`] | the kernel socket of a live connection: commands and fds |
//! | [`uptake`] | how far a peer has taken what a connection was given |
//! | [`lifeline`] | a connection that is over and kept open, because somebody still reads |
//! | [`loan`] | frames that a receiver reads where their sender wrote them |
//! | [`looker`] | sees to it that an arena shrinks |
//! | [`reactor`] | one I/O thread: readiness, timers, commands, parking for fork |
//! | [`listener`] | a listening socket |
//! | [`monitor`] | events of a socket's connections, told to one reader over inproc |
//! | [`signaler`] | ready words and doorbell: how a socket is woken |
//! | [`lock`] | held for one attempt, never for a wait |
//! | [`message`] | frames that are owned; frames to be sent |
//! | [`origin`] | what is known of the connection a message came over |
//! | [`counters`] | what a process shows of its sockets to who looks from outside |
//! | [`options`], [`stats`], [`error`] | plain tables |

pub mod channel;
pub mod context;
pub mod copy;
pub mod counters;
pub mod dial;
pub mod door;
pub mod engine;
pub mod error;
pub mod failure;
pub mod handshake;
pub mod lifeline;
pub mod listener;
pub mod loan;
pub mod lock;
pub mod looker;
pub mod message;
pub mod monitor;
pub mod options;
pub mod origin;
pub mod pipe;
pub mod poller;
pub mod proxy;
pub mod reactor;
pub mod reserve;
pub mod route;
pub mod session;
pub mod signaler;
pub mod socket;
pub mod stats;
pub mod uptake;
