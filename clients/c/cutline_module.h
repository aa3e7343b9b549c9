/* The module protocol, version 1 (docs/modules.md), from the module's side: for a program that Cutline starts, looks after and stops.
 *
 * One header and no library; C99 with POSIX. Include it in one file. A cutline_module belongs to one thread, which must come back to
 * cutline_module_next within the time of a health check. Nothing is allocated and no thread is started.
 *
 *     static cutline_module module;
 *     cutline_asked asked;
 *     if (cutline_module_open(&module) != 0) return 2;
 *     cutline_module_hello(&module, "1.0");
 *     ... connect by what module.config says ...
 *     cutline_module_ready(&module);
 *     while (cutline_module_next(&module, 100, &asked) >= 0) {
 *         switch (asked.what) {
 *         case CUTLINE_NOTHING: break;
 *         case CUTLINE_HEALTH: cutline_module_health(&module, asked.id, "healthy", "", "{}"); break;
 *         case CUTLINE_CONFIG_UPDATE: cutline_module_ack(&module, asked.id, "restart me"); break;
 *         case CUTLINE_SHUTDOWN: return 0;
 *         }
 *     }
 *
 * Functions return 0 (next: 0 or 1), or -1 with errno: EPROTO for what is no line of the protocol, EPIPE for a supervisor that is gone.
 */
#ifndef CUTLINE_MODULE_H
#define CUTLINE_MODULE_H

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Longest line in either direction, bytes, without its end. */
#define CUTLINE_MODULE_LINE_MAX 65536

typedef enum { CUTLINE_NOTHING, CUTLINE_HEALTH, CUTLINE_CONFIG_UPDATE, CUTLINE_SHUTDOWN } cutline_what;

typedef struct {
    cutline_what what;
    unsigned long id;         /* of the question, for its answer */
    const char *config;       /* CONFIG_UPDATE: an object as JSON text, until the next call of cutline_module_next */
    unsigned long timeout_ms; /* SHUTDOWN: after this comes SIGTERM; 0: whoever has started it is gone */
} cutline_asked;

typedef struct {
    int fd;
    char name[65];                          /* what it is called there */
    char system[65];                        /* which start of Cutline has started it: another text for each */
    int reset;                              /* it begins without what it has kept */
    char config[CUTLINE_MODULE_LINE_MAX + 1]; /* [module.config] at its start, an object as JSON text */
    size_t len, line_len;
    char bytes[CUTLINE_MODULE_LINE_MAX + 2];
    char value[CUTLINE_MODULE_LINE_MAX + 1];
} cutline_module;

/* The byte behind the JSON value that begins at `at`, or NULL. Brackets are counted and not compared: Cutline sends JSON. */
static inline const char *cutline_behind_value(const char *at) {
    int depth = 0, in_text = 0;
    for (; *at != 0; at++) {
        if (in_text) {
            if (*at == '\\' && at[1] != 0) at++;
            else if (*at == '"') in_text = 0;
            if (!in_text && depth == 0 && *at == '"') return at + 1;
        } else if (*at == '"') {
            in_text = 1;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0) return at;
            if (--depth == 0) return at + 1;
        } else if (depth == 0 && (*at == ',' || *at == ':')) {
            return at;
        }
    }
    return NULL;
}

/* The value of a key of an object, as JSON text, copied to `value`: 1 if it is there. A text keeps its quotes and escapes. */
static inline int cutline_json_get(const char *object, const char *key, char *value, size_t value_max) {
    const char *at = object + strspn(object, " \t");
    if (*at++ != '{') return 0;
    for (;;) {
        const char *name, *name_end, *from, *to;
        at += strspn(at, " \t,");
        if (*at != '"') return 0;
        name = at + 1;
        name_end = cutline_behind_value(at);
        if (name_end == NULL) return 0;
        at = name_end + strspn(name_end, " \t");
        if (*at++ != ':') return 0;
        from = at + strspn(at, " \t");
        to = cutline_behind_value(from);
        if (to == NULL) return 0;
        if ((size_t)(name_end - 1 - name) == strlen(key) && strncmp(name, key, strlen(key)) == 0) {
            while (to > from && (to[-1] == ' ' || to[-1] == '\t')) to--;
            if ((size_t)(to - from) >= value_max) return 0;
            memcpy(value, from, (size_t)(to - from));
            value[to - from] = 0;
            return 1;
        }
        at = to;
    }
}

/* The same of a number that is a whole one and not negative. */
static inline int cutline_json_number(const char *object, const char *key, unsigned long *number) {
    char text[32], *end;
    if (!cutline_json_get(object, key, text, sizeof text) || text[0] < '0' || text[0] > '9') return 0;
    errno = 0;
    *number = strtoul(text, &end, 10);
    return errno == 0 && *end == 0;
}

static inline long long cutline_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int cutline_fault(int number) {
    errno = number;
    return -1;
}

/* The next line, in module->bytes without its end: 1, or 0 if there is none within the time. */
static inline int cutline_line(cutline_module *module, long long timeout_ms) {
    long long until = cutline_now_ms() + timeout_ms;
    memmove(module->bytes, module->bytes + module->line_len, module->len - module->line_len);
    module->len -= module->line_len;
    module->line_len = 0;
    for (;;) {
        char *end = (char *)memchr(module->bytes, '\n', module->len);
        if (end != NULL) {
            *end = 0;
            module->line_len = (size_t)(end - module->bytes) + 1;
            return strlen(module->bytes) + 1 == module->line_len ? 1 : cutline_fault(EPROTO);
        }
        if (module->len > CUTLINE_MODULE_LINE_MAX) return cutline_fault(EPROTO);
        long long left = until - cutline_now_ms();
        struct pollfd readable = {module->fd, POLLIN, 0};
        int polled = poll(&readable, 1, left > 0 ? (int)left : 0);
        if (polled < 0 && errno != EINTR) return -1;
        if (polled == 0) return 0;
        if (polled < 0) continue;
        ssize_t got = recv(module->fd, module->bytes + module->len, sizeof module->bytes - 1 - module->len, 0);
        if (got == 0 || (got < 0 && errno == ECONNRESET)) return cutline_fault(EPIPE);
        if (got < 0 && errno != EINTR) return -1;
        if (got > 0) module->len += (size_t)got;
    }
}

static inline int cutline_say(cutline_module *module, const char *line, size_t len) {
    while (len > 0) {
        ssize_t sent = send(module->fd, line, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return -1;
        line += sent;
        len -= (size_t)sent;
    }
    return 0;
}

/* Text as JSON, in quotes, cut off where there is no room: `out` has six bytes for each of `text`, and three. */
static inline void cutline_quote(const char *text, char *out, size_t out_max) {
    size_t at = 0;
    out[at++] = '"';
    for (; *text != 0 && at + 8 < out_max; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') out[at++] = '\\';
        if (byte < 0x20) at += (size_t)snprintf(out + at, 7, "\\u%04x", byte);
        else out[at++] = (char)byte;
    }
    out[at++] = '"';
    out[at] = 0;
}

/* A text without escapes, such as a name, without its quotes; what is none leaves `text` as it is. */
static inline void cutline_json_plain(const char *object, const char *key, char text[65]) {
    char value[67];
    if (cutline_json_get(object, key, value, sizeof value) && value[0] == '"') {
        size_t len = strlen(value) - 2;
        memcpy(text, value + 1, len);
        text[len] = 0;
    }
}

/* Takes over the socket that this process has inherited and waits for the welcome. ENOTCONN: it was not started as a module. */
static inline int cutline_module_open(cutline_module *module) {
    const char *number = getenv("CUTLINE_MODULE_FD");
    char type[16], text[8];
    unsigned long protocol;
    memset(module, 0, sizeof *module);
    if (number == NULL) return cutline_fault(ENOTCONN);
    module->fd = atoi(number);
    int got = cutline_line(module, 10000);
    if (got <= 0) return got < 0 ? -1 : cutline_fault(ETIMEDOUT);
    if (!cutline_json_get(module->bytes, "type", type, sizeof type) || strcmp(type, "\"welcome\"") != 0 ||
        !cutline_json_number(module->bytes, "protocol", &protocol) || protocol != 1)
        return cutline_fault(EPROTO);
    cutline_json_plain(module->bytes, "module", module->name);
    cutline_json_plain(module->bytes, "system", module->system);
    module->reset = cutline_json_get(module->bytes, "reset", text, sizeof text) && strcmp(text, "true") == 0;
    if (!cutline_json_get(module->bytes, "config", module->config, sizeof module->config)) strcpy(module->config, "{}");
    return 0;
}

/* Its first line. */
static inline int cutline_module_hello(cutline_module *module, const char *version) {
    char line[256], quoted[128];
    cutline_quote(version, quoted, sizeof quoted);
    int len = snprintf(line, sizeof line, "{\"type\":\"hello\",\"protocol\":1,\"version\":%s}\n", quoted);
    return cutline_say(module, line, (size_t)len);
}

/* It does what it is for from here on. */
static inline int cutline_module_ready(cutline_module *module) {
    static const char line[] = "{\"type\":\"ready\"}\n";
    return cutline_say(module, line, sizeof line - 1);
}

/* Answers how it does: status is healthy, degraded or unhealthy, metrics an object as JSON text. */
static inline int cutline_module_health(cutline_module *module, unsigned long id, const char *status, const char *reason,
                                        const char *metrics) {
    char line[8192], quoted[2048];
    cutline_quote(reason, quoted, sizeof quoted);
    int len = snprintf(line, sizeof line, "{\"type\":\"health\",\"id\":%lu,\"status\":\"%s\",\"reason\":%s,\"metrics\":%s}\n", id,
                       status, quoted, metrics);
    return len < (int)sizeof line ? cutline_say(module, line, (size_t)len) : cutline_fault(EMSGSIZE);
}

/* Answers another configuration: it works by all of it now (error NULL), or, for this reason, by all of the one before. */
static inline int cutline_module_ack(cutline_module *module, unsigned long id, const char *error) {
    char line[4096], quoted[2048];
    cutline_quote(error == NULL ? "" : error, quoted, sizeof quoted);
    int len = snprintf(line, sizeof line, "{\"type\":\"ack\",\"id\":%lu,\"ok\":%s,\"error\":%s}\n", id,
                       error == NULL ? "true" : "false", quoted);
    return cutline_say(module, line, (size_t)len);
}

/* Tells something that has happened to it; data is an object as JSON text. */
static inline int cutline_module_event(cutline_module *module, const char *name, const char *data) {
    char line[8192], quoted[512];
    cutline_quote(name, quoted, sizeof quoted);
    int len = snprintf(line, sizeof line, "{\"type\":\"event\",\"name\":%s,\"data\":%s}\n", quoted, data);
    return len < (int)sizeof line ? cutline_say(module, line, (size_t)len) : cutline_fault(EMSGSIZE);
}

/* What it is asked next: 1, or 0 (CUTLINE_NOTHING) if nothing was within the time. Lines of a type that is not known are passed over. */
static inline int cutline_module_next(cutline_module *module, int timeout_ms, cutline_asked *asked) {
    long long until = cutline_now_ms() + timeout_ms;
    memset(asked, 0, sizeof *asked);
    for (;;) {
        char type[32];
        long long left = until - cutline_now_ms();
        int got = cutline_line(module, left > 0 ? left : 0);
        if (got < 0 && errno == EPIPE) {
            asked->what = CUTLINE_SHUTDOWN;
            return 1;
        }
        if (got <= 0) return got;
        if (!cutline_json_get(module->bytes, "type", type, sizeof type)) return cutline_fault(EPROTO);
        if (strcmp(type, "\"health\"") == 0 && cutline_json_number(module->bytes, "id", &asked->id)) {
            asked->what = CUTLINE_HEALTH;
        } else if (strcmp(type, "\"config_update\"") == 0 && cutline_json_number(module->bytes, "id", &asked->id) &&
                   cutline_json_get(module->bytes, "config", module->value, sizeof module->value)) {
            asked->what = CUTLINE_CONFIG_UPDATE;
            asked->config = module->value;
        } else if (strcmp(type, "\"shutdown\"") == 0 &&
                   cutline_json_number(module->bytes, "timeout_ms", &asked->timeout_ms)) {
            asked->what = CUTLINE_SHUTDOWN;
        }
        if (asked->what != CUTLINE_NOTHING) return 1;
    }
}

#endif
