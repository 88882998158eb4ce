/* store.h - the database of a sweep: an SQLite file (docs/FORMATS.md, "Sweep database").
 *
 * Points are content-addressed: the key is a hash of all that can change the result, so several sweeps and several
 * processes may write into one file, and a point that is there is never computed again. Each point is one transaction
 * of the write-ahead log: what was written before a kill, a crash or a full disk is there after it. Readers use the
 * view `results`, one row for each member of each sweep with settings and main figures as columns.
 *
 * A store belongs to the process that opened it; workers forked later leave it alone. */
#ifndef FS_STORE_H
#define FS_STORE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { FS_STORE_VERSION = 1, FS_POINT_HASH_SIZE = 33 }; /* 32 hex digits and the NUL */

typedef struct fs_store fs_store;

/* FS_E_IO where the file cannot be opened, is no sweep database, or is one of another schema. Reading needs the file to
 * exist; writing creates it. */
FS_MUST_CHECK fs_status fs_store_open(const char *path, bool write, fs_store **store, fs_err *err);
void fs_store_close(fs_store *store);

/* ---- writing ------------------------------------------------------------------------------------------------------ */

typedef struct fs_point_row {
    const char *hash;             /* FS_POINT_HASH_SIZE - 1 hex digits */
    const char *version;          /* of fabsim */
    const char *topology, *trace; /* as the sweep names them */
    const char *settings;         /* JSON object: path -> scalar */
    fs_status status;             /* how it ended */
    const char *message;          /* NULL: it did not fail */
    const char *result;           /* (result_size) JSON as of `fabsim --json --stable`; NULL where it failed */
    size_t result_size;
    double wall_s, peak_bytes;
} fs_point_row;

/* A point that is there stays as it is, unless it failed and this one is to replace it. */
FS_MUST_CHECK fs_status fs_store_put(fs_store *store, const fs_point_row *row, bool replace_failed, fs_err *err);

typedef enum fs_point_state { FS_POINT_ABSENT, FS_POINT_OK, FS_POINT_FAILED } fs_point_state;
FS_MUST_CHECK fs_status fs_store_state(fs_store *store, const char *hash, fs_point_state *state, fs_err *err);

/* One point of a sweep: its number in the sweep's order, and what it is. */
typedef struct fs_member {
    char hash[FS_POINT_HASH_SIZE];
    bool baseline;
    const char *settings; /* as in fs_point_row: its keys become columns */
} fs_member;

/* From now on the sweep of that name is these members, in this order. One transaction. */
FS_MUST_CHECK fs_status fs_store_set_members(fs_store *store, const char *sweep, const fs_member *members,
                                             uint32_t count, fs_err *err);

/* Take over all of another database: points that are not here or failed here and not there, and members. */
FS_MUST_CHECK fs_status fs_store_merge(fs_store *store, const char *path, fs_err *err);

/* ---- reading ------------------------------------------------------------------------------------------------------ */

typedef struct fs_rows fs_rows;
typedef enum fs_cell_kind { FS_CELL_NULL, FS_CELL_NUMBER, FS_CELL_TEXT } fs_cell_kind;

/* The rows of a query, usually over `results`: "SELECT * FROM results ORDER BY sweep, number". */
FS_MUST_CHECK fs_status fs_rows_open(fs_store *store, const char *sql, fs_rows **rows, fs_err *err);
FS_MUST_CHECK fs_status fs_rows_next(fs_rows *rows, bool *more, fs_err *err); /* the first call: the first row */
void fs_rows_close(fs_rows *rows);
uint32_t fs_rows_columns(const fs_rows *rows);
const char *fs_rows_name(const fs_rows *rows, uint32_t column);  /* lives as long as the rows */
fs_cell_kind fs_rows_kind(const fs_rows *rows, uint32_t column); /* of the current row, as all below */
double fs_rows_number(const fs_rows *rows, uint32_t column);
const char *fs_rows_text(const fs_rows *rows, uint32_t column); /* numbers too; NULL where null; until the next */

#endif
