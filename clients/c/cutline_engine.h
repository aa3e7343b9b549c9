/*
 * cutline_engine.h: the C ABI of a Cutline engine, version 1.
 *
 * An engine is a shared library that exports one function, `cutline_engine`. It returns a table of functions. Cutline creates
 * instances and calls them; the library calls nothing of Cutline. C99 or later, or C++; nothing to link with.
 *
 * What an engine promises
 *   Pure           An answer is a function of the arguments and of the configuration given to `create`: no clock, no random
 *                  source, no memory from one call to the next. Retries, recovery and replay call again and expect the same
 *                  bytes. `cutline engine check` looks for what is not.
 *   Nothing leaves No C++ exception, no longjmp, no exit: a failure is a return code and a text. An exception that leaves a
 *                  function ends the process that made the call, by SIGABRT: Cutline itself where the engine works on a lane,
 *                  and with engine.host = "process" that one process, whose run fails as engine_unavailable. Make the
 *                  functions `noexcept`: then the C++ runtime says what was thrown before it ends the process.
 *   No signals     It changes no signal handlers, no locale, no rounding mode, and never closes what it did not open.
 *
 * Threads    One instance is called by one thread at a time, but not always by the thread that created it. Instances are
 *            called by several threads at once. The table and what it points to never change.
 * Lifetimes  Texts and sinks of a call end with the call: copy what is to stay. Sinks have room that Cutline owns; nothing
 *            that one side allocates is freed by the other.
 * Growing    Structs grow at their end and say their size first. Version 1 never changes what it says here.
 *
 * Every text is UTF-8 and NOT terminated by a zero byte.
 */
#ifndef CUTLINE_ENGINE_H
#define CUTLINE_ENGINE_H

#include <locale.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version that this header describes. */
#define CUTLINE_ENGINE_ABI_VERSION 1u

/* What a call returns. 2 and 3 are for engines that ask somebody else. */
enum {
    CUTLINE_OK = 0,
    CUTLINE_ENGINE_FAILURE = 1,
    CUTLINE_ENGINE_TIMEOUT = 2,
    CUTLINE_ENGINE_UNAVAILABLE = 3,
    CUTLINE_ENGINE_OUTPUT_INVALID = 4,
    CUTLINE_HYSTERESIS_STATE_FAILURE = 5
};

/* Bytes that somebody else owns. `data` is NULL if there is nothing at all, which is not the same as no bytes. */
typedef struct cutline_text {
    const char *data;
    size_t len; /* bytes */
} cutline_text;

/* Room for an answer. Write to it with `cutline_append` and its kin below: `len` counts every byte that was offered, also those
 * behind `capacity`, which are dropped. An answer with len > capacity is refused as a whole: engine_output_invalid. Texts for
 * people (errors) are cut instead. */
typedef struct cutline_sink {
    char *data;
    size_t capacity; /* bytes */
    size_t len;      /* bytes; 0 when the call begins */
} cutline_sink;

/* The input of one run. Each field is raw JSON exactly as it was received: `1.50`, `"up"`, `null`, `{"a":[1]}`. A field that the
 * event does not carry is *missing*: data == NULL, which is not null. Nothing is fabricated. */
typedef struct cutline_snapshot {
    uint32_t size; /* bytes of this struct as Cutline knows it: at least sizeof(cutline_snapshot) of version 1 */
    uint32_t reserved;
    cutline_text symbol;  /* plain text, not JSON */
    int64_t timestamp_ms; /* the run's engine timestamp, Unix ms */
    struct {
        cutline_text alt_breadth, beta_to_btc, btc_regime, eth_regime, rs_vs_btc;
    } context;
    struct {
        cutline_text funding_rate, funding_slope, funding_z, liquidation_intensity, oi_accel, oi_slope_med, oi_slope_short,
            open_interest;
    } derivatives;
    struct {
        cutline_text aggressive_volume_ratio, cvd, cvd_efficiency, cvd_slope;
    } flow;
    struct {
        cutline_text acceptance_score, atr, atr_z, price, range_expansion, structure_levels, sweep_score, vwap;
    } market;
} cutline_snapshot;

/* What the library exports. No pointer may be NULL. */
typedef struct cutline_engine_v1 {
    uint32_t size;        /* sizeof(cutline_engine_v1) */
    uint32_t abi_version; /* CUTLINE_ENGINE_ABI_VERSION */

    /* For people and logs: UTF-8, terminated by a zero byte, at most 63 bytes each. What the engine *is* to Cutline is the
     * SHA-256 of its file and configuration. */
    const char *name;
    const char *version;

    /* Makes an instance. `config_json` is the section [engine.hysteresis] as a JSON object, `{}` if it is not there. NULL
     * refuses, with the reason in `error`. An engine without data of its own returns any address but NULL. */
    void *(*create)(cutline_text config_json, cutline_sink *error);

    /* Ends an instance. The library itself stays loaded until the process ends. */
    void (*destroy)(void *engine);

    /* Appends the RegimeOutput to `output`: one JSON object
     *   {"symbol":..,"timestamp":..,"regime":"..","confidence":0.5,"drivers":[..],"invalidations":[..],"permissions":[..]}
     * for the snapshot's symbol and timestamp; the lists are of strings, the confidence is finite. Returns CUTLINE_OK, or what
     * went wrong with a short reason in `error` (up to 256 bytes of it are published: nothing sensitive). */
    int32_t (*run)(void *engine, const cutline_snapshot *snapshot, cutline_sink *output, cutline_sink *error);

    /* The same with hysteresis. Appends the HysteresisDecision to `decision`: one JSON object
     *   {"selected_output":RegimeOutput,"effective_confidence":0.5,"transition":{"stable_regime":"..","candidate_regime":null,
     *    "candidate_count":0,"transition_active":false,"flipped":false,"reset_due_to_gap":false}}
     * whose selected output may have an older timestamp, and the symbol's state after this run to `new_state`. `state` is what
     * `new_state` was in the symbol's last run: any bytes, none (len == 0) before the first. Cutline keeps it; an instance must
     * not: after a failed call the old state is handed over again. A timestamp that is not after the last one, and a state that
     * cannot be read, are CUTLINE_HYSTERESIS_STATE_FAILURE. */
    int32_t (*run_with_hysteresis)(void *engine, const cutline_snapshot *snapshot, cutline_text state, cutline_sink *decision,
                                   cutline_sink *new_state, cutline_sink *error);
} cutline_engine_v1;

/* The exported function: the table for this version of the ABI, NULL if the library does not speak it. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const cutline_engine_v1 *cutline_engine(uint32_t abi_version);

#ifdef __cplusplus
}
#endif

/* ---- Helpers. They allocate nothing; what is not used costs nothing. ---- */

/* Longest number that `cutline_number` reads, bytes. */
#define CUTLINE_NUMBER_MAX 511

/* Appends bytes. */
static inline void cutline_append(cutline_sink *sink, const void *data, size_t len) {
    if (sink->len <= sink->capacity) {
        size_t room = sink->capacity - sink->len, taken = len < room ? len : room;
        if (taken > 0) {
            memcpy(sink->data + sink->len, data, taken);
        }
    }
    sink->len = len > SIZE_MAX - sink->len ? SIZE_MAX : sink->len + len;
}

/* Appends a string of C: JSON that is known, or a text for people. */
static inline void cutline_append_literal(cutline_sink *sink, const char *text) {
    cutline_append(sink, text, strlen(text));
}

/* Appends UTF-8 as a JSON string, quotes included. */
static inline void cutline_append_string(cutline_sink *sink, cutline_text text) {
    static const char hex[] = "0123456789abcdef";
    size_t at, start = 0;
    cutline_append(sink, "\"", 1);
    for (at = 0; at < text.len; at++) {
        unsigned char byte = (unsigned char)text.data[at];
        char escape[6] = {'\\', 'u', '0', '0', '0', '0'};
        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            continue;
        }
        if (at > start) {
            cutline_append(sink, text.data + start, at - start);
        }
        start = at + 1;
        if (byte >= 0x20) {
            escape[1] = (char)byte;
            cutline_append(sink, escape, 2);
        } else {
            escape[4] = hex[byte >> 4];
            escape[5] = hex[byte & 15];
            cutline_append(sink, escape, 6);
        }
    }
    if (at > start) {
        cutline_append(sink, text.data + start, at - start);
    }
    cutline_append(sink, "\"", 1);
}

/* Appends an integer. */
static inline void cutline_append_integer(cutline_sink *sink, int64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        digits[--at] = '-';
    }
    cutline_append(sink, digits + at, sizeof digits - at);
}

/* Appends a finite double with the fewest digits that read back as the same one, and always so that it is a float. Another one
 * appends what is no JSON, so that the answer is refused. */
static inline void cutline_append_number(cutline_sink *sink, double value) {
    char text[40];
    size_t at;
    int digits, len = 0, is_float = 0;
    if (!(value - value == 0)) {
        cutline_append_literal(sink, value != value ? "NaN" : "Infinity");
        return;
    }
    for (digits = 1; digits <= 17; digits++) {
        len = snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    for (at = 0; at < (size_t)len; at++) {
        if (text[at] == *localeconv()->decimal_point) {
            text[at] = '.';
        }
        is_float = is_float || text[at] == '.' || text[at] == 'e';
    }
    cutline_append(sink, text, (size_t)len);
    if (!is_float) {
        cutline_append(sink, ".0", 2);
    }
}

/* Whether the event does not carry the field. */
static inline int cutline_is_missing(cutline_text field) {
    return field.data == NULL;
}

/* Whether the field is there and null. */
static inline int cutline_is_null(cutline_text field) {
    return field.len == 4 && memcmp(field.data, "null", 4) == 0;
}

/* Reads a field that is a number. 0 if it is missing, null, of another type, beyond the range of a double, or written with more
 * than CUTLINE_NUMBER_MAX bytes; `number` is then as it was. */
static inline int cutline_number(cutline_text field, double *number) {
    char text[CUTLINE_NUMBER_MAX + 1], *end, *point;
    double value;
    if (field.data == NULL || field.len == 0 || field.len > CUTLINE_NUMBER_MAX) {
        return 0;
    }
    /* JSON's numbers alone begin so; what strtod reads besides ("inf", "0x1") is no JSON. */
    if (field.data[0] != '-' && (field.data[0] < '0' || field.data[0] > '9')) {
        return 0;
    }
    memcpy(text, field.data, field.len);
    text[field.len] = '\0';
    point = strchr(text, '.');
    if (point != NULL) {
        *point = *localeconv()->decimal_point;
    }
    value = strtod(text, &end);
    if (end != text + field.len || !(value - value == 0)) {
        return 0;
    }
    /* `-0` is the integer 0. */
    *number = strcmp(text, "-0") == 0 ? 0.0 : value;
    return 1;
}

/* Reads four hexadecimal digits, which validated JSON has there. */
static inline uint32_t cutline_hex4(const char *digits) {
    uint32_t unit = 0;
    int at;
    for (at = 0; at < 4; at++) {
        unsigned char digit = (unsigned char)digits[at];
        unit = unit << 4 | (uint32_t)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return unit;
}

/* Reads a field that is a string: UTF-8 without quotes and escapes, and without a zero byte at its end, to `out`; its length to
 * `len`. 0 if the field is missing, null, of another type, or does not fit; `out` may then hold a part. */
static inline int cutline_string(cutline_text field, char *out, size_t capacity, size_t *len) {
    const char *at, *end;
    cutline_sink sink;
    sink.data = out;
    sink.capacity = capacity;
    sink.len = 0;
    if (field.data == NULL || field.len < 2 || field.data[0] != '"') {
        return 0;
    }
    end = field.data + field.len - 1;
    for (at = field.data + 1; at < end; at++) {
        static const char escapes[] = "bfnrt", values[] = "\b\f\n\r\t";
        const char *escape;
        char utf8[4];
        uint32_t code;
        if (*at != '\\') {
            cutline_append(&sink, at, 1);
            continue;
        }
        at++;
        if (*at != 'u') {
            escape = strchr(escapes, *at);
            cutline_append(&sink, escape != NULL ? &values[escape - escapes] : at, 1);
            continue;
        }
        code = cutline_hex4(at + 1);
        at += 4;
        if (code >= 0xD800 && code < 0xDC00) {
            /* Cutline takes no lone surrogates: the other half follows. */
            code = 0x10000 + ((code - 0xD800) << 10) + (cutline_hex4(at + 3) - 0xDC00);
            at += 6;
        }
        if (code < 0x80) {
            utf8[0] = (char)code;
            cutline_append(&sink, utf8, 1);
        } else if (code < 0x800) {
            utf8[0] = (char)(0xC0 | code >> 6);
            utf8[1] = (char)(0x80 | (code & 63));
            cutline_append(&sink, utf8, 2);
        } else if (code < 0x10000) {
            utf8[0] = (char)(0xE0 | code >> 12);
            utf8[1] = (char)(0x80 | (code >> 6 & 63));
            utf8[2] = (char)(0x80 | (code & 63));
            cutline_append(&sink, utf8, 3);
        } else {
            utf8[0] = (char)(0xF0 | code >> 18);
            utf8[1] = (char)(0x80 | (code >> 12 & 63));
            utf8[2] = (char)(0x80 | (code >> 6 & 63));
            utf8[3] = (char)(0x80 | (code & 63));
            cutline_append(&sink, utf8, 4);
        }
    }
    *len = sink.len;
    return sink.len <= capacity;
}

#endif
