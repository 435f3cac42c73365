//! Random numbers of the distribution that samples follow, in whole numbers: a thread's
//! floating-point modes are its own, and an operation might trap.

/// Bits behind the point of what [`exponential`] gives.
pub const POINT: u32 = 32;

/// ln 2 with 64 bits behind the point.
const LN_2: u64 = 0xb172_17f7_d1cf_79ab;

/// From a number of which each bit is 1 with probability ½, one of the exponential
/// distribution with mean 1.
pub fn exponential(random: u64) -> u64 {
    // -log2 of random / 2^64, one of (0, 1].
    let random = random.max(1);
    let whole = u64::from(random.leading_zeros());
    let fraction = log2(random << whole);
    let bits = (whole << POINT) + (1 << POINT) - fraction;
    ((u128::from(bits) * u128::from(LN_2)) >> 64) as u64
}

/// log2 of `mantissa` / 2^63, which is from 1 up to 2: each squaring doubles it, so the next
/// binary digit is seen in front of the point.
fn log2(mantissa: u64) -> u64 {
    let mut value = mantissa;
    let mut digits = 0;
    for _ in 0..POINT {
        let square = u128::from(value) * u128::from(value);
        let is_two = square >> 127;
        value = (square >> (63 + is_two)) as u64;
        digits = digits << 1 | is_two as u64;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_float(value: u64) -> f64 {
        value as f64 / (1u64 << POINT) as f64
    }

    #[test]
    fn is_the_logarithm() {
        for random in [1, 2, 3, 1 << 20, 0x1234_5678_9abc_def0, 1 << 63, (1 << 63) + 1, u64::MAX] {
            let expected = -(random as f64 / 2f64.powi(64)).ln();
            let got = as_float(exponential(random));
            assert!((got - expected).abs() < 2e-9 * (1.0 + expected), "{random:x}: {got}, {expected}");
        }
    }

    /// Of the distances of evenly spread numbers as many are above x as e^-x says.
    #[test]
    fn follows_the_distribution() {
        const COUNT: u64 = 1 << 16;
        let distances: [u64; 4] = [0.1, 0.5, 1.0, 4.0].map(|x: f64| {
            let step = u64::MAX / COUNT;
            (0..COUNT).filter(|n| as_float(exponential(n * step + step / 2)) > x).count() as u64
        });
        let expected = [0.1, 0.5, 1.0, 4.0].map(|x: f64| (COUNT as f64 * (-x).exp()).round() as u64);
        for (got, expected) in distances.into_iter().zip(expected) {
            assert!(got.abs_diff(expected) <= 1, "{distances:?}, {expected}");
        }
    }
}
