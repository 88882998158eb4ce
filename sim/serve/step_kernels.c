/* step_kernels.c - see step_in.h. Products, which are the same in most iterations, are remembered: a table by
 * what they are, where the last one of a place stays. */
#include "serve/step_in.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* ---- kernels ------------------------------------------------------------------------------------------------------- */

static double kernel(const fs_step_model *m, const fs_kernel_shape *shape, double flops, double bytes, fs_dtype dtype)
{
    fs_kernel_time time = {0};
    bool known = fs_gpu_kernel(&m->gpu, shape, flops, bytes, dtype, m->ideal, &time);
    return known ? time.seconds : 0; /* formats were checked (check_formats) */
}

static double price_product(const fs_step_model *m, const fs_product_key *key)
{
    fs_kernel_shape shape = {.kind = (uint8_t)key->kind, .m = key->m, .n = key->n, .k = key->k, .batch = key->batch};
    fs_dtype multiplied = (fs_dtype)key->multiplied;
    double flops, bytes, stored = fs_dtype_bytes((fs_dtype)key->stored);
    fs_kernel_needs(&shape, multiplied, &flops, &bytes);
    bytes +=
        key->batch * key->n * key->k * (stored - fs_dtype_bytes(multiplied)); /* weights are read as they are kept */
    return kernel(m, &shape, flops, bytes, multiplied);
}

static double product(const fs_step_model *m, const fs_product_key *key)
{
    if (!(key->m > 0 && key->batch > 0))
        return 0;
    fs_product_time *place = &m->known[fs_hash_bytes(FS_HASH_START, key, sizeof *key) % FS_PRODUCTS_KNOWN];
    if (memcmp(&place->key, key, sizeof *key) != 0) {
        place->seconds = price_product(m, key);
        place->key = *key;
    }
    return place->seconds;
}

/* (rows x k) (k x n) with weights. */
static double linear_of(const fs_step_model *m, double rows, double n, double k, fs_dtype stored, fs_dtype multiplied)
{
    return product(m, &(fs_product_key){rows, n, k, 1, FS_KERNEL_GEMM, stored, multiplied, 1});
}

static double linear(const fs_step_model *m, double rows, double n, double k)
{
    return linear_of(m, rows, n, k, m->in->weights, m->in->gemm);
}

static double mlp_linear(const fs_step_model *m, double rows, double n, double k)
{
    return linear_of(m, rows, n, k, m->in->mlp, m->in->mlp_gemm);
}

/* The same for each of so many heads. */
static double per_head(const fs_step_model *m, double rows, double n, double k, double heads)
{
    return product(m, &(fs_product_key){rows, n, k, heads, FS_KERNEL_GEMM, m->in->weights, m->in->gemm, 1});
}

/* Rows that are dealt out to so many experts, each of which has some. */
static double grouped(const fs_step_model *m, double rows, double n, double k, double experts)
{
    return product(m, &(fs_product_key){rows, n, k, experts, FS_KERNEL_GROUPED, m->in->experts, m->in->expert_gemm, 1});
}

double fs_step_passes_s(const fs_step_model *m, double numbers)
{
    static const fs_kernel_shape plain;
    return numbers > 0 ? kernel(m, &plain, 0, numbers * FS_STEP_NUMBER, m->in->attention) : 0;
}

/* Numbers to a product's format, where nothing before could do it on the way. */
static double quantise(const fs_step_model *m, double rows, double width, fs_dtype dtype)
{
    const fs_kernel_shape shape = {.kind = FS_KERNEL_QUANTISE, .m = rows, .k = width};
    double flops, bytes;
    if (!(rows > 0) || fs_dtype_bytes(dtype) >= FS_STEP_NUMBER)
        return 0;
    fs_kernel_needs(&shape, dtype, &flops, &bytes);
    return kernel(m, &shape, flops, bytes, dtype);
}

/* The same where the kernel before could, with scales that are known beforehand. Those of NVFP4, one for 16 numbers, never
 * are. */
static double scale(const fs_step_model *m, double rows, double width, fs_dtype dtype)
{
    bool found = m->in->scales == FS_SCALES_BLOCK || (m->in->scales == FS_SCALES_USUAL && dtype == FS_FP4);
    return found ? quantise(m, rows, width, dtype) : 0;
}

/* NVFP4 of experts is written by what puts rows into their order, and by the activation (TensorRT-LLM, moe_kernels.cu). */
static double expert_scale(const fs_step_model *m, double rows, double width)
{
    return m->in->scales == FS_SCALES_BLOCK ? quantise(m, rows, width, m->in->expert_gemm) : 0;
}

/* ---- attention ----------------------------------------------------------------------------------------------------- */

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

double fs_step_kv_width(const fs_step_model *m)
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
    case FS_QK_HEAD: return fs_step_passes_s(m, 2 * tokens * (q + k));
    case FS_QK_ALL:
        return fs_step_passes_s(m, tokens * q) + fs_step_passes_s(m, 2 * tokens * q) + fs_step_passes_s(m, tokens * k) +
               fs_step_passes_s(m, 2 * tokens * k);
    default: return 0;
    }
}

/* What the heads give, back to a hidden state. */
static double projection_s(const fs_step_model *m, double tokens, double width)
{
    return quantise(m, tokens, width, m->in->projection_gemm) +
           linear_of(m, tokens, m->in->model.hidden, width, m->in->projection, m->in->projection_gemm);
}

static double plain_attention_s(const fs_step_model *m, const fs_step_share *s)
{
    const fs_transformer *t = &m->in->model;
    double q = heads_here(m) * t->head_dim, h = t->hidden, kv = fs_step_kv_width(m);
    const fs_kernel_shape shape = {
        .heads = heads_here(m), .kv_heads = kv_heads_here(m), .dim = t->head_dim, .value_dim = t->head_dim};
    double time_s = scale(m, s->tokens, h, m->in->gemm) + linear(m, s->tokens, q + kv, h);
    time_s += qk_norm_s(m, s->tokens, q, kv / 2);
    time_s += attend(m, s->decoding, s->decodes, s->context, shape) + attend(m, s->chunks, s->prefill, s->keys, shape);
    return time_s + projection_s(m, s->tokens, q);
}

/* DeepSeek-V2, arXiv 2405.04434, section 2.1: decoding works on the latents, with the up-projections absorbed into query
 * and output; prompts form keys and values, which is less work where there are many queries. A latent is a key and, but for
 * its rotated part, a value: as heads that have both it counts for so much of one that its bytes are right. */
static double latent_attention_s(const fs_step_model *m, const fs_step_share *s)
{
    const fs_transformer *t = &m->in->model;
    double n = heads_here(m), h = t->hidden, rank = t->mla.kv_rank, rope = t->mla.rope, nope = t->mla.nope,
           v = t->mla.v;
    double q_in = t->mla.q_rank ? t->mla.q_rank : h, down = rank + rope + (t->mla.q_rank ? q_in : 0);
    double time_s = scale(m, s->tokens, h, m->in->gemm) + linear(m, s->tokens, down, h) +
                    fs_step_passes_s(m, 2 * s->tokens * down) + scale(m, s->tokens, q_in, m->in->gemm) +
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
    return time_s + projection_s(m, s->tokens, n * v);
}

double fs_step_layer_attention_s(const fs_step_model *m, const fs_step_share *s)
{
    const fs_transformer *t = &m->in->model;
    double norms =
        2 * fs_step_passes_s(m, 4 * s->tokens * t->hidden); /* the residual and what is added to it in, both sums out */
    return norms + (t->mla.kv_rank ? latent_attention_s(m, s) : plain_attention_s(m, s));
}

/* ---- the rest ------------------------------------------------------------------------------------------------------ */

double fs_step_mlp_s(const fs_step_model *m, double tokens, double ffn)
{
    double inputs = fs_moe_inputs(&m->in->model), h = m->in->model.hidden;
    return scale(m, tokens, h, m->in->mlp_gemm) + mlp_linear(m, tokens, inputs * ffn, h) +
           fs_step_passes_s(m, tokens * ffn * (inputs + 1)) + scale(m, tokens, ffn, m->in->mlp_gemm) +
           mlp_linear(m, tokens, h, ffn);
}

double fs_step_expert_split(const fs_step_model *m)
{
    return m->pool->ep > 1 && m->pool->role != FS_ROLE_FFN ? 1 : m->pool->tp;
}

double fs_step_experts_here(const fs_step_model *m)
{
    return (double)(m->in->model.moe.experts + m->pool->redundant) / m->pool->ep;
}

/* Experts of this GPU that at least one of its tokens visits, where each is as likely as any other. */
static double visited(double experts, double rows)
{
    return experts * -expm1(rows * log1p(-1 / fmax(experts, 1 + 1e-9)));
}

double fs_step_route_s(const fs_step_model *m, double tokens)
{
    const fs_transformer *t = &m->in->model;
    return expert_scale(m, tokens, t->hidden) + linear(m, tokens, t->moe.experts, t->hidden) +
           fs_step_passes_s(m, 2 * tokens * t->moe.experts);
}

double fs_step_routed_here(const fs_step_model *m, double tokens)
{
    return fs_experts_busiest(&m->spread, tokens * m->in->model.moe.top_k);
}

double fs_step_routed_s(const fs_step_model *m, double routed)
{
    const fs_transformer *t = &m->in->model;
    double inputs = fs_moe_inputs(t), h = t->hidden, ffn = t->moe.ffn / fs_step_expert_split(m);
    double here = visited(fs_step_experts_here(m), routed);
    double time_s = fs_step_passes_s(m, 2 * routed * h) + expert_scale(m, routed, ffn); /* into the experts' order */
    time_s += grouped(m, routed, inputs * ffn, h, here) + fs_step_passes_s(m, routed * ffn * (inputs + 1));
    return time_s + grouped(m, routed, h, ffn, here);
}

double fs_step_experts_s(const fs_step_model *m, const fs_step_share *s)
{
    const fs_transformer *t = &m->in->model;
    double routed = fs_step_routed_here(m, m->pool->ep > 1 ? s->all : s->tokens), h = t->hidden;
    double time_s = fs_step_route_s(m, s->tokens) + fs_step_routed_s(m, routed);
    time_s += fs_step_passes_s(m, routed * h + s->tokens * h); /* and back, weighted and added */
    if (t->moe.shared_ffn > 0)
        time_s += fs_step_mlp_s(m, s->tokens, (double)t->moe.shared_ffn / m->pool->tp);
    return time_s;
}

double fs_step_logits_s(const fs_step_model *m, const fs_step_share *s)
{
    double v = (double)m->in->model.vocab / m->pool->tp, h = m->in->model.hidden;
    fs_dtype format = m->in->attention;
    if (!(s->rows > 0))
        return 0;
    return fs_step_passes_s(m, 2 * s->rows * h) +
           product(m, &(fs_product_key){s->rows, v, h, 1, FS_KERNEL_GEMM, format, format, 1}) +
           fs_step_passes_s(m, 3 * s->rows * m->in->model.vocab); /* the sample: the greatest, the sum, the choice */
}

/* Of each token the hidden state and the next one's embedding, both normed, to one hidden state (DeepSeek-V3, 2.2). */
double fs_step_join_s(const fs_step_model *m, double tokens)
{
    double h = m->in->model.hidden, embedded = fs_step_passes_s(m, 2 * tokens * h),
           norms = 2 * fs_step_passes_s(m, 2 * tokens * h);
    return embedded + norms + scale(m, tokens, 2 * h / m->pool->tp, m->in->gemm) +
           linear(m, tokens, h, 2 * h / m->pool->tp);
}
