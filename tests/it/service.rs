//! A web service under load is recorded and left, and answers every request. The
//! leaks in it are found, at their lines.

use crate::dsl::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Requests until told to stop, from several threads.
struct Load<'a> {
    port: &'a str,
    stop: AtomicBool,
    answered: AtomicU32,
}

impl Load<'_> {
    fn run(&self, client: u32) {
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let path = format!("/page?client={client}&number={number}");
            let answer = request(self.port, &path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(answer.starts_with("HTTP/1.0 200") && answer.contains("\"path\": \"/page\""), "{answer}");
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until `more` requests were answered from now on.
    fn answers(&self, more: u32) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        until("the service answers", || (self.answered.load(Ordering::Relaxed) >= wanted).then_some(()));
    }
}

/// Stops the load even if the test fails: its threads are waited for.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn request(port: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Records a service under load with these options; it answers before, meanwhile and
/// after.
fn record(target: &mut Target, options: &[&str]) -> Finished {
    let port = target.ask("port");
    let load = Load { port: &port, stop: AtomicBool::new(false), answered: AtomicU32::new(0) };
    let file = target.scratch().join("capture.prof");
    std::thread::scope(|scope| {
        let _stop = Stop(&load.stop);
        for client in 0..4 {
            let load = &load;
            scope.spawn(move || load.run(client));
        }
        load.answers(50);
        let pid = target.pid();
        let attach = [&["attach", &pid], options, &["-o"]].concat();
        let recording = prof(&attach).arg(&file).recording();
        load.answers(200);
        let finished = recording.interrupt();
        load.answers(50);
        finished
    })
}

/// What stands at the end of the screen under a title.
fn held(finished: &Finished) -> &str {
    let screen = finished.stderr.split("Still holding memory").nth(1).expect("a screen");
    screen.split("Allocated and freed").next().expect("a first part")
}

fn place(site: &str) -> String {
    format!("leaky_service.py:{})", Source::read("../../scripts/leaky_service.py").line(site))
}

const NOTE: &str = "Small objects (at most 512 bytes) are seen only as pymalloc's arenas.";

python_tests! { named:
    fn small_leaks_show_as_arenas(python) {
        let mut target = target("service.py").python(python).ready();
        let finished = record(&mut target, &[]);
        let held = held(&finished);
        assert!(held.contains(&place("large")) && held.contains("pymalloc arenas"), "{}", finished.stderr);
        assert!(finished.stderr.contains(NOTE) && finished.stderr.contains("--trace-python-allocators"));
        finished.capture().is_complete();
        target.finish();
    }

    fn both_leaks_are_found(python) {
        let mut target = target("service.py").python(python).ready();
        let finished = record(&mut target, &["--trace-python-allocators"]);
        for leak in ["large", "small"] {
            assert!(held(&finished).contains(&place(leak)), "{leak}\n{}", finished.stderr);
        }
        assert!(!finished.stderr.contains(NOTE), "{}", finished.stderr);
        finished.capture().is_complete();
        target.finish();
    }
}
