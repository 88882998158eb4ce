/* training_step.c - the kernels of a training step, in the order in which Megatron-LM launches them.
 *
 * Each kernel is a compute op: a matrix product by its FLOPs and bytes, anything else by the bytes it reads and writes,
 * since it is bound by memory. A "pass" is one reading or writing of a tensor. `unfused` counts what PyTorch ran
 * in Megatron-LM's first release (2019): bias, scale, mask, softmax, dropout and residual were kernels of their own,
 * and only GELU and the layer norm were fused; `fused` has the later fused kernels (bias + GELU, scale + mask +
 * softmax, bias + dropout + residual, cross entropy, Adam); `flash` never writes attention scores (Dao et al. 2022).
 * docs/MODEL.md lists the passes.
 * Tensor parallelism (Shoeybi et al. 2019, section 3): an all-reduce of the hidden states behind attention and behind
 * the MLP, forward (g) and backward (f), and again when a forward is recomputed; the embedding, the logits' gradient
 * and the cross entropy have their own. The compute stream waits for each: nothing hides them.
 * Cost: about 100 ops per layer and microbatch. */
#include "work/training_step.h"

typedef struct step {
    fs_work_builder *b;
    const fs_training *t;
    fs_err *err;
    fs_status status; /* of the first op that failed; later ones are not tried */
    uint32_t program, tp_family, dp_family;
    uint16_t compute, tp_stream, dp_stream;
    uint8_t phase;
    uint32_t last;     /* the last kernel */
    uint32_t waits[2]; /* collectives that the next kernel waits for; never more than 2 between kernels */
    uint32_t n_waits;
    uint32_t reduction; /* the last one of gradients: its stream keeps the earlier ones before it */

    /* One microbatch on one GPU; sizes in elements. */
    double tokens;
    double hidden, qkv, head_width, heads, context, inner; /* widths: all but hidden are this GPU's share */
    double H, Q, P, F, S, L; /* tensors: hidden states, Q K V, attention output, MLP inside, scores, logits */
} step;

static void add(step *s, fs_op *op, const char *name, const uint32_t *deps, uint32_t n_deps, uint32_t *index)
{
    if (s->status == FS_OK)
        s->status = fs_work_name(s->b, name, &op->name, s->err);
    if (s->status == FS_OK)
        s->status = fs_work_op(s->b, s->program, op, deps, n_deps, index, s->err);
}

static void kernel(step *s, const char *name, double flops, double bytes)
{
    fs_op op = fs_op_default(FS_OP_COMPUTE);
    op.stream = s->compute;
    op.phase = s->phase;
    op.dtype = (uint8_t)s->t->precision;
    op.flops = flops;
    op.bytes = bytes;
    add(s, &op, name, s->waits, s->n_waits, &s->last);
    s->n_waits = 0;
}

/* `passes` over a tensor of `elements` in the precision of activations. */
static void pass(step *s, const char *name, double passes, double elements)
{
    kernel(s, name, 0, passes * elements * FS_ACTIVATION_BYTES);
}

/* (rows x inner) times (inner x columns), `batch` of them. */
static void product(step *s, const char *name, double batch, double rows, double inner, double columns)
{
    double elements = rows * inner + inner * columns + rows * columns;
    kernel(s, name, 2 * batch * rows * inner * columns, batch * elements * FS_ACTIVATION_BYTES);
}

/* Gradients of a product: one for its input, one for its weights, each of the product's size. */
static void product_back(step *s, const char *input, const char *weights, double batch, double rows, double inner,
                         double columns)
{
    product(s, input, batch, rows, columns, inner);
    product(s, weights, batch, inner, rows, columns);
}

/* Behind the last kernel. Its op. */
static uint32_t all_reduce(step *s, const char *name, uint32_t family, uint16_t stream, double bytes)
{
    fs_op op = fs_op_default(FS_OP_COLLECTIVE);
    uint32_t index = 0;
    op.stream = stream;
    op.phase = s->phase;
    op.family = family;
    op.size_bytes = bytes;
    add(s, &op, name, &s->last, 1, &index);
    return index;
}

/* Hidden states (or what else), summed over the tensor-parallel group; the next kernel needs the sum. */
static void tp_sum(step *s, const char *name, double bytes)
{
    if (s->t->tp > 1)
        s->waits[s->n_waits++] = all_reduce(s, name, s->tp_family, s->tp_stream, bytes);
}

/* Bias, dropout and residual behind a row-parallel product. */
static void add_to_residual(step *s)
{
    if (s->t->kernels != FS_UNFUSED) {
        pass(s, "bias dropout residual", 3.5, s->H); /* read both, write the sum, and a mask of one byte */
        return;
    }
    pass(s, "bias", 2, s->H);
    pass(s, "dropout", 2.5, s->H);
    pass(s, "residual", 3, s->H);
}

static void attention_forward(step *s)
{
    double batch = s->t->micro_batch * s->heads, seq = s->t->model.seq;
    bool unfused = s->t->kernels == FS_UNFUSED;
    product(s, "qkv", 1, s->tokens, s->hidden, s->qkv);
    if (unfused)
        pass(s, "qkv bias", 2, s->Q);
    pass(s, "split heads", 2, s->Q);
    if (s->t->kernels == FS_FLASH) {
        kernel(s, "flash attention", 4 * batch * seq * seq * s->head_width, (s->Q + s->P) * FS_ACTIVATION_BYTES);
    } else {
        product(s, "scores", batch, seq, s->head_width, seq);
        if (unfused) {
            pass(s, "scale", 2, s->S);
            pass(s, "mask", 4, s->S); /* times the mask, minus 10000 where it hides */
        }
        pass(s, "softmax", 2, s->S);
        pass(s, "attention dropout", 2.5, s->S);
        product(s, "context", batch, seq, seq, s->head_width);
    }
    pass(s, "join heads", 2, s->P);
    product(s, "projection", 1, s->tokens, s->context, s->hidden);
}

static void mlp_forward(step *s)
{
    double inputs = s->t->model.gated ? 2 : 1;
    product(s, "mlp in", 1, s->tokens, s->hidden, inputs * s->inner);
    if (s->t->kernels == FS_UNFUSED)
        pass(s, "mlp bias", 2 * inputs, s->F);
    pass(s, s->t->model.gated ? "swiglu" : "gelu", inputs + 1, s->F);
    product(s, "mlp out", 1, s->tokens, s->inner, s->hidden);
}

static void layer_forward(step *s)
{
    double hidden_bytes = s->H * FS_ACTIVATION_BYTES;
    pass(s, "layer norm", 2, s->H);
    attention_forward(s);
    tp_sum(s, "attention all-reduce", hidden_bytes);
    add_to_residual(s);
    pass(s, "layer norm", 2, s->H);
    mlp_forward(s);
    tp_sum(s, "mlp all-reduce", hidden_bytes);
    add_to_residual(s);
}

/* Through bias and dropout; the residual's gradient is the sum's own, and is added where the branch began. */
static void residual_backward(step *s)
{
    pass(s, "dropout grad", 2.5, s->H);
    pass(s, "bias grad", 1, s->H);
}

static void branch_backward(step *s)
{
    pass(s, "layer norm grad", 3, s->H);
    pass(s, "residual grad", 3, s->H);
}

static void mlp_backward(step *s)
{
    double inputs = s->t->model.gated ? 2 : 1;
    product_back(s, "mlp out dgrad", "mlp out wgrad", 1, s->tokens, s->inner, s->hidden);
    pass(s, s->t->model.gated ? "swiglu grad" : "gelu grad", 2 * inputs + 1, s->F);
    pass(s, "mlp bias grad", inputs, s->F);
    product_back(s, "mlp in dgrad", "mlp in wgrad", 1, s->tokens, s->hidden, inputs * s->inner);
}

static void attention_backward(step *s)
{
    double batch = s->t->micro_batch * s->heads, seq = s->t->model.seq;
    product_back(s, "projection dgrad", "projection wgrad", 1, s->tokens, s->context, s->hidden);
    pass(s, "join heads grad", 2, s->P);
    if (s->t->kernels == FS_FLASH) {
        /* Five products for the forward's two; reads Q K V, output and its gradient, writes the gradients of Q K V. */
        kernel(s, "flash attention grad", 10 * batch * seq * seq * s->head_width,
               2 * (s->Q + s->P) * FS_ACTIVATION_BYTES);
    } else {
        product_back(s, "context dgrad", "context vgrad", batch, seq, seq, s->head_width);
        pass(s, "attention dropout grad", 2.5, s->S);
        pass(s, "softmax grad", 3, s->S);
        if (s->t->kernels == FS_UNFUSED) {
            pass(s, "mask grad", 2, s->S);
            pass(s, "scale grad", 2, s->S);
        }
        product_back(s, "scores qgrad", "scores kgrad", batch, seq, s->head_width, seq);
    }
    pass(s, "split heads grad", 2, s->Q);
    pass(s, "qkv bias grad", 1, s->Q);
    product_back(s, "qkv dgrad", "qkv wgrad", 1, s->tokens, s->hidden, s->qkv);
}

static void layer_backward(step *s)
{
    double hidden_bytes = s->H * FS_ACTIVATION_BYTES;
    residual_backward(s);
    mlp_backward(s);
    tp_sum(s, "mlp grad all-reduce", hidden_bytes);
    branch_backward(s);
    residual_backward(s);
    attention_backward(s);
    tp_sum(s, "attention grad all-reduce", hidden_bytes);
    branch_backward(s);
}

static void embedding_forward(step *s)
{
    pass(s, "embedding", 2, s->H);
    tp_sum(s, "embedding all-reduce", s->H * FS_ACTIVATION_BYTES);
    pass(s, "positions", 3, s->H);
    pass(s, "embedding dropout", 2.5, s->H);
}

/* Vocabulary-parallel: maximum, own logit and sum of exponentials are exchanged, 4 bytes a token each. Unfused works on
 * a copy in fp32: cast 3 passes, maximum 2, subtract 4, exponentials 4, their sum 2, divide 4. */
static void loss(step *s)
{
    bool unfused = s->t->kernels == FS_UNFUSED;
    pass(s, "final norm", 2, s->H);
    product(s, "logits", 1, s->tokens, s->hidden, s->L / s->tokens);
    pass(s, "loss maximum", unfused ? 5 : 1, s->L);
    tp_sum(s, "loss all-reduce", 4 * s->tokens);
    if (unfused)
        pass(s, "loss shift", 4, s->L);
    tp_sum(s, "loss all-reduce", 4 * s->tokens);
    pass(s, "loss exponentials", unfused ? 6 : 2, s->L);
    tp_sum(s, "loss all-reduce", 4 * s->tokens);
    if (unfused)
        pass(s, "loss quotient", 4, s->L);
}

static void loss_backward(step *s)
{
    pass(s, "loss grad", s->t->kernels == FS_UNFUSED ? 7 : 2, s->L); /* unfused: scale in fp32 4, cast back 3 */
    product_back(s, "logits dgrad", "logits wgrad", 1, s->tokens, s->hidden, s->L / s->tokens);
    tp_sum(s, "logits grad all-reduce", s->H * FS_ACTIVATION_BYTES);
    pass(s, "final norm grad", 3, s->H);
}

static void embedding_backward(step *s)
{
    pass(s, "embedding dropout grad", 2.5, s->H);
    pass(s, "positions grad", 1, s->H);
    pass(s, "embedding grad", 2, s->H);
    /* The lookup's gradient is dense: made of zeros, then added to that of the logits, which share the weights. */
    pass(s, "tied weights grad", 4, s->L / s->tokens * s->hidden);
}

static void reduce_gradients(step *s, double parameters)
{
    if (s->t->dp > 1)
        s->reduction =
            all_reduce(s, "gradient all-reduce", s->dp_family, s->dp_stream, parameters * fs_training_grad_bytes(s->t));
}

static void microbatch(step *s, bool last)
{
    const fs_training *t = s->t;
    double layer = fs_training_layer_parameters(t), all = fs_training_gpu_parameters(t);
    s->phase = FS_PHASE_FORWARD;
    embedding_forward(s);
    for (uint32_t i = 0; i < t->model.layers; i++)
        layer_forward(s);
    loss(s);
    s->phase = FS_PHASE_BACKWARD;
    loss_backward(s);
    for (uint32_t i = 0; i < t->model.layers; i++) {
        if (t->recompute) {
            s->phase = FS_PHASE_RECOMPUTE;
            layer_forward(s);
            s->phase = FS_PHASE_BACKWARD;
        }
        layer_backward(s);
        if (last && t->overlap_grad_reduce)
            reduce_gradients(s, layer);
    }
    embedding_backward(s);
    if (last)
        reduce_gradients(s, t->overlap_grad_reduce ? all - t->model.layers * layer : all);
}

/* Adam in mixed precision, bytes per parameter; g = bytes of a gradient. Fused: norm of the gradients g; one kernel
 * reads gradient, master weight and moments (g + 12) and writes the latter and the weight in use (14). Unfused (Apex's
 * FP16_Optimizer, 2019): gradients to fp32 (g + 4), unscale 8, norm 4, clip 8, Adam 16 read + 12 written, weights back
 * to fp16 (4 + 2). */
static void optimizer(step *s)
{
    double n = fs_training_gpu_parameters(s->t), g = fs_training_grad_bytes(s->t);
    bool unfused = s->t->kernels == FS_UNFUSED;
    s->phase = FS_PHASE_OPTIMIZER;
    if (s->t->dp > 1)
        s->waits[s->n_waits++] = s->reduction;
    if (unfused) {
        kernel(s, "gradients to fp32", 0, (g + 4) * n);
        kernel(s, "unscale", 0, 8 * n);
    }
    kernel(s, "gradient norm", 0, (unfused ? 4 : g) * n);
    tp_sum(s, "norm all-reduce", 4);
    if (unfused)
        kernel(s, "clip", 0, 8 * n);
    kernel(s, "adam", 0, (unfused ? 28 : g + 26) * n);
    if (unfused)
        kernel(s, "weights to fp16", 0, 6 * n);
}

static void measure(step *s)
{
    const fs_transformer *m = &s->t->model;
    double tp = s->t->tp;
    s->tokens = (double)s->t->micro_batch * m->seq;
    s->hidden = m->hidden;
    s->qkv = fs_transformer_qkv_width(m) / tp;
    s->head_width = (double)m->hidden / m->heads;
    s->heads = m->heads / tp;
    s->context = m->hidden / tp;
    s->inner = m->ffn / tp;
    s->H = s->tokens * s->hidden;
    s->Q = s->tokens * s->qkv;
    s->P = s->tokens * s->context;
    s->F = s->tokens * s->inner;
    s->S = s->heads * s->tokens * m->seq;
    s->L = s->tokens * m->vocab / tp;
}

fs_status fs_training_emit(fs_work_builder *b, uint32_t program, const fs_training *t, uint32_t tp, uint32_t dp,
                           fs_err *err)
{
    step s = {.b = b, .t = t, .err = err, .program = program, .tp_family = tp, .dp_family = dp};
    measure(&s);
    s.status = fs_work_stream(b, "compute", &s.compute, err);
    if (s.status == FS_OK && t->tp > 1)
        s.status = fs_work_stream(b, "tp", &s.tp_stream, err);
    if (s.status == FS_OK && t->dp > 1)
        s.status = fs_work_stream(b, "dp", &s.dp_stream, err);
    for (uint32_t i = fs_training_microbatches(t); i-- > 0 && s.status == FS_OK;)
        microbatch(&s, i == 0);
    optimizer(&s);
    return s.status;
}
