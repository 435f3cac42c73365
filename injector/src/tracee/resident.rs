//! Our own code, read from its disk before somebody has to wait for that.
//!
//! A program's pages come when they are executed first, and may go again while memory is
//! short. Who holds a thread executes much that it has not executed for long, and would
//! hold it for as long as the disk takes.

use crate::process::Maps;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// Sees to it that the code and the constants of this program are in memory. Takes about a
/// millisecond if they are.
pub fn fetch_own_code() -> io::Result<()> {
    let own = Path::new("/proc/self");
    let exe = File::open(own.join("exe"))?;
    let path = std::fs::read_link(own.join("exe"))?;
    let mut piece = vec![0; PIECE];
    let maps = Maps::read(&own.join("maps"))?;
    for mapping in maps.0.iter().filter(|m| !m.write && Path::new(&m.name) == path) {
        let (mut at, end) = (mapping.offset, mapping.offset + mapping.len());
        while at < end {
            let wanted = piece.len().min((end - at) as usize);
            match exe.read_at(&mut piece[..wanted], at)? {
                0 => break,
                count => at += count as u64,
            }
        }
    }
    Ok(())
}
