//! Ways to cut the same bytes into reads. What a decoder says must not depend on which one the kernel chose.
//!
//! The cuts come from the bytes themselves, not from bytes set aside for it: an input is then what a peer would
//! send, nothing else, and a crash can be replayed with any tool that writes to a socket.

/// Above this, single bytes become small pieces: a check is to stay fast enough to be tried often.
const SINGLE_BYTES_UP_TO: usize = 2048;

/// How many cuts by chance there are.
const BY_CHANCE: u64 = 3;

/// One way to cut.
pub type Pieces<'a> = Vec<&'a [u8]>;

/// Every way that is tried, the whole in one piece first.
#[must_use]
pub fn ways(bytes: &[u8]) -> Vec<Pieces<'_>> {
    let size = if bytes.len() > SINGLE_BYTES_UP_TO { 61 } else { 1 };
    let mut ways: Vec<Pieces<'_>> = vec![vec![bytes], bytes.chunks(size).collect()];
    ways.extend((0..BY_CHANCE).map(|seed| by_chance(bytes, seed)));
    ways
}

/// Pieces of 0 to 40 bytes, or now and then a large one.
fn by_chance(bytes: &[u8], seed: u64) -> Pieces<'_> {
    let mut chance = Chance::of(bytes, seed);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = if chance.below(8) == 0 { rest.len() + 1 } else { 41 };
        let (piece, behind) = rest.split_at(chance.below(most).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// Numbers that look random and are the same for the same bytes (FNV-1a, then xorshift).
struct Chance(u64);

impl Chance {
    fn of(bytes: &[u8], seed: u64) -> Self {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_the_same_bytes() {
        for length in [0, 1, 64, 5000] {
            let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
            for way in ways(&bytes) {
                assert_eq!(way.concat(), bytes);
            }
        }
    }
}
