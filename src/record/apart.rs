//! A sink in a thread of its own, so that who gives to it need not do its work too.
//!
//! ```text
//!  spool thread ─► [queue, bounded] ─► thread of the sink
//! ```
//!
//! Where the queue is full whoever gives waits.

use super::sink::Sink;
use crate::capture::Result;
use crate::model::{
    ChunkSerial, CodeObject, End, Metadata, NativeModule, NativePlace, Note, ProcessLife, RssSample,
    ThreadName,
};
use prof_injector::tracee::take_precedence;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// So many things wait at most: pieces of at most 64 KiB, mostly.
const QUEUE: usize = 128;

/// What is to be done with the sink.
type Job = Box<dyn FnOnce(&mut dyn Sink) -> Result<()> + Send>;

/// The sink, and the first error, after which nothing was done any more.
type Left = (Box<dyn Sink>, Result<()>);

/// A sink that is elsewhere.
pub struct Apart {
    queue: SyncSender<Job>,
    length: Arc<AtomicU64>,
    thread: Option<JoinHandle<Left>>,
}

impl Apart {
    /// Starts its thread.
    pub fn start(sink: Box<dyn Sink>) -> std::io::Result<Apart> {
        let (queue, jobs) = sync_channel(QUEUE);
        let length = Arc::new(AtomicU64::new(sink.length()));
        let shown = length.clone();
        let thread = Builder::new().name("prof-fold".into()).spawn(move || {
            // As the thread that gives to it: it would wait for this one.
            take_precedence();
            work(sink, &jobs, &shown)
        })?;
        Ok(Apart { queue, length, thread: Some(thread) })
    }

    fn put(&mut self, job: impl FnOnce(&mut dyn Sink) -> Result<()> + Send + 'static) -> Result<()> {
        match self.queue.send(Box::new(job)) {
            Ok(()) => Ok(()),
            // It has ended before its queue: by an error, which is told once.
            Err(_) => self.thread.take().map_or(Ok(()), |thread| left_by(thread).1),
        }
    }
}

fn work(mut sink: Box<dyn Sink>, jobs: &Receiver<Job>, length: &AtomicU64) -> Left {
    for job in jobs {
        let done = job(&mut *sink);
        length.store(sink.length(), Relaxed);
        if done.is_err() {
            return (sink, done);
        }
    }
    (sink, Ok(()))
}

fn left_by(thread: JoinHandle<Left>) -> Left {
    thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

impl Sink for Apart {
    fn metadata(&mut self, metadata: &Metadata) -> Result<()> {
        let metadata = metadata.clone();
        self.put(move |sink| sink.metadata(&metadata))
    }

    fn piece(&mut self, chunk: ChunkSerial, offset: u32, raw: Vec<u8>) -> Result<()> {
        self.put(move |sink| sink.piece(chunk, offset, raw))
    }

    fn round(&mut self) -> Result<()> {
        self.put(|sink| sink.round())
    }

    fn code(&mut self, code: &CodeObject) -> Result<()> {
        let code = code.clone();
        self.put(move |sink| sink.code(&code))
    }

    fn thread(&mut self, thread: &ThreadName) -> Result<()> {
        let thread = thread.clone();
        self.put(move |sink| sink.thread(&thread))
    }

    fn process(&mut self, process: &ProcessLife) -> Result<()> {
        let process = process.clone();
        self.put(move |sink| sink.process(&process))
    }

    fn rss(&mut self, sample: &RssSample) -> Result<()> {
        let sample = sample.clone();
        self.put(move |sink| sink.rss(&sample))
    }

    fn module(&mut self, module: &NativeModule) -> Result<()> {
        let module = module.clone();
        self.put(move |sink| sink.module(&module))
    }

    fn native_places(&mut self, places: &[NativePlace]) -> Result<()> {
        let places = places.to_vec();
        self.put(move |sink| sink.native_places(&places))
    }

    fn note(&mut self, note: &Note) -> Result<()> {
        let note = note.clone();
        self.put(move |sink| sink.note(&note))
    }

    fn length(&self) -> u64 {
        self.length.load(Relaxed)
    }

    fn finish(self: Box<Self>, end: &End) -> Result<()> {
        let Apart { queue, thread, .. } = *self;
        drop(queue);
        let Some(thread) = thread else { return Ok(()) };
        let (sink, done) = left_by(thread);
        done.and_then(|()| sink.finish(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Error;
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    /// Writes down what it is told, as soon as it may.
    struct Diary {
        may: Mutex<Receiver<()>>,
        said: Sender<String>,
        length: u64,
    }

    impl Diary {
        fn say(&mut self, what: impl ToString) -> Result<()> {
            self.may.get_mut().expect("nobody panics").recv().expect("the test waits");
            self.length += 1;
            let _nobody_reads = self.said.send(what.to_string());
            Ok(())
        }
    }

    impl Sink for Diary {
        fn metadata(&mut self, _: &Metadata) -> Result<()> {
            self.say("metadata")
        }
        fn piece(&mut self, chunk: ChunkSerial, offset: u32, raw: Vec<u8>) -> Result<()> {
            self.say(format!("piece {} {offset} {}", chunk.0, raw.len()))
        }
        fn round(&mut self) -> Result<()> {
            self.say("round")
        }
        fn code(&mut self, code: &CodeObject) -> Result<()> {
            self.say(format!("code {}", code.id.0))
        }
        fn thread(&mut self, thread: &ThreadName) -> Result<()> {
            self.say(format!("thread {}", thread.name))
        }
        fn process(&mut self, process: &ProcessLife) -> Result<()> {
            self.say(format!("process {}", process.number))
        }
        fn rss(&mut self, sample: &RssSample) -> Result<()> {
            self.say(format!("rss {}", sample.t_ns))
        }
        fn module(&mut self, _: &NativeModule) -> Result<()> {
            self.say("module")
        }

        fn native_places(&mut self, _: &[NativePlace]) -> Result<()> {
            self.say("native places")
        }

        fn note(&mut self, _: &Note) -> Result<()> {
            Err(Error::Full("it".into()))
        }
        fn length(&self) -> u64 {
            self.length
        }
        fn finish(mut self: Box<Self>, _: &End) -> Result<()> {
            self.say("end")
        }
    }

    fn diary() -> (Apart, Sender<()>, Receiver<String>) {
        let ((allow, may), (said, hear)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let diary = Diary { may: Mutex::new(may), said, length: 0 };
        (Apart::start(Box::new(diary)).expect("a thread"), allow, hear)
    }

    #[test]
    fn all_comes_in_order() {
        let (mut apart, allow, said) = diary();
        (0..9).for_each(|_| allow.send(()).expect("it runs"));
        apart.metadata(&Metadata::default()).expect("it runs");
        apart.code(&crate::capture::testing::code(7, "app")).expect("it runs");
        apart.piece(ChunkSerial(3), 5, vec![0; 4]).expect("it runs");
        apart.round().expect("it runs");
        let thread = ThreadName { name: "a".to_owned(), ..ThreadName::default() };
        apart.thread(&thread).expect("it runs");
        apart.process(&ProcessLife { number: 2, ..ProcessLife::default() }).expect("it runs");
        apart.rss(&RssSample { t_ns: 6, ..RssSample::default() }).expect("it runs");
        Box::new(apart).finish(&End::default()).expect("it runs");
        let expected =
            ["metadata", "code 7", "piece 3 5 4", "round", "thread a", "process 2", "rss 6", "end"];
        assert_eq!(said.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_full_queue_holds_up_who_gives() {
        let (mut apart, allow, said) = diary();
        let (taken, takes) = std::sync::mpsc::channel();
        let giver = std::thread::spawn(move || {
            for _ in 0..QUEUE + 2 {
                apart.round().expect("it runs");
                taken.send(()).expect("the test waits");
            }
            apart
        });
        // One is in the thread's hands.
        assert_eq!(takes.iter().take(QUEUE + 1).count(), QUEUE + 1);
        for _ in 0..1000 {
            std::thread::yield_now();
            assert!(takes.try_recv().is_err());
        }
        (0..QUEUE + 2).for_each(|_| allow.send(()).expect("it runs"));
        let apart = giver.join().expect("nobody panics");
        assert_eq!(said.iter().take(QUEUE + 2).count(), QUEUE + 2);
        assert!(apart.length() > 0);
    }

    #[test]
    fn an_error_is_told_once() {
        let (mut apart, _allow, _said) = diary();
        let mut errors = (0..1000).filter_map(|_| apart.note(&Note::default()).err());
        assert!(matches!(errors.next(), Some(Error::Full(_))) && errors.next().is_none());
    }

    #[test]
    fn an_error_behind_the_last_is_told_at_the_end() {
        let (mut apart, _allow, _said) = diary();
        let told = apart.note(&Note::default());
        assert!(told.is_err() != Box::new(apart).finish(&End::default()).is_err());
    }
}
