/*
 * A small engine in C: where the price stands against its vwap and whether the traded flow agrees, and a simple hysteresis that
 * keeps a regime until another one was seen three times in a row. In truth mode it says what Cutline's own `regime-example` says.
 *
 *     cc -std=c99 -O2 -Wall -Wextra -shared -fPIC -o engine.so engine.c
 *
 * -std=c99 also keeps the compiler from fusing multiplications and additions, so that every machine computes the same bits.
 */
#include "cutline_engine.h"

/* Relative distance between price and vwap that counts as full strength: 1 %. */
#define FULL_STRENGTH 0.01
/* Runs in a row that another regime needs. */
#define RUNS_TO_FLIP 3

enum regime { UNKNOWN, BALANCED, TREND_UP, TREND_DOWN, DIVERGENCE_UP, DIVERGENCE_DOWN, REGIMES, NONE = -1 };

static const char *const NAMES[REGIMES] = {
    "\"UNKNOWN\"", "\"BALANCED\"", "\"TREND_UP\"", "\"TREND_DOWN\"", "\"DIVERGENCE_UP\"", "\"DIVERGENCE_DOWN\"",
};

/* What the engine makes of a snapshot; lists are JSON already. */
struct judgement {
    enum regime regime;
    double confidence;
    const char *direction, *flow, *invalidation;
};

static struct judgement unknown(const char *why) {
    struct judgement judgement = {UNKNOWN, 0.0, NULL, NULL, NULL};
    judgement.invalidation = why;
    return judgement;
}

static struct judgement judge(const cutline_snapshot *snapshot) {
    double price, vwap, cvd = 0, strength;
    int knows_cvd = cutline_number(snapshot->flow.cvd, &cvd);
    struct judgement judgement;
    if (!cutline_number(snapshot->market.price, &price)) {
        return unknown("market.price is missing or no number");
    }
    if (!cutline_number(snapshot->market.vwap, &vwap)) {
        return unknown("market.vwap is missing or no number");
    }
    if (vwap <= 0) {
        return unknown("market.vwap is not positive");
    }
    strength = (price > vwap ? price - vwap : vwap - price) / vwap / FULL_STRENGTH;
    strength = strength < 1 ? strength : 1;
    if (price > vwap && cvd > 0) {
        judgement.regime = TREND_UP;
        judgement.confidence = 0.5 + strength / 2;
    } else if (price < vwap && cvd < 0) {
        judgement.regime = TREND_DOWN;
        judgement.confidence = 0.5 + strength / 2;
    } else if (price > vwap && cvd < 0) {
        judgement.regime = DIVERGENCE_UP;
        judgement.confidence = strength / 2;
    } else if (price < vwap && cvd > 0) {
        judgement.regime = DIVERGENCE_DOWN;
        judgement.confidence = strength / 2;
    } else {
        judgement.regime = BALANCED;
        judgement.confidence = knows_cvd ? 1 - strength : (1 - strength) / 2;
    }
    judgement.direction = price > vwap ? "price above vwap" : price < vwap ? "price below vwap" : "price at vwap";
    judgement.flow = !knows_cvd ? NULL : cvd > 0 ? "cvd positive" : cvd < 0 ? "cvd negative" : "cvd flat";
    judgement.invalidation = knows_cvd ? NULL : "flow.cvd is missing or no number";
    return judgement;
}

/* Appends a list of up to two texts without anything to escape. */
static void append_list(cutline_sink *sink, const char *first, const char *second) {
    cutline_append_literal(sink, first != NULL ? "[\"" : "[");
    if (first != NULL) {
        cutline_append_literal(sink, first);
        if (second != NULL) {
            cutline_append_literal(sink, "\",\"");
            cutline_append_literal(sink, second);
        }
        cutline_append_literal(sink, "\"");
    }
    cutline_append_literal(sink, "]");
}

static void append_output(cutline_sink *sink, const cutline_snapshot *snapshot, const struct judgement *judgement) {
    const char *permission =
        judgement->regime == TREND_UP ? "LONG" : judgement->regime == TREND_DOWN ? "SHORT" : NULL;
    cutline_append_literal(sink, "{\"confidence\":");
    cutline_append_number(sink, judgement->confidence);
    cutline_append_literal(sink, ",\"drivers\":");
    append_list(sink, judgement->direction, judgement->flow);
    cutline_append_literal(sink, ",\"invalidations\":");
    append_list(sink, judgement->invalidation, NULL);
    cutline_append_literal(sink, ",\"permissions\":");
    append_list(sink, permission, NULL);
    cutline_append_literal(sink, ",\"regime\":");
    cutline_append_literal(sink, NAMES[judgement->regime]);
    cutline_append_literal(sink, ",\"symbol\":");
    cutline_append_string(sink, snapshot->symbol);
    cutline_append_literal(sink, ",\"timestamp\":");
    cutline_append_integer(sink, snapshot->timestamp_ms);
    cutline_append_literal(sink, "}");
}

/* A symbol's state: this, then the stable output as JSON. Any bytes will do; they only have to be read by the same engine. */
struct state {
    char tag[8];
    int32_t stable, candidate; /* enum regime */
    int64_t count;             /* runs in a row that saw the candidate */
    int64_t last_ms;
    double confidence; /* of the stable output */
};

static const char TAG[8] = {'e', 'x', 'a', 'm', 'p', 'l', 'e', '1'};

/* Reads a state; 0 if it is none of ours. */
static int read_state(cutline_text bytes, struct state *state) {
    if (bytes.len < sizeof *state) {
        return 0;
    }
    memcpy(state, bytes.data, sizeof *state);
    return memcmp(state->tag, TAG, sizeof TAG) == 0 && state->stable >= 0 && state->stable < REGIMES &&
           state->candidate >= NONE && state->candidate < REGIMES;
}

static const char *boolean(int value) {
    return value ? "true" : "false";
}

static int32_t run(void *engine, const cutline_snapshot *snapshot, cutline_sink *output, cutline_sink *error) {
    struct judgement judgement = judge(snapshot);
    (void)engine;
    (void)error;
    append_output(output, snapshot, &judgement);
    return CUTLINE_OK;
}

static int32_t run_with_hysteresis(void *engine, const cutline_snapshot *snapshot, cutline_text state, cutline_sink *decision,
                                   cutline_sink *new_state, cutline_sink *error) {
    struct judgement judgement = judge(snapshot);
    struct state next;
    int flipped = 0, keeps = 0;
    (void)engine;
    if (state.len > 0) {
        if (!read_state(state, &next)) {
            cutline_append_literal(error, "the state is not one of this engine");
            return CUTLINE_HYSTERESIS_STATE_FAILURE;
        }
        if (snapshot->timestamp_ms <= next.last_ms) {
            cutline_append_literal(error, "the timestamp is not after the last one");
            return CUTLINE_HYSTERESIS_STATE_FAILURE;
        }
        if ((int32_t)judgement.regime != next.stable) {
            next.count = (int32_t)judgement.regime == next.candidate ? next.count + 1 : 1;
            flipped = next.count >= RUNS_TO_FLIP;
            keeps = !flipped;
        }
    }
    next.candidate = keeps ? (int32_t)judgement.regime : NONE;
    if (!keeps) {
        memcpy(next.tag, TAG, sizeof TAG);
        next.stable = (int32_t)judgement.regime;
        next.count = 0;
        next.confidence = judgement.confidence;
    }
    next.last_ms = snapshot->timestamp_ms;

    cutline_append(new_state, &next, sizeof next);
    cutline_append_literal(decision, "{\"effective_confidence\":");
    cutline_append_number(decision, next.confidence);
    cutline_append_literal(decision, ",\"selected_output\":");
    if (keeps) {
        /* The stable output as it was said, its old timestamp included. */
        cutline_append(decision, state.data + sizeof next, state.len - sizeof next);
        cutline_append(new_state, state.data + sizeof next, state.len - sizeof next);
    } else {
        append_output(decision, snapshot, &judgement);
        append_output(new_state, snapshot, &judgement);
    }
    cutline_append_literal(decision, ",\"transition\":{\"candidate_count\":");
    cutline_append_integer(decision, next.count);
    cutline_append_literal(decision, ",\"candidate_regime\":");
    cutline_append_literal(decision, keeps ? NAMES[next.candidate] : "null");
    cutline_append_literal(decision, ",\"flipped\":");
    cutline_append_literal(decision, boolean(flipped));
    cutline_append_literal(decision, ",\"reset_due_to_gap\":false,\"stable_regime\":");
    cutline_append_literal(decision, NAMES[next.stable]);
    cutline_append_literal(decision, ",\"transition_active\":");
    cutline_append_literal(decision, boolean(keeps));
    cutline_append_literal(decision, "}}");
    return CUTLINE_OK;
}

/* The engine has nothing of its own, so that any address will do. */
static char instance;

static void *create(cutline_text config_json, cutline_sink *error) {
    if (config_json.len != 2 || memcmp(config_json.data, "{}", 2) != 0) {
        cutline_append_literal(error, "this engine has nothing to configure: leave [engine.hysteresis] empty");
        return NULL;
    }
    return &instance;
}

static void destroy(void *engine) {
    (void)engine;
}

static const cutline_engine_v1 TABLE = {
    sizeof(cutline_engine_v1), CUTLINE_ENGINE_ABI_VERSION, "example-engine", "1", create, destroy, run, run_with_hysteresis,
};

const cutline_engine_v1 *cutline_engine(uint32_t abi_version) {
    return abi_version == CUTLINE_ENGINE_ABI_VERSION ? &TABLE : NULL;
}
