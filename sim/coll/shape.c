/* shape.c - see shape.h. Rows are lists of shares that are sorted and summed when they are complete, so a shape costs
 * O(shares added), whatever the size of the machine. */
#include "coll/shape.h"

#include <math.h>
#include <string.h>

void fs_shape_builder_free(fs_shape_builder *b)
{
    fs_free(b->row.shares.data);
    for (uint32_t c = 0; c < FS_LINK_CLASSES; c++)
        fs_free(b->aside[c].shares.data);
    fs_free(b->load.shares.data);
    fs_free(b->moves.data);
    fs_free(b->arcs.data);
}

static void empty(fs_row_sum *sum)
{
    sum->shares.count = sum->merged = 0;
}

/* Also cleans up what a failed build left behind. */
void fs_shape_begin(fs_shape_builder *b)
{
    empty(&b->row);
    empty(&b->load);
    for (uint32_t c = 0; c < FS_LINK_CLASSES; c++)
        empty(&b->aside[c]);
    b->moves.count = b->arcs.count = 0;
    b->channels = 1;
    b->intra_class = FS_CLASS_NVLINK;
    b->latency_s = b->phase_latency_s = b->within_s = 0.0;
    b->stream_s_per_B = b->near_s_per_B = b->nvlink_s_per_B = b->nic_s_per_B = 0.0;
}

static void merge(fs_row_sum *sum)
{
    sum->merged = sum->shares.count = fs_shares_sort(sum->shares.data, sum->shares.count);
}

enum { MERGE_LEAST = 1 << 16 }; /* shares: 1 MB */

static fs_status add(fs_row_sum *sum, const fs_share *shares, uint32_t n, uint32_t first_link, double times,
                     fs_err *err)
{
    for (uint32_t i = 0; i < n && times > 0.0; i++)
        if (FS_PUSH(&sum->shares, ((fs_share){first_link + shares[i].resource, shares[i].coefficient * times})) == NULL)
            return fs_fail_nomem(err);
    if (sum->shares.count >= MERGE_LEAST && sum->shares.count / 2 >= sum->merged)
        merge(sum);
    return FS_OK;
}

fs_status fs_shape_add(fs_shape_builder *b, const fs_share *shares, uint32_t n, uint32_t first_link, double times,
                       fs_err *err)
{
    return add(&b->row, shares, n, first_link, times, err);
}

fs_status fs_shape_set_aside(fs_shape_builder *b, uint32_t class_, double times, fs_err *err)
{
    fs_status status = add(&b->aside[class_], b->row.shares.data, b->row.shares.count, 0, times, err);
    empty(&b->row);
    return status;
}

void fs_shape_take_up(fs_shape_builder *b, uint32_t class_)
{
    fs_row_sum row = b->aside[class_];
    empty(&b->row);
    b->aside[class_] = b->row;
    b->row = row;
}

void fs_shape_drop(fs_shape_builder *b)
{
    empty(&b->row);
}

/* Empty the row into the pattern table and the loads. */
static fs_status take_row(fs_shape_builder *b, double share, uint32_t *pattern, fs_err *err)
{
    merge(&b->row);
    fs_status status = add(&b->load, b->row.shares.data, b->row.shares.count, 0, share, err);
    if (status == FS_OK)
        status = fs_pattern_add(b->patterns, b->row.shares.data, b->row.shares.count, pattern, err);
    empty(&b->row);
    return status;
}

fs_status fs_shape_message_end(fs_shape_builder *b, double share, double latency_s, uint32_t class_, uint32_t *id,
                               fs_err *err)
{
    uint32_t pattern = 0;
    fs_status status = take_row(b, share, &pattern, err);
    if (status != FS_OK)
        return status;
    if (FS_PUSH(&b->moves, ((fs_shape_move){
                               .pattern = pattern, .class_ = class_, .share = share, .latency_s = latency_s})) == NULL)
        return fs_fail_nomem(err);
    *id = b->moves.count - 1;
    return FS_OK;
}

fs_status fs_shape_move_end(fs_shape_builder *b, double share, double latency_s, fs_err *err)
{
    uint32_t id;
    b->latency_s = fmax(b->latency_s, latency_s);
    return b->row.shares.count == 0 ? FS_OK : fs_shape_message_end(b, share, latency_s, FS_CLASS_NVLINK, &id, err);
}

fs_status fs_shape_edge_end(fs_shape_builder *b, double share, fs_err *err)
{
    return b->mode == FS_LOWER_COUPLED ? FS_OK : fs_shape_move_end(b, share, 0.0, err);
}

fs_status fs_shape_edges_end(fs_shape_builder *b, uint32_t first, double share, double latency_s, fs_err *err)
{
    fs_status status = fs_shape_move_end(b, share, latency_s, err);
    for (uint32_t i = first; i < b->moves.count && status == FS_OK; i++)
        b->moves.data[i].latency_s = latency_s;
    return status;
}

fs_status fs_shape_after(fs_shape_builder *b, uint32_t later, uint32_t earlier, fs_err *err)
{
    return FS_PUSH(&b->arcs, ((fs_arc){earlier, later})) == NULL ? fs_fail_nomem(err) : FS_OK;
}

fs_status fs_shape_check_moves(fs_coll_kind kind, fs_algo algo, uint32_t n, double moves, fs_err *err)
{
    if (moves <= FS_MOVES_MAX)
        return FS_OK;
    return fs_fail(err, FS_E_TRACE,
                   "%s of %u ranks by '%s' is %.0f transfers, more than the %d of one plan; lower it coupled",
                   fs_coll_names[kind], n, fs_algo_names[algo], moves, FS_MOVES_MAX);
}

static fs_status need_zeros(fs_shape_builder *b, uint32_t n, fs_err *err)
{
    if (n <= b->n_zeros)
        return FS_OK;
    const uint32_t *zeros = fs_arena_alloc(b->arena, 2 * (size_t)n, sizeof *zeros);
    if (zeros == NULL)
        return fs_fail_nomem(err);
    b->zeros = zeros;
    b->n_zeros = 2 * n;
    return FS_OK;
}

/* Successor lists by counting sort; arcs of a move keep the order in which they were made. */
static fs_status sort_arcs(fs_shape_builder *b, fs_shape *shape, fs_err *err)
{
    uint32_t n = b->moves.count;
    if (b->arcs.count == 0) {
        fs_status status = need_zeros(b, n + 1, err);
        shape->succ_begin = shape->succ = shape->n_pred = b->zeros;
        return status;
    }
    uint32_t *begin = fs_arena_alloc(b->arena, (size_t)n + 2, sizeof *begin);
    uint32_t *succ = fs_arena_alloc(b->arena, b->arcs.count, sizeof *succ);
    uint32_t *n_pred = fs_arena_alloc(b->arena, n, sizeof *n_pred);
    if (begin == NULL || succ == NULL || n_pred == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < b->arcs.count; i++) {
        begin[b->arcs.data[i].from + 2]++;
        n_pred[b->arcs.data[i].to]++;
    }
    for (uint32_t i = 2; i <= n; i++)
        begin[i] += begin[i - 1];
    for (uint32_t i = 0; i < b->arcs.count; i++) /* begin[m + 1] runs from the start of m's list to its end */
        succ[begin[b->arcs.data[i].from + 1]++] = b->arcs.data[i].to;
    shape->succ_begin = begin;
    shape->succ = succ;
    shape->n_pred = n_pred;
    return FS_OK;
}

static bool has_end_on_board(const fs_topo *topo, const fs_link *link)
{
    return fs_topo_device(topo, link->src).kind != FS_DEVICE_NET_SWITCH ||
           fs_topo_device(topo, link->dst).kind != FS_DEVICE_NET_SWITCH;
}

void fs_shape_phase_end(fs_shape_builder *b)
{
    double stream = 0.0, near = 0.0, nvlink = 0.0, nic = 0.0;
    merge(&b->load);
    for (uint32_t i = 0; i < b->load.shares.count; i++) {
        const fs_share *load = &b->load.shares.data[i];
        const fs_link link = fs_topo_link(b->topo, load->resource);
        double s_per_B = load->coefficient / (b->cost == FS_COST_IDEAL ? link.bandwidth_Bps : link.effective_Bps);
        stream = fmax(stream, s_per_B);
        uint32_t class_ = b->topo->link_types[link.type].class_;
        bool longer = s_per_B > near || (class_ == FS_CLASS_NET && s_per_B > nic);
        if (longer && has_end_on_board(b->topo, &link)) {
            near = fmax(near, s_per_B);
            nic = class_ == FS_CLASS_NET ? fmax(nic, s_per_B) : nic;
        }
        if (s_per_B > nvlink && class_ == FS_CLASS_NVLINK)
            nvlink = s_per_B;
    }
    b->stream_s_per_B += stream;
    b->near_s_per_B += near;
    b->nvlink_s_per_B += nvlink;
    b->nic_s_per_B += nic;
    b->phase_latency_s += b->latency_s;
    b->latency_s = 0.0;
    empty(&b->load);
}

fs_status fs_shape_end(fs_shape_builder *b, fs_algo algo, fs_shape **out, fs_err *err)
{
    uint32_t n = b->moves.count;
    fs_shape *shape = fs_arena_alloc(b->arena, 1, sizeof *shape);
    fs_shape_move *moves = fs_arena_alloc(b->arena, n, sizeof *moves);
    if (shape == NULL || moves == NULL)
        return fs_fail_nomem(err);
    if (n > 0)
        memcpy(moves, b->moves.data, n * sizeof *moves);
    fs_shape_phase_end(b);
    *shape = (fs_shape){.algo = algo,
                        .n_moves = n,
                        .moves = moves,
                        .channels = b->channels,
                        .intra_class = b->intra_class,
                        .latency_s = b->phase_latency_s,
                        .within_s = b->within_s,
                        .stream_s_per_B = b->stream_s_per_B,
                        .near_s_per_B = b->near_s_per_B,
                        .nvlink_s_per_B = b->nvlink_s_per_B,
                        .nic_s_per_B = b->nic_s_per_B};
    fs_status status = sort_arcs(b, shape, err);
    if (status == FS_OK)
        *out = shape;
    return status;
}
