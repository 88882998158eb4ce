/* exchange.h - communication of iterations on the fabric: chains of collectives that move as real transfers.
 *
 * A layer's collectives are the same in all layers, so those of an iteration are one: the moves of one layer's plan, each
 * with so many times the bytes and the latency. What is left out by that is only how layers interleave with kernels;
 * bytes, latencies and contention stay. A chain is a few such steps, one after the other; in a step every group starts
 * at once. The owner is asked about by number. */
#ifndef FS_EXCHANGE_H
#define FS_EXCHANGE_H

#include "coll/coll.h"
#include "engine/engine.h"

/* A group of GPUs, and how the lowering knows it. */
typedef struct fs_group_ref {
    const uint32_t *gpus; /* (n) device ids */
    uint32_t n;
    uint32_t number; /* FS_NONE before it is used */
} fs_group_ref;

typedef struct fs_exchange_step {
    fs_coll_kind kind;
    fs_algo algo;             /* auto: as NCCL chooses */
    fs_proto proto;           /* auto: as NCCL chooses */
    double size_bytes, count; /* of one; how many */
    bool shots;               /* all_reduce: by one or two shots where they are faster than NCCL */
    fs_group_ref *groups;     /* (n_groups) */
    uint32_t n_groups;
    const double *load; /* all_to_all: as coll.h */
    bool transpose;
    uint16_t top_k, top_domains; /* all_to_all by forwarded: as coll.h */
    uint32_t apart;
} fs_exchange_step;

enum { FS_EXCHANGE_STEPS_MAX = 5 };

typedef struct fs_exchange fs_exchange;

/* Everything outlives it. `tag` is or-ed into the tags of its transfers. epoch: whose patterns transfers take. */
FS_MUST_CHECK fs_status fs_exchange_new(fs_engine *engine, fs_lowering *lowering, uint64_t tag, fs_exchange **exchange,
                                        fs_err *err);
void fs_exchange_free(fs_exchange *exchange);

/* Start a chain; *done = true where there was nothing to move. Steps are copied, groups not. */
FS_MUST_CHECK fs_status fs_exchange_begin(fs_exchange *exchange, uint32_t owner, const fs_exchange_step *steps,
                                          uint32_t n_steps, bool *done, fs_err *err);
/* A transfer with its tag has ended. *owner: whose chain ended with it, FS_NONE where none did. */
FS_MUST_CHECK fs_status fs_exchange_event(fs_exchange *exchange, uint64_t tag, uint32_t *owner, fs_err *err);

/* Seconds that a chain takes alone. */
FS_MUST_CHECK fs_status fs_exchange_estimate(fs_exchange *exchange, const fs_exchange_step *steps, uint32_t n_steps,
                                             double *seconds, fs_err *err);

#endif
