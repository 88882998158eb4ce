/* factory.c - see factory.h. */
#include "pareto/factory.h"

#include "base/jsonw.h"
#include "base/num.h"
#include "report/report.h"

#include <math.h>

#define YEAR_S (365.0 * 24 * 3600)

enum { TEXT = 64 };

/* ---- what a tier makes --------------------------------------------------------------------------------------------- */

static const fs_operating_point *best_for(const fs_search *search, double per_user)
{
    const fs_operating_point *best = NULL;
    for (uint32_t i = 0; i < search->space.n; i++) {
        const fs_operating_point *p = &search->points[i];
        if (p->state == FS_OPERATING_GOOD && p->per_user >= per_user && p->rated_W > 0 &&
            (!best || p->per_rated_MW > best->per_rated_MW))
            best = p;
    }
    return best;
}

static fs_factory_line fill_line(double power_W, const fs_price_tier *tier, const fs_operating_point *p)
{
    fs_factory_line line = {.point = p};
    if (!p)
        return line;
    line.replicas = floor(power_W / p->rated_W * (1 + 1e-12));
    line.gpus = line.replicas * p->candidate.gpus;
    line.rated_W = line.replicas * p->rated_W;
    line.tokens_per_s = line.replicas * p->tokens_per_s;
    line.power_W = line.tokens_per_s / p->per_MW * 1e6;
    line.dollars_per_year = line.tokens_per_s * 1e-6 * tier->dollars * YEAR_S;
    return line;
}

void fs_factory_fill(const fs_factory *f, const fs_search *search, fs_factory_row *row)
{
    row->total = (fs_factory_line){0};
    for (uint32_t t = 0; t < f->tiers->n; t++) {
        const fs_price_tier *tier = &f->tiers->all[t];
        fs_factory_line *line = &row->lines[t], *sum = &row->total;
        *line = fill_line(f->power_W * tier->power_share, tier, best_for(search, tier->per_user));
        sum->replicas += line->replicas;
        sum->gpus += line->gpus;
        sum->power_W += line->power_W;
        sum->rated_W += line->rated_W;
        sum->tokens_per_s += line->tokens_per_s;
        sum->dollars_per_year += line->dollars_per_year;
    }
}

/* ---- text ---------------------------------------------------------------------------------------------------------- */

static const char *scaled(double value, char text[TEXT])
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t unit = 0;
    for (; unit + 1 < sizeof units / sizeof *units && value >= 999.5; unit++)
        value *= 1e-3;
    fs_snprintf(text, TEXT, "%.3g%s", value, units[unit]);
    return text;
}

static void count_cell(fs_table *table, double value)
{
    char text[TEXT];
    fs_table_cell(table, "%s", fs_format_count((uint64_t)value, text, sizeof text));
}

static void amount_cells(fs_table *table, const fs_factory_line *line)
{
    char a[TEXT], b[TEXT], c[TEXT];
    count_cell(table, line->replicas);
    count_cell(table, line->gpus);
    fs_table_cell(table, "%.4g", line->power_W * 1e-6);
    fs_table_cell(table, "%s", scaled(line->tokens_per_s, a));
    if (line->tokens_per_s > 0)
        fs_table_cell(table, "%.3g", line->power_W / line->tokens_per_s);
    else
        fs_table_cell(table, "-");
    fs_table_cell(table, "%s", line->rated_W > 0 ? scaled(line->tokens_per_s / (line->rated_W * 1e-6), b) : "-");
    fs_table_cell(table, "%s", scaled(line->dollars_per_year, c));
}

static void tier_cells(const fs_factory *f, const fs_factory_row *row, uint32_t t, fs_table *table)
{
    const fs_factory_line *line = &row->lines[t];
    const fs_price_tier *tier = &f->tiers->all[t];
    char layout[FS_CANDIDATE_TEXT];
    fs_table_cell(table, "%s", t == 0 ? row->system : "");
    fs_table_cell(table, "%s", tier->name);
    fs_table_cell(table, "%.4g", tier->dollars);
    if (line->point) {
        fs_table_cell(table, "%.4g", line->point->per_user);
        fs_table_cell(table, "%s", fs_candidate_text(&line->point->candidate, layout, sizeof layout));
    } else {
        fs_table_cell(table, "< %.4g", tier->per_user);
        fs_table_cell(table, "none is fast enough");
    }
    amount_cells(table, line);
}

static void total_cells(const fs_factory *f, const fs_factory_row *row, fs_table *table)
{
    const fs_factory_line *first = &f->rows[0].total;
    fs_table_cell(table, "%s", "");
    fs_table_cell(table, "all");
    fs_table_cell(table, "%s", "");
    fs_table_cell(table, "%s", "");
    if (row != f->rows && first->tokens_per_s > 0 && first->dollars_per_year > 0)
        fs_table_cell(table, "x %.3g tokens, x %.3g dollars", row->total.tokens_per_s / first->tokens_per_s,
                      row->total.dollars_per_year / first->dollars_per_year);
    else
        fs_table_cell(table, "%s", "");
    amount_cells(table, &row->total);
}

/* Shares in which nothing stands, and why. */
static void print_empty(const fs_factory *f, fs_out *out)
{
    for (uint32_t r = 0; r < f->n; r++)
        for (uint32_t t = 0; t < f->tiers->n; t++) {
            const fs_factory_line *line = &f->rows[r].lines[t];
            double share_W = f->power_W * f->tiers->all[t].power_share;
            char share[TEXT], needed[TEXT];
            if (share_W > 0 && line->point && line->replicas < 1)
                fs_out_printf(out, "  ! %s: the %s of tier '%s' are too little for one replica, %s\n",
                              f->rows[r].system, fs_format_watts(share_W, share, sizeof share), f->tiers->all[t].name,
                              fs_format_watts(line->point->rated_W, needed, sizeof needed));
        }
}

fs_status fs_factory_text(const fs_factory *f, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"system", "tier", "$/M",      "tokens/s/user", "layout",      "replicas",
                                          "GPUs",   "MW",   "tokens/s", "J/token",       "tokens/s/MW", "$/year"};
    char power[TEXT];
    fs_table *table = fs_table_new("llrrlrrrrrrr");
    if (!table)
        return fs_fail_nomem(err);
    fs_out_printf(out, "A factory of %s, PUE %.4g\n\n", fs_format_watts(f->power_W, power, sizeof power), f->pue);
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t r = 0; r < f->n; r++) {
        for (uint32_t t = 0; t < f->tiers->n; t++)
            tier_cells(f, &f->rows[r], t, table);
        total_cells(f, &f->rows[r], table);
    }
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    if (status != FS_OK)
        return status;
    fs_out_puts(
        out, "\nMW: drawn. tokens/s/MW: of the power that must be provided, GPUs at their rated power. $/year: every "
             "output token sold. x: against the first system.\n");
    print_empty(f, out);
    return FS_OK;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------ */

static void write_line(const fs_factory_line *line, const fs_price_tier *tier, fs_jsonw *w)
{
    char layout[FS_CANDIDATE_TEXT];
    fs_jsonw_object_inline(w, tier ? NULL : "total");
    if (tier) {
        fs_jsonw_string(w, "tier", tier->name);
        fs_jsonw_number(w, "dollars_per_million", tier->dollars);
        fs_jsonw_number(w, "power_share", tier->power_share);
    }
    if (tier && line->point) {
        fs_jsonw_number(w, "tokens_per_s_per_user", line->point->per_user);
        fs_jsonw_string(w, "layout", fs_candidate_text(&line->point->candidate, layout, sizeof layout));
        fs_jsonw_uint(w, "concurrency", line->point->candidate.concurrency);
    } else if (tier) {
        fs_jsonw_null(w, "tokens_per_s_per_user");
        fs_jsonw_null(w, "layout");
        fs_jsonw_null(w, "concurrency");
    }
    fs_jsonw_number(w, "replicas", line->replicas);
    fs_jsonw_number(w, "gpus", line->gpus);
    fs_jsonw_number(w, "power_W", line->power_W);
    fs_jsonw_number(w, "rated_W", line->rated_W);
    fs_jsonw_number(w, "tokens_per_s", line->tokens_per_s);
    fs_jsonw_number(w, "dollars_per_year", line->dollars_per_year);
    fs_jsonw_end(w);
}

void fs_factory_json(const fs_factory *f, fs_out *out)
{
    fs_jsonw w = fs_jsonw_start(out);
    fs_jsonw_object(&w, NULL);
    fs_jsonw_number(&w, "power_W", f->power_W);
    fs_jsonw_number(&w, "pue", f->pue);
    fs_jsonw_array(&w, "systems");
    for (uint32_t r = 0; r < f->n; r++) {
        fs_jsonw_object(&w, NULL);
        fs_jsonw_string(&w, "system", f->rows[r].system);
        fs_jsonw_string(&w, "trace", f->rows[r].trace);
        fs_jsonw_array(&w, "tiers");
        for (uint32_t t = 0; t < f->tiers->n; t++)
            write_line(&f->rows[r].lines[t], &f->tiers->all[t], &w);
        fs_jsonw_end(&w);
        write_line(&f->rows[r].total, NULL, &w);
        fs_jsonw_end(&w);
    }
    fs_jsonw_end(&w);
    fs_jsonw_end(&w);
    fs_out_puts(out, "\n");
}
