/* report_text.c - the summary that a person reads first. One function a section, in reading order. */
#include "report/report.h"

#include "base/num.h"

#include <math.h>
#include <string.h>

enum { TEXT = 64, TOP_LINKS = 8, BAR = 30 }; /* bytes of a formatted number; links listed; columns of a full bar */

static void print_head(const fs_result *r, fs_style style, fs_out *out)
{
    const fs_topo *topo = r->topo;
    const fs_work *work = r->work;
    fs_print_bold(out, style, work->name);
    fs_out_puts(out, " on ");
    fs_print_bold(out, style, topo->name);
    fs_out_puts(out, "\n  ");
    fs_print_name(out, work->path);
    fs_out_puts(out, ", ");
    fs_print_name(out, topo->path);
    if (work->note[0]) {
        fs_out_puts(out, "\n  ");
        fs_print_name(out, work->note);
    }
    fs_out_printf(out, "\n  %u rank%s on %u GPUs; costs %s, network %s, lowering %s\n\n", work->n_ranks,
                  work->n_ranks == 1 ? "" : "s", topo->n_gpus, r->cost, r->network, r->lowering);
}

static void print_line(fs_out *out, const char *what, const char *value, const char *note)
{
    fs_out_printf(out, "  %-18s ", what);
    fs_print_name(out, value);
    fs_out_printf(out, "%s%s\n", note[0] ? "  " : "", note);
}

/* What to improve first: the largest part of the step and, where that is communication, the link behind it. */
static void print_bottleneck(const fs_result *r, fs_out *out)
{
    const fs_breakdown_row *top = NULL;
    for (uint32_t i = 0; i < r->n_breakdown; i++)
        if (top == NULL || r->breakdown[i].seconds > top->seconds)
            top = &r->breakdown[i];
    if (top == NULL || r->step_time_s <= 0)
        return;
    char value[2 * TEXT], name[FS_LINK_NAME_SIZE], note[5 * TEXT] = "";
    snprintf(value, sizeof value, "%s, %.1f %% of the step", top->name, 100 * top->seconds / r->step_time_s);
    if (strncmp(top->name, "exposed", 7) == 0 && r->n_links > 0)
        snprintf(note, sizeof note, "(busiest link %s)", fs_link_name(r->topo, r->links[0].link, name, sizeof name));
    print_line(out, "Bottleneck", value, note);
}

static void print_throughput(const fs_result *r, fs_out *out)
{
    char value[TEXT], note[2 * TEXT] = "";
    if (r->tflops_per_gpu > 0) {
        fs_snprintf(value, sizeof value, "%.1f TFLOP/s per GPU", r->tflops_per_gpu);
        if (r->mfu > 0)
            fs_snprintf(note, sizeof note, "(MFU %.1f %%, HFU %.1f %%)", 100 * r->mfu, 100 * r->hfu);
        print_line(out, "Arithmetic", value, note);
    }
    if (r->tokens_per_s > 0) {
        fs_snprintf(value, sizeof value, "%.4g tokens/s", r->tokens_per_s);
        fs_snprintf(note, sizeof note, "(%.4g per GPU)", r->tokens_per_s_per_gpu);
        print_line(out, "Throughput", value, note);
    }
}

static void print_memory(const fs_result *r, fs_out *out)
{
    fs_memory m = r->work->totals.memory;
    double total = m.weights + m.gradients + m.optimizer + m.activations;
    if (total <= 0 || r->gpu_mem_bytes <= 0)
        return;
    char need[TEXT], have[TEXT], value[3 * TEXT];
    snprintf(value, sizeof value, "%s of %s per GPU", fs_format_bytes(total, need, sizeof need),
             fs_format_bytes(r->gpu_mem_bytes, have, sizeof have));
    print_line(out, "Memory", value, total <= r->gpu_mem_bytes ? "(fits)" : "(DOES NOT FIT)");
}

static fs_status print_breakdown(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
{
    fs_table *table = fs_table_new("lrrl");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_print_bold(out, style, "Where the time went");
    fs_out_puts(out, " (mean over ranks)\n");
    for (uint32_t i = 0; i < r->n_breakdown; i++) {
        const fs_breakdown_row *row = &r->breakdown[i];
        if (row->max_s <= 0)
            continue;
        char text[TEXT];
        double share = r->step_time_s > 0 ? row->seconds / r->step_time_s : 0;
        fs_table_cell(table, "%s", row->name);
        fs_table_cell(table, "%s", fs_format_seconds(row->seconds, text, sizeof text));
        fs_table_cell(table, "%.1f %%", 100 * share);
        char bar[BAR + 1];
        int length = (int)lround(share * BAR);
        for (int k = 0; k < BAR; k++)
            bar[k] = '#';
        bar[length < 0 ? 0 : length > BAR ? BAR : length] = '\0';
        fs_table_cell(table, "%s", bar);
    }
    fs_status status = fs_table_print(table, false, style, out, err);
    fs_table_free(table);
    return status;
}

static fs_status print_comms(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
{
    enum { ROWS_MAX = 12 };
    if (r->n_comms == 0)
        return FS_OK;
    fs_table *table = fs_table_new("llrrrllrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Communication");
    fs_out_puts(out, " (times from the last arrival to the end)\n");
    static const char *const heading[] = {"group", "operation", "size", "ranks", "count",
                                          "algo",  "protocol",  "time", "algbw", "busbw"};
    for (size_t i = 0; i < sizeof heading / sizeof *heading; i++)
        fs_table_cell(table, "%s", heading[i]);
    for (uint32_t i = 0; i < r->n_comms && i < ROWS_MAX; i++) {
        const fs_comm_row *row = &r->comms[i];
        char size[TEXT], time[TEXT], algbw[TEXT], busbw[TEXT], count[TEXT];
        fs_table_cell(table, "%s", row->family);
        fs_table_cell(table, "%s", row->what);
        fs_table_cell(table, "%s", fs_format_bytes(row->size_bytes, size, sizeof size));
        fs_table_cell(table, "%u", row->ranks);
        fs_table_cell(table, "%s", fs_format_count(row->count, count, sizeof count));
        if (row->channels > 1)
            fs_table_cell(table, "%s x%u", fs_algo_names[row->algo], row->channels);
        else
            fs_table_cell(table, "%s", fs_algo_names[row->algo]);
        fs_table_cell(table, "%s", fs_proto_names[row->proto]);
        fs_table_cell(table, "%s", fs_format_seconds(row->mean_s, time, sizeof time));
        fs_table_cell(table, "%s", fs_format_bps(row->algbw_Bps, algbw, sizeof algbw));
        fs_table_cell(table, "%s", fs_format_bps(row->busbw_Bps, busbw, sizeof busbw));
    }
    fs_status status = fs_table_print(table, true, style, out, err);
    if (status == FS_OK && r->n_comms > ROWS_MAX)
        fs_out_printf(out, "  ... and %u more kinds (--csv DIR writes them all)\n", r->n_comms - ROWS_MAX);
    fs_table_free(table);
    return status;
}

static void tier_cells(const fs_result *r, const fs_tier_row *row, fs_table *table)
{
    char bytes[TEXT], capacity[TEXT], name[FS_LINK_NAME_SIZE];
    fs_table_cell(table, "%s", row->name);
    fs_table_cell(table, "%u", row->links);
    fs_table_cell(table, "%s", fs_format_bps(row->capacity_Bps, capacity, sizeof capacity));
    fs_table_cell(table, "%s", fs_format_bytes(row->bytes, bytes, sizeof bytes));
    fs_table_cell(table, "%.1f %%", 100 * row->mean_utilization);
    fs_table_cell(table, "%.1f %%", 100 * row->peak_utilization);
    fs_table_cell(table, "%s",
                  row->busiest_link == FS_NONE ? "-" : fs_link_name(r->topo, row->busiest_link, name, sizeof name));
}

static fs_status print_tiers(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
{
    fs_table *table = fs_table_new("lrrrrrl");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Links by tier");
    fs_out_puts(out, " (capacity and bytes of all links together, one link = one direction)\n");
    static const char *const heading[] = {"tier", "links", "capacity", "bytes", "mean", "peak", "busiest link"};
    for (size_t i = 0; i < sizeof heading / sizeof *heading; i++)
        fs_table_cell(table, "%s", heading[i]);
    for (uint32_t i = 0; i < r->n_tiers; i++)
        tier_cells(r, &r->tiers[i], table);
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

/* Links that carried the same, as all links of a symmetric collective do, are one row. */
static bool alike(const fs_result *r, const fs_link_row *a, const fs_link_row *b)
{
    const fs_topo *topo = r->topo;
    const double slack = 1e-9; /* relative: what different orders of summation may differ by */
    return topo->link_types[fs_topo_link(topo, a->link).type].tier ==
               topo->link_types[fs_topo_link(topo, b->link).type].tier &&
           fabs(a->bytes - b->bytes) <= slack * a->bytes &&
           fabs(a->mean_utilization - b->mean_utilization) <= slack * a->mean_utilization &&
           fabs(a->peak_utilization - b->peak_utilization) <= slack * a->peak_utilization &&
           fabs(a->busy_s - b->busy_s) <= slack * a->busy_s;
}

static void link_cells(const fs_result *r, const fs_link_row *row, uint32_t others, fs_table *table)
{
    char bytes[TEXT], busy[TEXT], name[FS_LINK_NAME_SIZE];
    const fs_link_type *type = &r->topo->link_types[fs_topo_link(r->topo, row->link).type];
    fs_table_cell(table, "%s", fs_link_name(r->topo, row->link, name, sizeof name));
    if (others)
        fs_table_cell(table, "and %u alike", others);
    else
        fs_table_cell(table, " ");
    fs_table_cell(table, "%s", r->topo->tiers[type->tier].name);
    fs_table_cell(table, "%s", fs_format_bytes(row->bytes, bytes, sizeof bytes));
    fs_table_cell(table, "%.1f %%", 100 * row->mean_utilization);
    fs_table_cell(table, "%.1f %%", 100 * row->peak_utilization);
    fs_table_cell(table, "%s", fs_format_seconds(row->busy_s, busy, sizeof busy));
}

static fs_status print_links(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
{
    if (r->n_links == 0)
        return FS_OK;
    fs_table *table = fs_table_new("lllrrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Busiest links");
    fs_out_puts(out, "\n");
    static const char *const heading[] = {"link", " ", "tier", "bytes", "mean", "peak", "busy"};
    for (size_t i = 0; i < sizeof heading / sizeof *heading; i++)
        fs_table_cell(table, "%s", heading[i]);
    uint32_t listed = 0, next = 0;
    for (uint32_t i = 0; i < r->n_links && listed < TOP_LINKS; i = next, listed++) {
        for (next = i + 1; next < r->n_links && alike(r, &r->links[i], &r->links[next]);)
            next++;
        link_cells(r, &r->links[i], next - i - 1, table);
    }
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    if (next < r->n_links)
        fs_out_printf(out, "  ... and %u less loaded links (--csv DIR writes them all)\n", r->n_links - next);
    return status;
}

static void print_foot(const fs_result *r, fs_out *out)
{
    char ops[TEXT], events[TEXT], wall[TEXT], memory[TEXT];
    fs_out_printf(out, "\n%s ops in %s events; simulated in %s of wall time, peak memory %s\n",
                  fs_format_count(r->ops, ops, sizeof ops), fs_format_count(r->counters.events, events, sizeof events),
                  fs_format_seconds(r->wall_s, wall, sizeof wall),
                  fs_format_bytes((double)r->peak_memory_bytes, memory, sizeof memory));
}

fs_status fs_report_text(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
{
    char step[TEXT];
    print_head(r, style, out);
    print_line(out, "Step time", fs_format_seconds(r->step_time_s, step, sizeof step), "");
    print_bottleneck(r, out);
    print_throughput(r, out);
    print_memory(r, out);
    fs_out_puts(out, "\n");
    fs_status status = print_breakdown(r, style, out, err);
    if (status == FS_OK)
        status = print_comms(r, style, out, err);
    if (status == FS_OK)
        status = print_tiers(r, style, out, err);
    if (status == FS_OK)
        status = print_links(r, style, out, err);
    if (status == FS_OK)
        print_foot(r, out);
    return status;
}
