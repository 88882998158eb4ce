/* sweep_rows.c - see sweep_rows.h.
 *
 * Rows are read once. Conditions are fabsim's expressions and not SQL, so that a sweep file's "where" and --where are one
 * language; whoever wants SQL has the file. */
#include "cli/sweep_rows.h"

#include "base/num.h"
#include "sweep/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static fs_status read_cell(fs_sweep_rows *s, const fs_rows *rows, uint32_t c, fs_value *value, fs_err *err)
{
    switch (fs_rows_kind(rows, c)) {
    case FS_CELL_NULL: *value = (fs_value){.kind = FS_VALUE_ABSENT}; return FS_OK;
    case FS_CELL_NUMBER: *value = (fs_value){.kind = FS_VALUE_NUMBER, .number = fs_rows_number(rows, c)}; return FS_OK;
    case FS_CELL_TEXT: break;
    }
    *value = (fs_value){.kind = FS_VALUE_TEXT, .text = fs_arena_strdup(s->arena, fs_rows_text(rows, c))};
    return value->text ? FS_OK : fs_fail_nomem(err);
}

typedef struct row_context {
    const fs_sweep_rows *s;
    const fs_value *row;
} row_context;

uint32_t fs_sweep_rows_column(const fs_sweep_rows *s, const char *name)
{
    for (uint32_t c = 0; c < s->n_columns; c++)
        if (strcmp(s->names[c], name) == 0)
            return c;
    return FS_NONE;
}

static bool lookup(void *context, const char *name, fs_value *value, const char **near)
{
    const row_context *r = context;
    uint32_t c = fs_sweep_rows_column(r->s, name);
    if (c == FS_NONE) {
        *near = fs_suggest(name, r->s->names, r->s->n_columns);
        return false;
    }
    *value = r->row[c];
    return true;
}

static fs_status keep_row(fs_sweep_rows *s, fs_value *row, fs_err *err)
{
    bool wanted = true;
    uint32_t sweep = fs_sweep_rows_column(s, "sweep");
    row_context context = {s, row};
    if (s->a->sweep && sweep != FS_NONE && strcmp(row[sweep].text, s->a->sweep) != 0)
        return FS_OK;
    if (s->where) {
        fs_status status = fs_expr_holds(s->where, lookup, &context, &wanted, err);
        if (status != FS_OK)
            return status;
    }
    return !wanted || FS_PUSH(&s->rows, row) ? FS_OK : fs_fail_nomem(err);
}

static fs_status read_rows(fs_sweep_rows *s, fs_rows *rows, fs_err *err)
{
    bool more = false;
    fs_status status = FS_OK;
    s->n_columns = fs_rows_columns(rows);
    if (s->n_columns > FS_SWEEP_COLUMNS_MAX)
        return fs_fail(err, FS_E_IO, "%s: more than %d columns", s->a->values[0], FS_SWEEP_COLUMNS_MAX);
    for (uint32_t c = 0; c < s->n_columns; c++)
        if (!(s->names[c] = fs_arena_strdup(s->arena, fs_rows_name(rows, c))))
            return fs_fail_nomem(err);
    while ((status = fs_rows_next(rows, &more, err)) == FS_OK && more) {
        fs_value *row = fs_arena_alloc(s->arena, s->n_columns, sizeof *row);
        status = row ? FS_OK : fs_fail_nomem(err);
        for (uint32_t c = 0; c < s->n_columns && status == FS_OK; c++)
            status = read_cell(s, rows, c, &row[c], err);
        if (status == FS_OK)
            status = keep_row(s, row, err);
        if (status != FS_OK)
            return status;
    }
    return status;
}

/* ---- order -------------------------------------------------------------------------------------------------------- */

static fs_status unknown_column(const fs_sweep_rows *s, const char *option, const char *name, fs_err *err)
{
    const char *near = fs_suggest(name, s->names, s->n_columns);
    return near ? fs_fail(err, FS_E_USAGE, "--%s: there is no column '%s' (did you mean '%s'?)", option, name, near)
                : fs_fail(err, FS_E_USAGE, "--%s: there is no column '%s'", option, name);
}

static fs_status read_best(fs_sweep_rows *s, fs_err *err)
{
    const char *name = s->a->best;
    s->best = FS_NONE;
    if (!name)
        return FS_OK;
    size_t n = strlen(name);
    s->best_max = !(n > 2 && strcmp(name + n - 2, "_s") == 0); /* times are best when small */
    if (strncmp(name, "max:", 4) == 0 || strncmp(name, "min:", 4) == 0) {
        s->best_max = strncmp(name, "max:", 4) == 0;
        name += 4;
    }
    s->best = fs_sweep_rows_column(s, name);
    return s->best == FS_NONE ? unknown_column(s, "best", name, err) : FS_OK;
}

static const fs_sweep_rows *sorting; /* qsort has no context */

static double rank_of(const fs_value *row)
{
    fs_value v = row[sorting->best];
    if (v.kind != FS_VALUE_NUMBER)
        return INFINITY; /* behind all others */
    return sorting->best_max ? -v.number : v.number;
}

static int by_rank(const void *left, const void *right)
{
    const fs_value *a = *(fs_value *const *)left, *b = *(fs_value *const *)right;
    double x = rank_of(a), y = rank_of(b);
    if (x != y)
        return x < y ? -1 : 1;
    uint32_t number = fs_sweep_rows_column(sorting, "number");
    return (a[number].number > b[number].number) - (a[number].number < b[number].number);
}

fs_status fs_sweep_rows_columns(const fs_sweep_rows *s, const char *option, const char *list,
                                uint32_t columns[FS_SWEEP_COLUMNS_MAX], uint32_t *count, fs_err *err)
{
    *count = 0;
    for (const char *at = list; at;) {
        char name[FS_SETTING_SIZE] = "";
        size_t n = strcspn(at, ",");
        if (n < sizeof name)
            memcpy(name, at, n);
        uint32_t c = fs_sweep_rows_column(s, name);
        if (c == FS_NONE || *count == FS_SWEEP_COLUMNS_MAX)
            return unknown_column(s, option, name, err);
        columns[(*count)++] = c;
        at = at[n] ? at + n + 1 : NULL;
    }
    return FS_OK;
}

/* Of rows in the order of rank, the first of each group. */
static fs_status keep_first_of_groups(fs_sweep_rows *s, fs_err *err)
{
    uint32_t columns[FS_SWEEP_COLUMNS_MAX], count = 0, kept = 0;
    fs_status status = fs_sweep_rows_columns(s, "group-by", s->a->group_by, columns, &count, err);
    for (uint32_t i = 0; i < s->rows.count && status == FS_OK; i++) {
        bool seen = false;
        for (uint32_t k = 0; k < kept && !seen; k++) {
            seen = true;
            for (uint32_t c = 0; c < count && seen; c++)
                seen = fs_value_equal(s->rows.data[i][columns[c]], s->rows.data[k][columns[c]]);
        }
        if (!seen)
            s->rows.data[kept++] = s->rows.data[i];
    }
    if (status == FS_OK)
        s->rows.count = kept;
    return status;
}

static fs_status order(fs_sweep_rows *s, fs_err *err)
{
    fs_status status = read_best(s, err);
    if (status != FS_OK)
        return status;
    if (s->best != FS_NONE && s->rows.count > 0) {
        sorting = s;
        qsort(s->rows.data, s->rows.count, sizeof *s->rows.data, by_rank);
    }
    if (s->a->group_by)
        status = keep_first_of_groups(s, err);
    if (s->a->top > 0 && s->rows.count > s->a->top)
        s->rows.count = (uint32_t)s->a->top;
    return status;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static fs_status read_all(fs_sweep_rows *s, fs_err *err)
{
    fs_store *store = NULL;
    fs_rows *rows = NULL;
    fs_status status = FS_OK;
    if (s->a->where)
        status = fs_expr_parse(s->a->where, (fs_expr_place){.status_if_bad = FS_E_USAGE}, &s->where, err);
    if (status == FS_OK)
        status = fs_store_open(s->a->values[0], false, &store, err);
    if (status == FS_OK)
        status = fs_rows_open(store, "SELECT * FROM results ORDER BY sweep, number", &rows, err);
    if (status == FS_OK)
        status = read_rows(s, rows, err);
    fs_rows_close(rows);
    fs_store_close(store);
    return status == FS_OK ? order(s, err) : status;
}

fs_status fs_sweep_rows_read(const fs_sweep_arguments *a, fs_sweep_rows *s, fs_err *err)
{
    *s = (fs_sweep_rows){.a = a, .arena = fs_arena_new()};
    return s->arena ? read_all(s, err) : fs_fail_nomem(err);
}

void fs_sweep_rows_free(fs_sweep_rows *s)
{
    fs_expr_free(s->where);
    fs_free(s->rows.data);
    fs_arena_free(s->arena);
}
