//! A file that is made of a capture: never over another one, never through a link,
//! and readable by its owner only, as the capture is.

use anyhow::Context;
use std::ffi::OsString;
use std::fs;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use crate::capture;
use crate::report::Plain;

/// Where to.
#[derive(clap::Args)]
pub(super) struct Output {
    /// Write to this file; `-` is stdout. By default it is named like the capture and
    /// lies beside it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(short, long)]
    force: bool,
    /// Whether it is not told what was written.
    #[arg(skip)]
    is_silent: bool,
}

impl Output {
    /// Beside the capture.
    pub fn beside(force: bool, is_silent: bool) -> Output {
        Output { output: None, force, is_silent }
    }

    /// Has the file written; `suffix` takes the place of the capture's `.prof`.
    pub fn write(
        &self,
        capture: &Path,
        suffix: &str,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let path = match &self.output {
            Some(path) if path.as_os_str() == "-" => {
                let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
                write(&mut out)?;
                return Ok(out.flush()?);
            }
            Some(path) => path.clone(),
            None => beside(capture, suffix),
        };
        let file = capture::create(&path, self.force)?;
        let shown = Plain(&path.display().to_string()).to_string();
        let mut out = BufWriter::with_capacity(1 << 16, file);
        let written = write(&mut out).and_then(|()| Ok(out.flush()?));
        if written.is_err() {
            // A report that is cut off would only mislead.
            let _stays = fs::remove_file(&path);
        }
        written.with_context(|| format!("writing {shown}"))?;
        if !self.is_silent {
            say!("prof: wrote {shown}");
        }
        Ok(())
    }

    /// Refuses, before a long capture is read, what [`Output::write`] would refuse.
    pub fn check(&self, capture: &Path, suffix: &str) -> anyhow::Result<()> {
        let path = self.output.clone().unwrap_or_else(|| beside(capture, suffix));
        let is_there = path.as_os_str() != "-" && fs::symlink_metadata(&path).is_ok();
        if is_there && !self.force { Err(capture::Error::Exists(path).into()) } else { Ok(()) }
    }
}

fn beside(capture: &Path, suffix: &str) -> PathBuf {
    let mut name = capture.file_stem().map_or_else(|| OsString::from("capture"), OsString::from);
    name.push(".");
    name.push(suffix);
    capture.with_file_name(name)
}
