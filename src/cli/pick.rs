//! One process chosen on a full screen, from the list of `prof ps`.

use std::fs;
use std::io::{self, IsTerminal, stderr};
use std::os::unix::fs::MetadataExt;

use super::ps::{command_line, unseen};
use super::target::{Chosen, refused};
use crate::explore::may_take_terminal;
use crate::explore::picker::{self, Offer, Picked, Seen};
use crate::record::{Candidate, Census};

/// Whether somebody is there to choose: standard input, output and error are a terminal that can
/// be drawn on, and its keys are for us.
pub(super) fn is_possible() -> bool {
    stderr().is_terminal() && may_take_terminal()
}

/// Has one chosen of what was seen `first`, or of what `look` finds later.
pub(super) fn pick(
    first: &Census,
    mut look: impl FnMut() -> io::Result<Census> + Send,
) -> anyhow::Result<Chosen> {
    let own_uid = fs::metadata("/proc/self")?.uid();
    match picker::pick(seen(first, own_uid), || Ok(seen(&look()?, own_uid)))? {
        Picked::Process(pid, start_ticks) => return Ok(Chosen { pid, start_ticks: Some(start_ticks) }),
        Picked::Signal(signal) => signal_hook::low_level::emulate_default_handler(signal)?,
        Picked::Nothing => {}
    }
    Err(refused("no process was chosen".to_owned(), "give the pid, --name or --cmdline"))
}

fn seen(census: &Census, own_uid: u32) -> Seen {
    let offer = |candidate: &Candidate| Offer {
        pid: candidate.pid,
        start_ticks: candidate.start_ticks,
        is_own: candidate.uid == own_uid,
        user: candidate.user.clone(),
        python: candidate.python.clone(),
        resident_bytes: candidate.resident_bytes,
        container: candidate.container.clone(),
        command: command_line(candidate),
        obstacle: candidate.obstacle.clone(),
    };
    Seen { offers: census.candidates.iter().map(offer).collect(), note: unseen(census.hidden) }
}
