//! The budget: how many bytes of shared memory this process may reserve, and has.
//!
//! Shared memory is charged to whoever touches it first, and a machine or a cgroup that runs out of it
//! kills a process instead of refusing it. So whoever makes shared memory that may grow reserves it
//! here first, and is refused here. The limit is, in this order: what the program set ([`set_max`]), the
//! environment variable `SHMZMQ_SHM_MAX` (plain bytes), a quarter of the memory that there is: of the
//! machine or of the smallest cgroup limit above us. Where none of these can be read there is no limit.
//!
//! Three words, a list of who waits and one of who has: a forked child may call all of this. It reserved nothing ([`after_in_child`]),
//! and what its parent had reserved is released by the parent alone.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::arena::Wake;
use crate::fork::{self, Global};

/// The environment variable that replaces the default.
pub const VARIABLE: &str = "SHMZMQ_SHM_MAX";
/// The default is one part in so many of the memory there is.
const PART: u64 = 4;
const UNLIMITED: u64 = u64::MAX;

/// What the program set; 0: nothing.
static MAX: AtomicU64 = AtomicU64::new(0);
/// The default, once it was asked for; 0: not yet.
static DEFAULT: AtomicU64 = AtomicU64::new(0);
static USED: AtomicU64 = AtomicU64::new(0);
/// What was asked for last and was not there; 0: nothing. A hint, by which nothing is ordered.
static WANTED: AtomicU64 = AtomicU64::new(0);
/// Who waits until something is released.
static WAITING: Global<Vec<Weak<dyn Fn() + Send + Sync>>> = Global::new();

/// Who has something reserved. Neither call waits for a holder that is busy.
pub trait Holder: Send + Sync {
    /// Gives up what nobody uses. True if there was something.
    fn give_up_free(&self) -> bool;
    /// Whether something of it will come back; None: it is busy.
    fn awaits(&self) -> Option<bool>;
}

static HOLDERS: Global<Vec<Weak<dyn Holder>>> = Global::new();

/// The holder is asked from now on.
pub fn enrol(holder: Weak<dyn Holder>) {
    let mut holders = HOLDERS.lock();
    holders.retain(|other| other.strong_count() > 0);
    holders.push(holder);
}

fn holders() -> Vec<Arc<dyn Holder>> {
    HOLDERS.lock().iter().filter_map(Weak::upgrade).collect()
}

/// Asks every holder but the caller, who is busy, to give up what nobody uses. True if one did.
pub fn give_up_free() -> bool {
    holders().iter().filter(|holder| holder.give_up_free()).count() > 0
}

/// Whether something of another holder than the caller, who is busy, will come back.
pub fn awaits() -> bool {
    let mut busy = 0;
    holders().iter().any(|holder| {
        holder.awaits().unwrap_or_else(|| {
            busy += 1;
            busy > 1
        })
    })
}

/// True if so many bytes more would be more than there may be.
pub fn lacks(bytes: u64) -> bool {
    used().saturating_add(bytes) > max()
}

/// Somebody waits for so many bytes.
pub fn want(bytes: u64) {
    WANTED.store(bytes, Ordering::Relaxed);
}

/// True if they are still missing.
pub fn is_short() -> bool {
    let wanted = WANTED.load(Ordering::Relaxed);
    wanted > 0 && lacks(wanted)
}

/// From now on at most `bytes` may be reserved; 0: the default again. What is reserved stays, also if
/// it is more.
pub fn set_max(bytes: u64) {
    MAX.store(bytes, Ordering::Relaxed);
}

/// How many bytes may be reserved; `u64::MAX`: no limit.
pub fn max() -> u64 {
    match MAX.load(Ordering::Relaxed) {
        0 => default(),
        set => set,
    }
}

/// How many bytes are reserved.
pub fn used() -> u64 {
    USED.load(Ordering::Relaxed)
}

/// Reserves `bytes`, unless that is more than there may be.
pub fn reserve(bytes: u64) -> Option<Reserved> {
    let max = max();
    let mut used = USED.load(Ordering::Relaxed);
    loop {
        let wanted = used.checked_add(bytes).filter(|&wanted| wanted <= max || bytes == 0)?;
        // Counts only; nothing is ordered by them.
        match USED.compare_exchange_weak(used, wanted, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                WANTED.store(0, Ordering::Relaxed);
                return Some(Reserved { bytes, born: fork::generation() });
            }
            Err(found) => used = found,
        }
    }
}

/// Calls `wake` once, when something was released. It may come back to what it waits for.
pub fn tell(wake: &Wake) {
    let wake = Arc::downgrade(wake);
    let mut waiting = WAITING.lock();
    waiting.retain(|other| other.strong_count() > 0);
    if !waiting.iter().any(|other| other.ptr_eq(&wake)) {
        waiting.push(wake);
    }
}

/// In a forked child: it reserved nothing.
pub fn after_in_child() {
    WAITING.renew().into_iter().for_each(std::mem::forget);
    HOLDERS.renew().into_iter().for_each(std::mem::forget);
    USED.store(0, Ordering::Relaxed);
    WANTED.store(0, Ordering::Relaxed);
}

/// Bytes that are reserved as long as this lives.
#[derive(Debug)]
#[must_use = "dropped, it is reserved no longer"]
pub struct Reserved {
    bytes: u64,
    born: u64,
}

impl Reserved {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if fork::is_ours(self.born) {
            USED.fetch_sub(self.bytes, Ordering::Relaxed);
            let waiting = std::mem::take(&mut *WAITING.lock());
            waiting.iter().filter_map(Weak::upgrade).for_each(|wake| wake());
        }
    }
}

fn default() -> u64 {
    match DEFAULT.load(Ordering::Relaxed) {
        // Two threads may both look; they find the same.
        0 => {
            let said = std::env::var(VARIABLE).ok().and_then(|text| text.trim().parse().ok());
            let found = said.filter(|&bytes| bytes != 0).unwrap_or_else(|| part_of(memory(Path::new("/"))));
            DEFAULT.store(found, Ordering::Relaxed);
            found
        }
        known => known,
    }
}

fn part_of(memory: u64) -> u64 {
    if memory == UNLIMITED { UNLIMITED } else { (memory / PART).max(1) }
}

/// The bytes of memory that this process can have, by what the files below `root` say.
fn memory(root: &Path) -> u64 {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let cgroups = read("proc/self/cgroup");
    cgroups.lines().map(|line| cgroup(root, line)).fold(machine(&read("proc/meminfo")), u64::min)
}

/// "MemTotal:       24576000 kB", by proc(5).
fn machine(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.and_then(|kib| kib.checked_mul(1024)).filter(|&bytes| bytes != 0).unwrap_or(UNLIMITED)
}

/// The limit of the cgroup that a line of /proc/self/cgroup names ("0::/user.slice" in version 2,
/// "4:memory:/user.slice" in version 1, by cgroups(7)), or of one above it.
fn cgroup(root: &Path, line: &str) -> u64 {
    let mut fields = line.splitn(3, ':');
    let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
        return UNLIMITED;
    };
    if number == "0" && controllers.is_empty() {
        // Alone, or beside version 1 (systemd's "hybrid" layout).
        let mounts = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];
        mounts.iter().fold(UNLIMITED, |low, mount| low.min(limit(root, mount, path, "memory.max")))
    } else if controllers.split(',').any(|name| name == "memory") {
        limit(root, "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
    } else {
        UNLIMITED
    }
}

/// The smallest number in a file `name` of the cgroup `path` below `mount` and of all above it. In a
/// container `path` may be the host's, and is not there: then what is mounted is the container's own.
fn limit(root: &Path, mount: &str, path: &str, name: &str) -> u64 {
    let mount = root.join(mount);
    let within = path.trim_start_matches('/');
    // A cgroup outside our namespace: "/../other".
    let within = if within.split('/').any(|part| part == "..") { "" } else { within };
    let own = mount.join(within);
    let above = own.ancestors().take_while(|at| at.starts_with(&mount));
    // "max" in version 2 is no number; "no limit" in version 1 is a number larger than any memory.
    let numbers = above.filter_map(|at| std::fs::read_to_string(at.join(name)).ok()?.trim().parse().ok());
    numbers.filter(|&bytes| bytes != 0).min().unwrap_or(UNLIMITED)
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A root with these files; gone with the value.
    struct Root(std::path::PathBuf);

    impl Root {
        fn with(name: &str, files: &[(&str, &str)]) -> Root {
            let at =
                std::env::temp_dir().join(format!("shmzmq-budget-{:?}-{name}", rustix::process::getpid()));
            for (path, text) in files {
                std::fs::create_dir_all(at.join(path).parent().unwrap()).unwrap();
                std::fs::write(at.join(path), text).unwrap();
            }
            Root(at)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const EIGHT_GIB: (&str, &str) =
        ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:         1000000 kB\n");

    #[test]
    fn nothing_to_read_is_no_limit() {
        let root = Root::with("nothing", &[("proc/meminfo", "MemTotal: much\n")]);
        assert_eq!(memory(&root.0), UNLIMITED);
        assert_eq!(part_of(UNLIMITED), UNLIMITED);
        assert_eq!(part_of(8 * GIB), 2 * GIB);
    }

    #[test]
    fn the_machine_counts_where_no_cgroup_limits() {
        let v1 = "9223372036854771712\n";
        let files = [
            EIGHT_GIB,
            ("proc/self/cgroup", "4:memory:/a\n1:cpu:/a\n0::/b/c\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", v1),
            ("sys/fs/cgroup/b/c/memory.max", "max\n"),
        ];
        assert_eq!(memory(&Root::with("unlimited", &files).0), 8 * GIB);
    }

    #[test]
    fn the_smallest_limit_of_a_cgroup_and_those_above_it_counts() {
        let files = [
            EIGHT_GIB,
            ("proc/self/cgroup", "0::/b/c\n"),
            ("sys/fs/cgroup/b/c/memory.max", "3221225472\n"),
            ("sys/fs/cgroup/b/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/other/memory.max", "1\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
        ];
        assert_eq!(memory(&Root::with("v2", &files).0), 2 * GIB);
    }

    #[test]
    fn a_limit_of_version_1_counts() {
        let files = [
            EIGHT_GIB,
            ("proc/self/cgroup", "4:hugetlb,memory:/a\n0::/\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824\n"),
        ];
        assert_eq!(memory(&Root::with("v1", &files).0), GIB);
    }

    #[test]
    fn a_container_that_sees_the_hosts_path_has_the_limit_of_what_is_mounted() {
        for (name, path) in [("host", "/docker/abc"), ("outside", "/../other")] {
            let files = [
                EIGHT_GIB,
                ("proc/self/cgroup", &format!("0::{path}\n")),
                ("sys/fs/cgroup/memory.max", "1073741824\n"),
                ("sys/fs/other/memory.max", "1\n"),
            ];
            assert_eq!(memory(&Root::with(name, &files).0), GIB, "{path}");
        }
    }
}
