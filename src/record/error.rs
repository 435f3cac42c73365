//! Why a recording does not begin, or broke.

use crate::capture;
use crate::cpython::NotPython;
use prof_injector::call::CallError;
use prof_injector::detour::ArmError;
use prof_injector::failpoint::ToldToFail;
use prof_injector::region::RegionError;
use std::io;

/// What went wrong. Unless the message says otherwise, the target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was touched.
    #[error("{why}")]
    Refused {
        /// The reason.
        why: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A call in the target could not be made.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The private region could not be made or removed.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// A detour could not be changed.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// The capture could not be written.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// The target refused a system call that it was made to make.
    #[error("{call} was refused in the target: {source}")]
    RemoteCall {
        /// The system call.
        call: &'static str,
        /// The target's errno.
        source: io::Error,
    },
    /// The target's loader did not take the payload.
    #[error("the target's dlopen refused the payload: {0}")]
    Dlopen(String),
    /// Something of the target could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel takes no writes to code.
    #[error("the kernel did not let prof write code of its own into the target: {source}")]
    CodeRefused {
        /// What the kernel said.
        source: io::Error,
    },
    /// A protection of the target was not what it must be.
    #[error("{0}")]
    Unexpected(&'static str),
    /// A test asked for it.
    #[error(transparent)]
    ToldToFail(#[from] ToldToFail),
    /// A step of getting in failed, and so did taking back those before it.
    #[error("{first}; and what was done could not all be taken back: {also}; what is left is inert")]
    NotTakenBack {
        /// What failed first.
        first: Box<Error>,
        /// What failed then.
        also: Box<Error>,
    },
    /// A step of getting in failed; those before it were taken back.
    #[error("process {pid} could not be recorded, and all that was done is undone: {why}")]
    Undone {
        /// The target.
        pid: i32,
        /// What failed.
        why: Box<Error>,
    },
    /// It ended, or became another program, while prof was getting in.
    #[error("process {pid} {how}: nothing was recorded, and nothing of prof is left in it")]
    TargetGone {
        /// The target.
        pid: i32,
        /// What it has done.
        how: &'static str,
    },
    /// The end of a recording left something behind.
    #[error("the recording is complete, but not everything could be removed: {0}")]
    Residue(Box<Error>),
    /// Something stays in processes that the target forked.
    #[error("process {pid} and {more} others that were forked keep what is of prof, inert: {why}")]
    Heirs {
        /// One of them.
        pid: i32,
        /// How many others.
        more: usize,
        /// Why that one does.
        why: Box<Error>,
    },
    /// Threads did not leave our code in time.
    #[error("thread {tid} is still inside the payload; it stays loaded and inert ({bytes} bytes)")]
    StillInside {
        /// The thread.
        tid: i32,
        /// What stays.
        bytes: u64,
    },
    /// Somebody has copied a function pointer of ours to where it cannot be set back.
    #[error(
        "something in the process holds a function pointer to the payload (near {addr:#x}); it stays loaded and inert"
    )]
    PointerKept {
        /// Where.
        addr: u64,
    },
}

const HINT_HEIRS: &str =
    "run `prof detach --children PID` later to remove it; PID is the process that was recorded";

impl Error {
    /// Tells what was done when the kernel said no.
    pub fn io(what: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what, source }
    }

    /// What the user can do, if anything.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Refused { hint, .. } => hint.clone(),
            Error::Undone { why, .. } => why.hint(),
            Error::CodeRefused { .. } => Some(
                "boot without proc_mem.force_override=never (Linux 6.12), or ask what forbids it".to_owned(),
            ),
            Error::StillInside { .. }
            | Error::PointerKept { .. }
            | Error::NotTakenBack { .. }
            | Error::Heirs { .. }
            | Error::Residue(_) => Some(match self {
                Error::Residue(what) if matches!(**what, Error::Heirs { .. }) => HINT_HEIRS.to_owned(),
                _ => "run `prof detach PID` later to remove it".to_owned(),
            }),
            Error::Capture(capture::Error::Exists(_)) => {
                Some("--force replaces it, -o names another".to_owned())
            }
            _ => None,
        }
    }

    /// Whether nothing was touched.
    pub fn is_refusal(&self) -> bool {
        use capture::Error::{Create, Exists, NotRegular};
        matches!(self, Error::Refused { .. } | Error::Capture(Create(..) | Exists(_) | NotRegular(_)))
    }
}

impl Error {
    /// What speaks against process `pid`.
    pub fn not_python(pid: i32) -> impl FnOnce(NotPython) -> Error {
        move |error| Error::Refused {
            why: format!("process {pid} cannot be recorded: {error}"),
            hint: error.hint().map(str::to_owned),
        }
    }
}
