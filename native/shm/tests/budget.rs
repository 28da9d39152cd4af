//! The budget of a whole process: so each test is this binary, started again for one part of it.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::sync::Arc;

use shmzmq_shm::{budget, fork};

const ORDERS: &str = "SHMZMQ_TEST_BUDGET";

fn start(orders: &str, variable: Option<&str>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["the_process_with_a_budget", "--exact", "--test-threads=1"]).env(ORDERS, orders);
    match variable {
        Some(text) => command.env(budget::VARIABLE, text),
        None => command.env_remove(budget::VARIABLE),
    };
    assert!(command.status().unwrap().success());
}

/// Not a test unless another test starts it with orders.
#[test]
fn the_process_with_a_budget() {
    match std::env::var(ORDERS).as_deref() {
        Ok("reserve") => reserve_and_release(),
        Ok("threads") => many_threads(),
        Ok("fork") => forked(),
        Ok("default") => assert!(budget::max() > 1 << 20),
        Ok("environment") => {
            assert_eq!(budget::max(), 12345);
            budget::set_max(99);
            assert_eq!(budget::max(), 99);
            budget::set_max(0);
            assert_eq!(budget::max(), 12345);
        }
        _ => {}
    }
}

fn reserve_and_release() {
    budget::set_max(100);
    let sixty = budget::reserve(60).unwrap();
    assert_eq!((sixty.bytes(), budget::used()), (60, 60));
    assert!(budget::reserve(41).is_none() && budget::reserve(u64::MAX).is_none());
    let forty = budget::reserve(40).unwrap();
    assert!(budget::reserve(1).is_none());
    assert_eq!(budget::reserve(0).unwrap().bytes(), 0);
    drop(sixty);
    assert_eq!(budget::used(), 40);
    // Less than there is: what is reserved stays, and nothing is added.
    budget::set_max(10);
    assert!(budget::reserve(1).is_none());
    drop(forty);
    assert_eq!(budget::reserve(10).unwrap().bytes(), 10);
    assert_eq!(budget::used(), 0);
}

fn many_threads() {
    budget::set_max(1000);
    let barrier = Arc::new(std::sync::Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let barrier = barrier.clone();
            std::thread::spawn(move || {
                barrier.wait();
                for _ in 0..20_000 {
                    let held = [budget::reserve(300), budget::reserve(200)];
                    assert!(budget::used() <= 1000);
                    drop(held);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(budget::used(), 0);
}

fn forked() {
    budget::set_max(100);
    let mut inherited = Some(budget::reserve(70).unwrap());
    // SAFETY: the child calls only what may be called there, and _exit.
    match unsafe { libc::fork() } {
        -1 => panic!("fork failed"),
        0 => {
            fork::after_in_child();
            budget::after_in_child();
            let own = budget::reserve(100);
            drop(inherited.take());
            let right = own.is_some() && budget::used() == 100 && budget::max() == 100;
            // SAFETY: ends the process without running what the parent registered.
            unsafe { libc::_exit(i32::from(!right)) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: `status` is writable; `pid` is our child and not yet waited for.
            unsafe { libc::waitpid(pid, &mut status, 0) };
            assert_eq!((status, budget::used()), (0, 70));
        }
    }
}

#[test]
fn no_more_is_reserved_than_may_be_and_all_comes_back() {
    start("reserve", None);
}

#[test]
fn threads_together_never_reserve_too_much() {
    start("threads", None);
}

#[test]
fn a_forked_child_has_reserved_nothing() {
    start("fork", None);
}

#[test]
fn the_default_is_some_memory() {
    start("default", None);
    start("default", Some("0"));
    start("default", Some("a lot"));
}

#[test]
fn the_environment_replaces_the_default_and_the_program_replaces_both() {
    start("environment", Some("12345"));
}
