/* step_cost.c - see step_cost.h. Iterations of a stage, from what a layer takes (step_kernels.c); O(1) each, as layers come in few
 * kinds. */
#include "serve/step_in.h"

#include "base/mem.h"

#include <math.h>

enum { SQUARE = 4 /* bytes of a sum of squares */ };

void fs_step_stage_layers(const fs_step_model *m, uint32_t stage, uint32_t *first, uint32_t *count)
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

/* ---- guesses ------------------------------------------------------------------------------------------------------- */

/* Times that an iteration passes through the layer for later tokens: once for each guess, and once for prompts alone, whose
 * cache it needs. */
static uint32_t draft_passes(const fs_step_model *m)
{
    uint32_t guesses = m->pool->draft_tokens;
    return !m->in->drafts ? 0 : guesses > 0 ? guesses : 1;
}

static double draft_pass_s(const fs_step_model *m, const fs_batch *b)
{
    const fs_transformer *t = &m->in->model;
    fs_step_share s = fs_step_share_of(m, b);
    double time_s = fs_step_join_s(m, s.tokens) + fs_step_layer_attention_s(m, &s);
    time_s += fs_layer_has_experts(t, t->layers) ? fs_step_experts_s(m, &s)
                                                 : fs_step_mlp_s(m, s.tokens, (double)t->ffn / m->pool->tp);
    return time_s + fs_step_logits_s(m, &s);
}

/* The first pass has all tokens of the iteration, as the cache needs them; each later one the guess before, of each sequence.
 * A guess takes the logits of one row. */
static double draft_s(const fs_step_model *m, const fs_batch *b)
{
    uint32_t passes = draft_passes(m), spent = b->decodes * b->verified;
    if (passes == 0)
        return 0;
    fs_batch all = *b, next = {.decodes = b->decodes, .verified = 1, .decode_context = b->decode_context};
    all.outputs = m->pool->draft_tokens == 0 ? 0 : b->decodes + (b->outputs > spent ? b->outputs - spent : 0);
    next.outputs = b->decodes;
    return draft_pass_s(m, &all) + (b->decodes > 0 ? (passes - 1) * draft_pass_s(m, &next) : 0);
}

/* ---- iterations ---------------------------------------------------------------------------------------------------- */

static double kernels_s(const fs_step_model *m, uint32_t stage, const fs_batch *b)
{
    const fs_transformer *t = &m->in->model;
    fs_step_share s = fs_step_share_of(m, b);
    uint32_t first, layers;
    fs_step_stage_layers(m, stage, &first, &layers);
    uint32_t moe = fs_layers_with_experts(t, first, layers);
    uint32_t windows = fs_layers_with_window(t, first, layers);
    double time_s = (layers - windows) * fs_step_layer_attention_s(m, &s);
    if (windows > 0) {
        fs_step_share w = fs_step_share_in_window(m, &s);
        time_s += windows * fs_step_layer_attention_s(m, &w);
    }
    if (layers > moe)
        time_s += (layers - moe) * fs_step_mlp_s(m, s.tokens, (double)t->ffn / m->pool->tp);
    if (moe > 0)
        time_s += moe * fs_step_experts_s(m, &s);
    if (stage == 0)
        time_s += fs_step_passes_s(m, 2 * s.tokens * t->hidden);
    return stage + 1 == m->pool->pp ? time_s + fs_step_logits_s(m, &s) + draft_s(m, b) : time_s;
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
    uint32_t parts = fs_step_parts(m, b);
    double time_s = stage == 0 ? m->pool->iteration_s : 0;
    for (uint32_t i = 0; i < parts; i++) {
        fs_batch part = fs_step_part_of(b, i, parts);
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
    uint32_t parts = fs_step_parts(m, b), first, layers;
    const fs_batch part = fs_step_part_of(b, 0, parts); /* the greater one */
    fs_step_share s = fs_step_share_of(m, &part);
    fs_step_stage_layers(m, stage, &first, &layers);
    /* Ranks of one tensor-parallel group have all its tokens: each takes those of its experts, and the sum is as before. */
    bool last = stage + 1 == p->pp, spread = p->dp > 1 && p->ep > 1;
    uint32_t moe = spread ? fs_layers_with_experts(t, first, layers) : 0, drafts = last ? draft_passes(m) : 0;
    layers += drafts; /* each as large as the iteration's own: what later passes have less is little beside latencies */
    moe += spread && fs_layer_has_experts(t, t->layers) ? drafts : 0;
    double hidden = s.tokens * t->hidden;
    if (p->tp > 1) {
        c.tp_bytes = hidden * FS_STEP_NUMBER;
        c.tp_count = parts * (2.0 * layers - moe + (stage == 0) +
                              drafts); /* a dispatch to experts stands for one of two; a join has one */
        c.logits_bytes = last ? s.rows * t->vocab * FS_STEP_NUMBER : 0;
        c.logits_count = parts * (1 + (p->draft_tokens > 0 ? drafts : 0));
        c.norm_bytes = t->qk_norm == FS_QK_ALL ? s.tokens * SQUARE : 0;
        c.norm_count = parts * 2.0 * layers;
    }
    if (moe > 0) {
        double sent = s.all / p->ep * t->moe.top_k * t->hidden;
        c.dispatch_bytes = sent * m->in->dispatch_bytes;
        c.combine_bytes = sent * m->in->combine_bytes;
        c.ep_count = (double)parts * moe;
    }
    c.send_bytes = last ? 0 : parts * hidden * FS_STEP_NUMBER / p->tp;
    return c;
}

/* ---- attention and FFN apart --------------------------------------------------------------------------------------- */

double fs_step_attention_s(fs_step_model *m, uint32_t layer, const fs_batch *b)
{
    const fs_transformer *t = &m->in->model;
    fs_step_share s = fs_step_share_of(m, b);
    double h = t->hidden, time_s = layer == 0 ? m->pool->iteration_s + fs_step_passes_s(m, 2 * s.tokens * h) : 0;
    if (layer > 0 && fs_layer_has_experts(t, layer - 1)) /* weighted and added */
        time_s += fs_step_passes_s(m, (t->moe.top_k + 1.0) * s.tokens * h);
    if (layer == t->layers)
        return time_s + fs_step_logits_s(m, &s);
    fs_step_share seen = fs_layer_has_window(t, layer) ? fs_step_share_in_window(m, &s) : s;
    time_s += fs_step_layer_attention_s(m, &seen);
    return fs_layer_has_experts(t, layer) ? time_s + fs_step_route_s(m, s.tokens) : time_s;
}

double fs_step_ffn_s(fs_step_model *m, uint32_t layer, double tokens)
{
    const fs_transformer *t = &m->in->model;
    double tp = m->pool->tp, ep = m->pool->ep;
    if (!fs_layer_has_experts(t, layer))
        return fs_step_mlp_s(m, tokens, t->ffn / (tp * ep));
    double time_s = fs_step_routed_s(m, fs_step_routed_here(m, tokens));
    if (t->moe.shared_ffn > 0) /* a copy at each place of experts, for the tokens that come there */
        time_s += fs_step_mlp_s(m, ceil(tokens / ep), t->moe.shared_ffn / tp);
    return time_s;
}

fs_step_hop fs_step_hop_of(const fs_step_model *m, const fs_step_model *ffn, uint32_t layer, const fs_batch *b)
{
    const fs_transformer *t = &m->in->model;
    const fs_pool *p = ffn->pool;
    fs_step_share s = fs_step_share_of(m, b);
    bool experts = fs_layer_has_experts(t, layer);
    double sent = s.all * t->hidden * (experts ? t->moe.top_k : 1);
    double shared = p->tp * (experts ? 1.0 : p->ep),
           here = experts ? fs_step_routed_here(ffn, s.all) * t->hidden : sent;
    return (fs_step_hop){.tokens = s.all,
                         .reduce = m->pool->tp > 1 ? s.tokens * t->hidden * FS_STEP_NUMBER : 0,
                         .there = sent * m->in->dispatch_bytes,
                         .back = sent * m->in->combine_bytes,
                         .gather = shared > 1 ? here * m->in->dispatch_bytes : 0,
                         .scatter = shared > 1 ? here * m->in->combine_bytes : 0,
                         .experts = experts};
}

/* ---- the model ----------------------------------------------------------------------------------------------------- */

static fs_status check_formats(const fs_step_model *m, const char *trace_path, fs_err *err)
{
    const fs_dtype products = m->in->model.moe.experts ? m->in->expert_gemm : m->in->mlp_gemm;
    const fs_dtype used[] = {m->in->mlp_gemm, products, m->in->gemm, m->in->projection_gemm, m->in->attention};
    uint32_t n = m->pool->role == FS_ROLE_FFN ? 2 : 5; /* no attention there */
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
    m->known = fs_zalloc(FS_PRODUCTS_KNOWN, sizeof *m->known);
    fs_status status = m->known ? check_formats(m, trace_path, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = fs_experts_spread(&inference->model.moe, pool->ep, pool->redundant, &m->spread, err);
    if (status != FS_OK) {
        fs_step_model_free(m);
        return status;
    }
    fs_step_measure(m);
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

const double *fs_step_expert_load(const fs_step_model *m)
{
    return m->spread.load;
}
