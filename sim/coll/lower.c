/* lower.c - see coll.h and lowering.h. Requests become plans; what has been made is kept.
 *
 * Cost: a request whose plan is known, a hash of the group, O(n); a new size for a known shape, a plan of 24 B a move; a
 * new shape, its routes (algorithms.h). Structure is found once per form (group.h). */
#include "coll/lowering.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

const char *const fs_coll_names[FS_COLL_KINDS] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all",
                                                  "broadcast",  "reduce",     "barrier",        "sendrecv"};
const char *const fs_algo_names[FS_ALGOS] = {"auto",    "ring",     "tree",      "nvls",      "direct",
                                             "chain",   "nvlstree", "sharp",     "pat",       "hierarchical",
                                             "oneshot", "twoshot",  "forwarded", "lowlatency"};
const char *const fs_proto_names[FS_PROTOS] = {"auto", "LL", "LL128", "Simple"};
const char *const fs_cost_names[FS_COSTS] = {"nccl", "ideal"};
const char *const fs_lowering_names[FS_LOWERINGS] = {"coupled", "flows", "messages"};
const char *const fs_cross_rail_names[FS_CROSS_RAILS] = {"topology", "pxn", "network"};

#define BARRIER_BYTES 4.0

double fs_link_capacity(const fs_topo *topo, uint32_t link, fs_cost cost)
{
    const fs_link l = fs_topo_link(topo, link);
    return cost == FS_COST_IDEAL ? l.bandwidth_Bps : l.effective_Bps;
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
    low->nccl = options.nccl;
    if (status == FS_OK && options.cost == FS_COST_NCCL && options.nccl == NULL) {
        status = fs_nccl_table_load(NULL, NULL, NULL, 0, &low->own_nccl, err);
        low->nccl = low->own_nccl;
    }
    if (status == FS_OK)
        status = fs_neighbourhood_init(&low->hood, topo, router, low->arena, err);
    if (status == FS_OK)
        status = fs_groups_init(&low->groups, &low->hood, err);
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
    fs_free(low->loads.data);
    fs_free(low->shapes.data);
    fs_free(low->choices.data);
    fs_free(low->plans.data);
    fs_index_free(&low->load_index);
    fs_index_free(&low->shape_index);
    fs_index_free(&low->choice_index);
    fs_index_free(&low->plan_index);
    fs_shape_builder_free(&low->builder);
    fs_groups_free(&low->groups);
    fs_neighbourhood_free(&low->hood);
    fs_nccl_table_free(low->own_nccl);
    fs_arena_free(low->arena);
    fs_free(low);
}

/* ---- loads ------------------------------------------------------------------------------------------------------- */

/* The number of a load, by its content. */
static fs_status find_load(fs_lowering *low, const double *weights, uint32_t n, uint32_t *id, fs_err *err)
{
    uint64_t hash = fs_hash_bytes(FS_HASH_START, weights, n * sizeof *weights);
    fs_index_probe probe = fs_index_search(&low->load_index, hash);
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe)) {
        const fs_known_load *load = &low->loads.data[i];
        if (load->n == n && memcmp(load->weights, weights, n * sizeof *weights) == 0) {
            *id = i;
            return FS_OK;
        }
    }
    double *copy = fs_arena_alloc(low->arena, n, sizeof *copy);
    if (copy == NULL)
        return fs_fail_nomem(err);
    memcpy(copy, weights, n * sizeof *copy);
    if (FS_PUSH(&low->loads, ((fs_known_load){n, copy})) == NULL)
        return fs_fail_nomem(err);
    *id = low->loads.count - 1;
    if (fs_index_add(&low->load_index, hash, *id))
        return FS_OK;
    low->loads.count--;
    return fs_fail_nomem(err);
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static fs_status emit(const fs_algo_run *run, fs_err *err)
{
    bool rooted = run->kind == FS_BROADCAST || run->kind == FS_REDUCE;
    fs_shape_begin(run->b);
    if (run->group.n == 1)
        return FS_OK;
    switch (run->algo) {
    case FS_ALGO_RING: return rooted ? fs_chain_emit(run, err) : fs_ring_emit(run, err);
    case FS_ALGO_TREE: return fs_tree_emit(run, err);
    case FS_ALGO_NVLS: return fs_nvls_emit(run, err);
    case FS_ALGO_DIRECT: return fs_direct_emit(run, err);
    case FS_ALGO_FORWARDED: return fs_forwarded_emit(run, err);
    case FS_ALGO_NVLSTREE: return fs_nvls_tree_emit(run, err);
    case FS_ALGO_SHARP: return fs_sharp_emit(run, err);
    case FS_ALGO_PAT: return fs_pat_emit(run, err);
    case FS_ALGO_HIERARCHICAL: return fs_hierarchical_emit(run, err);
    case FS_ALGO_CHAIN:
    case FS_ALGO_ONESHOT: /* shapes of direct's: key_of */
    case FS_ALGO_TWOSHOT:
    case FS_ALGO_LOWLATENCY:
    case FS_ALGO_AUTO:
    case FS_ALGOS: break;
    }
    return fs_chain_emit(run, err);
}

/* The same moves with the routes of every epoch: patterns[epoch][move], where they differ from the healthy machine's. */
static fs_status emit_epochs(fs_lowering *low, fs_algo_run *run, fs_shape *shape, fs_err *err)
{
    const fs_topo *topo = low->hood.topo;
    if (low->options.epochs == NULL || topo->link_faults.count == 0)
        return FS_OK;
    const uint32_t **patterns = fs_arena_alloc(low->arena, topo->n_epochs, sizeof *patterns);
    bool any = false;
    if (patterns == NULL)
        return fs_fail_nomem(err);
    for (uint32_t e = 0; e < topo->n_epochs; e++) {
        run->router = low->options.epochs[e];
        run->epoch = e;
        fs_status status = emit(run, err);
        if (status != FS_OK)
            return status;
        bool differ = false;
        for (uint32_t i = 0; i < shape->n_moves && !differ; i++)
            differ = run->b->moves.data[i].pattern != shape->moves[i].pattern;
        if (!differ)
            continue;
        uint32_t *ids = fs_arena_alloc(low->arena, shape->n_moves, sizeof *ids);
        if (ids == NULL)
            return fs_fail_nomem(err);
        for (uint32_t i = 0; i < shape->n_moves; i++)
            ids[i] = run->b->moves.data[i].pattern;
        patterns[e] = ids;
        any = true;
    }
    shape->patterns_at = any ? patterns : NULL;
    return FS_OK;
}

static fs_status build_shape(fs_lowering *low, const fs_shape_key *key, const fs_shape **out, fs_err *err)
{
    const fs_group *group = &low->groups.groups.data[key->group];
    bool network = low->options.cross_rail == FS_CROSS_AS_TOPOLOGY ? low->hood.topo->cross_rail
                                                                   : low->options.cross_rail == FS_CROSS_NETWORK;
    fs_algo_run run = {.hood = &low->hood,
                       .router = low->hood.router,
                       .epoch = FS_NONE,
                       .group = *group,
                       .form = fs_form_of(&low->groups, group),
                       .algo = (fs_algo)key->algo,
                       .kind = (fs_coll_kind)key->kind,
                       .root = key->root,
                       .cross_rail = network,
                       .load = key->load == FS_NONE ? NULL : low->loads.data[key->load].weights,
                       .transpose = key->transpose,
                       .top_k = key->top_k,
                       .top_domains = key->top_domains,
                       .apart = key->apart,
                       .b = &low->builder};
    fs_shape *shape = NULL;
    fs_status status = emit(&run, err);
    if (status == FS_OK)
        status = fs_shape_end(&low->builder, (fs_algo)key->algo, &shape, err);
    if (status == FS_OK)
        status = emit_epochs(low, &run, shape, err);
    if (status == FS_OK)
        *out = shape;
    return status;
}

static bool by_shots(fs_algo algo)
{
    return algo == FS_ALGO_ONESHOT || algo == FS_ALGO_TWOSHOT;
}

/* What stands for a request's collective: see fs_scaled_shape. Only a ring's messages know how often they go round. */
static fs_shape_key key_of(const fs_lowering *low, uint32_t group, const fs_request_key *request, fs_algo algo,
                           fs_scaled_shape *out)
{
    fs_coll_kind kind = fs_kind_of(request);
    bool ring = algo == FS_ALGO_RING, messages = low->options.mode == FS_LOWER_MESSAGES;
    *out = (fs_scaled_shape){.algo = algo, .times = 1.0, .latency_times = 1.0};
    if (ring && kind == FS_ALL_REDUCE && !messages) {
        out->times = out->latency_times = 2.0;
        kind = FS_ALL_GATHER;
    }
    if (ring && kind == FS_REDUCE_SCATTER)
        kind = FS_ALL_GATHER;
    if (by_shots(algo)) { /* all to all the whole buffer; or a part to each, and the sums back */
        out->times = algo == FS_ALGO_ONESHOT ? low->groups.groups.data[group].n : 2.0;
        out->latency_times = algo == FS_ALGO_ONESHOT ? 1.0 : 2.0;
        algo = FS_ALGO_DIRECT;
    }
    if (algo == FS_ALGO_LOWLATENCY)
        algo = FS_ALGO_DIRECT;
    if (algo == FS_ALGO_DIRECT && (kind == FS_ALL_GATHER || kind == FS_REDUCE_SCATTER || kind == FS_ALL_REDUCE))
        kind = FS_ALL_TO_ALL;
    return (fs_shape_key){.group = group,
                          .root = request->root,
                          .load = request->load,
                          .apart = request->apart,
                          .kind = (uint8_t)kind,
                          .algo = (uint8_t)algo,
                          .transpose = request->transpose,
                          .top_k = request->top_k,
                          .top_domains = request->top_domains};
}

fs_status fs_find_shape(fs_lowering *low, uint32_t group, const fs_request_key *request, fs_algo algo, bool quiet,
                        fs_scaled_shape *out, fs_err *err)
{
    fs_known_shape new = {.key = key_of(low, group, request, algo, out)};
    if (by_shots(algo) && fs_form_of(&low->groups, &low->groups.groups.data[group])->n_domains > 1)
        return fs_fail(err, FS_E_TRACE, "'%s' needs all its GPUs in one NVLink domain; ring and tree do without",
                       fs_algo_names[algo]);
    uint64_t hash = fs_hash_bytes(FS_HASH_START, &new.key, sizeof new.key);
    fs_index_probe probe = fs_index_search(&low->shape_index, hash);
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe)) {
        const fs_known_shape *known = &low->shapes.data[i];
        if (memcmp(&known->key, &new.key, sizeof new.key) == 0 && (known->shape != NULL || quiet)) {
            out->shape = known->shape;
            return FS_OK;
        }
    }
    fs_err refusal;
    fs_status status = build_shape(low, &new.key, &new.shape, &refusal);
    if (status != FS_OK && (status != FS_E_TRACE || !quiet)) {
        *err = refusal;
        return status;
    }
    if (FS_PUSH(&low->shapes, new) == NULL)
        return fs_fail_nomem(err);
    if (!fs_index_add(&low->shape_index, hash, low->shapes.count - 1)) {
        low->shapes.count--;
        return fs_fail_nomem(err);
    }
    out->shape = new.shape;
    return FS_OK;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

static double move_latency(const fs_lowering *low, const fs_nccl_run *run, const fs_scaled_shape *scaled,
                           const fs_nccl_time *time, uint32_t i)
{
    const fs_shape *shape = scaled->shape;
    const fs_shape_move *move = &shape->moves[i];
    if (low->options.cost == FS_COST_IDEAL)
        return move->latency_s * scaled->latency_times;
    if (move->steps == FS_NO_STEPS)
        return 0.0;
    if (low->options.mode != FS_LOWER_MESSAGES && move->steps == 0)
        return time->latency_s;
    bool launches = shape->n_pred[i] == 0 || move->steps > 0;
    return (launches ? fs_nccl_launch(low->nccl, run->arch, run->algo, run->proto) : 0.0) +
           (move->steps > 0 ? move->steps : 1) * fs_nccl_hop(low->nccl, run->arch, run->algo, run->proto, move->class_);
}

static fs_status make_plan(fs_lowering *low, const fs_request_key *request, fs_choice choice, const fs_plan **out,
                           fs_err *err)
{
    const fs_group *group = &low->groups.groups.data[request->whose];
    fs_scaled_shape scaled = {0};
    fs_status status = fs_find_shape(low, request->whose, request, choice.algo, false, &scaled, err);
    if (status != FS_OK)
        return status;
    const fs_shape *shape = scaled.shape;
    fs_plan *plan = fs_arena_alloc(low->arena, 1, sizeof *plan);
    fs_move *moves = fs_arena_alloc(low->arena, shape->n_moves, sizeof *moves);
    if (plan == NULL || moves == NULL)
        return fs_fail_nomem(err);
    fs_nccl_run run = fs_nccl_run_of(low, group, request, &scaled, shape->stream_s_per_B, choice.proto);
    bool free = low->options.cost == FS_COST_IDEAL || group->n == 1;
    fs_nccl_time time =
        free ? (fs_nccl_time){.wire = 1.0, .latency_s = group->n == 1 ? 0.0 : shape->latency_s * scaled.latency_times}
             : fs_nccl_cost(low->nccl, &run);
    for (uint32_t i = 0; i < shape->n_moves; i++)
        moves[i] =
            (fs_move){shape->moves[i].pattern, shape->moves[i].share * scaled.times * request->size_bytes * time.wire,
                      move_latency(low, &run, &scaled, &time, i)};
    *plan = (fs_plan){.n_moves = shape->n_moves,
                      .moves = moves,
                      .succ_begin = shape->succ_begin,
                      .succ = shape->succ,
                      .n_pred = shape->n_pred,
                      .patterns_at = shape->patterns_at,
                      .algo = scaled.algo,
                      .proto = choice.proto,
                      .channels = shape->channels,
                      .estimate_s = group->n == 1 ? 0.0 : time.latency_s + time.wire * run.stream_s};
    *out = plan;
    return FS_OK;
}

static const fs_plan *recall_plan(const fs_lowering *low, const fs_request_key *key, uint64_t hash)
{
    fs_index_probe probe = fs_index_search(&low->plan_index, hash);
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe))
        if (memcmp(&low->plans.data[i].key, key, sizeof *key) == 0)
            return low->plans.data[i].plan;
    return NULL;
}

static fs_status keep_plan(fs_lowering *low, const fs_request_key *key, uint64_t hash, const fs_plan *plan, fs_err *err)
{
    if (FS_PUSH(&low->plans, ((fs_known_plan){*key, plan})) == NULL)
        return fs_fail_nomem(err);
    if (fs_index_add(&low->plan_index, hash, low->plans.count - 1))
        return FS_OK;
    low->plans.count--;
    return fs_fail_nomem(err);
}

static fs_status check_load(const fs_coll_request *request, fs_err *err)
{
    double sum = 0.0;
    if (request->kind != FS_ALL_TO_ALL)
        return fs_fail(err, FS_E_TRACE, "%s with a load; only all_to_all has one", fs_coll_names[request->kind]);
    for (uint32_t i = 0; i < request->n; i++) {
        if (!(request->load[i] >= 0.0))
            return fs_fail(err, FS_E_TRACE, "load %u of all_to_all is %g; expected at least 0", i, request->load[i]);
        sum += request->load[i];
    }
    for (uint32_t i = request->apart; request->apart > 0 && i < request->n; i++)
        if (request->load[i] > 0.0)
            return fs_fail(err, FS_E_TRACE, "load %u of all_to_all is %g, of a position that only sends", i,
                           request->load[i]);
    if (request->apart > 0 && request->algo == FS_ALGO_FORWARDED)
        return fs_fail(err, FS_E_TRACE,
                       "all_to_all between two sides by 'forwarded', which is of all to all; 'direct' or 'lowlatency' "
                       "has sides");
    if (request->apart >= request->n)
        return fs_fail(err, FS_E_TRACE, "all_to_all of %u positions that get from nobody", request->n);
    if (!(fabs(sum - 1.0) <= 1e-6))
        return fs_fail(err, FS_E_TRACE, "the loads of all_to_all sum to %g; expected 1", sum);
    return FS_OK;
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
    if (request->load != NULL) {
        fs_status status = check_load(request, err);
        if (status != FS_OK)
            return status;
    }
    if ((request->top_k > 0 || request->top_domains > 0) && request->algo != FS_ALGO_FORWARDED)
        return fs_fail(err, FS_E_TRACE, "%s of %s by '%s'; only all_to_all by 'forwarded' has it",
                       request->top_k > 0 ? "top_k" : "top_domains", name, fs_algo_names[request->algo]);
    return fs_check_algo(request->kind, request->algo, err);
}

static fs_status find_group(fs_lowering *low, const fs_coll_request *request, uint32_t *id, fs_err *err)
{
    if (request->group != NULL && *request->group != FS_NONE) {
        *id = *request->group;
        return FS_OK;
    }
    fs_status status = fs_group_find(&low->groups, request->gpus, request->n, id, err);
    if (status == FS_OK && request->group != NULL)
        *request->group = *id;
    return status;
}

fs_status fs_lower(fs_lowering *low, const fs_coll_request *request, const fs_plan **out, fs_err *err)
{
    bool rooted = request->kind == FS_BROADCAST || request->kind == FS_REDUCE;
    fs_request_key key = {.size_bytes =
                              request->kind == FS_BARRIER ? BARRIER_BYTES : request->size_bytes + 0.0 /* -0 is 0 */,
                          .root = rooted ? request->root : 0,
                          .load = FS_NONE,
                          .apart = request->load != NULL ? request->apart : 0,
                          .kind = (uint8_t)request->kind,
                          .algo = (uint8_t)request->algo,
                          .proto = (uint8_t)request->proto,
                          .transpose = request->load != NULL && request->transpose};
    if (request->algo == FS_ALGO_FORWARDED) {
        key.top_k = request->top_k > 0 ? request->top_k : 1;
        key.top_domains = request->top_domains;
    }
    fs_status status = check_request(request, err);
    if (status == FS_OK)
        status = find_group(low, request, &key.whose, err);
    if (status == FS_OK && request->load != NULL)
        status = find_load(low, request->load, request->n, &key.load, err);
    if (status != FS_OK)
        return status;
    uint64_t hash = fs_hash_bytes(FS_HASH_START, &key, sizeof key);
    const fs_plan *plan = recall_plan(low, &key, hash);
    if (plan == NULL) {
        fs_choice choice = {FS_ALGO_AUTO, FS_PROTO_SIMPLE};
        status = fs_choose(low, key.whose, &key, &choice, err);
        if (status == FS_OK)
            status = make_plan(low, &key, choice, &plan, err);
        if (status == FS_OK)
            status = keep_plan(low, &key, hash, plan, err);
    }
    if (status == FS_OK)
        *out = plan;
    return status;
}
