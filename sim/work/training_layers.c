/* training_layers.c - which collectives stand between the kernels of a layer.
 *
 * Tensor parallelism (Shoeybi et al. 2019, section 3): the hidden states are summed over tp behind attention and behind
 * the MLP, forward and, before them, backward; with sequence parallelism (Korthikanti et al. 2022) an all-gather before
 * and a reduce-scatter behind instead, and the backward pass gathers the saved input again for the gradient of the
 * weights. `overlap.tp` puts the collectives beside the products next to them, backward beside gradients of weights;
 * "backward" only the latter, as Megatron-LM does since 2022. Between two collectives that the compute stream waits for,
 * all kernels are one op. */
#include "work/training_writer.h"

/* ---- tensor parallelism ------------------------------------------------------------------------------------------ */

static uint32_t tp_collective(fs_task_writer *w, const char *name, fs_coll_kind kind, double bytes, bool beside)
{
    return fs_task_collective(w, name, kind, w->wiring->tp, w->wiring->tp_stream, bytes, beside);
}

/* A sum over tp that the next kernel waits for. */
static void tp_sum(fs_task_writer *w, const char *name, double bytes)
{
    if (w->t->tp > 1)
        fs_task_wait(w, tp_collective(w, name, FS_ALL_REDUCE, bytes, false));
}

static double hidden_bytes(const fs_task_writer *w)
{
    return w->k.H * FS_ACTIVATION_BYTES;
}

/* Before the first product of a branch: with sequence parallelism its input is gathered. */
static void tp_enter(fs_task_writer *w, const char *name)
{
    if (w->t->tp == 1 || !w->t->sequence)
        return;
    bool beside = w->t->overlap_tp == FS_TP_ALL;
    uint32_t gather = tp_collective(w, name, FS_ALL_GATHER, hidden_bytes(w), beside);
    if (beside)
        w->held = gather;
    else
        fs_task_wait(w, gather);
}

/* Backward, with sequence parallelism: the gradient of the branch's output is gathered, and its saved input, which only
 * gradients of weights need. Those may run behind, and then the input comes beside the other products. */
static void tp_enter_grad(fs_task_writer *w, const char *name)
{
    if (w->t->tp == 1 || !w->t->sequence)
        return;
    if (w->t->overlap_tp == FS_TP_NONE) {
        fs_task_wait(w, tp_collective(w, name, FS_ALL_GATHER, 2 * hidden_bytes(w), false));
        return;
    }
    bool all = w->t->overlap_tp == FS_TP_ALL;
    uint32_t grad = tp_collective(w, name, FS_ALL_GATHER, hidden_bytes(w), all);
    if (!all)
        fs_task_wait(w, grad);
    w->held = tp_collective(w, "saved input all-gather", FS_ALL_GATHER, hidden_bytes(w), true);
}

/* Behind the products that run beside a collective. */
static void tp_release(fs_task_writer *w)
{
    if (w->held == FS_NONE)
        return;
    fs_task_flush(w);
    fs_task_wait(w, w->held);
    w->held = FS_NONE;
}

/* The sum behind a branch, or its scattered part; beside what is listed next. */
static uint32_t tp_leave(fs_task_writer *w, const char *name, bool beside)
{
    fs_coll_kind kind = w->t->sequence ? FS_REDUCE_SCATTER : FS_ALL_REDUCE;
    return w->t->tp == 1 ? FS_NONE : tp_collective(w, name, kind, hidden_bytes(w), beside);
}

static bool overlaps_forward(const fs_task_writer *w)
{
    return w->t->overlap_tp == FS_TP_ALL && w->t->sequence && w->t->tp > 1;
}

/* Backward: the gradient goes on to its sum, and gradients of weights run beside it. */
static void tp_leave_grad(fs_task_writer *w, const char *name)
{
    uint32_t sum = tp_leave(w, name, w->t->overlap_tp != FS_TP_NONE);
    fs_task_wait(w, w->held);
    w->held = FS_NONE;
    fs_kernels_resume(&w->k);
    if (w->t->overlap_tp != FS_TP_NONE)
        fs_task_flush(w);
    fs_task_wait(w, sum);
}

/* ---- context parallelism ----------------------------------------------------------------------------------------- */

static double keys_bytes(const fs_task_writer *w)
{
    return (w->k.Q - w->k.tokens * w->k.query) * FS_ACTIVATION_BYTES;
}

/* A block of keys and values comes from the rank before, and one goes to the next, beside the work on the last one. */
static uint32_t ring_step(fs_task_writer *w, const char *name, double bytes, uint32_t after)
{
    fs_op op = fs_op_default(FS_OP_SEND);
    op.family = w->wiring->cp;
    op.size_bytes = bytes;
    op.tag = FS_TAG_RING;
    op.peer = 1;
    op.stream = w->wiring->cp_send;
    op.sm_share = w->t->sm_share;
    fs_task_append(w, &op, name, &after, 1);
    op.kind = FS_OP_RECV;
    op.peer = -1;
    op.stream = w->wiring->cp_recv;
    return fs_task_append(w, &op, name, &after, 1);
}

static void core(fs_task_writer *w, bool back, uint32_t blocks)
{
    if (back)
        fs_kernels_core_grad(&w->k, blocks);
    else
        fs_kernels_core(&w->k, blocks);
}

/* Attention over keys of all context-parallel ranks: gathered first (Llama 3, arXiv 2407.21783, section 3.3.2), or
 * handed round a ring (H. Liu et al., "Ring Attention with Blockwise Transformers", arXiv 2310.01889). The backward pass
 * takes the keys round again, with their gradients. */
static void attention_core(fs_task_writer *w, bool back)
{
    const fs_training *t = w->t;
    if (t->cp == 1 || w->request->pass == FS_PASS_WEIGHTS) {
        core(w, back, 1);
        return;
    }
    if (!t->ring) {
        double all = keys_bytes(w) * t->cp;
        fs_task_wait(
            w, fs_task_collective(w, "keys all-gather", FS_ALL_GATHER, w->wiring->cp, w->wiring->cp_recv, all, false));
        fs_task_label(w, "attention");
        core(w, back, 1);
        if (back)
            fs_task_wait(w, fs_task_collective(w, "keys grad reduce-scatter", FS_REDUCE_SCATTER, w->wiring->cp,
                                               w->wiring->cp_recv, all, false));
        return;
    }
    fs_task_flush(w);
    uint32_t arrived = w->last;
    for (uint32_t i = 0; i < t->cp && w->k.status == FS_OK; i++) {
        bool more = i + 1 < t->cp || back; /* gradients go all the way round */
        uint32_t next = more ? ring_step(w, "keys", keys_bytes(w) * (back ? 2 : 1), arrived) : FS_NONE;
        fs_task_label(w, "attention");
        core(w, back, t->cp);
        fs_task_flush(w);
        fs_task_wait(w, next);
        arrived = next;
    }
}

/* ---- a layer, forward -------------------------------------------------------------------------------------------- */

static void attention_forward(fs_task_writer *w)
{
    fs_task_part(w, FS_GRAPH_ATTENTION);
    fs_task_label(w, "attention");
    fs_kernels_norm(&w->k);
    tp_enter(w, "attention all-gather");
    fs_task_label(w, "attention");
    fs_kernels_qkv(&w->k);
    tp_release(w);
    fs_task_label(w, "attention");
    attention_core(w, false);
    fs_task_label(w, "attention");
    uint32_t sum = FS_NONE;
    if (overlaps_forward(w))
        sum = tp_leave(w, "attention reduce-scatter", true);
    fs_task_label(w, "projection");
    fs_kernels_projection(&w->k);
    if (!overlaps_forward(w))
        sum = tp_leave(w, w->t->sequence ? "attention reduce-scatter" : "attention all-reduce", false);
    else
        fs_task_flush(w);
    fs_task_wait(w, sum);
    fs_task_label(w, "residual");
    fs_kernels_residual(&w->k);
    fs_task_part(w, 0);
}

static void mlp_forward(fs_task_writer *w, double columns)
{
    tp_enter(w, "mlp all-gather");
    fs_task_label(w, "mlp");
    fs_kernels_mlp_in(&w->k, columns);
    tp_release(w);
    uint32_t sum = FS_NONE;
    if (overlaps_forward(w))
        sum = tp_leave(w, "mlp reduce-scatter", true);
    fs_task_label(w, "mlp");
    fs_kernels_mlp_out(&w->k, columns);
    if (!overlaps_forward(w))
        sum = tp_leave(w, w->t->sequence ? "mlp reduce-scatter" : "mlp all-reduce", false);
    else
        fs_task_flush(w);
    fs_task_wait(w, sum);
}

/* Tokens to the ranks of their experts, or back. What an expert position gets depends on how popular it is. */
static uint32_t move_tokens(fs_task_writer *w, const char *name, double bytes_each, bool back)
{
    if (w->t->ep == 1)
        return FS_NONE;
    double bytes = w->k.routed * w->k.hidden * bytes_each;
    uint32_t at = fs_task_collective(w, name, FS_ALL_TO_ALL, w->wiring->ep, w->wiring->ep_stream, bytes,
                                     w->t->overlap_shared || w->t->overlap_ep);
    if (at != FS_NONE && w->k.status == FS_OK) {
        fs_op *op = &w->task->ops.data[at].op;
        op->load = w->request->load;
        op->transpose = back && w->request->load != FS_NONE;
        op->algo = w->t->dispatch_algo;
        if (op->algo == FS_ALGO_FORWARDED) {
            op->top_k = (uint16_t)w->t->model.moe.top_k;
            op->top_domains = (uint16_t)w->t->top_domains;
        }
    }
    return at;
}

/* Expert-tensor parallelism: the tokens that arrived at its ranks are gathered, their outputs summed and scattered. */
static void etp_tokens(fs_task_writer *w, const char *name, fs_coll_kind kind)
{
    if (w->t->etp > 1)
        fs_task_wait(w, fs_task_collective(w, name, kind, w->wiring->etp, w->wiring->ep_stream,
                                           w->k.arrived * w->k.hidden * FS_ACTIVATION_BYTES, false));
}

static void moe_forward(fs_task_writer *w)
{
    const fs_moe *moe = &w->t->model.moe;
    double shared = (double)moe->shared_ffn / w->t->tp;
    fs_task_label(w, "route");
    fs_task_part(w, FS_GRAPH_ROUTER);
    fs_kernels_route(&w->k);
    fs_task_part(w, 0);
    if (shared > 0 && !w->t->overlap_shared)
        mlp_forward(w, shared);
    uint32_t there = move_tokens(w, "dispatch", w->t->dispatch_bytes, false);
    if (there != FS_NONE && w->k.status == FS_OK)
        w->task->ops.data[there].counted = !(moe->capacity > 0);
    if (shared > 0 && w->t->overlap_shared) {
        mlp_forward(w, shared);
        fs_task_flush(w);
    }
    fs_task_wait(w, there);
    etp_tokens(w, "experts all-gather", FS_ALL_GATHER);
    fs_task_label(w, "experts");
    fs_kernels_experts(&w->k);
    etp_tokens(w, "experts reduce-scatter", FS_REDUCE_SCATTER);
    fs_task_wait(w, move_tokens(w, "combine", w->t->combine_bytes, true));
    fs_task_label(w, "unroute");
    fs_kernels_unroute(&w->k);
}

/* Attention and MLP read the same norm and their outputs are summed once. */
static void parallel_forward(fs_task_writer *w)
{
    double columns = (double)w->t->model.ffn / w->t->tp;
    fs_task_label(w, "block");
    fs_kernels_norm(&w->k);
    tp_enter(w, "block all-gather");
    fs_task_label(w, "block");
    fs_kernels_qkv(&w->k);
    fs_kernels_mlp_in(&w->k, columns);
    tp_release(w);
    fs_task_label(w, "attention");
    attention_core(w, false);
    uint32_t sum = FS_NONE;
    if (overlaps_forward(w))
        sum = tp_leave(w, "block reduce-scatter", true);
    fs_task_label(w, "block");
    fs_kernels_projection(&w->k);
    fs_kernels_mlp_out(&w->k, columns);
    if (!overlaps_forward(w))
        sum = tp_leave(w, w->t->sequence ? "block reduce-scatter" : "block all-reduce", false);
    else
        fs_task_flush(w);
    fs_task_wait(w, sum);
    fs_task_label(w, "residual");
    fs_kernels_residual(&w->k);
}

void fs_mlp_forward(fs_task_writer *w, uint32_t layer)
{
    if (fs_layer_has_experts(&w->t->model, layer))
        moe_forward(w);
    else
        mlp_forward(w, (double)w->t->model.ffn / w->t->tp);
}

void fs_layer_forward(fs_task_writer *w, uint32_t layer)
{
    if (w->t->model.parallel_block) {
        parallel_forward(w);
        return;
    }
    attention_forward(w);
    fs_task_label(w, "mlp");
    fs_kernels_norm(&w->k);
    fs_mlp_forward(w, layer);
    fs_task_label(w, "residual");
    fs_kernels_residual(&w->k);
}

/* ---- a layer, backward ------------------------------------------------------------------------------------------- */

static void mlp_backward(fs_task_writer *w, double columns)
{
    tp_enter_grad(w, "mlp grad all-gather");
    fs_task_label(w, "mlp grad");
    fs_kernels_mlp_grad(&w->k, columns);
    tp_leave_grad(w, w->t->sequence ? "mlp grad reduce-scatter" : "mlp grad all-reduce");
}

static void moe_backward(fs_task_writer *w)
{
    const fs_moe *moe = &w->t->model.moe;
    double shared = (double)moe->shared_ffn / w->t->tp;
    fs_task_label(w, "unroute grad");
    fs_kernels_unroute_grad(&w->k);
    if (shared > 0 && !w->t->overlap_shared)
        mlp_backward(w, shared);
    uint32_t there = move_tokens(w, "combine grad", w->t->combine_bytes, false);
    if (shared > 0 && w->t->overlap_shared) {
        mlp_backward(w, shared);
        fs_task_flush(w);
    }
    fs_task_wait(w, there);
    etp_tokens(w, "experts grad all-gather", FS_ALL_GATHER);
    fs_task_label(w, "experts grad");
    fs_kernels_experts_grad(&w->k);
    etp_tokens(w, "experts grad reduce-scatter", FS_REDUCE_SCATTER);
    uint32_t back = move_tokens(w, "dispatch grad", w->t->combine_bytes, true);
    fs_kernels_resume(&w->k); /* gradients of the experts' weights, beside the way back */
    if (w->t->overlap_tp != FS_TP_NONE)
        fs_task_flush(w);
    fs_task_wait(w, back);
    fs_task_label(w, "route grad");
    fs_task_part(w, FS_GRAPH_ROUTER);
    fs_kernels_route_grad(&w->k);
    fs_task_part(w, 0);
}

static void attention_backward(fs_task_writer *w)
{
    fs_task_part(w, FS_GRAPH_ATTENTION);
    tp_enter_grad(w, "attention grad all-gather");
    fs_task_label(w, "attention grad");
    fs_kernels_projection_grad(&w->k);
    attention_core(w, true);
    fs_task_label(w, "attention grad");
    fs_kernels_qkv_grad(&w->k);
    tp_leave_grad(w, w->t->sequence ? "attention grad reduce-scatter" : "attention grad all-reduce");
    fs_task_part(w, 0);
}

static void parallel_backward(fs_task_writer *w)
{
    fs_task_label(w, "residual grad");
    fs_kernels_residual_grad(&w->k);
    tp_enter_grad(w, "block grad all-gather");
    fs_task_label(w, "block grad");
    fs_kernels_mlp_grad(&w->k, (double)w->t->model.ffn / w->t->tp);
    fs_kernels_projection_grad(&w->k);
    attention_core(w, true);
    fs_task_label(w, "block grad");
    fs_kernels_qkv_grad(&w->k);
    tp_leave_grad(w, w->t->sequence ? "block grad reduce-scatter" : "block grad all-reduce");
    fs_task_label(w, "residual grad");
    fs_kernels_branch_grad(&w->k);
}

void fs_layer_backward(fs_task_writer *w, uint32_t layer)
{
    if (w->t->model.parallel_block) {
        parallel_backward(w);
        return;
    }
    fs_task_label(w, "residual grad");
    fs_kernels_residual_grad(&w->k);
    if (fs_layer_has_experts(&w->t->model, layer))
        moe_backward(w);
    else
        mlp_backward(w, (double)w->t->model.ffn / w->t->tp);
    fs_task_label(w, "residual grad");
    fs_kernels_branch_grad(&w->k);
    fs_kernels_residual_grad(&w->k);
    attention_backward(w);
    fs_task_label(w, "residual grad");
    fs_kernels_branch_grad(&w->k);
}

/* ---- the ends of the model --------------------------------------------------------------------------------------- */

void fs_embedding_forward(fs_task_writer *w)
{
    fs_task_label(w, "embedding");
    fs_kernel_pass(&w->k, "embedding", 2, w->k.H);
    fs_task_wait(w, tp_leave(w, w->t->sequence ? "embedding reduce-scatter" : "embedding all-reduce", false));
    fs_task_label(w, "embedding");
    if (w->t->model.learned_positions)
        fs_kernel_pass(&w->k, "positions", 3, w->k.N);
    if (w->t->model.dropout)
        fs_kernel_pass(&w->k, "embedding dropout", 2.5, w->k.N);
}

/* Vocabulary-parallel: maximum, own logit and sum of exponentials are exchanged, 4 bytes a token each. Unfused works on
 * a copy in fp32: cast 3 passes, maximum 2, subtract 4, exponentials 4, their sum 2, divide 4. */
void fs_loss_forward(fs_task_writer *w)
{
    bool unfused = w->t->kernels == FS_UNFUSED;
    fs_task_label(w, "loss");
    fs_kernel_pass(&w->k, "final norm", 2, w->k.N);
    if (w->t->sequence && w->t->tp > 1)
        fs_task_wait(w, tp_collective(w, "loss all-gather", FS_ALL_GATHER, hidden_bytes(w), false));
    fs_task_label(w, "loss");
    fs_kernels_logits(&w->k);
    fs_kernel_pass(&w->k, "loss maximum", unfused ? 5 : 1, w->k.L);
    tp_sum(w, "loss all-reduce", 4 * w->k.tokens);
    fs_task_label(w, "loss");
    if (unfused)
        fs_kernel_pass(&w->k, "loss shift", 4, w->k.L);
    tp_sum(w, "loss all-reduce", 4 * w->k.tokens);
    fs_task_label(w, "loss");
    fs_kernel_pass(&w->k, "loss exponentials", unfused ? 6 : 2, w->k.L);
    tp_sum(w, "loss all-reduce", 4 * w->k.tokens);
    fs_task_label(w, "loss");
    if (unfused)
        fs_kernel_pass(&w->k, "loss quotient", 4, w->k.L);
}

void fs_loss_backward(fs_task_writer *w)
{
    fs_task_label(w, "loss grad"); /* unfused: scale in fp32 4, cast back 3 */
    fs_kernel_pass(&w->k, "loss grad", w->t->kernels == FS_UNFUSED ? 7 : 2, w->k.L);
    fs_kernels_logits_grad(&w->k);
    tp_leave_grad(w, w->t->sequence ? "logits grad reduce-scatter" : "logits grad all-reduce");
    fs_task_label(w, "loss grad");
    fs_kernel_pass(&w->k, "final norm grad", 3, w->k.N);
}

void fs_embedding_backward(fs_task_writer *w)
{
    const fs_transformer *m = &w->t->model;
    fs_task_label(w, "embedding grad");
    if (m->dropout)
        fs_kernel_pass(&w->k, "embedding dropout grad", 2.5, w->k.N);
    if (m->learned_positions)
        fs_kernel_pass(&w->k, "positions grad", 1, w->k.N);
    if (w->t->sequence && w->t->tp > 1)
        fs_task_wait(w, tp_collective(w, "embedding grad all-gather", FS_ALL_GATHER, hidden_bytes(w), false));
    fs_task_label(w, "embedding grad");
    fs_kernel_pass(&w->k, "embedding grad", 2, w->k.H);
    /* The lookup's gradient is dense: made of zeros, then added to that of the logits, which share the weights. */
    if (m->tied && w->t->pp == 1)
        fs_kernel_pass(&w->k, "tied weights grad", 4, w->k.L / w->k.tokens * w->k.hidden);
}
