/* requests.h - the requests of a run: drawn from what the trace says, or those of its file. */
#ifndef FS_REQUESTS_H
#define FS_REQUESTS_H

#include "work/inference.h"

/* In the order of their arrivals; constant once made. */
typedef struct fs_requests {
    uint32_t n;
    const fs_request *all;  /* (n) arrivals of a closed loop are 0: the next one comes when one is done */
    const uint64_t *hashes; /* what prompts have in common: see fs_request.first_hash */
    uint32_t hash_tokens;   /* 0: nothing */
} fs_requests;

/* Arrivals, lengths, priorities and prefixes have random numbers of their own, so that one of them may be changed and
 * the others stay. Allocates in the arena, which owns all. */
FS_MUST_CHECK fs_status fs_requests_make(const fs_request_source *source, uint64_t seed, struct fs_arena *arena,
                                         fs_requests *requests, fs_err *err);

#endif
