//! Starting the process that is to be recorded, from its first Python code on.
//!
//! The moment is the first system call on a path that the interpreter makes while Python
//! code is executed: CPython reads its standard library then, from the first import on
//! (`encodings`). libc, the loader and the interpreter are through with their own start,
//! and nothing of the program has run.

use super::Error;
use super::ground::refused;
use crate::cpython::{Interpreter, Looks, NotPython};
use prof_injector::launch::{Call, LaunchError, Launched, Moment, Program, launch};
use prof_injector::process::{Maps, Module, Process};
use std::ffi::OsString;

/// How a start went.
pub enum Start {
    /// It waits to be recorded.
    Ready(Box<Program>),
    /// It ended before it was a Python, with this wait status.
    Ended(i32),
}

/// Starts `command` and has it wait at its first Python code. To be
/// called while this process has one thread.
pub fn start(command: &[OsString]) -> Result<Start, Error> {
    let name = command.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let mut look = Look::default();
    match launch(command, |process, call| look.moment(process, call)) {
        Ok(Launched::Held(program)) => Ok(Start::Ready(program)),
        Ok(Launched::Ended(status)) => Ok(Start::Ended(status)),
        Ok(Launched::Wrong(wrong)) => {
            Err(refused(format!("{name} cannot be recorded: {wrong}"), wrong.hint()))
        }
        Err(LaunchError::Exec(error)) => Err(refused(
            format!("{name} cannot be started: {error}"),
            Some("`prof run -- PROGRAM …` starts a program, `prof run app.py …` a script with python3"),
        )),
        Err(error) => Err(refused(format!("{name} could not be held at its start: {error}"), None)),
    }
}

/// What is known of the image that is executed.
#[derive(Default)]
struct Look {
    image: Option<Image>,
}

struct Image {
    maps: Maps,
    modules: Vec<Module>,
}

impl Look {
    fn moment(&mut self, process: &Process, call: Call) -> Moment<NotPython> {
        match call.number {
            libc::SYS_execve | libc::SYS_execveat => self.image = None,
            // A path is asked for, and libc has no lock and nothing half done.
            libc::SYS_stat | libc::SYS_newfstatat | libc::SYS_lstat | libc::SYS_statx => {
                return self.ask(process, call.pc);
            }
            _ => {}
        }
        Moment::NotYet
    }

    fn ask(&mut self, process: &Process, pc: u64) -> Moment<NotPython> {
        if self.image.is_none() {
            let Ok(maps) = process.maps() else { return Moment::NotYet };
            // The loader still maps what the program needs.
            if maps.at(pc).is_none_or(|mapping| is_loader(&mapping.name)) {
                return Moment::NotYet;
            }
            let modules = process.modules(&maps);
            self.image = Some(Image { maps, modules });
        }
        let Some(image) = &self.image else { return Moment::NotYet };
        match Interpreter::find(process, &image.maps, &image.modules) {
            Ok(python) if python.verify(&process.memory()) == Looks::Right => Moment::Now,
            Ok(_)
            | Err(NotPython::NotInitialized | NotPython::UnknownVersion(_) | NotPython::Unreadable(_)) => {
                Moment::NotYet
            }
            Err(NotPython::NoInterpreter) => Moment::Never,
            Err(wrong) => Moment::Wrong(wrong),
        }
    }
}

fn is_loader(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|file| file.starts_with("ld-") || file.starts_with("ld."))
}
