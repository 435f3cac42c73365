//! Inputs with faults, by lot. The lots are the same in each run.

/// The faults that parsers of lengths, offsets and signs fall over.
const WORDS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 60,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];
/// Noise is at most so long.
const NOISE: u64 = 4096;

/// Makes faults.
pub struct Mutator(u64);

impl Mutator {
    /// With lots that follow from a name.
    pub fn new(name: &str) -> Mutator {
        Mutator(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// A copy of `seed` with one to eight faults.
    pub fn mutant(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(8) {
            self.hurt(&mut bytes);
        }
        bytes
    }

    /// Bytes without any sense.
    pub fn noise(&mut self) -> Vec<u8> {
        let length = self.below(NOISE);
        (0..length).map(|_| self.lot() as u8).collect()
    }

    fn hurt(&mut self, bytes: &mut Vec<u8>) {
        // Most of what is decided by lies at the front.
        let front = if self.lot().is_multiple_of(2) { 256 } else { u64::MAX };
        let at = self.below((bytes.len() as u64).min(front)) as usize;
        let room = bytes.len() - at;
        let part = self.below(64.min(room as u64 + 1)) as usize;
        match self.lot() % 8 {
            0 if room > 0 => bytes[at] ^= 1 << (self.lot() % 8),
            1 if room > 0 => bytes[at] = self.lot() as u8,
            2 | 3 => {
                let word = WORDS[self.below(WORDS.len() as u64) as usize];
                let size = (1 << self.below(4)).min(room);
                bytes[at..at + size].copy_from_slice(&word.to_le_bytes()[..size]);
            }
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..at + part)),
            6 => {
                let copy = bytes[at..at + part].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes[at..at + part].fill(self.lot() as u8),
        }
    }

    /// Below `limit`, or 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.lot() % limit.max(1)
    }

    /// The next lot (xorshift64*, Vigna 2016).
    fn lot(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
