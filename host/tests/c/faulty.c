/* Libraries that are no engine, by FAULT; without it an engine whose calls go wrong as the symbol says. */
#include "cutline_engine.h"

#ifndef FAULT
#define FAULT 0
#endif

#if FAULT == 10
void nowhere(void);
#endif

static int32_t answer(const cutline_snapshot *snapshot, cutline_sink *output, cutline_sink *error) {
    cutline_text symbol = snapshot->symbol;
#if FAULT == 10
    nowhere();
#endif
    if (symbol.len == 5 && memcmp(symbol.data, "code", 4) == 0) {
        cutline_append_literal(error, "told");
        return symbol.data[4] - '0';
    }
    if (symbol.len == 4 && memcmp(symbol.data, "long", 4) == 0) {
        int times;
        cutline_append_literal(error, "x");
        for (times = 0; times < 1000; times++) {
            cutline_append_literal(error, "\xe2\x82\xac");
        }
        return CUTLINE_ENGINE_FAILURE;
    }
    if (symbol.len == 4 && memcmp(symbol.data, "text", 4) == 0) {
        cutline_append(error, "a\xff" "b", 3);
        return CUTLINE_ENGINE_FAILURE;
    }
    if (symbol.len == 4 && memcmp(symbol.data, "huge", 4) == 0) {
        output->len = SIZE_MAX;
        cutline_append(output, "x", 1);
        return CUTLINE_OK;
    }
    if (symbol.len == 4 && memcmp(symbol.data, "none", 4) == 0) {
        return CUTLINE_OK;
    }
    cutline_append_literal(error, "no such fault");
    return CUTLINE_ENGINE_FAILURE;
}

static void *create(cutline_text config_json, cutline_sink *error) {
    static char instance;
    (void)config_json;
    (void)error;
    if (FAULT == 8) {
        cutline_append_literal(error, "decay_factor is 7");
    }
    return FAULT == 8 || FAULT == 9 ? NULL : &instance;
}

static void destroy(void *engine) {
    (void)engine;
}

static int32_t run(void *engine, const cutline_snapshot *snapshot, cutline_sink *output, cutline_sink *error) {
    (void)engine;
    return answer(snapshot, output, error);
}

static int32_t run_with_hysteresis(void *engine, const cutline_snapshot *snapshot, cutline_text state, cutline_sink *decision,
                                   cutline_sink *new_state, cutline_sink *error) {
    (void)engine;
    (void)state;
    (void)decision;
    return answer(snapshot, new_state, error);
}

static const cutline_engine_v1 TABLE = {
    sizeof(cutline_engine_v1) - (FAULT == 4 ? 8 : 0),
    CUTLINE_ENGINE_ABI_VERSION + (FAULT == 3 ? 1 : 0),
    FAULT == 6 ? NULL : FAULT == 7 ? "a name of\ntwo lines" : "faulty",
    "1",
    create,
    destroy,
    FAULT == 5 ? NULL : run,
    run_with_hysteresis,
};

#if FAULT == 1
const cutline_engine_v1 *another_name(void);
const cutline_engine_v1 *another_name(void) {
    return &TABLE;
}
#else
const cutline_engine_v1 *cutline_engine(uint32_t abi_version) {
    return FAULT == 2 || abi_version != CUTLINE_ENGINE_ABI_VERSION ? NULL : &TABLE;
}
#endif
