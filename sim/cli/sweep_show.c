/* sweep_show.c - `fabsim sweep --show`: rows of a database for people, CSV, JSON Lines.
 *
 * Rows are read once. Conditions are fabsim's expressions and not SQL, so that a sweep file's "where" and --where are one
 * language; whoever wants SQL has the file. */
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/sweep_cli.h"
#include "sweep/expr.h"
#include "sweep/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 256 };

typedef struct shown {
    const fs_sweep_arguments *a;
    fs_arena *arena;
    uint32_t n_columns;
    const char *names[COLUMNS_MAX];
    FS_VEC(fs_value *) rows; /* each (n_columns) */
    fs_expr *where;
    uint32_t best; /* column, or FS_NONE */
    bool best_max;
} shown;

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static fs_status read_cell(shown *s, const fs_rows *rows, uint32_t c, fs_value *value, fs_err *err)
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
    const shown *s;
    const fs_value *row;
} row_context;

static uint32_t find_column(const shown *s, const char *name)
{
    for (uint32_t c = 0; c < s->n_columns; c++)
        if (strcmp(s->names[c], name) == 0)
            return c;
    return FS_NONE;
}

static bool lookup(void *context, const char *name, fs_value *value, const char **near)
{
    const row_context *r = context;
    uint32_t c = find_column(r->s, name);
    if (c == FS_NONE) {
        *near = fs_suggest(name, r->s->names, r->s->n_columns);
        return false;
    }
    *value = r->row[c];
    return true;
}

static fs_status keep_row(shown *s, fs_value *row, fs_err *err)
{
    bool wanted = true;
    uint32_t sweep = find_column(s, "sweep");
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

static fs_status read_rows(shown *s, fs_rows *rows, fs_err *err)
{
    bool more = false;
    fs_status status = FS_OK;
    s->n_columns = fs_rows_columns(rows);
    if (s->n_columns > COLUMNS_MAX)
        return fs_fail(err, FS_E_IO, "%s: more than %d columns", s->a->values[0], COLUMNS_MAX);
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

static fs_status unknown_column(const shown *s, const char *option, const char *name, fs_err *err)
{
    const char *near = fs_suggest(name, s->names, s->n_columns);
    return near ? fs_fail(err, FS_E_USAGE, "--%s: there is no column '%s' (did you mean '%s'?)", option, name, near)
                : fs_fail(err, FS_E_USAGE, "--%s: there is no column '%s'", option, name);
}

static fs_status read_best(shown *s, fs_err *err)
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
    s->best = find_column(s, name);
    return s->best == FS_NONE ? unknown_column(s, "best", name, err) : FS_OK;
}

static const shown *sorting; /* qsort has no context */

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
    uint32_t number = find_column(sorting, "number");
    return (a[number].number > b[number].number) - (a[number].number < b[number].number);
}

/* The columns that a list of names means. */
static fs_status read_columns(const shown *s, const char *option, const char *list, uint32_t columns[COLUMNS_MAX],
                              uint32_t *count, fs_err *err)
{
    *count = 0;
    for (const char *at = list; at;) {
        char name[FS_SETTING_SIZE] = "";
        size_t n = strcspn(at, ",");
        if (n < sizeof name)
            memcpy(name, at, n);
        uint32_t c = find_column(s, name);
        if (c == FS_NONE || *count == COLUMNS_MAX)
            return unknown_column(s, option, name, err);
        columns[(*count)++] = c;
        at = at[n] ? at + n + 1 : NULL;
    }
    return FS_OK;
}

/* Of rows in the order of rank, the first of each group. */
static fs_status keep_first_of_groups(shown *s, fs_err *err)
{
    uint32_t columns[COLUMNS_MAX], count = 0, kept = 0;
    fs_status status = read_columns(s, "group-by", s->a->group_by, columns, &count, err);
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

static fs_status order(shown *s, fs_err *err)
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

/* ---- for people --------------------------------------------------------------------------------------------------- */

static bool varies(const shown *s, uint32_t c)
{
    for (uint32_t i = 1; i < s->rows.count; i++)
        if (!fs_value_equal(s->rows.data[i][c], s->rows.data[0][c]))
            return true;
    return false;
}

static bool all_absent(const shown *s, uint32_t c)
{
    for (uint32_t i = 0; i < s->rows.count; i++)
        if (s->rows.data[i][c].kind != FS_VALUE_ABSENT)
            return false;
    return true;
}

/* Number, then settings, topologies and traces that vary, then figures that there are. */
static uint32_t default_columns(const shown *s, uint32_t columns[COLUMNS_MAX])
{
    static const char *const figures[] = {"step_s",    "tokens_per_s", "mfu",        "memory_fits",   "exposed_s",
                                          "busbw_Bps", "ttft_p50_s",   "tpot_p50_s", "requests_per_s"};
    uint32_t count = 0, gpus = find_column(s, "gpus");
    columns[count++] = find_column(s, "number");
    for (uint32_t c = 3; c < gpus; c++) /* status, topology, trace, settings: store_schema.c */
        if (varies(s, c))
            columns[count++] = c;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        uint32_t c = find_column(s, figures[i]);
        if (c != FS_NONE && !all_absent(s, c))
            columns[count++] = c;
    }
    uint32_t message = find_column(s, "message");
    if (s->best != FS_NONE) {
        bool there = false;
        for (uint32_t i = 0; i < count; i++)
            there |= columns[i] == s->best;
        if (!there)
            columns[count++] = s->best;
    }
    if (!all_absent(s, message))
        columns[count++] = message;
    return count;
}

/* By the unit that the name ends with. */
static const char *format_cell(const char *name, fs_value v, char *text, size_t size)
{
    size_t n = strlen(name);
    if (v.kind == FS_VALUE_ABSENT)
        return "-";
    if (v.kind == FS_VALUE_TEXT)
        return v.text;
    if (strcmp(name, "memory_fits") == 0)
        return v.number != 0 ? "yes" : "no";
    if (n > 2 && strcmp(name + n - 2, "_s") == 0 && !strstr(name, "per_s"))
        return fs_format_seconds(v.number, text, size);
    if (n > 6 && strcmp(name + n - 6, "_bytes") == 0)
        return fs_format_bytes(v.number, text, size);
    if (n > 4 && strcmp(name + n - 4, "_Bps") == 0)
        return fs_format_bps(v.number, text, size);
    if (strcmp(name, "mfu") == 0 || strcmp(name, "hfu") == 0 || strstr(name, "utilization"))
        fs_snprintf(text, size, "%.1f %%", 100 * v.number);
    else if (v.number == floor(v.number) && fabs(v.number) < 1e15)
        fs_snprintf(text, size, "%.0f", v.number);
    else
        fs_snprintf(text, size, "%.4g", v.number);
    return text;
}

static fs_status print_table(const shown *s, const uint32_t *columns, uint32_t count, fs_out *out, fs_err *err)
{
    char alignment[FS_TABLE_COLUMNS_MAX + 1] = "", text[64];
    uint32_t n = count < FS_TABLE_COLUMNS_MAX ? count : FS_TABLE_COLUMNS_MAX;
    for (uint32_t i = 0; i < n; i++) {
        bool is_text = false;
        for (uint32_t r = 0; r < s->rows.count; r++)
            is_text |= s->rows.data[r][columns[i]].kind == FS_VALUE_TEXT;
        alignment[i] = is_text ? 'l' : 'r';
    }
    fs_table *table = fs_table_new(alignment);
    if (!table)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n; i++)
        fs_table_cell(table, "%s", s->names[columns[i]]);
    for (uint32_t r = 0; r < s->rows.count; r++)
        for (uint32_t i = 0; i < n; i++)
            fs_table_cell(table, "%s",
                          format_cell(s->names[columns[i]], s->rows.data[r][columns[i]], text, sizeof text));
    fs_status status = fs_table_print(table, true, fs_cli_style(), out, err);
    fs_table_free(table);
    if (count > n)
        fs_out_printf(out, "\n%u more columns: --columns chooses, --csv has them all\n", count - n);
    return status;
}

static void print_counts(const shown *s, fs_out *out)
{
    uint32_t status = find_column(s, "status"), failed = 0, pending = 0;
    for (uint32_t i = 0; i < s->rows.count; i++) {
        failed += strcmp(s->rows.data[i][status].text, "failed") == 0;
        pending += strcmp(s->rows.data[i][status].text, "pending") == 0;
    }
    fs_out_printf(out, "\n%u rows", s->rows.count);
    if (failed)
        fs_out_printf(out, ", %u failed", failed);
    if (pending)
        fs_out_printf(out, ", %u pending", pending);
    fs_out_puts(out, "\n");
}

static fs_status write_text(const shown *s, fs_out *out, fs_err *err)
{
    uint32_t columns[COLUMNS_MAX], count = 0;
    fs_status status = FS_OK;
    if (s->rows.count == 0) {
        fs_out_puts(out, "no rows\n");
        return FS_OK;
    }
    if (s->a->columns)
        status = read_columns(s, "columns", s->a->columns, columns, &count, err);
    else
        count = default_columns(s, columns);
    if (status == FS_OK)
        status = print_table(s, columns, count, out, err);
    if (status == FS_OK)
        print_counts(s, out);
    return status;
}

/* ---- for programs ------------------------------------------------------------------------------------------------- */

static void write_csv_text(fs_out *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fs_out_puts(out, text);
        return;
    }
    fs_out_puts(out, "\"");
    for (; *text; text++)
        fs_out_write(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    fs_out_puts(out, "\"");
}

static fs_status write_csv(const shown *s, fs_out *out, fs_err *err)
{
    (void)err;
    char text[32];
    for (uint32_t c = 0; c < s->n_columns; c++) {
        fs_out_puts(out, c ? "," : "");
        write_csv_text(out, s->names[c]);
    }
    fs_out_puts(out, "\n");
    for (uint32_t r = 0; r < s->rows.count; r++) {
        for (uint32_t c = 0; c < s->n_columns; c++) {
            fs_value v = s->rows.data[r][c];
            fs_out_puts(out, c ? "," : "");
            if (v.kind == FS_VALUE_TEXT)
                write_csv_text(out, v.text);
            else if (v.kind == FS_VALUE_NUMBER)
                fs_out_puts(out, fs_format_exact(v.number, text, sizeof text));
        }
        fs_out_puts(out, "\n");
    }
    return FS_OK;
}

static fs_status write_jsonl(const shown *s, fs_out *out, fs_err *err)
{
    (void)err;
    for (uint32_t r = 0; r < s->rows.count; r++) {
        fs_jsonw w = fs_jsonw_start(out);
        fs_jsonw_object_inline(&w, NULL);
        for (uint32_t c = 0; c < s->n_columns; c++) {
            fs_value v = s->rows.data[r][c];
            if (v.kind == FS_VALUE_TEXT)
                fs_jsonw_string(&w, s->names[c], v.text);
            else if (v.kind == FS_VALUE_NUMBER)
                fs_jsonw_number(&w, s->names[c], v.number);
            else
                fs_jsonw_null(&w, s->names[c]);
        }
        fs_jsonw_end(&w);
    }
    return FS_OK;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static fs_status write_to(const shown *s, const char *path, fs_status (*write)(const shown *, fs_out *, fs_err *),
                          fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open(path, &out, err);
    if (status != FS_OK)
        return status;
    return fs_out_finish(out, write(s, out, err), err);
}

static fs_status read_all(shown *s, fs_err *err)
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

fs_status fs_sweep_show(const fs_sweep_arguments *a, fs_err *err)
{
    shown s = {.a = a, .arena = fs_arena_new()};
    fs_status status = s.arena ? read_all(&s, err) : fs_fail_nomem(err);
    if (status == FS_OK && a->csv)
        status = write_to(&s, a->csv, write_csv, err);
    if (status == FS_OK && a->jsonl)
        status = write_to(&s, a->jsonl, write_jsonl, err);
    if (status == FS_OK && !a->csv && !a->jsonl)
        status = write_to(&s, "-", write_text, err);
    fs_expr_free(s.where);
    fs_free(s.rows.data);
    fs_arena_free(s.arena);
    return status;
}
