//! An integer power that gives the same bits on every machine.
//!
//! `f64::powf` calls the system's C library, whose last bit depends on its version and on whether the processor fuses
//! multiplications. Here the product is carried in two doubles (about 106 bits), built from IEEE operations alone, and rounded once:
//! the result is the correctly rounded power but for exponents far in the thousands. glibc's `pow` (Python's `**`) differs
//! from that in fewer than one in a thousand cases, by one unit in the last place.

/// `base` to the power `exponent`, for a base in `0.0..=1.0`; `0` to the power `0` is 1.
#[must_use]
pub fn power(base: f64, mut exponent: u64) -> f64 {
    let mut result = (1.0, 0.0);
    let mut square = (base, 0.0);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = product(result, square);
        }
        exponent >>= 1;
        square = product(square, square);
    }
    result.0 + result.1
}

/// The product of two unevaluated sums, itself one: the rounding error of the leading product is exact by a fused
/// multiply-add, which IEEE 754 rounds once whether hardware or a library does it.
fn product(left: (f64, f64), right: (f64, f64)) -> (f64, f64) {
    let high = left.0 * right.0;
    let low = left.0.mul_add(right.0, -high) + (left.0 * right.1 + left.1 * right.0);
    let sum = high + low;
    (sum, low - (sum - high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges() {
        for exponent in [0, 1, 2, 7, u64::MAX] {
            assert_eq!(power(1.0, exponent), 1.0);
            assert_eq!(power(0.0, exponent), if exponent == 0 { 1.0 } else { 0.0 });
        }
        assert_eq!(power(0.5, 1074), f64::from_bits(1));
        assert_eq!(power(0.5, 1075), 0.0);
        assert_eq!(power(0.85, u64::MAX), 0.0);
        assert_eq!(power(0.85, 1), 0.85);
    }

    /// Made with Python's exact fractions: `float(Fraction(base) ** exponent)`.
    #[test]
    fn correctly_rounded() {
        for (base, exponent, expected) in VECTORS {
            assert_eq!(power(base, exponent), expected, "{base} ** {exponent}");
        }
    }

    #[test]
    fn within_one_unit_of_the_system_s() {
        for thousandths in 1..1000_u32 {
            for exponent in 1..60_u32 {
                let base = f64::from(thousandths) / 1000.0;
                let (ours, system) = (power(base, exponent.into()), base.powf(exponent.into()));
                assert!(ours.to_bits().abs_diff(system.to_bits()) <= 1, "{base} ** {exponent}");
            }
        }
    }

    const VECTORS: [(f64, u64, f64); 16] = [
        (0.85, 2, 0.7224999999999999),
        (0.85, 3, 0.6141249999999999),
        (0.85, 5, 0.44370531249999995),
        (0.85, 17, 0.06311342330065432),
        (0.85, 100, 8.747673630108589e-08),
        (0.91, 15, 0.24300817552575768),
        (0.874, 4, 0.583506543376),
        (0.926, 8, 0.5406147534197336),
        (0.593, 9, 0.00906759762982215),
        (0.75, 34, 5.650448946785622e-05),
        (0.65, 45, 3.811544977260443e-09),
        (0.93, 79, 0.003237076297267658),
        (0.7, 248, 3.8398470303589205e-39),
        (0.999, 1000, 0.36769542477096373),
        (0.3, 40, 1.2157665459056911e-21),
        (0.9999, 5000, 0.6065154956247782),
    ];
}
