/* serve_state.h - a run of fs_serve from inside: serve.c has the iterations, serve_arrivals.c the requests,
 * serve_kv.c the caches that travel.
 * Private to these. */
#ifndef FS_SERVE_STATE_H
#define FS_SERVE_STATE_H

#include "base/mem.h"
#include "serve/serve.h"

/* Tags of events: what it is in the two highest bits, which service's below them; these are without the latter. */
#define FS_TAG_ARRIVAL (UINT64_C(0) << 62)
#define FS_TAG_COMPUTE (UINT64_C(1) << 62)
#define FS_TAG_EXCHANGE (UINT64_C(2) << 62)
#define FS_TAG_KV (UINT64_C(3) << 62)
#define FS_TAG_SWAP_OUT (FS_TAG_KV | UINT64_C(1) << 32)
#define FS_TAG_SWAP_IN (FS_TAG_KV | UINT64_C(2) << 32)

typedef enum fs_lane_phase { FS_LANE_IDLE, FS_LANE_QUEUED, FS_LANE_STAGE, FS_LANE_SEND } fs_lane_phase;

typedef struct fs_lane {
    uint32_t replica, index;
    uint8_t phase;         /* fs_lane_phase */
    uint32_t stage, parts; /* parts of the stage that have not ended: kernels, communication */
    fs_batch batch;
    double since_s;     /* idle, in a queue, in a stage, on the way to the next */
    double last_step_s; /* the end of the last iteration with decoding */
} fs_lane;

typedef struct fs_station {
    bool busy;
    uint32_t *queue; /* (room) lanes that wait for it, a ring from head on */
    uint32_t head, count, room;
} fs_station;

/* What there is of a replica beside fs_replica. */
typedef struct fs_post {
    fs_station *stations; /* (pp) where stages of iterations are */
    uint32_t next_lane;   /* to be looked at first */
    uint32_t under_way;   /* requests that were sent here and have not ended */
    fs_ids landing;       /* from landing_next on: computed elsewhere, no blocks here yet */
    uint32_t landing_next;
    double used_since_s; /* blocks in use so far are summed up to here */
    uint64_t used;
    bool kicked; /* is in the list */
} fs_post;

/* A request on its way from one replica to another. */
typedef struct fs_passage {
    uint32_t moving; /* transfers that have not ended */
    bool reserved;   /* has blocks there */
    bool computed;   /* its prompt is */
    double last_token_s;
    bool leaving, wanted; /* its cache is on the way to the CPU; and has blocks to come back to */
} fs_passage;

typedef struct fs_serving {
    fs_cluster *c;
    const fs_requests *requests;
    fs_engine *engine;
    fs_exchange *exchange;
    fs_serve_out *run;
    uint64_t tag; /* in all its tags: whose they are */
    double now_s;
    uint32_t arrived, ended;
    fs_lane *lanes;          /* (n_lanes) */
    fs_post *posts;          /* (n_replicas) */
    fs_passage *passages;    /* (requests) */
    fs_ids entries, targets; /* replicas that take requests; that decode for them, none where entries do */
    uint32_t next_entry, next_target;
    fs_ids kicked; /* replicas that may start something */
    fs_arena *arena;
} fs_serving;

/* Sum up the blocks in use until now; before and after anything that changes them. */
void fs_serving_note_blocks(fs_serving *s, uint32_t replica);
/* Start what the replica can, once this event is dealt with: what it composes then sees all that the event did. */
FS_MUST_CHECK fs_status fs_serving_kick(fs_serving *s, uint32_t replica, fs_err *err);
/* The first requests, or the wait for them; those that come now, which may then share an iteration; one is over, and in a
 * closed loop the next one comes. */
FS_MUST_CHECK fs_status fs_serving_begin(fs_serving *s, fs_err *err);
FS_MUST_CHECK fs_status fs_serving_arrival(fs_serving *s, fs_err *err);
FS_MUST_CHECK fs_status fs_serving_end_request(fs_serving *s, fs_err *err);
/* Of a list of replicas the one that the router picks for a request. */
uint32_t fs_serving_pick(fs_serving *s, const fs_ids *among, uint32_t *next, uint32_t request);

/* The prompt of a request starts: where will it go on? */
void fs_serving_aim(fs_serving *s, uint32_t request);
/* A chunk of a prompt is being computed, in compute_s from now on; it is done. */
FS_MUST_CHECK fs_status fs_serving_chunk_begins(fs_serving *s, uint32_t request, uint32_t tokens, double compute_s,
                                                fs_err *err);
FS_MUST_CHECK fs_status fs_serving_chunk_ends(fs_serving *s, uint32_t request, uint32_t tokens, fs_err *err);
/* The prompt is done, and more tokens are to come. */
FS_MUST_CHECK fs_status fs_serving_prompt_done(fs_serving *s, uint32_t request, fs_err *err);
/* A transfer of a request's cache has ended; tag: all of it. */
FS_MUST_CHECK fs_status fs_serving_kv_event(fs_serving *s, uint64_t tag, fs_err *err);
/* What the composition on a replica sent to the CPU, and what it calls back. */
FS_MUST_CHECK fs_status fs_serving_swap(fs_serving *s, uint32_t replica, fs_err *err);
/* A replica may have blocks again for those that wait to land. */
FS_MUST_CHECK fs_status fs_serving_land(fs_serving *s, uint32_t replica, fs_err *err);

#endif
