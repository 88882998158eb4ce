/* training_task.h - what one GPU does for one microbatch in one chunk of layers: a forward pass, a backward pass, or the
 * part of a backward pass that zero-bubble schedules put off. Private to sim/work.
 *
 * A task is made once and repeated for every microbatch, so that programs of a million ops cost a hundred ops'
 * thought. */
#ifndef FS_TRAINING_TASK_H
#define FS_TRAINING_TASK_H

#include "work/layer_kernels.h"

/* Families and streams of a training job; families of one rank do not exist, but for tp and dp. */
typedef struct fs_wiring {
    uint32_t tp, cp, dp, pp, ep, etp, edp; /* families. dp: of gradients, dp x cp */
    uint32_t shard, replica;               /* dp in two: who shards the state, and who has the same shard */
    uint16_t compute, tp_stream, cp_send, cp_recv, dp_stream, edp_stream, gather_stream, ep_stream;
    uint16_t host;          /* the CPU that launches kernels */
    uint16_t pp_streams[4]; /* receive and send forward, receive and send backward */
} fs_wiring;

/* Makes them, in a builder that has its ranks. training_wiring.c */
FS_MUST_CHECK fs_status fs_training_wire(fs_work_builder *b, const fs_training *t, fs_wiring *wiring, fs_err *err);

typedef enum fs_pass { FS_PASS_FORWARD, FS_PASS_BACKWARD, FS_PASS_WEIGHTS, FS_PASSES } fs_pass;

/* What an op of a task waits for, besides ops of the task by their index. */
#define FS_TASK_START (FS_NONE - 1)           /* what came in, and the task before */
#define FS_TASK_GATHER(k) (FS_NONE / 2 + (k)) /* the weights of bucket k of the chunk */

enum { FS_TASK_DEPS = 8, FS_TAG_FORWARD = 0, FS_TAG_BACKWARD = 1, FS_TAG_RING = 2, FS_TAG_EMBEDDING = 3 };

typedef struct fs_task_op {
    fs_op op;
    uint32_t deps[FS_TASK_DEPS], n_deps;
    double launches; /* kernels, collectives and messages: what the CPU has to launch */
    bool counted;    /* the CPU waits for what the GPU did before: it has to know how many tokens each expert gets */
} fs_task_op;

typedef struct fs_task {
    FS_VEC(fs_task_op) ops;
    uint32_t end;        /* its last kernel */
    uint32_t reduced[2]; /* the last reductions of gradients over dp and edp, FS_NONE */
} fs_task;

/* The largest buckets that a walk over layers fills. */
typedef struct fs_bucket_walk {
    double filled;
    fs_gpu_size size;
} fs_bucket_walk;
/* Adds a layer; true when the bucket is full, and then its size is in *full. */
bool fs_bucket_add(const fs_training *t, fs_bucket_walk *walk, uint32_t layer, fs_gpu_size *full);

typedef struct fs_task_request {
    fs_pass pass;
    uint32_t chunk; /* number in the order that a microbatch visits them */
    bool special;   /* forward: the first microbatch; backward, weights: the last one */
    double share;   /* of routed tokens, this rank's position's */
    uint32_t load;  /* id of the shares of all positions, FS_NONE where even */
} fs_task_request;

/* Into an empty task; the caller frees task->ops.data, also where it fails. */
FS_MUST_CHECK fs_status fs_task_make(fs_work_builder *b, const fs_training *t, const fs_wiring *wiring,
                                     const fs_task_request *request, fs_task *task, fs_err *err);

/* Reductions and gatherings of so many parameters, for whoever writes ops: at most 3 ops, one after the other.
 * gradients: reduce; else gather the weights. Returns how many. */
uint32_t fs_training_exchange(const fs_training *t, const fs_wiring *wiring, fs_gpu_size size, bool gradients,
                              fs_op ops[3]);

#endif
