//! Resident memory added up: by category, by file, by place.

use super::category::{Category, Segment};
use prof_injector::process::Resident;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

/// What a look found so far.
#[derive(Default)]
pub struct Sum {
    categories: BTreeMap<Category, Bytes>,
    /// Anonymous memory among the certain.
    own_bytes: u64,
    files: BTreeMap<String, u64>,
    /// Ascending.
    places: Vec<(Range<u64>, Bytes)>,
}

/// What is resident of a place or of a category.
#[derive(Clone, Copy, Default)]
struct Bytes {
    certain: u64,
    doubtful: u64,
}

impl Sum {
    /// Adds what is resident in a part of a segment. Parts come in ascending order.
    pub fn add(&mut self, segment: &Segment, range: Range<u64>, resident: Resident) {
        // A shared mapping has nothing anonymous: the rest of it is device memory. And
        // anonymous memory has nothing of files: that is the huge zero page.
        let own = if segment.mapping.shared { Resident::default() } else { resident };
        let is_anonymous = segment.mapping.is_anonymous() && !segment.mapping.shared;
        let has_files = !is_anonymous || segment.category == Category::Other;
        let certain = own.own_bytes + if has_files { resident.file_bytes } else { 0 };
        let bytes = Bytes { certain, doubtful: own.doubtful_bytes };
        self.categories.entry(segment.category).or_default().add(bytes);
        self.own_bytes += own.own_bytes;
        if segment.category == Category::Files {
            *self.files.entry(segment.mapping.name.clone()).or_default() += certain;
        }
        if segment.category != Category::Prof {
            self.places.push((range, bytes));
        }
    }

    /// Bytes by category, and by the largest `files`. The kernel counts `anonymous_bytes`.
    pub fn parts(&self, anonymous_bytes: u64, files: usize) -> BTreeMap<String, u64> {
        let counted = self.counted(anonymous_bytes);
        let parts =
            self.categories.iter().map(|(category, bytes)| (category.name().to_owned(), counted(bytes)));
        let mut by_size: Vec<_> = self.files.iter().filter(|(_, bytes)| **bytes > 0).collect();
        by_size.sort_by_key(|(_, bytes)| Reverse(**bytes));
        let files = by_size.into_iter().take(files).map(|(path, bytes)| (format!("file:{path}"), *bytes));
        parts.chain(files).collect()
    }

    /// First address, bytes and resident bytes of the `most` places that hold most,
    /// ascending. Neighbours that are wholly resident are one.
    pub fn extents(&self, anonymous_bytes: u64, most: usize) -> Vec<(u64, u64, u64)> {
        let counted = self.counted(anonymous_bytes);
        let mut extents: Vec<(u64, u64, u64)> = Vec::new();
        for (range, found) in &self.places {
            let (bytes, resident) = (range.end - range.start, counted(found));
            match extents.last_mut() {
                Some(last) if last.0 + last.1 == range.start && last.1 == last.2 && bytes == resident => {
                    *last = (last.0, last.1 + bytes, last.2 + bytes);
                }
                _ if resident > 0 => extents.push((range.start, bytes, resident)),
                _ => {}
            }
        }
        if extents.len() > most {
            extents.sort_by_key(|extent| Reverse(extent.2));
            extents.truncate(most);
            extents.sort();
        }
        extents
    }

    /// What counts of some bytes. Of the doubtful as many as the kernel's counter has room
    /// for; the others are the zero page.
    fn counted(&self, anonymous_bytes: u64) -> impl Fn(&Bytes) -> u64 {
        let doubtful: u64 = self.categories.values().map(|bytes| bytes.doubtful).sum();
        let room = anonymous_bytes.saturating_sub(self.own_bytes).min(doubtful);
        let part = move |bytes: u64| u128::from(bytes) * u128::from(room) / u128::from(doubtful.max(1));
        move |bytes| bytes.certain + part(bytes.doubtful) as u64
    }
}

impl Bytes {
    fn add(&mut self, Bytes { certain, doubtful }: Bytes) {
        self.certain += certain;
        self.doubtful += doubtful;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prof_injector::process::Mapping;

    fn sum() -> Sum {
        let mut sum = Sum::default();
        let mut add = |category, line, resident| {
            let mapping = Mapping::parse(line).expect("a line of maps");
            let segment = Segment { range: mapping.range.clone(), category, mapping: &mapping };
            sum.add(&segment, mapping.range.clone(), resident);
        };
        let resident = Resident { own_bytes: 40, doubtful_bytes: 20, ..Resident::default() };
        add(Category::Anonymous, "1000-2000 rw-p 0 00:00 0 ", resident);
        let resident = Resident { doubtful_bytes: 60, ..Resident::default() };
        add(Category::BrkHeap, "2000-3000 rw-p 0 00:00 0 ", resident);
        let resident = Resident { file_bytes: 8, doubtful_bytes: 4, ..Resident::default() };
        add(Category::Files, "3000-4000 rw-s 0 08:01 7 /data/x", resident);
        sum
    }

    /// anonymous, brk_heap, files
    fn parts(anonymous_bytes: u64) -> [u64; 3] {
        let parts = sum().parts(anonymous_bytes, 0);
        ["anonymous", "brk_heap", "files"].map(|name| parts[name])
    }

    #[test]
    fn doubtful_pages_count_as_far_as_the_kernel_does() {
        assert_eq!(parts(120), [60, 60, 8], "shared with a fork");
        assert_eq!(parts(500), [60, 60, 8], "it grew meanwhile");
        assert_eq!(parts(40), [40, 0, 8], "the zero page");
        assert_eq!(parts(80), [50, 30, 8]);
        assert_eq!(parts(0), [40, 0, 8], "it shrank meanwhile");
    }

    #[test]
    fn the_huge_zero_page_does_not_count() {
        for (line, category, counted) in [
            ("5000-9000 rw-p 0 00:00 0 ", Category::Anonymous, 100),
            ("5000-9000 r-xp 0 00:00 0 [vdso]", Category::Other, 180),
            ("5000-9000 rw-p 0 08:01 7 /lib/x.so", Category::Files, 180),
            ("5000-9000 rw-s 0 00:01 7 /dev/zero", Category::Shared, 80),
        ] {
            let mapping = Mapping::parse(line).expect("a line of maps");
            let segment = Segment { range: mapping.range.clone(), category, mapping: &mapping };
            let mut sum = Sum::default();
            let resident = Resident { own_bytes: 100, file_bytes: 80, ..Resident::default() };
            sum.add(&segment, mapping.range.clone(), resident);
            assert_eq!(sum.parts(1000, 0)[category.name()], counted, "{line}");
        }
    }

    #[test]
    fn files_have_names() {
        assert_eq!(sum().parts(0, 5)["file:/data/x"], 8);
        assert_eq!(sum().parts(0, 0).get("file:/data/x"), None);
    }

    #[test]
    fn extents_are_those_that_hold_most() {
        let page = 0x1000;
        assert_eq!(sum().extents(80, 9), [(0x1000, page, 50), (0x2000, page, 30), (0x3000, page, 8)]);
        assert_eq!(sum().extents(80, 2), [(0x1000, page, 50), (0x2000, page, 30)]);
        assert_eq!(sum().extents(0, 9), [(0x1000, page, 40), (0x3000, page, 8)]);
    }

    #[test]
    fn whole_neighbours_are_one_extent() {
        let mapping = Mapping::parse("1000-9000 rw-p 0 00:00 0 ").expect("a line of maps");
        let segment = Segment { range: 0x1000..0x9000, category: Category::Anonymous, mapping: &mapping };
        let mut sum = Sum::default();
        for (start, own_bytes) in [(0x1000, 0x1000), (0x2000, 0x1000), (0x3000, 0x800), (0x5000, 0x1000)] {
            let resident = Resident { own_bytes, ..Resident::default() };
            sum.add(&segment, start..start + 0x1000, resident);
        }
        let expected = [(0x1000, 0x2000, 0x2000), (0x3000, 0x1000, 0x800), (0x5000, 0x1000, 0x1000)];
        assert_eq!(sum.extents(0, 9), expected);
    }
}
