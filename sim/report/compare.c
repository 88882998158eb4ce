/* compare.c - see compare.h. From the whole to the parts: inputs, totals, where the step changed, which communication, which tier,
 * and last the reason in a sentence.
 *
 * The reason is the part of the step that changed most in the direction in which the step did. Where that part is the wait for a
 * group's communication, the collective of that group whose time (count x mean) changed most is named with it: if none did,
 * ranks wait for each other, not for links. The tier is the one whose busiest link's time under load changed most. */
#include "report/compare_in.h"
#include "report/result_file.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COMMS_SHOWN = 10 };
#define ROUNDING 1e-9  /* sums of equal times in another order differ by less */
#define NOTHING_S 1e-9 /* nothing that is simulated is as short */

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

static void print_side(const char *side, fs_compared c, fs_style style, fs_out *out)
{
    const fs_json *root = fs_json_root(c.doc);
    fs_out_printf(out, "%s  ", side);
    fs_print_bold(out, style, fs_compare_string(fs_json_get(root, "trace"), "name"));
    fs_out_puts(out, " on ");
    fs_print_bold(out, style, fs_compare_string(fs_json_get(root, "topology"), "name"));
    fs_out_puts(out, "  (");
    fs_print_name(out, c.path);
    fs_out_puts(out, ")\n");
}

static void print_value(const fs_json *value, fs_out *out)
{
    char text[FS_COMPARE_TEXT];
    switch (fs_json_kind(value)) {
    case FS_JSON_STRING: fs_print_name(out, fs_json_string(value)); break;
    case FS_JSON_NUMBER: fs_out_puts(out, fs_format_exact(fs_json_number(value), text, sizeof text)); break;
    case FS_JSON_BOOL: fs_out_puts(out, fs_json_bool(value) ? "true" : "false"); break;
    case FS_JSON_NULL:
    case FS_JSON_ARRAY:
    case FS_JSON_OBJECT: fs_out_puts(out, "none"); break;
    }
}

bool fs_compare_equal(const fs_json *a, const fs_json *b)
{
    if (fs_json_kind(a) != fs_json_kind(b))
        return false;
    switch (fs_json_kind(a)) {
    case FS_JSON_STRING: return strcmp(fs_json_string(a), fs_json_string(b)) == 0;
    case FS_JSON_NUMBER: return fs_json_number(a) == fs_json_number(b);
    case FS_JSON_BOOL: return fs_json_bool(a) == fs_json_bool(b);
    case FS_JSON_NULL:
    case FS_JSON_ARRAY:
    case FS_JSON_OBJECT: break;
    }
    return true;
}

static void print_input(const char *name, const fs_json *a, const fs_json *b, const char *key, fs_out *out)
{
    const fs_json *left = fs_json_get(a, key), *right = fs_json_get(b, key);
    if (fs_compare_equal(left, right))
        return;
    fs_out_printf(out, "   %s%s", name, name[0] ? " " : "");
    fs_print_name(out, key);
    fs_out_puts(out, ": ");
    print_value(left, out);
    fs_out_puts(out, " -> ");
    print_value(right, out);
    fs_out_puts(out, "\n");
}

static void print_faults(const char *side, const fs_json *faults, fs_out *out)
{
    enum { SHOWN = 4 };
    uint32_t i = 0;
    for (const fs_json *f = fs_json_first(faults); f && i < SHOWN; f = fs_json_next(f), i++) {
        fs_out_printf(out, i == 0 ? "   faults of %s: " : ", ", side);
        print_value(f, out);
    }
    if (fs_json_count(faults) > SHOWN)
        fs_out_printf(out, " and %u more", fs_json_count(faults) - SHOWN);
    if (i > 0)
        fs_out_puts(out, "\n");
}

static bool equal_lists(const fs_json *a, const fs_json *b)
{
    const fs_json *x = fs_json_first(a), *y = fs_json_first(b);
    for (; x && y && fs_compare_equal(x, y); x = fs_json_next(x), y = fs_json_next(y))
        continue;
    return !x && !y;
}

/* What went in and is not the same. */
static void print_inputs(fs_compared a, fs_compared b, fs_style style, fs_out *out)
{
    static const char *const inputs[] = {"topology", "trace"};
    static const char *const members[] = {"name", "file", "hash", "gpus", "ranks"};
    const fs_json *root_a = fs_json_root(a.doc), *root_b = fs_json_root(b.doc);
    print_side("A", a, style, out);
    print_side("B", b, style, out);
    print_input("", root_a, root_b, "fabsim", out);
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof members / sizeof *members; k++)
            print_input(inputs[i], fs_json_get(root_a, inputs[i]), fs_json_get(root_b, inputs[i]), members[k], out);
    const fs_json *options_a = fs_json_get(root_a, "options"), *options_b = fs_json_get(root_b, "options");
    for (const fs_json *o = fs_json_first(options_a); o; o = fs_json_next(o))
        print_input("", options_a, options_b, fs_json_key(o), out);
    const fs_json *faults_a = fs_json_get(root_a, "faults"), *faults_b = fs_json_get(root_b, "faults");
    if (equal_lists(faults_a, faults_b))
        return;
    print_faults("A", faults_a, out);
    print_faults("B", faults_b, out);
}

/* ---- totals ------------------------------------------------------------------------------------------------------ */

static char *plain(double value, char *buffer, size_t size)
{
    if (value >= 1000 && value < 1e15)
        return fs_format_count((uint64_t)(value + 0.5), buffer, size);
    fs_snprintf(buffer, size, "%.4g", value);
    return buffer;
}

static char *percent(double value, char *buffer, size_t size)
{
    fs_snprintf(buffer, size, "%.1f %%", 100 * value);
    return buffer;
}

static char *gigabytes(double value, char *buffer, size_t size)
{
    fs_snprintf(buffer, size, "%.1f GB", value * 1e-9);
    return buffer;
}

static fs_status print_totals(fs_compared a, fs_compared b, fs_style style, fs_out *out, fs_err *err)
{
    static const struct total {
        const char *name, *parent, *key;
        fs_compare_format format;
    } totals[] = {
        {"step time", NULL, "step_time_s", fs_format_seconds},
        {"tokens/s", NULL, "tokens_per_s", plain},
        {"tokens/s per GPU", NULL, "tokens_per_s_per_gpu", plain},
        {"TFLOP/s per GPU", NULL, "tflops_per_gpu", plain},
        {"MFU", NULL, "mfu", percent},
        {"memory per GPU", "memory", "total_bytes", gigabytes},
        {"requests/s", "serving", "requests_per_s", plain},
        {"tokens/s per user", "serving", "output_tokens_per_s_per_user", plain},
    };
    const fs_json *root_a = fs_json_root(a.doc), *root_b = fs_json_root(b.doc);
    fs_table *table = fs_table_new("lrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    static const char *const heading[] = {"", "A", "B", "change"};
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        const fs_json *in_a = totals[i].parent ? fs_json_get(root_a, totals[i].parent) : root_a;
        const fs_json *in_b = totals[i].parent ? fs_json_get(root_b, totals[i].parent) : root_b;
        fs_compare_total(table, totals[i].name, fs_compare_number(in_a, totals[i].key),
                         fs_compare_number(in_b, totals[i].key), totals[i].format);
    }
    fs_out_puts(out, "\n");
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

typedef struct step {
    fs_pair *parts, *comms; /* (FS_COMPARE_ROWS) of breakdown and of communication */
    uint32_t n_parts, n_comms;
    double change_s;
    const char *tier;
} step;

static bool changed(const fs_pair *pair)
{
    return fabs(pair->b_s - pair->a_s) > fmax(ROUNDING * pair->a_s, NOTHING_S);
}

static void part_row(fs_table *table, const fs_pair *part, double change_s)
{
    char text[FS_COMPARE_TEXT];
    double change = part->b_s - part->a_s;
    if (!changed(part))
        change = 0;
    fs_table_cell(table, "%s", fs_compare_name(part, "name"));
    fs_table_cell(table, "%s", fs_format_seconds(part->a_s, text, sizeof text));
    fs_table_cell(table, "%s", fs_format_seconds(part->b_s, text, sizeof text));
    fs_table_cell(table, "%s", fs_compare_seconds(change, text));
    if (change != 0 && change_s != 0)
        fs_table_cell(table, "%.0f %%", 100 * change / change_s);
    else
        fs_table_cell(table, "-");
}

static fs_status print_parts(step *s, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"", "A", "B", "change", "of it"};
    fs_table *table = fs_table_new("lrrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t i = 0; i < s->n_parts; i++) {
        fs_pair *part = &s->parts[i];
        part->a_s = fs_compare_number(part->a, "seconds");
        part->b_s = fs_compare_number(part->b, "seconds");
        if (part->a_s > 0 || part->b_s > 0)
            part_row(table, part, s->change_s);
    }
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Where the step changed");
    fs_out_puts(out, " (mean over ranks)\n");
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

/* The pair that changed most first; among equals in the order of the results, so that the order is total. */
static int by_change(const void *left, const void *right)
{
    const fs_pair *a = left, *b = right;
    double x = fabs(a->b_s - a->a_s), y = fabs(b->b_s - b->a_s);
    if (x != y)
        return x < y ? 1 : -1;
    const fs_json *p = a->a ? a->a : a->b, *q = b->a ? b->a : b->b;
    return p < q ? -1 : p > q;
}

/* "434", or "434 -> 217". */
static const char *both(double a, double b, char text[FS_COMPARE_TEXT])
{
    if (a == b)
        fs_snprintf(text, FS_COMPARE_TEXT, "%.0f", a);
    else
        fs_snprintf(text, FS_COMPARE_TEXT, "%.0f -> %.0f", a, b);
    return text;
}

static void comm_row(fs_table *table, const fs_pair *c)
{
    char text[FS_COMPARE_TEXT];
    const char *algo_a = fs_compare_string(c->a, "algo"), *algo_b = fs_compare_string(c->b, "algo");
    fs_table_cell(table, "%s", fs_compare_name(c, "group"));
    fs_table_cell(table, "%s", fs_compare_name(c, "operation"));
    fs_table_cell(table, "%s", fs_format_bytes(fs_compare_number(c->a ? c->a : c->b, "size_bytes"), text, sizeof text));
    fs_table_cell(table, "%s", both(fs_compare_number(c->a, "count"), fs_compare_number(c->b, "count"), text));
    if (strcmp(algo_a, algo_b) == 0 || !c->a || !c->b)
        fs_table_cell(table, "%s", fs_compare_name(c, "algo"));
    else
        fs_table_cell(table, "%s -> %s", algo_a, algo_b);
    fs_table_cell(table, "%s", c->a ? fs_format_seconds(fs_compare_number(c->a, "mean_s"), text, sizeof text) : "-");
    fs_table_cell(table, "%s", c->b ? fs_format_seconds(fs_compare_number(c->b, "mean_s"), text, sizeof text) : "-");
    fs_table_cell(table, "%s", fs_compare_seconds(c->b_s - c->a_s, text));
}

static fs_status print_comms(step *s, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"group", "operation", "size", "count", "algo", "time A", "B", "in all"};
    for (uint32_t i = 0; i < s->n_comms; i++) {
        fs_pair *c = &s->comms[i];
        c->a_s = fs_compare_number(c->a, "count") * fs_compare_number(c->a, "mean_s");
        c->b_s = fs_compare_number(c->b, "count") * fs_compare_number(c->b, "mean_s");
    }
    qsort(s->comms, s->n_comms, sizeof *s->comms, by_change);
    fs_table *table = fs_table_new("llrrlrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    uint32_t n = 0;
    while (n < s->n_comms && n < COMMS_SHOWN && changed(&s->comms[n]))
        comm_row(table, &s->comms[n++]);
    fs_status status = FS_OK;
    if (n > 0) {
        fs_out_puts(out, "\n");
        fs_print_bold(out, style, "Communication that changed most");
        fs_out_puts(out, " (in all: count x time)\n");
        status = fs_table_print(table, true, style, out, err);
    }
    fs_table_free(table);
    return status;
}

/* Is this what ranks are in while "exposed GROUP" counts? "p2p" stands for sends within any group, the group's own name for
 * its collectives. */
static bool belongs(const fs_pair *comm, const char *group)
{
    bool send = strcmp(fs_compare_name(comm, "operation"), "sendrecv") == 0;
    return strcmp(send ? "p2p" : fs_compare_name(comm, "group"), group) == 0;
}

/* Of the group's communications the one that changed most in the direction of the change; they are sorted. */
static const fs_pair *comm_of(const step *s, const char *group)
{
    for (uint32_t i = 0; i < s->n_comms; i++) {
        const fs_pair *c = &s->comms[i];
        if (belongs(c, group) && (c->b_s - c->a_s) * s->change_s > 0)
            return c;
    }
    return NULL;
}

static void print_reason_of_group(const step *s, const char *group, fs_out *out)
{
    const fs_pair *c = comm_of(s, group);
    char size[FS_COMPARE_TEXT], before[FS_COMPARE_TEXT], after[FS_COMPARE_TEXT], count[FS_COMPARE_TEXT];
    if (!c) {
        fs_out_puts(out, "; its communication itself did not change so: ranks wait for each other");
        return;
    }
    fs_out_puts(out, ": ");
    fs_print_name(out, fs_compare_name(c, "operation"));
    fs_out_printf(out, " of %s, ",
                  fs_format_bytes(fs_compare_number(c->a ? c->a : c->b, "size_bytes"), size, sizeof size));
    if (c->a && c->b)
        fs_out_printf(out, "%s -> %s, %s times",
                      fs_format_seconds(fs_compare_number(c->a, "mean_s"), before, sizeof before),
                      fs_format_seconds(fs_compare_number(c->b, "mean_s"), after, sizeof after),
                      both(fs_compare_number(c->a, "count"), fs_compare_number(c->b, "count"), count));
    else
        fs_out_puts(out, c->a ? "which only A has" : "which only B has");
    if (s->tier[0]) {
        fs_out_puts(out, "; tier ");
        fs_print_name(out, s->tier);
    }
}

static void print_reason(const step *s, double a_s, fs_style style, fs_out *out)
{
    static const char exposed[] = "exposed ";
    char text[FS_COMPARE_TEXT];
    const fs_pair *cause = fs_compare_cause(s->parts, s->n_parts, s->change_s);
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Reason");
    fs_out_puts(out, "  ");
    if (!cause || fabs(s->change_s) < 1e-4 * a_s) {
        fs_out_puts(out, "none to look for: the step takes as long\n");
        return;
    }
    const char *name = fs_compare_name(cause, "name");
    fs_print_name(out, name);
    fs_out_printf(out, ", %s (the step: %s)", fs_compare_seconds(cause->b_s - cause->a_s, text),
                  fs_compare_seconds(s->change_s, (char[FS_COMPARE_TEXT]){0}));
    if (strncmp(name, exposed, sizeof exposed - 1) == 0)
        print_reason_of_group(s, name + sizeof exposed - 1, out);
    fs_out_puts(out, "\n");
}

static fs_status compare_steps(fs_compared a, fs_compared b, step *s, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const part_keys[] = {"name"};
    static const char *const comm_keys[] = {"group", "operation", "size_bytes", "ranks"};
    const fs_json *root_a = fs_json_root(a.doc), *root_b = fs_json_root(b.doc);
    double a_s = fs_compare_number(root_a, "step_time_s");
    s->change_s = fs_compare_number(root_b, "step_time_s") - a_s;
    fs_status status = fs_compare_match(fs_json_get(root_a, "breakdown"), fs_json_get(root_b, "breakdown"), part_keys,
                                        1, s->parts, &s->n_parts, err);
    if (status == FS_OK)
        status = fs_compare_match(fs_json_get(root_a, "communication"), fs_json_get(root_b, "communication"), comm_keys,
                                  4, s->comms, &s->n_comms, err);
    if (status == FS_OK)
        status = print_parts(s, style, out, err);
    if (status == FS_OK)
        status = print_comms(s, style, out, err);
    if (status == FS_OK)
        status = fs_compare_tiers(a, b, s->change_s, &s->tier, style, out, err);
    if (status == FS_OK)
        print_reason(s, a_s, style, out);
    return status;
}

static bool serves(fs_compared c)
{
    return fs_json_kind(fs_json_get(fs_json_root(c.doc), "serving")) == FS_JSON_OBJECT;
}

fs_status fs_compare_text(fs_compared a, fs_compared b, fs_style style, fs_out *out, fs_err *err)
{
    if (serves(a) != serves(b))
        return fs_fail(err, FS_E_USAGE, "nothing to compare: '%s' is a result of serving and '%s' is not",
                       serves(a) ? a.path : b.path, serves(a) ? b.path : a.path);
    print_inputs(a, b, style, out);
    fs_status status = print_totals(a, b, style, out, err);
    if (status != FS_OK)
        return status;
    if (serves(a))
        return fs_compare_serving(a, b, style, out, err);
    step s = {.parts = fs_alloc(FS_COMPARE_ROWS, sizeof *s.parts),
              .comms = fs_alloc(FS_COMPARE_ROWS, sizeof *s.comms),
              .tier = ""};
    status = s.parts && s.comms ? compare_steps(a, b, &s, style, out, err) : fs_fail_nomem(err);
    fs_free(s.parts);
    fs_free(s.comms);
    return status;
}
