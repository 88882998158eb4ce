/* leg.c - see leg.h. */
#include "route/leg.h"

#include <math.h>

/* ---- the store --------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(uint32_t space, uint32_t src, uint32_t dst)
{
    return ((uint64_t)src << 32 | dst) ^ (uint64_t)space * UINT64_C(0xbf58476d1ce4e5b9); /* SplitMix64's multiplier */
}

uint32_t fs_leg_recall(const fs_leg_store *store, uint32_t space, uint32_t src, uint32_t dst)
{
    fs_index_probe probe = fs_index_search(&store->index, hash_of(space, src, dst));
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe)) {
        const fs_leg *leg = &store->legs.data[i];
        if (leg->src == src && leg->dst == dst && leg->space == space)
            return i;
    }
    return FS_NONE;
}

fs_status fs_leg_keep(fs_leg_store *store, fs_leg leg, fs_err *err)
{
    leg.first_share = store->shares.count - leg.n_shares;
    if (FS_PUSH(&store->legs, leg) == NULL)
        return fs_fail_nomem(err);
    if (!fs_index_add(&store->index, hash_of(leg.space, leg.src, leg.dst), store->legs.count - 1)) {
        store->legs.count--;
        return fs_fail_nomem(err);
    }
    return FS_OK;
}

size_t fs_leg_store_bytes(const fs_leg_store *store)
{
    return store->legs.count * sizeof(fs_leg) + store->shares.count * sizeof(fs_share) +
           store->index.n_slots * sizeof(fs_index_slot);
}

void fs_leg_store_clear(fs_leg_store *store)
{
    fs_free(store->legs.data);
    fs_free(store->shares.data);
    fs_index_free(&store->index);
    *store = (fs_leg_store){0};
}

/* ---- fractions --------------------------------------------------------------------------------------------------- */

void fs_dag_free(fs_dag *dag)
{
    fs_free(dag->edges.data);
    fs_free(dag->vertices.data);
    *dag = (fs_dag){0};
}

/* Of the links from a vertex only the first: then what no path crosses any more goes as well. */
static void keep_first(fs_dag *dag)
{
    uint32_t used = 0, next = 0;
    for (uint32_t i = 0; i < dag->edges.count; i++)
        if (dag->edges.data[i].from == next) {
            next = dag->edges.data[i].to;
            dag->edges.data[used++] = dag->edges.data[i];
        }
    dag->edges.count = used;
}

/* From the destination: weights of the edges, and what can flow on from each vertex. The edges of a vertex in their
 * order, so that sums are the same whatever was asked before. */
static void measure(fs_dag *dag, const fs_view *view)
{
    for (uint32_t end = dag->edges.count, begin; end > 0; end = begin) {
        fs_dag_vertex *v = &dag->vertices.data[dag->edges.data[end - 1].from];
        begin = end;
        while (begin > 0 && dag->edges.data[begin - 1].from == dag->edges.data[end - 1].from)
            begin--;
        for (uint32_t i = begin; i < end; i++) {
            fs_dag_edge *e = &dag->edges.data[i];
            const fs_dag_vertex *w = &dag->vertices.data[e->to];
            double capacity = e->weight;
            e->weight = fmin(capacity, w->onward * (capacity / w->into));
            v->onward += e->weight;
            v->latency = fmax(v->latency, fs_topo_link(view->topo, e->link).latency_s + w->latency);
            v->hops = v->hops > w->hops + 1 ? v->hops : w->hops + 1;
        }
    }
}

/* From the source: the fraction of the bytes on each link. */
static fs_status spread(fs_dag *dag, const fs_view *view, fs_leg *leg, fs_leg_store *store, fs_err *err)
{
    dag->vertices.data[0].fraction = 1.0;
    for (uint32_t i = 0; i < dag->edges.count; i++) {
        const fs_dag_edge *e = &dag->edges.data[i];
        const fs_dag_vertex *v = &dag->vertices.data[e->from];
        double part = fmin(v->fraction * e->weight / v->onward, 1.0); /* joined fractions may exceed 1 by rounding */
        dag->vertices.data[e->to].fraction += part;
        if (FS_PUSH(&store->shares, ((fs_share){e->resource, part})) == NULL)
            return fs_fail_nomem(err);
        const fs_link link = fs_topo_link(view->topo, e->link);
        double factor = fs_view_factor(view, e->link);
        uint32_t class_ = view->topo->link_types[link.type].class_; /* the enum goes from fast to slow */
        leg->bandwidth_Bps = fmin(leg->bandwidth_Bps, link.bandwidth_Bps * factor / part);
        leg->effective_Bps = fmin(leg->effective_Bps, link.effective_Bps * factor / part);
        leg->worst_class = class_ > leg->worst_class ? class_ : leg->worst_class;
    }
    return FS_OK;
}

fs_status fs_dag_solve(fs_dag *dag, const fs_view *view, uint32_t n_vertices, bool single_path, fs_leg leg,
                       fs_leg_store *store, fs_err *err)
{
    if (single_path)
        keep_first(dag);
    dag->vertices.count = 0;
    for (uint32_t i = 0; i < n_vertices; i++)
        if (FS_PUSH(&dag->vertices, ((fs_dag_vertex){0})) == NULL)
            return fs_fail_nomem(err);
    for (uint32_t i = 0; i < dag->edges.count; i++) {
        fs_dag_edge *e = &dag->edges.data[i];
        e->weight = fs_topo_link(view->topo, e->link).effective_Bps * fs_view_factor(view, e->link);
        dag->vertices.data[e->to].into += e->weight;
    }
    dag->vertices.data[n_vertices - 1].onward = INFINITY;
    measure(dag, view);
    uint32_t before = store->shares.count;
    leg.bandwidth_Bps = leg.effective_Bps = INFINITY;
    leg.worst_class = FS_CLASS_NVLINK;
    fs_status status = spread(dag, view, &leg, store, err);
    leg.n_shares = store->shares.count - before;
    leg.onward_Bps = dag->vertices.data[0].onward;
    leg.latency_s = dag->vertices.data[0].latency;
    leg.hops = dag->vertices.data[0].hops;
    if (status == FS_OK) {
        fs_shares_sort(store->shares.data + before, leg.n_shares);
        status = fs_leg_keep(store, leg, err);
    }
    if (status != FS_OK)
        store->shares.count = before;
    return status;
}
