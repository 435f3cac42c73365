//! One attacher at a time for a process.
//!
//! An abstract socket named after the process: the kernel drops it with us, and it
//! is nowhere in the file system. It holds within a network namespace; between
//! two of them the owner word of the ring decides, once there is a ring.

use super::Error;
use super::ground::{own_pid, refused};
use prof_injector::process::Process;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::{fs, io};

/// Held for as long as this process changes the target.
pub struct Lock {
    _socket: UnixDatagram,
}

impl Lock {
    /// Takes the lock, or refuses: somebody else is at the process.
    pub fn take(process: &Process) -> Result<Lock, Error> {
        let name = name(process)?;
        let addr = SocketAddr::from_abstract_name(name).map_err(Error::io("naming a lock"))?;
        match UnixDatagram::bind_addr(&addr) {
            Ok(socket) => Ok(Lock { _socket: socket }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(in_use(process)),
            Err(error) => Err(Error::Io { what: "taking a lock", source: error }),
        }
    }
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
