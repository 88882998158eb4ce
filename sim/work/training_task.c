/* training_task.c - see training_task.h: which collectives stand between the kernels of a layer.
 *
 * Tensor parallelism (Shoeybi et al. 2019, section 3): the hidden states are summed over tp behind attention and behind
 * the MLP, forward and, before them, backward; with sequence parallelism (Korthikanti et al. 2022) an all-gather before
 * and a reduce-scatter behind instead, and the backward pass gathers the saved input again for the gradient of the
 * weights. `overlap.tp` puts the collectives beside the products next to them, backward beside gradients of weights.
 * Between two collectives that the compute stream waits for, all kernels are one op. */
#include "work/training_task.h"

#include <assert.h>

enum { KERNELS_OF_OP = 4096 }; /* where an op that nothing else ends does */

typedef struct writer {
    fs_kernel_writer k;
    const fs_training *t;
    const fs_wiring *wiring;
    const fs_task_request *request;
    fs_task *task;
    const char *label; /* of the op whose kernels are being listed */
    uint8_t phase;
    uint32_t last;                             /* op of the last kernel */
    uint32_t waits[FS_TASK_DEPS - 1], n_waits; /* what the next kernel waits for */
    uint32_t held; /* a collective beside the kernels being listed; what comes after them waits for it */
} writer;

/* ---- ops --------------------------------------------------------------------------------------------------------- */

static uint32_t append(writer *w, fs_op *op, const char *name, const uint32_t *deps, uint32_t n_deps)
{
    fs_task_op one = {.n_deps = n_deps};
    if (w->k.status == FS_OK)
        w->k.status = fs_work_name(w->k.b, name, &op->name, w->k.err);
    op->phase = w->phase;
    one.op = *op;
    for (uint32_t i = 0; i < n_deps; i++)
        one.deps[i] = deps[i];
    if (w->k.status == FS_OK && FS_PUSH(&w->task->ops, one) == NULL)
        w->k.status = fs_fail_nomem(w->k.err);
    return w->task->ops.count - 1;
}

/* The kernels listed so far become an op. */
static void flush(writer *w)
{
    fs_op op = fs_op_default(FS_OP_COMPUTE);
    if (w->k.list.count == 0)
        return;
    op.stream = w->wiring->compute;
    if (w->k.status == FS_OK)
        w->k.status = fs_work_kernels(w->k.b, w->k.list.data, w->k.list.count, &op.kernels, w->k.err);
    if (w->last == FS_NONE)
        w->waits[w->n_waits++] = FS_TASK_START;
    w->last = append(w, &op, w->label, w->waits, w->n_waits);
    w->n_waits = 0;
    w->k.list.count = 0;
}

static void label(writer *w, const char *text)
{
    if (w->k.list.count >= KERNELS_OF_OP)
        flush(w);
    if (w->k.list.count == 0)
        w->label = text;
}

static void wait_for(writer *w, uint32_t op)
{
    assert(w->n_waits < FS_TASK_DEPS - 2); /* no more stand between two kernels */
    if (op != FS_NONE)
        w->waits[w->n_waits++] = op;
}

/* Behind the kernels listed so far, or (the start of a task) behind what came in. */
static uint32_t collective(writer *w, const char *name, fs_coll_kind kind, uint32_t family, uint16_t stream,
                           double bytes, bool beside)
{
    fs_op op = fs_op_default(FS_OP_COLLECTIVE);
    if (w->request->pass == FS_PASS_WEIGHTS)
        return FS_NONE;
    flush(w);
    op.coll = (uint8_t)kind;
    op.stream = stream;
    op.family = family;
    op.size_bytes = bytes;
    op.sm_share = beside ? w->t->sm_share : 0;
    uint32_t deps[FS_TASK_DEPS], n = 0;
    deps[n++] = w->last == FS_NONE ? FS_TASK_START : w->last;
    for (uint32_t i = 0; i < w->n_waits; i++) /* nothing was listed since: it waits for the same */
        deps[n++] = w->waits[i];
    return append(w, &op, name, deps, n);
}

/* ---- tensor parallelism ------------------------------------------------------------------------------------------ */

static uint32_t tp_collective(writer *w, const char *name, fs_coll_kind kind, double bytes, bool beside)
{
    return collective(w, name, kind, w->wiring->tp, w->wiring->tp_stream, bytes, beside);
}

/* A sum over tp that the next kernel waits for. */
static void tp_sum(writer *w, const char *name, double bytes)
{
    if (w->t->tp > 1)
        wait_for(w, tp_collective(w, name, FS_ALL_REDUCE, bytes, false));
}

static double hidden_bytes(const writer *w)
{
    return w->k.H * FS_ACTIVATION_BYTES;
}

/* Before the first product of a branch: with sequence parallelism its input is gathered. `parts` tensors. */
static void tp_enter(writer *w, const char *name, uint32_t parts)
{
    if (w->t->tp == 1 || !w->t->sequence)
        return;
    uint32_t gather = tp_collective(w, name, FS_ALL_GATHER, parts * hidden_bytes(w), w->t->overlap_tp);
    if (w->t->overlap_tp)
        w->held = gather;
    else
        wait_for(w, gather);
}

/* Behind the products that run beside a collective. */
static void tp_release(writer *w)
{
    if (w->held == FS_NONE)
        return;
    flush(w);
    wait_for(w, w->held);
    w->held = FS_NONE;
}

/* The sum behind a branch, or its scattered part; beside what is listed next. */
static uint32_t tp_leave(writer *w, const char *name, bool beside)
{
    fs_coll_kind kind = w->t->sequence ? FS_REDUCE_SCATTER : FS_ALL_REDUCE;
    return w->t->tp == 1 ? FS_NONE : tp_collective(w, name, kind, hidden_bytes(w), beside);
}

static bool overlaps_forward(const writer *w)
{
    return w->t->overlap_tp && w->t->sequence && w->t->tp > 1;
}

/* Backward: the gradient goes on to its sum, and gradients of weights run beside it. */
static void tp_leave_grad(writer *w, const char *name)
{
    uint32_t sum = tp_leave(w, name, w->t->overlap_tp);
    fs_kernels_resume(&w->k);
    if (w->t->overlap_tp)
        flush(w);
    wait_for(w, sum);
}

/* ---- context parallelism ----------------------------------------------------------------------------------------- */

static double keys_bytes(const writer *w)
{
    return (w->k.Q - w->k.tokens * w->k.query) * FS_ACTIVATION_BYTES;
}

/* A block of keys and values comes from the rank before, and one goes to the next, beside the work on the last one. */
static uint32_t ring_step(writer *w, const char *name, double bytes, uint32_t after)
{
    fs_op op = fs_op_default(FS_OP_SEND);
    op.family = w->wiring->cp;
    op.size_bytes = bytes;
    op.tag = FS_TAG_RING;
    op.peer = 1;
    op.stream = w->wiring->cp_send;
    op.sm_share = w->t->sm_share;
    append(w, &op, name, &after, 1);
    op.kind = FS_OP_RECV;
    op.peer = -1;
    op.stream = w->wiring->cp_recv;
    return append(w, &op, name, &after, 1);
}

static void core(writer *w, bool back, uint32_t blocks)
{
    if (back)
        fs_kernels_core_grad(&w->k, blocks);
    else
        fs_kernels_core(&w->k, blocks);
}

/* Attention over keys of all context-parallel ranks: gathered first (Llama 3, arXiv 2407.21783, section 3.3.2), or
 * handed round a ring (H. Liu et al., "Ring Attention with Blockwise Transformers", arXiv 2310.01889). The backward pass
 * takes the keys round again, with their gradients. */
static void attention_core(writer *w, bool back)
{
    const fs_training *t = w->t;
    if (t->cp == 1 || w->request->pass == FS_PASS_WEIGHTS) {
        core(w, back, 1);
        return;
    }
    if (!t->ring) {
        double all = keys_bytes(w) * t->cp;
        wait_for(w, collective(w, "keys all-gather", FS_ALL_GATHER, w->wiring->cp, w->wiring->cp_recv, all, false));
        label(w, "attention");
        core(w, back, 1);
        if (back)
            wait_for(w, collective(w, "keys grad reduce-scatter", FS_REDUCE_SCATTER, w->wiring->cp, w->wiring->cp_recv,
                                   all, false));
        return;
    }
    flush(w);
    uint32_t arrived = w->last;
    for (uint32_t i = 0; i < t->cp && w->k.status == FS_OK; i++) {
        bool more = i + 1 < t->cp || back; /* gradients go all the way round */
        uint32_t next = more ? ring_step(w, "keys", keys_bytes(w) * (back ? 2 : 1), arrived) : FS_NONE;
        label(w, "attention");
        core(w, back, t->cp);
        flush(w);
        wait_for(w, next);
        arrived = next;
    }
}

/* ---- a layer, forward -------------------------------------------------------------------------------------------- */

static void attention_forward(writer *w)
{
    label(w, "attention");
    fs_kernels_norm(&w->k);
    tp_enter(w, "attention all-gather", 1);
    label(w, "attention");
    fs_kernels_qkv(&w->k);
    tp_release(w);
    label(w, "attention");
    attention_core(w, false);
    label(w, "attention");
    uint32_t sum = FS_NONE;
    if (overlaps_forward(w))
        sum = tp_leave(w, "attention reduce-scatter", true);
    label(w, "projection");
    fs_kernels_projection(&w->k);
    if (!overlaps_forward(w))
        sum = tp_leave(w, w->t->sequence ? "attention reduce-scatter" : "attention all-reduce", false);
    else
        flush(w);
    wait_for(w, sum);
    label(w, "residual");
    fs_kernels_residual(&w->k);
}

static void mlp_forward(writer *w, double columns)
{
    tp_enter(w, "mlp all-gather", 1);
    label(w, "mlp");
    fs_kernels_mlp_in(&w->k, columns);
    tp_release(w);
    uint32_t sum = FS_NONE;
    if (overlaps_forward(w))
        sum = tp_leave(w, "mlp reduce-scatter", true);
    label(w, "mlp");
    fs_kernels_mlp_out(&w->k, columns);
    if (!overlaps_forward(w))
        sum = tp_leave(w, w->t->sequence ? "mlp reduce-scatter" : "mlp all-reduce", false);
    else
        flush(w);
    wait_for(w, sum);
}

/* Tokens to the ranks of their experts, or back. What an expert position gets depends on how popular it is. */
static uint32_t move_tokens(writer *w, const char *name, double bytes_each, bool back)
{
    if (w->t->ep == 1)
        return FS_NONE;
    double bytes = w->k.routed * w->k.hidden * bytes_each;
    uint32_t at = collective(w, name, FS_ALL_TO_ALL, w->wiring->ep, w->wiring->ep_stream, bytes, w->t->overlap_shared);
    if (at != FS_NONE && w->k.status == FS_OK) {
        w->task->ops.data[at].op.load = w->request->load;
        w->task->ops.data[at].op.transpose = back && w->request->load != FS_NONE;
    }
    return at;
}

/* Expert-tensor parallelism: the tokens that arrived at its ranks are gathered, their outputs summed and scattered. */
static void etp_tokens(writer *w, const char *name, fs_coll_kind kind)
{
    if (w->t->etp > 1)
        wait_for(w, collective(w, name, kind, w->wiring->etp, w->wiring->ep_stream,
                               w->k.arrived * w->k.hidden * FS_ACTIVATION_BYTES, false));
}

static void moe_forward(writer *w)
{
    const fs_moe *moe = &w->t->model.moe;
    double shared = (double)moe->shared_ffn / w->t->tp;
    label(w, "route");
    fs_kernels_route(&w->k);
    if (shared > 0 && !w->t->overlap_shared)
        mlp_forward(w, shared);
    uint32_t there = move_tokens(w, "dispatch", w->t->dispatch_bytes, false);
    if (shared > 0 && w->t->overlap_shared) {
        mlp_forward(w, shared);
        flush(w);
    }
    wait_for(w, there);
    etp_tokens(w, "experts all-gather", FS_ALL_GATHER);
    label(w, "experts");
    fs_kernels_experts(&w->k);
    etp_tokens(w, "experts reduce-scatter", FS_REDUCE_SCATTER);
    wait_for(w, move_tokens(w, "combine", w->t->combine_bytes, true));
    label(w, "unroute");
    fs_kernels_unroute(&w->k);
}

static void layer_forward(writer *w, uint32_t layer)
{
    attention_forward(w);
    label(w, "mlp");
    fs_kernels_norm(&w->k);
    if (fs_layer_has_experts(&w->t->model, layer))
        moe_forward(w);
    else
        mlp_forward(w, (double)w->t->model.ffn / w->t->tp);
    label(w, "residual");
    fs_kernels_residual(&w->k);
}

/* ---- a layer, backward ------------------------------------------------------------------------------------------- */

static void mlp_backward(writer *w, double columns)
{
    tp_enter(w, "mlp grad all-gather", 2);
    tp_release(w);
    label(w, "mlp grad");
    fs_kernels_mlp_grad(&w->k, columns);
    tp_leave_grad(w, w->t->sequence ? "mlp grad reduce-scatter" : "mlp grad all-reduce");
}

static void moe_backward(writer *w)
{
    const fs_moe *moe = &w->t->model.moe;
    double shared = (double)moe->shared_ffn / w->t->tp;
    label(w, "unroute grad");
    fs_kernels_unroute_grad(&w->k);
    if (shared > 0 && !w->t->overlap_shared)
        mlp_backward(w, shared);
    uint32_t there = move_tokens(w, "combine grad", w->t->combine_bytes, false);
    if (shared > 0 && w->t->overlap_shared) {
        mlp_backward(w, shared);
        flush(w);
    }
    wait_for(w, there);
    etp_tokens(w, "experts grad all-gather", FS_ALL_GATHER);
    label(w, "experts grad");
    fs_kernels_experts_grad(&w->k);
    etp_tokens(w, "experts grad reduce-scatter", FS_REDUCE_SCATTER);
    uint32_t back = move_tokens(w, "dispatch grad", w->t->combine_bytes, true);
    fs_kernels_resume(&w->k); /* gradients of the experts' weights, beside the way back */
    if (w->t->overlap_tp)
        flush(w);
    wait_for(w, back);
    label(w, "route grad");
    fs_kernels_route_grad(&w->k);
}

static void attention_backward(writer *w)
{
    tp_enter(w, "attention grad all-gather", 2);
    tp_release(w);
    label(w, "attention grad");
    fs_kernels_projection_grad(&w->k);
    attention_core(w, true);
    label(w, "attention grad");
    fs_kernels_qkv_grad(&w->k);
    tp_leave_grad(w, w->t->sequence ? "attention grad reduce-scatter" : "attention grad all-reduce");
}

static void layer_backward(writer *w, uint32_t layer)
{
    label(w, "residual grad");
    fs_kernels_residual_grad(&w->k);
    if (fs_layer_has_experts(&w->t->model, layer))
        moe_backward(w);
    else
        mlp_backward(w, (double)w->t->model.ffn / w->t->tp);
    label(w, "residual grad");
    fs_kernels_branch_grad(&w->k);
    fs_kernels_residual_grad(&w->k);
    attention_backward(w);
    label(w, "residual grad");
    fs_kernels_branch_grad(&w->k);
}

/* ---- the ends of the model --------------------------------------------------------------------------------------- */

static void embedding_forward(writer *w)
{
    label(w, "embedding");
    fs_kernel_pass(&w->k, "embedding", 2, w->k.H);
    wait_for(w, tp_leave(w, w->t->sequence ? "embedding reduce-scatter" : "embedding all-reduce", false));
    label(w, "embedding");
    if (w->t->model.learned_positions)
        fs_kernel_pass(&w->k, "positions", 3, w->k.N);
    if (w->t->model.dropout)
        fs_kernel_pass(&w->k, "embedding dropout", 2.5, w->k.N);
}

/* Vocabulary-parallel: maximum, own logit and sum of exponentials are exchanged, 4 bytes a token each. Unfused works on
 * a copy in fp32: cast 3 passes, maximum 2, subtract 4, exponentials 4, their sum 2, divide 4. */
static void loss_forward(writer *w)
{
    bool unfused = w->t->kernels == FS_UNFUSED;
    label(w, "loss");
    fs_kernel_pass(&w->k, "final norm", 2, w->k.N);
    if (w->t->sequence && w->t->tp > 1)
        wait_for(w, tp_collective(w, "loss all-gather", FS_ALL_GATHER, hidden_bytes(w), false));
    label(w, "loss");
    fs_kernels_logits(&w->k);
    fs_kernel_pass(&w->k, "loss maximum", unfused ? 5 : 1, w->k.L);
    tp_sum(w, "loss all-reduce", 4 * w->k.tokens);
    label(w, "loss");
    if (unfused)
        fs_kernel_pass(&w->k, "loss shift", 4, w->k.L);
    tp_sum(w, "loss all-reduce", 4 * w->k.tokens);
    label(w, "loss");
    fs_kernel_pass(&w->k, "loss exponentials", unfused ? 6 : 2, w->k.L);
    tp_sum(w, "loss all-reduce", 4 * w->k.tokens);
    label(w, "loss");
    if (unfused)
        fs_kernel_pass(&w->k, "loss quotient", 4, w->k.L);
}

static void loss_backward(writer *w)
{
    label(w, "loss grad"); /* unfused: scale in fp32 4, cast back 3 */
    fs_kernel_pass(&w->k, "loss grad", w->t->kernels == FS_UNFUSED ? 7 : 2, w->k.L);
    fs_kernels_logits_grad(&w->k);
    tp_leave_grad(w, w->t->sequence ? "logits grad reduce-scatter" : "logits grad all-reduce");
    label(w, "loss grad");
    fs_kernel_pass(&w->k, "final norm grad", 3, w->k.N);
}

static void embedding_backward(writer *w)
{
    const fs_transformer *m = &w->t->model;
    label(w, "embedding grad");
    if (m->dropout)
        fs_kernel_pass(&w->k, "embedding dropout grad", 2.5, w->k.N);
    if (m->learned_positions)
        fs_kernel_pass(&w->k, "positions grad", 1, w->k.N);
    if (w->t->sequence && w->t->tp > 1)
        wait_for(w, tp_collective(w, "embedding grad all-gather", FS_ALL_GATHER, hidden_bytes(w), false));
    label(w, "embedding grad");
    fs_kernel_pass(&w->k, "embedding grad", 2, w->k.H);
    /* The lookup's gradient is dense: made of zeros, then added to that of the logits, which share the weights. */
    if (m->tied && w->t->pp == 1)
        fs_kernel_pass(&w->k, "tied weights grad", 4, w->k.L / w->k.tokens * w->k.hidden);
}

/* ---- state that is sharded or replicated over dp ----------------------------------------------------------------- */

bool fs_bucket_add(const fs_training *t, fs_bucket_walk *walk, uint32_t layer, fs_gpu_size *full)
{
    fs_gpu_size size = fs_training_layer_size(t, layer);
    walk->size.dense += size.dense;
    walk->size.experts += size.experts;
    if (walk->size.dense + walk->size.experts < t->bucket)
        return false;
    *full = walk->size;
    *walk = (fs_bucket_walk){0};
    return true;
}

static fs_op exchange_op(fs_coll_kind kind, uint32_t family, uint16_t stream, double bytes)
{
    fs_op op = fs_op_default(FS_OP_COLLECTIVE);
    op.coll = (uint8_t)kind;
    op.family = family;
    op.stream = stream;
    op.size_bytes = bytes;
    return op;
}

uint32_t fs_training_exchange(const fs_training *t, const fs_wiring *wiring, fs_gpu_size size, bool gradients,
                              fs_op ops[3])
{
    double each = gradients ? fs_training_grad_bytes(t) : t->param_bytes;
    fs_coll_kind kind = FS_ALL_GATHER;
    if (gradients)
        kind = t->zero > 0 ? FS_REDUCE_SCATTER : FS_ALL_REDUCE;
    uint32_t n = 0, shard = t->shard * t->cp;
    bool hybrid = t->zero > 0 && t->shard < t->dp;
    uint16_t stream = gradients ? wiring->dp_stream : wiring->gather_stream;
    if (size.dense > 0 && (hybrid ? shard : t->dp * t->cp) > 1)
        ops[n++] = exchange_op(kind, hybrid ? wiring->shard : wiring->dp, stream, size.dense * each);
    if (size.dense > 0 && hybrid && gradients)
        ops[n++] = exchange_op(FS_ALL_REDUCE, wiring->replica, stream, size.dense * each / shard);
    if (size.experts > 0 && fs_training_edp(t) > 1)
        ops[n++] = exchange_op(kind, wiring->edp, gradients ? wiring->edp_stream : stream, size.experts * each);
    return n;
}

static void reduce(writer *w, fs_gpu_size size)
{
    fs_op ops[3];
    uint32_t n = fs_training_exchange(w->t, w->wiring, size, true, ops);
    if (n > 0)
        flush(w);
    for (uint32_t i = 0; i < n; i++) {
        bool experts = ops[i].family == w->wiring->edp;
        ops[i].sm_share = w->t->overlap_grad_reduce ? w->t->sm_share : 0;
        uint32_t after = w->last == FS_NONE ? FS_TASK_START : w->last;
        w->task->reduced[experts] = append(w, &ops[i], "gradient reduction", &after, 1);
    }
}

/* ZeRO-3: the weights of a layer, for this pass. Its ops, FS_NONE where there are none. */
static void gather_layer(writer *w, uint32_t layer, uint32_t gathered[2])
{
    const fs_training *t = w->t;
    uint32_t n_chunks = t->pp * t->vpp, first, count;
    fs_gpu_size size = fs_training_layer_size(t, layer);
    fs_training_layers(t, w->request->chunk, &first, &count);
    if (layer == (w->request->chunk + 1 == n_chunks && n_chunks > 1 ? first + count - 1 : first)) {
        size.dense += fs_training_chunk_size(t, w->request->chunk).dense; /* and what is in the chunk beside layers */
        for (uint32_t i = first; i < first + count; i++)
            size.dense -= fs_training_layer_size(t, i).dense;
    }
    fs_op ops[3];
    uint32_t n = fs_training_exchange(t, w->wiring, size, false, ops);
    flush(w);
    gathered[0] = gathered[1] = FS_NONE;
    for (uint32_t i = 0; i < n && i < 2; i++) {
        ops[i].sm_share = t->overlap_param_gather ? t->sm_share : 0;
        gathered[i] = append(w, &ops[i], "weights all-gather", &w->last, w->last != FS_NONE);
    }
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

/* Layers of a pass, with their weights gathered one ahead under ZeRO-3. index counts layers of the pass. */
static void enter_layer(writer *w, uint32_t index, uint32_t count, uint32_t layer, int32_t step, uint32_t ahead[2])
{
    if (w->t->zero < 3 || w->request->pass == FS_PASS_WEIGHTS)
        return;
    uint32_t now[2] = {ahead[0], ahead[1]};
    if (index == 0 || !w->t->overlap_param_gather)
        gather_layer(w, layer, now);
    if (index + 1 < count && w->t->overlap_param_gather)
        gather_layer(w, (uint32_t)((int32_t)layer + step), ahead);
    flush(w);
    wait_for(w, now[0]);
    wait_for(w, now[1]);
}

static void forward(writer *w, uint32_t first, uint32_t count)
{
    const fs_training *t = w->t;
    uint32_t chunk = w->request->chunk, ahead[2] = {FS_NONE, FS_NONE}, bucket = 0;
    bool gathers = w->request->special && t->overlap_param_gather && (t->zero == 1 || t->zero == 2);
    fs_bucket_walk walk = {0};
    fs_gpu_size full;
    w->phase = FS_PHASE_FORWARD;
    if (gathers)
        wait_for(w, FS_TASK_GATHER(bucket));
    if (chunk == 0)
        embedding_forward(w);
    for (uint32_t i = 0; i < count && w->k.status == FS_OK; i++) {
        enter_layer(w, i, count, first + i, 1, ahead);
        layer_forward(w, first + i);
        if (gathers && fs_bucket_add(t, &walk, first + i, &full) && i + 1 < count) {
            flush(w);
            wait_for(w, FS_TASK_GATHER(++bucket));
        }
    }
    if (chunk + 1 == t->pp * t->vpp)
        loss_forward(w);
}

/* Kernels before and behind share its ops where no collective parts them; such an op counts as what ends it. */
static void recompute(writer *w, uint32_t layer)
{
    w->phase = FS_PHASE_RECOMPUTE;
    if (w->t->recompute == FS_RECOMPUTE_SELECTIVE && w->t->kernels != FS_FLASH)
        fs_kernels_core(&w->k, 1);
    if (w->t->recompute == FS_RECOMPUTE_FULL)
        layer_forward(w, layer);
    w->phase = FS_PHASE_BACKWARD;
}

static void backward(writer *w, uint32_t first, uint32_t count)
{
    const fs_training *t = w->t;
    uint32_t chunk = w->request->chunk, ahead[2] = {FS_NONE, FS_NONE};
    bool splits = t->schedule == FS_SCHEDULE_ZB_H1 && w->request->pass == FS_PASS_BACKWARD;
    bool reduces = !splits && (t->zero >= 2 || (w->request->special && t->overlap_grad_reduce));
    fs_bucket_walk walk = {0};
    fs_gpu_size full, left = fs_training_chunk_size(t, chunk);
    w->phase = FS_PHASE_BACKWARD;
    if (chunk + 1 == t->pp * t->vpp)
        loss_backward(w);
    for (uint32_t i = 0; i < count && w->k.status == FS_OK; i++) {
        uint32_t layer = first + count - 1 - i;
        enter_layer(w, i, count, layer, -1, ahead);
        if (w->request->pass == FS_PASS_BACKWARD)
            recompute(w, layer);
        layer_backward(w, layer);
        if (reduces && t->overlap_grad_reduce && fs_bucket_add(t, &walk, layer, &full)) {
            reduce(w, full);
            left.dense -= full.dense;
            left.experts -= full.experts;
        }
    }
    if (chunk == 0)
        embedding_backward(w);
    if (reduces) { /* but for rounding: what is left of a billion parameters */
        left.dense = left.dense < 0.5 ? 0 : left.dense;
        left.experts = left.experts < 0.5 ? 0 : left.experts;
        reduce(w, left);
    }
}

fs_status fs_task_make(fs_work_builder *b, const fs_training *t, const fs_wiring *wiring,
                       const fs_task_request *request, fs_task *task, fs_err *err)
{
    uint32_t first, count;
    writer w = {
        .t = t, .wiring = wiring, .request = request, .task = task, .label = "", .last = FS_NONE, .held = FS_NONE};
    task->reduced[0] = task->reduced[1] = FS_NONE;
    fs_kernels_init(&w.k, b, t, request->share, err);
    if (request->pass == FS_PASS_WEIGHTS)
        w.k.wgrad = FS_WGRAD_ONLY;
    else if (request->pass == FS_PASS_BACKWARD && t->schedule == FS_SCHEDULE_ZB_H1)
        w.k.wgrad = FS_WGRAD_SKIP;
    else if (request->pass == FS_PASS_BACKWARD && t->overlap_tp)
        w.k.wgrad = FS_WGRAD_LATER;
    fs_training_layers(t, request->chunk, &first, &count);
    if (request->pass == FS_PASS_FORWARD)
        forward(&w, first, count);
    else
        backward(&w, first, count);
    flush(&w);
    task->end = w.last;
    fs_kernels_free(&w.k);
    return w.k.status;
}
