//! `prof transform`.

use clap::ValueEnum;
use std::path::PathBuf;

use super::input::with_profile;
use super::output::Output;
use super::select::{Select, Window};
use crate::analysis::Question;
use crate::capture::Reader;
use crate::report::{Transform, TransformFormat};

/// Hand a capture to another program: pprof, speedscope, a spreadsheet and others.
///
/// `pprof` and `json` hold all views; the options choose the one that comes first.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  prof transform pprof app.prof && go tool pprof -top app.pb.gz\n  prof transform speedscope app.prof --leaks\n  prof transform collapsed app.prof -o - | inferno-flamegraph > app.svg\n  prof transform csv app.prof --from 10s --to 40s -o window.csv"
)]
pub(super) struct Arguments {
    /// For whom.
    #[arg(value_enum)]
    format: FormatName,
    /// The capture.
    file: PathBuf,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    window: Window,
    /// Count blocks instead of bytes; where both are shown, blocks come first.
    #[arg(long)]
    blocks: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    /// Gzipped protobuf for `go tool pprof` and others.
    Pprof,
    /// JSON for <https://www.speedscope.app>.
    Speedscope,
    /// A line for each stack, for `flamegraph.pl` and inferno.
    Collapsed,
    /// A table with the columns of Memray's.
    Csv,
    /// All figures, as described in docs/json.md.
    Json,
    /// JSON for `gprof2dot -f json`, which draws call graphs.
    Gprof2dot,
    /// JSON for <https://profiler.firefox.com>.
    Firefox,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { format, file, output, select, window, blocks } = arguments;
    let format = TransformFormat::from(*format);
    output.check(file, format.suffix())?;
    let question = |reader: &Reader| Ok(window.narrow(select.question(reader)?, reader.metadata()));
    with_profile(file, question, 0, |profile| {
        let window = window.narrow(Question::default(), profile.metadata).window;
        let transform = Transform { profile: &profile, view: select.view(), blocks: *blocks, window };
        // Not every form has a place for this.
        transform.caveats().iter().for_each(|caveat| say!("prof: {caveat}"));
        output.write(file, format.suffix(), |out| Ok(transform.write(format, out)?))
    })
}

impl From<FormatName> for TransformFormat {
    fn from(name: FormatName) -> TransformFormat {
        match name {
            FormatName::Pprof => TransformFormat::Pprof,
            FormatName::Speedscope => TransformFormat::Speedscope,
            FormatName::Collapsed => TransformFormat::Collapsed,
            FormatName::Csv => TransformFormat::Csv,
            FormatName::Json => TransformFormat::Json,
            FormatName::Gprof2dot => TransformFormat::Gprof2dot,
            FormatName::Firefox => TransformFormat::Firefox,
        }
    }
}
