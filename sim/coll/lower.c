/* lower.c - see coll.h. Group -> shape -> plan, each cached.
 *
 *   group  the GPUs seen from the fabric (group.c)                   per distinct list of GPUs
 *   shape  an algorithm on a group: patterns and shares (shape.c)    per (group, kind, algorithm, root)
 *   plan   a shape times a size, with the protocol's cost            per (group, kind, algorithm, protocol, root, size)
 *
 * `auto` estimates every candidate and keeps the fastest; ties go to the first in the table below. Estimating needs
 * shapes but builds no plan. A request whose plan is known costs a hash of the group: O(n). */
#include "coll/algorithms.h"
#include "coll/nccl_cost.h"

#include "base/index.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

const char *const fs_coll_names[FS_COLL_KINDS] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all",
                                                  "broadcast",  "reduce",     "barrier",        "sendrecv"};
const char *const fs_algo_names[FS_ALGOS] = {"auto", "ring", "tree", "nvls", "direct", "chain"};
const char *const fs_proto_names[FS_PROTOS] = {"auto", "LL", "LL128", "Simple"};
const char *const fs_cost_names[FS_COSTS] = {"nccl", "ideal"};
const char *const fs_lowering_names[FS_LOWERINGS] = {"coupled", "flows", "messages"};

#define BARRIER_BYTES 4.0

enum { CANDIDATES = 4 };

/* What can do what. `picked`: the first so many are considered by auto; the rest only by name: NCCL has no one-shot
 * all_gather or reduce_scatter and no NVLS broadcast, and its ring broadcast is the chain. */
typedef struct ability {
    uint32_t n, picked;
    fs_algo algos[CANDIDATES];
} ability;

static const ability abilities[FS_COLL_KINDS] = {
    [FS_ALL_REDUCE] = {3, 3, {FS_ALGO_RING, FS_ALGO_TREE, FS_ALGO_NVLS}},
    [FS_ALL_GATHER] = {3, 2, {FS_ALGO_RING, FS_ALGO_NVLS, FS_ALGO_DIRECT}},
    [FS_REDUCE_SCATTER] = {3, 2, {FS_ALGO_RING, FS_ALGO_NVLS, FS_ALGO_DIRECT}},
    [FS_ALL_TO_ALL] = {1, 1, {FS_ALGO_DIRECT}},
    [FS_BROADCAST] = {3, 1, {FS_ALGO_CHAIN, FS_ALGO_RING, FS_ALGO_NVLS}},
    [FS_REDUCE] = {2, 1, {FS_ALGO_CHAIN, FS_ALGO_RING}},
    [FS_BARRIER] = {3, 3, {FS_ALGO_RING, FS_ALGO_TREE, FS_ALGO_NVLS}},
    [FS_SENDRECV] = {1, 1, {FS_ALGO_DIRECT}}};

typedef struct known_shape {
    fs_coll_kind kind;
    fs_algo algo;
    uint32_t root;
    const fs_shape *shape; /* NULL: the algorithm cannot do it here */
} known_shape;

typedef struct known_group {
    fs_group *group;
    FS_VEC(known_shape) shapes;
} known_group;

typedef struct plan_key {
    double size_bytes;
    uint32_t group, root;
    uint32_t kind, algo, proto, unused; /* unused: no padding, keys are compared as bytes */
} plan_key;

typedef struct known_plan {
    plan_key key;
    const fs_plan *plan;
} known_plan;

struct fs_lowering {
    fs_lowering_options options;
    fs_arena *arena;
    fs_neighbourhood hood;
    fs_shape_builder builder;
    FS_VEC(known_group) groups;
    fs_index group_index; /* by GPUs */
    FS_VEC(known_plan) plans;
    fs_index plan_index; /* by key */
};

double fs_link_capacity(const fs_topo *topo, uint32_t link, fs_cost cost)
{
    return cost == FS_COST_IDEAL ? fs_topo_link(topo, link).bandwidth_Bps : fs_topo_link(topo, link).effective_Bps;
}

double fs_busbw_factor(fs_coll_kind kind, uint32_t n)
{
    if (n < 2)
        return 1.0;
    double others = (double)(n - 1) / n;
    if (kind == FS_ALL_REDUCE)
        return 2.0 * others;
    return kind == FS_ALL_GATHER || kind == FS_REDUCE_SCATTER || kind == FS_ALL_TO_ALL ? others : 1.0;
}

fs_status fs_lowering_new(const fs_topo *topo, fs_router *router, fs_pattern_table *patterns,
                          fs_lowering_options options, fs_lowering **out, fs_err *err)
{
    fs_lowering *low = fs_zalloc(1, sizeof *low);
    if (low == NULL)
        return fs_fail_nomem(err);
    low->options = options;
    low->arena = fs_arena_new();
    low->builder = (fs_shape_builder){
        .topo = topo, .patterns = patterns, .arena = low->arena, .cost = options.cost, .mode = options.mode};
    fs_status status = FS_OK;
    if (low->arena == NULL)
        status = fs_fail_nomem(err);
    if (status == FS_OK)
        status = fs_neighbourhood_init(&low->hood, topo, router, low->arena, err);
    if (status == FS_OK)
        status = fs_shape_builder_init(&low->builder, err);
    if (status != FS_OK) {
        fs_lowering_free(low);
        return status;
    }
    *out = low;
    return FS_OK;
}

void fs_lowering_free(fs_lowering *low)
{
    if (low == NULL)
        return;
    for (uint32_t i = 0; i < low->groups.count; i++)
        fs_free(low->groups.data[i].shapes.data);
    fs_free(low->groups.data);
    fs_index_free(&low->group_index);
    fs_free(low->plans.data);
    fs_index_free(&low->plan_index);
    fs_shape_builder_free(&low->builder);
    fs_neighbourhood_free(&low->hood);
    fs_arena_free(low->arena);
    fs_free(low);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static fs_status find_group(fs_lowering *low, const uint32_t *gpus, uint32_t n, uint32_t *id, fs_err *err)
{
    uint64_t hash = fs_hash_bytes(FS_HASH_START, gpus, n * sizeof *gpus);
    fs_index_probe probe = fs_index_search(&low->group_index, hash);
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe)) {
        const fs_group *group = low->groups.data[i].group;
        if (group->n == n && memcmp(group->gpus, gpus, n * sizeof *gpus) == 0) {
            *id = i;
            return FS_OK;
        }
    }
    known_group new = {0};
    fs_status status = fs_group_new(&low->hood, gpus, n, &new.group, err);
    if (status != FS_OK)
        return status;
    if (FS_PUSH(&low->groups, new) == NULL)
        return fs_fail_nomem(err);
    *id = low->groups.count - 1;
    if (fs_index_add(&low->group_index, hash, *id))
        return FS_OK;
    low->groups.count--;
    return fs_fail_nomem(err);
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static fs_status build_shape(fs_lowering *low, fs_group *group, fs_coll_kind kind, fs_algo algo, uint32_t root,
                             const fs_shape **shape, fs_err *err)
{
    fs_algo_run run = {&low->hood, group, kind, root, &low->builder};
    fs_status status = FS_OK;
    fs_shape_begin(&low->builder);
    if (group->n > 1) {
        switch (algo) {
        case FS_ALGO_RING:
            status = kind == FS_BROADCAST || kind == FS_REDUCE ? fs_chain_emit(&run, err) : fs_ring_emit(&run, err);
            break;
        case FS_ALGO_TREE: status = fs_tree_emit(&run, err); break;
        case FS_ALGO_NVLS: status = fs_nvls_emit(&run, err); break;
        case FS_ALGO_DIRECT: status = fs_direct_emit(&run, err); break;
        case FS_ALGO_CHAIN:
        case FS_ALGO_AUTO:
        case FS_ALGOS: status = fs_chain_emit(&run, err); break;
        }
    }
    return status == FS_OK ? fs_shape_end(&low->builder, algo, shape, err) : status;
}

/* *shape = NULL where the algorithm cannot do it here and quiet is set; else that is an error. */
static fs_status find_shape(fs_lowering *low, uint32_t group, fs_coll_kind kind, fs_algo algo, uint32_t root,
                            bool quiet, const fs_shape **out, fs_err *err)
{
    known_group *known = &low->groups.data[group];
    for (uint32_t i = 0; i < known->shapes.count; i++) {
        const known_shape *s = &known->shapes.data[i];
        if (s->kind == kind && s->algo == algo && s->root == root && (s->shape != NULL || quiet)) {
            *out = s->shape;
            return FS_OK;
        }
    }
    known_shape new = {kind, algo, root, NULL};
    fs_err refusal;
    fs_status status = build_shape(low, known->group, kind, algo, root, &new.shape, &refusal);
    if (status != FS_OK && (status != FS_E_TRACE || !quiet)) {
        *err = refusal;
        return status;
    }
    if (FS_PUSH(&known->shapes, new) == NULL)
        return fs_fail_nomem(err);
    *out = new.shape;
    return FS_OK;
}

/* ---- cost -------------------------------------------------------------------------------------------------------- */

typedef struct choice {
    const fs_shape *shape;
    fs_proto proto;
    double size_bytes, estimate_s;
    fs_nccl_time time; /* under ideal costs: wire 1, the rest 0 */
} choice;

static fs_arch arch_of(const fs_topo *topo, uint32_t gpu)
{
    return topo->parts[fs_topo_device(topo, gpu).part].arch;
}

static fs_nccl_run run_of(const fs_lowering *low, const fs_group *group, fs_coll_kind kind, const choice *c)
{
    return (fs_nccl_run){.kind = kind,
                         .algo = c->shape->algo,
                         .proto = c->proto,
                         .arch = arch_of(low->hood.topo, group->gpus[0]),
                         .n = group->n,
                         .n_nodes = group->n_domains,
                         .channels = c->shape->channels,
                         .intra_class = c->shape->intra_class,
                         .size_bytes = c->size_bytes,
                         .stream_s = c->size_bytes * c->shape->stream_s_per_B};
}

/* Fill in c->time and c->estimate_s. False where the protocol does not exist for it. */
static bool estimate(const fs_lowering *low, const fs_group *group, fs_coll_kind kind, choice *c)
{
    double stream_s = c->size_bytes * c->shape->stream_s_per_B;
    c->time = (fs_nccl_time){.wire = 1.0};
    c->estimate_s = c->shape->latency_s + stream_s;
    if (group->n == 1)
        c->estimate_s = 0.0;
    if (low->options.cost == FS_COST_IDEAL || group->n == 1)
        return true;
    fs_nccl_run run = run_of(low, group, kind, c);
    if (!fs_nccl_has(&run))
        return false;
    c->time = fs_nccl_cost(&run);
    c->estimate_s = c->time.latency_s + c->time.wait_s + c->time.wire * stream_s;
    return true;
}

/* The fastest protocol for c->shape; false where the one asked for does not exist. */
static bool choose_proto(const fs_lowering *low, const fs_group *group, fs_coll_kind kind, fs_proto asked, choice *c)
{
    if (asked != FS_PROTO_AUTO || low->options.cost == FS_COST_IDEAL) {
        c->proto = asked == FS_PROTO_AUTO ? FS_PROTO_SIMPLE : asked;
        return estimate(low, group, kind, c);
    }
    choice best = {.estimate_s = INFINITY};
    for (fs_proto proto = FS_PROTO_LL; proto < FS_PROTOS; proto++) {
        c->proto = proto;
        if (estimate(low, group, kind, c) && c->estimate_s < best.estimate_s)
            best = *c;
    }
    *c = best;
    return true;
}

static fs_status no_protocol(const fs_coll_request *request, fs_algo algo, fs_err *err)
{
    return fs_fail(err, FS_E_TRACE, "protocol %s does not exist for %s by '%s' on these GPUs; Simple does",
                   fs_proto_names[request->proto], fs_coll_names[request->kind], fs_algo_names[algo]);
}

static fs_status choose(fs_lowering *low, uint32_t group, const fs_coll_request *request, choice *best, fs_err *err)
{
    fs_coll_kind kind = request->kind == FS_BARRIER ? FS_ALL_REDUCE : request->kind;
    const ability *able = &abilities[request->kind];
    bool any = request->algo == FS_ALGO_AUTO;
    uint32_t root = kind == FS_BROADCAST || kind == FS_REDUCE ? request->root : 0;
    *best = (choice){.estimate_s = INFINITY};
    for (uint32_t i = 0; i < (any ? able->picked : 1); i++) {
        fs_algo algo = any ? able->algos[i] : request->algo;
        choice c = {.size_bytes = request->kind == FS_BARRIER ? BARRIER_BYTES : request->size_bytes};
        /* With one candidate its refusal is the answer. */
        fs_status status = find_shape(low, group, kind, algo, root, any && able->picked > 1, &c.shape, err);
        if (status != FS_OK)
            return status;
        if (c.shape == NULL)
            continue;
        if (!choose_proto(low, low->groups.data[group].group, kind, request->proto, &c)) {
            if (!any || able->picked == 1)
                return no_protocol(request, algo, err);
            continue;
        }
        if (c.estimate_s < best->estimate_s)
            *best = c;
    }
    if (best->shape != NULL)
        return FS_OK;
    if (request->proto != FS_PROTO_AUTO)
        return no_protocol(request, FS_ALGO_AUTO, err);
    return find_shape(low, group, kind, able->algos[0], root, false, &best->shape, err);
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

static double move_latency(const fs_lowering *low, const choice *c, uint32_t i)
{
    const fs_shape_move *move = &c->shape->moves[i];
    if (low->options.cost == FS_COST_IDEAL)
        return move->latency_s;
    if (low->options.mode != FS_LOWER_MESSAGES)
        return c->time.latency_s + c->time.wait_s;
    double launch = c->shape->n_pred[i] == 0 ? fs_nccl_launch(c->shape->algo, c->proto) : 0.0;
    return launch + fs_nccl_hop(c->shape->algo, c->proto, move->class_);
}

static fs_status make_plan(fs_lowering *low, const choice *c, const fs_plan **out, fs_err *err)
{
    const fs_shape *shape = c->shape;
    fs_plan *plan = fs_arena_alloc(low->arena, 1, sizeof *plan);
    fs_move *moves = fs_arena_alloc(low->arena, shape->n_moves, sizeof *moves);
    if (plan == NULL || moves == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < shape->n_moves; i++)
        moves[i] = (fs_move){shape->moves[i].pattern, shape->moves[i].share * c->size_bytes * c->time.wire,
                             move_latency(low, c, i)};
    *plan = (fs_plan){.n_moves = shape->n_moves,
                      .moves = moves,
                      .succ_begin = shape->succ_begin,
                      .succ = shape->succ,
                      .n_pred = shape->n_pred,
                      .algo = shape->algo,
                      .proto = c->proto,
                      .channels = shape->channels,
                      .estimate_s = c->estimate_s};
    *out = plan;
    return FS_OK;
}

static uint64_t hash_key(const plan_key *key)
{
    return fs_hash_bytes(FS_HASH_START, key, sizeof *key);
}

static const fs_plan *recall_plan(const fs_lowering *low, const plan_key *key)
{
    fs_index_probe probe = fs_index_search(&low->plan_index, hash_key(key));
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe))
        if (memcmp(&low->plans.data[i].key, key, sizeof *key) == 0)
            return low->plans.data[i].plan;
    return NULL;
}

static fs_status keep_plan(fs_lowering *low, const plan_key *key, const fs_plan *plan, fs_err *err)
{
    if (FS_PUSH(&low->plans, ((known_plan){*key, plan})) == NULL)
        return fs_fail_nomem(err);
    if (fs_index_add(&low->plan_index, hash_key(key), low->plans.count - 1))
        return FS_OK;
    low->plans.count--;
    return fs_fail_nomem(err);
}

static fs_status refuse_algo(const fs_coll_request *request, fs_err *err)
{
    const ability *able = &abilities[request->kind];
    char can[96] = "";
    for (uint32_t i = 0; i < able->n; i++) {
        strcat(can, i == 0 ? "" : i + 1 < able->n ? ", " : " or ");
        strcat(can, fs_algo_names[able->algos[i]]);
    }
    return fs_fail(err, FS_E_TRACE, "%s cannot be done by '%s'; expected auto, %s", fs_coll_names[request->kind],
                   fs_algo_names[request->algo], can);
}

static fs_status check_request(const fs_coll_request *request, fs_err *err)
{
    const char *name = fs_coll_names[request->kind];
    if (request->n == 0)
        return fs_fail(err, FS_E_TRACE, "%s over a group of no ranks", name);
    if (!isfinite(request->size_bytes) || request->size_bytes < 0.0)
        return fs_fail(err, FS_E_TRACE, "%s of %g bytes; expected a finite size of at least 0", name,
                       request->size_bytes);
    if (request->root >= request->n && (request->kind == FS_BROADCAST || request->kind == FS_REDUCE))
        return fs_fail(err, FS_E_TRACE, "root %u of %s is outside its group of %u ranks", request->root, name,
                       request->n);
    if (request->kind == FS_SENDRECV && request->n != 2)
        return fs_fail(err, FS_E_TRACE, "sendrecv is between two ranks; its group has %u", request->n);
    const ability *able = &abilities[request->kind];
    for (uint32_t i = 0; i < able->n; i++)
        if (request->algo == FS_ALGO_AUTO || request->algo == able->algos[i])
            return FS_OK;
    return refuse_algo(request, err);
}

fs_status fs_lower(fs_lowering *low, const fs_coll_request *request, const fs_plan **out, fs_err *err)
{
    fs_status status = check_request(request, err);
    uint32_t group = 0;
    if (status == FS_OK)
        status = find_group(low, request->gpus, request->n, &group, err);
    if (status != FS_OK)
        return status;
    plan_key key = {
        request->size_bytes + 0.0 /* -0 is 0 */, group, request->root, request->kind, request->algo, request->proto, 0};
    const fs_plan *plan = recall_plan(low, &key);
    if (plan != NULL) {
        *out = plan;
        return FS_OK;
    }
    choice c;
    status = choose(low, group, request, &c, err);
    if (status == FS_OK)
        status = make_plan(low, &c, &plan, err);
    if (status == FS_OK)
        status = keep_plan(low, &key, plan, err);
    if (status == FS_OK)
        *out = plan;
    return status;
}
