/* transformer.c - see transformer.h. Closed forms, in doubles: counts go far beyond 2^32, and are exact below 2^53.
 *
 * FLOPs: D. Narayanan et al., "Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM", SC
 * 2021, appendix. Activations: V. Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models",
 * MLSys 2023 (arXiv 2205.05198), section 4. Both are widened to any ffn, gating and grouped-query attention, and give
 * the papers' expressions for ffn = 4 hidden, kv_heads = heads. */
#include "work/transformer.h"

/* fp32 master weight, first and second moment of Adam (Rajbhandari et al., "ZeRO", SC 2020, section 3.1). */
enum { ADAM_BYTES = 12 };

double fs_training_grad_bytes(const fs_training *t)
{
    return t->grad_dtype == FS_FP32 ? 4 : 2;
}

uint32_t fs_training_microbatches(const fs_training *t)
{
    return (uint32_t)(t->global_batch / ((uint64_t)t->micro_batch * t->dp));
}

static double kv_width(const fs_transformer *m)
{
    return (double)m->hidden / m->heads * m->kv_heads;
}

double fs_transformer_qkv_width(const fs_transformer *m)
{
    return m->hidden + 2 * kv_width(m);
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

/* One layer split over tp GPUs: matrices and the biases of their columns are; what acts on whole vectors is not. */
static double layer_parameters(const fs_transformer *m, double tp)
{
    double h = m->hidden, qkv = fs_transformer_qkv_width(m), inputs = m->gated ? 2 : 1;
    double split = (h + 1) * qkv + h * h + (h + 1) * m->ffn * inputs + (double)m->ffn * h;
    double whole = h + h + 4 * h; /* biases of the projection and of the MLP's output; two layer norms */
    return split / tp + whole;
}

static double outer_parameters(const fs_transformer *m, double tp)
{
    return (double)m->vocab * m->hidden / tp + (double)m->seq * m->hidden + 2.0 * m->hidden;
}

double fs_transformer_parameters(const fs_transformer *m)
{
    return m->layers * layer_parameters(m, 1) + outer_parameters(m, 1);
}

double fs_training_layer_parameters(const fs_training *t)
{
    return layer_parameters(&t->model, t->tp);
}

double fs_training_gpu_parameters(const fs_training *t)
{
    return t->model.layers * layer_parameters(&t->model, t->tp) + outer_parameters(&t->model, t->tp);
}

/* ---- FLOPs ------------------------------------------------------------------------------------------------------ */

/* The two batched products of attention, per sample and layer. Causality is not exploited. */
static double attention_flops(const fs_transformer *m)
{
    return 4.0 * m->seq * m->seq * m->hidden;
}

static double layer_flops(const fs_transformer *m)
{
    double h = m->hidden, weights = h * fs_transformer_qkv_width(m) + h * h + h * m->ffn * (m->gated ? 3 : 2);
    return 2.0 * m->seq * weights + attention_flops(m);
}

static double logits_flops(const fs_transformer *m)
{
    return 2.0 * m->seq * m->hidden * m->vocab;
}

double fs_training_model_flops(const fs_training *t)
{
    return 3 * t->global_batch * (t->model.layers * layer_flops(&t->model) + logits_flops(&t->model));
}

double fs_training_hardware_flops(const fs_training *t)
{
    double again = t->recompute ? t->model.layers * layer_flops(&t->model) : 0;
    /* The backward pass of flash attention forms the scores once more: 5 products for 4 (Dao et al. 2022). */
    double scores = t->kernels == FS_FLASH ? t->model.layers * attention_flops(&t->model) / 2 : 0;
    return fs_training_model_flops(t) + t->global_batch * (again + scores);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* What the backward pass of one layer needs, one microbatch: s b h (10 + 24/t + 5 a s / (h t)) in the paper. */
static double layer_activations(const fs_training *t)
{
    const fs_transformer *m = &t->model;
    double tokens = (double)t->micro_batch * m->seq, h = m->hidden, tp = t->tp;
    double whole = 10 * h; /* inputs of norms, attention and MLP at 2 B, two dropout masks at 1 B */
    double split = 2 * (fs_transformer_qkv_width(m) + h) + (m->gated ? 6 : 4) * (double)m->ffn;
    double scores = t->kernels == FS_FLASH ? 0 : 5.0 * m->heads * m->seq; /* softmax in and out, dropout mask */
    return tokens * (whole + (split + scores) / tp);
}

fs_memory fs_training_memory(const fs_training *t)
{
    const fs_transformer *m = &t->model;
    double n = fs_training_gpu_parameters(t), tokens = (double)t->micro_batch * m->seq;
    double layers = t->recompute
                        ? 2 * tokens * m->hidden * m->layers + layer_activations(t) /* inputs, and one layer at work */
                        : m->layers * layer_activations(t);
    /* Dropout mask of the embedding, final norm, output layer, and logits in fp32. */
    double ends = tokens * (m->hidden + 4.0 * m->hidden + 4.0 * m->vocab / t->tp);
    return (fs_memory){.weights = FS_ACTIVATION_BYTES * n,
                       .gradients = fs_training_grad_bytes(t) * n,
                       .optimizer = ADAM_BYTES * n,
                       .activations = layers + ends};
}
