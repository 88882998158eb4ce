/* pareto_report.c - see pareto_report.h. */
#include "pareto/pareto_report.h"

#include "base/mem.h"
#include "base/num.h"
#include "pareto/plot.h"

#include <string.h>

enum { TEXT = 64, PLOT_ROWS = 16 };

/* ---- text ---------------------------------------------------------------------------------------------------------- */

static const char *throughput(double value, char text[TEXT])
{
    if (value >= 1000)
        return fs_format_count((uint64_t)(value + 0.5), text, TEXT);
    fs_snprintf(text, TEXT, "%.3g", value);
    return text;
}

static void print_limits(const fs_operating_limits *limits, fs_out *out)
{
    char ttft[TEXT], tpot[TEXT];
    if (limits->ttft_s > 0)
        fs_out_printf(out, ", 90 %% of first tokens within %s", fs_format_seconds(limits->ttft_s, ttft, sizeof ttft));
    if (limits->tpot_s > 0)
        fs_out_printf(out, ", 90 %% of requests within %s a token",
                      fs_format_seconds(limits->tpot_s, tpot, sizeof tpot));
}

static void print_head(const fs_pareto_view *view, fs_style style, fs_out *out)
{
    const fs_search_def *def = view->def;
    fs_print_bold(out, style, def->work->name[0] ? def->work->name : def->work->path);
    fs_out_puts(out, " on ");
    fs_print_name(out, def->topo->name);
    fs_out_puts(out, ": operating points");
    print_limits(&def->limits, out);
    fs_out_puts(out, "\n\n");
}

/* What became of all points and layouts. */
static void print_counts(const fs_pareto_view *view, fs_out *out)
{
    static const char *const words[FS_OPERATING_STATES] = {"good",
                                                           "over the limit of first tokens",
                                                           "over the limit of tokens",
                                                           "beyond that one",
                                                           "not converged",
                                                           "with rejected requests",
                                                           "failed"};
    const fs_search *s = view->search;
    char wall[TEXT];
    fs_out_printf(out, "\n%u points of %u %s", s->space.n, s->space.combinations_tried,
                  s->prefills ? "combinations of layouts" : "layouts");
    const char *sep = ": ";
    for (uint32_t i = 0; i < FS_OPERATING_STATES; i++)
        if (s->of_state[i] > 0) {
            fs_out_printf(out, "%s%u %s", sep, s->of_state[i], words[i]);
            sep = ", ";
        }
    fs_out_printf(out, "; in %s\n", fs_format_seconds(s->wall_s, wall, sizeof wall));
    if (s->prefills > 0)
        fs_out_printf(
            out,
            "prompts: %u layouts measured alone, %u kept, which none beats in rate for each GPU, size and first "
            "tokens; as many replicas as the decoding rate takes\n",
            s->prefills - s->prefills_unfit, s->prefills_kept);
    if (s->space.layouts_unfit > 0)
        fs_out_printf(out, "%u layout%s skipped; the first: %s\n", s->space.layouts_unfit,
                      s->space.layouts_unfit == 1 ? "" : "s", s->space.reason);
    if (s->space.combinations_tried < s->space.combinations)
        fs_out_printf(out, "%u of %u tried, evenly spread: more with --points\n", s->space.combinations_tried,
                      s->space.combinations);
    if (s->failure[0])
        fs_out_printf(out, "the first failure: %s\n", s->failure);
}

/* Of the frontier's layouts each has one, in the order of the table: A to Z, a to z, and O for those beyond. */
static char letter_of(const fs_pareto_view *view, uint32_t row)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint32_t before = 0;
    for (uint32_t i = 0; i <= row; i++) {
        const fs_candidate *c = &view->search->points[view->frontier[i]].candidate;
        uint32_t k = 0;
        while (k < i && !fs_candidate_alike(&view->search->points[view->frontier[k]].candidate, c))
            k++;
        if (i == row && k < i)
            return letter_of(view, k);
        before += k == i && i < row;
    }
    return before + 1 < sizeof letters ? letters[before] : 'O';
}

static fs_status print_table(const fs_pareto_view *view, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"",        "layout", "GPUs",     "requests", "tokens/s/user",
                                          "per GPU", "per MW", "TTFT p90", "TPOT p90"};
    fs_table *table = fs_table_new("llrrrrrrr");
    if (!table)
        return fs_fail_nomem(err);
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t i = 0; i < view->n; i++) {
        const fs_operating_point *p = &view->search->points[view->frontier[i]];
        char layout[FS_CANDIDATE_TEXT], count[TEXT], a[TEXT], b[TEXT], c[TEXT], ttft[TEXT], tpot[TEXT];
        fs_table_cell(table, "%c", letter_of(view, i));
        fs_table_cell(table, "%s", fs_candidate_text(&p->candidate, layout, sizeof layout));
        fs_table_cell(table, "%u", p->candidate.gpus);
        fs_table_cell(table, "%s", fs_format_count(p->candidate.concurrency, count, sizeof count));
        fs_table_cell(table, "%s", throughput(p->per_user, a));
        fs_table_cell(table, "%s", throughput(p->per_gpu, b));
        fs_table_cell(table, "%s", p->per_MW > 0 ? throughput(p->per_MW, c) : "-");
        fs_table_cell(table, "%s", fs_format_seconds(p->ttft_s, ttft, sizeof ttft));
        fs_table_cell(table, "%s", fs_format_seconds(p->tpot_s, tpot, sizeof tpot));
    }
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

static fs_status print_plot(const fs_pareto_view *view, fs_out *out, fs_err *err)
{
    const fs_search *s = view->search;
    fs_plot_point *marks = fs_alloc(s->space.n + (size_t)view->n + 1, sizeof *marks);
    uint32_t n = 0;
    if (!marks)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < s->space.n; i++)
        if (s->points[i].state <= FS_OPERATING_TPOT && s->points[i].per_user > 0)
            marks[n++] = (fs_plot_point){s->points[i].per_user, fs_operating_throughput(&s->points[i], view->by),
                                         s->points[i].state == FS_OPERATING_GOOD ? ':' : '.'};
    for (uint32_t i = 0; i < view->n; i++) {
        const fs_operating_point *p = &s->points[view->frontier[i]];
        marks[n++] = (fs_plot_point){p->per_user, fs_operating_throughput(p, view->by), letter_of(view, i)};
    }
    fs_out_puts(out, "\n");
    fs_status status = fs_plot(marks, n, view->width, PLOT_ROWS,
                               "tokens/s per user   (letters: frontier, : dominated, . over a limit)",
                               view->by == FS_BY_MW ? "tokens/s per MW" : "tokens/s per GPU", out, err);
    fs_free(marks);
    return status;
}

fs_status fs_pareto_text(const fs_pareto_view *view, fs_style style, fs_out *out, fs_err *err)
{
    fs_status status = FS_OK;
    print_head(view, style, out);
    if (view->n > 0)
        status = print_table(view, style, out, err);
    else
        fs_out_puts(out, "  ! no point keeps the limits\n");
    if (status == FS_OK)
        status = print_plot(view, out, err);
    print_counts(view, out);
    return status;
}

/* ---- JSON, CSV ------------------------------------------------------------------------------------------------------- */

static bool on_frontier(const fs_pareto_view *view, uint32_t point)
{
    for (uint32_t i = 0; i < view->n; i++)
        if (view->frontier[i] == point)
            return true;
    return false;
}

static void write_layout(fs_jsonw *w, const char *prefix, const fs_layout *l)
{
    static const char *const names[] = {"tp", "dp", "pp", "ep"};
    const uint32_t values[] = {l->tp, l->dp, l->pp, l->ep};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char key[32];
        fs_snprintf(key, sizeof key, "%s%s", prefix, names[i]);
        fs_jsonw_uint(w, key, values[i]);
    }
}

static void write_point(const fs_operating_point *p, bool frontier, fs_jsonw *w)
{
    const fs_candidate *c = &p->candidate;
    fs_jsonw_object_inline(w, NULL);
    fs_jsonw_string(w, "state", fs_operating_states[p->state]);
    fs_jsonw_bool(w, "frontier", frontier);
    write_layout(w, "", &c->main);
    fs_jsonw_uint(w, "prefill_replicas", c->prefill_replicas);
    write_layout(w, "prefill_", &c->prefill);
    fs_jsonw_uint(w, "gpus", c->gpus);
    fs_jsonw_uint(w, "concurrency", c->concurrency);
    fs_jsonw_number(w, "tokens_per_s", p->tokens_per_s);
    fs_jsonw_number(w, "tokens_per_s_per_gpu", p->per_gpu);
    fs_jsonw_number(w, "tokens_per_s_per_user", p->per_user);
    fs_jsonw_number(w, "tokens_per_s_per_mw", p->per_MW);
    fs_jsonw_number(w, "rated_W", p->rated_W);
    fs_jsonw_number(w, "ttft_p90_s", p->ttft_s);
    fs_jsonw_number(w, "tpot_p90_s", p->tpot_s);
    fs_jsonw_number(w, "unevenness", p->unevenness);
    fs_jsonw_uint(w, "requests", p->requests);
    fs_jsonw_end(w);
}

void fs_pareto_json(const fs_pareto_view *view, fs_out *out)
{
    const fs_search *s = view->search;
    fs_jsonw w = fs_jsonw_start(out);
    fs_jsonw_object(&w, NULL);
    fs_jsonw_string(&w, "topology", view->def->topo->name);
    fs_jsonw_string(&w, "trace", view->def->work->name);
    fs_jsonw_string(&w, "by", fs_frontier_by_names[view->by]);
    fs_jsonw_number(&w, "ttft_s", view->def->limits.ttft_s);
    fs_jsonw_number(&w, "tpot_s", view->def->limits.tpot_s);
    fs_jsonw_uint(&w, "layouts", s->space.layouts);
    fs_jsonw_uint(&w, "layouts_unfit", s->space.layouts_unfit);
    fs_jsonw_uint(&w, "prefill_layouts", s->prefills);
    fs_jsonw_uint(&w, "prefill_layouts_unfit", s->prefills_unfit);
    fs_jsonw_uint(&w, "prefill_layouts_kept", s->prefills_kept);
    fs_jsonw_uint(&w, "combinations", s->space.combinations);
    fs_jsonw_uint(&w, "combinations_tried", s->space.combinations_tried);
    fs_jsonw_array(&w, "points");
    for (uint32_t i = 0; i < s->space.n; i++)
        write_point(&s->points[i], on_frontier(view, i), &w);
    fs_jsonw_end(&w);
    fs_jsonw_end(&w);
    fs_out_puts(out, "\n");
}

void fs_pareto_csv(const fs_pareto_view *view, fs_out *out)
{
    const fs_search *s = view->search;
    fs_out_puts(out, "state,frontier,tp,dp,pp,ep,prefill_replicas,prefill_tp,prefill_dp,prefill_pp,prefill_ep,gpus,"
                     "concurrency,tokens_per_s,tokens_per_s_per_gpu,tokens_per_s_per_user,tokens_per_s_per_mw,rated_W,"
                     "ttft_p90_s,tpot_p90_s,unevenness,requests\n");
    for (uint32_t i = 0; i < s->space.n; i++) {
        const fs_operating_point *p = &s->points[i];
        const fs_candidate *c = &p->candidate;
        const double numbers[] = {p->tokens_per_s, p->per_gpu, p->per_user, p->per_MW,
                                  p->rated_W,      p->ttft_s,  p->tpot_s,   p->unevenness};
        const fs_layout *m = &c->main, *f = &c->prefill;
        fs_out_printf(out, "%s,%d,%u,%u,%u,%u,%u,%u,%u,%u,%u,%u,%u", fs_operating_states[p->state],
                      on_frontier(view, i), m->tp, m->dp, m->pp, m->ep, c->prefill_replicas, f->tp, f->dp, f->pp, f->ep,
                      c->gpus, c->concurrency);
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
            char text[TEXT];
            fs_out_printf(out, ",%s", fs_format_exact(numbers[k], text, sizeof text));
        }
        fs_out_printf(out, ",%u\n", p->requests);
    }
}
