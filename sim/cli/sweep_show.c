/* sweep_show.c - `fabsim sweep --show`: rows of a database for people, CSV, JSON Lines. */
#include "base/jsonw.h"
#include "base/num.h"
#include "cli/sweep_rows.h"

#include <math.h>
#include <string.h>

/* ---- for people --------------------------------------------------------------------------------------------------- */

static bool varies(const fs_sweep_rows *s, uint32_t c)
{
    for (uint32_t i = 1; i < s->rows.count; i++)
        if (!fs_value_equal(s->rows.data[i][c], s->rows.data[0][c]))
            return true;
    return false;
}

static bool all_absent(const fs_sweep_rows *s, uint32_t c)
{
    for (uint32_t i = 0; i < s->rows.count; i++)
        if (s->rows.data[i][c].kind != FS_VALUE_ABSENT)
            return false;
    return true;
}

/* Number, then settings, topologies and traces that vary, then figures that there are. */
static uint32_t default_columns(const fs_sweep_rows *s, uint32_t columns[FS_SWEEP_COLUMNS_MAX])
{
    static const char *const figures[] = {"step_s",    "tokens_per_s", "mfu",        "memory_fits",   "exposed_s",
                                          "busbw_Bps", "ttft_p50_s",   "tpot_p50_s", "requests_per_s"};
    uint32_t count = 0, gpus = fs_sweep_rows_column(s, "gpus");
    columns[count++] = fs_sweep_rows_column(s, "number");
    for (uint32_t c = 3; c < gpus; c++) /* status, topology, trace, settings: store_schema.c */
        if (varies(s, c))
            columns[count++] = c;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        uint32_t c = fs_sweep_rows_column(s, figures[i]);
        if (c != FS_NONE && !all_absent(s, c))
            columns[count++] = c;
    }
    uint32_t message = fs_sweep_rows_column(s, "message");
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
    else if ((v.number == floor(v.number) || fabs(v.number) >= 1e4) && fabs(v.number) < 1e15) /* not 2.136e+05 */
        fs_snprintf(text, size, "%.0f", v.number);
    else
        fs_snprintf(text, size, "%.4g", v.number);
    return text;
}

static fs_status print_table(const fs_sweep_rows *s, const uint32_t *columns, uint32_t count, fs_out *out, fs_err *err)
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

static void print_counts(const fs_sweep_rows *s, fs_out *out)
{
    uint32_t status = fs_sweep_rows_column(s, "status"), failed = 0, pending = 0;
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

static fs_status write_text(const fs_sweep_rows *s, fs_out *out, fs_err *err)
{
    uint32_t columns[FS_SWEEP_COLUMNS_MAX], count = 0;
    fs_status status = FS_OK;
    if (s->rows.count == 0) {
        fs_out_puts(out, "no rows\n");
        return FS_OK;
    }
    if (s->a->columns)
        status = fs_sweep_rows_columns(s, "columns", s->a->columns, columns, &count, err);
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

static fs_status write_csv(const fs_sweep_rows *s, fs_out *out, fs_err *err)
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

static fs_status write_jsonl(const fs_sweep_rows *s, fs_out *out, fs_err *err)
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

static fs_status write_to(const fs_sweep_rows *s, const char *path,
                          fs_status (*write)(const fs_sweep_rows *, fs_out *, fs_err *), fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open(path, &out, err);
    if (status != FS_OK)
        return status;
    return fs_out_finish(out, write(s, out, err), err);
}

fs_status fs_sweep_show(const fs_sweep_arguments *a, fs_err *err)
{
    fs_sweep_rows s;
    fs_status status = fs_sweep_rows_read(a, &s, err);
    if (status == FS_OK && a->csv)
        status = write_to(&s, a->csv, write_csv, err);
    if (status == FS_OK && a->jsonl)
        status = write_to(&s, a->jsonl, write_jsonl, err);
    if (status == FS_OK && !a->csv && !a->jsonl)
        status = write_to(&s, "-", write_text, err);
    fs_sweep_rows_free(&s);
    return status;
}
