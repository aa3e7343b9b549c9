//! The lines of a well-behaved feed: market data and snapshots.

use super::text::{Decimal, Lots, Price, head, put};
use super::{Generator, SNAPSHOT_LAG_MS};

const REGIMES: [&str; 5] = ["CHOP_BALANCED", "CHOP_STOPHUNT", "LIQUIDATION_UP", "LIQUIDATION_DOWN", "TREND_BUILD_UP"];

impl Generator {
    /// One line of market data.
    pub(super) fn event(&mut self, recv_ms: i64, out: &mut Vec<u8>) {
        let index = self.pick();
        let (random, market) = (&mut self.random, &mut self.markets[index]);
        market.step(random);
        market.seq += 1;
        let exchange_ms = (recv_ms - random.between(2, 15)).max(0);
        let (price, lots, spread) = (market.price, random.between(1, 5_000), random.between(1, 5));
        let (bid, ask) = (Price(price - spread), Price(price + spread));
        let kind = random.below(100);
        let (name, channel) = match kind {
            0..50 => ("BookTop", "book"),
            50..75 => ("TradeTick", "trades"),
            75..87 => ("BookDelta", "depth"),
            87..91 => ("MarkPrice", "mark_price"),
            91..94 => ("IndexPrice", "mark_price"),
            94..96 => ("Candle", "candles"),
            96..98 => ("OpenInterest", "open_interest"),
            98 => ("FundingRate", "mark_price"),
            _ => ("LiquidationPrint", "liquidations"),
        };
        head(out, name, "synthetic", index, exchange_ms, recv_ms);
        put(out, format_args!(",\"channel\":\"{channel}\",\"source_seq\":{},\"normalized\":{{", market.seq));
        match name {
            "BookTop" => put(
                out,
                format_args!(
                    "\"best_bid_price\":{bid},\"best_bid_quantity\":{},\"best_ask_price\":{ask},\"best_ask_quantity\":{}",
                    Lots(lots),
                    Lots(random.between(1, 5_000))
                ),
            ),
            "TradeTick" | "LiquidationPrint" => {
                let side = if random.below(2) == 0 { "buy" } else { "sell" };
                if name == "TradeTick" {
                    market.trade(lots, side);
                }
                put(out, format_args!("\"price\":{},\"quantity\":{},\"side\":\"{side}\"", Price(price), Lots(lots)));
            }
            "BookDelta" => put(
                out,
                format_args!(
                    "\"bids\":[[{bid},{}],[{},0.0]],\"asks\":[[{ask},{}]]",
                    Lots(lots),
                    Price(price - spread - 1),
                    Lots(random.between(0, 5_000))
                ),
            ),
            "MarkPrice" => put(out, format_args!("\"mark_price\":{}", Price(price))),
            "IndexPrice" => put(out, format_args!("\"index_price\":{}", Price(price + spread))),
            "Candle" => put(
                out,
                format_args!(
                    "\"open\":{},\"high\":{},\"low\":{},\"close\":{},\"volume\":{},\"interval_ms\":{},\"is_final\":false",
                    Price(market.open),
                    Price(market.high),
                    Price(market.low),
                    Price(price),
                    Lots(market.lots),
                    self.settings.interval_ms
                ),
            ),
            "OpenInterest" => put(out, format_args!("\"open_interest\":{}", Lots(market.open_interest))),
            _ => put(out, format_args!("\"funding_rate\":{}", Decimal(random.between(-300, 300), 6))),
        }
        put(
            out,
            format_args!(
                "}},\"raw_payload\":\"{{\\\"e\\\":\\\"{channel}\\\",\\\"p\\\":\\\"{}\\\",\\\"u\\\":{}}}\"}}\n",
                Price(price),
                market.seq
            ),
        );
    }

    /// The SnapshotInputs of one symbol for one boundary.
    pub(super) fn snapshot(&mut self, boundary_ms: i64, index: usize, out: &mut Vec<u8>) {
        let (random, market) = (&mut self.random, &mut self.markets[index]);
        let window = market.closed;
        if random.below(3) == 0 {
            market.regime = random.below(REGIMES.len() as u64) as usize;
        }
        let (regime, confidence) = (REGIMES[market.regime], Decimal(random.between(300_000, 990_000), 6));
        // Share of the buys in what was traded: (lots + cvd) / 2 / lots.
        let bought = if window.lots == 0 { 500 } else { (window.lots + window.cvd) * 500 / window.lots };
        let efficiency = if window.lots == 0 { 0 } else { window.cvd * 1_000 / window.lots };
        let mut unit = || Decimal(random.between(-1_000, 1_000), 3);
        head(out, "SnapshotInputs", "synthetic-vendor", index, boundary_ms, boundary_ms + SNAPSHOT_LAG_MS);
        put(
            out,
            format_args!(
                ",\"channel\":\"snapshot\",\"normalized\":{{\"timestamp_ms\":{boundary_ms},\"market\":{{\"price\":{},\
             \"vwap\":{},\"atr\":{},\"atr_z\":{},\"range_expansion\":{},\"structure_levels\":{{\"script\":{{\
             \"regime\":\"{regime}\",\"confidence\":{confidence},\"drivers\":[\"cvd\",\"Flow CVD slope\"],\
             \"invalidations\":[]}}}},\"acceptance_score\":{},\"sweep_score\":{}}}",
                Price(window.price),
                Decimal(window.vwap, 4),
                Price(window.range),
                unit(),
                unit(),
                unit(),
                unit()
            ),
        );
        put(
            out,
            format_args!(
                ",\"derivatives\":{{\"open_interest\":{},\"oi_slope_short\":{},\"oi_slope_med\":{},\"oi_accel\":{},\
             \"funding_rate\":0.0001,\"funding_slope\":{},\"funding_z\":{},\"liquidation_intensity\":null}}",
                Lots(market.open_interest),
                unit(),
                unit(),
                unit(),
                unit(),
                unit()
            ),
        );
        put(
            out,
            format_args!(
                ",\"flow\":{{\"cvd\":{},\"cvd_slope\":{},\"cvd_efficiency\":{},\"aggressive_volume_ratio\":{}}}",
                Lots(window.cvd),
                unit(),
                Decimal(efficiency, 3),
                Decimal(bought, 3)
            ),
        );
        put(
            out,
            format_args!(
                ",\"context\":{{\"rs_vs_btc\":{},\"beta_to_btc\":1.0,\"alt_breadth\":{},\"btc_regime\":null,\
             \"eth_regime\":null}}}},\"raw_payload\":\"{{\\\"t\\\":{boundary_ms}}}\"}}\n",
                unit(),
                unit()
            ),
        );
    }
}
