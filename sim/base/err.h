/* err.h - how a fallible function says what went wrong.
 *
 * A fallible function returns fs_status and takes `fs_err *err` last. On failure it fills
 * *err (err may not be NULL), leaves its outputs untouched and prints nothing; only sim/cli prints.
 * A bug in fabsim is an assertion, bad input is an error. */
#ifndef FS_ERR_H
#define FS_ERR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FS_MUST_CHECK __attribute__((warn_unused_result))
#define FS_PRINTF(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#else
#define FS_MUST_CHECK
#define FS_PRINTF(fmt_arg, first_arg)
#endif

/* No id: every id in fabsim is a dense uint32_t, and this is the one that means "none". */
#define FS_NONE UINT32_MAX

typedef enum fs_status {
    FS_OK = 0,
    FS_E_SIM,      /* the simulation cannot go on (deadlock, no event left, event limit) */
    FS_E_IO,       /* a file cannot be read or written */
    FS_E_NOMEM,    /* an allocation failed */
    FS_E_USAGE,    /* the command line is wrong */
    FS_E_TOPOLOGY, /* the topology is invalid */
    FS_E_TRACE,    /* the trace is invalid */
    FS_E_POINTS    /* points of a sweep failed */
} fs_status;

enum { FS_ERR_FILE_MAX = 512, FS_ERR_TEXT_MAX = 2048 };

/* One error. Plain data, no ownership: copy freely. */
typedef struct fs_err {
    fs_status status;
    char file[FS_ERR_FILE_MAX]; /* "" where no file is to blame */
    uint32_t line;              /* 1-based; 0 = unknown */
    uint32_t column;            /* 1-based, in bytes; 0 = unknown */
    char text[FS_ERR_TEXT_MAX]; /* one sentence, no full stop, may hold "\n" before a hint line */
} fs_err;

/* Fill *err and return `status`, so that `return fs_fail(err, FS_E_IO, "...")` reads well. */
FS_PRINTF(3, 4) fs_status fs_fail(fs_err *err, fs_status status, const char *format, ...);

/* The same with a place in a file. `file` may be NULL. */
FS_PRINTF(6, 7)
fs_status fs_fail_at(fs_err *err, fs_status status, const char *file, uint32_t line, uint32_t column,
                     const char *format, ...);

/* The one way to report that memory ran out. */
fs_status fs_fail_nomem(fs_err *err);

/* "file:line:column: error: text", or "fabsim: error: text" without a file. snprintf semantics. */
int fs_err_format(const fs_err *err, char *buffer, size_t size);

/* Exit status of the command line: 0 ok, 1 simulation / I/O / memory, 2 usage, 3 topology, 4 trace, 5 points of a sweep. */
int fs_exit_status(fs_status status);

#ifdef __cplusplus
}
#endif

#endif
