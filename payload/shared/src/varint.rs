//! LEB128 integers and the zigzag mapping, bounded on both sides.

/// The most bytes that [`encode`] writes.
pub const MAX_LEN: usize = 10;

/// Writes `value` at the start of `out` and returns its length in bytes. Bytes
/// that find no room are dropped: callers reserve [`MAX_LEN`], and the payload
/// must hold no code that could panic.
#[inline(always)]
pub fn encode(value: u64, out: &mut [u8]) -> usize {
    encode_at(value, out, 0)
}

/// The same at index `at` of `out`. Once for all: what is written often is no such number.
#[inline(never)]
pub fn encode_at(mut value: u64, out: &mut [u8], at: usize) -> usize {
    let mut len = 0;
    while value >= 0x80 {
        put(out, at + len, value as u8 | 0x80);
        value >>= 7;
        len += 1;
    }
    put(out, at + len, value as u8);
    len + 1
}

#[inline(always)]
fn put(out: &mut [u8], at: usize, byte: u8) {
    if let Some(place) = out.get_mut(at) {
        *place = byte;
    }
}

/// Reads one integer from the front of `bytes`: its value and its length.
/// `None` when the bytes end early or do not fit in 64 bits.
#[inline(always)]
pub fn decode(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(MAX_LEN) {
        if index == MAX_LEN - 1 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Maps small signed numbers of either sign to small unsigned ones.
#[inline(always)]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline(always)]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive() {
        let edges = (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for value in edges.chain([300, 0x0abc_def0, u64::MAX]) {
            let mut out = [0xff; MAX_LEN];
            let len = encode(value, &mut out);
            assert_eq!(decode(&out[..len]), Some((value, len)));
            assert_eq!(decode(&out[..len - 1]), None);
            assert_eq!(zigzag(unzigzag(value)), value);
        }
    }

    #[test]
    fn room_decides_nothing_but_what_is_kept() {
        for value in [5, 300, 1 << 20, u64::MAX] {
            let mut whole = [0; MAX_LEN];
            let len = encode(value, &mut whole);
            for room in 0..len {
                let mut out = [0; MAX_LEN];
                assert_eq!(encode(value, &mut out[..room]), len);
                assert_eq!(out[..room], whole[..room]);
            }
        }
    }

    #[test]
    fn overlong_is_refused() {
        assert_eq!(decode(&[0xff; 11]), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
    }
}
