//! `.eh_frame_hdr`: the sorted table from a pc to its frame description entry.
//!
//! Every linker writes one form (LSB Core, "The .eh_frame_hdr section"):
//!
//! ```text
//!  0  1     version
//!  1  0x1b  how eh_frame_ptr is encoded: relative to itself, 4 bytes
//!  2  0x03  how count is encoded: 4 bytes
//!  3  0x3b  how the table is encoded: relative to the section, 4 bytes
//!  4  eh_frame_ptr
//!  8  count
//! 12  (first pc, address of the FDE) × count
//! ```

use super::Error;

const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
const TABLE: usize = 12;

/// One entry of the table, in the file's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// First pc.
    pub start: u64,
    /// Address of the frame description entry.
    pub fde: u64,
}

/// The address of `.eh_frame` that a header at `addr` names.
pub(super) fn frames_addr(header: &[u8], addr: u64) -> Result<u64, Error> {
    if header.get(..FORM.len()) != Some(&FORM) {
        return Err(Error::UnknownHeader);
    }
    let distance = word(header, 4).ok_or(Error::UnknownHeader)?;
    Ok(addr.wrapping_add(4).wrapping_add_signed(distance))
}

/// The table of a header whose form was checked by [`frames_addr`].
pub(super) struct Header<'a> {
    table: &'a [[u8; 8]],
    addr: u64,
}

impl<'a> Header<'a> {
    /// The table of `header`, which lies at `addr`; as long as it says, but no
    /// longer than its bytes.
    pub fn new(header: &'a [u8], addr: u64) -> Header<'a> {
        let (table, _) = header.get(TABLE..).unwrap_or_default().as_chunks();
        let count = word(header, 8).map_or(0, |count| count as u32 as usize);
        Header { table: &table[..count.min(table.len())], addr }
    }

    /// The entry that holds `pc`, if any does.
    pub fn find(&self, pc: u64) -> Option<Entry> {
        let behind = self.table.partition_point(|pair| self.entry(pair).start <= pc);
        Some(self.entry(self.table.get(behind.checked_sub(1)?)?))
    }

    /// All entries, in the file's order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry> + '_ {
        self.table.iter().map(|pair| self.entry(pair))
    }

    fn entry(&self, pair: &[u8; 8]) -> Entry {
        let [a, b, c, d, e, f, g, h] = *pair;
        let at = |bytes| self.addr.wrapping_add_signed(i64::from(i32::from_le_bytes(bytes)));
        Entry { start: at([a, b, c, d]), fde: at([e, f, g, h]) }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(count: u32, pairs: &[(i32, i32)]) -> Vec<u8> {
        let mut bytes = FORM.to_vec();
        bytes.extend(0x100i32.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(pairs.iter().flat_map(|(a, b)| [a.to_le_bytes(), b.to_le_bytes()]).flatten());
        bytes
    }

    #[test]
    fn entries_are_found_by_pc() {
        let bytes = header(3, &[(-0x10, 1), (0, 2), (0x20, 3)]);
        let header = Header::new(&bytes, 0x1000);
        let fde = |pc| header.find(pc).map(|entry| entry.fde - 0x1000);
        assert_eq!([fde(0xfef), fde(0xff0), fde(0xfff)], [None, Some(1), Some(1)]);
        assert_eq!([fde(0x1000), fde(0x101f), fde(u64::MAX)], [Some(2), Some(2), Some(3)]);
        assert_eq!(frames_addr(&bytes, 0x1000).ok(), Some(0x1104));
    }

    #[test]
    fn a_lying_count_is_cut() {
        let bytes = header(u32::MAX, &[(0, 1)]);
        assert_eq!(Header::new(&bytes, 0).entries().len(), 1);
        assert_eq!(Header::new(&bytes[..11], 0).entries().len(), 0);
    }

    #[test]
    fn other_forms_are_refused() {
        assert!(matches!(frames_addr(&[1, 0x1b, 0x03], 0), Err(Error::UnknownHeader)));
        assert!(matches!(frames_addr(&[1, 0x1b, 0x03, 0x3b], 0), Err(Error::UnknownHeader)));
        assert!(matches!(frames_addr(&[2, 0x1b, 0x03, 0x3b, 0, 0, 0, 0], 0), Err(Error::UnknownHeader)));
    }
}
