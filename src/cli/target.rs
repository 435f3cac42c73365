//! Which process is meant: by pid, by name, by a pattern of its command line, or by there
//! being only one.

use std::io::{self, BufWriter, stderr};
use std::time::Duration;

use prof_shared::ring::Shape;
use regex::Regex;

use super::pick;
use super::ps::{unseen, write_table};
use crate::record::{Candidate, Census, Error, census};

/// The process, or how it is found.
#[derive(clap::Args)]
pub(super) struct Which {
    /// The process to record; without it one may be chosen from a list on a terminal, and
    /// elsewhere those that can be are listed.
    #[arg(value_parser = clap::value_parser!(i32).range(1..), conflicts_with_all = ["name", "cmdline"])]
    pid: Option<i32>,
    /// The Python process of this name: that of the process, its program or its script.
    #[arg(long, group = "pattern")]
    name: Option<String>,
    /// The Python process whose command line this regular expression matches.
    #[arg(long, value_name = "REGEX", group = "pattern")]
    cmdline: Option<Regex>,
    /// Record all that --name or --cmdline select, each into a capture of its own.
    #[arg(long, requires = "pattern", conflicts_with_all = ["output", "dry_run", "progress"])]
    pub all: bool,
}

/// A process that was chosen.
pub(super) struct Chosen {
    /// Its pid.
    pub pid: i32,
    /// When it was started, if it was looked up.
    pub start_ticks: Option<u64>,
}

impl Which {
    /// The process that is meant. Where that is not clear one may be chosen on a terminal;
    /// elsewhere the candidates are listed on stderr.
    pub fn choose(&self, ring: Shape) -> anyhow::Result<Chosen> {
        if let Some(pid) = self.pid {
            return Ok(Chosen { pid, start_ticks: None });
        }
        let census = self.look(ring)?;
        let (candidates, unseen) = (&census.candidates, unseen(census.hidden));
        let free = free(candidates);
        let (why, hint) = match free[..] {
            [one] if self.is_given() => {
                unseen.into_iter().for_each(|unseen| say!("note: {unseen}"));
                return Ok(chosen(one));
            }
            [_, ..] if pick::is_possible() => return pick::pick(&census, || self.look(ring)),
            [] if candidates.is_empty() => {
                let hint = unseen.unwrap_or_else(|| "`prof ps` lists all Python processes".to_owned());
                return Err(refused(self.not_found(), &hint));
            }
            [] => (format!("{} cannot be recorded", self.described()), "the list says why"),
            [_] => ("no process was given".to_owned(), "give the pid, --name or --cmdline"),
            _ => (format!("{} Python processes could be meant", free.len()), "give the pid of one"),
        };
        write_table(candidates, &mut BufWriter::new(stderr().lock()))?;
        unseen.into_iter().for_each(|unseen| say!("note: {unseen}"));
        Err(refused(why, hint))
    }

    /// All that are meant and can be recorded; why the others cannot is told.
    pub fn choose_all(&self, ring: Shape) -> anyhow::Result<Vec<Chosen>> {
        let Census { candidates, hidden } = self.look(ring)?;
        let free = free(&candidates);
        if free.is_empty() || free.len() < candidates.len() {
            write_table(&candidates, &mut BufWriter::new(stderr().lock()))?;
        }
        unseen(hidden).into_iter().for_each(|unseen| say!("note: {unseen}"));
        match free[..] {
            [] if candidates.is_empty() => {
                Err(refused(self.not_found(), "`prof ps` lists all Python processes"))
            }
            [] => Err(refused(format!("{} cannot be recorded", self.described()), "the list says why")),
            _ => Ok(free.into_iter().map(chosen).collect()),
        }
    }

    /// What could be meant.
    fn look(&self, ring: Shape) -> io::Result<Census> {
        let mut census = census(ring, Duration::ZERO)?;
        census.candidates.retain(|candidate| self.matches(candidate));
        Ok(census)
    }

    fn is_given(&self) -> bool {
        self.name.is_some() || self.cmdline.is_some()
    }

    fn matches(&self, candidate: &Candidate) -> bool {
        match (&self.name, &self.cmdline) {
            (Some(name), _) => names(&candidate.name, &candidate.command).contains(&name.as_str()),
            (None, Some(pattern)) => pattern.is_match(&candidate.command.join(" ")),
            (None, None) => true,
        }
    }

    fn not_found(&self) -> String {
        match (&self.name, &self.cmdline) {
            (None, None) => "no Python process was found".to_owned(),
            _ => format!("there is no {}", self.described()),
        }
    }

    fn described(&self) -> String {
        match (&self.name, &self.cmdline) {
            (Some(name), _) => format!("Python process named {name:?}"),
            (None, Some(pattern)) => {
                format!("Python process with a command line like {:?}", pattern.as_str())
            }
            (None, None) => "what runs Python here".to_owned(),
        }
    }
}

/// Those that can be recorded.
fn free(candidates: &[Candidate]) -> Vec<&Candidate> {
    candidates.iter().filter(|candidate| candidate.obstacle.is_none()).collect()
}

/// What a process may be called: its own name, its program's, or the title that it has given
/// itself up to the first colon, and its script's or module's, also without `.py`.
fn names<'a>(own: &'a str, command: &'a [String]) -> Vec<&'a str> {
    let file = |path: &'a str| path.rsplit('/').next().unwrap_or(path);
    let mut names = vec![own];
    let Some((program, arguments)) = command.split_first() else { return names };
    names.push(file(program.split([':', ' ']).next().unwrap_or(program)));
    if let Some(script) = arguments.iter().find(|argument| !argument.starts_with('-')) {
        names.push(file(script));
        names.extend(file(script).strip_suffix(".py"));
    }
    names
}

fn chosen(candidate: &Candidate) -> Chosen {
    Chosen { pid: candidate.pid, start_ticks: Some(candidate.start_ticks) }
}

/// Nobody was touched.
pub(super) fn refused(why: String, hint: &str) -> anyhow::Error {
    Error::Refused { why, hint: Some(hint.to_owned()) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_called_many_names() {
        for (own, command, expected) in [
            (
                "python3",
                &["python3", "-u", "/srv/app.py", "x"][..],
                &["python3", "python3", "app.py", "app"][..],
            ),
            ("python3", &["/usr/bin/python3", "-m", "celery"], &["python3", "python3", "celery"]),
            ("gunicorn", &["gunicorn: master [app]"], &["gunicorn", "gunicorn"]),
            ("gunicorn", &["/v/python", "/v/bin/gunicorn", "app:x"], &["gunicorn", "python", "gunicorn"]),
            ("odd", &[], &["odd"]),
        ] {
            let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(names(own, &command), expected);
        }
    }
}
