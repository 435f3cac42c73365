//! What a capture says of its target.

use super::Ground;
use super::clock::Reading;
use super::install::Installed;
use super::session::{Aggregation, Options};
use crate::cpython::Interpreter;
use crate::model::{Clock, EndReason, Entry, Kind, Metadata, Module, Python};
use prof_injector::detour::{Function, Plan};
use prof_injector::process::Process;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Bytes of a command line that are kept,
const COMMAND_LINE_MAX: usize = 64 << 10;
/// and characters of the argument that does not fit.
const ARGUMENT_MIN: usize = 200;

/// Describes the target.
pub fn describe(ground: &Ground, python: &Interpreter, options: &Options, start: &Reading) -> Metadata {
    let facts = python.facts(&ground.process, &ground.maps);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Metadata {
        prof_version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: ground.process.pid().as_raw() as u32,
        command_line: bounded(ground.process.command_line().unwrap_or_default()),
        host: host.trim_end().to_owned(),
        started_unix_ns: start.unix_ns,
        python: Python {
            version: facts.version.to_string(),
            implementation: facts.implementation.to_owned(),
            allocator: facts.allocator.to_string(),
        },
        libc: libc_version(ground).unwrap_or_default(),
        allocator: allocator(ground),
        domains: options.domains,
        page_size: prof_shared::region::PAGE,
        clock: Clock {
            ticks_per_second: options.clock.rough_rate(),
            origin_ticks: start.ticks,
            origin_unix_ns: start.unix_ns,
            shift: options.clock.shift(),
        },
        options: options_of(options),
        entries: Vec::new(),
        modules: modules(ground),
    }
}

/// A process can make its command line as long as it likes.
fn bounded(mut arguments: Vec<String>) -> Vec<String> {
    let mut room = COMMAND_LINE_MAX;
    let whole = arguments.iter().position(|argument| {
        let fits = argument.len() < room;
        room = room.saturating_sub(argument.len() + 1);
        !fits
    });
    if let Some(cut) = whole {
        arguments[cut] = arguments[cut].chars().take(ARGUMENT_MIN).chain(['…']).collect();
        arguments.truncate(cut + 1);
    }
    arguments
}

fn options_of(options: &Options) -> BTreeMap<String, String> {
    let ring = u64::from(options.ring.chunk_size) * u64::from(options.ring.chunk_count);
    let duration =
        options.duration.map(|duration| ("duration", humantime::format_duration(duration).to_string()));
    let ring = ("ring_bytes", ring.to_string());
    let aggregate = match options.aggregation {
        Aggregation::Never => None,
        Aggregation::WhenFull => Some(("aggregate", "when_full".to_owned())),
        Aggregation::Always => Some(("aggregate", "always".to_owned())),
    };
    let sample = options.sample.map(|bytes| ("sample_interval_bytes", bytes.to_string()));
    duration
        .into_iter()
        .chain([ring])
        .chain(sample)
        .chain(aggregate)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn modules(ground: &Ground) -> Vec<Module> {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect();
    let module = |module: &prof_injector::process::Module| Module {
        path: module.path.display().to_string(),
        build_id: module.build_id.as_deref().map(hex).unwrap_or_default(),
        start: module.range.start,
        end: module.range.end,
    };
    ground.modules.iter().map(module).collect()
}

/// Adds when recording began, which functions are hooked, and how.
pub fn add_installed(about: &mut Metadata, installed: &Installed) {
    about.started_unix_ns = installed.opened.unix_ns;
    about.clock.origin_ticks = installed.opened.ticks;
    about.clock.origin_unix_ns = installed.opened.unix_ns;
    let detours = installed.detours.iter().map(|(function, plan)| detour(function, plan));
    let pointers = installed.pointers.iter();
    let pointers = pointers.filter_map(|entry| Some(pointer(Kind::from_tag(entry.kind)?, entry.patch)));
    about.entries = detours.chain(pointers).collect();
}

/// A function that is detoured.
pub fn detour(function: &Function, plan: &Plan) -> Entry {
    Entry {
        name: function.name.to_owned(),
        module: function.module.display().to_string(),
        way: plan.way.name().to_owned(),
        patch: format!("{:#x}+{}", function.addr, plan.patch - function.addr),
    }
}

/// A function that is called through a pointer at `slot`.
pub fn pointer(kind: Kind, slot: u64) -> Entry {
    let (name, way) = (kind.name().to_owned(), "pointer".to_owned());
    Entry { name, module: String::new(), way, patch: format!("{slot:#x}") }
}

/// glibc carries its banner as text (csu/version.c).
fn libc_version(ground: &Ground) -> Option<String> {
    const BANNER: &[u8] = b"release version ";
    let libc = ground.modules.iter().find(|module| module.symbol("gnu_get_libc_version").is_some())?;
    let at = libc.data.windows(BANNER.len()).position(|window| window == BANNER)? + BANNER.len();
    let version = libc.data[at..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
    let version: String = version.map(|&byte| char::from(byte)).collect();
    Some(format!("glibc {}", version.trim_end_matches('.')))
}

/// The module that serves `malloc`: the first in the loader's order wins, and
/// libc comes last.
fn allocator(ground: &Ground) -> String {
    let defines = |module: &&prof_injector::process::Module| {
        module.symbol("malloc").is_some_and(|symbol| symbol.is_function)
            && module.symbol("_rtld_global").is_none()
    };
    let mut providers: Vec<_> = ground.modules.iter().filter(defines).collect();
    providers.sort_by_key(|module| module.symbol("gnu_get_libc_version").is_some());
    match providers.first() {
        Some(module) if module.symbol("gnu_get_libc_version").is_some() => "glibc".to_owned(),
        Some(module) => file_name(&module.path),
        None => String::new(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `prof-<name>-<pid>-<time>.prof` in the working directory; the name is the
/// script's, or the program's.
pub fn default_path(ground: &Ground, start: &Reading) -> PathBuf {
    let arguments = ground.process.command_line().unwrap_or_default();
    let script = arguments.iter().skip(1).find(|argument| argument.ends_with(".py"));
    let name = script.or(arguments.first()).map(|path| file_name(Path::new(path))).unwrap_or_default();
    let name = name.trim_end_matches(".py");
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().map(safe).take(40).collect();
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(start.unix_ns));
    let time = time.to_string().replace([':', '-'], "");
    format!("prof-{name}-{}-{time}.prof", ground.process.pid()).into()
}

/// Why a process that is gone is gone.
pub fn end_of(process: &Process) -> EndReason {
    match process.was_killed() {
        Some(true) => EndReason::TargetKilled,
        _ => EndReason::TargetExited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_bounded() {
        let line = |lengths: &[usize]| lengths.iter().map(|&length| "é".repeat(length)).collect::<Vec<_>>();
        let usual = line(&[10, 0, 300]);
        assert_eq!(bounded(usual.clone()), usual);
        let long = bounded(line(&[10, 10 << 20, 7]));
        assert_eq!((long.len(), long[1].as_str()), (2, ("é".repeat(200) + "…").as_str()));
        let many = bounded(line(&[0; 1 << 20]));
        assert!(many.len() <= COMMAND_LINE_MAX + 1 && many.last().is_some_and(|last| last == "…"));
    }
}
