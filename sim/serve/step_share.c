/* step_share.c - see step_in.h. Shares and parts of a batch. */
#include "serve/step_in.h"

#include <math.h>

static double divide_up(uint32_t n, uint32_t by)
{
    return n == 0 ? 0 : (double)((n + by - 1) / by) / n; /* the part that the busiest of `by` gets */
}

fs_step_share fs_step_share_of(const fs_step_model *m, const fs_batch *b)
{
    uint32_t dp = m->pool->dp;
    double decode = divide_up(b->decodes, dp), prefill = divide_up(b->chunks, dp);
    fs_step_share s = {.decoding = decode * b->decodes,
                       .chunks = prefill * b->chunks,
                       .decodes = decode * b->decodes * b->verified,
                       .context = decode * (double)b->decode_context,
                       .prefill = ceil(prefill * b->prefill_tokens), /* whole: sizes of plans are remembered */
                       .prefixed = prefill * (double)b->prefill_context,
                       .rows = divide_up(b->outputs, dp) * b->outputs};
    if (b->chunks > 0)
        s.keys = s.chunks * (b->prefill_pairs / b->prefill_tokens + ((double)b->prefill_tokens / b->chunks - 1) / 2);
    s.tokens = s.decodes + s.prefill;
    s.all = (double)b->decodes * b->verified + b->prefill_tokens;
    return s;
}

uint32_t fs_step_parts(const fs_step_model *m, const fs_batch *b)
{
    return m->pool->two_batch && b->decodes + b->prefill_tokens >= 2 ? 2 : 1;
}

static uint32_t cut(uint32_t n, uint32_t i, uint32_t parts)
{
    return (n + parts - 1 - i) / parts;
}

fs_batch fs_step_part_of(const fs_batch *whole, uint32_t i, uint32_t parts)
{
    fs_batch b = *whole;
    b.decodes = cut(whole->decodes, i, parts);
    b.outputs = cut(whole->outputs, i, parts);
    b.prefill_tokens = cut(whole->prefill_tokens, i, parts);
    double decoding = whole->decodes ? (double)b.decodes / whole->decodes : 0;
    double prefill = whole->prefill_tokens ? (double)b.prefill_tokens / whole->prefill_tokens : 0;
    b.decode_context = (uint64_t)(decoding * (double)whole->decode_context);
    b.prefill_context = (uint64_t)(prefill * (double)whole->prefill_context);
    b.prefill_pairs = prefill * whole->prefill_pairs;
    b.chunks = cut(whole->chunks, i, parts);
    if (b.prefill_tokens > 0 && b.chunks == 0)
        b.chunks = 1; /* a piece of the only one */
    return b;
}

/* Pairs of queries, the last ones of so many keys, and the keys that each sees in its window. */
static double pairs_within(double window, double queries, double keys)
{
    double before = keys - queries, growing = fmin(queries, fmax(0, window - before));
    return growing * before + growing * (growing + 1) / 2 + (queries - growing) * window;
}

/* What a layer sees whose tokens attend to the last few. A long chunk is so many blocks of as many queries as the window has
 * keys, with as many pairs in all. */
fs_step_share fs_step_share_in_window(const fs_step_model *m, const fs_step_share *whole)
{
    fs_step_share s = *whole;
    double window = m->in->model.window;
    if (s.decoding > 0)
        s.context = s.decoding * fmin(s.context / s.decoding, window + s.decodes / s.decoding - 1);
    if (s.chunks > 0) {
        double queries = s.prefill / s.chunks, keys = fmax(s.keys / s.chunks, queries), block = fmin(queries, window);
        double seen = pairs_within(window, queries, keys) / queries + (block - 1) / 2;
        s.chunks *= queries / block;
        s.keys = s.chunks * seen;
    }
    return s;
}
