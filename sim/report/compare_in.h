/* compare_in.h - parts of a comparison: rows that are in one result, in the other, or in both. Private to sim/report. */
#ifndef FS_COMPARE_IN_H
#define FS_COMPARE_IN_H

#include "report/compare.h"

enum {
    FS_COMPARE_ROWS = 4096, /* of one list, both results together: they are matched pair by pair */
    FS_COMPARE_TEXT = 64    /* bytes of a formatted change */
};

/* A row of one list; NULL where a result has none like it. */
typedef struct fs_pair {
    const fs_json *a, *b;
    double a_s, b_s; /* what the pair is judged by, in s: filled by the caller */
} fs_pair;

/* Match rows of two lists by the members keys[] (all equal), in the order of a and then of what only b has, into
 * pairs (FS_COMPARE_ROWS). FS_E_IO where there are more. */
FS_MUST_CHECK fs_status fs_compare_match(const fs_json *list_a, const fs_json *list_b, const char *const *keys,
                                         size_t n_keys, fs_pair *pairs, uint32_t *n, fs_err *err);

/* The same kind and, of strings, numbers and booleans, the same value; absent is null. */
bool fs_compare_equal(const fs_json *a, const fs_json *b);
double fs_compare_number(const fs_json *object, const char *key);      /* 0 where absent or null */
const char *fs_compare_string(const fs_json *object, const char *key); /* "" where absent or null */
/* A member of whichever row there is. */
const char *fs_compare_name(const fs_pair *pair, const char *key);

/* The pair that changed most in the direction of `change_s`; NULL where none did. */
const fs_pair *fs_compare_cause(const fs_pair *pairs, uint32_t n, double change_s);

/* "+6.1 %", "same" below one in ten thousand, "new", "gone". */
const char *fs_compare_percent(double a, double b, char text[FS_COMPARE_TEXT]);
/* "+1.20 ms" */
const char *fs_compare_seconds(double change_s, char text[FS_COMPARE_TEXT]);

/* A row of the table (lrrr) of totals, where either result knows the figure. */
typedef char *(*fs_compare_format)(double value, char *buffer, size_t size);
void fs_compare_total(fs_table *table, const char *name, double a, double b, fs_compare_format format);

/* The table of tiers; *cause is the one whose busiest link's time under load changed most in the direction of
 * change_s, "" where none did by a hundredth of it. The text is the documents'. */
FS_MUST_CHECK fs_status fs_compare_tiers(fs_compared a, fs_compared b, double change_s, const char **cause,
                                         fs_style style, fs_out *out, fs_err *err);

/* Latencies, pools and the reason, of two results that have `serving`. */
FS_MUST_CHECK fs_status fs_compare_serving(fs_compared a, fs_compared b, fs_style style, fs_out *out, fs_err *err);

#endif
