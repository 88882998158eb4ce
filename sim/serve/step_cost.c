/* step_cost.c - see step_cost.h. Kernels of a forward pass, layer by layer; O(1) an iteration, as layers come in two kinds
 * at most. Products, which are the same in most iterations, are remembered: a table by what they are, where the last one
 * of a place stays. */
#include "serve/step_cost.h"

#include "base/mem.h"
#include "base/rng.h"
#include "serve/experts.h"

#include <math.h>
#include <string.h>

enum {
    ACTIVATION = 2, /* bytes of a number between kernels */
    SQUARES = 4,    /* of a sum of squares */
    REMEMBERED = 1 << 14
};

/* Plain words, none left to the compiler: hashed and compared as bytes. */
typedef struct product_key {
    double m, n, k, batch;
    uint32_t kind, stored, multiplied, used;
} product_key;

typedef struct product_time {
    product_key key;
    double seconds;
} product_time;

struct fs_step_model {
    const fs_inference *in;
    const fs_pool *pool;
    fs_part gpu; /* with the pool's launch time */
    bool ideal;
    double weight_bytes, all_bytes, kv_bytes, kv_all_bytes, window_bytes;
    fs_expert_spread spread; /* over ep GPUs */
    product_time *known;     /* (REMEMBERED) */
};

/* What the busiest dp rank has of a batch. */
typedef struct share {
    double decoding, chunks;  /* sequences */
    double decodes, context;  /* tokens that decode, keys that they attend to */
    double prefill, prefixed; /* tokens of chunks, keys up to their ends */
    double keys;              /* as if each sequence saw all but those after its own tokens: gives the true pairs */
    double tokens, all, rows; /* of this rank, of all ranks; rows of logits */
} share;

static double divide_up(uint32_t n, uint32_t by)
{
    return n == 0 ? 0 : (double)((n + by - 1) / by) / n; /* the part that the busiest of `by` gets */
}

static share share_of(const fs_step_model *m, const fs_batch *b)
{
    uint32_t dp = m->pool->dp;
    double decode = divide_up(b->decodes, dp), prefill = divide_up(b->chunks, dp);
    share s = {.decoding = decode * b->decodes,
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

/* With two batches each has half of the sequences and of the prompts' tokens, and kernels of its own. */
static uint32_t parts_of(const fs_step_model *m, const fs_batch *b)
{
    return m->pool->two_batch && b->decodes + b->prefill_tokens >= 2 ? 2 : 1;
}

static uint32_t cut(uint32_t n, uint32_t i, uint32_t parts)
{
    return (n + parts - 1 - i) / parts;
}

static fs_batch part_of_batch(const fs_batch *whole, uint32_t i, uint32_t parts)
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

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

static double kernel(const fs_step_model *m, const fs_kernel_shape *shape, double flops, double bytes, fs_dtype dtype)
{
    fs_kernel_time time = {0};
    bool known = fs_gpu_kernel(&m->gpu, shape, flops, bytes, dtype, m->ideal, &time);
    return known ? time.seconds : 0; /* formats were checked (check_formats) */
}

static double price_product(const fs_step_model *m, const product_key *key)
{
    fs_kernel_shape shape = {.kind = (uint8_t)key->kind, .m = key->m, .n = key->n, .k = key->k, .batch = key->batch};
    fs_dtype multiplied = (fs_dtype)key->multiplied;
    double flops, bytes, stored = fs_dtype_bytes((fs_dtype)key->stored);
    fs_kernel_needs(&shape, multiplied, &flops, &bytes);
    bytes +=
        key->batch * key->n * key->k * (stored - fs_dtype_bytes(multiplied)); /* weights are read as they are kept */
    return kernel(m, &shape, flops, bytes, multiplied);
}

static double product(const fs_step_model *m, const product_key *key)
{
    if (!(key->m > 0 && key->batch > 0))
        return 0;
    product_time *place = &m->known[fs_hash_bytes(FS_HASH_START, key, sizeof *key) % REMEMBERED];
    if (memcmp(&place->key, key, sizeof *key) != 0) {
        place->seconds = price_product(m, key);
        place->key = *key;
    }
    return place->seconds;
}

/* (rows x k) (k x n) with weights. */
static double linear(const fs_step_model *m, double rows, double n, double k)
{
    return product(m, &(product_key){rows, n, k, 1, FS_KERNEL_GEMM, m->in->weights, m->in->gemm, 1});
}

/* The same for each of so many heads. */
static double per_head(const fs_step_model *m, double rows, double n, double k, double heads)
{
    return product(m, &(product_key){rows, n, k, heads, FS_KERNEL_GEMM, m->in->weights, m->in->gemm, 1});
}

/* Rows that are dealt out to so many experts, each of which has some. */
static double grouped(const fs_step_model *m, double rows, double n, double k, double experts)
{
    return product(m, &(product_key){rows, n, k, experts, FS_KERNEL_GROUPED, m->in->experts, m->in->expert_gemm, 1});
}

/* Bound by memory: so many numbers read or written. */
static double passes(const fs_step_model *m, double numbers)
{
    static const fs_kernel_shape plain;
    return numbers > 0 ? kernel(m, &plain, 0, numbers * ACTIVATION, m->in->attention) : 0;
}

/* Numbers to a product's format, where nothing before could do it on the way. */
static double quantise(const fs_step_model *m, double rows, double width, fs_dtype dtype)
{
    const fs_kernel_shape shape = {.kind = FS_KERNEL_QUANTISE, .m = rows, .k = width};
    double flops, bytes;
    if (!(rows > 0) || fs_dtype_bytes(dtype) >= ACTIVATION)
        return 0;
    fs_kernel_needs(&shape, dtype, &flops, &bytes);
    return kernel(m, &shape, flops, bytes, dtype);
}

/* The same where the kernel before could, with scales that are known beforehand. */
static double scale(const fs_step_model *m, double rows, double width, fs_dtype dtype)
{
    return m->in->block_scales ? quantise(m, rows, width, dtype) : 0;
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

static double heads_here(const fs_step_model *m)
{
    return (double)m->in->model.heads / m->pool->tp;
}

/* Fewer key heads than GPUs: each has one, copies of it. */
static double kv_heads_here(const fs_step_model *m)
{
    uint32_t heads = m->in->model.kv_heads, tp = m->pool->tp;
    return (double)((heads + tp - 1) / tp);
}

/* Numbers that the cache keeps of a token in a layer, here. */
static double kv_width(const fs_step_model *m)
{
    const fs_transformer *t = &m->in->model;
    return t->mla.kv_rank ? (double)t->mla.kv_rank + t->mla.rope : 2 * kv_heads_here(m) * t->head_dim;
}

/* Attention of one kind over sequences that are alike: as many queries and keys as they have on average; and the kernel
 * before it, which rotates queries and keys and writes to the cache. */
static double attend(const fs_step_model *m, double sequences, double queries, double keys, fs_kernel_shape shape)
{
    double flops, bytes, time_s = 0;
    if (!(queries > 0))
        return 0;
    shape.batch = sequences;
    shape.queries = queries / sequences;
    shape.keys = fmax(keys / sequences, shape.queries);
    shape.causal = shape.queries > 1;
    shape.kv_dtype = (uint8_t)m->in->kv;
    shape.kind = FS_KERNEL_APPEND;
    fs_kernel_needs(&shape, m->in->attention, &flops, &bytes);
    time_s += kernel(m, &shape, flops, bytes, m->in->attention);
    shape.kind = FS_KERNEL_ATTENTION;
    fs_kernel_needs(&shape, m->in->attention, &flops, &bytes);
    return time_s + kernel(m, &shape, flops, bytes, m->in->attention);
}

/* Squares are summed, and once the sum is known all is scaled; heads by themselves in one kernel for both. */
static double qk_norm_s(const fs_step_model *m, double tokens, double q, double k)
{
    switch (m->in->model.qk_norm) {
    case FS_QK_HEAD: return passes(m, 2 * tokens * (q + k));
    case FS_QK_ALL:
        return passes(m, tokens * q) + passes(m, 2 * tokens * q) + passes(m, tokens * k) + passes(m, 2 * tokens * k);
    default: return 0;
    }
}

static double plain_attention_s(const fs_step_model *m, const share *s)
{
    const fs_transformer *t = &m->in->model;
    double q = heads_here(m) * t->head_dim, h = t->hidden, kv = kv_width(m);
    const fs_kernel_shape shape = {
        .heads = heads_here(m), .kv_heads = kv_heads_here(m), .dim = t->head_dim, .value_dim = t->head_dim};
    double time_s = scale(m, s->tokens, h, m->in->gemm) + linear(m, s->tokens, q + kv, h);
    time_s += qk_norm_s(m, s->tokens, q, kv / 2);
    time_s += attend(m, s->decoding, s->decodes, s->context, shape) + attend(m, s->chunks, s->prefill, s->keys, shape);
    return time_s + quantise(m, s->tokens, q, m->in->gemm) + linear(m, s->tokens, h, q);
}

/* DeepSeek-V2, arXiv 2405.04434, section 2.1: decoding works on the latents, with the up-projections absorbed into query
 * and output; prompts form keys and values, which is less work where there are many queries. A latent is a key and, but for
 * its rotated part, a value: as heads that have both it counts for so much of one that its bytes are right. */
static double latent_attention_s(const fs_step_model *m, const share *s)
{
    const fs_transformer *t = &m->in->model;
    double n = heads_here(m), h = t->hidden, rank = t->mla.kv_rank, rope = t->mla.rope, nope = t->mla.nope,
           v = t->mla.v;
    double q_in = t->mla.q_rank ? t->mla.q_rank : h, down = rank + rope + (t->mla.q_rank ? q_in : 0);
    double time_s = scale(m, s->tokens, h, m->in->gemm) + linear(m, s->tokens, down, h) +
                    passes(m, 2 * s->tokens * down) + scale(m, s->tokens, q_in, m->in->gemm) +
                    linear(m, s->tokens, n * (nope + rope), q_in);
    const fs_kernel_shape latent = {
        .heads = n, .kv_heads = (rank + rope) / (2 * rank + rope), .dim = rank + rope, .value_dim = rank};
    const fs_kernel_shape formed = {.heads = n, .kv_heads = n, .dim = nope + rope, .value_dim = v};
    if (s->decodes > 0)
        time_s += per_head(m, s->decodes, rank, nope, n) + attend(m, s->decoding, s->decodes, s->context, latent) +
                  per_head(m, s->decodes, v, rank, n);
    if (s->prefill > 0)
        time_s += scale(m, s->prefixed, rank, m->in->gemm) + linear(m, s->prefixed, n * (nope + v), rank) +
                  attend(m, s->chunks, s->prefill, s->keys, formed);
    return time_s + quantise(m, s->tokens, n * v, m->in->gemm) + linear(m, s->tokens, h, n * v);
}

/* ---- the rest ------------------------------------------------------------------------------------------------------ */

static double mlp_s(const fs_step_model *m, double tokens, double ffn)
{
    double inputs = fs_moe_inputs(&m->in->model), h = m->in->model.hidden;
    return scale(m, tokens, h, m->in->gemm) + linear(m, tokens, inputs * ffn, h) +
           passes(m, tokens * ffn * (inputs + 1)) + scale(m, tokens, ffn, m->in->gemm) + linear(m, tokens, h, ffn);
}

/* GPUs that share an expert. */
static double expert_split(const fs_step_model *m)
{
    return m->pool->ep > 1 && m->pool->role != FS_ROLE_FFN ? 1 : m->pool->tp;
}

static double experts_here(const fs_step_model *m)
{
    return (double)(m->in->model.moe.experts + m->pool->redundant) / m->pool->ep;
}

/* Experts of this GPU that at least one of its tokens visits, where each is as likely as any other. */
static double visited(double experts, double rows)
{
    return experts * -expm1(rows * log1p(-1 / fmax(experts, 1 + 1e-9)));
}

static double route_s(const fs_step_model *m, double tokens)
{
    const fs_transformer *t = &m->in->model;
    return scale(m, tokens, t->hidden, m->in->expert_gemm) + linear(m, tokens, t->moe.experts, t->hidden) +
           passes(m, 2 * tokens * t->moe.experts);
}

/* Tokens that the busiest GPU works on, of so many. */
static double routed_here(const fs_step_model *m, double tokens)
{
    return fs_experts_busiest(&m->spread, tokens * m->in->model.moe.top_k);
}

static double routed_s(const fs_step_model *m, double routed)
{
    const fs_transformer *t = &m->in->model;
    double inputs = fs_moe_inputs(t), h = t->hidden, ffn = t->moe.ffn / expert_split(m);
    double here = visited(experts_here(m), routed);
    double time_s = passes(m, 2 * routed * h) + scale(m, routed, ffn, m->in->expert_gemm); /* into the experts' order */
    time_s += grouped(m, routed, inputs * ffn, h, here) + passes(m, routed * ffn * (inputs + 1));
    return time_s + grouped(m, routed, h, ffn, here);
}

static double experts_s(const fs_step_model *m, const share *s)
{
    const fs_transformer *t = &m->in->model;
    double routed = routed_here(m, m->pool->ep > 1 ? s->all : s->tokens), h = t->hidden;
    double time_s = route_s(m, s->tokens) + routed_s(m, routed);
    time_s += passes(m, routed * h + s->tokens * h); /* and back, weighted and added */
    if (t->moe.shared_ffn > 0)
        time_s += mlp_s(m, s->tokens, (double)t->moe.shared_ffn / m->pool->tp);
    return time_s;
}

static void stage_layers(const fs_step_model *m, uint32_t stage, uint32_t *first, uint32_t *count)
{
    uint64_t layers = m->in->model.layers, pp = m->pool->pp;
    *first = (uint32_t)(layers * stage / pp);
    *count = (uint32_t)(layers * (stage + 1) / pp) - *first;
}

static double measured_s(const fs_pool *p, uint32_t stage, const fs_batch *b)
{
    double time_s = b->prefill_tokens * p->prefill_s_per_token;
    if (b->decodes > 0)
        time_s += p->decode_s + b->decodes * p->decode_s_per_seq;
    return time_s / p->pp + (stage == 0 ? p->iteration_s : 0);
}

/* Pairs of queries, the last ones of so many keys, and the keys that each sees in its window. */
static double pairs_within(double window, double queries, double keys)
{
    double before = keys - queries, growing = fmin(queries, fmax(0, window - before));
    return growing * before + growing * (growing + 1) / 2 + (queries - growing) * window;
}

/* What a layer sees whose tokens attend to the last few. A long chunk is so many blocks of as many queries as the window has
 * keys, with as many pairs in all. */
static share within_window(const fs_step_model *m, const share *whole)
{
    share s = *whole;
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

static double attention_s(const fs_step_model *m, const share *s)
{
    const fs_transformer *t = &m->in->model;
    double norms =
        2 * passes(m, 4 * s->tokens * t->hidden); /* the residual and what is added to it in, both sums out */
    return norms + (t->mla.kv_rank ? latent_attention_s(m, s) : plain_attention_s(m, s));
}

static double logits_s(const fs_step_model *m, const share *s)
{
    double v = (double)m->in->model.vocab / m->pool->tp, h = m->in->model.hidden;
    fs_dtype format = m->in->attention;
    if (!(s->rows > 0))
        return 0;
    return passes(m, 2 * s->rows * h) +
           product(m, &(product_key){s->rows, v, h, 1, FS_KERNEL_GEMM, format, format, 1}) +
           passes(m, 3 * s->rows * m->in->model.vocab); /* the sample: the greatest, the sum, the choice */
}

static double kernels_s(const fs_step_model *m, uint32_t stage, const fs_batch *b)
{
    const fs_transformer *t = &m->in->model;
    share s = share_of(m, b);
    uint32_t first, layers;
    stage_layers(m, stage, &first, &layers);
    uint32_t moe = fs_layers_with_experts(t, first, layers);
    uint32_t windows = fs_layers_with_window(t, first, layers);
    double time_s = (layers - windows) * attention_s(m, &s);
    if (windows > 0) {
        share w = within_window(m, &s);
        time_s += windows * attention_s(m, &w);
    }
    if (layers > moe)
        time_s += (layers - moe) * mlp_s(m, s.tokens, (double)t->ffn / m->pool->tp);
    if (moe > 0)
        time_s += moe * experts_s(m, &s);
    if (stage == 0)
        time_s += passes(m, 2 * s.tokens * t->hidden);
    return stage + 1 == m->pool->pp ? time_s + logits_s(m, &s) : time_s;
}

/* What prompts add to the kernels of those that decode takes longer than the kernels alone do. */
static double with_prompts_s(const fs_step_model *m, uint32_t stage, const fs_batch *b)
{
    double all_s = kernels_s(m, stage, b), without_s = 0;
    if (b->prefill_tokens == 0 || m->ideal)
        return all_s;
    if (b->decodes > 0) {
        fs_batch without = *b;
        without.chunks = without.prefill_tokens = 0;
        without.prefill_context = 0;
        without.prefill_pairs = 0;
        without.outputs = b->decodes;
        without_s = kernels_s(m, stage, &without);
    }
    return without_s + (all_s - without_s) / m->pool->prompt_efficiency;
}

double fs_step_compute_s(fs_step_model *m, uint32_t stage, const fs_batch *b)
{
    if (m->pool->measured)
        return measured_s(m->pool, stage, b);
    uint32_t parts = parts_of(m, b);
    double time_s = stage == 0 ? m->pool->iteration_s : 0;
    for (uint32_t i = 0; i < parts; i++) {
        fs_batch part = part_of_batch(b, i, parts);
        time_s += with_prompts_s(m, stage, &part);
    }
    return time_s;
}

fs_step_comm fs_step_communication(const fs_step_model *m, uint32_t stage, const fs_batch *b)
{
    const fs_pool *p = m->pool;
    const fs_transformer *t = &m->in->model;
    fs_step_comm c = {0};
    if (p->measured)
        return c;
    uint32_t parts = parts_of(m, b), first, layers;
    const fs_batch part = part_of_batch(b, 0, parts); /* the greater one */
    share s = share_of(m, &part);
    stage_layers(m, stage, &first, &layers);
    /* Ranks of one tensor-parallel group have all its tokens: each takes those of its experts, and the sum is as before. */
    uint32_t moe = p->dp > 1 && p->ep > 1 ? fs_layers_with_experts(t, first, layers) : 0;
    double hidden = s.tokens * t->hidden;
    bool last = stage + 1 == p->pp;
    if (p->tp > 1) {
        c.tp_bytes = hidden * ACTIVATION;
        c.tp_count = parts * (2.0 * layers - moe + (stage == 0)); /* a dispatch to experts stands for one of the two */
        c.logits_bytes = last ? s.rows * t->vocab * ACTIVATION : 0;
        c.logits_count = parts;
        c.norm_bytes = t->qk_norm == FS_QK_ALL ? s.tokens * SQUARES : 0;
        c.norm_count = parts * 2.0 * layers;
    }
    if (moe > 0) {
        double sent = s.all / p->ep * t->moe.top_k * t->hidden;
        c.dispatch_bytes = sent * m->in->dispatch_bytes;
        c.combine_bytes = sent * m->in->combine_bytes;
        c.ep_count = (double)parts * moe;
    }
    c.send_bytes = last ? 0 : parts * hidden * ACTIVATION / p->tp;
    return c;
}

/* ---- attention and FFN apart ---------------------------------------------------------------------------------------- */

double fs_step_attention_s(fs_step_model *m, uint32_t layer, const fs_batch *b)
{
    const fs_transformer *t = &m->in->model;
    share s = share_of(m, b);
    double h = t->hidden, time_s = layer == 0 ? m->pool->iteration_s + passes(m, 2 * s.tokens * h) : 0;
    if (layer > 0 && fs_layer_has_experts(t, layer - 1)) /* weighted and added */
        time_s += passes(m, (t->moe.top_k + 1.0) * s.tokens * h);
    if (layer == t->layers)
        return time_s + logits_s(m, &s);
    share seen = fs_layer_has_window(t, layer) ? within_window(m, &s) : s;
    time_s += attention_s(m, &seen);
    return fs_layer_has_experts(t, layer) ? time_s + route_s(m, s.tokens) : time_s;
}

double fs_step_ffn_s(fs_step_model *m, uint32_t layer, double tokens)
{
    const fs_transformer *t = &m->in->model;
    double tp = m->pool->tp, ep = m->pool->ep;
    if (!fs_layer_has_experts(t, layer))
        return mlp_s(m, tokens, t->ffn / (tp * ep));
    double time_s = routed_s(m, routed_here(m, tokens));
    if (t->moe.shared_ffn > 0) /* a copy at each place of experts, for the tokens that come there */
        time_s += mlp_s(m, ceil(tokens / ep), t->moe.shared_ffn / tp);
    return time_s;
}

fs_step_hop fs_step_hop_of(const fs_step_model *m, const fs_step_model *ffn, uint32_t layer, const fs_batch *b)
{
    const fs_transformer *t = &m->in->model;
    const fs_pool *p = ffn->pool;
    share s = share_of(m, b);
    bool experts = fs_layer_has_experts(t, layer);
    double sent = s.all * t->hidden * (experts ? t->moe.top_k : 1);
    double shared = p->tp * (experts ? 1.0 : p->ep), here = experts ? routed_here(ffn, s.all) * t->hidden : sent;
    return (fs_step_hop){.tokens = s.all,
                         .reduce = m->pool->tp > 1 ? s.tokens * t->hidden * ACTIVATION : 0,
                         .there = sent * m->in->dispatch_bytes,
                         .back = sent * m->in->combine_bytes,
                         .gather = shared > 1 ? here * m->in->dispatch_bytes : 0,
                         .scatter = shared > 1 ? here * m->in->combine_bytes : 0,
                         .experts = experts};
}

double fs_step_all_bytes(const fs_step_model *m)
{
    return m->all_bytes;
}

/* ---- bytes that stay ----------------------------------------------------------------------------------------------- */

/* Weights of a layer on a GPU. */
static double layer_bytes(const fs_step_model *m, uint32_t layer)
{
    const fs_pool *p = m->pool;
    double each = fs_dtype_bytes(m->in->weights), expert = fs_dtype_bytes(m->in->experts);
    fs_layer_size size = fs_layer_parameters(&m->in->model, layer), ffn = fs_layer_ffn_parameters(&m->in->model, layer);
    if (p->role == FS_ROLE_FFN) {
        double split = p->tp * (ffn.experts > 0 ? 1.0 : p->ep); /* MLPs without experts over all */
        return (ffn.split / split + ffn.whole) * each +
               ffn.experts * experts_here(m) / fmax(1, m->in->model.moe.experts) / p->tp * expert;
    }
    if (p->ffn != FS_NONE)
        return ((size.split - ffn.split) / p->tp + size.whole - ffn.whole) * each;
    return (size.split / p->tp + size.whole) * each +
           size.experts * experts_here(m) / fmax(1, m->in->model.moe.experts) / expert_split(m) * expert;
}

static void measure(fs_step_model *m)
{
    const fs_transformer *t = &m->in->model;
    const fs_pool *p = m->pool;
    bool ffn = p->role == FS_ROLE_FFN;
    double token = ffn ? 0 : kv_width(m) * fs_dtype_bytes(m->in->kv);
    for (uint32_t stage = 0; stage < p->pp; stage++) {
        uint32_t first, layers;
        stage_layers(m, stage, &first, &layers);
        double bytes = 0, outer = fs_embedding_parameters(t) / p->tp * ACTIVATION;
        for (uint32_t l = first; l < first + layers; l++)
            bytes += layer_bytes(m, l);
        if (stage == 0 && !ffn)
            bytes += outer + fs_position_parameters(t) * ACTIVATION;
        if (stage + 1 == p->pp && !(t->tied && stage == 0) && !ffn)
            bytes += outer;
        m->all_bytes += bytes * p->tp * p->dp;
        m->weight_bytes = fmax(m->weight_bytes, bytes);
        uint32_t windows = fs_layers_with_window(t, first, layers);
        m->kv_bytes = fmax(m->kv_bytes, (layers - windows) * token);
        m->window_bytes = fmax(m->window_bytes, windows * t->window * token);
    }
    double once = t->mla.kv_rank ? (double)t->mla.kv_rank + t->mla.rope : 2.0 * t->kv_heads * t->head_dim;
    m->kv_all_bytes = (t->layers - fs_layers_with_window(t, 0, t->layers)) * once * fs_dtype_bytes(m->in->kv);
}

static fs_status check_formats(const fs_step_model *m, const char *trace_path, fs_err *err)
{
    const fs_dtype products = m->in->model.moe.experts ? m->in->expert_gemm : m->in->gemm;
    const fs_dtype used[] = {m->in->gemm, products, m->in->attention};
    uint32_t n = m->pool->role == FS_ROLE_FFN ? 2 : 3; /* no attention there */
    for (uint32_t i = 0; i < n && !m->pool->measured; i++)
        if (!(m->gpu.peak_flops[used[i]] > 0))
            return fs_fail_at(err, FS_E_TRACE, trace_path, m->pool->line, m->pool->column,
                              "GPU '%s' has no peak rate for %s; \"precision\": {\"gemm\": \"bf16\"} keeps weights in "
                              "one format and multiplies in another",
                              m->gpu.name, fs_dtype_names[used[i]]);
    return FS_OK;
}

fs_status fs_step_model_new(const fs_inference *inference, const fs_pool *pool, const fs_part *gpu, bool ideal,
                            const char *trace_path, fs_step_model **model, fs_err *err)
{
    fs_step_model *m = fs_zalloc(1, sizeof *m);
    if (!m)
        return fs_fail_nomem(err);
    *m = (fs_step_model){.in = inference, .pool = pool, .gpu = *gpu, .ideal = ideal};
    if (pool->launch_s >= 0)
        m->gpu.launch_s = pool->launch_s;
    else if (gpu->costs.sms > 0) /* kernels of a CUDA graph, whose fixed times have what lies between two of them */
        m->gpu.launch_s = 0;
    m->known = fs_zalloc(REMEMBERED, sizeof *m->known);
    fs_status status = m->known ? check_formats(m, trace_path, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = fs_experts_spread(&inference->model.moe, pool->ep, pool->redundant, &m->spread, err);
    if (status != FS_OK) {
        fs_step_model_free(m);
        return status;
    }
    measure(m);
    *model = m;
    return FS_OK;
}

void fs_step_model_free(fs_step_model *m)
{
    if (!m)
        return;
    fs_experts_free(&m->spread);
    fs_free(m->known);
    fs_free(m);
}

double fs_step_weight_bytes(const fs_step_model *m)
{
    return m->weight_bytes;
}

double fs_step_kv_bytes(const fs_step_model *m)
{
    return m->kv_bytes;
}

double fs_step_window_bytes(const fs_step_model *m)
{
    return m->window_bytes;
}

double fs_step_kv_all_bytes(const fs_step_model *m)
{
    return m->kv_all_bytes;
}

const double *fs_step_expert_load(const fs_step_model *m)
{
    return m->spread.load;
}
