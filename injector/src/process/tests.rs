//! The process that runs the tests, looked at by itself.

use super::*;
use std::process::{Command, Stdio};

fn myself() -> Process {
    Process::open(nix::unistd::getpid()).unwrap()
}

#[test]
fn a_process_sees_itself_as_it_is() {
    let process = myself();
    let tid = Tid(nix::unistd::gettid().as_raw());
    assert!(process.is_alive() && process.tasks().unwrap().contains(&tid));
    // Who looks is in `read`.
    assert!(matches!(process.activity(tid).unwrap(), Activity::Blocked { number: libc::SYS_read, .. }));
    assert_eq!(process.status(tid).unwrap().state, TaskState::Running);
    assert_eq!(process.command_line().unwrap(), std::env::args().collect::<Vec<_>>());
    assert_eq!(process.exe_path().unwrap(), std::env::current_exe().unwrap());
    assert!(process.rss_bytes().unwrap() > 100 << 10);
    let marker = 0x1122_3344_5566_7788_u64;
    let addr = std::hint::black_box(&marker) as *const u64 as u64;
    assert_eq!(process.memory().read_u64(addr).unwrap(), marker);
    assert!(process.maps().unwrap().at(addr).is_some_and(|mapping| mapping.write));
}

#[test]
fn a_thread_is_not_a_process() {
    let tid = std::thread::spawn(|| {
        let tid = nix::unistd::gettid();
        (tid, Process::open(tid).is_err())
    });
    assert!(tid.join().unwrap().1);
}

#[test]
fn the_end_of_a_process_is_noticed() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let process = Process::open(Pid::from_raw(child.id() as i32)).unwrap();
    assert!(process.is_alive() && !process.wait_exit(Duration::ZERO).unwrap());
    drop(child.stdin.take());
    assert!(process.wait_exit(Duration::from_secs(10)).unwrap());
    assert!(!process.is_alive() && process.maps().is_err());
    child.wait().unwrap();
    assert!(process.command_line().is_err() && process.tasks().is_err());
}
