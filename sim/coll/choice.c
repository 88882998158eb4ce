/* choice.c - which algorithm and protocol; see lowering.h.
 *
 * `auto` estimates every candidate and takes the fastest; ties go to the first in the table below. It looks at what NCCL
 * looks at when it tunes a communicator: the boards, their NICs and their NVLinks, and not at how busy leaves and spines
 * would get. So the choice belongs to the form of a group and not to where in the machine it lies: it is made once, on
 * the first group of the form that asks, and groups that are alike behave alike. */
#include "coll/lowering.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { CANDIDATES = 8 };

/* What can do what. `picked`: the first so many are considered by auto; the rest only by name: NCCL has no one-shot
 * all_gather or reduce_scatter, no NVLS broadcast and nothing hierarchical or
 * in shots, its ring broadcast is the chain, and it knows nothing of tokens. */
typedef struct ability {
    uint32_t n, picked;
    fs_algo algos[CANDIDATES];
} ability;

#define REDUCES                                                                                                        \
    {                                                                                                                  \
        FS_ALGO_RING, FS_ALGO_TREE, FS_ALGO_NVLS, FS_ALGO_NVLSTREE, FS_ALGO_SHARP, FS_ALGO_HIERARCHICAL,               \
            FS_ALGO_ONESHOT, FS_ALGO_TWOSHOT                                                                           \
    }
#define GATHERS                                                                                                        \
    {                                                                                                                  \
        FS_ALGO_RING, FS_ALGO_NVLS, FS_ALGO_PAT, FS_ALGO_DIRECT, FS_ALGO_HIERARCHICAL                                  \
    }

static const ability abilities[FS_COLL_KINDS] = {
    [FS_ALL_REDUCE] = {8, 5, REDUCES},
    [FS_ALL_GATHER] = {5, 3, GATHERS},
    [FS_REDUCE_SCATTER] = {5, 3, GATHERS},
    [FS_ALL_TO_ALL] = {3, 1, {FS_ALGO_DIRECT, FS_ALGO_FORWARDED, FS_ALGO_LOWLATENCY}},
    [FS_BROADCAST] = {3, 1, {FS_ALGO_CHAIN, FS_ALGO_RING, FS_ALGO_NVLS}},
    [FS_REDUCE] = {2, 1, {FS_ALGO_CHAIN, FS_ALGO_RING}},
    [FS_BARRIER] = {8, 5, REDUCES},
    [FS_SENDRECV] = {1, 1, {FS_ALGO_DIRECT}}};

fs_status fs_check_algo(fs_coll_kind kind, fs_algo algo, fs_err *err)
{
    const ability *able = &abilities[kind];
    char can[128] = "";
    for (uint32_t i = 0; i < able->n; i++)
        if (algo == FS_ALGO_AUTO || algo == able->algos[i])
            return FS_OK;
    for (uint32_t i = 0; i < able->n; i++) {
        strcat(can, i == 0 ? "" : i + 1 < able->n ? ", " : " or ");
        strcat(can, fs_algo_names[able->algos[i]]);
    }
    return fs_fail(err, FS_E_TRACE, "%s cannot be done by '%s'; expected auto, %s", fs_coll_names[kind],
                   fs_algo_names[algo], can);
}

static fs_arch arch_of(const fs_topo *topo, uint32_t gpu)
{
    return topo->parts[fs_topo_device(topo, gpu).part].arch;
}

fs_nccl_run fs_nccl_run_of(const fs_lowering *low, const fs_group *group, const fs_request_key *request,
                           const fs_scaled_shape *scaled, double s_per_B, fs_proto proto)
{
    const fs_shape *shape = scaled->shape;
    uint32_t n_nodes = fs_form_of(&low->groups, group)->n_domains;
    fs_nccl_run run = {.kind = fs_kind_of(request),
                       .algo = scaled->algo,
                       .proto = proto,
                       .arch = arch_of(low->hood.topo, group->gpus[0]),
                       .n = group->n,
                       .n_nodes = n_nodes,
                       .apart = request->apart,
                       .channels = shape->channels,
                       .intra_class = shape->intra_class,
                       .registered = low->options.registered,
                       .top_k = request->top_k,
                       .top_domains = request->top_domains,
                       .size_bytes = request->size_bytes,
                       .stream_s = request->size_bytes * s_per_B * scaled->times,
                       .nvlink_s = request->size_bytes * shape->nvlink_s_per_B * scaled->times,
                       .nic_s = request->size_bytes * shape->nic_s_per_B * scaled->times};
    double intra, inter;
    fs_nccl_ring_steps(&run, &intra, &inter);
    if (n_nodes > 1) /* the part between domains alone: what is inside them is part of a hop's figure */
        run.wire_s = scaled->latency_times * (shape->latency_s - shape->within_s) *
                     (scaled->algo == FS_ALGO_RING ? inter / (intra + inter) : 1.0);
    return run;
}

/* What auto goes by: bare costs, or NCCL's belief. INFINITY where there is no such protocol. */
static double estimate(const fs_lowering *low, const fs_group *group, const fs_request_key *request,
                       const fs_scaled_shape *scaled, fs_proto proto)
{
    const fs_shape *shape = scaled->shape;
    if (group->n == 1)
        return 0.0;
    if (low->options.cost == FS_COST_IDEAL)
        return shape->latency_s * scaled->latency_times + request->size_bytes * shape->near_s_per_B * scaled->times;
    fs_nccl_run run = fs_nccl_run_of(low, group, request, scaled, shape->near_s_per_B, proto);
    return fs_nccl_has(&run) ? fs_nccl_belief(low->nccl, &run) : INFINITY;
}

/* The least estimate over the protocols that may be; INFINITY where there is none. */
static double best_proto(const fs_lowering *low, const fs_group *group, const fs_request_key *request,
                         const fs_scaled_shape *scaled, fs_proto *proto)
{
    fs_proto asked = (fs_proto)request->proto, from = asked, to = asked;
    double least = INFINITY;
    bool sends = scaled->algo == FS_ALGO_DIRECT && low->options.cost == FS_COST_NCCL;
    if (asked == FS_PROTO_AUTO && sends) { /* by the size of a message alone (NCCL_P2P_LL_THRESHOLD) */
        double message = request->size_bytes / (request->kind == FS_SENDRECV ? 1 : group->n);
        from = to = message <= low->nccl->p2p_LL_bytes ? FS_PROTO_LL : FS_PROTO_SIMPLE;
    } else if (asked == FS_PROTO_AUTO) {
        from = low->options.cost == FS_COST_IDEAL ? FS_PROTO_SIMPLE : FS_PROTO_LL;
        to = FS_PROTO_SIMPLE;
    }
    for (fs_proto p = from; p <= to; p++) {
        double estimate_s = estimate(low, group, request, scaled, p);
        if (estimate_s < least) {
            least = estimate_s;
            *proto = p;
        }
    }
    return least;
}

static fs_status no_protocol(const fs_request_key *request, fs_algo algo, fs_err *err)
{
    return fs_fail(err, FS_E_TRACE, "protocol %s does not exist for %s by '%s' on these GPUs; Simple does",
                   fs_proto_names[request->proto], fs_coll_names[request->kind], fs_algo_names[algo]);
}

/* Does NCCL consider it there? PAT only with one rank a node, NVLS from so many ranks on a node, SHARP when told to. */
static bool considered(const fs_lowering *low, uint32_t group, fs_algo algo)
{
    const fs_form *form = fs_form_of(&low->groups, &low->groups.groups.data[group]);
    if (algo == FS_ALGO_PAT)
        return form->n_domains == form->n && form->n > 1;
    if (algo == FS_ALGO_SHARP)
        return low->options.sharp;
    if (low->nccl == NULL || algo != FS_ALGO_NVLS)
        return true;
    return form->n / form->n_domains >= low->nccl->releases[low->nccl->release].nvls_ranks;
}

static fs_status pick(fs_lowering *low, uint32_t group, const fs_request_key *request, fs_choice *choice, fs_err *err)
{
    const ability *able = &abilities[request->kind];
    bool any = request->algo == FS_ALGO_AUTO && able->picked > 1;
    uint32_t n = request->algo == FS_ALGO_AUTO ? able->picked : 1;
    double least = INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        fs_algo algo = request->algo == FS_ALGO_AUTO ? able->algos[i] : (fs_algo)request->algo;
        fs_proto proto = FS_PROTO_SIMPLE;
        fs_scaled_shape scaled;
        if (any && !considered(low, group, algo))
            continue;
        /* With one candidate its refusal is the answer. */
        fs_status status = fs_find_shape(low, group, request, algo, any, &scaled, err);
        if (status != FS_OK)
            return status;
        if (scaled.shape == NULL)
            continue;
        double estimate_s = best_proto(low, &low->groups.groups.data[group], request, &scaled, &proto);
        if (estimate_s == INFINITY && !any)
            return no_protocol(request, algo, err);
        if (estimate_s < least) {
            least = estimate_s;
            *choice = (fs_choice){algo, proto};
        }
    }
    return least < INFINITY ? FS_OK : no_protocol(request, FS_ALGO_AUTO, err);
}

static const fs_choice *recall(const fs_lowering *low, const fs_request_key *key, uint64_t hash)
{
    fs_index_probe probe = fs_index_search(&low->choice_index, hash);
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe))
        if (memcmp(&low->choices.data[i].key, key, sizeof *key) == 0)
            return &low->choices.data[i].choice;
    return NULL;
}

fs_status fs_choose(fs_lowering *low, uint32_t group, const fs_request_key *request, fs_choice *choice, fs_err *err)
{
    fs_request_key key = *request;
    key.whose = low->groups.groups.data[group].form;
    uint64_t hash = fs_hash_bytes(FS_HASH_START, &key, sizeof key);
    const fs_choice *known = recall(low, &key, hash);
    if (known != NULL) {
        *choice = *known;
        return FS_OK;
    }
    fs_status status = pick(low, group, request, choice, err);
    if (status != FS_OK)
        return status;
    if (FS_PUSH(&low->choices, ((fs_known_choice){key, *choice})) == NULL)
        return fs_fail_nomem(err);
    if (fs_index_add(&low->choice_index, hash, low->choices.count - 1))
        return FS_OK;
    low->choices.count--;
    return fs_fail_nomem(err);
}
