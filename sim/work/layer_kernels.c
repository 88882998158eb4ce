/* layer_kernels.c - see layer_kernels.h: the kernels of a layer, in the order in which Megatron-LM launches them.
 *
 * Matrix products count their FLOPs and the bytes of three matrices, anything else the bytes it reads and writes,
 * since it is bound by memory. A "pass" is one reading or writing of a tensor. `unfused` counts what PyTorch ran
 * in Megatron-LM's first release (2019): bias, scale, mask, softmax, dropout and residual were kernels of their own,
 * and only GELU and the layer norm were fused; `fused` has the later fused kernels (bias + GELU, scale + mask +
 * softmax, bias + dropout + residual); `flash` never writes attention scores (Dao et al. 2022).
 *
 * Products in fp8 and fp4 cast what they read, as Transformer Engine does: a norm that feeds one product writes its format;
 * any other input, and the gradient that comes in, is read once more and written twice, along rows for one product and
 * along columns for the gradient of the weights; weights are cast when they have changed. */
#include "work/layer_kernels.h"

#include <math.h>
#include <stdio.h>

static double pick(bool condition, double yes, double no)
{
    return condition ? yes : no;
}

void fs_kernels_init(fs_kernel_writer *w, fs_work_builder *b, const fs_training *t, double share, fs_err *err)
{
    const fs_transformer *m = &t->model;
    double tp = t->tp;
    *w = (fs_kernel_writer){.b = b, .t = t, .err = err};
    w->tokens = (double)t->micro_batch * m->seq / t->cp;
    w->local = w->tokens / (t->sequence ? tp : 1);
    w->hidden = m->hidden;
    w->qkv = fs_transformer_qkv_width(m) / tp;
    w->query = fs_transformer_query_width(m) / tp;
    w->value = fs_transformer_value_width(m) / tp;
    w->heads = m->heads / tp;
    w->H = w->tokens * w->hidden;
    w->N = w->local * w->hidden;
    w->Q = w->tokens * w->qkv;
    w->P = w->tokens * w->value;
    w->S = w->heads * w->tokens * m->seq;
    w->L = w->tokens * m->vocab / tp;
    if (m->moe.experts > 0) {
        w->routed = fs_training_routed(t);
        w->arrived = w->routed * t->etp * t->ep * share;
    }
}

void fs_kernels_free(fs_kernel_writer *w)
{
    fs_free(w->list.data);
    fs_free(w->later.data);
}

void fs_kernels_resume(fs_kernel_writer *w)
{
    for (uint32_t i = 0; i < w->later.count && w->status == FS_OK; i++)
        if (FS_PUSH(&w->list, w->later.data[i]) == NULL)
            w->status = fs_fail_nomem(w->err);
    w->later.count = 0;
}

/* ---- one kernel -------------------------------------------------------------------------------------------------- */

static void kernel(fs_kernel_writer *w, const char *name, const fs_kernel_shape *shape, double flops, double bytes,
                   fs_dtype dtype, bool wgrad)
{
    if (w->status != FS_OK || (w->wgrad == FS_WGRAD_ONLY && !wgrad) || (w->wgrad == FS_WGRAD_SKIP && wgrad))
        return;
    static const fs_kernel_shape plain; /* what has no arithmetic needs no shape: no tokens came to these experts */
    fs_kernel k = {
        .flops = flops, .bytes = bytes, .shape = flops > 0 ? *shape : plain, .count = 1, .dtype = (uint8_t)dtype};
    w->status = fs_work_name(w->b, name, &k.name, w->err);
    bool kept = w->status == FS_OK &&
                (wgrad && w->wgrad == FS_WGRAD_LATER ? FS_PUSH(&w->later, k) != NULL : FS_PUSH(&w->list, k) != NULL);
    if (w->status == FS_OK && !kept)
        w->status = fs_fail_nomem(w->err);
}

void fs_kernel_bytes(fs_kernel_writer *w, const char *name, double bytes)
{
    static const fs_kernel_shape plain; /* no shape: it only moves memory */
    kernel(w, name, &plain, 0, bytes, w->t->precision, false);
}

void fs_kernel_pass(fs_kernel_writer *w, const char *name, double passes, double elements)
{
    fs_kernel_bytes(w, name, passes * elements * FS_ACTIVATION_BYTES);
}

/* (rows x inner) times (inner x columns), `batch` of them. */
static void multiply(fs_kernel_writer *w, const char *name, fs_dtype dtype, bool wgrad, double batch, double rows,
                     double inner, double columns)
{
    fs_kernel_shape shape = {.kind = FS_KERNEL_GEMM, .batch = batch, .m = rows, .n = columns, .k = inner};
    double flops, bytes;
    fs_kernel_needs(&shape, dtype, &flops, &bytes);
    kernel(w, name, &shape, flops, bytes, dtype, wgrad);
}

/* So many experts share the rows, and each multiplies its own by its own (inner x columns). */
static void group(fs_kernel_writer *w, const char *name, double experts, double rows, double inner, double columns)
{
    fs_kernel_shape shape = {.kind = FS_KERNEL_GROUPED, .batch = experts, .m = rows, .n = columns, .k = inner};
    double flops, bytes;
    fs_kernel_needs(&shape, w->t->experts, &flops, &bytes);
    kernel(w, name, &shape, flops, bytes, w->t->experts, false);
}

/* From 2 bytes to what a product in this format reads: along rows, and along columns. */
static void cast(fs_kernel_writer *w, const char *name, fs_dtype dtype, double rows, double columns)
{
    double in = fs_dtype_bytes(dtype);
    if (in < FS_ACTIVATION_BYTES)
        fs_kernel_bytes(w, name, rows * columns * (FS_ACTIVATION_BYTES + 2 * in));
}

static void weights_cast(fs_kernel_writer *w, const char *product, fs_dtype dtype, double rows, double columns)
{
    char name[64];
    snprintf(name, sizeof name, "%s weights cast", product);
    if (w->new_weights)
        cast(w, name, dtype, rows, columns);
}

static void product(fs_kernel_writer *w, const char *name, fs_dtype dtype, double rows, double inner, double columns)
{
    weights_cast(w, name, dtype, inner, columns);
    multiply(w, name, dtype, false, 1, rows, inner, columns);
}

/* Gradients of a product: one for its input, one for its weights, each of the product's size. */
static void product_grad(fs_kernel_writer *w, const char *input, const char *weights, fs_dtype dtype, double rows,
                         double inner, double columns)
{
    multiply(w, input, dtype, false, 1, rows, columns, inner);
    multiply(w, weights, dtype, true, 1, inner, rows, columns);
}

/* ---- norms and residuals ----------------------------------------------------------------------------------------- */

void fs_kernels_norm(fs_kernel_writer *w)
{
    fs_kernel_pass(w, "norm", 2, w->N);
}

void fs_kernels_residual(fs_kernel_writer *w)
{
    const fs_transformer *m = &w->t->model;
    if (w->t->kernels != FS_UNFUSED) { /* read both, write the sum, and a mask of one byte */
        fs_kernel_pass(w, m->dropout ? "bias dropout residual" : "residual", m->dropout ? 3.5 : 3, w->N);
        return;
    }
    if (m->bias)
        fs_kernel_pass(w, "bias", 2, w->N);
    if (m->dropout)
        fs_kernel_pass(w, "dropout", 2.5, w->N);
    fs_kernel_pass(w, "residual", 3, w->N);
}

/* The residual's gradient is the sum's own, and is added where the branch began. */
void fs_kernels_residual_grad(fs_kernel_writer *w)
{
    if (w->t->model.dropout)
        fs_kernel_pass(w, "dropout grad", 2.5, w->N);
    if (w->t->model.bias)
        fs_kernel_pass(w, "bias grad", 1, w->N);
}

void fs_kernels_branch_grad(fs_kernel_writer *w)
{
    fs_kernel_pass(w, "norm grad", 3, w->N);
    fs_kernel_pass(w, "residual grad", 3, w->N);
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

/* Queries, keys and values by way of their latents; the down-projections run whole on every GPU. */
static void latent_qkv(fs_kernel_writer *w)
{
    const fs_mla *a = &w->t->model.mla;
    fs_dtype dtype = w->t->gemm;
    double up = w->heads * (a->nope + a->v);
    cast(w, "latent input cast", dtype, w->tokens, w->hidden);
    if (a->q_rank) {
        product(w, "query down", dtype, w->tokens, w->hidden, a->q_rank);
        fs_kernel_pass(w, "latent norm", 2, w->tokens * a->q_rank);
    }
    product(w, "query up", dtype, w->tokens, a->q_rank ? a->q_rank : w->hidden, w->query);
    product(w, "latent down", dtype, w->tokens, w->hidden, a->kv_rank + a->rope);
    fs_kernel_pass(w, "latent norm", 2, w->tokens * a->kv_rank);
    product(w, "latent up", dtype, w->tokens, a->kv_rank, up);
}

void fs_kernels_latent_up(fs_kernel_writer *w)
{
    const fs_mla *a = &w->t->model.mla;
    if (a->kv_rank == 0)
        return;
    product(w, "query up", w->t->gemm, w->tokens, a->q_rank ? a->q_rank : w->hidden, w->query);
    product(w, "latent up", w->t->gemm, w->tokens, a->kv_rank, w->heads * (a->nope + a->v));
}

void fs_kernels_qkv(fs_kernel_writer *w)
{
    const fs_transformer *m = &w->t->model;
    if (m->mla.kv_rank)
        latent_qkv(w);
    else
        product(w, "qkv", w->t->gemm, w->tokens, w->hidden, w->qkv);
    if (w->t->kernels == FS_UNFUSED && m->bias)
        fs_kernel_pass(w, "qkv bias", 2, w->Q);
    fs_kernel_pass(w, "split heads", 2, w->Q);
    if (m->rotary)
        fs_kernel_pass(w, "rotary", 2, w->Q - w->P);
}

/* Without context parallelism a causal mask is a triangle; with it each of `blocks` is as good as half a square. */
static void flash(fs_kernel_writer *w, const char *name, fs_kernel_kind kind, uint32_t blocks)
{
    const fs_transformer *m = &w->t->model;
    double rows = w->tokens / w->t->micro_batch, keys = (double)m->seq / blocks, half = m->causal ? 0.5 : 1;
    double query = w->query / w->heads, value = w->value / w->heads;
    bool triangle = m->causal && w->t->cp == 1, grad = kind == FS_KERNEL_ATTENTION_GRAD;
    fs_kernel_shape shape = {.kind = (uint8_t)kind,
                             .kv_dtype = FS_BF16,
                             .causal = triangle,
                             .batch = w->t->micro_batch,
                             .queries = rows,
                             .keys = triangle ? keys : keys * half,
                             .heads = w->heads,
                             .kv_heads = fmin(w->heads, fmax(1, (double)m->kv_heads / w->t->tp)),
                             .dim = query,
                             .value_dim = value};
    /* Five products for the forward's two; reads Q K V, output and its gradient, writes the gradients of Q K V. */
    double products = grad ? 3 * query + 2 * value : query + value;
    kernel(w, name, &shape, 2 * w->t->micro_batch * w->heads * rows * keys * products * half,
           pick(grad, 2, 1) * (w->Q + w->P) * FS_ACTIVATION_BYTES, w->t->attention, false);
}

void fs_kernels_core(fs_kernel_writer *w, uint32_t blocks)
{
    const fs_transformer *m = &w->t->model;
    double batch = w->t->micro_batch * w->heads, rows = w->tokens / w->t->micro_batch, keys = (double)m->seq / blocks;
    double scores = w->S / blocks, query = w->query / w->heads, value = w->value / w->heads;
    fs_dtype dtype = w->t->attention;
    if (w->t->kernels == FS_FLASH) {
        flash(w, "flash attention", FS_KERNEL_ATTENTION, blocks);
        return;
    }
    multiply(w, "scores", dtype, false, batch, rows, query, keys);
    if (w->t->kernels == FS_UNFUSED) {
        fs_kernel_pass(w, "scale", 2, scores);
        fs_kernel_pass(w, "mask", 4, scores); /* times the mask, minus 10000 where it hides */
    }
    fs_kernel_pass(w, "softmax", 2, scores);
    if (m->dropout)
        fs_kernel_pass(w, "attention dropout", 2.5, scores);
    multiply(w, "context", dtype, false, batch, rows, keys, value);
}

void fs_kernels_projection(fs_kernel_writer *w)
{
    fs_kernel_pass(w, "join heads", 2, w->P);
    cast(w, "projection cast", w->t->gemm, w->tokens, w->value);
    product(w, "projection", w->t->gemm, w->tokens, w->value, w->hidden);
}

void fs_kernels_projection_grad(fs_kernel_writer *w)
{
    cast(w, "projection grad cast", w->t->gemm, w->local, w->hidden);
    product_grad(w, "projection dgrad", "projection wgrad", w->t->gemm, w->tokens, w->value, w->hidden);
    fs_kernel_pass(w, "join heads grad", 2, w->P);
}

/* The scores' "weights" are activations: both gradients are needed at once. */
static void scores_grad(fs_kernel_writer *w, const char *left, const char *right, double batch, double rows,
                        double inner, double columns)
{
    multiply(w, left, w->t->attention, false, batch, rows, columns, inner);
    multiply(w, right, w->t->attention, false, batch, inner, rows, columns);
}

void fs_kernels_core_grad(fs_kernel_writer *w, uint32_t blocks)
{
    const fs_transformer *m = &w->t->model;
    double batch = w->t->micro_batch * w->heads, rows = w->tokens / w->t->micro_batch, keys = (double)m->seq / blocks;
    double scores = w->S / blocks, query = w->query / w->heads, value = w->value / w->heads;
    if (w->t->kernels == FS_FLASH) {
        flash(w, "flash attention grad", FS_KERNEL_ATTENTION_GRAD, blocks);
        return;
    }
    scores_grad(w, "context dgrad", "context vgrad", batch, rows, keys, value);
    if (m->dropout)
        fs_kernel_pass(w, "attention dropout grad", 2.5, scores);
    fs_kernel_pass(w, "softmax grad", 3, scores);
    if (w->t->kernels == FS_UNFUSED) {
        fs_kernel_pass(w, "mask grad", 2, scores);
        fs_kernel_pass(w, "scale grad", 2, scores);
    }
    scores_grad(w, "scores qgrad", "scores kgrad", batch, rows, query, keys);
}

static void latent_grad(fs_kernel_writer *w)
{
    const fs_mla *a = &w->t->model.mla;
    fs_dtype dtype = w->t->gemm;
    double up = w->heads * (a->nope + a->v);
    cast(w, "latent up grad cast", dtype, w->tokens, up);
    product_grad(w, "latent up dgrad", "latent up wgrad", dtype, w->tokens, a->kv_rank, up);
    fs_kernel_pass(w, "latent norm grad", 3, w->tokens * a->kv_rank);
    cast(w, "latent down grad cast", dtype, w->tokens, a->kv_rank + a->rope);
    product_grad(w, "latent down dgrad", "latent down wgrad", dtype, w->tokens, w->hidden, a->kv_rank + a->rope);
    cast(w, "query up grad cast", dtype, w->tokens, w->query);
    product_grad(w, "query up dgrad", "query up wgrad", dtype, w->tokens, a->q_rank ? a->q_rank : w->hidden, w->query);
    if (a->q_rank) {
        fs_kernel_pass(w, "latent norm grad", 3, w->tokens * a->q_rank);
        cast(w, "query down grad cast", dtype, w->tokens, a->q_rank);
        product_grad(w, "query down dgrad", "query down wgrad", dtype, w->tokens, w->hidden, a->q_rank);
    }
}

void fs_kernels_qkv_grad(fs_kernel_writer *w)
{
    const fs_transformer *m = &w->t->model;
    if (m->rotary)
        fs_kernel_pass(w, "rotary grad", 2, w->Q - w->P);
    fs_kernel_pass(w, "split heads grad", 2, w->Q);
    if (m->bias)
        fs_kernel_pass(w, "qkv bias grad", 1, w->Q);
    if (m->mla.kv_rank) {
        latent_grad(w);
        return;
    }
    cast(w, "qkv grad cast", w->t->gemm, w->tokens, w->qkv);
    product_grad(w, "qkv dgrad", "qkv wgrad", w->t->gemm, w->tokens, w->hidden, w->qkv);
}

/* ---- MLP --------------------------------------------------------------------------------------------------------- */

void fs_kernels_mlp_in(fs_kernel_writer *w, double columns)
{
    const fs_transformer *m = &w->t->model;
    double inputs = fs_moe_inputs(m), inner = w->tokens * columns;
    product(w, "mlp in", w->t->gemm, w->tokens, w->hidden, inputs * columns);
    if (w->t->kernels == FS_UNFUSED && m->bias)
        fs_kernel_pass(w, "mlp bias", 2 * inputs, inner);
    fs_kernel_pass(w, m->gated ? "swiglu" : "gelu", inputs + 1, inner);
}

void fs_kernels_mlp_out(fs_kernel_writer *w, double columns)
{
    cast(w, "mlp out cast", w->t->gemm, w->tokens, columns);
    product(w, "mlp out", w->t->gemm, w->tokens, columns, w->hidden);
}

void fs_kernels_mlp_grad(fs_kernel_writer *w, double columns)
{
    const fs_transformer *m = &w->t->model;
    double inputs = fs_moe_inputs(m), inner = w->tokens * columns;
    cast(w, "mlp out grad cast", w->t->gemm, w->local, w->hidden);
    product_grad(w, "mlp out dgrad", "mlp out wgrad", w->t->gemm, w->tokens, columns, w->hidden);
    fs_kernel_pass(w, m->gated ? "swiglu grad" : "gelu grad", 2 * inputs + 1, inner);
    if (m->bias)
        fs_kernel_pass(w, "mlp bias grad", inputs, inner);
    cast(w, "mlp in grad cast", w->t->gemm, w->tokens, inputs * columns);
    product_grad(w, "mlp in dgrad", "mlp in wgrad", w->t->gemm, w->tokens, w->hidden, inputs * columns);
}

/* ---- experts ----------------------------------------------------------------------------------------------------- */

/* Each token is looked at by the router, in fp32 as is the custom, and copied once for each expert that it visits. */
void fs_kernels_route(fs_kernel_writer *w)
{
    double experts = w->t->model.moe.experts;
    product(w, "router", w->t->precision, w->local, w->hidden, experts);
    fs_kernel_bytes(w, "top k", 3 * 4 * w->local * experts);
    if (w->t->model.moe.shared_ffn > 0)
        cast(w, "mlp in cast", w->t->gemm, w->local, w->hidden);
    fs_kernel_bytes(w, "permute", w->N * FS_ACTIVATION_BYTES + w->routed * w->hidden * w->t->dispatch_bytes);
}

/* All experts of this GPU in one grouped product each way. */
void fs_kernels_experts(fs_kernel_writer *w)
{
    const fs_transformer *m = &w->t->model;
    double local = m->moe.experts / w->t->ep, columns = (double)m->moe.ffn / w->t->etp, inputs = fs_moe_inputs(m);
    if (w->t->dispatch_bytes >= FS_ACTIVATION_BYTES)
        cast(w, "experts in cast", w->t->experts, w->arrived, w->hidden);
    weights_cast(w, "experts in", w->t->experts, local * w->hidden, inputs * columns);
    group(w, "experts in", local, w->arrived, w->hidden, inputs * columns);
    fs_kernel_pass(w, m->gated ? "experts swiglu" : "experts gelu", inputs + 1, w->arrived * columns);
    cast(w, "experts out cast", w->t->experts, w->arrived, columns);
    weights_cast(w, "experts out", w->t->experts, local * columns, w->hidden);
    group(w, "experts out", local, w->arrived, columns, w->hidden);
}

void fs_kernels_unroute(fs_kernel_writer *w)
{
    fs_kernel_bytes(w, "unpermute", w->routed * w->hidden * w->t->combine_bytes + w->N * FS_ACTIVATION_BYTES);
}

void fs_kernels_unroute_grad(fs_kernel_writer *w)
{
    fs_kernel_bytes(w, "unpermute grad", w->N * FS_ACTIVATION_BYTES + 2 * w->routed * w->hidden * w->t->combine_bytes);
}

/* The input's gradient is a grouped product again; those of the experts' weights are one product each. */
static void experts_grad(fs_kernel_writer *w, const char *input, const char *weights, double local, double inner,
                         double columns)
{
    group(w, input, local, w->arrived, columns, inner);
    multiply(w, weights, w->t->experts, true, local, inner, w->arrived / local, columns);
}

void fs_kernels_experts_grad(fs_kernel_writer *w)
{
    const fs_transformer *m = &w->t->model;
    double local = m->moe.experts / w->t->ep, columns = (double)m->moe.ffn / w->t->etp, inputs = fs_moe_inputs(m);
    cast(w, "experts out grad cast", w->t->experts, w->arrived, w->hidden);
    experts_grad(w, "experts out dgrad", "experts out wgrad", local, columns, w->hidden);
    fs_kernel_pass(w, m->gated ? "experts swiglu grad" : "experts gelu grad", 2 * inputs + 1, w->arrived * columns);
    cast(w, "experts in grad cast", w->t->experts, w->arrived, inputs * columns);
    experts_grad(w, "experts in dgrad", "experts in wgrad", local, w->hidden, inputs * columns);
}

void fs_kernels_route_grad(fs_kernel_writer *w)
{
    double experts = w->t->model.moe.experts;
    fs_kernel_bytes(w, "permute grad", w->routed * w->hidden * w->t->combine_bytes + w->N * FS_ACTIVATION_BYTES);
    fs_kernel_bytes(w, "top k grad", 3 * 4 * w->local * experts);
    product_grad(w, "router dgrad", "router wgrad", w->t->precision, w->local, w->hidden, experts);
}

/* ---- later tokens ------------------------------------------------------------------------------------------------ */

void fs_kernels_join(fs_kernel_writer *w)
{
    fs_kernel_pass(w, "join norms", 4, w->N);
    cast(w, "join cast", w->t->gemm, w->tokens, 2 * w->hidden);
    product(w, "join", w->t->gemm, w->tokens, 2 * w->hidden, w->hidden / w->t->tp);
}

void fs_kernels_join_grad(fs_kernel_writer *w)
{
    cast(w, "join grad cast", w->t->gemm, w->tokens, w->hidden / w->t->tp);
    product_grad(w, "join dgrad", "join wgrad", w->t->gemm, w->tokens, 2 * w->hidden, w->hidden / w->t->tp);
    fs_kernel_pass(w, "join norms grad", 6, w->N);
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

void fs_kernels_logits(fs_kernel_writer *w)
{
    product(w, "logits", w->t->logits, w->tokens, w->hidden, w->L / w->tokens);
}

/* Never put off to a pass of its own: until then the gradient of all logits would have to be kept. */
void fs_kernels_logits_grad(fs_kernel_writer *w)
{
    bool later = w->wgrad == FS_WGRAD_LATER;
    cast(w, "logits grad cast", w->t->logits, w->tokens, w->L / w->tokens);
    multiply(w, "logits dgrad", w->t->logits, false, 1, w->tokens, w->L / w->tokens, w->hidden);
    multiply(w, "logits wgrad", w->t->logits, later, 1, w->hidden, w->tokens, w->L / w->tokens);
}
