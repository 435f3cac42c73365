//! Where `dlopen` is.

use super::glibc;
use crate::process::Module;

/// `__RTLD_DLOPEN` (glibc include/dlfcn.h): the private entry behaves as `dlopen`.
const RTLD_DLOPEN: u64 = 0x8000_0000;

/// The functions that load and unload a library, as addresses in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loader {
    /// `dlopen(path, mode)`.
    pub dlopen: u64,
    /// `dlclose(handle)`.
    pub dlclose: u64,
    /// `dlerror()`; the private entries have none.
    pub dlerror: Option<u64>,
    /// Bits to add to every mode.
    pub mode_bits: u64,
}

/// Finds the loader's functions: in libc (glibc ≥ 2.34), in libdl where that is
/// loaded, or else libc's private entries, which older versions have. Other
/// modules that define the names are wrappers and are passed over.
pub fn find_dlopen(modules: &[Module]) -> Option<Loader> {
    let libc = modules.iter().find(|module| glibc::is_libc(module))?;
    let libdl = modules.iter().find(|module| file_name(module).starts_with("libdl"));
    public(libc).or_else(|| public(libdl?)).or_else(|| private(libc))
}

fn public(module: &Module) -> Option<Loader> {
    let addr = |name| module.symbol(name).map(|symbol| symbol.addr);
    Some(Loader {
        dlopen: addr("dlopen")?,
        dlclose: addr("dlclose")?,
        dlerror: addr("dlerror"),
        mode_bits: 0,
    })
}

fn private(libc: &Module) -> Option<Loader> {
    let addr = |name| libc.symbol(name).map(|symbol| symbol.addr);
    let (dlopen, dlclose) = (addr("__libc_dlopen_mode")?, addr("__libc_dlclose")?);
    Some(Loader { dlopen, dlclose, dlerror: None, mode_bits: RTLD_DLOPEN })
}

fn file_name(module: &Module) -> &str {
    module.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
