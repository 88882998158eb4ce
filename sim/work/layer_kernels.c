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
    *w = (fs_kernel_writer){.b = b, .t = t, .err = err, .each = 1};
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
    w->QK = w->Q - (m->mla.kv_rank ? w->P : w->tokens * m->kv_heads * m->head_dim / tp);
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
    if (flops > 0) {
        w->launches += w->each - 1;
    } else {
        k.count = (uint32_t)w->each;
        k.bytes /= k.count;
    }
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

/* From 2 bytes to what a product in this format reads: along rows, and along columns. Where one scale is a tensor's, its
 * largest number is found first: the tensor is read once more, and a second kernel makes the scale of it. */
static void cast(fs_kernel_writer *w, const char *name, fs_dtype dtype, double rows, double columns)
{
    double in = fs_dtype_bytes(dtype), each = w->each;
    if (!(in < FS_ACTIVATION_BYTES))
        return;
    w->each *= w->t->tensor_scales ? 3 : 1;
    fs_kernel_bytes(w, name, rows * columns * ((w->t->tensor_scales ? 2 : 1) * FS_ACTIVATION_BYTES + 2 * in));
    w->each = each;
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
    if (m->qk_norm != FS_QK_NONE)
        fs_kernel_pass(w, "query key norm", 2, w->QK);
    if (m->rotary)
        fs_kernel_pass(w, "rotary", 2, w->QK);
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
        fs_kernel_pass(w, "rotary grad", 2, w->QK);
    if (m->qk_norm != FS_QK_NONE)
        fs_kernel_pass(w, "query key norm grad", 3, w->QK);
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

/* Kernels that Megatron-LM launches around the experts without fusing them (core 0.13 to 0.15, megatron/core/transformer/moe: router.py,
 * moe_utils.py and token_dispatcher.py, counted by reading): scores, top-k, scattered probabilities and map, auxiliary loss, its scale and
 * its log; tokens of each expert, counted, summed over ranks and copied to the host; the rows to permute. They move next to
 * nothing and are listed as one. */
#define ROUTER_LAUNCHES 24
#define ROUTER_GRAD_LAUNCHES 10
#define PERMUTE_LAUNCHES 5
#define UNPERMUTE_LAUNCHES 2

static void moved(fs_kernel_writer *w, const char *name, double launches, double bytes)
{
    w->each = launches;
    fs_kernel_bytes(w, name, bytes);
    w->each = 1;
}

/* Transformer Engine's GroupedLinear casts and multiplies for one expert after the other, by cuBLAS and on several streams:
 * what one leaves idle the next fills, as in one product of so many matrices. */
static void experts_cast(fs_kernel_writer *w, const char *name, double rows, double columns)
{
    w->each = (double)w->t->model.moe.experts / w->t->ep;
    cast(w, name, w->t->experts, rows, columns);
    w->each = 1;
}

static void experts_multiply(fs_kernel_writer *w, const char *name, bool wgrad, double rows, double inner,
                             double columns)
{
    w->each = (double)w->t->model.moe.experts / w->t->ep;
    multiply(w, name, w->t->experts, wgrad, w->each, rows, inner, columns);
    w->each = 1;
}

/* How rows lie for the experts, one way or back. NCCL's all-to-all leaves them by sender, and they are sorted by expert. Products
 * in fp8 and fp4 take multiples of 16 or 32 rows: without capacity each expert's are copied to where there is room, unless
 * what brought them left some. */
static void arrange(fs_kernel_writer *w)
{
    const fs_training *t = w->t;
    double moved = 2 * FS_ACTIVATION_BYTES * w->arrived * w->hidden;
    if (t->dispatch_algo == FS_ALGO_DIRECT && t->ep > 1 && t->model.moe.experts > t->ep)
        fs_kernel_bytes(w, "experts sort", moved);
    if (fs_dtype_bytes(t->experts) < FS_ACTIVATION_BYTES && !(t->model.moe.capacity > 0) && !t->dispatch_padded)
        fs_kernel_bytes(w, "experts pad", moved);
}

/* Tokens copied to, or joined from, one row for each expert that they visit; the rows' numbers of so many bytes. NCCL's all-to-all takes
 * rows, so that is done where tokens come from; other dispatches take tokens, one to each GPU that has some of its experts,
 * and it is done there. */
static double permuted_bytes(const fs_kernel_writer *w, double bytes_each)
{
    const fs_training *t = w->t;
    double ep = t->ep, gpus = ep * (1 - pow(1 - 1 / ep, t->model.moe.top_k)); /* that a token goes to */
    double tokens = t->dispatch_algo == FS_ALGO_DIRECT ? 1 : gpus;
    return (tokens * w->N + w->routed * w->hidden) * bytes_each;
}

/* Each token is looked at by the router, in fp32 as is the custom. */
void fs_kernels_route(fs_kernel_writer *w)
{
    double experts = w->t->model.moe.experts;
    product(w, "router", w->t->precision, w->local, w->hidden, experts);
    moved(w, "top k", ROUTER_LAUNCHES, 3 * 4 * w->local * experts);
    if (w->t->model.moe.shared_ffn > 0)
        cast(w, "mlp in cast", w->t->gemm, w->local, w->hidden);
    moved(w, "permute", PERMUTE_LAUNCHES, permuted_bytes(w, w->t->dispatch_bytes));
}

/* All experts of this GPU at once each way. */
void fs_kernels_experts(fs_kernel_writer *w)
{
    const fs_transformer *m = &w->t->model;
    double local = m->moe.experts / w->t->ep, columns = (double)m->moe.ffn / w->t->etp, inputs = fs_moe_inputs(m);
    double rows = w->arrived / local;
    arrange(w);
    if (w->t->dispatch_bytes >= FS_ACTIVATION_BYTES)
        experts_cast(w, "experts in cast", w->arrived, w->hidden);
    weights_cast(w, "experts in", w->t->experts, local * w->hidden, inputs * columns);
    experts_multiply(w, "experts in", false, rows, w->hidden, inputs * columns);
    fs_kernel_pass(w, m->gated ? "experts swiglu" : "experts gelu", inputs + 1, w->arrived * columns);
    experts_cast(w, "experts out cast", w->arrived, columns);
    weights_cast(w, "experts out", w->t->experts, local * columns, w->hidden);
    experts_multiply(w, "experts out", false, rows, columns, w->hidden);
    arrange(w);
}

void fs_kernels_unroute(fs_kernel_writer *w)
{
    moved(w, "unpermute", UNPERMUTE_LAUNCHES, permuted_bytes(w, w->t->combine_bytes));
}

void fs_kernels_unroute_grad(fs_kernel_writer *w)
{
    moved(w, "unpermute grad", UNPERMUTE_LAUNCHES, permuted_bytes(w, w->t->combine_bytes));
}

static void experts_grad(fs_kernel_writer *w, const char *input, const char *weights, double inner, double columns)
{
    double rows = w->arrived / (w->t->model.moe.experts / w->t->ep);
    experts_multiply(w, input, false, rows, columns, inner);
    experts_multiply(w, weights, true, inner, rows, columns);
}

void fs_kernels_experts_grad(fs_kernel_writer *w)
{
    const fs_transformer *m = &w->t->model;
    double columns = (double)m->moe.ffn / w->t->etp, inputs = fs_moe_inputs(m);
    arrange(w);
    experts_cast(w, "experts out grad cast", w->arrived, w->hidden);
    experts_grad(w, "experts out dgrad", "experts out wgrad", columns, w->hidden);
    fs_kernel_pass(w, m->gated ? "experts swiglu grad" : "experts gelu grad", 2 * inputs + 1, w->arrived * columns);
    experts_cast(w, "experts in grad cast", w->arrived, inputs * columns);
    experts_grad(w, "experts in dgrad", "experts in wgrad", w->hidden, inputs * columns);
    arrange(w);
}

void fs_kernels_route_grad(fs_kernel_writer *w)
{
    double experts = w->t->model.moe.experts;
    moved(w, "permute grad", UNPERMUTE_LAUNCHES, permuted_bytes(w, w->t->combine_bytes));
    moved(w, "top k grad", ROUTER_GRAD_LAUNCHES, 3 * 4 * w->local * experts);
    fs_kernel_bytes(w, "router casts",
                    w->N * 2 * (FS_ACTIVATION_BYTES + 4)); /* its input to fp32, that gradient back */
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
