/* kv.h - the paged KV cache of a replica: blocks, and prompts that begin alike.
 *
 * A block is free, private to a sequence, or shared: part of a prefix that is kept under its hash. A prefix that no
 * sequence uses stays until its blocks are needed; the one that was used longest ago goes first, and of one prompt's the
 * last (Kwon et al., "Efficient memory management for large language model serving with PagedAttention", SOSP 2023).
 * At any time free + private + shared = all. O(1) a block or hash. */
#ifndef FS_KV_H
#define FS_KV_H

#include "base/err.h"

#include <stdbool.h>

typedef struct fs_kv fs_kv;

typedef struct fs_kv_use {
    uint64_t blocks, free, private_, shared, idle; /* idle: of the shared ones, those that nobody uses */
    uint64_t taken, given;                         /* private blocks over all time: what they turned into is `stored` */
    uint64_t stored, evicted;                      /* blocks that became shared; shared ones that became free */
    uint64_t hits, lookups;                        /* prefixes found, and sought */
} fs_kv_use;

/* hash_tokens: what one hash stands for; 0: no prefixes are kept. */
FS_MUST_CHECK fs_status fs_kv_new(uint64_t blocks, uint32_t block_tokens, uint32_t hash_tokens, fs_kv **kv,
                                  fs_err *err);
void fs_kv_free(fs_kv *kv);

uint32_t fs_kv_tokens_per_block(const fs_kv *kv);
uint64_t fs_kv_blocks_of(const fs_kv *kv, uint64_t tokens); /* that hold so many tokens */
uint64_t fs_kv_available(const fs_kv *kv);                  /* free ones, and those of idle prefixes */

/* Make so many blocks private; false: there are not as many, and nothing has changed. */
bool fs_kv_take(fs_kv *kv, uint64_t blocks);
void fs_kv_give(fs_kv *kv, uint64_t blocks);

/* How many of the hashes, from the first on, are kept. */
uint32_t fs_kv_match(const fs_kv *kv, const uint64_t *hashes, uint32_t n);
/* A sequence uses these, which are kept; and no longer. */
void fs_kv_pin(fs_kv *kv, const uint64_t *hashes, uint32_t n);
void fs_kv_unpin(fs_kv *kv, const uint64_t *hashes, uint32_t n);
/* The sequence has computed these, which it now uses: its private blocks become shared. What is kept already is used
 * from there, and the sequence's own copy is given back. *blocks: private ones that this took from the sequence. */
FS_MUST_CHECK fs_status fs_kv_store(fs_kv *kv, const uint64_t *hashes, uint32_t n, uint64_t *blocks, fs_err *err);

/* Blocks that one hash stands for; tokens, which are whole blocks. */
uint64_t fs_kv_hash_blocks(const fs_kv *kv);
uint32_t fs_kv_hash_tokens(const fs_kv *kv);

fs_kv_use fs_kv_count(const fs_kv *kv);
void fs_kv_note_lookup(fs_kv *kv, uint32_t sought, uint32_t found);

#endif
