//! Valid inputs of each door.

use prof::capture::format::{BLOCK_HEAD, BlockHead, FILE_HEAD};
use prof_shared::kind::{Effect, Kind};
use prof_shared::record::{CodeField, Delta, Encoder};
use prof_shared::ring;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Larger files only take time.
const MAX_FILE: u64 = 2 << 20;

/// The seeds of the door `name`.
pub fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "records" => vec![chunk()],
        "ring" => rings(),
        "capture" => captures(),
        "elf" => elf_files(),
        "lines" => line_tables(),
        "proc" => proc_files(),
        "structures" => (0..6).map(image).collect(),
        "arenas" => vec![heap()],
        _ => Vec::new(),
    }
}

/// A chunk with every kind of record.
fn chunk() -> Vec<u8> {
    let (mut out, mut delta) = (vec![0; 4096], Delta::default());
    let mut encoder = Encoder::new(&mut out, &mut delta);
    encoder.origin(1, 4711, 0, 1_000_000);
    encoder.code(1, 12, [3, 0, 4, 5]);
    for (field, text) in [
        (CodeField::Name, &b"abc"[..]),
        (CodeField::File, b"f.py"),
        (CodeField::LineTable, b"\x80\0\xe8\x02\0"),
    ] {
        encoder.code_bytes(1, field, 1, 0, text.len()).copy_from_slice(text);
    }
    encoder.lost(3, 4);
    for (kind, n) in Kind::ALL.into_iter().zip(1..) {
        encoder.stack(0, 1);
        encoder.frame(1, n as i32 * 2);
        encoder.tag(kind);
        let (before, after) = (1_000_000 + n * 10, 1_000_005 + n * 10);
        let (old, new) = (n * 0x1000, n * 0x2000);
        match kind.effect() {
            Effect::Allocates | Effect::Unmaps => encoder.block(before, new, 64),
            Effect::Frees => encoder.moment(before, old),
            Effect::Reallocates => {
                encoder.moment(before, old);
                encoder.block(after, new, 128);
            }
            Effect::Remaps => {
                encoder.block(before, old, 4096);
                encoder.block(after, new, 8192);
                encoder.number(1);
            }
        }
    }
    let length = encoder.len();
    out.truncate(length);
    out
}

/// A target that fills chunks, as the door `ring` takes them: what, where, how long.
fn rings() -> Vec<Vec<u8>> {
    let turn = |what: u8, place: u16, bytes: &[u8]| {
        let [low, high] = place.to_le_bytes();
        [&[what, low, high, bytes.len() as u8], bytes].concat()
    };
    let head = |state: u32, committed: u32| {
        [ring::state(state, 7).to_le_bytes(), committed.to_le_bytes(), 3u32.to_le_bytes()].concat()
    };
    let records = &chunk()[..200];
    let filled = |state| [turn(2, 5, records), turn(1, 5, &head(state, 200)), turn(7, 0, &[])].concat();
    let nonsense =
        [turn(1, 6, &head(ring::FULL, u32::MAX)), turn(6, 0, &[]), turn(0, 64, &[0xff; 255])].concat();
    let asked_back =
        [turn(2, 9, records), turn(1, 9, &head(ring::OPEN, 100)), turn(5, 0, &[]), turn(7, 0, &[])];
    vec![
        filled(ring::FULL),
        [filled(ring::OPEN), filled(ring::FULL)].concat(),
        [nonsense, turn(4, 0, &[]), turn(7, 0, &[])].concat(),
        asked_back.concat(),
    ]
}

/// The golden captures, whole, and block by block as `prof::fuzz::frame` takes them.
fn captures() -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = fs::read_dir(golden).expect("the golden captures are there").flatten();
    let captures = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "prof"));
    let mut seeds = vec![describing()];
    for path in captures {
        let bytes = fs::read(path).expect("it can be read");
        seeds.push([&[1], &blocks(&bytes)[..]].concat());
        seeds.push([&[0], &bytes[..]].concat());
    }
    seeds
}

fn blocks(file: &[u8]) -> Vec<u8> {
    let mut at = FILE_HEAD as usize;
    let mut out = Vec::new();
    while let Some(head) = file.get(at..).and_then(|rest| rest.first_chunk()).and_then(BlockHead::from_bytes)
    {
        let body = &file[at + BLOCK_HEAD..][..head.length as usize];
        out.extend(block(head.kind as u8, body));
        at += head.total() as usize;
    }
    out
}

fn block(kind: u8, body: &[u8]) -> Vec<u8> {
    let Ok(length) = u16::try_from(body.len()) else { return Vec::new() };
    [&[kind], &length.to_le_bytes()[..], body].concat()
}

/// Every kind of block with every field that there is.
fn describing() -> Vec<u8> {
    let json = |kind, text: &str| block(kind, text.as_bytes());
    [
        vec![1],
        json(
            1,
            r#"{"pid":7,"command_line":["python3","a.py"],"python":{"version":"3.12.1"},"page_size":4096,
            "clock":{"ticks_per_second":1000000000,"origin_ticks":5,"origin_unix_ns":9,"shift":4},"started_unix_ns":9,
            "entries":[{"name":"malloc","module":"/lib/libc.so.6","way":"one byte","patch":"0x1+2"}],
            "modules":[{"path":"/lib/libc.so.6","build_id":"00","start":4096,"end":8192}]}"#,
        ),
        block(3, b"\x01\x0c\x03abc\x00\x04f.py\x05\x80\x00\xe8\x02\x00"),
        json(4, r#"{"t_ns":5,"tid":4711,"serial":1,"name":"worker"}"#),
        json(
            5,
            r#"{"t_ns":0,"resident_bytes":9000000,"parts":{"anonymous":5000000,"pymalloc_arenas":3000000,"files":1000000,
            "file:/lib/x":7},"pymalloc":{"arenas":2,"arena_bytes":1048576,"used_pools":60,"free_pools":4,"pool_bytes":16384,
            "ranges":[[1048576,2097152]]},"malloc_arenas":[{"system_bytes":1000000,"top_bytes":1000,"free_bytes":2000}],
            "extents":[[4096,1048576,1048576],[2097152,1048576,4096]]}"#,
        ),
        json(
            5,
            r#"{"t_ns":100,"resident_bytes":19000000,"parts":{"anonymous":15000000,"pymalloc_arenas":3000000,
            "files":1000000},"extents":[[4096,1048576,1048576],[2097152,1048576,1048576]]}"#,
        ),
        json(6, r#"{"kind":"gap","text":"a gap","from_ns":1,"to_ns":5,"allocations":3,"frees":4}"#),
        block(2, &piece()),
        json(
            7,
            r#"{"reason":"interrupted","unix_ns":99,"events":9,"longest_pause_us":7,"losses":{"allocations":1,"frees":2,
            "threadless":3,"nested":4,"truncated_stacks":5,"unreadable_stacks":6,"waited_us":7,"codes":8}}"#,
        ),
        block(9, b""),
    ]
    .concat()
}

/// The chunk as a piece whose columns are empty but for the last, and not compressed.
fn piece() -> Vec<u8> {
    let records = chunk();
    let length = (records.len() as u32).to_le_bytes();
    let mut body = [&1u64.to_le_bytes()[..], &0u32.to_le_bytes(), &length].concat();
    body.extend([&1u32.to_le_bytes()[..], &0u32.to_le_bytes(), &1_000_000u64.to_le_bytes()].concat());
    body.extend([0; 5 * 8]);
    body.extend([&length[..], &length, &records].concat());
    body
}

/// Programs and libraries of this machine, small ones of several makes.
fn elf_files() -> Vec<Vec<u8>> {
    let places = [
        "/lib/x86_64-linux-gnu/libdl.so.2",
        "/lib64/libdl.so.2",
        "/bin/true",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/libc.so.6",
    ];
    let files =
        places.iter().map(PathBuf::from).filter(|path| fs::metadata(path).is_ok_and(|m| m.len() <= MAX_FILE));
    let files: Vec<_> = files.filter_map(|path| fs::read(path).ok()).collect();
    files.into_iter().chain([prof::PAYLOAD.to_vec()]).chain(with_dwarf()).collect()
}

/// A library with inlined functions, where there is a compiler, by its ways to say so.
fn with_dwarf() -> Vec<Vec<u8>> {
    const SOURCE: &str = "
static inline __attribute__((always_inline)) int twice(int n) { return n * 2; }
static inline __attribute__((always_inline)) int again(int n) { return twice(n + twice(n)); }
int f(int n) { return again(n) + twice(n + 1); }
struct shape { int n; } g(struct shape one) { one.n = again(one.n); return one; }
";
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (source, library) = (dir.path().join("a.c"), dir.path().join("a.so"));
    fs::write(&source, SOURCE).expect("there is room");
    let options = ["-gdwarf-5", "-gdwarf-4", "-gz=zlib", "-gsplit-dwarf"];
    let build = |option: &&str| {
        let command = ["-O2", "-g", option, "-shared", "-nostdlib", "-o"];
        let status = Command::new("cc").args(command).arg(&library).arg(&source).status();
        status.is_ok_and(|status| status.success()).then(|| fs::read(&library).expect("it was built"))
    };
    options.iter().filter_map(build).collect()
}

/// The line tables of each interpreter that is here, of a function with loops and calls.
fn line_tables() -> Vec<Vec<u8>> {
    const SCRIPT: &str = "
import sys, json, argparse
minor = sys.version_info[1]
for function in (json.dumps, argparse.ArgumentParser.parse_known_args, argparse.HelpFormatter._format_usage):
    code = function.__code__
    table = code.co_lnotab if minor < 10 else code.co_linetable
    head = bytes([(minor - 8) % 6]) + code.co_firstlineno.to_bytes(4, 'little') + (20).to_bytes(4, 'little')
    print((head + table).hex())
";
    let versions = fs::read_dir("/root/.pyenv/versions").into_iter().flatten().flatten();
    let pythons =
        versions.map(|version| version.path().join("bin/python3")).chain([PathBuf::from("python3")]);
    let mut seeds = vec![[&[0; 9][..], &[6, 1, 4, 0xff, 0, 0xfe, 2, 5]].concat()];
    for python in pythons {
        let Ok(told) = Command::new(python).args(["-c", SCRIPT]).output() else { continue };
        seeds.extend(String::from_utf8_lossy(&told.stdout).lines().filter_map(from_hex));
    }
    seeds
}

fn from_hex(line: &str) -> Option<Vec<u8>> {
    (0..line.len() / 2).map(|at| u8::from_str_radix(line.get(at * 2..at * 2 + 2)?, 16).ok()).collect()
}

/// Our own, and names that a process may choose.
fn proc_files() -> Vec<Vec<u8>> {
    let own =
        ["maps", "status", "syscall"].map(|name| fs::read(format!("/proc/self/{name}")).unwrap_or_default());
    let odd = "7f00-7f10 rw-p 00000000 00:00 0 [anon: \u{1b}[2J ] ]\n7f10-7f10 r--p 0 0:0 0\n9-3 r--p 0 0:0 7 /a b (deleted)\n";
    own.into_iter().chain([odd.into()]).collect()
}

/// Pointers to everywhere in the image, and small numbers.
fn image(lot: u8) -> Vec<u8> {
    let word = |index: u64| match index % 3 {
        0 => (0x7a7a << 48) | ((index * 40) % 4096),
        1 => index % 70,
        _ => 1 << 2 | 1 << 5 | 1 << 6,
    };
    std::iter::once(lot).chain((0..512).flat_map(|index| word(index).to_le_bytes())).collect()
}

/// A main arena whose bins are empty, as glibc 2.36 lays it out.
fn heap() -> Vec<u8> {
    const DATA: u64 = 0x7f00_0020_0000;
    const BRK: u64 = 0x5500_0000_0000;
    let mut bytes = vec![0; 3 * 8192];
    let mut set = |at: u64, word: u64| bytes[at as usize..][..8].copy_from_slice(&word.to_le_bytes());
    let (first, bins) = (0x320, 0x320 + 112);
    set(bins - 16, BRK + 0x1000);
    for bin in 0..127 {
        let head = DATA + bins + bin * 16 - 16;
        set(bins + bin * 16, head);
        set(bins + bin * 16 + 8, head);
    }
    for (index, word) in [DATA + first, 0, 1, 8192, 8192].into_iter().enumerate() {
        set(bins + 2048 + index as u64 * 8, word);
    }
    set(8192 + 0x1008, 0x1001);
    bytes
}
