//! Stops and calls in real processes that check themselves.

mod calls;
mod regions;
mod stops;
mod target;
