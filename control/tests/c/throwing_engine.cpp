// An engine in C++ that lets an exception out of its function for the symbol THROW, which its interface forbids.
#include <stdexcept>

#include "cutline_engine.h"

namespace {

char instance;

void *create(cutline_text, cutline_sink *) {
    return &instance;
}

void destroy(void *) {
}

int32_t run(void *, const cutline_snapshot *snapshot, cutline_sink *output, cutline_sink *) {
    if (snapshot->symbol.len == 5 && memcmp(snapshot->symbol.data, "THROW", 5) == 0) {
        throw std::runtime_error("thrown on purpose");
    }
    cutline_append_literal(output, "{\"confidence\":1.0,\"drivers\":[],\"invalidations\":[],\"permissions\":[],\"regime\":\"R\",\"symbol\":");
    cutline_append_string(output, snapshot->symbol);
    cutline_append_literal(output, ",\"timestamp\":");
    cutline_append_integer(output, snapshot->timestamp_ms);
    cutline_append_literal(output, "}");
    return CUTLINE_OK;
}

int32_t run_with_hysteresis(void *, const cutline_snapshot *, cutline_text, cutline_sink *, cutline_sink *, cutline_sink *error) {
    cutline_append_literal(error, "this engine has no hysteresis");
    return CUTLINE_ENGINE_FAILURE;
}

const cutline_engine_v1 TABLE = {
    sizeof(cutline_engine_v1), CUTLINE_ENGINE_ABI_VERSION, "throwing-engine", "1", create, destroy, run, run_with_hysteresis,
};

} // namespace

const cutline_engine_v1 *cutline_engine(uint32_t abi_version) {
    return abi_version == CUTLINE_ENGINE_ABI_VERSION ? &TABLE : nullptr;
}
