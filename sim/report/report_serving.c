/* report_serving.c - what an inference run says: the summary for a person, and its part of the JSON. */
#include "report/report_in.h"

#include "base/num.h"

#include <stdio.h>

#define GB 1e9 /* as the memory of GPUs is sold */

enum { TEXT = 64 };

/* ---- text: the head ------------------------------------------------------------------------------------------------ */

static void print_fleet(const fs_serving_result *v, fs_out *out)
{
    char value[TEXT], note[2 * TEXT], copies[TEXT], streams[TEXT], simulated[TEXT];
    if (v->copies == 1)
        return;
    fs_snprintf(value, sizeof value, "%s copies", fs_format_count(v->copies, copies, sizeof copies));
    fs_snprintf(note, sizeof note, "(%s stream%s of requests, the same for %.4g each; %s simulated, %s)",
                fs_format_count(v->streams, streams, sizeof streams), v->streams > 1 ? "s" : "",
                (double)v->copies / v->streams, fs_format_count(v->copies_simulated, simulated, sizeof simulated),
                v->copies_simulated < v->copies ? "which is exact" : "all of them");
    fs_report_line(out, "Fleet", value, note);
}

static void print_requests(const fs_serving_result *v, fs_out *out)
{
    char value[TEXT], note[3 * TEXT], count[TEXT];
    fs_snprintf(value, sizeof value, "%s", fs_format_count(v->n_requests, count, sizeof count));
    if (v->concurrency > 0)
        fs_snprintf(note, sizeof note, "(%u at a time, %.0f tokens in, %.0f out on average)", v->concurrency,
                    v->mean_input, v->mean_output);
    else
        fs_snprintf(note, sizeof note, "(%.4g /s offered, %.4g /s done, %.0f tokens in, %.0f out on average)",
                    v->offered_per_s, v->requests_per_s, v->mean_input, v->mean_output);
    fs_report_line(out, "Requests", value, note);
    print_fleet(v, out);
    if (v->n_rejected == 0)
        return;
    fs_snprintf(value, sizeof value, "%s", fs_format_count(v->n_rejected, count, sizeof count));
    fs_report_line(out, "Rejected", value,
                   "(longer than the model's context, or their KV cache never fits on a GPU of theirs)");
}

/* Three digits at least, whole where there are more. */
static const char *rate(double value, char text[TEXT])
{
    if (value >= 1000 && value < 1e15)
        return fs_format_count((uint64_t)(value + 0.5), text, TEXT);
    fs_snprintf(text, TEXT, "%.3g", value);
    return text;
}

static void print_rates(const fs_result *r, fs_out *out)
{
    const fs_serving_result *v = r->serving;
    char value[2 * TEXT], note[6 * TEXT], beside[3 * TEXT] = "", a[TEXT], b[TEXT], c[TEXT], d[TEXT], e[TEXT];
    fs_snprintf(value, sizeof value, "%s tokens/s out", rate(v->output_tokens_per_s, a));
    if (v->lpus > 0)
        fs_snprintf(beside, sizeof beside, " of %s, beside %s LPUs", fs_format_count(v->gpus, d, sizeof d),
                    fs_format_count(v->lpus, e, sizeof e));
    fs_snprintf(note, sizeof note, "(%s per GPU%s, %s per user; %s tokens/s in)",
                rate(v->output_tokens_per_s_per_gpu, a), beside, rate(v->output_tokens_per_s_per_user, b),
                rate(v->input_tokens_per_s, c));
    fs_report_line(out, "Throughput", value, note);
    fs_report_power(r, out);
}

/* A limit that a request alone does not keep nobody keeps. */
static void print_impossible(const char *what, double limit_s, double alone_s, const char *when, fs_out *out)
{
    char limit[TEXT], alone[TEXT];
    if (limit_s > 0 && alone_s > limit_s)
        fs_out_printf(out, "  ! the SLO cannot be met: %s within %s, but %s takes %s with nobody else there\n", what,
                      fs_format_seconds(limit_s, limit, sizeof limit), when,
                      fs_format_seconds(alone_s, alone, sizeof alone));
}

static void print_slo(const fs_serving_result *v, fs_out *out)
{
    char value[TEXT], note[6 * TEXT], ttft[TEXT], tpot[TEXT], count[TEXT];
    if (v->slo_ttft_s <= 0 && v->slo_tpot_s <= 0)
        return;
    fs_snprintf(value, sizeof value, "%.4g requests/s", v->goodput_per_s);
    fs_snprintf(
        note, sizeof note, "(%.1f %% keep%s%s%s%s; %s tokens/s)", 100 * v->slo_met, v->slo_ttft_s > 0 ? " TTFT " : "",
        v->slo_ttft_s > 0 ? fs_format_seconds(v->slo_ttft_s, ttft, sizeof ttft) : "", v->slo_tpot_s > 0 ? " TPOT " : "",
        v->slo_tpot_s > 0 ? fs_format_seconds(v->slo_tpot_s, tpot, sizeof tpot) : "",
        rate(v->goodput_tokens_per_s, count));
    fs_report_line(out, "Goodput", value, note);
    print_impossible("the first token", v->slo_ttft_s, v->alone_ttft_s, "the shortest prompt", out);
    print_impossible("each token", v->slo_tpot_s, v->alone_tpot_s, "a token", out);
}

static void print_warnings(const fs_serving_result *v, fs_out *out)
{
    char count[TEXT];
    if (v->unstable)
        fs_out_printf(
            out,
            "  ! UNSTABLE: the queue grows as long as requests come: %.4g, %.4g, %.4g, %.4g wait in the "
            "quarters of that time.\n    %.4g /s come, %.4g /s are done: lower the rate, or add replicas. More "
            "time would make latencies longer still.\n",
            v->queued[0], v->queued[1], v->queued[2], v->queued[3], v->offered_per_s, v->requests_per_s);
    if (v->preemptions > 0)
        fs_out_printf(out, "  ! %s preemptions: sequences lost the blocks of their KV cache\n",
                      fs_format_count(v->preemptions, count, sizeof count));
}

/* ---- text: tables ------------------------------------------------------------------------------------------------ */

static fs_status print_latencies(const fs_serving_result *v, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"", "mean", "p50", "p90", "p99", "max"};
    const struct {
        const char *name;
        const fs_summary *of;
    } rows[] = {{"first token (TTFT)", &v->ttft},
                {"queueing in it", &v->queue},
                {"token after token (TPOT)", &v->tpot},
                {"between two steps (ITL)", &v->itl},
                {"end to end", &v->e2e}};
    fs_table *table = fs_table_new("lrrrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_print_bold(out, style, "Latency");
    fs_out_puts(out, "\n");
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const fs_summary *s = rows[i].of;
        const double values[] = {s->mean, s->p50, s->p90, s->p99, s->greatest};
        char text[TEXT];
        fs_table_cell(table, "%s", rows[i].name);
        for (size_t k = 0; k < sizeof values / sizeof *values; k++)
            fs_table_cell(table, "%s", s->count > 0 ? fs_format_seconds(values[k], text, sizeof text) : "-");
    }
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

static void pool_cells(const fs_pool_row *p, fs_table *table)
{
    char count[TEXT], bytes[TEXT];
    fs_table_cell(table, "%s", p->name);
    fs_table_cell(table, "%s", p->role);
    fs_table_cell(table, "%u x %u%s", p->replicas, p->gpus, p->lpu ? " LPUs" : "");
    fs_table_cell(table, "%s", fs_format_count(p->iterations, count, sizeof count));
    fs_table_cell(table, "%.1f", p->mean_batch);
    fs_table_cell(table, "%.1f %%", 100 * p->busy);
    fs_table_cell(table, "%.1f %%", 100 * p->compute);
    if (p->weight_bytes > 0)
        fs_table_cell(table, "%.1f + %.1f of %.1f GB", p->weight_bytes / GB, p->kv_bytes / GB, p->gpu_bytes / GB);
    else
        fs_table_cell(table, "-");
    fs_table_cell(table, "%.1f %%", 100 * p->kv_mean);
    fs_table_cell(table, "%.1f %%", 100 * p->kv_peak);
    if (p->kv_hits < 0)
        fs_table_cell(table, "-");
    else
        fs_table_cell(table, "%.1f %%", 100 * p->kv_hits);
    fs_table_cell(table, "%s", p->kv_sent_bytes > 0 ? fs_format_bytes(p->kv_sent_bytes, bytes, sizeof bytes) : "-");
}

static fs_status print_pools(const fs_serving_result *v, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"pool",    "role",         "GPUs",    "iterations", "batch", "busy",
                                          "kernels", "weights + KV", "KV used", "peak",       "hits",  "KV sent"};
    fs_table *table = fs_table_new("llrrrrrrrrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Pools");
    fs_out_puts(out, " (batch: sequences that decode in an iteration; weights + KV: on a GPU)\n");
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t i = 0; i < v->n_pools; i++)
        pool_cells(&v->pools[i], table);
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

static void print_foot(const fs_result *r, fs_out *out)
{
    char events[TEXT], time[TEXT], wall[TEXT], memory[TEXT];
    fs_out_printf(out, "\n%s in %s events; simulated in %s of wall time, peak memory %s\n",
                  fs_format_seconds(r->step_time_s, time, sizeof time),
                  fs_format_count(r->counters.events, events, sizeof events),
                  fs_format_seconds(r->wall_s, wall, sizeof wall),
                  fs_format_bytes((double)r->peak_memory_bytes, memory, sizeof memory));
}

fs_status fs_report_serving_text(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
{
    const fs_serving_result *v = r->serving;
    fs_report_head(r, style, out);
    print_requests(v, out);
    print_rates(r, out);
    print_slo(v, out);
    fs_report_similar(r, out);
    print_warnings(v, out);
    fs_out_puts(out, "\n");
    fs_status status = print_latencies(v, style, out, err);
    if (status == FS_OK)
        status = print_pools(v, style, out, err);
    if (status == FS_OK)
        status = fs_report_afd_text(v, style, out, err);
    if (status == FS_OK)
        status = fs_report_tiers(r, style, out, err);
    if (status == FS_OK)
        status = fs_report_links(r, style, out, err);
    if (status == FS_OK)
        print_foot(r, out);
    return status;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

/* As many as a picture shows. */
static double four_digits(double value)
{
    char text[TEXT];
    double read = 0;
    fs_snprintf(text, sizeof text, "%.4g", value);
    return fs_parse_number(text, &read) == 0 ? read : value;
}

static void write_summary(fs_jsonw *w, const char *key, const fs_summary *s)
{
    if (!(s->count > 0)) {
        fs_jsonw_null(w, key);
        return;
    }
    fs_jsonw_object_inline(w, key);
    fs_jsonw_number(w, "count", s->count);
    fs_jsonw_number(w, "mean", s->mean);
    fs_jsonw_number(w, "p50", s->p50);
    fs_jsonw_number(w, "p90", s->p90);
    fs_jsonw_number(w, "p99", s->p99);
    fs_jsonw_number(w, "min", s->least);
    fs_jsonw_number(w, "max", s->greatest);
    fs_jsonw_array_inline(w, "quantiles");
    for (int i = 0; i < FS_QUANTILES; i++)
        fs_jsonw_number(w, NULL, four_digits(s->quantiles[i]));
    fs_jsonw_end(w);
    fs_jsonw_end(w);
}

static void write_slo(fs_jsonw *w, const fs_serving_result *v)
{
    fs_jsonw_number(w, "alone_ttft_s", v->alone_ttft_s);
    fs_jsonw_number(w, "alone_tpot_s", v->alone_tpot_s);
    if (v->slo_ttft_s <= 0 && v->slo_tpot_s <= 0) {
        fs_jsonw_null(w, "slo");
        return;
    }
    bool possible = (v->slo_ttft_s <= 0 || v->alone_ttft_s <= v->slo_ttft_s) &&
                    (v->slo_tpot_s <= 0 || v->alone_tpot_s <= v->slo_tpot_s);
    fs_jsonw_object_inline(w, "slo");
    fs_jsonw_number(w, "ttft_s", v->slo_ttft_s);
    fs_jsonw_number(w, "tpot_s", v->slo_tpot_s);
    fs_jsonw_bool(w, "possible", possible);
    fs_jsonw_number(w, "met", v->slo_met);
    fs_jsonw_number(w, "goodput_per_s", v->goodput_per_s);
    fs_jsonw_number(w, "goodput_tokens_per_s", v->goodput_tokens_per_s);
    fs_jsonw_end(w);
}

static void write_pool(fs_jsonw *w, const fs_pool_row *p)
{
    fs_jsonw_object_inline(w, NULL);
    fs_jsonw_string(w, "name", p->name);
    fs_jsonw_string(w, "role", p->role);
    fs_jsonw_string(w, "part", p->part);
    fs_jsonw_bool(w, "lpu", p->lpu);
    fs_jsonw_uint(w, "replicas", p->replicas);
    fs_jsonw_uint(w, "gpus", p->gpus);
    fs_jsonw_uint(w, "iterations", p->iterations);
    fs_jsonw_number(w, "mean_batch", p->mean_batch);
    fs_jsonw_number(w, "busy", p->busy);
    fs_jsonw_number(w, "compute", p->compute);
    fs_jsonw_number(w, "prompt_tokens_per_s", p->prompt_tokens_per_s);
    fs_jsonw_uint(w, "preemptions", p->preemptions);
    fs_jsonw_uint(w, "kv_blocks", p->kv_blocks);
    fs_jsonw_uint(w, "kv_block_tokens", p->kv_block_tokens);
    fs_jsonw_number(w, "kv_mean", p->kv_mean);
    fs_jsonw_number(w, "kv_peak", p->kv_peak);
    if (p->kv_hits < 0)
        fs_jsonw_null(w, "kv_hits");
    else
        fs_jsonw_number(w, "kv_hits", p->kv_hits);
    fs_jsonw_number(w, "kv_sent_bytes", p->kv_sent_bytes);
    fs_jsonw_number(w, "weight_bytes", p->weight_bytes);
    fs_jsonw_number(w, "kv_bytes", p->kv_bytes);
    fs_jsonw_number(w, "gpu_bytes", p->gpu_bytes);
    fs_report_afd_json(&p->afd, w);
    fs_jsonw_end(w);
}

void fs_report_serving_json(const fs_serving_result *v, fs_jsonw *w)
{
    fs_jsonw_object(w, "serving");
    fs_jsonw_uint(w, "requests", v->n_requests);
    fs_jsonw_uint(w, "rejected", v->n_rejected);
    fs_jsonw_uint(w, "gpus", v->gpus);
    fs_jsonw_uint(w, "lpus", v->lpus);
    fs_jsonw_uint(w, "copies", v->copies);
    fs_jsonw_uint(w, "streams", v->streams);
    fs_jsonw_uint(w, "copies_simulated", v->copies_simulated);
    if (v->concurrency > 0)
        fs_jsonw_null(w, "offered_per_s");
    else
        fs_jsonw_number(w, "offered_per_s", v->offered_per_s);
    fs_jsonw_number(w, "requests_per_s", v->requests_per_s);
    fs_jsonw_number(w, "input_tokens_per_s", v->input_tokens_per_s);
    fs_jsonw_number(w, "output_tokens_per_s", v->output_tokens_per_s);
    fs_jsonw_number(w, "output_tokens_per_s_per_gpu", v->output_tokens_per_s_per_gpu);
    fs_jsonw_number(w, "output_tokens_per_s_per_user", v->output_tokens_per_s_per_user);
    write_summary(w, "ttft_s", &v->ttft);
    write_summary(w, "queue_s", &v->queue);
    write_summary(w, "tpot_s", &v->tpot);
    write_summary(w, "itl_s", &v->itl);
    write_summary(w, "e2e_s", &v->e2e);
    write_slo(w, v);
    fs_jsonw_bool(w, "unstable", v->unstable);
    fs_jsonw_array_inline(w, "queued");
    for (int q = 0; q < 4; q++)
        fs_jsonw_number(w, NULL, v->queued[q]);
    fs_jsonw_end(w);
    fs_jsonw_uint(w, "preemptions", v->preemptions);
    fs_jsonw_array(w, "pools");
    for (uint32_t i = 0; i < v->n_pools; i++)
        write_pool(w, &v->pools[i]);
    fs_jsonw_end(w);
    fs_jsonw_end(w);
}
