//! `prof ps`.

use std::io::{self, BufWriter, Write, stdout};
use std::time::Duration;

use serde::Serialize;

use super::units;
use crate::record::{Candidate, Census, census};
use crate::report::{Plain, bytes, signed_bytes};

/// List the Python processes of this machine, the largest first.
///
/// Nobody is stopped or changed. The last column says why a process cannot be recorded;
/// its growth is that of a second.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  prof ps\n  prof ps --json\n  prof ps --trend 5s")]
pub(super) struct Arguments {
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Look twice, so far apart, to see what grows; 0 looks once.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::moment)]
    trend: Duration,
}

/// A process as `--json` prints it.
#[derive(Serialize)]
struct Line<'a> {
    pid: i32,
    user: &'a str,
    uid: u32,
    python: Option<&'a str>,
    resident_bytes: u64,
    growth_bytes: i64,
    name: &'a str,
    command: &'a [String],
    container: Option<&'a str>,
    attachable: bool,
    obstacle: Option<&'a str>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let ring = units::ring_size(units::RING_SIZE).map_err(anyhow::Error::msg)?;
    let Census { candidates, hidden } = census(ring, arguments.trend)?;
    let mut out = BufWriter::new(stdout().lock());
    match arguments.json {
        true => candidates.iter().try_for_each(|candidate| write_json(candidate, &mut out))?,
        false => write_table(&candidates, &mut out)?,
    }
    out.flush()?;
    if candidates.is_empty() {
        say!("prof: no Python process was found");
    }
    unseen(hidden).into_iter().for_each(|unseen| say!("note: {unseen}"));
    Ok(())
}

/// What is said of processes that may not be looked into.
pub(super) fn unseen(hidden: usize) -> Option<String> {
    let processes = if hidden == 1 { "process" } else { "processes" };
    (hidden > 0).then(|| format!("{hidden} {processes} may not be looked into; root of the host sees more"))
}

fn write_json(candidate: &Candidate, out: &mut impl Write) -> anyhow::Result<()> {
    let line = Line {
        pid: candidate.pid,
        user: &candidate.user,
        uid: candidate.uid,
        python: candidate.python.as_deref(),
        resident_bytes: candidate.resident_bytes,
        growth_bytes: candidate.growth_bytes,
        name: &candidate.name,
        command: &candidate.command,
        container: candidate.container.as_deref(),
        attachable: candidate.obstacle.is_none(),
        obstacle: candidate.obstacle.as_deref(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    Ok(writeln!(out)?)
}

/// So many characters of a command are shown.
const COMMAND_CHARACTERS: usize = 60;

/// Writes one line a process, under a line of titles; nothing if there are none.
pub(super) fn write_table(candidates: &[Candidate], out: &mut impl Write) -> io::Result<()> {
    if candidates.is_empty() {
        return Ok(());
    }
    let row = |candidate: &Candidate| {
        [
            candidate.pid.to_string(),
            Plain(&candidate.user).to_string(),
            candidate.python.clone().unwrap_or_else(|| "?".to_owned()),
            bytes(candidate.resident_bytes),
            match candidate.growth_bytes {
                0 => "-".to_owned(),
                growth => signed_bytes(growth),
            },
            candidate.container.as_deref().map_or_else(|| "-".to_owned(), |name| Plain(name).to_string()),
            command(candidate),
        ]
    };
    let titles = ["pid", "user", "python", "resident", "growth", "container", "command"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(titles).chain(candidates.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let obstacles = std::iter::once(None).chain(candidates.iter().map(|found| found.obstacle.as_deref()));
    for (row, obstacle) in rows.iter().zip(obstacles) {
        let [pid, user, python, resident, growth, container, command] = row;
        let [w0, w1, w2, w3, w4, w5] = widths[..] else { unreachable!("six widths") };
        write!(out, "{pid:>w0$}  {user:<w1$}  {python:<w2$}  {resident:>w3$}  {growth:>w4$}  ")?;
        write!(out, "{container:<w5$}  {command}")?;
        match obstacle {
            Some(why) => writeln!(out, "  (not attachable: {})", Plain(why))?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// The arguments; the name of a process without any.
pub(super) fn command_line(candidate: &Candidate) -> String {
    match candidate.command.is_empty() {
        true => format!("[{}]", candidate.name),
        false => candidate.command.join(" "),
    }
}

/// The same, cut.
fn command(candidate: &Candidate) -> String {
    let shown = Plain(&command_line(candidate)).to_string();
    match shown.char_indices().nth(COMMAND_CHARACTERS) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}
