//! What the administrator of this system has said about memory. Read when it first matters, once in a process.

use std::sync::atomic::{AtomicU8, Ordering};

/// An answer that is looked up once.
struct Answer(AtomicU8);

impl Answer {
    const fn new() -> Answer {
        Answer(AtomicU8::new(0))
    }

    /// Two threads may both look; they find the same, and nothing is ordered by it. No lock: a fork may come between.
    /// None (for want of an fd, perhaps) is a no for now, and the next call looks again.
    fn get(&self, look: impl FnOnce() -> Option<bool>) -> bool {
        match self.0.load(Ordering::Relaxed) {
            0 => {
                let Some(found) = look() else { return false };
                self.0.store(1 + u8::from(found), Ordering::Relaxed);
                found
            }
            known => known == 2,
        }
    }
}

/// `never` speaks against huge pages of any kind, also against those that are asked for by name
/// (Documentation/admin-guide/mm/transhuge.rst).
pub(crate) fn allows_huge_pages() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| {
        let said = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
        Some(rustix::param::page_size() == 4096 && !said.contains("[never]"))
    })
}

/// Memory is counted when it is taken and refused beyond a limit (Documentation/mm/overcommit-accounting.rst, mode 2).
/// A page of a memfd counts when it is first touched, and refusing that one is a SIGBUS (mm/shmem.c).
pub(crate) fn counts_each_page() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| {
        let said = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").ok()?;
        Some(said.trim() == "2")
    })
}
