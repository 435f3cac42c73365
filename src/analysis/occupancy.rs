//! How much live memory lay in given parts of the address space at given moments.
//!
//! ```text
//!  extents    ├──── 0 ────┤   ├─ 1 ─┤
//!  blocks       ██  ███████████   ██     ██
//!  occupied     2 + 5             2             the rest is outside
//! ```

use super::live::Live;
use crate::model::Tick;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A part of the address space: first address and bytes.
pub type Extent = (u64, u64);

/// Bytes of live blocks and mappings at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupied {
    /// In each extent.
    pub inside: Vec<u64>,
    /// In none of them.
    pub outside: u64,
}

/// Looks at what is live as moments pass.
#[derive(Clone, Debug, Default)]
pub struct Occupancy {
    ahead: VecDeque<(Tick, Vec<Extent>)>,
    passed: Vec<Occupied>,
}

impl Occupancy {
    /// Looks at a moment not before those known already, with disjoint extents in ascending
    /// order.
    pub fn look_at(&mut self, moment: Tick, extents: Vec<Extent>) {
        self.ahead.push_back((moment, extents));
    }

    /// To be told of each event before it is folded into `live`.
    #[inline]
    pub fn before(&mut self, event_at: Tick, live: &Live) {
        while self.ahead.front().is_some_and(|(moment, _)| *moment < event_at) {
            self.pass(live);
        }
    }

    /// After the last event.
    pub fn finish(&mut self, live: &Live) {
        while !self.ahead.is_empty() {
            self.pass(live);
        }
    }

    /// What was live at the first and at the last moment. Before there is a second one, it is
    /// now, and nothing is said of extents: they are compared with each other only.
    pub fn ends(&self, live: &Live) -> Vec<Occupied> {
        match &self.passed[..] {
            [] => Vec::new(),
            [then] => {
                let bytes = then.inside.iter().fold(then.outside, |sum, &bytes| sum.saturating_add(bytes));
                vec![Occupied { inside: Vec::new(), outside: bytes }, Occupied::by(live, &[])]
            }
            [first, .., last] => vec![first.clone(), last.clone()],
        }
    }

    #[cold]
    fn pass(&mut self, live: &Live) {
        if let Some((_, extents)) = self.ahead.pop_front() {
            self.passed.push(Occupied::by(live, &extents));
        }
    }
}

impl Occupied {
    fn by(live: &Live, extents: &[Extent]) -> Occupied {
        let mut occupied = Occupied { inside: vec![0; extents.len()], outside: 0 };
        for (start, bytes, others) in live.memory() {
            occupied.add(extents, start, bytes);
            occupied.add_others(extents, start, others);
        }
        occupied
    }

    /// Adds what a sample stands for, where that is.
    fn add_others(&mut self, extents: &[Extent], start: u64, bytes: u64) {
        let index = extents.partition_point(|&(at, length)| at.saturating_add(length) <= start);
        let sum = match extents.get(index) {
            Some(&(at, _)) if at <= start => &mut self.inside[index],
            _ => &mut self.outside,
        };
        *sum = sum.saturating_add(bytes);
    }

    fn add(&mut self, extents: &[Extent], start: u64, bytes: u64) {
        let end = start.saturating_add(bytes);
        let mut outside = end - start;
        let first = extents.partition_point(|&(at, length)| at.saturating_add(length) <= start);
        for (index, &(at, length)) in extents.iter().enumerate().skip(first) {
            if at >= end {
                break;
            }
            let part = at.saturating_add(length).min(end).saturating_sub(at.max(start));
            self.inside[index] = self.inside[index].saturating_add(part);
            outside = outside.saturating_sub(part);
        }
        self.outside = self.outside.saturating_add(outside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, Event, Kind, ProcessId, StackId, ThreadSerial, Tid, What};

    fn event(at: u64, what: What) -> Event {
        Event {
            at: Tick(at),
            process: ProcessId::ROOT,
            thread: ThreadSerial(1),
            tid: Tid(1),
            stack: StackId(1),
            what,
        }
    }

    fn add(live: &mut Live, occupancy: &mut Occupancy, event: Event) {
        occupancy.before(event.at, live);
        live.add(&event, |_| {});
    }

    #[test]
    fn what_is_live_is_divided_up() {
        let extents = vec![(100, 50), (200, 10), (u64::MAX - 5, 100)];
        let mut occupancy = Occupancy::default();
        occupancy.look_at(Tick(5), extents.clone());
        occupancy.look_at(Tick(9), extents);
        let mut live = Live::new(4096);
        let malloc = |addr, size| What::Alloc { kind: Kind::Malloc, addr: Addr(addr), size };
        for (at, what) in [
            (1, malloc(90, 20)),
            (5, malloc(140, 65)),
            (6, What::Free { kind: Kind::Free, addr: Addr(90) }),
            (9, malloc(u64::MAX - 3, 100)),
            (10, malloc(100, 1)),
        ] {
            add(&mut live, &mut occupancy, event(at, what));
        }
        occupancy.finish(&live);
        let found = occupancy.ends(&live);
        assert_eq!(found[0], Occupied { inside: vec![10 + 10, 5, 0], outside: 10 + 50 });
        assert_eq!(found[1], Occupied { inside: vec![10, 5, 3], outside: 50 });
    }

    #[test]
    fn mappings_count_in_whole_pages() {
        let mut live = Live::new(4096);
        let mut occupancy = Occupancy::default();
        (0..2).for_each(|_| occupancy.look_at(Tick(100), vec![(0x2000, 0x1000)]));
        let map = What::Alloc { kind: Kind::Mmap, addr: Addr(0x1000), size: 0x1001 };
        add(&mut live, &mut occupancy, event(1, map));
        occupancy.finish(&live);
        let expected = Occupied { inside: vec![0x1000], outside: 0x1000 };
        assert_eq!(occupancy.ends(&live), [expected.clone(), expected]);
    }

    /// As in a recording that goes on.
    #[test]
    fn one_moment_is_compared_with_now() {
        let mut live = Live::new(4096);
        let mut occupancy = Occupancy::default();
        assert_eq!(occupancy.ends(&live), []);
        occupancy.look_at(Tick(5), vec![(0, 4)]);
        let malloc = |addr, size| What::Alloc { kind: Kind::Malloc, addr: Addr(addr), size };
        [(1, malloc(1, 10)), (9, malloc(20, 7))]
            .into_iter()
            .for_each(|(at, what)| add(&mut live, &mut occupancy, event(at, what)));
        let outside = |outside| Occupied { inside: Vec::new(), outside };
        assert_eq!(occupancy.ends(&live), [outside(10), outside(17)]);
    }
}
