/* training_memory.c - bytes on the fullest GPU. See training.h.
 *
 * Activations: V. Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models", MLSys 2023 (arXiv
 * 2205.05198), section 4, widened to any ffn, gating, grouped-query and latent attention and experts; their expressions
 * for ffn = 4 hidden. How many microbatches a stage holds is counted along its schedule. States: S. Rajbhandari et al.,
 * "ZeRO", SC 2020, section 3. O(passes of the schedules). */
#include "work/training_schedule.h"

/* Inputs of products are kept as the products take them: casts to fp8 and fp4 keep one byte (Transformer Engine; the
 * DeepSeek-V3 report, section 3.3.3). */
static double saved_bytes(fs_dtype gemm)
{
    return gemm == FS_FP8 || gemm == FS_FP4 ? 1 : FS_ACTIVATION_BYTES;
}

/* Of an MLP's inner width, per token: what its activation function read, and what it wrote, which the next product reads. */
static double inner_bytes(const fs_training *t, fs_dtype gemm, uint32_t again)
{
    return (t->model.gated ? 4 : 2) + (again & FS_AGAIN_ACTIVATION ? 0 : saved_bytes(gemm));
}

/* Inputs of the expert products, their inner tensors, and the outputs to combine: the gradient of what a router weighs them
 * by; where inner tensors are formed again it is taken from those, weighed before the second product. */
static double expert_activations(const fs_training *t, double share, uint32_t again)
{
    const fs_transformer *m = &t->model;
    double routed = fs_training_routed(t), arrived = routed * t->etp * t->ep * share;
    double inner = inner_bytes(t, t->experts, again) * (double)m->moe.ffn / t->etp;
    double outputs = again & FS_AGAIN_ACTIVATION ? 0 : routed * 2.0 * m->hidden;
    return arrived * (saved_bytes(t->experts) * m->hidden + inner) + outputs;
}

/* What the backward pass of one layer needs, one microbatch: s b h (10 + 24/t + 5 a s / (h t)) in the paper, and all
 * of it over t with sequence parallelism. again: what is not kept, FS_AGAIN_... */
static double layer_activations(const fs_training *t, uint32_t layer, double share, uint32_t again)
{
    const fs_transformer *m = &t->model;
    double tokens = (double)t->micro_batch * m->seq / t->cp, h = m->hidden, tp = t->tp, saved = saved_bytes(t->gemm);
    bool experts = fs_layer_has_experts(m, layer), scores = t->kernels != FS_FLASH && !(again & FS_AGAIN_SCORES);
    double ffn = experts ? m->moe.shared_ffn : m->ffn;
    bool no_mlp = (again & FS_AGAIN_MLP) != 0;
    /* Inputs of two norms at 2 B, their outputs, which products read, two dropout masks at 1 B. */
    double outputs = again & FS_AGAIN_NORM ? 0 : no_mlp ? saved : 2 * saved;
    double whole = (m->parallel_block ? 0.5 : 1) * (4 + outputs + (m->dropout ? 2 : 0)) * h;
    double heads = again & FS_AGAIN_LATENT && m->mla.kv_rank ? 0 : 2 * fs_transformer_qkv_width(m);
    double split = heads + saved * fs_transformer_value_width(m) + (no_mlp ? 0 : inner_bytes(t, t->gemm, again) * ffn);
    double kept = scores ? (m->dropout ? 5.0 : 4.0) * m->heads * m->seq : 0; /* softmax in and out, dropout mask */
    double latent = m->mla.kv_rank ? 2.0 * (m->mla.q_rank + m->mla.kv_rank + m->mla.rope) : 0;
    return tokens * ((t->sequence ? whole / tp : whole) + (split + kept) / tp + latent) +
           (experts && !no_mlp ? expert_activations(t, share, again) : 0);
}

/* Of a chunk and microbatch, between its passes. With full recomputation only the inputs of layers. */
static double chunk_activations(const fs_training *t, uint32_t chunk, double share)
{
    uint32_t first, count;
    double sum = 0, tokens = (double)t->micro_batch * t->model.seq / t->cp;
    double split = t->sequence ? t->tp : 1;
    fs_training_layers(t, chunk, &first, &count);
    for (uint32_t i = first; i < first + count; i++)
        sum += t->recompute == FS_RECOMPUTE_FULL ? 2 * tokens * t->model.hidden / split
                                                 : layer_activations(t, i, share, t->recompute_parts);
    if (chunk == 0) /* dropout mask of the embedding */
        sum += t->model.dropout ? tokens * t->model.hidden / split : 0;
    return sum;
}

/* The final norm, the output layer, and logits in fp32: gone when the backward pass has begun, of later tokens too. */
static double output_activations(const fs_training *t, uint32_t chunk)
{
    double tokens = (double)t->micro_batch * t->model.seq / t->cp, split = t->sequence ? t->tp : 1;
    if (chunk + 1 < t->pp * t->vpp)
        return 0;
    return (1 + t->model.mtp) * tokens * (4.0 * t->model.hidden / split + 4.0 * t->model.vocab / t->tp);
}

/* One layer at work, where layers keep less than their backward pass needs. */
static double working_set(const fs_training *t, uint32_t stage, double share)
{
    double most = 0;
    for (uint32_t c = 0; c < t->vpp && t->recompute != FS_RECOMPUTE_NONE; c++) {
        uint32_t first, count;
        fs_training_layers(t, c * t->pp + stage, &first, &count);
        for (uint32_t i = first; i < first + count; i++) {
            double all = layer_activations(t, i, share, 0);
            double less = t->recompute == FS_RECOMPUTE_FULL ? 0 : layer_activations(t, i, share, t->recompute_parts);
            most = all - less > most ? all - less : most;
        }
    }
    return most;
}

/* The most that the stage holds at once. A pass for the weights alone still needs what it multiplies. */
static fs_status held(const fs_training *t, uint32_t stage, double share, double *most, fs_err *err)
{
    fs_slots slots = {0};
    double *chunk = fs_alloc(t->vpp, sizeof *chunk), now = 0;
    double output = output_activations(t, (t->vpp - 1) * t->pp + stage);
    fs_status status = chunk ? fs_schedule_make(t, stage, &slots, err) : fs_fail_nomem(err);
    for (uint32_t c = 0; status == FS_OK && c < t->vpp; c++)
        chunk[c] = chunk_activations(t, c * t->pp + stage, share);
    *most = 0;
    for (uint32_t i = 0; status == FS_OK && i < slots.count; i++) {
        const fs_slot *slot = &slots.data[i];
        fs_pass frees = t->schedule == FS_SCHEDULE_ZB_H1 ? FS_PASS_WEIGHTS : FS_PASS_BACKWARD;
        double ends = slot->chunk + 1 == t->vpp ? output : 0;
        if (slot->pass == FS_PASS_FORWARD)
            now += chunk[slot->chunk] + ends;
        *most = now > *most ? now : *most;
        if (slot->pass == FS_PASS_BACKWARD)
            now -= ends;
        if (slot->pass == frees)
            now -= chunk[slot->chunk];
    }
    *most += working_set(t, stage, share);
    fs_free(slots.data);
    fs_free(chunk);
    return status;
}

/* Weights, gradients, optimizer, each over those that share it. */
static fs_memory states(const fs_training *t, fs_gpu_size size)
{
    double shard = (double)t->shard * t->cp, edp = fs_training_edp(t);
    double sharded = size.dense / shard + size.experts / edp, all = size.dense + size.experts;
    double optimizer = t->master_bytes + 2 * t->moment_bytes;
    return (fs_memory){.weights = FS_ACTIVATION_BYTES * (t->zero >= 3 ? sharded : all),
                       .gradients = fs_training_grad_bytes(t) * (t->zero >= 2 ? sharded : all),
                       .optimizer = optimizer * (t->zero >= 1 ? sharded : all)};
}

static double sum(const fs_memory *m)
{
    return m->weights + m->gradients + m->optimizer + m->activations;
}

fs_status fs_training_memory(const fs_training *t, fs_memory *memory, fs_err *err)
{
    double largest = 1.0 / t->ep;
    double *share = fs_alloc(t->ep, sizeof *share);
    fs_status status = share ? FS_OK : fs_fail_nomem(err);
    fs_memory fullest = {0};
    if (status == FS_OK && t->model.moe.experts > 0) {
        fs_training_shares(t, share);
        for (uint32_t i = 0; i < t->ep; i++)
            largest = share[i] > largest ? share[i] : largest;
    }
    for (uint32_t stage = 0; stage < t->pp && status == FS_OK; stage++) {
        fs_memory here = states(t, fs_training_stage_size(t, stage));
        status = held(t, stage, largest, &here.activations, err);
        if (status == FS_OK && sum(&here) > sum(&fullest))
            fullest = here;
    }
    fs_free(share);
    if (status == FS_OK)
        *memory = fullest;
    return status;
}
