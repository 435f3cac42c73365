//! Every entry has a way in, whatever the process looks like.

use crate::target::{Target, large_library};
use prof_injector::detour::{Plan, Way};

/// Starts a target, has it do something, and plans all its entries.
fn check(what: &str, shell: &str, commands: &[&str]) -> Vec<Plan> {
    let mut target = Target::start(shell);
    for command in commands {
        target.tell(command);
    }
    let plans = target.plans();
    let names: Vec<&str> = plans.iter().map(|plan| plan.name).collect();
    for name in ["malloc", "calloc", "realloc", "free", "mmap", "munmap", "mremap", "aligned_alloc"] {
        assert!(names.contains(&name), "{what}: {name} is missing");
    }
    println!("{what}:");
    for plan in &plans {
        let offset = plan.patch - plan.function;
        let distance = plan.island().start.wrapping_sub(plan.function).cast_signed() >> 20;
        println!("  {:<15} {:<32} at +{offset:<3} island {distance:+} MiB", plan.name, plan.way.name());
    }
    plans
}

#[test]
fn a_small_process_needs_no_stop() {
    let plans = check("small", "\"$0\"", &[]);
    let stopping = plans.iter().filter(|plan| plan.way == Way::FiveBytes).count();
    assert!(stopping <= 1, "{stopping}");
}

#[test]
fn with_four_gibibytes_of_mappings() {
    check("4 GiB mapped", "\"$0\"", &["reserve 1000"]);
}

#[test]
fn with_two_hundred_threads() {
    check("200 threads", "\"$0\"", &["idlers c8"]);
}

#[test]
fn with_a_large_library_above() {
    check("24 MiB above", &format!("env LD_PRELOAD={} \"$0\"", large_library().display()), &[]);
}

#[test]
fn without_address_randomization() {
    check("setarch -R", "setarch -R \"$0\"", &[]);
    check("setarch -R, 4 GiB mapped", "setarch -R \"$0\"", &["reserve 1000"]);
}

#[test]
fn with_large_stack_limits() {
    for limit in ["unlimited", "8388608"] {
        let stack = format!("sh -c 'ulimit -s {limit}; exec \"$0\"' \"$0\"");
        check(&format!("ulimit -s {limit}"), &stack, &[]);
        let fixed = format!("sh -c 'ulimit -s {limit}; exec setarch -R \"$0\"' \"$0\"");
        check(&format!("ulimit -s {limit}, setarch -R"), &fixed, &[]);
    }
}

#[test]
fn with_the_old_layout() {
    check("setarch --addr-compat-layout", "setarch --addr-compat-layout \"$0\"", &[]);
}
