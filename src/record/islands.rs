//! The detours of one process: planned, mapped, written.

use super::{Error, Ground};
use prof_injector::detour::{Function, Holes, Limits, Plan, Planner, find, mappings};
use prof_injector::process::Maps;
use prof_shared::region::Entry;
use std::ops::Range;

/// Planned detours; one entry of the register each, in this order.
pub struct Islands {
    planner: Planner,
    planned: Vec<(Function, Plan)>,
    /// Functions that are left alone, and why.
    pub refused: Vec<String>,
}

impl Islands {
    /// Plans a detour for every allocator function of the process.
    pub fn plan(ground: &Ground, maps: &Maps) -> Result<Islands, Error> {
        let limits = Limits::read(ground.process.pid()).map_err(Error::io("reading the target's limits"))?;
        let found = find(&ground.modules);
        let refused = found.skipped.iter().map(ToString::to_string).collect();
        let mut islands =
            Islands { planner: Planner::new(Holes::new(maps, &limits)), planned: Vec::new(), refused };
        for function in found.functions {
            islands.add(ground, function)?;
        }
        match islands.planned.is_empty() {
            true => Err(Error::Unexpected("no allocator function of the process can be detoured")),
            false => Ok(islands),
        }
    }

    fn add(&mut self, ground: &Ground, function: Function) -> Result<(), Error> {
        let mut live = vec![0; function.code.len()];
        let memory = ground.process.memory();
        memory.read(function.addr, &mut live).map_err(Error::io("reading an allocator's code"))?;
        match self.planner.plan(&function, &live) {
            Ok(plan) => self.planned.push((function, plan)),
            Err(refused) => self.refused.push(refused.to_string()),
        }
        Ok(())
    }

    /// Functions and their plans.
    pub fn planned(&self) -> &[(Function, Plan)] {
        &self.planned
    }

    /// The pages that the islands need.
    pub fn pages(&self) -> Vec<Range<u64>> {
        mappings(self.planned.iter().map(|(_, plan)| plan.pages()))
    }

    /// The register's entries.
    pub fn entries(&self, region_header: u64) -> Vec<Entry> {
        self.planned.iter().map(|(_, plan)| plan.entry(region_header)).collect()
    }

    /// Plans anew what lay on `pages`, which somebody else has taken meanwhile.
    pub fn lose(&mut self, ground: &Ground, pages: &Range<u64>) -> Result<(), Error> {
        let touches = |plan: &Plan| plan.pages().start < pages.end && pages.start < plan.pages().end;
        let (lost, kept) = std::mem::take(&mut self.planned).into_iter().partition(|(_, plan)| touches(plan));
        self.planned = kept;
        for (_, plan) in &lost {
            self.planner.lost(plan);
        }
        lost.into_iter().try_for_each(|(function, _)| self.add(ground, function))
    }
}
