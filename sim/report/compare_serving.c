/* compare_serving.c - two results of serving: latencies, pools, and the reason.
 *
 * What a request waits for is its queue, its prompt (first token less queue) and its tokens (end to end less first token); the means
 * add up to the mean time end to end. The reason is the one of these that changed most, and in it, of a pool that does such
 * work, whether kernels or what is in an iteration beside them grew. */
#include "report/compare_in.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

static const struct latency {
    const char *key, *name;
} latencies[] = {{"queue_s", "queueing"},
                 {"ttft_s", "first token (TTFT)"},
                 {"tpot_s", "token after token (TPOT)"},
                 {"itl_s", "between two steps (ITL)"},
                 {"e2e_s", "end to end"}};

static fs_status print_latencies(const fs_json *a, const fs_json *b, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"", "mean A", "B", "change", "p99 A", "B", "change"};
    static const char *const figures[] = {"mean", "p99"};
    char text[FS_COMPARE_TEXT];
    fs_table *table = fs_table_new("lrrrrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (size_t i = 0; i < sizeof latencies / sizeof *latencies; i++) {
        fs_table_cell(table, "%s", latencies[i].name);
        for (size_t k = 0; k < 2; k++) {
            double x = fs_compare_number(fs_json_get(a, latencies[i].key), figures[k]);
            double y = fs_compare_number(fs_json_get(b, latencies[i].key), figures[k]);
            fs_table_cell(table, "%s", fs_format_seconds(x, text, sizeof text));
            fs_table_cell(table, "%s", fs_format_seconds(y, text, sizeof text));
            fs_table_cell(table, "%s", fs_compare_percent(x, y, text));
        }
    }
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Latency");
    fs_out_puts(out, "\n");
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

static fs_status print_pools(const fs_pair *pools, uint32_t n, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"pool", "busy A", "B", "kernels A", "B", "batch A", "B", "KV used A", "B"};
    static const struct figure {
        const char *key;
        double factor;
        const char *unit;
    } figures[] = {{"busy", 100, " %"}, {"compute", 100, " %"}, {"mean_batch", 1, ""}, {"kv_mean", 100, " %"}};
    fs_table *table = fs_table_new("lrrrrrrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t i = 0; i < n; i++) {
        fs_table_cell(table, "%s", fs_compare_name(&pools[i], "name"));
        for (size_t k = 0; k < sizeof figures / sizeof *figures; k++) {
            const fs_json *const sides[] = {pools[i].a, pools[i].b};
            for (size_t side = 0; side < 2; side++) {
                double value = fs_compare_number(sides[side], figures[k].key) * figures[k].factor;
                if (sides[side])
                    fs_table_cell(table, "%.1f%s", value, figures[k].unit);
                else
                    fs_table_cell(table, "-");
            }
        }
    }
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Pools");
    fs_out_puts(out, " (parts of the time: in an iteration, in its kernels)\n");
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

/* Part of the time that a pool is in an iteration but in none of its kernels: communication that nothing covers. */
static double uncovered(const fs_json *pool)
{
    return fs_compare_number(pool, "busy") - fs_compare_number(pool, "compute");
}

/* Iterations of the pool became longer or shorter: by their kernels, or by what is beside them? */
static void print_pool_reason(const fs_pair *pools, uint32_t n, bool decode, const char *tier, fs_out *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const char *role = fs_compare_name(&pools[i], "role");
        if (!pools[i].a || !pools[i].b || strcmp(role, decode ? "prefill" : "decode") == 0)
            continue;
        double busy_a = fs_compare_number(pools[i].a, "busy"), busy_b = fs_compare_number(pools[i].b, "busy");
        if (!(busy_a > 0) || !(busy_b > 0))
            continue;
        double a = uncovered(pools[i].a) / busy_a, b = uncovered(pools[i].b) / busy_b;
        const double noticeable = 0.01;
        double batch_a = fs_compare_number(pools[i].a, "mean_batch"),
               batch_b = fs_compare_number(pools[i].b, "mean_batch");
        fs_out_puts(out, "; pool ");
        fs_print_name(out, fs_compare_name(&pools[i], "name"));
        if (fabs(b - a) > noticeable) {
            fs_out_printf(out, ": communication beside kernels takes %.1f %% -> %.1f %% of an iteration", 100 * a,
                          100 * b);
            if (tier[0]) {
                fs_out_puts(out, ", tier ");
                fs_print_name(out, tier);
            }
        } else {
            fs_out_puts(out, ": its kernels");
        }
        if (fabs(batch_b - batch_a) > noticeable * batch_a)
            fs_out_printf(out, ", in batches of %.1f -> %.1f sequences", batch_a, batch_b);
        return;
    }
}

static double mean(const fs_json *serving, const char *key)
{
    return fs_compare_number(fs_json_get(serving, key), "mean");
}

static void print_reason(const fs_json *a, const fs_json *b, const fs_pair *pools, uint32_t n, const char *tier,
                         fs_style style, fs_out *out)
{
    enum { QUEUE, PROMPT, TOKENS, PARTS };
    static const char *const names[PARTS] = {"queueing", "prompts (first token less queueing)",
                                             "tokens after the first"};
    const fs_pair parts[PARTS] = {
        {.a_s = mean(a, "queue_s"), .b_s = mean(b, "queue_s")},
        {.a_s = mean(a, "ttft_s") - mean(a, "queue_s"), .b_s = mean(b, "ttft_s") - mean(b, "queue_s")},
        {.a_s = mean(a, "e2e_s") - mean(a, "ttft_s"), .b_s = mean(b, "e2e_s") - mean(b, "ttft_s")}};
    double change_s = mean(b, "e2e_s") - mean(a, "e2e_s");
    char text[FS_COMPARE_TEXT], whole[FS_COMPARE_TEXT];
    const fs_pair *cause = fs_compare_cause(parts, PARTS, change_s);
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Reason");
    fs_out_puts(out, "  ");
    if (!cause || fabs(change_s) < 1e-4 * mean(a, "e2e_s")) {
        fs_out_puts(out, "none to look for: requests take as long\n");
        return;
    }
    fs_out_printf(out, "%s, %s of %s", names[cause - parts], fs_compare_seconds(cause->b_s - cause->a_s, text),
                  fs_compare_seconds(change_s, whole));
    if (cause - parts != QUEUE)
        print_pool_reason(pools, n, cause - parts == TOKENS, tier, out);
    fs_out_puts(out, "\n");
}

fs_status fs_compare_serving(fs_compared a, fs_compared b, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const keys[] = {"name", "role"};
    const fs_json *in_a = fs_json_get(fs_json_root(a.doc), "serving"),
                  *in_b = fs_json_get(fs_json_root(b.doc), "serving");
    const char *tier = "";
    uint32_t n = 0;
    fs_pair *pools = fs_alloc(FS_COMPARE_ROWS, sizeof *pools);
    fs_status status =
        pools ? fs_compare_match(fs_json_get(in_a, "pools"), fs_json_get(in_b, "pools"), keys, 2, pools, &n, err)
              : fs_fail_nomem(err);
    if (status == FS_OK)
        status = print_latencies(in_a, in_b, style, out, err);
    if (status == FS_OK)
        status = print_pools(pools, n, style, out, err);
    if (status == FS_OK)
        status = fs_compare_tiers(a, b, mean(in_b, "e2e_s") - mean(in_a, "e2e_s"), &tier, style, out, err);
    if (status == FS_OK)
        print_reason(in_a, in_b, pools, n, tier, style, out);
    fs_free(pools);
    return status;
}
