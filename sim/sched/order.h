/* order.h - the order of issue: what the scheduler looks up for each op, laid out once per program.
 *
 * A lane is a stream that a program uses: lanes of a program are numbered by stream id. Streams run their ops in
 * program order, so an op has ended exactly when its lane's cursor is beyond its position: no bit per (rank, op). */
#ifndef FS_ORDER_H
#define FS_ORDER_H

#include "fold/fold.h"

typedef struct fs_order_program {
    uint32_t n_lanes;
    const uint16_t *lane_stream; /* (n_lanes) stream of each lane, ascending */
    const uint32_t *lane_begin;  /* (n_lanes + 1) */
    const uint32_t *lane_ops;    /* (n_ops) lane after lane, in program order */
    const uint32_t *lane_of;     /* (work->n_streams) lane of each stream, FS_NONE where unused */
    const uint32_t *position;    /* (n_ops) in its lane */
    const uint32_t *coll_begin;  /* (n_families + 1) */
    const uint32_t *coll_ops;    /* collectives of each family, in program order */
} fs_order_program;

typedef struct fs_order {
    const fs_order_program *programs; /* (n_programs) */
    /* (job->n_numberings) -> (n_ops): collectives: number among those of its family; send and recv: number among those
     * of the same kind, slot and tag. */
    const uint32_t *const *sequence;
    struct fs_arena *arena;
} fs_order;

FS_MUST_CHECK fs_status fs_order_make(const fs_job *job, fs_order *order, fs_err *err);
void fs_order_free(fs_order *order);

#endif
