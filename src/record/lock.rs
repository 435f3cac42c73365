//! One attacher at a time for a process.
//!
//! A lock on the process itself, by its pidfd, where the kernel has one that tells
//! processes apart; it holds in whatever namespaces the two attachers are. Else an
//! abstract socket named after the process, which holds within a network namespace;
//! between two of them the owner word of the ring decides, once there is a ring. The
//! kernel drops either with us.

use super::Error;
use super::ground::{own_pid, refused};
use prof_injector::process::Process;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::{fs, io};

/// Held for as long as this process changes the target.
pub struct Lock {
    _process: Process,
    _socket: Option<UnixDatagram>,
}

impl Lock {
    /// Takes the lock, or refuses: somebody else is at the process.
    pub fn take(process: Process) -> Result<Lock, Error> {
        let socket = match process.lock().map_err(Error::io("locking the target's pidfd"))? {
            Some(true) => None,
            Some(false) => return Err(in_use(&process)),
            None => Some(bind(&process)?),
        };
        Ok(Lock { _process: process, _socket: socket })
    }
}

fn bind(process: &Process) -> Result<UnixDatagram, Error> {
    let addr = SocketAddr::from_abstract_name(name(process)?).map_err(Error::io("naming a lock"))?;
    UnixDatagram::bind_addr(&addr).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => in_use(process),
        _ => Error::Io { what: "taking a lock", source: error },
    })
}

/// The refusal.
pub fn in_use(process: &Process) -> Error {
    refused(
        format!("process {} is being recorded by another prof", process.pid()),
        Some("one recording at a time; end the other one first, its end removes everything"),
    )
}

/// The same from every pid namespace: the target's own, its pid there, its start.
fn name(process: &Process) -> Result<String, Error> {
    let namespace = fs::metadata(format!("/proc/{}/ns/pid", process.pid()));
    let namespace = namespace.map_err(Error::io("naming the target"))?.ino();
    Ok(format!("prof-{namespace}-{}-{}", own_pid(process)?, process.start_ticks()))
}
