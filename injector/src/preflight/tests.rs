//! The decision by a table, the looking on real processes.

use super::*;
use crate::process::TaskState;
use std::process::{Command, Stdio};

const OWN: &str = "/memfd:prof-payload-1 (deleted)";

const NEEDS: Needs = Needs { memory: 100, shared_memory: 200, address_space: 1000 };

fn fine() -> Facts {
    Facts {
        pid: Pid::from_raw(42),
        own_pid: Pid::from_raw(7),
        kernel: (4, 14),
        states: vec![TaskState::Zombie, TaskState::Sleeping],
        traced_by: None,
        owner: 1000,
        own_uid: 1000,
        has_capability: false,
        yama_scope: Some(0),
        is_permitted: true,
        is_x86_64: Some(true),
        seccomp: 2,
        shadow_stack: false,
        confines: Confines {
            memory_room: Some(NEEDS.memory),
            shared_room: Some(NEEDS.shared_memory),
            is_frozen: false,
        },
        address_room: Some(NEEDS.address_space),
        mappings: ["/usr/lib/libjemalloc.so.2", "/opt/qemu-tools/python3", OWN, ""].map(str::to_owned).into(),
    }
}

#[test]
fn each_fact_has_its_refusal() {
    let pid = Pid::from_raw(42);
    let gdb = TracedBy { pid: 9, name: Some("gdb".into()) };
    type Change = fn(&mut Facts);
    let cases: [(Change, Refusal); 23] = [
        (|f| f.own_pid = f.pid, Refusal::Myself(pid)),
        (|f| f.kernel = (4, 13), Refusal::OldKernel(4, 13)),
        (|f| f.states = vec![TaskState::Zombie], Refusal::Zombie(pid)),
        (|f| f.states.push(TaskState::Stopped), Refusal::Stopped(pid)),
        (|f| f.confines.is_frozen = true, Refusal::Frozen(pid)),
        (|f| f.confines.memory_room = Some(99), Refusal::NoMemory { pid, room: 99, need: 100 }),
        (|f| f.confines.shared_room = Some(199), Refusal::NoMemory { pid, room: 199, need: 200 }),
        (|f| f.address_room = Some(999), Refusal::NoAddressSpace { pid, room: 999, need: 1000 }),
        (
            |f| f.traced_by = Some(TracedBy { pid: 9, name: Some("gdb".into()) }),
            Refusal::Traced { pid, by: gdb },
        ),
        (|f| (f.is_permitted, f.own_uid) = (false, 1001), Refusal::OtherUser { pid, owner: 1000 }),
        (|f| (f.is_permitted, f.yama_scope) = (false, Some(1)), Refusal::Yama { pid, scope: 1 }),
        (
            |f| (f.is_permitted, f.own_uid, f.has_capability, f.yama_scope) = (false, 0, true, Some(3)),
            Refusal::Yama { pid, scope: 3 },
        ),
        (|f| (f.is_permitted, f.own_uid) = (false, 0), Refusal::MissingCapability(pid)),
        (|f| (f.is_permitted, f.own_uid, f.has_capability) = (false, 0, true), Refusal::NotPermitted(pid)),
        (|f| f.is_permitted = false, Refusal::NotPermitted(pid)),
        (|f| f.is_x86_64 = Some(false), Refusal::OtherArchitecture(pid)),
        (|f| f.seccomp = 1, Refusal::StrictSeccomp(pid)),
        (|f| f.shadow_stack = true, Refusal::ShadowStack(pid)),
        (
            |f| f.mappings.push("/usr/lib/gcc/libasan.so.8".into()),
            Refusal::Instrumented { pid, tool: "AddressSanitizer" },
        ),
        (
            |f| f.mappings.push("/usr/libexec/valgrind/vgpreload_core-amd64-linux.so".into()),
            Refusal::Instrumented { pid, tool: "Valgrind" },
        ),
        (
            |f| f.mappings.push("/usr/bin/qemu-x86_64-static".into()),
            Refusal::Instrumented { pid, tool: "qemu user emulation" },
        ),
        (
            |f| f.mappings.push("/v/memray/_memray.cpython-312-x86_64-linux-gnu.so".into()),
            Refusal::OtherProfiler { pid, tool: "Memray" },
        ),
        (
            |f| f.mappings.push("/memfd:prof-payload-2 (deleted)".into()),
            Refusal::OtherBuild { pid, name: "/memfd:prof-payload-2".into() },
        ),
    ];
    assert_eq!(fine().verdict(OWN, NEEDS), Ok(()));
    for (change, expected) in cases {
        let mut facts = fine();
        change(&mut facts);
        assert_eq!(facts.verdict(OWN, NEEDS), Err(expected));
    }
}

#[test]
fn a_refusal_is_one_line_and_names_a_tracer() {
    let by = TracedBy { pid: 9, name: Some("g\ndb".into()) };
    let refusal = Refusal::Traced { pid: Pid::from_raw(42), by };
    assert_eq!(refusal.to_string(), "process 42 is already traced by g\\ndb (pid 9)");
    assert!(refusal.hint().is_some_and(|hint| !hint.contains('\n')));
}

/// Where a right is missing, the rule and the remedy are named, for containers too.
#[test]
fn missing_rights_have_remedies() {
    let pid = Pid::from_raw(42);
    let containers = ["docker run --cap-add=SYS_PTRACE", "kubectl debug --profile=sysadmin"];
    for (refusal, rule, remedies) in [
        (Refusal::Yama { pid, scope: 1 }, "kernel.yama.ptrace_scope is 1", &containers[..]),
        (Refusal::Yama { pid, scope: 2 }, "kernel.yama.ptrace_scope is 2", &["sysctl", "sudo"]),
        (Refusal::Yama { pid, scope: 3 }, "kernel.yama.ptrace_scope is 3", &["booted"]),
        (Refusal::MissingCapability(pid), "CAP_SYS_PTRACE", &containers),
        (Refusal::NotPermitted(pid), "not dumpable", &containers),
        (Refusal::OtherUser { pid, owner: 7 }, "uid 7", &["sudo"]),
    ] {
        let (text, hint) = (refusal.to_string(), refusal.hint().unwrap_or_default());
        assert!(text.contains(rule), "{text}");
        assert!(remedies.iter().all(|remedy| hint.contains(remedy)), "{hint}");
    }
}

#[test]
fn real_processes_are_judged() {
    let own = check(nix::unistd::getpid(), OWN, NEEDS).map(|(_, refusal)| refusal);
    assert_eq!(own, Ok(Some(Refusal::Myself(nix::unistd::getpid()))));
    let nobody = Pid::from_raw(i32::MAX);
    assert_eq!(check(nobody, OWN, NEEDS).map(|(_, refusal)| refusal), Err(Refusal::NoSuchProcess(nobody)));
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let (process, refusal) = check(pid, OWN, NEEDS).unwrap();
    assert_eq!(refusal, None);
    drop(child.stdin.take());
    assert!(process.wait_exit(std::time::Duration::from_secs(10)).unwrap());
    assert_eq!(Facts::gather(&process).verdict(OWN, NEEDS), Err(Refusal::Zombie(pid)));
    child.wait().unwrap();
}
