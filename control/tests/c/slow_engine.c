/* An engine that takes its time: so many milliseconds as market.price says, asleep for the symbol SLEEP and at work for every other; for the
 * symbol UNTIL until the file is there that the environment variable CUTLINE_TEST_UNTIL names. */
#define _POSIX_C_SOURCE 200112L
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cutline_engine.h"

static double ms_since(const struct timespec *began) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - began->tv_sec) * 1e3 + (double)(now.tv_nsec - began->tv_nsec) / 1e6;
}

static void sleep_ms(double ms) {
    struct timespec pause;
    pause.tv_sec = (time_t)(ms / 1e3);
    pause.tv_nsec = (long)((ms - (double)pause.tv_sec * 1e3) * 1e6);
    nanosleep(&pause, NULL);
}

static int is(cutline_text symbol, const char *name) {
    return symbol.len == strlen(name) && memcmp(symbol.data, name, symbol.len) == 0;
}

static int32_t run(void *engine, const cutline_snapshot *snapshot, cutline_sink *output, cutline_sink *error) {
    struct timespec began;
    double ms = 0;
    const char *file = getenv("CUTLINE_TEST_UNTIL");
    (void)engine;
    (void)error;
    (void)cutline_number(snapshot->market.price, &ms);
    clock_gettime(CLOCK_MONOTONIC, &began);
    if (is(snapshot->symbol, "SLEEP")) {
        sleep_ms(ms);
    } else if (is(snapshot->symbol, "UNTIL")) {
        while (file != NULL && access(file, F_OK) != 0) {
            sleep_ms(5);
        }
    } else {
        while (ms_since(&began) < ms) {
        }
    }
    cutline_append_literal(output, "{\"confidence\":1.0,\"drivers\":[],\"invalidations\":[],\"permissions\":[],\"regime\":\"R\",\"symbol\":");
    cutline_append_string(output, snapshot->symbol);
    cutline_append_literal(output, ",\"timestamp\":");
    cutline_append_integer(output, snapshot->timestamp_ms);
    cutline_append_literal(output, "}");
    return CUTLINE_OK;
}

static int32_t run_with_hysteresis(void *engine, const cutline_snapshot *snapshot, cutline_text state, cutline_sink *decision,
                                   cutline_sink *new_state, cutline_sink *error) {
    (void)engine;
    (void)snapshot;
    (void)state;
    (void)decision;
    (void)new_state;
    cutline_append_literal(error, "this engine has no hysteresis");
    return CUTLINE_HYSTERESIS_STATE_FAILURE;
}

static char instance;

static void *create(cutline_text config_json, cutline_sink *error) {
    (void)config_json;
    (void)error;
    return &instance;
}

static void destroy(void *engine) {
    (void)engine;
}

static const cutline_engine_v1 TABLE = {
    sizeof(cutline_engine_v1), CUTLINE_ENGINE_ABI_VERSION, "slow-engine", "1", create, destroy, run, run_with_hysteresis,
};

const cutline_engine_v1 *cutline_engine(uint32_t abi_version) {
    return abi_version == CUTLINE_ENGINE_ABI_VERSION ? &TABLE : NULL;
}
