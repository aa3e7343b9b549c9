/* The exchange, memory shared between a lane of Cutline and one engine process (docs/formats.md), as one Python type.
 *
 * `Exchange(fd, idle)` maps the memory. The engine's process calls `next` for the next request and `answer` for its answer, each of them
 * one call that copies, so that Python never holds a pointer into shared memory. Everything a call needs is checked here: whatever the
 * other side or the caller says, nothing outside of the mapping is touched.
 *
 * Ordering, on the words that both sides share:
 *
 *   E1  request stamp: release by the lane, acquire in `next`
 *   E2  answer stamp: release in `answer`, acquire by the lane
 *   E3  begun: release in `next`, acquire by the lane
 *
 * One thread calls `next` and `answer`. While it waits it has let go of the interpreter, so that threads of the engine run.
 * `peek` and `poke` are for whoever plays the lane in a test or benchmark. CPython's limited API from 3.9: one build for all versions.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03090000
#include <Python.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the exchange is little-endian, and read in place"
#endif

/* "CUTLENG1" */
#define MAGIC UINT64_C(0x31474e454c545543)
#define VERSION 1

/* The header line, all lanes' and engines' words, and the parts behind them: bytes from the start. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_SLOTS = 12,
    AT_REQUEST_BYTES = 16,
    AT_ANSWER_BYTES = 20,
    AT_MODE = 24,
    AT_OUTPUT_MAX = 28,
    AT_STATE_MAX = 32,
    AT_CONFIG_LEN = 36,
    AT_STOP = 64,
    AT_STATE = 128,
    AT_HELLO_LEN = 132,
    AT_BEGUN = 136,
    AT_HELLO = 256,
    AT_CONFIG = 4096,
    AT_REQUESTS = 65536
};
enum { HELLO_MAX = AT_CONFIG - AT_HELLO, CONFIG_MAX = AT_REQUESTS - AT_CONFIG, SLOTS_MAX = 1024, SLOT_HEAD = 64 };

/* Passes over the stamp before a waiting thread yields, and then before it sleeps. */
enum { SPINS = 2000, YIELDS = 200, SLEEP_NS = 50000 };
/* Sleeps in one `next` before it comes back without a request, so that signals are seen and the host does its housekeeping: some 100 ms. */
enum { SLEEPS = 1000 };

enum idle { IDLE_SPIN, IDLE_YIELD, IDLE_BACKOFF };

typedef struct {
    PyObject_HEAD
    unsigned char *base;
    size_t len;
    uint32_t slots, request_bytes, answer_bytes, output_max, state_max;
    enum idle idle;
    /* The call in hand, from 1; 0 before the first one. It is answered once. */
    uint64_t call;
    int answered;
} Exchange;

static uint32_t word32(const Exchange *self, size_t at) {
    uint32_t value;
    memcpy(&value, self->base + at, sizeof value);
    return value;
}

/* Words that the other side writes or reads meanwhile are aligned: the mapping is, and so are all offsets that get here. */
static uint64_t acquire64(const Exchange *self, size_t at) {
    return __atomic_load_n((const uint64_t *)(const void *)(self->base + at), __ATOMIC_ACQUIRE);
}

static void release64(Exchange *self, size_t at, uint64_t value) {
    __atomic_store_n((uint64_t *)(void *)(self->base + at), value, __ATOMIC_RELEASE);
}

static uint32_t acquire32(const Exchange *self, size_t at) {
    return __atomic_load_n((const uint32_t *)(const void *)(self->base + at), __ATOMIC_ACQUIRE);
}

static void release32(Exchange *self, size_t at, uint32_t value) {
    __atomic_store_n((uint32_t *)(void *)(self->base + at), value, __ATOMIC_RELEASE);
}

static size_t request_at(const Exchange *self, uint64_t call) {
    return AT_REQUESTS + (size_t)((call - 1) % self->slots) * self->request_bytes;
}

static size_t answer_at(const Exchange *self, uint64_t call) {
    return AT_REQUESTS + (size_t)self->slots * self->request_bytes + (size_t)((call - 1) % self->slots) * self->answer_bytes;
}

/* What is wrong with the memory, or NULL. */
static const char *check_header(Exchange *self) {
    if (self->len < AT_REQUESTS || acquire64(self, AT_MAGIC) != MAGIC)
        return "this is no exchange of Cutline";
    if (word32(self, AT_VERSION) != VERSION)
        return "the exchange has another version: install the cutline package that came with this Cutline";
    self->slots = word32(self, AT_SLOTS);
    self->request_bytes = word32(self, AT_REQUEST_BYTES);
    self->answer_bytes = word32(self, AT_ANSWER_BYTES);
    self->output_max = word32(self, AT_OUTPUT_MAX);
    self->state_max = word32(self, AT_STATE_MAX);
    if (self->slots == 0 || self->slots > SLOTS_MAX || (self->slots & (self->slots - 1)) != 0)
        return "the exchange's number of slots is no power of two up to 1024";
    if (self->request_bytes < SLOT_HEAD || self->request_bytes % 64 != 0 || self->answer_bytes < SLOT_HEAD ||
        self->answer_bytes % 64 != 0)
        return "the exchange's slots are no whole cache lines";
    if (word32(self, AT_MODE) > 1 || word32(self, AT_CONFIG_LEN) > CONFIG_MAX)
        return "the exchange's mode or configuration is out of range";
    if (self->len != AT_REQUESTS + (size_t)self->slots * ((size_t)self->request_bytes + self->answer_bytes))
        return "the exchange's length is not that of its slots";
    return NULL;
}

static void Exchange_dealloc(PyObject *object) {
    Exchange *self = (Exchange *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->base != NULL)
        munmap(self->base, self->len);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *Exchange_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    int fd;
    const char *idle_name = "backoff";
    if (keywords != NULL && PyDict_Size(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Exchange takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "i|s", &fd, &idle_name))
        return NULL;
    enum idle idle = IDLE_BACKOFF;
    if (strcmp(idle_name, "spin") == 0)
        idle = IDLE_SPIN;
    else if (strcmp(idle_name, "yield") == 0)
        idle = IDLE_YIELD;
    else if (strcmp(idle_name, "backoff") != 0)
        return PyErr_Format(PyExc_ValueError, "unknown idle strategy \"%s\": use \"spin\", \"yield\" or \"backoff\"", idle_name);
    struct stat found;
    if (fstat(fd, &found) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    size_t len = (size_t)found.st_size;
    void *base = len == 0 ? MAP_FAILED : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return len == 0 ? PyErr_Format(PyExc_ValueError, "this is no exchange of Cutline: it is empty")
                        : PyErr_SetFromErrno(PyExc_OSError);
    /* A process that the engine forks has no part in this: it cannot answer a second time. */
    (void)madvise(base, len, MADV_DONTFORK);
    Exchange *self = (Exchange *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) {
        munmap(base, len);
        return NULL;
    }
    self->base = base;
    self->len = len;
    self->idle = idle;
    const char *problem = check_header(self);
    if (problem != NULL) {
        PyErr_SetString(PyExc_ValueError, problem);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int is_there(const Exchange *self, size_t at, uint64_t call) {
    return acquire64(self, at) == call; /* E1 acquire */
}

static int is_stopped(const Exchange *self) {
    return acquire32(self, AT_STOP) != 0;
}

static void pause_once(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Waits until the request is there, a stop is asked for, or some time has passed. Called without the interpreter's lock. */
static int wait_for(const Exchange *self, size_t at, uint64_t call) {
    for (int spins = 0; spins < SPINS || self->idle == IDLE_SPIN; spins++) {
        if (is_there(self, at, call))
            return 1;
        /* A spinning engine also comes back now and then, for the same reasons. */
        if (is_stopped(self) || spins == 1000 * SPINS)
            return 0;
        pause_once();
    }
    for (int yields = 0; yields < YIELDS || self->idle == IDLE_YIELD; yields++) {
        if (is_there(self, at, call))
            return 1;
        if (is_stopped(self) || yields == 100 * YIELDS)
            return 0;
        sched_yield();
    }
    const struct timespec step = {0, SLEEP_NS};
    for (int sleeps = 0; sleeps < SLEEPS; sleeps++) {
        nanosleep(&step, NULL);
        if (is_there(self, at, call))
            return 1;
        if (is_stopped(self))
            return 0;
    }
    return 0;
}

PyDoc_STRVAR(next_doc,
             "next(wait) -> (timestamp_ms, symbol, normalized, state) or None\n\n"
             "The next request: int, str, str and bytes; the engine has begun with it then. None if none is there: at once unless `wait`, else\n"
             "after some 100 ms, or when the lane has asked for the end, see `stopped`.");

static PyObject *Exchange_next(PyObject *object, PyObject *wait) {
    Exchange *self = (Exchange *)object;
    if (self->call != 0 && !self->answered) {
        PyErr_SetString(PyExc_RuntimeError, "the request in hand has not been answered");
        return NULL;
    }
    uint64_t call = self->call + 1;
    size_t at = request_at(self, call);
    int there = is_there(self, at, call);
    if (!there) {
        int patient = PyObject_IsTrue(wait);
        if (patient < 0)
            return NULL;
        if (patient) {
            Py_BEGIN_ALLOW_THREADS
            there = wait_for(self, at, call);
            Py_END_ALLOW_THREADS
        }
        if (!there)
            Py_RETURN_NONE;
    }
    if (is_stopped(self))
        Py_RETURN_NONE;
    int64_t timestamp_ms;
    memcpy(&timestamp_ms, self->base + at + 8, sizeof timestamp_ms);
    size_t symbol = word32(self, at + 16), normalized = word32(self, at + 20), state = word32(self, at + 24);
    if (symbol + normalized + state > (size_t)self->request_bytes - SLOT_HEAD) {
        PyErr_SetString(PyExc_ValueError, "a request is longer than its slot");
        return NULL;
    }
    const char *text = (const char *)self->base + at + SLOT_HEAD;
    PyObject *request = Py_BuildValue("(Ls#s#y#)", (long long)timestamp_ms, text, (Py_ssize_t)symbol, text + symbol,
                                      (Py_ssize_t)normalized, text + symbol + normalized, (Py_ssize_t)state);
    if (request == NULL)
        return NULL;
    self->call = call;
    self->answered = 0;
    release64(self, AT_BEGUN, call); /* E3 release */
    return request;
}

PyDoc_STRVAR(answer_doc, "answer(status, output, state)\n\n"
                         "Answers the request in hand: status 0 with output or decision and new state, another with a fault's detail and b\"\".");

static PyObject *Exchange_answer(PyObject *object, PyObject *arguments) {
    Exchange *self = (Exchange *)object;
    unsigned int status;
    const char *output, *state;
    Py_ssize_t output_len, state_len;
    if (!PyArg_ParseTuple(arguments, "Iy#y#", &status, &output, &output_len, &state, &state_len))
        return NULL;
    if (self->call == 0 || self->answered) {
        PyErr_SetString(PyExc_RuntimeError, "there is no request to answer");
        return NULL;
    }
    size_t room = (size_t)self->answer_bytes - SLOT_HEAD;
    if ((size_t)output_len > room || (size_t)state_len > room - (size_t)output_len) {
        PyErr_SetString(PyExc_ValueError, "an answer is longer than its slot");
        return NULL;
    }
    size_t at = answer_at(self, self->call);
    const uint32_t head[3] = {status, (uint32_t)output_len, (uint32_t)state_len};
    memcpy(self->base + at + 8, head, sizeof head);
    memcpy(self->base + at + SLOT_HEAD, output, (size_t)output_len);
    memcpy(self->base + at + SLOT_HEAD + output_len, state, (size_t)state_len);
    release64(self, at, self->call); /* E2 release */
    self->answered = 1;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(hello_doc, "hello(state, text)\n\nSays once what this engine is: state 1 ready, 2 refused; text is JSON as bytes, at most 3840.");

static PyObject *Exchange_hello(PyObject *object, PyObject *arguments) {
    Exchange *self = (Exchange *)object;
    unsigned int state;
    const char *text;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(arguments, "Iy#", &state, &text, &len))
        return NULL;
    if (len > HELLO_MAX) {
        PyErr_SetString(PyExc_ValueError, "a hello is longer than 3840 bytes");
        return NULL;
    }
    memcpy(self->base + AT_HELLO, text, (size_t)len);
    release32(self, AT_HELLO_LEN, (uint32_t)len);
    release32(self, AT_STATE, state); /* after the text and its length, which the lane reads once it sees this */
    Py_RETURN_NONE;
}

/* Whether `len` bytes from `at` lie in the mapping; if not, an error is set. */
static int is_inside(const Exchange *self, Py_ssize_t at, Py_ssize_t len) {
    if (at >= 0 && len >= 0 && (size_t)at <= self->len && (size_t)len <= self->len - (size_t)at)
        return 1;
    PyErr_SetString(PyExc_ValueError, "this lies outside of the exchange");
    return 0;
}

PyDoc_STRVAR(peek_doc, "peek(at, len) -> bytes\n\nThe bytes there; eight of them at an aligned place are one load, acquire.");

static PyObject *Exchange_peek(PyObject *object, PyObject *arguments) {
    Exchange *self = (Exchange *)object;
    Py_ssize_t at, len;
    if (!PyArg_ParseTuple(arguments, "nn", &at, &len) || !is_inside(self, at, len))
        return NULL;
    if (len == 8 && at % 8 == 0) {
        uint64_t word = acquire64(self, (size_t)at);
        return PyBytes_FromStringAndSize((const char *)&word, 8);
    }
    return PyBytes_FromStringAndSize((const char *)self->base + at, len);
}

PyDoc_STRVAR(poke_doc, "poke(at, bytes)\n\nPuts the bytes there; eight of them at an aligned place are one store, release.");

static PyObject *Exchange_poke(PyObject *object, PyObject *arguments) {
    Exchange *self = (Exchange *)object;
    Py_ssize_t at, len;
    const char *bytes;
    if (!PyArg_ParseTuple(arguments, "ny#", &at, &bytes, &len) || !is_inside(self, at, len))
        return NULL;
    if (len == 8 && at % 8 == 0) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        release64(self, (size_t)at, word);
    } else {
        memcpy(self->base + at, bytes, (size_t)len);
    }
    Py_RETURN_NONE;
}

static PyObject *get_stopped(PyObject *object, void *unused) {
    (void)unused;
    return PyBool_FromLong(is_stopped((Exchange *)object));
}

static PyObject *get_calls(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(((const Exchange *)object)->call);
}

static PyObject *get_config(PyObject *object, void *unused) {
    const Exchange *self = (Exchange *)object;
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)self->base + AT_CONFIG, (Py_ssize_t)word32(self, AT_CONFIG_LEN));
}

/* A word of the header, `where` its place. */
static PyObject *get_word(PyObject *object, void *where) {
    return PyLong_FromUnsignedLong(word32((Exchange *)object, (size_t)(uintptr_t)where));
}

static PyMethodDef exchange_methods[] = {
    {"next", Exchange_next, METH_O, next_doc},
    {"answer", Exchange_answer, METH_VARARGS, answer_doc},
    {"hello", Exchange_hello, METH_VARARGS, hello_doc},
    {"peek", Exchange_peek, METH_VARARGS, peek_doc},
    {"poke", Exchange_poke, METH_VARARGS, poke_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef exchange_attributes[] = {
    {"stopped", get_stopped, NULL, "Whether the lane has asked for the end.", NULL},
    {"calls", get_calls, NULL, "Requests that this has begun with.", NULL},
    {"config", get_config, NULL, "The engine's configuration, JSON as bytes; may be empty.", NULL},
    {"mode", get_word, NULL, "0 truth, 1 hysteresis.", (void *)(uintptr_t)AT_MODE},
    {"output_max_bytes", get_word, NULL, "Longest output or decision.", (void *)(uintptr_t)AT_OUTPUT_MAX},
    {"state_max_bytes", get_word, NULL, "Longest state.", (void *)(uintptr_t)AT_STATE_MAX},
    {"slots", get_word, NULL, "Requests, and answers, that have room.", (void *)(uintptr_t)AT_SLOTS},
    {"request_bytes", get_word, NULL, "Bytes of a request's slot.", (void *)(uintptr_t)AT_REQUEST_BYTES},
    {"answer_bytes", get_word, NULL, "Bytes of an answer's slot.", (void *)(uintptr_t)AT_ANSWER_BYTES},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot exchange_slots[] = {
    {Py_tp_doc, "Exchange(fd, idle=\"backoff\"): maps the memory behind a file descriptor, which may then be closed."},
    {Py_tp_new, (void *)Exchange_new},
    {Py_tp_dealloc, (void *)Exchange_dealloc},
    {Py_tp_methods, exchange_methods},
    {Py_tp_getset, exchange_attributes},
    {0, NULL},
};

static PyType_Spec exchange_spec = {"cutline._exchange.Exchange", sizeof(Exchange), 0, Py_TPFLAGS_DEFAULT, exchange_slots};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_exchange", "The memory between a lane and an engine process.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__exchange(void) {
    PyObject *module = PyModule_Create(&module_definition);
    if (module == NULL)
        return NULL;
    PyObject *type = PyType_FromSpec(&exchange_spec);
    if (type == NULL || PyModule_AddObject(module, "Exchange", type) < 0) {
        Py_XDECREF(type);
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
