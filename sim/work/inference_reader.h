/* inference_reader.h - the parts of an inference trace's reader. Private to inference*.c and request_file.c. */
#ifndef FS_INFERENCE_READER_H
#define FS_INFERENCE_READER_H

#include "work/inference.h"
#include "work/training_reader.h"

/* All do nothing after the first error. What they keep goes into the arena. */
void fs_inference_read_pools(fs_training_reader *r, struct fs_arena *arena, fs_inference *in);
/* The split of a pool of role "ffn"; and, of all pools, who has whose MLPs. */
void fs_inference_read_ffn_parallel(fs_training_reader *r, const fs_json *pool, const fs_inference *in, fs_pool *p);
void fs_inference_link_ffn(fs_training_reader *r, const fs_json *list, fs_pool *pools, uint32_t n);
void fs_inference_read_requests(fs_training_reader *r, const char *trace_path, struct fs_arena *arena,
                                fs_inference *in);

/* Requests from a file, at most `most` (0: all): a CSV in the columns of the public Azure LLM inference traces
 * (TIMESTAMP, ContextTokens, GeneratedTokens), or, where the name has .jsonl in it, JSON Lines of the Mooncake kind
 * (timestamp in ms, input_length, output_length, hash_ids). Fills requests, hashes, count, rate; arrivals are divided by
 * `speed` and count from the first one. FS_E_TRACE at the place in the file. */
FS_MUST_CHECK fs_status fs_request_file_read(const char *path, uint32_t most, double speed, struct fs_arena *arena,
                                             fs_request_source *source, fs_err *err);

/* A number in a member object that says seconds, microseconds, a part ... within [low, high]. */
static inline void fs_inference_number(fs_training_reader *r, const char *key, bool required, double low, double high,
                                       double *out)
{
    if (r->status == FS_OK)
        r->status = fs_json_number_in(r->doc, r->object, key, required, low, high, out, r->err);
}

#endif
