/* report_text.c - the summary that a person reads first. One function a section, in reading order. */
#include "report/report_in.h"
#include "report/similar.h"

#include "base/num.h"

#include <math.h>
#include <string.h>

#define GB 1e9 /* as the memory of GPUs is sold */

enum { TEXT = 64, TOP_LINKS = 8, BAR = 30 }; /* bytes of a formatted number; links listed; columns of a full bar */

/* As on the command line, the first few. */
static void print_faults(const fs_topo *topo, fs_out *out)
{
    enum { FAULTS_MAX = 4 };
    char text[256];
    for (uint32_t i = 0; i < topo->n_faults && i < FAULTS_MAX; i++) {
        fs_out_puts(out, i == 0 ? "  faults: " : ", ");
        fs_print_name(out, fs_fault_text(&topo->faults[i], text, sizeof text));
    }
    if (topo->n_faults > FAULTS_MAX)
        fs_out_printf(out, " and %u more", topo->n_faults - FAULTS_MAX);
    if (topo->n_faults > 0)
        fs_out_puts(out, "\n");
}

void fs_report_head(const fs_result *r, fs_style style, fs_out *out)
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
    char ranks[TEXT], gpus[TEXT];
    fs_out_printf(out, "\n  %s rank%s on %s GPUs; costs %s, network %s, lowering %s\n",
                  fs_format_count(work->n_ranks, ranks, sizeof ranks), work->n_ranks == 1 ? "" : "s",
                  fs_format_count(topo->n_gpus, gpus, sizeof gpus), r->cost, r->network, r->lowering);
    print_faults(topo, out);
    fs_out_puts(out, "\n");
}

void fs_report_line(fs_out *out, const char *what, const char *value, const char *note)
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
    fs_report_line(out, "Bottleneck", value, note);
}

/* Tokens per second: "556.1", "218,400", "21.84 M". */
static const char *tokens(double rate, char text[TEXT / 2])
{
    if (rate < 999.5)
        fs_snprintf(text, TEXT / 2, "%.4g", rate);
    else if (rate < 999999.5)
        fs_format_count((uint64_t)(rate + 0.5), text, TEXT / 2);
    else
        fs_snprintf(text, TEXT / 2, "%.4g M", rate / 1e6);
    return text;
}

static void print_throughput(const fs_result *r, fs_out *out)
{
    char rate[TEXT / 2], value[TEXT], note[2 * TEXT] = "";
    if (r->tflops_per_gpu > 0) {
        fs_snprintf(value, sizeof value, "%.1f TFLOP/s per GPU", r->tflops_per_gpu);
        if (r->mfu > 0)
            fs_snprintf(note, sizeof note, "(MFU %.1f %%, HFU %.1f %%)", 100 * r->mfu, 100 * r->hfu);
        fs_report_line(out, "Arithmetic", value, note);
    }
    if (r->tokens_per_s > 0) {
        snprintf(value, sizeof value, "%s tokens/s", tokens(r->tokens_per_s, rate));
        snprintf(note, sizeof note, "(%s per GPU)", tokens(r->tokens_per_s_per_gpu, rate));
        fs_report_line(out, "Throughput", value, note);
    }
    fs_report_power(r, out);
}

const char *fs_format_watts(double value, char *text, size_t size)
{
    static const char *const units[] = {"W", "kW", "MW", "GW"};
    size_t unit = 0;
    for (; unit + 1 < sizeof units / sizeof *units && value >= 999.95; unit++)
        value *= 1e-3;
    fs_snprintf(text, size, "%.4g %s", value, units[unit]);
    return text;
}

void fs_report_power(const fs_result *r, fs_out *out)
{
    const fs_power *p = &r->power;
    char value[TEXT], note[8 * TEXT], gpus[TEXT], hosts[TEXT], nics[TEXT], switches[TEXT], count[TEXT];
    char joules[TEXT] = "", lpus[TEXT] = "", watts[TEXT];
    if (!(p->facility_W > 0))
        return;
    bool kilo = fs_result_joules(r) >= 999.5;
    if (r->tokens_per_s > 0)
        fs_snprintf(joules, sizeof joules, "; %s tokens/s per MW, %.3g %s a token",
                    fs_format_count((uint64_t)(fs_result_per_mw(r) + 0.5), count, sizeof count),
                    fs_result_joules(r) * (kilo ? 1e-3 : 1), kilo ? "kJ" : "J");
    if (p->lpus_rated_W > 0)
        fs_snprintf(lpus, sizeof lpus, ", LPUs %s", fs_format_watts(p->lpus_W, watts, sizeof watts));
    fs_snprintf(note, sizeof note, "(GPUs %s%s, hosts %s, NICs %s, switches %s, PUE %.4g%s)",
                fs_format_watts(p->gpus_W, gpus, sizeof gpus), lpus, fs_format_watts(p->hosts_W, hosts, sizeof hosts),
                fs_format_watts(p->nics_W, nics, sizeof nics),
                fs_format_watts(p->switches_W, switches, sizeof switches), p->pue, joules);
    fs_report_line(out, "Power", fs_format_watts(p->facility_W, value, sizeof value), note);
}

static void print_memory(const fs_result *r, fs_out *out)
{
    double total = fs_result_memory(r);
    if (total <= 0 || r->gpu_mem_bytes <= 0)
        return;
    char value[TEXT], note[TEXT] = "(fits)";
    fs_snprintf(value, sizeof value, "%.1f of %.1f GB per GPU", total / GB, r->gpu_mem_bytes / GB);
    if (total > r->gpu_mem_bytes)
        fs_snprintf(note, sizeof note, "(DOES NOT FIT: %.1f GB too much)", (total - r->gpu_mem_bytes) / GB);
    fs_report_line(out, "Memory", value, note);
}

/* What to expect of all these figures. */
void fs_report_similar(const fs_result *r, fs_out *out)
{
    char name[FS_SIMILAR_NAME], value[TEXT], note[FS_SIMILAR_NAME + 4];
    fs_similar similar;
    fs_similar_name(r, name);
    if (!fs_similar_find(name, &similar))
        return;
    fs_snprintf(value, sizeof value, "mean error %.1f %%, n = %u", 100 * similar.mean, similar.cases);
    snprintf(note, sizeof note, "(%s)", similar.name);
    fs_report_line(out, "Similar measured", value, note);
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
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    bool forwarded = false;
    for (uint32_t i = 0; i < r->n_comms && i < ROWS_MAX; i++) {
        const fs_comm_row *row = &r->comms[i];
        forwarded |= row->algo == FS_ALGO_FORWARDED;
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
    if (status == FS_OK && forwarded)
        fs_out_puts(out,
                    "  forwarded: a token's copies count each, but share their way: rates may exceed those of links\n");
    fs_table_free(table);
    return status;
}

static void tier_cells(const fs_result *r, const fs_tier_row *row, fs_table *table)
{
    char links[TEXT], bytes[TEXT], capacity[TEXT], name[FS_LINK_NAME_SIZE];
    fs_table_cell(table, "%s", row->name);
    fs_table_cell(table, "%s", fs_format_count(row->links, links, sizeof links));
    fs_table_cell(table, "%s", fs_format_bps(row->capacity_Bps, capacity, sizeof capacity));
    fs_table_cell(table, "%s", fs_format_bytes(row->bytes, bytes, sizeof bytes));
    fs_table_cell(table, "%.1f %%", 100 * row->mean_utilization);
    fs_table_cell(table, "%.1f %%", 100 * row->peak_utilization);
    fs_table_cell(table, "%s",
                  row->busiest_link == FS_NONE ? "-" : fs_link_name(r->topo, row->busiest_link, name, sizeof name));
}

fs_status fs_report_tiers(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
{
    fs_table *table = fs_table_new("lrrrrrl");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Links by tier");
    fs_out_puts(out, " (capacity and bytes of all links together, one link = one direction)\n");
    static const char *const heading[] = {"tier", "links", "capacity", "bytes", "mean", "peak", "busiest link"};
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t i = 0; i < r->n_tiers; i++)
        tier_cells(r, &r->tiers[i], table);
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

/* Links that carried the same to three digits, which is what a row shows, are one row. */
static bool alike(const fs_result *r, const fs_link_row *a, const fs_link_row *b)
{
    const fs_topo *topo = r->topo;
    const double slack = 1e-3;
    return topo->link_types[fs_topo_link(topo, a->link).type].tier ==
               topo->link_types[fs_topo_link(topo, b->link).type].tier &&
           fabs(a->bytes - b->bytes) <= slack * a->bytes &&
           fabs(a->mean_utilization - b->mean_utilization) <= slack * a->mean_utilization &&
           fabs(a->peak_utilization - b->peak_utilization) <= slack * a->peak_utilization &&
           fabs(a->busy_s - b->busy_s) <= slack * a->busy_s;
}

static void link_cells(const fs_result *r, const fs_link_row *row, uint64_t others, fs_table *table)
{
    char bytes[TEXT], busy[TEXT], count[TEXT], name[FS_LINK_NAME_SIZE];
    const fs_link_type *type = &r->topo->link_types[fs_topo_link(r->topo, row->link).type];
    fs_table_cell(table, "%s", fs_link_name(r->topo, row->link, name, sizeof name));
    if (others)
        fs_table_cell(table, "and %s alike", fs_format_count(others, count, sizeof count));
    else
        fs_table_cell(table, " ");
    fs_table_cell(table, "%s", r->topo->tiers[type->tier].name);
    fs_table_cell(table, "%s", fs_format_bytes(row->bytes, bytes, sizeof bytes));
    fs_table_cell(table, "%.1f %%", 100 * row->mean_utilization);
    fs_table_cell(table, "%.1f %%", 100 * row->peak_utilization);
    fs_table_cell(table, "%s", fs_format_seconds(row->busy_s, busy, sizeof busy));
}

fs_status fs_report_links(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
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
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    uint32_t listed = 0, next = 0;
    for (uint32_t i = 0; i < r->n_links && listed < TOP_LINKS; i = next, listed++) {
        uint64_t count = r->links[i].count;
        for (next = i + 1; next < r->n_links && alike(r, &r->links[i], &r->links[next]); next++)
            count += r->links[next].count;
        link_cells(r, &r->links[i], count - 1, table);
    }
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    uint64_t rest = 0;
    for (; next < r->n_links; next++)
        rest += r->links[next].count;
    char text[TEXT];
    if (rest > 0)
        fs_out_printf(out, "  ... and %s less loaded links (--csv DIR writes them all)\n",
                      fs_format_count(rest, text, sizeof text));
    return status;
}

/* How much of the system had to be simulated, where that is not all of it. */
static void print_classes(const fs_result *r, fs_out *out)
{
    char all[TEXT], classes[TEXT];
    if (r->rank_classes == r->ranks && r->link_classes == r->topo->n_links)
        return;
    const struct {
        const char *what;
        uint64_t all, classes;
    } rows[] = {{"ranks", r->ranks, r->rank_classes},
                {"links", r->topo->n_links, r->link_classes},
                {"transfers", r->transfers, r->transfer_classes}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fs_out_printf(out, "%s%s %s as %s", i == 0 ? "\nFolded, exactly: " : ", ",
                      fs_format_count(rows[i].all, all, sizeof all), rows[i].what,
                      fs_format_count(rows[i].classes, classes, sizeof classes));
    fs_out_puts(out, "\n");
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
    if (r->serving)
        return fs_report_serving_text(r, style, out, err);
    fs_report_head(r, style, out);
    fs_report_line(out, "Step time", fs_format_seconds(r->step_time_s, step, sizeof step), "");
    print_bottleneck(r, out);
    print_throughput(r, out);
    print_memory(r, out);
    fs_report_similar(r, out);
    fs_out_puts(out, "\n");
    fs_status status = print_breakdown(r, style, out, err);
    if (status == FS_OK)
        status = print_comms(r, style, out, err);
    if (status == FS_OK)
        status = fs_report_tiers(r, style, out, err);
    if (status == FS_OK)
        status = fs_report_links(r, style, out, err);
    if (status == FS_OK) {
        print_classes(r, out);
        print_foot(r, out);
    }
    return status;
}

/* ---- scaling ----------------------------------------------------------------------------------------------------- */

/* A cell for what may not be known. */
static void known_cell(fs_table *table, bool known, const char *text)
{
    fs_table_cell(table, "%s", known ? text : "-");
}

static const char *percent(double part, char text[TEXT])
{
    fs_snprintf(text, TEXT, "%.1f %%", 100 * part);
    return text;
}

static void scaling_cells(const fs_scaling_row *row, fs_table *table)
{
    char text[TEXT];
    fs_table_cell(table, "%s", fs_format_count(row->gpus, text, sizeof text));
    fs_table_cell(table, "%s", fs_format_seconds(row->step_time_s, text, sizeof text));
    known_cell(table, row->tokens_per_s > 0, tokens(row->tokens_per_s, text));
    fs_snprintf(text, sizeof text, "%.1f", row->tflops_per_gpu);
    known_cell(table, row->tflops_per_gpu > 0, text);
    known_cell(table, row->mfu > 0, percent(row->mfu, text));
    known_cell(table, row->efficiency > 0, percent(row->efficiency, text));
    fs_table_cell(table, "%s", percent(row->exposed, text));
    fs_table_cell(table, "%s", percent(row->bubble, text));
    fs_snprintf(text, sizeof text, "%.1f GB%s", row->memory_bytes / GB, row->fits ? "" : " !");
    known_cell(table, row->memory_bytes > 0, text);
    if (row->busiest_tier)
        fs_table_cell(table, "%s %s", row->busiest_tier, percent(row->busiest_utilization, text));
    else
        fs_table_cell(table, "-");
}

static void print_scaling_foot(const fs_result *r, bool fits, double wall_s, fs_out *out)
{
    char wall[TEXT], memory[TEXT];
    if (!fits)
        fs_out_printf(out, "  ! does NOT fit: a GPU has %.1f GB\n", r->gpu_mem_bytes / GB);
    fs_out_printf(out,
                  "\nThe job above is the largest. TFLOP/s: of hardware FLOPs, per GPU. efficiency: throughput per GPU "
                  "against the first row.\n"
                  "exposed, bubble: communication and pipeline bubbles waited for, mean over ranks. busiest tier: of "
                  "the most loaded link.\n\n"
                  "simulated in %s of wall time, peak memory %s\n",
                  fs_format_seconds(wall_s, wall, sizeof wall),
                  fs_format_bytes((double)r->peak_memory_bytes, memory, sizeof memory));
}

fs_status fs_report_scaling(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"GPUs",       "step",    "tokens/s", "TFLOP/s", "MFU",
                                          "efficiency", "exposed", "bubble",   "memory",  "busiest tier"};
    fs_table *table = fs_table_new("rrrrrrrrrl");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_report_head(r, style, out);
    fs_print_bold(out, style, "Scaling");
    fs_out_printf(out, ", %s\n", r->scaling_mode);
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    double wall_s = 0;
    bool fits = true;
    for (uint32_t i = 0; i < r->n_scaling; i++) {
        fits = fits && r->scaling[i].fits;
        scaling_cells(&r->scaling[i], table);
        wall_s += r->scaling[i].wall_s;
    }
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    if (status == FS_OK)
        print_scaling_foot(r, fits, wall_s, out);
    return status;
}
