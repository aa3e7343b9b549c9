/* A module in C: writes a line to a file every so often, and does everything that the module protocol has.
 *
 *     cc -std=c99 -o example_module example_module.c
 *
 *     [[module]]
 *     name = "beat"
 *     command = ["./example_module"]
 *     write = ["./beats"]
 *     [module.config]
 *     file = "./beats/file"
 *     interval_ms = 100
 *
 * It takes another interval while it runs, and no other file.
 */
#define _POSIX_C_SOURCE 200809L

#include "cutline_module.h"

typedef struct {
    FILE *file;
    unsigned long interval_ms, beats;
} beat;

/* Takes the interval of a configuration; the reason if it is none. */
static const char *take(beat *beat, const char *config) {
    unsigned long interval_ms;
    if (!cutline_json_number(config, "interval_ms", &interval_ms) || interval_ms < 1 || interval_ms > 60000)
        return "interval_ms is from 1 to 60000";
    beat->interval_ms = interval_ms;
    return NULL;
}

static const char *open_file(beat *beat, const char *config, int reset) {
    char name[4096];
    if (!cutline_json_get(config, "file", name, sizeof name) || strlen(name) < 3 || strchr(name, '\\') != NULL)
        return "file is a path without anything to escape";
    name[strlen(name) - 1] = 0;
    beat->file = fopen(name + 1, reset ? "w" : "a");
    return beat->file == NULL ? strerror(errno) : NULL;
}

int main(void) {
    static cutline_module module;
    cutline_asked asked;
    beat beat = {0};
    const char *wrong;
    if (cutline_module_open(&module) != 0) {
        perror("example_module: is to be started by Cutline");
        return 2;
    }
    cutline_module_hello(&module, "1.0");
    wrong = take(&beat, module.config);
    if (wrong == NULL) wrong = open_file(&beat, module.config, module.reset);
    if (wrong != NULL) {
        fprintf(stderr, "example_module: %s\n", wrong);
        return 2;
    }
    cutline_module_ready(&module);
    for (long long due = cutline_now_ms();;) {
        long long left = due - cutline_now_ms();
        char text[128];
        if (left <= 0) {
            fprintf(beat.file, "%lu\n", ++beat.beats);
            fflush(beat.file);
            due = cutline_now_ms() + (long long)beat.interval_ms;
            continue;
        }
        if (cutline_module_next(&module, (int)left, &asked) < 0) return 3;
        switch (asked.what) {
        case CUTLINE_NOTHING:
            break;
        case CUTLINE_HEALTH:
            snprintf(text, sizeof text, "{\"queue_depth\":0,\"beats\":%lu}", beat.beats);
            cutline_module_health(&module, asked.id, ferror(beat.file) ? "unhealthy" : "healthy",
                                  ferror(beat.file) ? "its file takes no line" : "", text);
            break;
        case CUTLINE_CONFIG_UPDATE:
            wrong = take(&beat, asked.config);
            cutline_module_ack(&module, asked.id, wrong);
            if (wrong == NULL) {
                snprintf(text, sizeof text, "{\"interval_ms\":%lu}", beat.interval_ms);
                cutline_module_event(&module, "takes", text);
                due = cutline_now_ms();
            }
            break;
        case CUTLINE_SHUTDOWN:
            fprintf(beat.file, "the end\n");
            return fclose(beat.file) == 0 ? 0 : 3;
        }
    }
}
