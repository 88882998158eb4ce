/* transformer.c - see transformer.h. Closed forms, in doubles: counts go far beyond 2^32, and are exact below 2^53.
 *
 * FLOPs: D. Narayanan et al., "Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM", SC
 * 2021, appendix, widened to any ffn, gating, grouped-query and latent attention, and experts (those that a token
 * visits). They give the paper's expressions for ffn = 4 hidden, kv_heads = heads. */
#include "work/transformer.h"

fs_transformer fs_transformer_default(uint32_t layers, uint32_t hidden, uint32_t heads, uint32_t vocab, uint32_t seq)
{
    return (fs_transformer){.layers = layers,
                            .hidden = hidden,
                            .heads = heads,
                            .kv_heads = heads,
                            .head_dim = heads ? hidden / heads : 0,
                            .ffn = 4 * hidden,
                            .vocab = vocab,
                            .seq = seq,
                            .tied = true,
                            .bias = true,
                            .norm_bias = true,
                            .learned_positions = true,
                            .dropout = true,
                            .moe = {.every = 1}};
}

uint32_t fs_transformer_depth(const fs_transformer *m)
{
    return m->layers + m->mtp;
}

bool fs_layer_has_experts(const fs_transformer *m, uint32_t layer)
{
    return m->moe.experts > 0 && layer >= m->moe.first && layer % m->moe.every == 0;
}

uint32_t fs_layers_with_experts(const fs_transformer *m, uint32_t first, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = first; i < first + count; i++)
        n += fs_layer_has_experts(m, i);
    return n;
}

bool fs_layer_has_window(const fs_transformer *m, uint32_t layer)
{
    return m->window > 0 && (layer + 1) % m->full_every != 0;
}

uint32_t fs_layers_with_window(const fs_transformer *m, uint32_t first, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = first; i < first + count; i++)
        n += fs_layer_has_window(m, i);
    return n;
}

uint32_t fs_moe_inputs(const fs_transformer *m)
{
    return m->gated ? 2 : 1;
}

double fs_transformer_query_width(const fs_transformer *m)
{
    return (double)m->heads * (m->mla.kv_rank ? m->mla.nope + m->mla.rope : m->head_dim);
}

double fs_transformer_value_width(const fs_transformer *m)
{
    return (double)m->heads * (m->mla.kv_rank ? m->mla.v : m->head_dim);
}

double fs_transformer_qkv_width(const fs_transformer *m)
{
    if (m->mla.kv_rank)
        return 2 * fs_transformer_query_width(m) + fs_transformer_value_width(m); /* as the core sees them */
    return fs_transformer_query_width(m) + 2.0 * m->kv_heads * m->head_dim;
}

double fs_transformer_mlp_weights(const fs_transformer *m, double ffn)
{
    return m->hidden * ffn * (fs_moe_inputs(m) + 1);
}

double fs_latent_up_weights(const fs_transformer *m)
{
    const fs_mla *a = &m->mla;
    return (a->q_rank ? a->q_rank : m->hidden) * fs_transformer_query_width(m) +
           (double)a->kv_rank * m->heads * (a->nope + a->v);
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

/* Matrices and the biases of their columns are split; what acts on whole vectors is not. The latent's down-projections
 * feed all heads: each GPU has them whole. */
static fs_layer_size attention_parameters(const fs_transformer *m)
{
    double h = m->hidden, v = fs_transformer_value_width(m), bias = m->bias ? 1 : 0;
    const fs_mla *a = &m->mla;
    if (a->kv_rank == 0)
        return (fs_layer_size){.split = (h + bias) * fs_transformer_qkv_width(m) + v * h, .whole = bias * h};
    double down = h * (a->kv_rank + a->rope) + a->kv_rank + (a->q_rank ? h * a->q_rank + a->q_rank : 0);
    return (fs_layer_size){.split = fs_latent_up_weights(m) + v * h, .whole = down + bias * h};
}

static fs_layer_size mlp_parameters(const fs_transformer *m, double ffn)
{
    double bias = m->bias ? 1 : 0;
    return (fs_layer_size){.split = fs_transformer_mlp_weights(m, ffn) + bias * ffn * fs_moe_inputs(m),
                           .whole = bias * m->hidden};
}

double fs_norm_parameters(const fs_transformer *m)
{
    return (m->norm_bias ? 2.0 : 1.0) * m->hidden;
}

fs_layer_size fs_layer_ffn_parameters(const fs_transformer *m, uint32_t layer)
{
    bool experts = fs_layer_has_experts(m, layer);
    fs_layer_size size = {0};
    if (!experts || m->moe.shared_ffn > 0)
        size = mlp_parameters(m, experts ? m->moe.shared_ffn : m->ffn);
    if (experts) {
        fs_layer_size one = mlp_parameters(m, m->moe.ffn);
        size.experts = m->moe.experts * (one.split + one.whole);
    }
    return size;
}

fs_layer_size fs_layer_parameters(const fs_transformer *m, uint32_t layer)
{
    fs_layer_size size = attention_parameters(m), ffn = fs_layer_ffn_parameters(m, layer);
    size.split += ffn.split;
    size.whole += ffn.whole;
    size.experts = ffn.experts;
    size.whole += (m->parallel_block ? 1 : 2) * fs_norm_parameters(m);
    if (layer >=
        m->layers) { /* its input and the next token's embedding, each normed, to one hidden state; a final norm */
        size.split += 2.0 * m->hidden * m->hidden;
        size.whole += 3 * fs_norm_parameters(m);
    }
    if (ffn.experts > 0)
        size.whole += (double)m->hidden * m->moe.experts; /* the router */
    return size;
}

double fs_embedding_parameters(const fs_transformer *m)
{
    return (double)m->vocab * m->hidden;
}

double fs_position_parameters(const fs_transformer *m)
{
    return m->learned_positions ? (double)m->seq * m->hidden : 0;
}

static double outer_parameters(const fs_transformer *m)
{
    return fs_embedding_parameters(m) * (m->tied ? 1 : 2) + fs_position_parameters(m) + fs_norm_parameters(m);
}

double fs_transformer_parameters(const fs_transformer *m)
{
    double sum = 0;
    for (uint32_t i = 0; i < fs_transformer_depth(m); i++) {
        fs_layer_size size = fs_layer_parameters(m, i);
        sum += size.split + size.whole + size.experts;
    }
    return sum + outer_parameters(m);
}

double fs_transformer_active_parameters(const fs_transformer *m)
{
    double sum = 0;
    for (uint32_t i = 0; i < fs_transformer_depth(m); i++) {
        fs_layer_size size = fs_layer_parameters(m, i);
        sum += size.split + size.whole;
        if (size.experts > 0)
            sum += size.experts / m->moe.experts * m->moe.top_k;
    }
    return sum + outer_parameters(m);
}

/* ---- FLOPs ------------------------------------------------------------------------------------------------------ */

static double attention_weights(const fs_transformer *m)
{
    double h = m->hidden, out = fs_transformer_value_width(m) * h;
    const fs_mla *a = &m->mla;
    if (a->kv_rank == 0)
        return h * fs_transformer_qkv_width(m) + out;
    double query = a->q_rank ? a->q_rank * (h + fs_transformer_query_width(m)) : h * fs_transformer_query_width(m);
    return query + h * (a->kv_rank + a->rope) + (double)a->kv_rank * m->heads * (a->nope + a->v) + out;
}

double fs_layer_mlp_flops(const fs_transformer *m, uint32_t layer)
{
    double weights = fs_transformer_mlp_weights(m, m->ffn);
    if (fs_layer_has_experts(m, layer))
        weights = fs_transformer_mlp_weights(m, (double)m->moe.top_k * m->moe.ffn + m->moe.shared_ffn) +
                  (double)m->hidden * m->moe.experts;
    return 2.0 * m->seq * weights;
}

double fs_layer_weight_flops(const fs_transformer *m, uint32_t layer)
{
    double weights = attention_weights(m);
    if (layer >= m->layers)
        weights += 2.0 * m->hidden * m->hidden + (double)m->hidden * m->vocab;
    return 2.0 * m->seq * weights + fs_layer_mlp_flops(m, layer);
}

double fs_scores_flops(const fs_transformer *m, bool causal)
{
    double all = 2.0 * m->seq * m->seq * (fs_transformer_query_width(m) + fs_transformer_value_width(m));
    return causal ? all / 2 : all;
}

double fs_logits_flops(const fs_transformer *m)
{
    return 2.0 * m->seq * m->hidden * m->vocab;
}
