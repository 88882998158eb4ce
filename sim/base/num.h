/* num.h - numbers and quantities as people write them, the same in every locale. */
#ifndef FS_NUM_H
#define FS_NUM_H

#include "base/err.h"

#include <stddef.h>

typedef enum fs_unit {
    FS_UNIT_NONE,    /* a bare number */
    FS_UNIT_SECONDS, /* s ms us ns */
    FS_UNIT_BYTES,   /* B kB MB GB TB KiB MiB GiB TiB */
    FS_UNIT_BPS,     /* B/s kB/s MB/s GB/s TB/s, and Mb/s Gb/s Tb/s (bits) */
    FS_UNIT_FLOPS,   /* FLOP/s GFLOP/s TFLOP/s PFLOP/s */
    FS_UNIT_FLOP,    /* FLOP GFLOP TFLOP PFLOP */
    FS_UNIT_WATTS    /* W kW MW */
} fs_unit;

/* Parse all of `text` as a finite decimal number. 0 on success, else -1 and *out untouched. Hex floats,
 * "nan", "inf", leading blanks and a decimal comma are refused, and so is a number that a double cannot hold
 * (1e999, 1e-999) and one of more than 1024 characters. */
int fs_parse_number(const char *text, double *out);
int fs_parse_number_n(const char *text, size_t length, double *out); /* text need not end in NUL */
int fs_parse_uint(const char *text, uint64_t *out);

/* Parse "25GB/s", "700 ns", "64MiB" into SI. The unit is compulsory (except FS_UNIT_NONE). On
 * failure returns -1 and *why points to a static sentence fragment such as
 * "expected a rate such as 25GB/s, found '25'" that stays valid until the next call. */
int fs_parse_quantity(const char *text, fs_unit unit, double *out, const char **why);

/* Sizes as nccl-tests takes them on a command line: "8", "64K", "128M", "8G" are powers of 1024; "64MiB",
 * "1GB" are also accepted. */
int fs_parse_size(const char *text, double *out, const char **why);

/* Human formats into a caller's buffer, always 3 or 4 significant digits with a unit: "1.50 ms",
 * "370 GB/s", "64.0 MiB". They return the buffer. */
char *fs_format_seconds(double value, char *buffer, size_t size);
char *fs_format_bytes(double value, char *buffer, size_t size); /* binary units */
char *fs_format_bps(double value, char *buffer, size_t size);   /* decimal units */
char *fs_format_flops(double value, char *buffer, size_t size);
char *fs_format_count(uint64_t value, char *buffer, size_t size); /* 1,048,576 */

/* Shortest decimal text that reads back as exactly `value` (%.17g at worst), '.' in every locale. */
char *fs_format_exact(double value, char *buffer, size_t size);

/* vsnprintf and snprintf with '.' as the decimal point in every locale. */
int fs_vsnprintf(char *buffer, size_t size, const char *format, va_list args);
FS_PRINTF(3, 4) int fs_snprintf(char *buffer, size_t size, const char *format, ...);

/* The candidate nearest to `name` by Damerau-Levenshtein distance, or NULL where none is near (at most a
 * third of the letters changed; case does not count), else one that begins or ends with it. Of equally near ones the
 * first. */
const char *fs_suggest(const char *name, const char *const *candidates, size_t count);

#endif
