//! Writing JSON text into a buffer: the envelope's head, and numbers without floats. Allocates only as the buffer grows.

use std::fmt;
use std::io::Write;

/// Prices are whole numbers of 0.01, quantities of 0.001.
const PRICE_DIGITS: u32 = 2;
const LOT_DIGITS: u32 = 3;

/// The envelope up to where it differs by type.
pub(super) fn head(out: &mut Vec<u8>, event_type: &str, source: &str, symbol: usize, exchange_ms: i64, recv_ms: i64) {
    put(
        out,
        format_args!(
            "{{\"schema\":\"raw_market_event\",\"schema_version\":\"1\",\"event_type\":\"{event_type}\",\"source_id\":\"{source}\",\
         \"symbol\":\"S{symbol:05}USDT\",\"exchange_ts_ms\":{exchange_ms},\"recv_ts_ms\":{recv_ms}"
        ),
    );
}

pub(super) fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = out.write_fmt(text);
}

/// A price in units of 0.01.
pub(super) struct Price(pub(super) i64);

/// A quantity in units of 0.001.
pub(super) struct Lots(pub(super) i64);

/// `.0` in units of `10^-.1`, written as canonical JSON writes it: at least one digit behind the point, no more zeros.
pub(super) struct Decimal(pub(super) i64, pub(super) u32);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal(self.0, PRICE_DIGITS).fmt(f)
    }
}

impl fmt::Display for Lots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal(self.0, LOT_DIGITS).fmt(f)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, unit) = (if self.0 < 0 { "-" } else { "" }, 10u64.pow(self.1));
        let (whole, mut rest, mut digits) =
            (self.0.unsigned_abs() / unit, self.0.unsigned_abs() % unit, self.1 as usize);
        while digits > 1 && rest.is_multiple_of(10) {
            rest /= 10;
            digits -= 1;
        }
        write!(f, "{sign}{whole}.{rest:0digits$}")
    }
}
