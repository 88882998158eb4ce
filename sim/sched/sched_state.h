/* sched_state.h - what changes while a job runs. Private to sched/: sched.c changes it, stuck.c reads it. */
#ifndef FS_SCHED_STATE_H
#define FS_SCHED_STATE_H

#include "sched/order.h"
#include "sched/sched.h"

typedef enum fs_lane_state {
    FS_LANE_READY, /* in the queue of lanes to look at */
    FS_LANE_WAITS, /* its next op depends on an op that has not ended */
    FS_LANE_BUSY,  /* its next op is issued and has not ended */
    FS_LANE_FINISHED
} fs_lane_state;

/* A stream of an actor. Lanes of all actors are numbered through. */
typedef struct fs_lane {
    const uint32_t *ops; /* (n_ops) of the actor's program, in program order */
    uint32_t n_ops;
    uint32_t actor;
    uint32_t cursor;    /* ops of the lane that have ended */
    uint32_t state;     /* fs_lane_state */
    uint32_t waits_for; /* FS_LANE_WAITS: op of the same actor */
    uint32_t waiter;    /* first lane that waits for an op of this lane, FS_NONE at the end */
    uint32_t next;      /* the next lane that waits for the same lane */
} fs_lane;

/* A collective or a transfer under way: from the first member's issue to the end. Every open one occupies a lane, so
 * there are never more of them than lanes. */
typedef struct fs_meeting {
    uint32_t family;           /* collectives; FS_NONE for transfers */
    uint32_t place, slot, tag; /* (meeting, FS_NONE, 0) or (actor of the sender, its slot for the receiver, tag) */
    uint32_t sequence;         /* which one of these */
    uint32_t members, arrived; /* how many there are, and how many have issued it */
    uint32_t lane[2];          /* transfers: of the sender, of the receiver; collectives of one member: its lane */
    uint32_t next;             /* in the hash bucket, or among the free */
    uint32_t moves_left;
    uint32_t counters; /* room in waits[] */
    uint32_t *waits;   /* (n_moves) predecessors of each move that are not done */
    const fs_plan *plan;
} fs_meeting;

typedef struct fs_sched {
    const fs_job *job;
    fs_engine *engine;
    fs_sched_calls calls;
    fs_order order;
    double now_s, end_s;

    uint32_t n_lanes, unfinished;
    uint32_t *lane_begin; /* (n_actors + 1) */
    fs_lane *lanes;       /* (n_lanes) */
    uint32_t *ready;      /* (n_lanes) ring: lanes to look at, each at most once */
    uint32_t ready_head, ready_count;

    fs_meeting *meetings;    /* (n_lanes) */
    uint32_t free_meeting;   /* chained by next */
    uint32_t *buckets, mask; /* meetings that wait for members, by what they are */
    uint32_t *sm_taken;      /* (n_actors) parts of a million */

    uint32_t epoch;         /* of the job, now */
    const double *capacity; /* (n_resources) of this epoch */
} fs_sched;

static inline const fs_order_program *fs_sched_program(const fs_sched *s, uint32_t actor)
{
    return &s->order.programs[s->job->actor_program[actor]];
}

static inline uint32_t fs_sched_lane_of(const fs_sched *s, uint32_t actor, uint32_t stream)
{
    return s->lane_begin[actor] + fs_sched_program(s, actor)->lane_of[stream];
}

static inline uint32_t fs_sched_sequence(const fs_sched *s, uint32_t actor, uint32_t op)
{
    return s->order.sequence[s->job->actor_numbering[actor]][op];
}

/* The op at the cursor of a lane that is not finished. */
static inline uint32_t fs_sched_op_of(const fs_sched *s, uint32_t lane)
{
    return s->lanes[lane].ops[s->lanes[lane].cursor];
}

static inline const fs_program *fs_sched_ops(const fs_sched *s, uint32_t actor)
{
    return &s->job->work->programs[s->job->actor_program[actor]];
}

/* FS_E_SIM that tells who waits for whom. */
FS_MUST_CHECK fs_status fs_sched_fail_stuck(const fs_sched *s, fs_err *err);

#endif
