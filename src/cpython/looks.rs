//! Whether a layout holds in a process, judged by repeated walks.
//!
//! The process runs on, so one walk may meet a frame that has just gone. Layouts
//! are called wrong only when some stack could not be read in any of many walks.

use super::Version;
use super::offsets::Layout;
use super::walk::{Damage, Thread, Walker};
use prof_injector::process::Memory;
use std::collections::HashSet;

/// How often a walk is tried before its damage is believed.
const ATTEMPTS: usize = 100;

/// What a walk says of the offsets it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Every thread's stack reached its root over sound code objects.
    Right,
    /// No thread executes Python, so there is nothing to judge by.
    NoFrames,
    /// Some stack never could be read; why.
    Wrong(String),
}

/// Walks until every thread has looked right once, or too often in vain.
pub fn verify(memory: &Memory, layout: &Layout, version: Version, runtime: u64) -> Looks {
    judge(|| Walker::new(memory, layout, version).threads(runtime))
}

fn judge(mut walk: impl FnMut() -> Result<Vec<Thread>, Damage>) -> Looks {
    let mut sound = HashSet::new();
    let mut has_frames = false;
    let mut why = String::new();
    for _ in 0..ATTEMPTS {
        let threads = match walk() {
            Ok(threads) => threads,
            Err(endless @ Damage::Endless(_)) => return Looks::Wrong(endless.to_string()),
            Err(damage) => {
                why = damage.to_string();
                continue;
            }
        };
        for thread in &threads {
            match &thread.damage {
                Some(damage) => why = damage.to_string(),
                None => {
                    sound.insert(thread.state);
                    has_frames |= !thread.frames.is_empty();
                }
            }
        }
        if threads.iter().all(|thread| sound.contains(&thread.state)) {
            return if has_frames { Looks::Right } else { Looks::NoFrames };
        }
    }
    Looks::Wrong(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpython::Frame;

    #[test]
    fn each_thread_must_look_right_once() {
        let frame = Frame { code: 8, name: "".into(), file: "".into(), line: 1 };
        let thread = |state: u64, is_sound: bool| Thread {
            state,
            id: 0,
            native_id: None,
            frames: vec![frame.clone()],
            is_truncated: false,
            damage: (!is_sound).then_some(Damage::NotCode(state)),
        };
        let mut walks = 0;
        let looks = judge(|| {
            walks += 1;
            match walks {
                1 => Err(Damage::NotCode(0)),
                2 => Ok(vec![thread(1, true), thread(2, false)]),
                _ => Ok(vec![thread(1, false), thread(2, true)]),
            }
        });
        assert_eq!((looks, walks), (Looks::Right, 3));
        let never = judge(|| Ok(vec![thread(1, true), thread(2, false)]));
        assert_eq!(never, Looks::Wrong("the object at 0x2 is no code object".to_owned()));
    }
}
