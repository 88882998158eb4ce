/* tree.c - chains inside a domain, a double binary tree over domains: all_reduce as NCCL does it; see algorithms.h.
 *
 * Per channel (rail) and domain a chain starts at the head, the GPU of the rail. Bytes are reduced along the chain to
 * the head, up a binary tree of heads to the root, and broadcast the same way back, pipelined: every edge carries its
 * bytes once up and once down. Two trees carry half of the bytes each; a domain that is inside the one is a leaf of
 * the other, so each domain's NIC sends and receives about 2 B however many domains there are (P. Sanders, J. Speck,
 * J. L. Traff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan", Parallel Computing 35, 2009).
 * In a single domain there is no tree above the chain: one chain per ring channel, up and down.
 * Latency: up and down the longest path from a leaf to the root. */
#include "coll/algorithms.h"

#include <math.h>

/* Tree 0: node's lowest set bit b leads to node - b + 2b, or to node - b where that is outside; odd nodes are leaves.
 * Tree 1 is tree 0 mirrored (n even) or shifted by one (n odd), which turns leaves into inner nodes. */
uint32_t fs_tree_parent(uint32_t node, uint32_t n, uint32_t tree)
{
    uint32_t x = tree == 0 ? node : n % 2 == 0 ? n - 1 - node : (node + n - 1) % n;
    if (x == 0)
        return FS_NONE;
    uint32_t bit = x & (~x + 1u), up = (x ^ bit) | bit << 1;
    if (up >= n)
        up = x ^ bit;
    return tree == 0 ? up : n % 2 == 0 ? n - 1 - up : (up + 1) % n;
}

/* One tree of one channel, by position in the group. */
typedef struct tree {
    uint32_t root;
    uint32_t *parent;      /* (n) FS_NONE for the root */
    const fs_route **up;   /* (n) to the parent; unset for the root */
    const fs_route **down; /* (n) from the parent */
    uint32_t *order;       /* (n) walks of all domains, heads first */
    uint32_t *begin;       /* (n_domains) where in order[] */
    uint32_t *ids;         /* (4n) scratch for messages */
} tree;

static void free_tree(tree *t)
{
    fs_free(t->parent);
    fs_free(t->up);
    fs_free(t->down);
    fs_free(t->order);
    fs_free(t->begin);
    fs_free(t->ids);
}

static fs_status new_tree(const fs_group *group, tree *t, fs_err *err)
{
    size_t n = group->n;
    t->parent = fs_alloc(n, sizeof *t->parent);
    t->up = fs_alloc(n, sizeof(fs_route *));
    t->down = fs_alloc(n, sizeof(fs_route *));
    t->order = fs_alloc(n, sizeof *t->order);
    t->begin = fs_alloc(group->n_domains, sizeof *t->begin);
    t->ids = fs_alloc(4 * n, sizeof *t->ids);
    return t->parent && t->up && t->down && t->order && t->begin && t->ids ? FS_OK : fs_fail_nomem(err);
}

/* Heads first, each chain away from its head. In one domain the ring channels have found the way. */
static fs_status walk_all(const fs_algo_run *run, uint32_t c, tree *t, fs_err *err)
{
    const fs_group *group = run->group;
    for (uint32_t d = 0, sum = 0; d < group->n_domains; sum += group->domains[d++].n)
        t->begin[d] = sum;
    if (group->n_domains == 1) {
        for (uint32_t i = 0; i < group->n; i++)
            t->order[i] = group->channels[c].order[i];
        return FS_OK;
    }
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < group->n_domains && status == FS_OK; d++) {
        const fs_domain *domain = &group->domains[d];
        uint32_t head = group->n_rails ? domain->rails[c].enter : domain->members[0];
        status = fs_group_walk(run->hood, group, d, head, FS_NONE, NULL, t->order + t->begin[d], err);
    }
    return status;
}

static fs_status route_pair(const fs_algo_run *run, uint32_t child, uint32_t child_nic, uint32_t parent,
                            uint32_t parent_nic, tree *t, fs_err *err)
{
    const uint32_t *gpus = run->group->gpus;
    t->parent[child] = parent;
    fs_status status = fs_group_cross(run->hood, gpus[child], child_nic, parent_nic, gpus[parent], &t->up[child], err);
    if (status == FS_OK)
        status = fs_group_cross(run->hood, gpus[parent], parent_nic, child_nic, gpus[child], &t->down[child], err);
    return status;
}

static fs_status connect(const fs_algo_run *run, uint32_t c, uint32_t which, tree *t, fs_err *err)
{
    const fs_group *group = run->group;
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < group->n_domains && status == FS_OK; d++) {
        const uint32_t *chain = t->order + t->begin[d];
        for (uint32_t i = 1; i < group->domains[d].n && status == FS_OK; i++)
            status = route_pair(run, chain[i], FS_NONE, chain[i - 1], FS_NONE, t, err);
        for (uint32_t i = 1; i < group->domains[d].n && status == FS_OK; i++)
            if (t->up[chain[i]]->worst_class > run->b->intra_class)
                run->b->intra_class = t->up[chain[i]]->worst_class;
        uint32_t above = fs_tree_parent(d, group->n_domains, which);
        if (above == FS_NONE) {
            t->root = chain[0];
            t->parent[chain[0]] = FS_NONE;
        } else if (status == FS_OK) {
            uint32_t nic = group->n_rails ? group->domains[d].rails[c].nic : FS_NONE;
            uint32_t above_nic = group->n_rails ? group->domains[above].rails[c].nic : FS_NONE;
            status = route_pair(run, chain[0], nic, t->order[t->begin[above]], above_nic, t, err);
        }
    }
    return status;
}

/* Up and down the longest path. Paths are short (chain + log n), so each is walked. */
static double tree_latency(const fs_group *group, const tree *t)
{
    double longest = 0.0;
    for (uint32_t i = 0; i < group->n; i++) {
        double latency = 0.0;
        for (uint32_t at = i; t->parent[at] != FS_NONE; at = t->parent[at])
            latency += t->up[at]->latency_s + t->down[at]->latency_s;
        longest = fmax(longest, latency);
    }
    return longest;
}

static fs_status emit(const fs_algo_run *run, const tree *t, double share, fs_err *err)
{
    double latency = tree_latency(run->group, t);
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < run->group->n && status == FS_OK; i++) {
        if (i == t->root)
            continue;
        status = fs_shape_edge(run->b, t->up[i], share, latency, err);
        if (status == FS_OK)
            status = fs_shape_edge(run->b, t->down[i], share, latency, err);
    }
    return status == FS_OK ? fs_shape_move_end(run->b, share, latency, err) : status;
}

/* One chunk: up[i] waits for the children's up, down[i] for the parent's down (at the root: for all that came up); both
 * for the chunk before on their edge. */
static fs_status emit_chunk(const fs_algo_run *run, const tree *t, double share, bool first, uint32_t *up,
                            uint32_t *down, uint32_t *last_up, uint32_t *last_down, fs_err *err)
{
    uint32_t n = run->group->n, root = t->root;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        if (i == root)
            continue;
        status = fs_shape_message(run->b, t->up[i], share, &up[i], err);
        if (status == FS_OK)
            status = fs_shape_message(run->b, t->down[i], share, &down[i], err);
        if (status == FS_OK && !first)
            status = fs_shape_after(run->b, up[i], last_up[i], err);
        if (status == FS_OK && !first)
            status = fs_shape_after(run->b, down[i], last_down[i], err);
        last_up[i] = up[i];
        last_down[i] = down[i];
    }
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        uint32_t parent = t->parent[i];
        if (i == root)
            continue;
        if (parent != root) {
            status = fs_shape_after(run->b, up[parent], up[i], err);
            if (status == FS_OK)
                status = fs_shape_after(run->b, down[i], down[parent], err);
            continue;
        }
        for (uint32_t k = 0; k < n && status == FS_OK; k++)
            if (k != root && t->parent[k] == root)
                status = fs_shape_after(run->b, down[i], up[k], err);
    }
    return status;
}

static fs_status emit_messages(const fs_algo_run *run, const tree *t, double share, fs_err *err)
{
    uint32_t n = run->group->n;
    fs_status status = FS_OK;
    for (uint32_t k = 0; k < FS_CHUNKS && status == FS_OK; k++)
        status = emit_chunk(run, t, share / FS_CHUNKS, k == 0, t->ids, t->ids + n, t->ids + 2 * (size_t)n,
                            t->ids + 3 * (size_t)n, err);
    return status == FS_OK ? fs_shape_move_end(run->b, 0.0, tree_latency(run->group, t), err) : status;
}

fs_status fs_tree_emit(const fs_algo_run *run, fs_err *err)
{
    const fs_group *group = run->group;
    fs_status status = fs_group_find_channels(run->hood, run->group, err);
    if (status != FS_OK)
        return status;
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    uint32_t trees = group->n_domains > 1 ? 2 : 1;
    run->b->channels = group->n_channels;
    if (run->b->mode != FS_LOWER_COUPLED)
        status =
            fs_shape_check_moves(run->kind, FS_ALGO_TREE, group->n,
                                 2.0 * trees * group->n_channels * (group->n - 1) * (messages ? FS_CHUNKS : 1), err);
    tree t = {0};
    if (status == FS_OK)
        status = new_tree(group, &t, err);
    for (uint32_t c = 0; c < group->n_channels && status == FS_OK; c++) {
        status = walk_all(run, c, &t, err);
        for (uint32_t which = 0; which < trees && status == FS_OK; which++) {
            status = connect(run, c, which, &t, err);
            if (status == FS_OK)
                status = (messages ? emit_messages : emit)(run, &t, group->channels[c].share / trees, err);
        }
    }
    free_tree(&t);
    return status;
}
