/* training_layout.c - who is where, and what follows from the sizes of a training job. See training.h. Closed forms. */
#include "work/training.h"

#include "base/num.h"

#include <stdio.h>

/* ---- ranks ------------------------------------------------------------------------------------------------------ */

static uint32_t dense_size(const fs_training *t, fs_dimension dim)
{
    const uint32_t sizes[FS_DIMS] = {t->tp, t->cp, 1, t->dp, t->pp};
    return sizes[dim];
}

static uint32_t expert_size(const fs_training *t, fs_dimension dim)
{
    const uint32_t sizes[FS_DIMS] = {t->etp, 1, t->ep, fs_training_edp(t), t->pp};
    return sizes[dim];
}

static fs_digit digit(const fs_training *t, fs_dimension dim, uint32_t (*size)(const fs_training *, fs_dimension))
{
    uint32_t stride = 1, i = 0;
    for (; t->order[i] != dim; i++)
        stride *= size(t, (fs_dimension)t->order[i]);
    return (fs_digit){size(t, dim), stride};
}

fs_digit fs_training_digit(const fs_training *t, fs_dimension dim)
{
    return digit(t, dim, dense_size);
}

fs_digit fs_training_expert_digit(const fs_training *t, fs_dimension dim)
{
    return digit(t, dim, expert_size);
}

uint32_t fs_training_ranks(const fs_training *t)
{
    return t->tp * t->cp * t->dp * t->pp;
}

uint32_t fs_training_edp(const fs_training *t)
{
    return (uint32_t)((uint64_t)t->tp * t->cp * t->dp / ((uint64_t)t->ep * t->etp));
}

uint32_t fs_training_microbatches(const fs_training *t)
{
    return (uint32_t)(t->global_batch / ((uint64_t)t->micro_batch * t->dp));
}

/* ---- layers and parameters --------------------------------------------------------------------------------------- */

void fs_training_layers(const fs_training *t, uint32_t chunk, uint32_t *first, uint32_t *count)
{
    uint32_t n = t->pp * t->vpp, each = (t->model.layers + n - 1) / n, missing = each * n - t->model.layers;
    uint32_t left = missing / 2, right = n - (missing - left); /* chunks before `left` and from `right` on have less */
    uint32_t short_before = chunk < left ? chunk : left + (chunk > right ? chunk - right : 0);
    *count = chunk < left || chunk >= right ? each - 1 : each;
    *first = chunk * each - short_before;
    if (chunk + 1 == n) /* those for later tokens are behind the last one */
        *count += t->model.mtp;
}

fs_gpu_size fs_training_layer_size(const fs_training *t, uint32_t layer)
{
    fs_layer_size size = fs_layer_parameters(&t->model, layer);
    return (fs_gpu_size){size.split / t->tp + size.whole, size.experts / t->ep / t->etp};
}

fs_gpu_size fs_training_chunk_size(const fs_training *t, uint32_t chunk)
{
    const fs_transformer *m = &t->model;
    uint32_t first, count, last_chunk = t->pp * t->vpp - 1;
    fs_gpu_size size = {0, 0};
    fs_training_layers(t, chunk, &first, &count);
    for (uint32_t i = first; i < first + count; i++) {
        fs_gpu_size layer = fs_training_layer_size(t, i);
        size.dense += layer.dense;
        size.experts += layer.experts;
    }
    if (chunk == 0)
        size.dense += fs_embedding_parameters(m) / t->tp + fs_position_parameters(m);
    if (chunk == last_chunk) /* a tied output layer on another stage is a copy */
        size.dense += fs_norm_parameters(m) + (m->tied && chunk == 0 ? 0 : fs_embedding_parameters(m) / t->tp);
    return size;
}

fs_gpu_size fs_training_stage_size(const fs_training *t, uint32_t stage)
{
    fs_gpu_size size = {0, 0};
    for (uint32_t c = 0; c < t->vpp; c++) {
        fs_gpu_size chunk = fs_training_chunk_size(t, c * t->pp + stage);
        size.dense += chunk.dense;
        size.experts += chunk.experts;
    }
    return size;
}

double fs_training_grad_bytes(const fs_training *t)
{
    return t->grad_dtype == FS_FP32 ? 4 : 2;
}

/* ---- experts ----------------------------------------------------------------------------------------------------- */

bool fs_training_shares(const fs_training *t, double *share)
{
    const fs_moe *moe = &t->model.moe;
    bool even = moe->popularity == NULL || moe->capacity > 0; /* padding hides who is popular */
    uint32_t local = moe->experts / t->ep;
    for (uint32_t i = 0; i < t->ep; i++) {
        share[i] = even ? 1.0 / t->ep : 0;
        for (uint32_t e = i * local; !even && e < (i + 1) * local; e++)
            share[i] += moe->popularity[e];
    }
    for (uint32_t i = 1; i < t->ep; i++)
        if (share[i] < share[0] || share[i] > share[0])
            return true;
    return false;
}

double fs_training_routed(const fs_training *t)
{
    double tokens = (double)t->micro_batch * t->model.seq / t->cp / (t->sequence ? t->tp : 1);
    return tokens * t->model.moe.top_k * (t->model.moe.capacity > 0 ? t->model.moe.capacity : 1);
}

bool fs_training_keeps_scores(const fs_training *t)
{
    return t->kernels != FS_FLASH && t->recompute != FS_RECOMPUTE_FULL && !(t->recompute_parts & FS_AGAIN_SCORES);
}

/* ---- FLOPs ------------------------------------------------------------------------------------------------------- */

/* Forward, one sequence. */
static double layers_flops(const fs_training *t, bool causal)
{
    double sum = 0;
    for (uint32_t i = 0; i < fs_transformer_depth(&t->model); i++)
        sum += fs_layer_weight_flops(&t->model, i) + fs_scores_flops(&t->model, causal);
    return sum;
}

double fs_training_model_flops(const fs_training *t)
{
    return 3 * t->global_batch * (layers_flops(t, t->model.causal) + fs_logits_flops(&t->model));
}

double fs_training_hardware_flops(const fs_training *t)
{
    const fs_transformer *m = &t->model;
    bool flash = t->kernels == FS_FLASH, causal = m->causal && flash; /* separate products form all scores */
    uint32_t depth = fs_transformer_depth(m);
    double layers = layers_flops(t, causal), padding = 0, scores = depth * fs_scores_flops(m, causal);
    double query = fs_transformer_query_width(m), value = fs_transformer_value_width(m);
    if (m->moe.capacity > 0) /* padding is computed */
        padding = (m->moe.capacity - 1) * fs_layers_with_experts(m, 0, depth) * 2.0 * m->seq *
                  fs_transformer_mlp_weights(m, (double)m->moe.top_k * m->moe.ffn);
    layers += padding;
    if (m->mla.kv_rank) /* down to the latents on every tensor-parallel GPU */
        layers += (t->tp - 1) * 2.0 * m->seq * depth * m->hidden * (m->mla.kv_rank + m->mla.rope + m->mla.q_rank);
    double ends = 2.0 * m->seq * 2.0 * m->hidden * m->hidden + fs_logits_flops(m); /* of a layer for later tokens */
    double again = t->recompute == FS_RECOMPUTE_FULL ? layers - m->mtp * ends : 0;
    if ((t->recompute_parts & FS_AGAIN_LATENT) && m->mla.kv_rank)
        again += 2.0 * m->seq * depth * fs_latent_up_weights(m);
    for (uint32_t i = 0; i < depth && (t->recompute_parts & FS_AGAIN_MLP); i++)
        again += fs_layer_mlp_flops(m, i);
    if (t->recompute_parts & FS_AGAIN_MLP)
        again += padding;
    if ((t->recompute_parts & FS_AGAIN_SCORES) && !flash)
        again += scores;
    /* The backward pass of flash attention forms the scores once more: 5 products for 4 (Dao et al. 2022). */
    if (flash)
        again += scores * query / (query + value);
    return t->global_batch * (3 * (layers + fs_logits_flops(m)) + again);
}

/* ---- a line about it --------------------------------------------------------------------------------------------- */

static void size_text(double n, char *text, size_t size)
{
    uint64_t tenths = (uint64_t)(n / 1e8 + 0.5); /* of a billion: integers need no decimal point of the locale's */
    if (n < 1e9)
        snprintf(text, size, "%.0fM", n / 1e6);
    else
        snprintf(text, size, "%llu.%lluB", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10));
}

static int add_size(char *text, size_t size, int n, const char *name, uint32_t value)
{
    return value > 1 ? n + snprintf(text + n, size - (size_t)n, " x %s %u", name, value) : n;
}

void fs_training_note(const fs_training *t, char *text, size_t size)
{
    static const char *const kernels[] = {"unfused", "fused", "flash"};
    static const char *const recompute[] = {"", ", selective recomputation", ", full recomputation"};
    const fs_transformer *m = &t->model;
    char all[32], active[32];
    size_text(fs_transformer_parameters(m), all, sizeof all);
    size_text(fs_transformer_active_parameters(m), active, sizeof active);
    int n = snprintf(text, size, "%s parameters (", all);
    if (m->moe.experts > 0)
        n += snprintf(text + n, size - (size_t)n, "%s active, %u experts, ", active, m->moe.experts);
    n += snprintf(text + n, size - (size_t)n, "%u layers, hidden %u, %u heads), TP %u", m->layers, m->hidden, m->heads,
                  t->tp);
    n = add_size(text, size, n, "CP", t->cp);
    n = add_size(text, size, n, "PP", t->pp);
    n = add_size(text, size, n, "VPP", t->vpp);
    n += snprintf(text + n, size - (size_t)n, " x DP %u", t->dp);
    if (m->moe.experts > 0)
        n += snprintf(text + n, size - (size_t)n, " (experts EP %u x TP %u)", t->ep, t->etp);
    if (t->zero > 0)
        n += snprintf(text + n, size - (size_t)n, ", ZeRO %u", t->zero);
    snprintf(text + n, size - (size_t)n, ", batch %u x %u tokens, %s, %s kernels%s", t->global_batch, m->seq,
             fs_dtype_names[t->gemm], kernels[t->kernels], recompute[t->recompute]);
}
