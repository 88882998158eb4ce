/* run_links.c - see run_links.h. All sorts have a total order, so results do not depend on the library's qsort. */
#include "run_links.h"

#include "base/mem.h"
#include "topo/bundle.h"

#include <math.h>
#include <stdlib.h>

/* Figures that differ by rounding alone count as equal here, so that links of one kind stand together: utilizations to
 * 1e-9, bytes to one. */
static int by_utilization(const void *left, const void *right)
{
    const fs_link_row *a = left, *b = right;
    double differ = round(b->mean_utilization * 1e9) - round(a->mean_utilization * 1e9);
    if (differ == 0)
        differ = round(b->bytes) - round(a->bytes);
    if (differ != 0)
        return differ < 0 ? -1 : 1;
    return a->link < b->link ? -1 : a->link > b->link;
}

/* A row for each class of links that carried anything, the busiest first; bytes go to its tier as well. A bundled link
 * stands for several, each of which carried its part: the row is about one of these. */
static void fill_link_rows(const fs_run_links *in, const fs_engine *engine, fs_result *r)
{
    for (uint32_t l = 0; l < in->n; l++) {
        uint32_t link = in->link_of ? in->link_of[l] : l, count = in->link_count ? in->link_count[l] : 1;
        fs_resource_use use = fs_engine_use(engine, l);
        if (!(use.amount > 0))
            continue;
        uint32_t members = fs_bundle_links(in->topo, link);
        double bytes = in->capacity[l] * r->step_time_s;
        r->links[r->n_links++] = (fs_link_row){.link = fs_bundle_link(in->topo, link, 0),
                                               .count = count * members,
                                               .bytes = use.amount / members,
                                               .busy_s = use.busy_s,
                                               .mean_utilization = bytes > 0 ? use.amount / bytes : 0,
                                               .peak_utilization = use.peak / in->capacity[l]};
        r->tiers[in->tier_of[l]].bytes += use.amount * count;
    }
    qsort(r->links, r->n_links, sizeof *r->links, by_utilization);
}

fs_status fs_run_fill_links(const fs_run_links *in, const fs_engine *engine, fs_result *r, fs_err *err)
{
    const fs_topo *topo = r->topo;
    r->links = fs_arena_alloc(r->arena, in->n, sizeof *r->links);
    r->tiers = fs_arena_alloc(r->arena, topo->n_tiers, sizeof *r->tiers);
    if (!r->links || !r->tiers)
        return fs_fail_nomem(err);
    r->n_tiers = topo->n_tiers;
    for (uint32_t t = 0; t < topo->n_tiers; t++)
        r->tiers[t] = (fs_tier_row){.name = topo->tiers[t].name,
                                    .links = in->tier_links[t],
                                    .capacity_Bps = in->tier_Bps[t],
                                    .busiest_link = FS_NONE};
    fill_link_rows(in, engine, r);
    for (uint32_t i = r->n_links; i-- > 0;) /* the first row of a tier is its busiest link */
        r->tiers[topo->link_types[fs_topo_link(topo, r->links[i].link).type].tier].busiest_link = r->links[i].link;
    for (uint32_t t = 0; t < topo->n_tiers; t++) {
        fs_tier_row *tier = &r->tiers[t];
        double bytes = tier->capacity_Bps * r->step_time_s;
        tier->mean_utilization = bytes > 0 ? tier->bytes / bytes : 0;
        tier->peak_utilization = tier->capacity_Bps > 0 ? fs_metric_tier_peak(in->metric, t) / tier->capacity_Bps : 0;
    }
    return FS_OK;
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

static fs_status fill_tier_load(const fs_run_links *in, fs_result *r, fs_err *err)
{
    fs_pictures *p = &r->pictures;
    p->step_s = fs_metric_step_s(in->metric);
    uint32_t n = (uint32_t)ceil(r->step_time_s / p->step_s * (1 - 1e-12));
    p->n_steps = n < FS_METRIC_STEPS ? n : FS_METRIC_STEPS;
    double *load = fs_arena_alloc(r->arena, (size_t)p->n_steps * r->n_tiers, sizeof *load);
    if (!load)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < p->n_steps; i++)
        for (uint32_t t = 0; t < r->n_tiers; t++)
            if (r->tiers[t].capacity_Bps > 0)
                load[(size_t)i * r->n_tiers + t] = fs_metric_tier_load(in->metric, t, i) / r->tiers[t].capacity_Bps;
    p->tier_load = load;
    return FS_OK;
}

/* What each link carried goes to its edge; a resource of the engine has carried the same on every link of its class. */
static void load_edges(const fs_run_links *in, const fs_engine *engine, double step_s, const fs_outline *outline,
                       fs_edge_load *loads)
{
    for (uint32_t l = 0; l < outline->n_links; l++) {
        uint32_t link = fs_bundle_of_link(in->topo, l);
        uint32_t resource = in->resource_of_link ? in->resource_of_link[link] : link;
        uint32_t members = fs_bundle_links(in->topo, link);
        double bytes = fs_engine_use(engine, resource).amount / members, capacity = in->capacity[resource] / members;
        double most = capacity * step_s, mean = most > 0 ? bytes / most : 0;
        fs_edge_load *to = &loads[fs_outline_edge_of(outline, l)];
        to->bytes += bytes;
        to->capacity_Bps += capacity;
        to->busiest = mean > to->busiest ? mean : to->busiest;
    }
}

fs_status fs_run_fill_pictures(const fs_run_links *in, const fs_engine *engine, fs_result *r, fs_err *err)
{
    fs_status status = fill_tier_load(in, r, err);
    fs_outline *outline = NULL;
    if (status == FS_OK)
        status = fs_outline_new(r->topo, in->n_drawn ? in->n_drawn : r->topo->n_links, &outline, err);
    if (status != FS_OK || !outline)
        return status;
    r->pictures.outline = outline;
    r->pictures.stands_for = in->stands_for ? in->stands_for : 1;
    fs_edge_load *loads = fs_arena_alloc(r->arena, outline->n_edges, sizeof *loads);
    if (!loads)
        return fs_fail_nomem(err);
    load_edges(in, engine, r->step_time_s, outline, loads);
    r->pictures.edge_loads = loads;
    return FS_OK;
}
