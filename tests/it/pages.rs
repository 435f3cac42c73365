//! Files that are made of captures: where they go, and what they never do.

use crate::dsl::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// A directory with the capture `app.prof`.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        let desk = Desk(tempfile::tempdir().expect("a temporary directory can be made"));
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small-v1.prof");
        fs::copy(golden, desk.path("app.prof")).expect("a copy");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn prof(&self, args: &[&str]) -> Finished {
        prof(args).dir(self.0.path()).run()
    }
}

#[test]
fn a_page_lies_beside_its_capture_and_is_private() {
    let desk = Desk::new();
    for (command, name) in [("flamegraph", "app.flamegraph.html"), ("table", "app.table.html")] {
        desk.prof(&[command, "app.prof"]).success().says(&format!("wrote {name}"));
        assert!(desk.read(name).starts_with("<!doctype html>"), "{name}");
        let mode = fs::metadata(desk.path(name)).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn files_are_replaced_only_by_force() {
    let desk = Desk::new();
    fs::write(desk.path("kept.html"), "mine").expect("room");
    desk.prof(&["flamegraph", "app.prof", "-o", "kept.html"])
        .refuses(FAILURE, &["kept.html"])
        .hints("--force");
    assert_eq!(desk.read("kept.html"), "mine");
    desk.prof(&["flamegraph", "app.prof", "-o", "kept.html", "--force"]).success();
    assert_ne!(desk.read("kept.html"), "mine");
}

#[test]
fn links_are_not_followed() {
    let desk = Desk::new();
    fs::write(desk.path("target"), "mine").expect("room");
    symlink(desk.path("target"), desk.path("link.html")).expect("a link");
    desk.prof(&["flamegraph", "app.prof", "-o", "link.html"]).refuses(FAILURE, &["link.html"]);
    desk.prof(&["flamegraph", "app.prof", "-o", "link.html", "--force"]).success();
    assert_eq!(desk.read("target"), "mine");
    assert!(!desk.path("link.html").is_symlink(), "the link was replaced");
}

/// As `/dev/stdout` is one: whoever may, would take it from the whole machine.
#[test]
fn links_to_devices_stay() {
    let desk = Desk::new();
    symlink("/proc/self/fd/1", desk.path("stdout")).expect("a link");
    let forced = desk.prof(&["flamegraph", "app.prof", "-o", "stdout", "--force"]);
    forced.refuses(FAILURE, &["stdout", "not a regular file"]).hints("-o");
    assert!(desk.path("stdout").is_symlink());
}

#[test]
fn a_page_can_go_to_stdout() {
    let desk = Desk::new();
    let finished = desk.prof(&["flamegraph", "app.prof", "-o", "-"]).success();
    assert!(finished.stdout.starts_with("<!doctype html>"));
    assert_eq!(fs::read_dir(desk.0.path()).expect("the directory").count(), 1);
}

#[test]
fn a_comparison_names_both() {
    let desk = Desk::new();
    fs::copy(desk.path("app.prof"), desk.path("before.prof")).expect("a copy");
    desk.prof(&["flamegraph", "--diff", "before.prof", "app.prof"]).success();
    assert!(desk.read("app.flamegraph.html").contains("<title>app.prof compared with before.prof"));
    let same = desk.prof(&["summary", "app.prof", "--diff", "before.prof", "--json"]).success();
    let summary: serde_json::Value = serde_json::from_str(&same.stdout).expect("JSON");
    assert_eq!(summary["functions"], serde_json::json!([]), "nothing has changed");
}

#[test]
fn no_capture_no_page() {
    let desk = Desk::new();
    fs::write(desk.path("other.prof"), "not a capture").expect("room");
    desk.prof(&["flamegraph", "other.prof"]).refuses(FAILURE, &["other.prof"]).hints("prof attach");
    desk.prof(&["table", "missing.prof"]).refuses(FAILURE, &["missing.prof"]);
    assert_eq!(fs::read_dir(desk.0.path()).expect("the directory").count(), 2);
}
