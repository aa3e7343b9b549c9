/* The header's helpers as functions that can be looked up. */
#include "cutline_engine.h"

int helper_number(cutline_text field, double *number);
int helper_string(cutline_text field, char *out, size_t capacity, size_t *len);
int helper_kind(cutline_text field);
void helper_append_string(cutline_sink *sink, cutline_text text);
void helper_append_number(cutline_sink *sink, double value);
void helper_append_integer(cutline_sink *sink, int64_t value);

int helper_number(cutline_text field, double *number) {
    return cutline_number(field, number);
}

int helper_string(cutline_text field, char *out, size_t capacity, size_t *len) {
    return cutline_string(field, out, capacity, len);
}

int helper_kind(cutline_text field) {
    return cutline_is_missing(field) ? 1 : cutline_is_null(field) ? 2 : 0;
}

void helper_append_string(cutline_sink *sink, cutline_text text) {
    cutline_append_string(sink, text);
}

void helper_append_number(cutline_sink *sink, double value) {
    cutline_append_number(sink, value);
}

void helper_append_integer(cutline_sink *sink, int64_t value) {
    cutline_append_integer(sink, value);
}
