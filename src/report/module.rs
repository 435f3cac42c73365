//! Which module a source file is.
//!
//! ```text
//!  /usr/lib/python3.11/json/encoder.py                  json.encoder      standard library
//!  /venv/lib/python3.11/site-packages/numpy/_core/x.py  numpy._core.x     installed
//!  /app/shop/cart.py, /app/main.py                      shop.cart, main   own: below what they share
//!  <frozen importlib._bootstrap>                        importlib._bootstrap
//! ```

use std::path::Path;

/// The file of code without a description.
pub const NO_FILE: &str = "(unknown file)";

/// Whose code a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program's own.
    Own,
    /// A package that was installed.
    Installed,
    /// Python's.
    StandardLibrary,
}

/// The modules of a recording.
pub struct Modules {
    /// The directory that all own files are in, with a slash at its end.
    root: String,
}

impl Modules {
    /// For a recording with these files.
    pub fn new<'f>(files: impl Iterator<Item = &'f str>) -> Modules {
        let own = files.filter(|file| file.starts_with('/') && split(file).0 == Origin::Own);
        let directory = |file: &'f str| &file[..=file.rfind('/').unwrap_or(0)];
        Modules { root: own.map(directory).reduce(shared).unwrap_or_default().to_owned() }
    }

    /// The module's name with dots, and whose it is.
    pub fn of(&self, file: &str) -> (String, Origin) {
        if file.is_empty() {
            return (NO_FILE.to_owned(), Origin::Own);
        }
        let (origin, path) = split(file);
        let path = match origin {
            Origin::Own => path.strip_prefix(&self.root).unwrap_or(path),
            _ => path,
        };
        let path = path.strip_suffix(".py").unwrap_or(path);
        let path = path.strip_suffix("/__init__").unwrap_or(path);
        (path.trim_start_matches('/').replace('/', "."), origin)
    }
}

/// Whose it is, and its path below where modules are looked for.
fn split(file: &str) -> (Origin, &str) {
    if let Some(frozen) = file.strip_prefix("<frozen ").and_then(|rest| rest.strip_suffix('>')) {
        return (Origin::StandardLibrary, frozen);
    }
    for directory in ["/site-packages/", "/dist-packages/"] {
        if let Some(at) = file.rfind(directory) {
            return (Origin::Installed, &file[at + directory.len()..]);
        }
    }
    match standard_library(file) {
        Some(path) => (Origin::StandardLibrary, path),
        None => (Origin::Own, file),
    }
}

/// The path below `…/lib/pythonX.Y/`.
fn standard_library(file: &str) -> Option<&str> {
    const LIB: &str = "/lib/python";
    let rest = &file[file.find(LIB)? + LIB.len()..];
    let (version, path) = rest.split_once('/')?;
    let is_version = |c: char| c.is_ascii_digit() || c == '.' || c == 't';
    (!version.is_empty() && version.chars().all(is_version)).then_some(path)
}

/// The directories that two paths begin with.
fn shared<'f>(a: &'f str, b: &str) -> &'f str {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let end = a.as_bytes()[..same].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    &a[..end]
}

/// Whether a file belongs to the import system, which says little about who wants memory.
pub fn is_import_system(file: &str) -> bool {
    file.starts_with("<frozen importlib")
        || Path::new(file).parent().is_some_and(|p| p.ends_with("importlib"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Origin::{Installed, Own, StandardLibrary};

    #[test]
    fn modules() {
        let files = ["/app/shop/cart.py", "/app/main.py", "/app/shop/__init__.py", "<string>"];
        let modules = Modules::new(files.into_iter());
        for (file, name, origin) in [
            ("/app/shop/cart.py", "shop.cart", Own),
            ("/app/shop/__init__.py", "shop", Own),
            ("/app/main.py", "main", Own),
            ("/usr/lib/python3.11/json/encoder.py", "json.encoder", StandardLibrary),
            ("/opt/lib/python3.13t/os.py", "os", StandardLibrary),
            ("/venv/lib/python3.11/site-packages/numpy/__init__.py", "numpy", Installed),
            ("/usr/lib/python3/dist-packages/yaml/loader.py", "yaml.loader", Installed),
            ("<frozen importlib._bootstrap>", "importlib._bootstrap", StandardLibrary),
            ("<string>", "<string>", Own),
            ("/srv/lib/pythonic/x.py", "srv.lib.pythonic.x", Own),
            ("", NO_FILE, Own),
        ] {
            assert_eq!(modules.of(file), (name.to_owned(), origin), "{file}");
        }
    }

    #[test]
    fn one_file_is_a_module_of_its_own() {
        let modules = Modules::new(["/app/main.py"].into_iter());
        assert_eq!(modules.of("/app/main.py").0, "main");
        assert_eq!(Modules::new(["/é/a.py", "/è/b.py"].into_iter()).of("/é/a.py").0, "é.a");
    }

    #[test]
    fn the_import_system() {
        for (file, is) in [
            ("<frozen importlib._bootstrap>", true),
            ("/usr/lib/python3.11/importlib/__init__.py", true),
            ("/app/importer.py", false),
        ] {
            assert_eq!(is_import_system(file), is, "{file}");
        }
    }
}
