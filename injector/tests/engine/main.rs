//! Stops and calls in real processes that check themselves.

mod calls;
#[cfg(feature = "failpoints")]
mod faults;
mod regions;
mod stops;
mod target;
