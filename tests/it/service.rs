//! A web service under load is recorded and left, and answers every request. The
//! leak in it is found, at its line.

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

python_tests! { named:
    fn answers_every_request(python) {
        let mut target = target("service.py").python(python).ready();
        let port = target.ask("port");
        let load = Load { port: &port, stop: AtomicBool::new(false), answered: AtomicU32::new(0) };
        let file = target.scratch().join("capture.prof");
        let finished = std::thread::scope(|scope| {
            let _stop = Stop(&load.stop);
            for client in 0..4 {
                let load = &load;
                scope.spawn(move || load.run(client));
            }
            load.answers(50);
            let recording = prof(&["attach", &target.pid(), "-o"]).arg(&file).recording();
            load.answers(200);
            let finished = recording.interrupt();
            load.answers(50);
            finished
        });
        let line = Source::read("../../scripts/leaky_service.py").line("leak");
        let finished = finished.says(&format!("leaky_service.py:{line}"));
        finished.capture().is_complete();
        target.finish();
    }
}
