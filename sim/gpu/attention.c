/* attention.c - attention whose scores never leave the SMs (Dao et al. 2022, 2023; Shah et al. 2024). See gpu_model.h.
 *
 * Many queries are cut by queries: a unit is a block of queries of one head and runs over all keys that they see, so a
 * causal mask leaves out about half, in whole blocks. Few queries are cut by keys: a unit is a piece of the keys of one
 * head of keys and values, and all query heads that share it go along as rows of one product (flash decoding); its
 * pieces are put together in the end. A score costs its products and an exponential, which add up on an SM. */
#include "gpu/gpu_model.h"

#include <math.h>

enum {
    FEW_QUERIES = 8,
    SMALL_BLOCK = 64, /* for so many queries and fewer */
    KEY_BLOCK = 128,
    ROWS_MIN = 16,   /* of a tensor core's operand */
    PIECE_DIM = 128, /* of the heads that piece_s is said of: half of it is queries that are read and results written */
    PIECE_KEYS = 256, /* the least that is worth a piece of its own */
    PIECES_MAX = 32
};

static double round_up(double x, double unit)
{
    return ceil(x / unit) * unit;
}

static double score_flops(const fs_kernel_shape *s)
{
    return 2 * (s->kind == FS_KERNEL_ATTENTION_GRAD ? 3 * s->dim + 2 * s->value_dim : s->dim + s->value_dim);
}

/* SM seconds of a score. */
static double score_s(const fs_part *gpu, const fs_kernel_shape *s, fs_dtype dtype)
{
    double part = s->kind == FS_KERNEL_ATTENTION_GRAD ? gpu->costs.attention_grad : gpu->costs.attention;
    return score_flops(s) * gpu->costs.sms / (gpu->peak_flops[dtype] * part) + gpu->costs.score_s;
}

typedef struct cut {
    double units, scores; /* of all units together */
    double longest;       /* scores of the longest unit */
    double each_s;        /* start and end of a unit */
    double readers;       /* units that share what comes from memory without reading anything twice */
} cut;

static void time_cut(const fs_part *gpu, const cut *c, double score, double bytes, fs_gpu_parts *parts)
{
    double sms = gpu->costs.sms;
    double rate = fmin(gpu->mem_Bps * gpu->costs.read, fmin(c->readers, sms) * gpu->costs.stream_Bps);
    parts->compute_s = fmax(c->scores / sms, c->longest) * score + ceil(c->units / sms) * c->each_s;
    parts->memory_s = bytes / rate;
}

/* A block of queries by the keys that it sees, a whole staircase below the diagonal. */
static cut cut_queries(const fs_part *gpu, const fs_kernel_shape *s)
{
    double block = s->queries <= SMALL_BLOCK ? SMALL_BLOCK : gpu->costs.query_block;
    double queries = round_up(s->queries, fmin(block, KEY_BLOCK)), keys = round_up(s->keys, KEY_BLOCK);
    double seen = s->causal ? fmin(keys, s->keys - s->queries + (queries + KEY_BLOCK) / 2) : keys;
    double heads = s->batch * s->heads;
    return (cut){heads * ceil(queries / block), heads * queries * seen, fmin(block, queries) * keys, gpu->costs.block_s,
                 INFINITY};
}

static cut cut_keys(const fs_part *gpu, const fs_kernel_shape *s, double pieces)
{
    double units = s->batch * s->kv_heads * pieces;
    double rows = round_up(s->queries * s->heads / s->kv_heads, ROWS_MIN);
    double scores = rows * round_up(s->keys / pieces, ROWS_MIN);
    return (cut){units, units * scores, scores, gpu->costs.piece_s * (0.5 + s->dim / (2 * PIECE_DIM)), units};
}

/* In as many pieces as end first: 1, 2, 4, ..., while they are long enough and SMs are free. */
static void time_pieces(const fs_part *gpu, const fs_kernel_shape *s, double score, double bytes, fs_gpu_parts *best)
{
    double most = fmin(ceil(s->keys / PIECE_KEYS), floor(gpu->costs.sms / (s->batch * s->kv_heads)));
    best->compute_s = INFINITY;
    for (double pieces = 1; pieces <= fmax(1, fmin(most, PIECES_MAX)); pieces *= 2) {
        fs_gpu_parts now = *best;
        cut c = cut_keys(gpu, s, pieces);
        time_cut(gpu, &c, score, bytes, &now);
        now.fixed_s = gpu->costs.decode_s + (pieces > 1 ? gpu->costs.join_s : 0);
        if (pieces < 2 || fs_gpu_total(&now) < fs_gpu_total(best))
            *best = now;
    }
}

void fs_gpu_attention(const fs_part *gpu, const fs_kernel_shape *s, fs_dtype dtype, fs_gpu_parts *parts)
{
    double flops, bytes, score = score_s(gpu, s, dtype);
    fs_kernel_needs(s, dtype, &flops, &bytes);
    if (s->kv_dtype == FS_FP8) /* conversion on the way */
        bytes += (gpu->costs.fp8_read - 1) * s->batch * s->keys * s->kv_heads * (s->dim + s->value_dim);
    *parts = (fs_gpu_parts){.useful_s = flops / score_flops(s) * score / gpu->costs.sms};
    if (s->queries <= FEW_QUERIES && s->kind == FS_KERNEL_ATTENTION) {
        time_pieces(gpu, s, score, bytes, parts);
        return;
    }
    cut c = cut_queries(gpu, s);
    time_cut(gpu, &c, score, bytes, parts);
    parts->fixed_s = gpu->costs.attend_s;
}
