/* shape.c - see shape.h. Rows are summed in a dense array over links, so a transfer of any number of edges costs
 * O(shares added) and its pattern O(links touched). */
#include "coll/shape.h"

#include <math.h>
#include <string.h>

fs_status fs_shape_builder_init(fs_shape_builder *b, fs_err *err)
{
    b->row = fs_zalloc(b->topo->n_links, sizeof *b->row);
    b->load = fs_zalloc(b->topo->n_links, sizeof *b->load);
    return b->row == NULL || b->load == NULL ? fs_fail_nomem(err) : FS_OK;
}

void fs_shape_builder_free(fs_shape_builder *b)
{
    fs_free(b->row);
    fs_free(b->load);
    fs_free(b->row_links.data);
    fs_free(b->load_links.data);
    fs_free(b->shares.data);
    fs_free(b->moves.data);
    fs_free(b->arcs.data);
}

/* Also cleans up what a failed build left behind. */
void fs_shape_begin(fs_shape_builder *b)
{
    for (uint32_t i = 0; i < b->row_links.count; i++)
        b->row[b->row_links.data[i]] = 0.0;
    for (uint32_t i = 0; i < b->load_links.count; i++)
        b->load[b->load_links.data[i]] = 0.0;
    b->row_links.count = b->load_links.count = b->moves.count = b->arcs.count = 0;
    b->channels = 1;
    b->intra_class = FS_CLASS_NVLINK;
    b->latency_s = 0.0;
}

fs_status fs_shape_add(fs_shape_builder *b, const fs_share *shares, uint32_t n, double times, fs_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t link = shares[i].resource;
        if (b->row[link] <= 0.0 && FS_PUSH(&b->row_links, link) == NULL)
            return fs_fail_nomem(err);
        b->row[link] += shares[i].coefficient * times;
    }
    return FS_OK;
}

/* Empty the row into the pattern table and the loads. */
static fs_status take_row(fs_shape_builder *b, double share, uint32_t *pattern, fs_err *err)
{
    b->shares.count = 0;
    for (uint32_t i = 0; i < b->row_links.count; i++) {
        uint32_t link = b->row_links.data[i];
        if (FS_PUSH(&b->shares, ((fs_share){link, b->row[link]})) == NULL)
            return fs_fail_nomem(err);
        if (b->load[link] <= 0.0 && FS_PUSH(&b->load_links, link) == NULL)
            return fs_fail_nomem(err);
        b->load[link] += b->row[link] * share;
    }
    for (uint32_t i = 0; i < b->row_links.count; i++)
        b->row[b->row_links.data[i]] = 0.0;
    b->row_links.count = 0;
    return fs_pattern_add(b->patterns, b->shares.data, b->shares.count, pattern, err);
}

fs_status fs_shape_move_end(fs_shape_builder *b, double share, double latency_s, fs_err *err)
{
    b->latency_s = fmax(b->latency_s, latency_s);
    if (b->row_links.count == 0)
        return FS_OK;
    fs_shape_move move = {.share = share, .latency_s = latency_s};
    fs_status status = take_row(b, share, &move.pattern, err);
    if (status != FS_OK)
        return status;
    return FS_PUSH(&b->moves, move) == NULL ? fs_fail_nomem(err) : FS_OK;
}

fs_status fs_shape_edge(fs_shape_builder *b, const fs_route *route, double share, double latency_s, fs_err *err)
{
    fs_status status = fs_shape_add(b, route->shares, route->n_shares, 1.0, err);
    if (status == FS_OK && b->mode == FS_LOWER_FLOWS)
        status = fs_shape_move_end(b, share, latency_s, err);
    return status;
}

fs_status fs_shape_message_end(fs_shape_builder *b, double share, double latency_s, uint32_t class_, uint32_t *id,
                               fs_err *err)
{
    uint32_t pattern = 0;
    fs_status status = take_row(b, share, &pattern, err);
    if (status != FS_OK)
        return status;
    if (FS_PUSH(&b->moves, ((fs_shape_move){pattern, class_, share, latency_s})) == NULL)
        return fs_fail_nomem(err);
    *id = b->moves.count - 1;
    return FS_OK;
}

fs_status fs_shape_message(fs_shape_builder *b, const fs_route *route, double share, uint32_t *id, fs_err *err)
{
    fs_status status = fs_shape_add(b, route->shares, route->n_shares, 1.0, err);
    return status == FS_OK ? fs_shape_message_end(b, share, route->latency_s, route->worst_class, id, err) : status;
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

/* Successor lists by counting sort; arcs of a move keep the order in which they were made. */
static fs_status sort_arcs(const fs_shape_builder *b, fs_shape *shape, fs_err *err)
{
    uint32_t n = b->moves.count;
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

fs_status fs_shape_end(fs_shape_builder *b, fs_algo algo, const fs_shape **out, fs_err *err)
{
    uint32_t n = b->moves.count;
    fs_shape *shape = fs_arena_alloc(b->arena, 1, sizeof *shape);
    fs_shape_move *moves = fs_arena_alloc(b->arena, n, sizeof *moves);
    if (shape == NULL || moves == NULL)
        return fs_fail_nomem(err);
    if (n > 0)
        memcpy(moves, b->moves.data, n * sizeof *moves);
    *shape = (fs_shape){.algo = algo,
                        .n_moves = n,
                        .moves = moves,
                        .channels = b->channels,
                        .intra_class = b->intra_class,
                        .latency_s = b->latency_s};
    for (uint32_t i = 0; i < b->load_links.count; i++) {
        uint32_t link = b->load_links.data[i];
        shape->stream_s_per_B = fmax(shape->stream_s_per_B, b->load[link] / fs_link_capacity(b->topo, link, b->cost));
    }
    fs_status status = sort_arcs(b, shape, err);
    if (status == FS_OK)
        *out = shape;
    return status;
}
