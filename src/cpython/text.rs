//! The characters of a `str`, as CPython stores them, into a Rust string.

/// Decodes characters of `width` 1 (Latin-1), 2 or 4 bytes in native order.
///
/// A `str` may hold lone surrogates, and foreign bytes anything at all: what is
/// no character becomes U+FFFD. Bytes left over at the end are dropped; another
/// width gives the empty string.
pub fn decode(width: u8, bytes: &[u8]) -> String {
    match width {
        1 => bytes.iter().map(|&byte| char::from(byte)).collect(),
        2 => bytes.as_chunks().0.iter().map(|&unit| character(u16::from_ne_bytes(unit).into())).collect(),
        4 => bytes.as_chunks().0.iter().map(|&unit| character(u32::from_ne_bytes(unit))).collect(),
        _ => String::new(),
    }
}

/// Like [`decode`], of at most `limit` characters; an ellipsis marks a cut.
pub fn decode_bounded(width: u8, bytes: &[u8], limit: usize) -> String {
    let most = limit.saturating_mul(width.into());
    match bytes.get(..most) {
        Some(head) if head.len() < bytes.len() => decode(width, head) + "…",
        _ => decode(width, bytes),
    }
}

fn character(unit: u32) -> char {
    char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide<const N: usize>(units: [u32; N]) -> Vec<u8> {
        units.iter().flat_map(|unit| unit.to_ne_bytes()).collect()
    }

    #[test]
    fn each_width_is_read() {
        assert_eq!(decode(1, b"caf\xe9"), "café");
        let two: Vec<u8> = "żółw".encode_utf16().flat_map(u16::to_ne_bytes).collect();
        assert_eq!(decode(2, &two), "żółw");
        assert_eq!(decode(4, &wide([0x1f40d, 0x78])), "🐍x");
    }

    #[test]
    fn what_is_no_character_is_replaced() {
        assert_eq!(decode(2, &0xd800_u16.to_ne_bytes()), "\u{fffd}");
        assert_eq!(decode(4, &wide([0xdfff, 0x11_0000, u32::MAX])), "\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn odd_ends_and_widths_are_harmless() {
        assert_eq!(decode(2, &[0x41, 0, 0x42]), "A");
        assert_eq!(decode(4, &[1, 2, 3]), "");
        assert_eq!(decode(0, b"abc"), "");
        assert_eq!(decode(3, b"abc"), "");
    }

    #[test]
    fn a_cut_is_marked() {
        assert_eq!(decode_bounded(1, b"abcd", 3), "abc…");
        assert_eq!(decode_bounded(1, b"abc", 3), "abc");
        assert_eq!(decode_bounded(4, &wide([0x61, 0x62]), 1), "a…");
        assert_eq!(decode_bounded(4, &wide([0x61]), usize::MAX), "a");
    }
}
