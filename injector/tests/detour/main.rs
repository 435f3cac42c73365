//! Detours in real processes and of random functions.

#[cfg(target_arch = "x86_64")]
mod target;

#[cfg(target_arch = "x86_64")]
mod entries;

#[cfg(target_arch = "x86_64")]
mod ways;

#[cfg(target_arch = "x86_64")]
mod toggle;

#[cfg(target_arch = "x86_64")]
mod emulate;
