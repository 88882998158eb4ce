/* shape.h - a collective on a group, made concrete but for its size: patterns, shares of the bytes, the order.
 *
 * Algorithms (ring.c, tree.c, nvls.c, direct.c, ...) emit edges; the builder turns them into moves as the lowering mode
 * asks. Kept per (group, kind, algorithm, root, load); a plan multiplies it by a size (lower.c). */
#ifndef FS_SHAPE_H
#define FS_SHAPE_H

#include "coll/coll.h"
#include "coll/group.h"

typedef struct fs_shape_move {
    uint32_t pattern;
    uint32_t class_;  /* fs_link_class of the slowest link: messages only */
    uint32_t steps;   /* hierarchical.c: of this class, one after the other; 0: as the whole algorithm */
    double share;     /* of size_bytes: what one edge moves */
    double latency_s; /* on the wire: of the whole algorithm, or of the one message */
} fs_shape_move;

enum { FS_NO_STEPS = 1 << 30 }; /* of a move that only joins others: it takes no time */

typedef struct fs_shape {
    fs_algo algo;
    uint32_t n_moves;
    const fs_shape_move *moves;         /* (n_moves) */
    const uint32_t *succ_begin;         /* (n_moves + 1) */
    const uint32_t *succ;               /* (succ_begin[n_moves]) */
    const uint32_t *n_pred;             /* (n_moves) */
    const uint32_t *const *patterns_at; /* as in fs_plan */
    uint32_t channels;
    uint32_t intra_class;  /* slowest fs_link_class between GPUs of one domain */
    double latency_s;      /* wire latency of the whole algorithm */
    double within_s;       /* trees: the part of it inside domains */
    double stream_s_per_B; /* fluid bound: max over links of sum(coefficient x share) / capacity */
    double near_s_per_B;   /* the same over links with an end on a board: what the form alone decides */
    double nvlink_s_per_B; /* the same over NVLinks */
    double nic_s_per_B;    /* the same over the adapters' cables */
} fs_shape;

typedef struct fs_arc {
    uint32_t from, to; /* moves */
} fs_arc;

/* A sum of rows. Shares are sorted and merged when they have doubled since last time. */
typedef struct fs_row_sum {
    FS_VEC(fs_share) shares;
    uint32_t merged; /* the first so many are sorted and different */
} fs_row_sum;

typedef struct fs_shape_builder {
    const fs_topo *topo;
    fs_pattern_table *patterns;
    fs_arena *arena; /* shapes live here */
    fs_cost cost;
    fs_lowering_mode mode;
    fs_row_sum row;                    /* the transfer that is being put together */
    fs_row_sum aside[FS_LINK_CLASSES]; /* those that wait */
    fs_row_sum load;                   /* sum of coefficient x share so far */
    FS_VEC(fs_shape_move) moves;
    FS_VEC(fs_arc) arcs;
    double stream_s_per_B, near_s_per_B, nvlink_s_per_B, nic_s_per_B; /* of the phases that are complete */
    double phase_latency_s;
    uint32_t n_zeros;
    const uint32_t *zeros;          /* (n_zeros) the order of moves that have none */
    uint32_t channels, intra_class; /* set by the algorithm */
    double within_s;                /* set by trees */
    double latency_s;               /* of the slowest transfer so far */
} fs_shape_builder;

enum { FS_MOVES_MAX = 1 << 22 }; /* of one plan: 200 MB as messages */

void fs_shape_builder_free(fs_shape_builder *b);

void fs_shape_begin(fs_shape_builder *b);
FS_MUST_CHECK fs_status fs_shape_end(fs_shape_builder *b, fs_algo algo, fs_shape **shape, fs_err *err);

/* An edge, or any row of shares, into the transfer that is being put together, `times` over; first_link is added to its
 * links. */
FS_MUST_CHECK fs_status fs_shape_add(fs_shape_builder *b, const fs_share *shares, uint32_t n, uint32_t first_link,
                                     double times, fs_err *err);
/* What was added goes, so many times over, to the transfer of a class of route, which is put together meanwhile; and comes
 * back in place of what was added. */
FS_MUST_CHECK fs_status fs_shape_set_aside(fs_shape_builder *b, uint32_t class_, double times, fs_err *err);
void fs_shape_take_up(fs_shape_builder *b, uint32_t class_);
/* Nothing was added. */
void fs_shape_drop(fs_shape_builder *b);
/* The transfer is complete: one move whose edges each carry `share`. Nothing added: no move,
 * but the latency counts: the slow twin's estimate. */
FS_MUST_CHECK fs_status fs_shape_move_end(fs_shape_builder *b, double share, double latency_s, fs_err *err);
/* An edge of a pipelined algorithm has been added: it stays in the transfer (coupled), or is one of its own (flows). */
FS_MUST_CHECK fs_status fs_shape_edge_end(fs_shape_builder *b, double share, fs_err *err);
/* All edges have been added: the latency is that of every move since move `first`. */
FS_MUST_CHECK fs_status fs_shape_edges_end(fs_shape_builder *b, uint32_t first, double share, double latency_s,
                                           fs_err *err);
/* A message of the slow twin: what was added; and the order among messages. */
FS_MUST_CHECK fs_status fs_shape_message_end(fs_shape_builder *b, double share, double latency_s, uint32_t class_,
                                             uint32_t *id, fs_err *err);
FS_MUST_CHECK fs_status fs_shape_after(fs_shape_builder *b, uint32_t later, uint32_t earlier, fs_err *err);
/* All that was added so far comes before what follows: its bound adds up with that of the rest. */
void fs_shape_phase_end(fs_shape_builder *b);
/* FS_E_TRACE where a plan of so many moves would be too large. */
FS_MUST_CHECK fs_status fs_shape_check_moves(fs_coll_kind kind, fs_algo algo, uint32_t n, double moves, fs_err *err);

#endif
