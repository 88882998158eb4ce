/* sweep_rows.h - the rows of a database that `fabsim sweep --show` is asked for, in the order asked for. Private to cli. */
#ifndef FS_SWEEP_ROWS_H
#define FS_SWEEP_ROWS_H

#include "base/mem.h"
#include "cli/sweep_cli.h"
#include "sweep/expr.h"

enum { FS_SWEEP_COLUMNS_MAX = 256 };

typedef struct fs_sweep_rows {
    const fs_sweep_arguments *a;
    fs_arena *arena; /* owns names, rows and texts */
    uint32_t n_columns;
    const char *names[FS_SWEEP_COLUMNS_MAX];
    FS_VEC(fs_value *) rows; /* each (n_columns) */
    fs_expr *where;
    uint32_t best; /* column, or FS_NONE */
    bool best_max;
} fs_sweep_rows;

/* As --sweep, --where, --best, --group-by and --top say. To be freed after errors, too. */
FS_MUST_CHECK fs_status fs_sweep_rows_read(const fs_sweep_arguments *a, fs_sweep_rows *s, fs_err *err);
void fs_sweep_rows_free(fs_sweep_rows *s);

uint32_t fs_sweep_rows_column(const fs_sweep_rows *s, const char *name); /* FS_NONE: there is none */
/* The columns that a list of names means; FS_E_USAGE names the option. */
FS_MUST_CHECK fs_status fs_sweep_rows_columns(const fs_sweep_rows *s, const char *option, const char *list,
                                              uint32_t columns[FS_SWEEP_COLUMNS_MAX], uint32_t *count, fs_err *err);

#endif
