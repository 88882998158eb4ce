/* step_bytes.c - see step_in.h. What stays on a GPU: weights, and what the cache takes of a token. */
#include "serve/step_in.h"

#include <math.h>

/* Weights of a layer on a GPU. */
static double layer_bytes(const fs_step_model *m, uint32_t layer)
{
    const fs_pool *p = m->pool;
    const fs_transformer *t = &m->in->model;
    double each = fs_dtype_bytes(m->in->weights), mlp = fs_dtype_bytes(m->in->mlp),
           expert = fs_dtype_bytes(m->in->experts);
    fs_layer_size size = fs_layer_parameters(t, layer), ffn = fs_layer_ffn_parameters(t, layer);
    double projection = fs_transformer_value_width(t) * t->hidden,
           attention = (size.split - ffn.split - projection) * each + projection * fs_dtype_bytes(m->in->projection);
    if (p->role == FS_ROLE_FFN) {
        double split = p->tp * (ffn.experts > 0 ? 1.0 : p->ep); /* MLPs without experts over all */
        return ffn.split / split * mlp + ffn.whole * each +
               ffn.experts * fs_step_experts_here(m) / fmax(1, t->moe.experts) / p->tp * expert;
    }
    if (p->ffn != FS_NONE)
        return attention / p->tp + (size.whole - ffn.whole) * each;
    return (attention + ffn.split * mlp) / p->tp + size.whole * each +
           size.experts * fs_step_experts_here(m) / fmax(1, t->moe.experts) / fs_step_expert_split(m) * expert;
}

void fs_step_measure(fs_step_model *m)
{
    const fs_transformer *t = &m->in->model;
    const fs_pool *p = m->pool;
    bool ffn = p->role == FS_ROLE_FFN;
    double token = ffn ? 0 : fs_step_kv_width(m) * fs_dtype_bytes(m->in->kv);
    for (uint32_t stage = 0; stage < p->pp; stage++) {
        uint32_t first, layers;
        fs_step_stage_layers(m, stage, &first, &layers);
        double bytes = 0, outer = fs_embedding_parameters(t) / p->tp * FS_STEP_NUMBER;
        uint32_t drafts =
            m->in->drafts && stage + 1 == p->pp ? 1 : 0; /* the layer for later tokens, with a cache, too */
        for (uint32_t l = first; l < first + layers + drafts; l++)
            bytes += layer_bytes(m, l);
        if (stage == 0 && !ffn)
            bytes += outer + fs_position_parameters(t) * FS_STEP_NUMBER;
        if (stage + 1 == p->pp && !(t->tied && stage == 0) && !ffn)
            bytes += outer;
        m->all_bytes += bytes * p->tp * p->dp;
        m->weight_bytes = fmax(m->weight_bytes, bytes);
        uint32_t windows = fs_layers_with_window(t, first, layers);
        m->kv_bytes = fmax(m->kv_bytes, (layers + drafts - windows) * token);
        m->window_bytes = fmax(m->window_bytes, windows * t->window * token);
    }
    double once = t->mla.kv_rank ? (double)t->mla.kv_rank + t->mla.rope : 2.0 * t->kv_heads * t->head_dim;
    uint32_t kept = t->layers + (m->in->drafts ? 1 : 0) - fs_layers_with_window(t, 0, t->layers);
    m->kv_all_bytes = kept * once * fs_dtype_bytes(m->in->kv);
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

double fs_step_all_bytes(const fs_step_model *m)
{
    return m->all_bytes;
}
