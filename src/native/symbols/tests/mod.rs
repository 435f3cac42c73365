//! Every address of every function of some programs, by every way to its name: what
//! addr2line (binutils) says of the program as it was built is said here too.

mod hostile;
mod program;
mod sources;
mod tables;

use super::{DebugFiles, SymbolFiles, Symbols};
use program::{Named, Program, has, named};
use sources::{C, CPP, RUST};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Where addr2line says something else on purpose: an inlined function without a name for
/// the linker gets the name of the function that it is in.
fn is_quirk(expected: &[Named], found: &[Named]) -> bool {
    let is_mangled = |name: &str| super::name::is_mangled(name.as_bytes());
    expected.len() > 1
        && expected.len() == found.len()
        && expected[1..] == found[1..]
        && expected[0][1] == found[0][1]
        && !is_mangled(&found[0][0])
        && expected[0][0].starts_with(&found[found.len() - 1][0])
}

/// Expectations that are taken before the program is changed.
struct Expected {
    program: Program,
    addresses: Vec<u64>,
    frames: Vec<Vec<Named>>,
}

impl Expected {
    fn of(source: &str, command: &str, step: usize) -> Expected {
        let program = Program::build(source, command);
        let addresses = program.addresses(step);
        assert!(addresses.len() > 30, "{command}: {} addresses", addresses.len());
        let frames = program.addr2line(&addresses);
        Expected { program, addresses, frames }
    }

    /// Compares with the program as it is now.
    #[track_caller]
    fn check(&self, what: &str) {
        let files = self.program.files();
        let mut symbols = Symbols::new(&files);
        let mut quirks = 0;
        for (address, expected) in self.addresses.iter().zip(&self.frames) {
            let found = named(&symbols.resolve(*address));
            if is_quirk(expected, &found) {
                quirks += 1;
            } else {
                assert_eq!(&found, expected, "{what}: {address:#x}");
            }
        }
        assert!(quirks * 200 < self.addresses.len(), "{what}: {quirks} of {}", self.addresses.len());
        assert!(!symbols.is_incomplete(), "{what}");
    }

    /// Whether some function was inlined, so that the check says something of that.
    fn has_inlined(&self) -> bool {
        self.frames.iter().any(|frames| frames.len() > 2)
    }
}

#[test]
fn compilers_and_their_options() {
    let table = [
        (C, "cc -O2 -g", 1),
        (C, "cc -O2 -gdwarf-4 -fdebug-types-section", 1),
        (C, "cc -O2 -gdwarf-2", 1),
        (C, "cc -O2 -g -gz=zlib", 1),
        (CPP, "g++ -O2 -g", 1),
        (CPP, "g++ -O1 -g -gz=zlib", 3),
        (RUST, "rustc -O -g", 37),
        (RUST, "rustc -O -g -Csymbol-mangling-version=v0 -Cforce-frame-pointers", 41),
    ];
    for (source, command, step) in table {
        let expected = Expected::of(source, command, step);
        assert!(expected.has_inlined(), "{command}");
        expected.check(command);
    }
}

#[test]
fn without_optimization_nothing_is_inlined() {
    for (source, command) in [(C, "cc -O0 -g"), (CPP, "g++ -O0 -gdwarf-4")] {
        Expected::of(source, command, 3).check(command);
    }
}

/// binutils 2.40 packs with zlib only; the test packs its sections itself.
#[test]
fn sections_packed_by_zstd() {
    let expected = Expected::of(C, "cc -O2 -g", 1);
    let program = &expected.program;
    let sections =
        [".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_line_str", ".debug_rnglists"];
    for section in sections {
        program.run(&format!(
            "objcopy -O binary --only-section={section} --set-section-flags {section}=alloc program part"
        ));
        let plain = std::fs::read(program.path("part")).unwrap();
        // Elf64_Chdr: ELFCOMPRESS_ZSTD, reserved, size, alignment.
        let mut packed = [2u32.to_le_bytes(), [0; 4]].concat();
        packed.extend([plain.len() as u64, 1].map(u64::to_le_bytes).concat());
        packed.extend(zstd::encode_all(&plain[..], 3).unwrap());
        program.write("packed", &packed);
        program.run(&format!("objcopy --update-section {section}=packed program"));
    }
    let bytes = std::fs::read(program.path("program")).unwrap();
    program.write("program", &flagged_as_compressed(bytes, &sections));
    expected.check("zstd");
}

/// Sets SHF_COMPRESSED, which objcopy cannot.
fn flagged_as_compressed(mut file: Vec<u8>, sections: &[&str]) -> Vec<u8> {
    use object::{Object, ObjectSection};
    const SHF_COMPRESSED: u8 = 8;
    let table = u64::from_le_bytes(file[0x28..0x30].try_into().unwrap()) as usize;
    let elf = super::image::Elf::parse(&file[..]).unwrap();
    let index = |name: &&str| elf.section_by_name(name).unwrap().index().0;
    let flags: Vec<_> = sections.iter().map(index).map(|index| table + index * 64 + 9).collect();
    flags.into_iter().for_each(|at| file[at] |= SHF_COMPRESSED);
    file
}

#[test]
fn what_was_stripped_off_is_found() {
    let ways: [(&str, &str); 4] = [
        ("build-id", "mkdir -p $(dirname $PLACE); mv program.debug $PLACE"),
        ("link, beside", "objcopy --add-gnu-debuglink=program.debug program"),
        (
            "link, .debug",
            "objcopy --add-gnu-debuglink=program.debug program; mkdir .debug; mv program.debug .debug",
        ),
        (
            "link, /usr/lib/debug",
            "objcopy --add-gnu-debuglink=program.debug program; mkdir -p usr/lib/debug; mv program.debug usr/lib/debug",
        ),
    ];
    for (source, command) in [(C, "cc -O2 -g -Wl,--build-id"), (CPP, "g++ -O2 -g -gz=zlib -Wl,--build-id")] {
        for (what, way) in ways {
            let expected = Expected::of(source, command, 5);
            let place = expected.program.place_by_build_id();
            expected.program.run("objcopy --only-keep-debug program program.debug; strip program");
            expected.program.run(&way.replace("$PLACE", &place));
            expected.check(what);
        }
    }
}

#[test]
fn what_belongs_to_another_program_is_not_taken() {
    let stripped = |debug: &str| {
        let program = Program::build(C, "cc -O2 -g -Wl,--build-id");
        program.run("cp program whole; objcopy --only-keep-debug program program.debug; strip program");
        program.run(&debug.replace("$PLACE", &program.place_by_build_id()));
        let files = program.files();
        files.stripped.is_some()
    };
    let place = "mkdir -p $(dirname $PLACE)";
    let link = "objcopy --add-gnu-debuglink=program.debug program";
    let table = [
        (format!("{place}; cp program.debug $PLACE"), true),
        (format!("{link}; printf x >> program.debug"), false),
        (link.to_owned(), true),
        (format!("{place}; cc -shared -nostdlib -Wl,--build-id -x c /dev/null -o $PLACE"), false),
        (format!("{place}; mkfifo $PLACE"), false),
        (format!("{place}; mkdir $PLACE"), false),
        (format!("{place}; ln -s /dev/zero $PLACE"), false),
    ];
    for (debug, is_taken) in table {
        assert_eq!(stripped(&debug), is_taken, "{debug}");
    }
}

/// A target in a container may have links in its file system, which lead below its root.
#[test]
fn links_do_not_lead_out_of_the_root() {
    let program = Program::build(C, "cc -O2 -g -Wl,--build-id");
    let place = program.place_by_build_id();
    program.run("objcopy --only-keep-debug program program.debug; strip program");
    program.run(&format!("mkdir -p $(dirname {place})"));
    let link = |to: &Path| {
        let _ = std::fs::remove_file(program.path(&place));
        symlink(to, program.path(&place)).unwrap();
        program.files().stripped.is_some()
    };
    assert!(link(Path::new("/program.debug")));
    assert!(link(Path::new("../../../../../../../../program.debug")));
    assert!(!link(&program.path("program.debug")));
}

#[test]
fn symbols_left_in_a_stripped_file() {
    let expected = Expected::of(C, "cc -O2", 1);
    // As gdb's manual makes it.
    expected.program.run(
        "nm -D program --format=posix --defined-only | awk '{ print $1 }' | sort > dynamic
         nm program --format=posix --defined-only | awk '$2 == \"T\" || $2 == \"t\" { print $1 }' | sort > all
         comm -13 dynamic all > kept
         objcopy --only-keep-debug program debug
         objcopy -S --remove-section .gdb_index --remove-section .comment --keep-symbols=kept debug mini
         strip --strip-all -R .comment program
         xz mini
         objcopy --add-section .gnu_debugdata=mini.xz program",
    );
    expected.check(".gnu_debugdata");
}

/// `dwz` moves what two files have in common to a third.
#[test]
fn what_files_share() {
    if !has("dwz") {
        return;
    }
    let expected = Expected::of(CPP, "g++ -O2 -g", 5);
    expected.program.run("cp program other; mkdir -p usr/lib/debug/.dwz");
    expected.program.run("dwz -m usr/lib/debug/.dwz/shared -M /usr/lib/debug/.dwz/shared program other");
    let files = expected.program.files();
    assert!(files.shared.is_some());
    expected.check("dwz");
}

/// Units that were never linked, but put into a package beside the program. addr2line does
/// not look for them: it is asked of the program with all of its DWARF.
#[test]
fn a_package_of_split_units() {
    let expected = Expected::of(C, "cc -O2 -gdwarf-4", 1);
    expected.program.run("cc -O2 -gdwarf-4 -gsplit-dwarf -o program program.c; dwp -e program; rm *.dwo");
    assert!(expected.program.files().package.is_some());
    expected.check("dwp");
}

/// The budget for reading DWARF is far from what real files take.
#[test]
fn real_files_are_read_whole() {
    for path in crate::native::test_target::pythons() {
        let library = path.parent().and_then(Path::parent).map(|prefix| prefix.join("lib"));
        let files =
            library.into_iter().flat_map(|lib| std::fs::read_dir(lib).into_iter().flatten().flatten());
        for file in
            files.map(|file| file.path()).filter(|path| path.to_string_lossy().contains("libpython3.1"))
        {
            let bytes = std::fs::read(&file).unwrap();
            let files = SymbolFiles::find(bytes, &file, &DebugFiles::below("/")).unwrap();
            let (mut symbols, steps) = (Symbols::new(&files), files.meter.left());
            let functions = symbols.functions();
            let inlined =
                functions.iter().filter(|function| symbols.resolve(function.start).len() > 1).count();
            assert!(
                functions.len() > 5000 && inlined > 100,
                "{}: {inlined} of {}",
                file.display(),
                functions.len()
            );
            assert!(
                files.meter.left() > steps / 4 * 3,
                "{}: {} of {steps}",
                file.display(),
                files.meter.left()
            );
        }
    }
}
