//! Targets under seccomp filters: `prof` never has them make a call that kills them.

use crate::dsl::*;

/// A target in which `command` has been done.
fn filtered(command: &str) -> Target {
    let mut target = target("filtered.py").ready();
    target.ask(command);
    target
}

fn attach(target: &Target) -> Prof {
    let file = target.scratch().join("capture.prof");
    prof(&["attach", &target.pid(), "--force", "-q", "-o"]).arg(&file)
}

/// The path of the program that puts what it runs under a filter.
fn confined<'a>(python: &'a str, program: &'a str, filter: [&'a str; 2]) -> [&'a str; 4] {
    [python, program, filter[0], filter[1]]
}

#[track_caller]
fn is_refused(mut target: Target, attach: Prof, says: &[&str]) {
    let before = Snapshot::of(&target);
    attach.arg("--duration=100ms").run().refuses(REFUSAL, says).hints("");
    before.same_as(&Snapshot::of(&target));
    // Its end may need what is forbidden now.
    target.ask("allocate 4321");
}

#[track_caller]
fn is_recorded(mut target: Target, attach: Prof) {
    let before = Snapshot::of(&target);
    let recording = attach.recording();
    target.ask("allocate 4321");
    recording.interrupt().capture().one(4321);
    before.same_text_as(&Snapshot::of(&target));
    target.finish();
}

/// Every call that is made in a target, killed for in each of the three ways.
#[test]
fn calls_that_kill() {
    for name in [
        "memfd_create",
        "mmap_exec",
        "mprotect",
        "mprotect_exec",
        "munmap",
        "madvise_wipe",
        "sigaltstack",
        "tgkill",
        "openat",
        "close",
        "rt_sigreturn",
        "restart_syscall",
    ] {
        let target = filtered(&format!("filter kill {name}"));
        let call = name.split("_exec").next().expect("a name").trim_end_matches("_wipe");
        let attach = attach(&target);
        is_refused(target, attach, &["seccomp", "kills the process for", call]);
    }
    for (action, says) in [("kill_thread", "kills the thread for"), ("trap", "SIGSYS")] {
        let target = filtered(&format!("filter {action} memfd_create"));
        let attach = attach(&target);
        is_refused(target, attach, &[says, "memfd_create"]);
    }
}

/// A thread that waits with a time limit, and would go on by a call that kills: not even
/// the look at its filter may be the end of it.
#[test]
fn a_wait_that_may_not_be_restarted() {
    let mut target = filtered("filter kill restart_syscall");
    for _ in 0..5 {
        attach(&target).run().refuses(REFUSAL, &["kills the process for restart_syscall"]);
        target.ask("allocate 4321");
    }
}

/// A filter of one thread, which is not the one that would be used.
#[test]
fn a_filter_of_one_thread() {
    let target = filtered("alone kill sigaltstack");
    let attach = attach(&target);
    is_refused(target, attach, &["sigaltstack"]);
}

/// What a call that is needed fails of is said beforehand too.
#[test]
fn a_call_that_fails() {
    let target = filtered("filter errno memfd_create");
    let attach = attach(&target);
    is_refused(target, attach, &["refuses memfd_create"]);
}

/// Filters that have nothing against what is done there.
#[test]
fn filters_that_do_not_matter() {
    for command in
        ["filter kill prctl", "filter kill membarrier", "filter errno tgkill", "filter errno docker"]
    {
        let target = filtered(command);
        let attach = attach(&target);
        is_recorded(target, attach);
    }
}

/// One that comes while recording: the thread that would have to unmap is not made to.
#[test]
fn a_filter_that_comes_later() {
    let mut target = target("filtered.py").ready();
    let recording = attach(&target).recording();
    target.ask("filter kill munmap");
    recording.signal(rustix::process::Signal::INT);
    let finished = recording.wait();
    assert_eq!(finished.status.and_then(|status| status.code()), Some(FAILURE), "{finished}");
    finished.says("not everything could be removed").says("kills the process for munmap");
    target.ask("allocate 4321");
    prof(&["detach", &target.pid()]).run().refuses(REFUSAL, &["munmap"]);
    target.ask("allocate 4321");
}

/// Without CAP_SYS_ADMIN filters cannot be read.
#[test]
fn filters_that_cannot_be_read() {
    let target = filtered("filter errno docker");
    let attach = attach(&target).under(&["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]);
    is_refused(target, attach, &["may not read"]);
}

/// Within the container of the target `prof` is under the same filters: what they do to
/// it shows what they would do to the target.
#[test]
fn the_filter_of_a_container() {
    let python = interpreter("3.12").display().to_string();
    let program = program("seccomp.py").display().to_string();
    for (action, name, is_fine) in
        [("kill", "memfd_create", false), ("kill", "tgkill", false), ("kill", "reboot", true)]
    {
        let under = confined(&python, &program, [action, name]);
        let target = target("filtered.py").under(&under).ready();
        let attach = attach(&target).under(&under);
        match is_fine {
            true => is_recorded(target, attach),
            false => is_refused(target, attach, &["kills the process for", name]),
        }
    }
    // One filter more than ours is another's.
    let under = confined(&python, &program, ["kill", "reboot"]);
    let mut target = target("filtered.py").under(&under).ready();
    target.ask("filter kill prctl");
    let attach = attach(&target).under(&under);
    is_refused(target, attach, &["may not read"]);
}
