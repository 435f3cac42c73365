//! One attacher at a time for a process.
//!
//! An abstract socket named after the process: the kernel drops it with us, and it
//! is nowhere in the file system. It holds within a network namespace; between
//! two of them the owner word of the ring decides, once there is a ring.

use super::ground::refused;
use super::{Error, Ground};
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
    pub fn take(ground: &Ground) -> Result<Lock, Error> {
        let name = name(ground).map_err(Error::io("naming the target"))?;
        let addr = SocketAddr::from_abstract_name(name).map_err(Error::io("naming a lock"))?;
        match UnixDatagram::bind_addr(&addr) {
            Ok(socket) => Ok(Lock { _socket: socket }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(in_use(ground)),
            Err(error) => Err(Error::Io { what: "taking a lock", source: error }),
        }
    }
}

/// The refusal.
pub fn in_use(ground: &Ground) -> Error {
    refused(
        format!("process {} is being recorded by another prof", ground.process.pid()),
        Some("one recording at a time; end the other one first, its end removes everything"),
    )
}

/// The same from every pid namespace: the target's own, its pid there, its start.
fn name(ground: &Ground) -> io::Result<String> {
    let process = &ground.process;
    let namespace = fs::metadata(format!("/proc/{}/ns/pid", process.pid()))?.ino();
    let own_pid = ground.own_pid().map_err(io::Error::other)?;
    Ok(format!("prof-{namespace}-{own_pid}-{}", process.start_ticks()))
}
