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
    uint32_t channel, root;
    uint32_t *parent;      /* (n) FS_NONE for the root */
    fs_port *nic;          /* (n) to the parent and from it; offset 0: within the domain, or as the router likes */
    fs_port *parent_nic;   /* (n) the parent's end */
    double *up_s, *down_s; /* (n) latency to the parent, from it */
    uint32_t *order;       /* (n) walks of all domains, heads first */
    uint32_t *begin;       /* (n_domains) where in order[] */
    uint32_t *ids;         /* (4n) scratch for messages */
} tree;

static void free_tree(tree *t)
{
    fs_free(t->parent);
    fs_free(t->nic);
    fs_free(t->parent_nic);
    fs_free(t->up_s);
    fs_free(t->down_s);
    fs_free(t->order);
    fs_free(t->begin);
    fs_free(t->ids);
}

static fs_status new_tree(const fs_algo_run *run, tree *t, fs_err *err)
{
    size_t n = run->group.n;
    t->parent = fs_alloc(n, sizeof *t->parent);
    t->nic = fs_alloc(n, sizeof *t->nic);
    t->parent_nic = fs_alloc(n, sizeof *t->parent_nic);
    t->up_s = fs_alloc(n, sizeof *t->up_s);
    t->down_s = fs_alloc(n, sizeof *t->down_s);
    t->order = fs_alloc(n, sizeof *t->order);
    t->begin = fs_alloc(run->form->n_domains, sizeof *t->begin);
    t->ids = fs_alloc(run->b->mode == FS_LOWER_MESSAGES ? 4 * n : 0, sizeof *t->ids);
    return t->parent && t->nic && t->parent_nic && t->up_s && t->down_s && t->order && t->begin && t->ids
               ? FS_OK
               : fs_fail_nomem(err);
}

/* Heads first, each chain away from its head. In one domain the ring channels have found the way. */
static fs_status walk_all(const fs_algo_run *run, uint32_t c, tree *t, fs_err *err)
{
    const fs_form *form = run->form;
    t->channel = c;
    for (uint32_t d = 0, sum = 0; d < form->n_domains; sum += form->domains[d++].n)
        t->begin[d] = sum;
    if (form->n_domains == 1) {
        for (uint32_t i = 0; i < form->n; i++)
            t->order[i] = form->channels[c].order[i];
        return FS_OK;
    }
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < form->n_domains && status == FS_OK; d++) {
        const fs_domain *domain = &form->domains[d];
        uint32_t head = form->n_rails ? domain->rails[c].enter : domain->members[0];
        status = fs_form_walk(run->hood, form, d, head, FS_NONE, NULL, t->order + t->begin[d], err);
    }
    return status;
}

static fs_port port_of(const fs_form *form, uint32_t domain, uint32_t c)
{
    if (form->n_rails == 0)
        return (fs_port){0};
    const fs_rail *rail = &form->domains[domain].rails[c];
    return (fs_port){rail->enter, rail->enter, rail->offset};
}

/* Who is whose parent in tree `which`, and over which NICs. */
static void connect(const fs_algo_run *run, uint32_t which, tree *t)
{
    const fs_form *form = run->form;
    for (uint32_t d = 0; d < form->n_domains; d++) {
        const uint32_t *chain = t->order + t->begin[d];
        for (uint32_t i = 1; i < form->domains[d].n; i++) {
            t->parent[chain[i]] = chain[i - 1];
            t->nic[chain[i]] = t->parent_nic[chain[i]] = (fs_port){0};
        }
        uint32_t above = fs_tree_parent(d, form->n_domains, which), head = chain[0];
        t->parent[head] = above == FS_NONE ? FS_NONE : t->order[t->begin[above]];
        if (above == FS_NONE) {
            t->root = head;
        } else {
            t->nic[head] = port_of(form, d, t->channel);
            t->parent_nic[head] = port_of(form, above, t->channel);
        }
    }
}

/* Add the edge from position i to its parent, or back. */
static fs_status add_up(const fs_algo_run *run, tree *t, uint32_t i, fs_way *way, fs_err *err)
{
    const uint32_t *domain_of = run->form->domain_of;
    fs_status status = fs_way_cross(run, i, t->nic[i], t->parent_nic[i], t->parent[i], t->channel, way, err);
    if (status != FS_OK)
        return status;
    t->up_s[i] = way->latency_s;
    if (way->worst_class > run->b->intra_class && domain_of[i] == domain_of[t->parent[i]])
        run->b->intra_class = way->worst_class;
    return FS_OK;
}

static fs_status add_down(const fs_algo_run *run, tree *t, uint32_t i, fs_way *way, fs_err *err)
{
    fs_status status = fs_way_cross(run, t->parent[i], t->parent_nic[i], t->nic[i], i, t->channel, way, err);
    t->down_s[i] = status == FS_OK ? way->latency_s : 0.0;
    return status;
}

/* Up and down the longest path, and the part of it inside domains. Paths are short (chain + log n), so each is walked. */
static double tree_latency(const fs_algo_run *run, const tree *t)
{
    const uint32_t *domain_of = run->form->domain_of;
    double longest = 0.0;
    for (uint32_t i = 0; i < run->group.n; i++) {
        double latency = 0.0, within = 0.0;
        for (uint32_t at = i; t->parent[at] != FS_NONE; at = t->parent[at]) {
            double edge_s = t->up_s[at] + t->down_s[at];
            latency += edge_s;
            within += domain_of[at] == domain_of[t->parent[at]] ? edge_s : 0.0;
        }
        if (latency > longest) {
            longest = latency;
            run->b->within_s = within;
        }
    }
    return longest;
}

static fs_status emit(const fs_algo_run *run, tree *t, double share, fs_err *err)
{
    uint32_t first = run->b->moves.count;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < run->group.n && status == FS_OK; i++) {
        fs_way way;
        if (i == t->root)
            continue;
        status = add_up(run, t, i, &way, err);
        if (status == FS_OK)
            status = fs_shape_edge_end(run->b, share, err);
        if (status == FS_OK)
            status = add_down(run, t, i, &way, err);
        if (status == FS_OK)
            status = fs_shape_edge_end(run->b, share, err);
    }
    return status == FS_OK ? fs_shape_edges_end(run->b, first, share, tree_latency(run, t), err) : status;
}

/* One chunk: up[i] waits for the children's up, down[i] for the parent's down (at the root: for all that came up); both
 * for the chunk before on their edge. */
static fs_status emit_chunk(const fs_algo_run *run, tree *t, double share, bool first, fs_err *err)
{
    uint32_t n = run->group.n, root = t->root, *up = t->ids, *down = up + n, *last_up = down + n,
             *last_down = last_up + n;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        fs_way way;
        if (i == root)
            continue;
        status = add_up(run, t, i, &way, err);
        if (status == FS_OK)
            status = fs_shape_message_end(run->b, share, way.latency_s, way.worst_class, &up[i], err);
        if (status == FS_OK)
            status = add_down(run, t, i, &way, err);
        if (status == FS_OK)
            status = fs_shape_message_end(run->b, share, way.latency_s, way.worst_class, &down[i], err);
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

static fs_status emit_messages(const fs_algo_run *run, tree *t, double share, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t k = 0; k < FS_CHUNKS && status == FS_OK; k++)
        status = emit_chunk(run, t, share / FS_CHUNKS, k == 0, err);
    return status == FS_OK ? fs_shape_move_end(run->b, 0.0, tree_latency(run, t), err) : status;
}

fs_status fs_tree_emit(const fs_algo_run *run, fs_err *err)
{
    const fs_form *form = run->form;
    fs_status status = fs_form_find_channels(run->hood, run->form, err);
    if (status != FS_OK)
        return status;
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    uint32_t trees = form->n_domains > 1 ? 2 : 1;
    run->b->channels = form->n_channels;
    if (run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_TREE, form->n,
                                      2.0 * trees * form->n_channels * (form->n - 1) * (messages ? FS_CHUNKS : 1), err);
    tree t = {0};
    if (status == FS_OK)
        status = new_tree(run, &t, err);
    for (uint32_t c = 0; c < form->n_channels && status == FS_OK; c++) {
        status = walk_all(run, c, &t, err);
        for (uint32_t which = 0; which < trees && status == FS_OK; which++) {
            connect(run, which, &t);
            status = (messages ? emit_messages : emit)(run, &t, form->channels[c].share / trees, err);
        }
    }
    free_tree(&t);
    return status;
}
