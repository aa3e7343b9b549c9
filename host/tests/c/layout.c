/* Prints sizes and offsets of the header's structs, one `name bytes` a line. */
#include "cutline_engine.h"

#define SIZE(type) printf(#type " %zu\n", sizeof(type))
#define AT(type, member) printf(#type "." #member " %zu\n", offsetof(type, member))

int main(void) {
    SIZE(cutline_text);
    AT(cutline_text, len);
    SIZE(cutline_sink);
    AT(cutline_sink, capacity);
    AT(cutline_sink, len);
    SIZE(cutline_snapshot);
    AT(cutline_snapshot, size);
    AT(cutline_snapshot, symbol);
    AT(cutline_snapshot, timestamp_ms);
    AT(cutline_snapshot, context.alt_breadth);
    AT(cutline_snapshot, context.beta_to_btc);
    AT(cutline_snapshot, context.btc_regime);
    AT(cutline_snapshot, context.eth_regime);
    AT(cutline_snapshot, context.rs_vs_btc);
    AT(cutline_snapshot, derivatives.funding_rate);
    AT(cutline_snapshot, derivatives.funding_slope);
    AT(cutline_snapshot, derivatives.funding_z);
    AT(cutline_snapshot, derivatives.liquidation_intensity);
    AT(cutline_snapshot, derivatives.oi_accel);
    AT(cutline_snapshot, derivatives.oi_slope_med);
    AT(cutline_snapshot, derivatives.oi_slope_short);
    AT(cutline_snapshot, derivatives.open_interest);
    AT(cutline_snapshot, flow.aggressive_volume_ratio);
    AT(cutline_snapshot, flow.cvd);
    AT(cutline_snapshot, flow.cvd_efficiency);
    AT(cutline_snapshot, flow.cvd_slope);
    AT(cutline_snapshot, market.acceptance_score);
    AT(cutline_snapshot, market.atr);
    AT(cutline_snapshot, market.atr_z);
    AT(cutline_snapshot, market.price);
    AT(cutline_snapshot, market.range_expansion);
    AT(cutline_snapshot, market.structure_levels);
    AT(cutline_snapshot, market.sweep_score);
    AT(cutline_snapshot, market.vwap);
    SIZE(cutline_engine_v1);
    AT(cutline_engine_v1, size);
    AT(cutline_engine_v1, abi_version);
    AT(cutline_engine_v1, name);
    AT(cutline_engine_v1, version);
    AT(cutline_engine_v1, create);
    AT(cutline_engine_v1, destroy);
    AT(cutline_engine_v1, run);
    AT(cutline_engine_v1, run_with_hysteresis);
    printf("CUTLINE_ENGINE_ABI_VERSION %u\n", CUTLINE_ENGINE_ABI_VERSION);
    printf("engine_failure %d\n", CUTLINE_ENGINE_FAILURE);
    printf("engine_timeout %d\n", CUTLINE_ENGINE_TIMEOUT);
    printf("engine_unavailable %d\n", CUTLINE_ENGINE_UNAVAILABLE);
    printf("engine_output_invalid %d\n", CUTLINE_ENGINE_OUTPUT_INVALID);
    printf("hysteresis_state_failure %d\n", CUTLINE_HYSTERESIS_STATE_FAILURE);
    return 0;
}
