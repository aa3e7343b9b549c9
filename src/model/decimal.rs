//! Integers as decimal digits, without the machinery of formatting. Pure; any thread; allocates nothing.

/// Digits of `u64::MAX`.
pub(crate) const DIGITS_MAX: usize = 20;

/// `value` in decimal, at the end of `buffer`.
pub(crate) fn decimal(mut value: u64, buffer: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        #[allow(clippy::cast_possible_truncation)] // below 10
        let digit = (value % 10) as u8;
        buffer[start] = b'0' + digit;
        value /= 10;
        if value == 0 {
            return &buffer[start..];
        }
    }
}

/// Appends `value` in decimal.
pub(crate) fn push(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(decimal(value, &mut [0; DIGITS_MAX]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_complete() {
        let mut out = Vec::new();
        for value in [0, 9, 10, 1_767_225_600_000, u64::MAX] {
            out.clear();
            push(value, &mut out);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }
}
