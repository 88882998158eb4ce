/* training_task.c - see training_task.h: the layers of a pass, and what moves between ranks that share or replicate
 * weights: gradients reduced bucket by bucket, weights gathered (S. Rajbhandari et al., "ZeRO", SC 2020). */
#include "work/training_writer.h"

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

static void reduce(fs_task_writer *w, fs_gpu_size size)
{
    fs_op ops[3];
    uint32_t n = fs_training_exchange(w->t, w->wiring, size, true, ops);
    if (n > 0)
        fs_task_flush(w);
    for (uint32_t i = 0; i < n; i++) {
        bool experts = ops[i].family == w->wiring->edp;
        ops[i].sm_share = w->t->overlap_grad_reduce ? w->t->sm_share : 0;
        uint32_t after = w->last == FS_NONE ? FS_TASK_START : w->last;
        w->task->reduced[experts] = fs_task_append(w, &ops[i], "gradient reduction", &after, 1);
    }
}

/* ZeRO-3: so many weights, for this pass. The ops that gather them, FS_NONE where there are none. */
static void gather(fs_task_writer *w, fs_gpu_size size, uint32_t gathered[2])
{
    fs_op ops[3];
    uint32_t n = fs_training_exchange(w->t, w->wiring, size, false, ops);
    fs_task_flush(w);
    gathered[0] = gathered[1] = FS_NONE;
    for (uint32_t i = 0; i < n && i < 2; i++) {
        ops[i].sm_share = w->t->overlap_param_gather ? w->t->sm_share : 0;
        gathered[i] = fs_task_append(w, &ops[i], "weights all-gather", &w->last, w->last != FS_NONE);
    }
}

/* A layer's; with those of the chunk's first or last one, what is in the chunk beside layers. */
static void gather_layer(fs_task_writer *w, uint32_t layer, uint32_t gathered[2])
{
    const fs_training *t = w->t;
    uint32_t n_chunks = t->pp * t->vpp, first, count;
    fs_gpu_size size = fs_training_layer_size(t, layer);
    fs_training_layers(t, w->request->chunk, &first, &count);
    if (layer == (w->request->chunk + 1 == n_chunks && n_chunks > 1 ? first + count - 1 : first)) {
        size.dense += fs_training_chunk_size(t, w->request->chunk).dense;
        for (uint32_t i = first; i < first + count; i++)
            size.dense -= fs_training_layer_size(t, i).dense;
    }
    gather(w, size, gathered);
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

/* Layers of a pass, with their weights gathered one ahead under ZeRO-3. index counts layers of the pass. */
static void enter_layer(fs_task_writer *w, uint32_t index, uint32_t count, uint32_t layer, int32_t step,
                        uint32_t ahead[2])
{
    if (w->t->zero < 3 || w->request->pass == FS_PASS_WEIGHTS)
        return;
    uint32_t now[2] = {ahead[0], ahead[1]};
    if (index == 0 || !w->t->overlap_param_gather)
        gather_layer(w, layer, now);
    if (index + 1 < count && w->t->overlap_param_gather)
        gather_layer(w, (uint32_t)((int32_t)layer + step), ahead);
    fs_task_flush(w);
    fs_task_wait(w, now[0]);
    fs_task_wait(w, now[1]);
}

/* Where the products that make gradients do not add them up, each is added to what other microbatches left: it is read,
 * and the sum read and written. The first release had no buffers of its own, and one microbatch needed no sum. */
static void accumulate(fs_task_writer *w, fs_gpu_size size)
{
    bool adds = w->t->kernels != FS_UNFUSED || fs_training_microbatches(w->t) > 1;
    if (adds && !w->t->gradient_fusion && w->k.wgrad != FS_WGRAD_SKIP && size.dense + size.experts > 0.5)
        fs_kernel_bytes(&w->k, "gradient sum",
                        (FS_ACTIVATION_BYTES + 2 * fs_training_grad_bytes(w->t)) * (size.dense + size.experts));
}

/* A chunk without layers is an end of the model alone. */
static void enter_end(fs_task_writer *w, uint32_t count)
{
    uint32_t gathered[2];
    if (count > 0 || w->t->zero < 3 || w->request->pass == FS_PASS_WEIGHTS)
        return;
    gather(w, fs_training_chunk_size(w->t, w->request->chunk), gathered);
    fs_task_wait(w, gathered[0]);
}

/* Kernels before and behind share its ops where no collective parts them; such an op counts as what ends it. */
static void recompute(fs_task_writer *w, uint32_t layer)
{
    const fs_transformer *m = &w->t->model;
    double inputs = fs_moe_inputs(m);
    bool experts = fs_layer_has_experts(m, layer);
    w->phase = FS_PHASE_RECOMPUTE;
    if ((w->t->recompute_parts & FS_AGAIN_SCORES) && w->t->kernels != FS_FLASH)
        fs_kernels_core(&w->k, 1);
    for (uint32_t i = 0; i < 2 && (w->t->recompute_parts & FS_AGAIN_NORM); i++)
        fs_kernels_norm(&w->k);
    if (w->t->recompute_parts & FS_AGAIN_LATENT)
        fs_kernels_latent_up(&w->k);
    if ((w->t->recompute_parts & FS_AGAIN_ACTIVATION) && !(w->t->recompute_parts & FS_AGAIN_MLP)) {
        double columns = (double)(experts ? m->moe.shared_ffn : m->ffn) / w->t->tp;
        fs_kernel_pass(&w->k, "activation again", inputs + 1, w->k.tokens * columns);
        if (experts)
            fs_kernel_pass(&w->k, "activation again", inputs + 1, w->k.arrived * m->moe.ffn / w->t->etp);
    }
    if (w->t->recompute_parts & FS_AGAIN_MLP)
        fs_mlp_forward(w, layer);
    if (w->t->recompute == FS_RECOMPUTE_FULL)
        fs_layer_forward(w, layer);
    w->phase = FS_PHASE_BACKWARD;
}

/* A layer for later tokens joins the next token's embedding to its input and has a loss of its own, with the same matrix. */
static void one_forward(fs_task_writer *w, uint32_t layer)
{
    bool later = layer >= w->t->model.layers;
    fs_task_label(w, "join");
    if (later)
        fs_kernels_join(&w->k);
    fs_layer_forward(w, layer);
    if (later)
        fs_loss_forward(w);
}

static void one_backward(fs_task_writer *w, uint32_t layer)
{
    bool later = layer >= w->t->model.layers;
    if (later)
        fs_loss_backward(w);
    if (w->request->pass == FS_PASS_BACKWARD)
        recompute(w, layer);
    fs_layer_backward(w, layer);
    fs_task_label(w, "join grad");
    if (later)
        fs_kernels_join_grad(&w->k);
}

static void forward(fs_task_writer *w, uint32_t first, uint32_t count)
{
    const fs_training *t = w->t;
    uint32_t chunk = w->request->chunk, ahead[2] = {FS_NONE, FS_NONE}, bucket = 0;
    bool gathers = w->request->special && t->overlap_param_gather && (t->zero == 1 || t->zero == 2);
    fs_bucket_walk walk = {0};
    fs_gpu_size full;
    w->phase = FS_PHASE_FORWARD;
    enter_end(w, count);
    if (gathers)
        fs_task_wait(w, FS_TASK_GATHER(bucket));
    if (chunk == 0)
        fs_embedding_forward(w);
    for (uint32_t i = 0; i < count && w->k.status == FS_OK; i++) {
        enter_layer(w, i, count, first + i, 1, ahead);
        one_forward(w, first + i);
        if (gathers && fs_bucket_add(t, &walk, first + i, &full) && i + 1 < count) {
            fs_task_flush(w);
            fs_task_wait(w, FS_TASK_GATHER(++bucket));
        }
    }
    if (chunk + 1 == t->pp * t->vpp)
        fs_loss_forward(w);
}

static void backward(fs_task_writer *w, uint32_t first, uint32_t count)
{
    const fs_training *t = w->t;
    uint32_t chunk = w->request->chunk, ahead[2] = {FS_NONE, FS_NONE};
    bool splits = t->schedule == FS_SCHEDULE_ZB_H1 && w->request->pass == FS_PASS_BACKWARD;
    bool reduces = !splits && (t->zero >= 2 || (w->request->special && t->overlap_grad_reduce));
    fs_bucket_walk walk = {0};
    fs_gpu_size full, left = fs_training_chunk_size(t, chunk), ends = left;
    w->phase = FS_PHASE_BACKWARD;
    enter_end(w, count);
    if (chunk + 1 == t->pp * t->vpp)
        fs_loss_backward(w);
    for (uint32_t i = 0; i < count && w->k.status == FS_OK; i++) {
        uint32_t layer = first + count - 1 - i;
        enter_layer(w, i, count, layer, -1, ahead);
        one_backward(w, layer);
        accumulate(w, fs_training_layer_size(t, layer));
        ends.dense -= fs_training_layer_size(t, layer).dense;
        ends.experts -= fs_training_layer_size(t, layer).experts;
        if (reduces && t->overlap_grad_reduce && fs_bucket_add(t, &walk, layer, &full)) {
            reduce(w, full);
            left.dense -= full.dense;
            left.experts -= full.experts;
        }
    }
    if (chunk == 0)
        fs_embedding_backward(w);
    accumulate(w, ends);
    if (reduces) { /* but for rounding: what is left of a billion parameters */
        left.dense = left.dense < 0.5 ? 0 : left.dense;
        left.experts = left.experts < 0.5 ? 0 : left.experts;
        reduce(w, left);
    }
}

/* Once a step, and kept for its other microbatches, unless weights come anew for each pass or came in a product's format. */
static bool casts_weights(const fs_training *t, const fs_task_request *request)
{
    return request->pass == FS_PASS_FORWARD && (request->special || t->zero == 3) &&
           t->param_bytes >= FS_ACTIVATION_BYTES;
}

fs_status fs_task_make(fs_work_builder *b, const fs_training *t, const fs_wiring *wiring,
                       const fs_task_request *request, fs_task *task, fs_err *err)
{
    uint32_t first, count;
    fs_task_writer w = {
        .t = t, .wiring = wiring, .request = request, .task = task, .label = "", .last = FS_NONE, .held = FS_NONE};
    task->reduced[0] = task->reduced[1] = FS_NONE;
    fs_kernels_init(&w.k, b, t, request->share, err);
    w.k.new_weights = casts_weights(t, request);
    if (request->pass == FS_PASS_WEIGHTS)
        w.k.wgrad = FS_WGRAD_ONLY;
    else if (request->pass == FS_PASS_BACKWARD && t->schedule == FS_SCHEDULE_ZB_H1)
        w.k.wgrad = FS_WGRAD_SKIP;
    else if (request->pass == FS_PASS_BACKWARD && t->overlap_tp != FS_TP_NONE)
        w.k.wgrad = FS_WGRAD_LATER;
    fs_training_layers(t, request->chunk, &first, &count);
    if (request->pass == FS_PASS_FORWARD)
        forward(&w, first, count);
    else
        backward(&w, first, count);
    fs_task_flush(&w);
    task->end = w.last;
    fs_kernels_free(&w.k);
    return w.k.status;
}
