//! Numbers for people: short, with their unit. Pure.

/// A time in three digits: `870 ns`, `12.3 us`, `4.56 ms`, `78.9 s`.
pub fn duration(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A size: `512 B`, `4.00 KiB`, `64.0 MiB`.
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{} {unit}", three_digits(value)) };
        }
        value /= 1024.0;
    }
    format!("{} TiB", three_digits(value))
}

/// A count or a rate: `0`, `0.25`, `1,234`, `56,789`.
pub fn count(value: f64) -> String {
    if value > 0.0 && value < 100.0 && value.fract() != 0.0 {
        return three_digits(value);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share of a whole, in percent; nothing of nothing is none.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

fn three_digits(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_their_unit() {
        assert_eq!(
            [duration(0), duration(999), duration(1_000), duration(45_678)],
            ["0 ns", "999 ns", "1.00 us", "45.7 us"]
        );
        assert_eq!([duration(999_400_000), duration(78_900_000_000)], ["999 ms", "78.9 s"]);
        assert_eq!([bytes(1023), bytes(4096), bytes(1 << 46)], ["1023 B", "4.00 KiB", "64.0 TiB"]);
        assert_eq!([count(0.0), count(0.25), count(100.4), count(1_234_567.0)], ["0", "0.25", "100", "1,234,567"]);
        assert_eq!([percent(1, 8), percent(0, 0)], ["12.5 %", "-"]);
    }
}
