//! The acceptance tests of `prof`, as one binary.
//!
//! Every test starts real processes (`dsl`) and looks at what the built `prof`
//! does to them and says about them. One file a theme; run one by its name:
//!
//! ```text
//! cargo test --test it exactness::                     a theme
//! cargo test --test it every_function::python_3_12     one test, one interpreter
//! ```
//!
//! A test whose interpreter or privilege is missing names itself on stderr as
//! skipped. Nothing here sleeps: tests shake hands with their targets and poll
//! for conditions with a deadline.

mod dsl;

mod aggregate;
mod background;
mod baseline;
mod chroot;
mod contents;
mod corpus;
mod cpython;
mod detach;
mod domains;
mod endings;
mod errors;
mod exactness;
mod faults;
mod follow;
mod handshake;
mod idle;
mod killing;
mod layouts;
mod lifecycle;
mod limits;
mod live;
mod losses;
mod malloc;
mod matrix;
mod names;
mod native;
mod pages;
mod payload_file;
mod picker;
mod progress;
mod protections;
mod ps;
mod reports;
mod run;
mod sample;
mod scribbled;
mod seccomp;
mod service;
mod soak;
mod stacks;
mod stalls;
mod talk;
mod tidy;
mod transforms;
mod tree;
mod view;
mod workloads;
