/* batcher.h - which sequences a replica works on in its next iteration: continuous batching, without any time.
 *
 * Sequences wait, compute their prompt (prefill), then get their answer token by token (decode). An iteration gives every
 * decoding sequence of a lane its next token(s) and spends what is left of max_tokens on prompts, those that have begun
 * first, then waiting ones by priority and order of arrival. Where no block is free for a decoding sequence, the least
 * urgent one of its lane loses its blocks and computes them again later (recompute). A pipeline of n stages has n lanes,
 * so that each stage may work on the iteration of another lane; a lane composes no iteration before the last one ended.
 * Ranks of attention with sequences of their own wait for each other in every layer with experts: with `balance` prompts
 * wait until each rank has one, so that they stop all ranks together and not one after the other.
 * (Yu et al., "Orca", OSDI 2022; Agrawal et al., "Sarathi-Serve", OSDI 2024; Kwon et al., SOSP 2023.)
 *
 * A lane counts the tokens that each of its decoding sequences has got since the run began, its clock. When a sequence
 * ends and when it needs a block are then fixed points of the clock, found in a heap and in a ring of lists, and sums
 * over the sequences follow from the clock: an iteration costs O(log n) for each sequence that comes, goes or needs a
 * block, and O(1) for all the others. */
#ifndef FS_BATCHER_H
#define FS_BATCHER_H

#include "serve/kv.h"
#include "serve/requests.h"

typedef enum fs_seq_state {
    FS_SEQ_NEW,
    FS_SEQ_WAITING,
    FS_SEQ_RETURNING, /* has blocks again, whose content comes back from the CPU */
    FS_SEQ_PREFILL,
    FS_SEQ_DECODE,
    FS_SEQ_HELD, /* done here; its blocks stay until fs_batcher_release */
    FS_SEQ_DONE
} fs_seq_state;

/* A request on one replica. */
typedef struct fs_seq {
    uint8_t state; /* fs_seq_state */
    bool fresh;    /* has not been in a decoding iteration since it began to decode */
    bool broken;   /* was in one when it lost its blocks the last time */
    uint32_t input, output, priority;
    uint32_t order;            /* of arrival: unique */
    const uint64_t *hashes;    /* (n_hashes) */
    uint32_t n_hashes, pinned; /* pinned: hashes whose blocks it uses */
    uint32_t prompt,
        computed;      /* tokens to compute before the next one comes: the input and what is lost; how many are */
    uint32_t produced; /* answer's tokens, up to when it began to decode or stopped */
    uint32_t cached;   /* prompt tokens that were found, at its first start */
    uint32_t preemptions;
    uint32_t swapped; /* tokens whose cache is with the CPU */
    uint32_t lane;
    uint64_t blocks;                      /* private ones */
    uint64_t offset;                      /* lane's clock - tokens in the cache */
    uint64_t ends;                        /* lane's clock when it has all tokens */
    uint32_t heap;                        /* place in the lane's heap */
    uint32_t ring_before, ring_after;     /* among those that need a block at the same time */
    uint32_t urgent_before, urgent_after; /* among the running ones of the lane, by priority and order */
} fs_seq;

typedef struct fs_chunk {
    uint32_t id, tokens;
} fs_chunk;

/* What an iteration computes. Attention sums are over sequences. */
typedef struct fs_batch {
    uint32_t decodes, step;  /* sequences; tokens that each gets */
    uint32_t verified;       /* tokens computed for each of them: 1 and the guesses */
    uint64_t decode_context; /* tokens in the cache that they attend to */
    uint32_t chunks, prefill_tokens;
    double prefill_pairs;     /* query tokens x keys that each sees */
    uint64_t prefill_context; /* tokens in the cache behind the chunks */
    uint32_t outputs;         /* sequences that get a token: rows of logits */
} fs_batch;

typedef struct fs_batcher_def {
    uint32_t lanes, max_tokens, max_seqs;
    uint64_t seq_blocks; /* that one sequence may have */
    bool chunked;
    bool swap;             /* caches of sequences that lose their blocks are kept elsewhere */
    bool holds;            /* sequences end with their first token and keep their blocks: a prefill pool */
    uint32_t draft_tokens; /* guessed in a step */
    double step_tokens;    /* that a step gives on average, 1 to draft_tokens + 1 */
    uint32_t ranks;        /* of attention, that sequences are dealt out to evenly */
    uint32_t balance;      /* iterations that prompts wait at most until every rank has one; 0: they do not wait */
} fs_batcher_def;

typedef struct fs_ids {
    uint32_t *data;
    uint32_t count, capacity;
} fs_ids;

/* What the end of an iteration, or its composition, did. Valid until the next call. */
typedef struct fs_batcher_news {
    fs_ids started;   /* left the queue for the first time */
    fs_ids first;     /* have computed their prompt: a token came */
    fs_ids again;     /* the same after they had lost their blocks: the next token came */
    fs_ids fresh;     /* decoded for the first time since */
    fs_ids finished;  /* have all their tokens */
    fs_ids preempted; /* lost their blocks; those with `swapped` have left their cache elsewhere */
    fs_ids returning; /* have blocks for it again: fs_batcher_return when it is back */
} fs_batcher_news;

typedef struct fs_batcher fs_batcher;

/* kv and seqs (by request) outlive the batcher; seqs may be shared by batchers that have different requests. */
FS_MUST_CHECK fs_status fs_batcher_new(const fs_batcher_def *def, fs_kv *kv, fs_seq *seqs, fs_batcher **batcher,
                                       fs_err *err);
void fs_batcher_free(fs_batcher *batcher);

/* Can it ever run here? */
bool fs_batcher_fits(const fs_batcher *batcher, uint32_t id);
/* A new request: waits. */
FS_MUST_CHECK fs_status fs_batcher_submit(fs_batcher *batcher, uint32_t id, fs_err *err);
/* A sequence whose prompt another replica computes: blocks for it; false where there are none now. */
bool fs_batcher_reserve(fs_batcher *batcher, uint32_t id);
/* The prompt of a reserved sequence is there, and its first token: it decodes, or waits until fewer than max_seqs do. */
FS_MUST_CHECK fs_status fs_batcher_join(fs_batcher *batcher, uint32_t id, fs_err *err);
/* The cache of a returning sequence is back: it decodes, as above. */
FS_MUST_CHECK fs_status fs_batcher_return(fs_batcher *batcher, uint32_t id, fs_err *err);
/* Give back the blocks of a held one. */
void fs_batcher_release(fs_batcher *batcher, uint32_t id);

/* The lane's next iteration; *any = false where it has nothing to do. */
FS_MUST_CHECK fs_status fs_batcher_compose(fs_batcher *batcher, uint32_t lane, fs_batch *batch, bool *any, fs_err *err);
/* It is done. */
FS_MUST_CHECK fs_status fs_batcher_finish(fs_batcher *batcher, uint32_t lane, fs_err *err);

const fs_batcher_news *fs_batcher_news_of(const fs_batcher *batcher);
/* The chunks of the lane's iteration under way. */
const fs_chunk *fs_batcher_chunks(const fs_batcher *batcher, uint32_t lane, uint32_t *n);
uint32_t fs_batcher_waiting(const fs_batcher *batcher);
uint32_t fs_batcher_running(const fs_batcher *batcher);
bool fs_batcher_may_run(const fs_batcher *batcher, uint32_t lane); /* is there anything that it could compose? */

#endif
