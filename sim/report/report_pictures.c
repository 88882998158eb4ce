/* report_pictures.c - what pictures need beyond figures, in bounded size: loads of tiers over time, what a few ranks did when, and
 * the fabric in outline. Rows are arrays without keys here, or keys would be most of the file; docs/FORMATS.md has the columns.
 * Figures are rounded to four digits: nobody sees more. */
#include "report/report_in.h"

#include <math.h>

enum { TICKS = 100000 }; /* a step in whole ticks: far finer than a screen */

static double rounded(double part)
{
    const double digits = 1e4;
    return part > 0 ? round(part * digits) / digits : 0;
}

static void write_load(const fs_result *r, fs_jsonw *w)
{
    const fs_pictures *p = &r->pictures;
    if (p->n_steps == 0) {
        fs_jsonw_null(w, "load");
        return;
    }
    fs_jsonw_object(w, "load");
    fs_jsonw_number(w, "step_s", p->step_s);
    fs_jsonw_array(w, "tiers");
    for (uint32_t t = 0; t < r->n_tiers; t++) {
        fs_jsonw_array_inline(w, NULL);
        for (uint32_t i = 0; i < p->n_steps; i++)
            fs_jsonw_number(w, NULL, rounded(p->tier_load[(size_t)i * r->n_tiers + t]));
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
    fs_jsonw_end(w);
}

/* ---- timeline ---------------------------------------------------------------------------------------------------- */

/* Labels and categories are numbered as they come. */
typedef struct words {
    const char **words;
    uint32_t count;
} words;

enum { WORDS_MAX = 1024 };

/* The number of a word, by address: labels are interned, categories are constants. The last number stands for all beyond. */
static uint32_t number_of(words *list, const char *word)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->words[i] == word)
            return i;
    if (list->count == WORDS_MAX)
        return WORDS_MAX - 1;
    list->words[list->count] = word;
    return list->count++;
}

static void write_words(fs_jsonw *w, const char *key, const words *list)
{
    fs_jsonw_array_inline(w, key);
    for (uint32_t i = 0; i < list->count; i++)
        fs_jsonw_string(w, NULL, list->words[i]);
    fs_jsonw_end(w);
}

static void write_span(const fs_result *r, const fs_program *program, const fs_span *span, words *names,
                       words *categories, fs_jsonw *w)
{
    const fs_op *op = &program->ops[span->op];
    double ticks = TICKS / r->step_time_s;
    double start = round(span->start_s * ticks), end = round(span->end_s * ticks);
    fs_jsonw_array_inline(w, NULL);
    fs_jsonw_number(w, NULL, start);
    fs_jsonw_number(w, NULL, end - start);
    fs_jsonw_uint(w, NULL, number_of(names, fs_op_title(op, r->work->names)));
    fs_jsonw_uint(w, NULL, number_of(categories, fs_op_category(op)));
    fs_jsonw_uint(w, NULL, span->count);
    fs_jsonw_end(w);
}

static void write_row(const fs_result *r, uint32_t row, words *names, words *categories, fs_jsonw *w)
{
    const fs_spans *s = r->pictures.spans;
    const fs_work *work = r->work;
    uint32_t rank = s->rank[row];
    const fs_program *program = &work->programs[work->program_of[rank]];
    fs_jsonw_object(w, NULL);
    fs_jsonw_uint(w, "rank", rank);
    fs_jsonw_string(w, "device", FS_DEVICE_NAME(r->topo, r->topo->gpus[work->gpu_of[rank]]));
    fs_jsonw_uint(w, "count", s->count[row]);
    fs_jsonw_array(w, "streams");
    for (uint32_t k = 0; k < work->n_streams; k++) {
        const fs_span_stream *stream = &s->streams[(size_t)row * work->n_streams + k];
        if (stream->count == 0)
            continue;
        fs_jsonw_object_inline(w, NULL);
        fs_jsonw_string(w, "name", work->streams[k]);
        fs_jsonw_array_inline(w, "spans");
        for (uint32_t i = 0; i < stream->count; i++)
            write_span(r, program, &stream->spans[i], names, categories, w);
        fs_jsonw_end(w);
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
    fs_jsonw_end(w);
}

static void write_timeline(const fs_result *r, fs_jsonw *w)
{
    const char *name_words[WORDS_MAX], *category_words[WORDS_MAX];
    words names = {.words = name_words}, categories = {.words = category_words};
    const fs_spans *s = r->pictures.spans;
    if (!s || !(r->step_time_s > 0)) {
        fs_jsonw_null(w, "timeline");
        return;
    }
    fs_jsonw_object(w, "timeline");
    fs_jsonw_number(w, "tick_s", r->step_time_s / TICKS);
    fs_jsonw_array(w, "rows");
    for (uint32_t row = 0; row < s->n_rows; row++)
        write_row(r, row, &names, &categories, w);
    fs_jsonw_end(w);
    write_words(w, "names", &names);
    write_words(w, "categories", &categories);
    fs_jsonw_end(w);
}

/* ---- fabric ------------------------------------------------------------------------------------------------------ */

static void write_node(const fs_outline *o, const fs_outline_node *node, fs_jsonw *w)
{
    fs_device device = fs_topo_device(o->topo, node->first);
    bool inside = node->boxes > 0 && device.node != FS_NONE;
    fs_jsonw_array_inline(w, NULL);
    fs_jsonw_string(w, NULL, inside ? FS_NODE_NAME(o->topo, device.node) : FS_DEVICE_NAME(o->topo, node->first));
    fs_jsonw_string(w, NULL, fs_device_kind_name((fs_device_kind)device.kind));
    fs_jsonw_uint(w, NULL, node->level);
    fs_jsonw_uint(w, NULL, node->devices);
    fs_jsonw_uint(w, NULL, node->gpus);
    fs_jsonw_uint(w, NULL, node->boxes);
    fs_jsonw_end(w);
}

static void write_fabric(const fs_result *r, fs_jsonw *w)
{
    const fs_outline *o = r->pictures.outline;
    if (!o) {
        fs_jsonw_null(w, "fabric");
        return;
    }
    fs_jsonw_object(w, "fabric");
    fs_jsonw_uint(w, "detail", o->detail);
    fs_jsonw_uint(w, "stands_for", r->pictures.stands_for);
    fs_jsonw_array_inline(w, "nodes");
    for (uint32_t i = 0; i < o->n_nodes; i++)
        write_node(o, &o->nodes[i], w);
    fs_jsonw_end(w);
    fs_jsonw_array_inline(w, "edges");
    for (uint32_t i = 0; i < o->n_edges; i++) {
        const fs_outline_edge *e = &o->edges[i];
        const fs_edge_load *load = &r->pictures.edge_loads[i];
        double most = load->capacity_Bps * r->step_time_s;
        fs_jsonw_array_inline(w, NULL);
        fs_jsonw_uint(w, NULL, e->a);
        fs_jsonw_uint(w, NULL, e->b);
        fs_jsonw_uint(w, NULL, e->tier);
        fs_jsonw_uint(w, NULL, e->links);
        fs_jsonw_number(w, NULL, most > 0 ? rounded(load->bytes / most) : 0);
        fs_jsonw_number(w, NULL, rounded(load->busiest));
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
    fs_jsonw_end(w);
}

void fs_report_pictures_json(const fs_result *r, fs_jsonw *w)
{
    write_load(r, w);
    write_timeline(r, w);
    write_fabric(r, w);
}
