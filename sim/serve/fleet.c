/* fleet.c - see fleet.h. A stance is how a copy stands on the machine: which unit, from which of its devices on, and what
 * faults leave of what it uses. Routes are looked for once for each stance. */
#include "serve/fleet.h"

#include "base/mem.h"
#include "serve/cluster.h"

#include <string.h>

typedef struct stance {
    const fs_topo_unit *unit;
    uint32_t local, copy; /* first device within the unit; the copy that it was found at */
    uint32_t n_links;
    uint32_t *links; /* (n_links) ascending, within the unit */
} stance;

typedef struct class
{
    uint32_t stance, member, next; /* of the same stream */
} class;

typedef struct planner {
    const fs_inference *in;
    const fs_topo *topo;
    fs_router *const *routers;
    uint32_t n_routers, n_gpus; /* of a copy */
    uint32_t *gpus;             /* (n_gpus) numbers in the first copy */
    FS_VEC(stance) stances;
    FS_VEC(class) classes;
    uint32_t *of_stream; /* (distinct) its classes */
    uint8_t *used;       /* (links of the unit at hand) scratch */
    fs_route_buffer route;
    fs_arena *arena;
} planner;

/* ---- how a copy stands ------------------------------------------------------------------------------------------- */

static uint32_t gpu_of(const planner *p, uint32_t copy, uint32_t i)
{
    return p->gpus[i] + copy * p->in->fleet.stride;
}

static uint32_t device_of(const planner *p, uint32_t copy, uint32_t i)
{
    return p->topo->gpus[gpu_of(p, copy, i)];
}

static uint32_t first_link(const fs_where *at)
{
    return at->run->first_link + at->copy * at->run->unit->n_links;
}

/* All of its GPUs in one copy of a unit? */
static bool in_one_unit(const planner *p, uint32_t copy, fs_where *at)
{
    *at = fs_topo_where(p->topo, device_of(p, copy, 0));
    fs_where last = fs_topo_where(p->topo, device_of(p, copy, p->n_gpus - 1));
    return last.run == at->run && last.copy == at->copy;
}

/* What faults leave of its GPUs and links is the same. */
static bool fares_alike(const planner *p, const stance *s, uint32_t copy, const fs_where *at)
{
    const fs_topo *t = p->topo;
    const fs_where there = fs_topo_where(t, device_of(p, s->copy, 0));
    for (uint32_t i = 0; t->gpu_faults.count > 0 && i < p->n_gpus; i++)
        if (fs_topo_gpu_factor(t, gpu_of(p, copy, i), 0) != fs_topo_gpu_factor(t, gpu_of(p, s->copy, i), 0))
            return false;
    for (uint32_t l = 0; t->link_faults.count > 0 && l < s->unit->n_links; l++)
        if (fs_topo_link_factor(t, first_link(at) + l, 0) != fs_topo_link_factor(t, first_link(&there) + l, 0))
            return false;
    return true;
}

/* ---- what a copy uses -------------------------------------------------------------------------------------------- */

/* Marks the links of a route; *inside = false where it leaves the unit, or takes the network. */
static fs_status mark(planner *p, fs_router *router, uint32_t from, uint32_t to, const fs_where *at, bool *inside,
                      fs_err *err)
{
    uint32_t first = first_link(at), n = at->run->unit->n_links;
    fs_status status = fs_router_compose(router, from, to, 0, &p->route, err);
    if (status == FS_E_TOPOLOGY) { /* no way: the run may not need one, or will say so itself */
        *inside = false;
        return FS_OK;
    }
    if (status != FS_OK)
        return status;
    *inside = p->route.route.worst_class != FS_CLASS_NET;
    for (uint32_t i = 0; i < p->route.route.n_shares && *inside; i++) {
        uint32_t link = p->route.route.shares[i].resource;
        *inside = link >= first && link - first < n;
        if (*inside)
            p->used[link - first] = 1;
    }
    return FS_OK;
}

static bool swaps(const fs_inference *in)
{
    bool any = false;
    for (uint32_t i = 0; i < in->n_pools; i++)
        any = any || in->pools[i].swap;
    return any;
}

static fs_status mark_all(planner *p, fs_router *router, uint32_t copy, const fs_where *at, bool *inside, fs_err *err)
{
    fs_status status = FS_OK;
    fs_cluster around = {.topo = p->topo, .router = router};
    for (uint32_t i = 0; i < p->n_gpus && *inside && status == FS_OK; i++) {
        uint32_t from = device_of(p, copy, i);
        for (uint32_t k = 0; k < p->n_gpus && *inside && status == FS_OK; k++)
            if (k != i)
                status = mark(p, router, from, device_of(p, copy, k), at, inside, err);
        uint32_t cpu = swaps(p->in) ? fs_cluster_cpu(&around, from) : FS_NONE;
        if (cpu != FS_NONE && status == FS_OK)
            status = mark(p, router, from, cpu, at, inside, err);
        if (cpu != FS_NONE && status == FS_OK)
            status = mark(p, router, cpu, from, at, inside, err);
    }
    return status;
}

/* Another stance; *inside: does it keep to its unit? */
static fs_status add_stance(planner *p, uint32_t copy, const fs_where *at, bool *inside, fs_err *err)
{
    uint32_t n = at->run->unit->n_links, count = 0;
    stance s = {.unit = at->run->unit, .local = at->local, .copy = copy};
    fs_status status = FS_OK;
    fs_free(p->used);
    p->used = fs_zalloc(n + 1, 1);
    if (!p->used)
        return fs_fail_nomem(err);
    *inside = true;
    for (uint32_t r = 0; r < p->n_routers && status == FS_OK; r++)
        status = mark_all(p, p->routers[r], copy, at, inside, err);
    if (status != FS_OK || !*inside)
        return status;
    for (uint32_t l = 0; l < n; l++)
        count += p->used[l];
    s.links = fs_arena_alloc(p->arena, count + 1, sizeof *s.links);
    if (!s.links)
        return fs_fail_nomem(err);
    for (uint32_t l = 0; l < n; l++)
        if (p->used[l])
            s.links[s.n_links++] = l;
    return FS_PUSH(&p->stances, s) ? FS_OK : fs_fail_nomem(err);
}

static fs_status find_stance(planner *p, uint32_t copy, const fs_where *at, uint32_t *found, bool *inside, fs_err *err)
{
    *inside = true;
    for (*found = 0; *found < p->stances.count; ++*found) {
        const stance *s = &p->stances.data[*found];
        if (s->unit == at->run->unit && s->local == at->local && fares_alike(p, s, copy, at))
            return FS_OK;
    }
    return add_stance(p, copy, at, inside, err);
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

/* Joins the class of its stream and stance, or begins one. */
static fs_status join(planner *p, uint32_t copy, uint32_t stance_index, const fs_where *at, fs_fleet_plan *plan,
                      fs_err *err)
{
    uint32_t *head = &p->of_stream[copy % p->in->fleet.distinct];
    const stance *s = &p->stances.data[stance_index];
    for (uint32_t c = *head; c != FS_NONE; c = p->classes.data[c].next)
        if (p->classes.data[c].stance == stance_index) {
            plan->members[p->classes.data[c].member].count++;
            return FS_OK;
        }
    uint32_t *links = fs_arena_alloc(p->arena, s->n_links + 1, sizeof *links);
    if (!links || !FS_PUSH(&p->classes, ((class){stance_index, plan->n, *head})))
        return fs_fail_nomem(err);
    *head = p->classes.count - 1;
    for (uint32_t i = 0; i < s->n_links; i++)
        links[i] = first_link(at) + s->links[i];
    plan->members[plan->n++] = (fs_fleet_member){copy, 1, s->n_links, links};
    return FS_OK;
}

/* Copies ascend, so those of one copy of a unit follow each other: `stamp` has whose each of its links is. */
static bool take_links(const stance *s, const fs_where *at, uint32_t *stamp, fs_where *unit)
{
    if (unit->run != at->run || unit->copy != at->copy)
        memset(stamp, 0, s->unit->n_links * sizeof *stamp);
    *unit = *at;
    for (uint32_t i = 0; i < s->n_links; i++)
        if (stamp[s->links[i]]++ > 0)
            return false;
    return true;
}

/* *folds = false: something is not as it must be, and the plan means nothing. */
static fs_status fold_copies(planner *p, fs_fleet_plan *plan, bool *folds, fs_err *err)
{
    uint32_t most = 0;
    fs_status status = FS_OK;
    fs_where unit = {0}, at;
    for (uint32_t u = 0; u < p->topo->n_runs; u++)
        most = p->topo->runs[u].unit->n_links > most ? p->topo->runs[u].unit->n_links : most;
    uint32_t *stamp = fs_arena_alloc(p->arena, most + 1, sizeof *stamp);
    if (!stamp)
        return fs_fail_nomem(err);
    for (uint32_t copy = 0; copy < p->in->fleet.copies && *folds && status == FS_OK; copy++) {
        uint32_t index = 0;
        *folds = in_one_unit(p, copy, &at);
        if (*folds)
            status = find_stance(p, copy, &at, &index, folds, err);
        if (*folds && status == FS_OK)
            *folds = take_links(&p->stances.data[index], &at, stamp, &unit);
        if (*folds && status == FS_OK)
            status = join(p, copy, index, &at, plan, err);
    }
    return status;
}

static fs_status prepare(planner *p, fs_err *err)
{
    const fs_inference *in = p->in;
    for (uint32_t i = 0; i < in->n_pools; i++)
        p->n_gpus += in->pools[i].replicas * fs_pool_replica_gpus(&in->pools[i]);
    p->gpus = fs_arena_alloc(p->arena, p->n_gpus, sizeof *p->gpus);
    p->of_stream = fs_arena_alloc(p->arena, in->fleet.distinct, sizeof *p->of_stream);
    if (!p->gpus || !p->of_stream)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < in->fleet.distinct; i++)
        p->of_stream[i] = FS_NONE;
    uint32_t n = 0, first = UINT32_MAX, end = 0; /* ascending: pools may stand in any order */
    for (uint32_t i = 0; i < in->n_pools; i++) {
        uint32_t last = in->pools[i].first_gpu + in->pools[i].replicas * fs_pool_replica_gpus(&in->pools[i]);
        first = in->pools[i].first_gpu < first ? in->pools[i].first_gpu : first;
        end = last > end ? last : end;
    }
    for (uint32_t g = first; g < end; g++)
        for (uint32_t i = 0; i < in->n_pools; i++)
            if (g >= in->pools[i].first_gpu &&
                g - in->pools[i].first_gpu < in->pools[i].replicas * fs_pool_replica_gpus(&in->pools[i]))
                p->gpus[n++] = g;
    return FS_OK;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

fs_status fs_fleet_plan_make(const fs_inference *in, const fs_topo *topo, fs_router *const *routers, uint32_t n_routers,
                             bool fold, fs_arena *arena, fs_fleet_plan *plan, fs_err *err)
{
    planner p = {.in = in, .topo = topo, .routers = routers, .n_routers = n_routers, .arena = arena};
    bool folds = fold && in->fleet.distinct < in->fleet.copies;
    *plan = (fs_fleet_plan){.members = fs_arena_alloc(arena, in->fleet.copies, sizeof *plan->members)};
    fs_status status = plan->members ? FS_OK : fs_fail_nomem(err);
    if (folds && status == FS_OK)
        status = prepare(&p, err);
    if (folds && status == FS_OK)
        status = fold_copies(&p, plan, &folds, err);
    if (status == FS_OK && !folds)
        for (plan->n = 0; plan->n < in->fleet.copies; plan->n++)
            plan->members[plan->n] = (fs_fleet_member){.copy = plan->n, .count = 1};
    fs_free(p.stances.data);
    fs_free(p.classes.data);
    fs_free(p.used);
    fs_route_buffer_free(&p.route);
    return status;
}
