//! Forks: what a child may do that was forked while another thread was busy with fds.
//!
//! The forking process is this test binary, started again for one test: a fork copies all threads'
//! locks, and no other test's shall be among them.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shmzmq_shm::fork::{self, Fd};

const ORDERS: &str = "SHMZMQ_TEST_FORKS";
/// A child that has not ended by then hangs.
const CAP: Duration = Duration::from_secs(10);

fn an_fd() -> Fd {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    Fd::from(rustix::fs::memfd_create("shmzmq-test", flags).unwrap())
}

/// Runs `child` in a forked process and insists that it says true before the cap.
fn fork_and_wait(what: &str, child: impl FnOnce() -> bool) {
    // SAFETY: the child calls only what this file tests for being callable there, and _exit.
    match unsafe { libc::fork() } {
        -1 => panic!("fork failed"),
        0 => {
            let status = if child() { 0 } else { 1 };
            // SAFETY: ends the process without running what the parent registered.
            unsafe { libc::_exit(status) }
        }
        pid => {
            let began = Instant::now();
            let mut status = 0;
            // SAFETY: `status` is writable; `pid` is our child and not yet waited for.
            while unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == 0 {
                if began.elapsed() > CAP {
                    // SAFETY: as above.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                    // SAFETY: as above.
                    unsafe { libc::waitpid(pid, &mut status, 0) };
                    panic!("{what}: waits for a lock of a thread that it does not have");
                }
                std::thread::yield_now();
            }
            assert_eq!(status, 0, "{what}");
        }
    }
}

/// Not a test unless another test starts it with orders.
#[test]
fn the_forking_process() {
    match std::env::var(ORDERS).as_deref() {
        Ok("busy") => {
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = stop.clone();
            let busy = std::thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    drop(an_fd());
                }
            });
            for round in 0..500 {
                fork_and_wait(&format!("child of fork {round}"), || {
                    fork::after_in_child();
                    drop(an_fd());
                    true
                });
            }
            stop.store(true, Ordering::Relaxed);
            busy.join().unwrap();
        }
        Ok("inherited") => {
            let (mut inherited, born) = (Some(an_fd()), fork::generation());
            let raw = inherited.as_ref().map_or(-1, std::os::fd::AsRawFd::as_raw_fd);
            // SAFETY: asks for the flags of a number; no one is harmed if it is closed.
            let is_open = || unsafe { libc::fcntl(raw, libc::F_GETFD) } != -1;
            fork_and_wait("child", || {
                let foreign = inherited.as_ref().is_some_and(|fd| !fd.is_ours()) && !fork::is_ours(born);
                let open_before = is_open();
                fork::after_in_child();
                let closed = !is_open();
                // The number is someone else's now, and the parent's Fd must not close it here.
                let other = an_fd();
                let reused = std::os::fd::AsRawFd::as_raw_fd(&other) == raw;
                drop(inherited.take());
                foreign && open_before && closed && reused && is_open() && other.is_ours()
            });
            assert!(is_open() && fork::is_ours(born) && fork::generation() == born);
            assert_eq!(fork::creator(born), std::process::id());
        }
        _ => {}
    }
}

fn start(orders: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["the_forking_process", "--exact", "--test-threads=1"])
        .env(ORDERS, orders)
        .status()
        .unwrap();
    assert!(status.success());
}

/// The fork may fall into the instant in which another thread holds the list of fds.
#[test]
fn a_child_forked_while_another_thread_opened_fds_can_open_its_own() {
    start("busy");
}

#[test]
fn a_child_closes_inherited_fds_once_and_knows_them_as_foreign() {
    start("inherited");
}
