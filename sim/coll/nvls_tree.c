/* nvls_tree.c - NVLS in each node, a double binary tree over nodes on every rail: all_reduce; see heads.h, algorithms.h.
 *
 * With B the bytes of a rail's slice and d nodes: two trees (tree.c) with B/2 each, so 2(d - 1) edges a tree. All is
 * pipelined: a rail's tree is one transfer, with its edges and the loads and stores of all nodes, which carry the same.
 * Flows: one transfer per load, per store and per edge. Messages: FS_CHUNKS chunks; a head sends up what it has loaded
 * and what came from below, and stores what comes down. */
#include "coll/heads.h"

#include <math.h>

static fs_port port_of(const fs_algo_run *run, const fs_heads *h, uint32_t domain)
{
    const fs_rail *rail = fs_head_rail(run, h, domain);
    return (fs_port){rail->enter, rail->enter, rail->offset};
}

/* The edge between the head of domain d and its parent. */
static fs_status add_edge(const fs_algo_run *run, fs_heads *h, uint32_t d, bool up, fs_way *way, fs_err *err)
{
    uint32_t from = up ? d : h->parent[d], to = up ? h->parent[d] : d;
    fs_status status = fs_way_cross(run, fs_head_rail(run, h, from)->enter, port_of(run, h, from), port_of(run, h, to),
                                    fs_head_rail(run, h, to)->enter, h->rail, way, err);
    if (status == FS_OK)
        *(up ? &h->up_s[d] : &h->down_s[d]) = way->latency_s;
    return status;
}

static double tree_latency(const fs_algo_run *run, const fs_heads *h)
{
    double longest = 0.0;
    for (uint32_t d = 0; d < run->form->n_domains; d++) {
        double latency = 0.0;
        for (uint32_t at = d; h->parent[at] != FS_NONE; at = h->parent[at])
            latency += h->up_s[at] + h->down_s[at];
        longest = fmax(longest, latency);
    }
    run->b->within_s = fs_heads_latency(run, h);
    return longest + run->b->within_s;
}

static fs_status emit(const fs_algo_run *run, fs_heads *h, double share, fs_err *err)
{
    uint32_t first = run->b->moves.count;
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < run->form->n_domains && status == FS_OK; d++) {
        fs_way way;
        for (uint32_t load = 0; load < 2 && status == FS_OK; load++) {
            status = fs_head_nvls(run, h, d, load, err);
            if (status == FS_OK)
                status = fs_shape_edge_end(run->b, share, err);
        }
        for (uint32_t up = 0; up < 2 && h->parent[d] != FS_NONE && status == FS_OK; up++) {
            status = add_edge(run, h, d, up, &way, err);
            if (status == FS_OK)
                status = fs_shape_edge_end(run->b, share, err);
        }
    }
    return status == FS_OK ? fs_shape_edges_end(run->b, first, share, tree_latency(run, h), err) : status;
}

/* All messages of one chunk, into ids: loads, ups, downs, stores of each domain. */
static fs_status make_chunk(const fs_algo_run *run, fs_heads *h, double share, fs_err *err)
{
    uint32_t n = run->form->n_domains, *ids = h->ids;
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < n && status == FS_OK; d++) {
        fs_way up = {0}, down = {0};
        bool root = h->parent[d] == FS_NONE;
        status = fs_head_nvls(run, h, d, true, err);
        if (status == FS_OK)
            status = fs_head_message(run, share, h->nvls[d].latency_s, FS_CLASS_NVLINK, &ids[d], err);
        if (status == FS_OK && !root)
            status = add_edge(run, h, d, true, &up, err);
        if (status == FS_OK)
            status = fs_head_message(run, share, up.latency_s, up.worst_class, &ids[n + d], err);
        if (status == FS_OK && !root)
            status = add_edge(run, h, d, false, &down, err);
        if (status == FS_OK)
            status = fs_head_message(run, share, down.latency_s, down.worst_class, &ids[2 * n + d], err);
        if (status == FS_OK)
            status = fs_head_nvls(run, h, d, false, err);
        if (status == FS_OK)
            status = fs_head_message(run, share, h->nvls[d].latency_s, FS_CLASS_NVLINK, &ids[3 * n + d], err);
    }
    return status;
}

/* What waits for all that the root has: its own load and what came up to it. */
static fs_status after_root(const fs_algo_run *run, const fs_heads *h, uint32_t root, uint32_t later, fs_err *err)
{
    uint32_t n = run->form->n_domains;
    fs_status status = fs_head_after(run, later, h->ids[root], err);
    for (uint32_t d = 0; d < n && status == FS_OK; d++)
        if (h->parent[d] == root)
            status = fs_head_after(run, later, h->ids[n + d], err);
    return status;
}

static fs_status order_chunk(const fs_algo_run *run, const fs_heads *h, fs_err *err)
{
    uint32_t n = run->form->n_domains;
    const uint32_t *load = h->ids, *up = load + n, *down = up + n, *store = down + n;
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < n && status == FS_OK; d++) {
        uint32_t parent = h->parent[d];
        status = fs_head_after(run, up[d], load[d], err);
        if (parent == FS_NONE) {
            if (status == FS_OK)
                status = after_root(run, h, d, store[d], err);
            continue;
        }
        if (status == FS_OK)
            status = fs_head_after(run, store[d], down[d], err);
        if (status == FS_OK && h->parent[parent] == FS_NONE) {
            status = after_root(run, h, parent, down[d], err);
        } else if (status == FS_OK) {
            status = fs_head_after(run, up[parent], up[d], err);
            if (status == FS_OK)
                status = fs_head_after(run, down[d], down[parent], err);
        }
    }
    return status;
}

static fs_status emit_messages(const fs_algo_run *run, fs_heads *h, double share, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t k = 0; k < FS_CHUNKS && status == FS_OK; k++) {
        uint32_t *swap = h->last_ids;
        h->last_ids = h->ids;
        h->ids = swap;
        status = make_chunk(run, h, share / FS_CHUNKS, err);
        if (status == FS_OK)
            status = order_chunk(run, h, err);
        for (uint32_t i = 0; i < 4 * run->form->n_domains && k > 0 && status == FS_OK; i++)
            status = fs_head_after(run, h->ids[i], h->last_ids[i], err);
    }
    return status == FS_OK ? fs_shape_move_end(run->b, 0.0, tree_latency(run, h), err) : status;
}

fs_status fs_nvls_tree_emit(const fs_algo_run *run, fs_err *err)
{
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    uint32_t n = run->form->n_domains;
    fs_heads h = {0};
    fs_status status = fs_heads_init(run, &h, err);
    uint32_t rails = run->form->n_rails;
    if (status == FS_OK && n == run->group.n)
        status = fs_fail(err, FS_E_TRACE, "nvlstree needs several GPUs on a node; ring and tree do with one");
    if (status == FS_OK && run->b->mode != FS_LOWER_COUPLED)
        status =
            fs_shape_check_moves(run->kind, run->algo, run->group.n, 8.0 * rails * n * (messages ? FS_CHUNKS : 1), err);
    for (h.rail = 0; h.rail < rails && status == FS_OK; h.rail++) {
        for (uint32_t which = 0; which < 2 && status == FS_OK; which++) {
            for (uint32_t d = 0; d < n; d++)
                h.parent[d] = fs_tree_parent(d, n, which);
            status = (messages ? emit_messages : emit)(run, &h, 0.5 / rails, err);
        }
    }
    fs_heads_free(run, &h);
    return status;
}
