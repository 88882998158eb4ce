/* batcher_in.h - a batcher from inside: batcher.c decides, batcher_lists.c keeps order. Private to these. */
#ifndef FS_BATCHER_IN_H
#define FS_BATCHER_IN_H

#include "base/mem.h"
#include "serve/batcher.h"

typedef struct fs_lane_state {
    uint64_t clock, steps;     /* tokens that each decoding sequence has got; decoding iterations */
    uint64_t context;          /* sum of the tokens in the cache, of decoding sequences */
    uint32_t decodes, running; /* sequences that decode; those and the ones in prefill */
    uint32_t step;             /* of the iteration under way */
    uint32_t without_prompts;  /* iterations since prompts could last go, where they wait for each other */
    uint32_t *ring;            /* (block_tokens) first of those that need a block at clock % block_tokens */
    uint32_t first, last;      /* running ones, the most urgent first */
    fs_ids ends;               /* heap of decoding ones by `ends` */
    fs_ids prefill;            /* in the order in which they started */
    fs_ids fresh;              /* decoding, but not yet in an iteration that ended */
    FS_VEC(fs_chunk) chunks;   /* of the iteration under way */
} fs_lane_state;

struct fs_batcher {
    fs_batcher_def def;
    fs_kv *kv;
    fs_seq *seqs;
    uint32_t ring, lane_seqs, running;
    fs_lane_state *lanes; /* (def.lanes) */
    fs_ids waiting;       /* heap by priority and order */
    fs_ids landed;        /* from landed_next on: prompts that came from another replica */
    uint32_t landed_next;
    fs_ids scratch;
    fs_batcher_news news;
};

/* False: out of memory, and nothing has changed. */
bool fs_ids_add(fs_ids *ids, uint32_t id);
void fs_ids_remove(fs_ids *ids, uint32_t id); /* keeps the order; O(count) */

bool fs_batcher_queue(fs_batcher *b, uint32_t id);
uint32_t fs_batcher_unqueue(fs_batcher *b);

bool fs_ends_add(fs_batcher *b, fs_lane_state *l, uint32_t id);
void fs_ends_remove(fs_batcher *b, fs_lane_state *l, uint32_t id);

void fs_ring_add(fs_batcher *b, fs_lane_state *l, uint32_t id);
void fs_ring_remove(fs_batcher *b, fs_lane_state *l, uint32_t id);

void fs_urgent_add(fs_batcher *b, fs_lane_state *l, uint32_t id);
void fs_urgent_remove(fs_batcher *b, fs_lane_state *l, uint32_t id);

#endif
