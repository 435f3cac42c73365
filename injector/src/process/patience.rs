//! Reads of a process's memory that end in time, for a thread of ours that holds one of its.
//!
//! The kernel reads foreign memory under the lock of its mappings. A thread of the process
//! that changes them may have that lock and no processor, for many milliseconds where
//! processors are short (8 busy threads on 2: up to 26 ms). Such a wait cannot be given up, so
//! a second thread does the waiting:
//!
//! ```text
//!  reader            ── read ──► … waits for the lock … ──► too late, for nobody
//!  who holds  ─ ask ─┘─ LIMIT ─┐
//!                              └ nothing comes ─► let go unchanged, try again later
//! ```
//!
//! A late reader is left alone, and the next hold has another one. Each is given twice as
//! long as the one before that was late, so that something comes of it in the end.

use super::Memory;
use std::cell::RefCell;
use std::hint::spin_loop;
use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// How long a read may take; many times what it takes if nobody is in the way.
const LIMIT: Duration = Duration::from_micros(250);
/// How often the limit is doubled at most.
const MOST_DOUBLINGS: u32 = 8;
/// Bytes for which the limit is a microsecond longer.
const BYTES_A_MICROSECOND: u64 = 1 << 10;

/// How long an answer is looked out for before its reader is thought to wait for the lock.
const EAGER: Duration = Duration::from_micros(20);
/// How long a reader looks out for the next thing to do before it sleeps.
const WAKEFUL: Duration = Duration::from_micros(200);

/// How many reads in a row were late.
static LATE: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static OWN: RefCell<Own> = const { RefCell::new(Own { reader: None, held: 0 }) };
}

/// What a thread that holds others has.
struct Own {
    reader: Option<Reader>,
    held: usize,
}

/// A thread that reads what it is asked to, until nobody asks any more.
struct Reader {
    orders: Sender<Option<Order>>,
    answers: Receiver<Answer>,
    is_late: bool,
}

struct Order {
    memory: Memory,
    addr: u64,
    bytes: Vec<u8>,
}

type Answer = (io::Result<usize>, Vec<u8>);

/// Whether `error` says that a read did not end in time.
pub fn is_late(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// Sees to it that the calling thread has a reader, with the priority that it has itself. For
/// before anybody is held: it takes a moment. Without a reader reads wait as long as they must.
pub(crate) fn ready() {
    OWN.with_borrow_mut(|own| match &own.reader {
        Some(Reader { is_late: false, orders, .. }) => drop(orders.send(None)),
        _ => own.reader = Reader::start().ok(),
    });
}

/// The calling thread holds one more.
pub(crate) fn hold() {
    OWN.with_borrow_mut(|own| own.held += 1);
}

/// The calling thread holds one less.
pub(crate) fn release() {
    OWN.with_borrow_mut(|own| own.held -= 1);
}

/// Reads by the reader if the calling thread holds somebody; `None` if it does not. Who
/// holds several is about to hold all, and then nobody has the lock.
pub(super) fn read(memory: Memory, addr: u64, out: &mut [u8]) -> Option<io::Result<usize>> {
    OWN.with_borrow_mut(|own| match own {
        Own { reader: Some(reader), held: 1 } => Some(reader.read(memory, addr, out)),
        _ => None,
    })
}

impl Reader {
    fn start() -> io::Result<Reader> {
        let (orders, asked) = channel();
        let (answer, answers) = channel();
        std::thread::Builder::new().name("prof-reader".to_owned()).spawn(move || {
            while let Ok(order) = look_out(&asked, WAKEFUL).or_else(|_| asked.recv()) {
                let Some(Order { memory, addr, mut bytes }) = order else { continue };
                let read = memory.read_patiently(addr, &mut bytes);
                if answer.send((read, bytes)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Reader { orders, answers, is_late: false })
    }

    fn read(&mut self, memory: Memory, addr: u64, out: &mut [u8]) -> io::Result<usize> {
        let doublings = LATE.load(Relaxed).min(MOST_DOUBLINGS);
        let limit = LIMIT * (1 << doublings) + Duration::from_micros(out.len() as u64 / BYTES_A_MICROSECOND);
        let order = Order { memory, addr, bytes: vec![0; out.len()] };
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        if self.is_late || self.orders.send(Some(order)).is_err() {
            return Err(late());
        }
        let answer = look_out(&self.answers, EAGER).or_else(|_| self.answers.recv_timeout(limit));
        let Ok((read, bytes)) = answer else {
            self.is_late = true;
            LATE.fetch_add(1, Relaxed);
            return Err(late());
        };
        LATE.store(0, Relaxed);
        let len = read?;
        out[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }
}

/// Looks again and again: to be woken up takes longer than what is waited for.
fn look_out<T>(from: &Receiver<T>, time: Duration) -> Result<T, TryRecvError> {
    let start = Instant::now();
    loop {
        match from.try_recv() {
            Err(TryRecvError::Empty) if start.elapsed() < time => spin_loop(),
            done => return done,
        }
    }
}
