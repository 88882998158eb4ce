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
