//! Who allocates, each stored once.

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use serde::{Deserialize, Serialize};
use std::hash::BuildHasher;

use crate::model::{Kind, StackId, ThreadSerial};

/// A stack of a thread that allocates by one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// From where.
    pub stack: StackId,
    /// Who.
    pub thread: ThreadSerial,
    /// By which function.
    pub kind: Kind,
    /// The mean number of bytes between two samples; 0 if all of its blocks are recorded.
    pub interval: u64,
}

/// A site interned in [`Sites`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SiteId(pub u32);

/// The number of a thread among those that have a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ThreadNumber(pub u32);

/// The interner.
#[derive(Debug, Default)]
pub struct Sites {
    sites: Vec<(Site, ThreadNumber)>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The site that each stack was at last, by the id of the stack.
    latest: Vec<u32>,
    threads: HashMap<ThreadSerial, ThreadNumber>,
}

const NONE: u32 = u32::MAX;

impl Sites {
    /// The id of a site.
    #[inline]
    pub fn intern(&mut self, site: Site) -> SiteId {
        let stack = site.stack.0 as usize;
        match self.latest.get(stack) {
            Some(&id) if id != NONE && self.sites[id as usize].0 == site => SiteId(id),
            _ => self.look_up(site),
        }
    }

    fn look_up(&mut self, site: Site) -> SiteId {
        let hash = self.hasher.hash_one(site);
        let found = self.index.find(hash, |&id| self.sites[id as usize].0 == site).copied();
        let id = found.unwrap_or_else(|| self.insert(hash, site));
        let stack = site.stack.0 as usize;
        if stack >= self.latest.len() {
            self.latest.resize(stack + 1, NONE);
        }
        self.latest[stack] = id;
        SiteId(id)
    }

    fn insert(&mut self, hash: u64, site: Site) -> u32 {
        let id = self.sites.len() as u32;
        let next = ThreadNumber(self.threads.len() as u32);
        let thread = *self.threads.entry(site.thread).or_insert(next);
        self.sites.push((site, thread));
        let (sites, hasher) = (&self.sites, &self.hasher);
        self.index.insert_unique(hash, id, |&id| hasher.hash_one(sites[id as usize].0));
        id
    }

    /// The site of an id that [`Sites::intern`] gave.
    pub fn get(&self, id: SiteId) -> Site {
        self.sites[id.0 as usize].0
    }

    /// Whose it is.
    #[inline]
    pub(super) fn thread(&self, id: SiteId) -> ThreadNumber {
        self.sites[id.0 as usize].1
    }

    /// The number of a thread that has a site.
    pub(super) fn number_of(&self, thread: ThreadSerial) -> Option<ThreadNumber> {
        self.threads.get(&thread).copied()
    }

    /// All of them, by id.
    pub fn all(&self) -> impl Iterator<Item = (SiteId, Site)> + '_ {
        (0..).map(SiteId).zip(self.sites.iter().map(|&(site, _)| site))
    }

    /// How many there are; every id is below this.
    pub fn len(&self) -> usize {
        self.sites.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(stack: u32, thread: u32, kind: Kind) -> Site {
        Site { stack: StackId(stack), thread: ThreadSerial(thread), kind, interval: 0 }
    }

    #[test]
    fn equal_sites_have_equal_ids() {
        let mut sites = Sites::default();
        let all = [
            site(1, 7, Kind::Malloc),
            site(1, 8, Kind::Malloc),
            site(1, 7, Kind::Calloc),
            site(9, 7, Kind::Malloc),
        ];
        for _ in 0..2 {
            let ids: Vec<_> = all.iter().map(|&site| sites.intern(site).0).collect();
            assert_eq!(ids, [0, 1, 2, 3]);
        }
        assert_eq!(sites.all().map(|(_, site)| site).collect::<Vec<_>>(), all);
        let threads: Vec<_> = (0..4).map(|id| sites.thread(SiteId(id)).0).collect();
        assert_eq!(threads, [0, 1, 0, 0]);
    }
}
