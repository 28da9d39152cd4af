//! The named file in which a process shows its counters, and the lock that says that the process lives.
//!
//! ```text
//! offset  bytes
//!      0      8  MAGIC
//!      8      4  FORMAT
//!     12      4  offset of the text
//!     16      4  asked:    whoever looks writes another number here, and wakes the owner (futex(2))
//!     20      4  answered: what `asked` was when the text was taken
//!     24      8  sequence: odd while the text is being written (K-2)
//!     32      8  bytes of the text
//!    128         the text, JSON (snapshot.rs)
//! ```
//!
//! Everything but the owner's sleep goes through read(2) and write(2), never through a mapping, so that no tmpfs
//! that is full and nobody who cuts the file short can raise SIGBUS here (K-3). Numbers are little endian.
//!
//! **Who may remove it.** The owner holds `flock` on it from before it can be found to its death; the kernel lets
//! go of the lock then and not earlier. Whoever gets the lock may remove the file, and nobody else (K-1): not
//! because of a pid, which means another process in another pid namespace, or tomorrow.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::fs::{FallocateFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::thread::futex;
use shmzmq_shm::fork::{Fd, Map};

/// Where POSIX shared memory lies on Linux (shm_overview(7)).
const FOLDER: &str = "/dev/shm";
const MAGIC: &[u8; 8] = b"shmzmqK\0";
const FORMAT: u32 = 1;
const TEXT: usize = 128;
const ASKED: u64 = 16;
/// The file's first size, by how much it grows, and its last.
const STEP: usize = 16 * 1024;
const MOST: usize = 256 * 1024;
/// Files that one process looks at when it begins: enough to keep up with those that die.
const SWEPT: usize = 256;
/// Names are tried so often while sweepers hold what was just made.
const TRIES: usize = 16;

/// What a text may have in bytes.
pub const TEXT_MOST: usize = MOST - TEXT;

/// The owner's file and what wakes its thread; an answer is the thread's, a ring anybody's.
pub struct File {
    fd: Fd,
    map: Map,
    path: PathBuf,
}

fn reason(call: &str) -> impl Fn(Errno) -> String + '_ {
    move |errno| format!("{call} in {FOLDER}: {errno}")
}

impl File {
    /// A new file that is locked and has room for a small text, or why there is none.
    pub fn make() -> Result<Arc<File>, String> {
        File::make_while(|_| ())
    }

    /// `meanwhile` runs while the file has a name and no lock: a test's way in.
    fn make_while(mut meanwhile: impl FnMut(&Path)) -> Result<Arc<File>, String> {
        let uid = rustix::process::geteuid().as_raw();
        sweep(uid);
        for _ in 0..TRIES {
            let path = Path::new(FOLDER).join(name(uid));
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let fd = match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
                Err(Errno::EXIST) => continue,
                other => other.map_err(reason("open"))?,
            };
            meanwhile(&path);
            // K-1. A sweeper may have come in between: it has the lock, or has removed the name already.
            let locked = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive);
            match locked {
                Ok(()) if is_named(&fd, &path) => {}
                Ok(()) | Err(Errno::AGAIN) => continue,
                Err(errno) => {
                    let _ = rustix::fs::unlink(&path);
                    return Err(reason("flock")(errno));
                }
            }
            return File::fill(fd, path);
        }
        Err(format!("no free name in {FOLDER}"))
    }

    fn fill(fd: OwnedFd, path: PathBuf) -> Result<Arc<File>, String> {
        let made = reserve(fd.as_fd(), STEP)
            .map_err(reason("fallocate"))
            .and_then(|()| write_at(fd.as_fd(), &header(0, 0, 0), 0).map_err(reason("write")))
            .and_then(|()| Map::shared(fd.as_fd(), rustix::param::page_size()).map_err(reason("mmap")));
        match made {
            Ok(map) => Ok(Arc::new(File { fd: fd.into(), map, path })),
            Err(reason) => {
                let _ = rustix::fs::unlink(&path);
                Err(reason)
            }
        }
    }

    /// What whoever looked last wrote.
    pub fn asked(&self) -> Result<u32, Errno> {
        let mut word = [0; 4];
        let read = rustix::io::pread(&self.fd, &mut word, ASKED)?;
        if read == word.len() { Ok(u32::from_le_bytes(word)) } else { Err(Errno::IO) }
    }

    /// Sleeps until `asked` is another number than `seen`. An error: the file was cut short.
    pub fn wait(&self, seen: u32) -> Result<(), Errno> {
        match futex::wait(self.word(), futex::Flags::empty(), u32::from_ne_bytes(seen.to_le_bytes()), None) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// From inside the process: the thread comes back from `wait`. False: it cannot be woken, since the file was
    /// cut short and its first page cannot be had again.
    pub fn ring(&self) -> bool {
        let other = self.asked().unwrap_or_else(|_| std::process::id()).wrapping_add(1);
        write_at(self.fd.as_fd(), &other.to_le_bytes(), ASKED).is_ok()
            && futex::wake(self.word(), futex::Flags::empty(), 1).is_ok()
    }

    /// The address that futex(2) takes; nothing here reads or writes it through the mapping (K-3).
    fn word(&self) -> &AtomicU32 {
        // SAFETY: inside the mapping, aligned, alive as long as `self`; whoever shares it may write any value. It
        // is only handed to the kernel, which answers EFAULT where the file has no page any more.
        unsafe { &*self.map.at().add(ASKED as usize).cast::<AtomicU32>() }
    }

    /// Room for a text, in bytes: what it takes if the file system gives it, else what the file has.
    pub fn room(&self, wanted: usize) -> Result<usize, Errno> {
        let has = rustix::fs::fstat(&self.fd)?.st_size as usize;
        let size = (TEXT + wanted).next_multiple_of(STEP).min(MOST);
        if size > has && reserve(self.fd.as_fd(), size).is_ok() {
            return Ok(size - TEXT);
        }
        Ok(has.saturating_sub(TEXT))
    }

    /// Shows `text`, which fits into the room, as the answer to `asked`.
    pub fn show(&self, asked: u32, sequence: u64, text: &[u8]) -> Result<(), Errno> {
        let fd = self.fd.as_fd();
        // K-2: who reads an odd number, or another one before than after, reads again.
        write_at(fd, &(sequence + 1).to_le_bytes(), 24)?;
        write_at(fd, text, TEXT as u64)?;
        write_at(fd, &header(asked, sequence + 2, text.len() as u64)[20..40], 20)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // In a forked child neither the lock nor the name is ours.
        if self.fd.is_ours() && is_named(&self.fd, &self.path) {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

fn header(answered: u32, sequence: u64, bytes: u64) -> [u8; 40] {
    let mut header = [0; 40];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..16].copy_from_slice(&(TEXT as u32).to_le_bytes());
    header[20..24].copy_from_slice(&answered.to_le_bytes());
    header[24..32].copy_from_slice(&sequence.to_le_bytes());
    header[32..40].copy_from_slice(&bytes.to_le_bytes());
    header
}

/// Takes the pages now, so that a later write finds them whatever else fills the file system.
fn reserve(fd: BorrowedFd<'_>, size: usize) -> Result<(), Errno> {
    loop {
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, size as u64) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

fn write_at(fd: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn prefix(uid: u32) -> String {
    format!("shmzmq-{uid}-")
}

/// The pid is for people; the rest makes the name one of its own, in other pid namespaces too.
fn name(uid: u32) -> String {
    let generation = shmzmq_shm::fork::generation();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let token = (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64) ^ generation;
    format!("{}{}-{token:016x}", prefix(uid), std::process::id())
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// True if the name still leads to this file.
fn is_named(fd: impl AsFd, path: &Path) -> bool {
    match (rustix::fs::fstat(fd), rustix::fs::lstat(path)) {
        (Ok(one), Ok(other)) => is_same(&one, &other),
        _ => false,
    }
}

/// Removes files whose owners died, of this user, as far as the first few tell.
fn sweep(uid: u32) {
    let prefix = prefix(uid);
    let Ok(entries) = fs::read_dir(FOLDER) else { return };
    let names = entries.flatten().map(|entry| entry.file_name());
    let ours = names.filter(|name| name.to_str().is_some_and(|name| name.starts_with(&prefix)));
    for name in ours.take(SWEPT) {
        sweep_one(uid, &Path::new(FOLDER).join(name));
    }
}

fn sweep_one(uid: u32, path: &Path) {
    // Somebody else's FIFO under that name does not make us wait.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Ok(fd) = rustix::fs::open(path, flags, Mode::empty()) else { return };
    let Ok(stat) = rustix::fs::fstat(&fd) else { return };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_uid != uid {
        return;
    }
    // K-1: only with the lock, and only what the name still leads to.
    if rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() && is_named(&fd, path) {
        let _ = rustix::fs::unlink(path);
    }
}

/// For whoever looks at a file: wakes its owner. False if the file has no such word.
pub fn wake(fd: BorrowedFd<'_>) -> bool {
    let Ok(map) = Map::shared(fd, rustix::param::page_size()) else { return false };
    // SAFETY: as in `File::word`.
    let word = unsafe { &*map.at().add(ASKED as usize).cast::<AtomicU32>() };
    futex::wake(word, futex::Flags::empty(), 1).is_ok()
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    type Outcome = Result<(), Box<dyn Error>>;

    fn other(path: &Path) -> Result<OwnedFd, Errno> {
        rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
    }

    #[test]
    fn a_file_that_was_swept_in_the_making_is_made_again() -> Outcome {
        let uid = rustix::process::geteuid().as_raw();
        let mut names = Vec::new();
        let file = File::make_while(|path| {
            names.push(path.to_owned());
            if names.len() == 1 {
                sweep_one(uid, path);
            }
        })?;
        assert_eq!(names.len(), 2);
        assert!(!names[0].exists());
        assert!(names[1].exists());
        drop(file);
        assert!(!names[1].exists());
        Ok(())
    }

    #[test]
    fn a_file_whose_lock_a_sweeper_holds_is_left_to_it() -> Outcome {
        let mut swept = None;
        let file = File::make_while(|path| {
            if swept.is_none() {
                let fd = other(path).ok();
                let locked =
                    fd.as_ref().map(|fd| rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive));
                assert_eq!(locked, Some(Ok(())));
                swept = fd.map(|fd| (fd, path.to_owned()));
            }
        })?;
        let (_fd, path) = swept.ok_or("nothing was made")?;
        assert_ne!(file.path, path);
        rustix::fs::unlink(path)?;
        Ok(())
    }

    #[test]
    fn nobody_sweeps_a_file_whose_owner_lives() -> Outcome {
        let file = File::make()?;
        sweep_one(rustix::process::geteuid().as_raw(), &file.path);
        assert!(file.path.exists());
        Ok(())
    }

    #[test]
    fn a_text_is_found_where_the_header_says() -> Outcome {
        let file = File::make()?;
        assert!(file.room(7)? >= 7);
        file.show(3, 0, b"a text!")?;
        let mut bytes = [0; 135];
        rustix::io::pread(&file.fd, &mut bytes, 0)?;
        assert_eq!(&bytes[..20], b"shmzmqK\0\x01\0\0\0\x80\0\0\0\0\0\0\0");
        assert_eq!(bytes[20..40], header(3, 2, 7)[20..40]);
        assert_eq!(&bytes[128..], b"a text!");
        Ok(())
    }

    #[test]
    fn a_file_grows_in_steps_and_no_further_than_its_most() -> Outcome {
        let file = File::make()?;
        assert_eq!(file.room(1)?, STEP - TEXT);
        assert_eq!(file.room(STEP)?, 2 * STEP - TEXT);
        assert_eq!(file.room(100 * MOST)?, TEXT_MOST);
        assert_eq!(rustix::fs::fstat(&file.fd)?.st_size as usize, MOST);
        Ok(())
    }

    #[test]
    fn a_sleeper_wakes_when_it_is_rung_and_does_not_sleep_on_a_file_that_was_cut_short() -> Outcome {
        let file = File::make()?;
        let sleeper = file.clone();
        let thread = std::thread::spawn(move || sleeper.wait(0));
        assert!(file.ring());
        assert_eq!(thread.join().map_err(|_| "the thread died")?, Ok(()));
        assert_eq!(file.asked()?, 1);
        rustix::fs::ftruncate(&file.fd, 0)?;
        assert!(file.wait(1).is_err());
        Ok(())
    }

    #[test]
    fn a_sleeper_whose_file_was_cut_short_can_be_rung() -> Outcome {
        let file = File::make()?;
        let sleeper = file.clone();
        let thread = std::thread::spawn(move || sleeper.wait(0));
        while !thread.is_finished() && file.asked().is_ok() {
            rustix::fs::ftruncate(&file.fd, 0)?;
        }
        assert!(file.ring());
        let _ = thread.join().map_err(|_| "the thread died")?;
        Ok(())
    }
}
