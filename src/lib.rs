//! x
/// The payload.
pub const PAYLOAD: &[u8] = &[];
