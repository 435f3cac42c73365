//! How the categories of the resident set grew.

use serde::Serialize;

use crate::model::RssSample;

const NANOS_A_MINUTE: i128 = 60_000_000_000;

/// A category at the first and the last look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// Its name.
    pub category: String,
    /// At the first look.
    #[serde(rename = "first_bytes")]
    pub first: u64,
    /// At the last.
    #[serde(rename = "last_bytes")]
    pub last: u64,
    /// As if it went on like that.
    pub bytes_per_minute: i64,
}

/// Of all categories, the one that grew most first.
pub fn growth(first: &RssSample, last: &RssSample) -> Vec<Growth> {
    let span_ns = i128::from(last.t_ns.saturating_sub(first.t_ns)).max(1);
    let names = first.parts.keys().chain(last.parts.keys().filter(|name| !first.parts.contains_key(*name)));
    let of = |sample: &RssSample, name: &str| sample.parts.get(name).copied().unwrap_or(0);
    let mut growth: Vec<_> = names
        .filter(|name| !name.contains(':'))
        .map(|name| {
            let (first, last) = (of(first, name), of(last, name));
            let a_minute = (i128::from(last) - i128::from(first)) * NANOS_A_MINUTE / span_ns;
            let bytes_per_minute = a_minute.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
            Growth { category: name.clone(), first, last, bytes_per_minute }
        })
        .filter(|growth| growth.first > 0 || growth.last > 0)
        .collect();
    growth.sort_by(|a, b| {
        (b.bytes_per_minute, b.last)
            .cmp(&(a.bytes_per_minute, a.last))
            .then_with(|| a.category.cmp(&b.category))
    });
    growth
}
