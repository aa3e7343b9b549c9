//! Hostile lines: what a sequencer must keep, count and survive.

use super::Generator;
use super::text::{head, put};

impl Generator {
    /// One line that a careless reader would stumble over. The kinds up to 8 are no envelopes, those after it are valid.
    pub(super) fn hostile(&mut self, recv_ms: i64, out: &mut Vec<u8>) {
        let kind = self.random.below(14);
        let start = out.len();
        let symbol = self.pick();
        match kind {
            0 => put(out, format_args!("not json at all {}\n", self.random.next())),
            1 => out.extend_from_slice(b"\xff\xfe\x00 no text\n"),
            2 => out.extend_from_slice(b"[1,2,3]\n"),
            3 => out.extend_from_slice(b"{\"schema\":\"raw_market_event\",\"schema_version\":\"1\"}\n"),
            4 => {
                // One level more than the contract reads.
                head(out, "TradeTick", "synthetic", symbol, recv_ms, recv_ms);
                out.extend_from_slice(b",\"raw_payload\":\"\",\"normalized\":{\"a\":");
                out.extend(std::iter::repeat_n(b'[', 63).chain(std::iter::repeat_n(b']', 63)));
                out.extend_from_slice(b"}}\n");
            }
            5 => {
                out.extend_from_slice(b"\xef\xbb\xbf");
                self.event(recv_ms, out);
            }
            6 => {
                self.event(recv_ms, out);
                // Ends in the middle, as after a torn connection.
                let keep = self.random.below((out.len() - start) as u64 - 1) as usize;
                out.truncate(start + keep.max(1));
                out.push(b'\n');
            }
            7 => {
                out.extend_from_slice(
                    br#"{"schema":"raw_market_event","schema_version":"2","event_type":"TradeTick","source_id":"synthetic","#,
                );
                out.extend_from_slice(
                    br#""symbol":"S00000USDT","exchange_ts_ms":null,"recv_ts_ms":1,"raw_payload":"","normalized":{}}"#,
                );
                out.push(b'\n');
            }
            8 => {
                // A receipt time beyond i64.
                head(out, "TradeTick", "synthetic", symbol, recv_ms, recv_ms);
                out.extend_from_slice(b"00000000000,\"raw_payload\":\"\",\"normalized\":{}}\n");
            }
            9 => {
                head(out, "FutureThing", "synthetic", symbol, recv_ms, recv_ms);
                out.extend_from_slice(
                    b",\"raw_payload\":\"\\u0000\\ud83d\\ude00\",\"normalized\":{\"x\":1e-7,\"y\":-0.0}}\n",
                );
            }
            10 => {
                // The last of two equal keys wins.
                head(out, "TradeTick", "synthetic", symbol, recv_ms, recv_ms);
                out.extend_from_slice(
                    b",\"raw_payload\":\"a\",\"raw_payload\":\"b\",\"normalized\":[],\"normalized\":{}}\n",
                );
            }
            11 => {
                self.event(recv_ms, out);
                out.pop();
                out.extend_from_slice(b"\r\n");
            }
            12 => {
                head(out, "DecodeFailure", "synthetic", symbol, recv_ms, recv_ms);
                out.extend_from_slice(
                    b",\"raw_payload\":\"//5ub3Q=\",\"raw_payload_encoding\":\"base64\",\"normalized\":{\"error_kind\":\
                      \"venue_kind\",\"error_detail\":\"no value\"}}\n",
                );
            }
            _ if self.last.is_empty() => self.event(recv_ms, out),
            _ => out.extend_from_slice(&self.last),
        }
    }
}
