//! Copying large frames into shared memory and out of it.
//!
//! libc's copy may be `rep movsb`, which the other CPU's fresh lines slow to a half now and then, for as long as the
//! addresses stay what they are; a loop of plain loads and stores is not slowed. What is larger than the caches
//! share is stored past them: a line that nobody reads soon need not be fetched before it is written, and
//! pushes nothing out (docs/design/decisions/0014).

use std::sync::LazyLock;

/// `SHMZMQ_COPY=libc`: for tools that stand before libc's functions, to count copies or to find wrong ones.
static LIBC_ONLY: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("SHMZMQ_COPY").is_some_and(|value| value == "libc"));

/// Below, libc's copy is as good.
const OWN_MIN: usize = 16 * 1024;
/// From here on stores go past the caches.
const PAST_MIN: usize = 8 << 20;

/// # Safety
/// As of [`std::ptr::copy_nonoverlapping`].
// Inlined into a crate that is compiled for size, the loop would be as well: a fifth of the speed.
#[inline(never)]
pub unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    if len >= OWN_MIN && std::arch::is_x86_feature_detected!("avx") && !*LIBC_ONLY {
        // SAFETY: the caller's word; the CPU has the instructions.
        return unsafe {
            if len >= PAST_MIN { lines::<true>(from, to, len) } else { lines::<false>(from, to, len) }
        };
    }
    // SAFETY: the caller's word.
    unsafe { std::ptr::copy_nonoverlapping(from, to, len) }
}

/// Two cache lines at a time; PAST: past the caches.
///
/// # Safety
/// As of `copy`, on a CPU with AVX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn lines<const PAST: bool>(from: *const u8, to: *mut u8, len: usize) {
    use std::arch::x86_64::{
        __m256i, _mm_sfence, _mm256_loadu_si256, _mm256_store_si256, _mm256_stream_si256,
    };
    let head = ((to as usize).wrapping_neg() & 63).min(len);
    let end = head + (len - head) / 128 * 128;
    // SAFETY: head <= end <= len, so all of this is inside what the caller vouches for; `to + at` is a multiple
    // of 32 from `head` on.
    unsafe {
        std::ptr::copy_nonoverlapping(from, to, head);
        for at in (head..end).step_by(128) {
            let (from, to) = (from.add(at).cast::<__m256i>(), to.add(at).cast::<__m256i>());
            let four = [0, 1, 2, 3].map(|index| _mm256_loadu_si256(from.add(index)));
            for (index, bytes) in four.into_iter().enumerate() {
                if PAST {
                    _mm256_stream_si256(to.add(index), bytes);
                } else {
                    _mm256_store_si256(to.add(index), bytes);
                }
            }
        }
        std::ptr::copy_nonoverlapping(from.add(end), to.add(end), len - end);
    }
    if PAST {
        // SYNC: stores past the caches are ordered by nothing else, neither by R-2's swap nor by A-3's.
        _mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::{OWN_MIN, PAST_MIN, copy};

    #[test]
    fn every_byte_arrives_and_none_beside_it() {
        for len in [0, 1, 4096, OWN_MIN - 1, OWN_MIN, OWN_MIN + 127, OWN_MIN + 129, PAST_MIN, PAST_MIN + 200]
        {
            let from: Vec<u8> = (0..len + 64).map(|at| (at * 7 % 251) as u8).collect();
            for (skew, lead) in [(0, 0), (1, 0), (0, 1), (32, 17), (63, 33)] {
                let mut to = vec![255_u8; len + 128];
                // SAFETY: both have room for `len` bytes from there on.
                unsafe { copy(from.as_ptr().add(lead), to.as_mut_ptr().add(skew), len) };
                assert!(to[skew..skew + len] == from[lead..lead + len]);
                assert!(to[..skew].iter().chain(&to[skew + len..]).all(|byte| *byte == 255));
            }
        }
    }
}
