/* compare_rows.c - rows of two results side by side, and how changes are written. See compare_in.h. */
#include "report/compare_in.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

double fs_compare_number(const fs_json *object, const char *key)
{
    const fs_json *value = fs_json_get(object, key);
    return fs_json_kind(value) == FS_JSON_NUMBER ? fs_json_number(value) : 0;
}

const char *fs_compare_string(const fs_json *object, const char *key)
{
    const fs_json *value = fs_json_get(object, key);
    return fs_json_kind(value) == FS_JSON_STRING ? fs_json_string(value) : "";
}

const char *fs_compare_name(const fs_pair *pair, const char *key)
{
    return fs_compare_string(pair->a ? pair->a : pair->b, key);
}

static bool equal_rows(const fs_json *a, const fs_json *b, const char *const *keys, size_t n_keys)
{
    for (size_t i = 0; i < n_keys; i++)
        if (!fs_compare_equal(fs_json_get(a, keys[i]), fs_json_get(b, keys[i])))
            return false;
    return true;
}

fs_status fs_compare_match(const fs_json *list_a, const fs_json *list_b, const char *const *keys, size_t n_keys,
                           fs_pair *pairs, uint32_t *n, fs_err *err)
{
    uint32_t count = 0;
    if (fs_json_count(list_a) > FS_COMPARE_ROWS || fs_json_count(list_b) > FS_COMPARE_ROWS - fs_json_count(list_a))
        return fs_fail(err, FS_E_IO, "cannot compare: more than %d rows of '%s' in the two results", FS_COMPARE_ROWS,
                       keys[0]);
    for (const fs_json *row = fs_json_first(list_a); row; row = fs_json_next(row))
        pairs[count++] = (fs_pair){.a = row};
    uint32_t n_a = count;
    for (const fs_json *row = fs_json_first(list_b); row; row = fs_json_next(row)) {
        uint32_t i = 0;
        while (i < n_a && (pairs[i].b || !equal_rows(pairs[i].a, row, keys, n_keys)))
            i++;
        if (i < n_a)
            pairs[i].b = row;
        else
            pairs[count++] = (fs_pair){.b = row};
    }
    *n = count;
    return FS_OK;
}

const fs_pair *fs_compare_cause(const fs_pair *pairs, uint32_t n, double change_s)
{
    const fs_pair *most = NULL;
    double sign = change_s < 0 ? -1 : 1, best = 0;
    for (uint32_t i = 0; i < n; i++) {
        double change = (pairs[i].b_s - pairs[i].a_s) * sign;
        if (change > best) {
            best = change;
            most = &pairs[i];
        }
    }
    return most;
}

const char *fs_compare_percent(double a, double b, char text[FS_COMPARE_TEXT])
{
    const double nothing = 1e-4; /* below that, a change is of no interest to anybody */
    if (a == b || (a != 0 && fabs(b / a - 1) < nothing))
        return "same";
    if (a == 0 || b == 0)
        return a == 0 ? "new" : "gone";
    double ratio = b / a;
    if (ratio >= 10)
        fs_snprintf(text, FS_COMPARE_TEXT, "x %.3g", ratio);
    else
        fs_snprintf(text, FS_COMPARE_TEXT, "%+.*f %%", fabs(ratio - 1) < 0.1 ? 2 : 1, 100 * (ratio - 1));
    return text;
}

const char *fs_compare_seconds(double change_s, char text[FS_COMPARE_TEXT])
{
    char number[FS_COMPARE_TEXT / 2];
    if (change_s == 0)
        return "0";
    fs_snprintf(text, FS_COMPARE_TEXT, "%c%s", change_s < 0 ? '-' : '+',
                fs_format_seconds(fabs(change_s), number, sizeof number));
    return text;
}

void fs_compare_total(fs_table *table, const char *name, double a, double b, fs_compare_format format)
{
    char text[FS_COMPARE_TEXT];
    if (a == 0 && b == 0)
        return;
    fs_table_cell(table, "%s", name);
    fs_table_cell(table, "%s", a != 0 ? format(a, text, sizeof text) : "-");
    fs_table_cell(table, "%s", b != 0 ? format(b, text, sizeof text) : "-");
    fs_table_cell(table, "%s", fs_compare_percent(a, b, text));
}

/* ---- tiers ------------------------------------------------------------------------------------------------------- */

/* Seconds at full rate that the tier's busiest link needed for its bytes. */
static double busiest_s(const fs_json *root, const char *tier)
{
    double step_s = fs_compare_number(root, "step_time_s");
    for (const fs_json *row = fs_json_first(fs_json_get(root, "links")); row; row = fs_json_next(row))
        if (strcmp(fs_compare_string(row, "tier"), tier) == 0) /* the first is the busiest */
            return fs_compare_number(row, "mean_utilization") * step_s;
    for (const fs_json *row = fs_json_first(fs_json_get(root, "tiers")); row; row = fs_json_next(row))
        if (strcmp(fs_compare_string(row, "name"), tier) == 0)
            return fs_compare_number(row, "mean_utilization") * step_s;
    return 0;
}

static void tier_cells(fs_table *table, const fs_pair *pair)
{
    static const char *const figures[] = {"mean_utilization", "peak_utilization"};
    char text[FS_COMPARE_TEXT];
    fs_table_cell(table, "%s", fs_compare_name(pair, "name"));
    for (size_t i = 0; i < 2; i++) {
        fs_table_cell(table, "%.1f %%", 100 * fs_compare_number(pair->a, figures[i]));
        fs_table_cell(table, "%.1f %%", 100 * fs_compare_number(pair->b, figures[i]));
    }
    double a = fs_compare_number(pair->a, "bytes"), b = fs_compare_number(pair->b, "bytes");
    fs_table_cell(table, "%s", fs_format_bytes(a, text, sizeof text));
    fs_table_cell(table, "%s", fs_format_bytes(b, text, sizeof text));
    fs_table_cell(table, "%s", fs_compare_percent(a, b, text));
    a = fs_compare_number(pair->a, "capacity_Bps");
    b = fs_compare_number(pair->b, "capacity_Bps");
    fs_table_cell(table, "%s", fs_compare_percent(a, b, text));
}

fs_status fs_compare_tiers(fs_compared a, fs_compared b, double change_s, const char **cause, fs_style style,
                           fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"tier", "mean A", "B", "peak A", "B", "bytes A", "B", "change", "capacity"};
    static const char *const key[] = {"name"};
    const double noticeable = 0.01; /* part of the change that a tier must account for */
    const fs_json *root_a = fs_json_root(a.doc), *root_b = fs_json_root(b.doc);
    uint32_t n = 0;
    fs_pair *pairs = fs_alloc(FS_COMPARE_ROWS, sizeof *pairs);
    fs_table *table = fs_table_new("lrrrrrrrr");
    fs_status status = pairs && table ? fs_compare_match(fs_json_get(root_a, "tiers"), fs_json_get(root_b, "tiers"),
                                                         key, 1, pairs, &n, err)
                                      : fs_fail_nomem(err);
    if (status == FS_OK)
        fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        pairs[i].a_s = busiest_s(root_a, fs_compare_name(&pairs[i], "name"));
        pairs[i].b_s = busiest_s(root_b, fs_compare_name(&pairs[i], "name"));
        tier_cells(table, &pairs[i]);
    }
    if (status == FS_OK && n > 0) {
        fs_out_puts(out, "\n");
        fs_print_bold(out, style, "Links by tier");
        fs_out_puts(out, "\n");
        status = fs_table_print(table, true, style, out, err);
    }
    const fs_pair *most = fs_compare_cause(pairs, n, change_s);
    bool counts = most && fabs(most->b_s - most->a_s) >= noticeable * fabs(change_s);
    *cause = counts ? fs_compare_name(most, "name") : "";
    fs_table_free(table);
    fs_free(pairs);
    return status;
}
