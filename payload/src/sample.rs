//! Which allocations are recorded, where only samples are.
//!
//! Every byte that a thread asks for is the last before a sample with the same small
//! probability, so the bytes between two samples follow the exponential distribution,
//! and a block of `s` bytes is one with probability `1 - exp(-s / interval)`:
//!
//! ```text
//!  bytes asked for  ├─ 48 ─┼─ 48 ─┼── 4096 ──┼─ 48 ─┤
//!  drawn            ├──────────────────▲                 the third is a sample
//! ```
//!
//! The addresses of samples are kept, so that their frees are recorded and no others.

use crate::machine;
use crate::thread;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use prof_shared::random;
use prof_shared::region::{Bucket, Region, Sampler, Shape, ThreadSlot};

/// Whether only samples are recorded.
#[inline(always)]
pub fn is_on(region: &Region) -> bool {
    region.sample_interval.load(Relaxed) != 0
}

/// The sampler of a thread.
#[inline(always)]
pub fn of(region: &Region, slot: &ThreadSlot) -> &'static Sampler {
    let start = thread::table(region, Shape::samplers);
    // SAFETY: the region holds a sampler for each slot at that place, zeroed by the
    // kernel; the slot's owner alone touches it.
    unsafe { &*(start as *const Sampler).add(thread::index(region, slot) as usize) }
}

/// Whether an allocation of `size` bytes is a sample. `leave` is called before one is drawn
/// for another interval than those that were recorded so far.
#[inline(always)]
pub fn draw(region: &Region, sampler: &Sampler, size: u64, leave: impl FnOnce()) -> bool {
    let left = sampler.left.get();
    if left > drawn(size) && sampler.interval.get() == region.sample_interval.load(Relaxed) {
        pass(sampler, size);
        return false;
    }
    draw_anew(region, sampler, size, leave)
}

#[cold]
#[inline(never)]
fn draw_anew(region: &Region, sampler: &Sampler, size: u64, leave: impl FnOnce()) -> bool {
    let latest = region.sample_interval.load(Relaxed);
    if interval(region, sampler) != latest {
        leave();
        // The distribution has no memory: what is left may be drawn again.
        sampler.interval.set(latest);
        sampler.left.set(0);
    }
    if sampler.left.get() == 0 {
        sampler.left.set(distance(sampler, latest));
    }
    let is_sample = sampler.left.get() <= drawn(size);
    match is_sample {
        true => sampler.left.set(0),
        false => pass(sampler, size),
    }
    is_sample
}

/// The mean number of bytes between the thread's samples.
pub fn interval(region: &Region, sampler: &Sampler) -> u64 {
    if sampler.interval.get() == 0 {
        sampler.interval.set(region.sample_interval.load(Relaxed));
    }
    sampler.interval.get()
}

/// The bytes that a block is drawn with. Also of those without any some are samples.
#[inline(always)]
fn drawn(size: u64) -> u64 {
    size.max(1)
}

#[inline(always)]
fn pass(sampler: &Sampler, size: u64) {
    sampler.left.set(sampler.left.get().wrapping_sub(drawn(size)));
    sampler.passed.set(sampler.passed.get() + 1);
    sampler.passed_bytes.set(sampler.passed_bytes.get().wrapping_add(size));
}

/// Begins anew, for another thread.
pub fn begin(region: &Region, slot: &ThreadSlot) {
    if !is_on(region) {
        return;
    }
    let sampler = of(region, slot);
    for word in [&sampler.interval, &sampler.left, &sampler.passed, &sampler.passed_bytes] {
        word.set(0);
    }
    sampler.random.set(mix(machine::stamp_before() ^ core::ptr::from_ref(sampler) as u64));
}

/// One more than the whole bytes of an exponentially distributed distance.
fn distance(sampler: &Sampler, interval: u64) -> u64 {
    let exponent = random::exponential(next(sampler));
    ((u128::from(exponent) * u128::from(interval)) >> random::POINT) as u64 + 1
}

/// The next of the thread's random numbers.
fn next(sampler: &Sampler) -> u64 {
    let state = sampler.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    sampler.random.set(state);
    mix(state)
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Keeps the address of a sample; false if there is no room for it.
pub fn keep(region: &Region, addr: u64) -> bool {
    // One that is there already lost its free.
    let is_free = |place: &&AtomicU64| place.compare_exchange(0, addr, Relaxed, Relaxed).is_ok();
    is_kept(region, addr) || bucket(region, addr).iter().find(is_free).is_some()
}

/// Whether the block at `addr` is a sample.
#[inline(always)]
pub fn is_kept(region: &Region, addr: u64) -> bool {
    bucket(region, addr).iter().any(|place| place.load(Relaxed) == addr)
}

/// The block at `addr` ends; whether it was a sample.
pub fn forget(region: &Region, addr: u64) -> bool {
    let place = bucket(region, addr).iter().find(|place| place.load(Relaxed) == addr);
    place.inspect(|place| place.store(0, Relaxed)).is_some()
}

#[inline(always)]
fn bucket(region: &Region, addr: u64) -> &'static [AtomicU64] {
    let start = thread::table(region, Shape::sampled);
    let hash = (addr >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    // SAFETY: the region holds so many buckets at that place, zeroed by the kernel.
    unsafe { &(*(start as *const Bucket).add((hash & region.bucket_mask) as usize)).0 }
}
