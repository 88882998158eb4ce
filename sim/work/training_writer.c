/* training_writer.c - see training_writer.h. */
#include "work/training_writer.h"

#include <assert.h>

enum { KERNELS_OF_OP = 4096 }; /* where an op that nothing else ends does */

uint32_t fs_task_append(fs_task_writer *w, fs_op *op, const char *name, const uint32_t *deps, uint32_t n_deps)
{
    fs_task_op one = {.n_deps = n_deps, .launches = op->kind == FS_OP_COMPUTE ? 0 : 1};
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

/* What the CPU does for kernels that were listed since it was last asked. */
static void count_launches(fs_task_writer *w)
{
    for (; w->launched < w->k.list.count; w->launched++)
        w->launches += w->graphed ? 0 : w->k.list.data[w->launched].count;
    w->launches += w->graphed ? 0 : w->k.launches;
    w->k.launches = 0;
}

void fs_task_part(fs_task_writer *w, uint32_t part)
{
    count_launches(w);
    w->graphed = (w->t->host_graphs & part) != 0;
    w->launches += w->graphed; /* the graph */
}

void fs_task_flush(fs_task_writer *w)
{
    fs_op op = fs_op_default(FS_OP_COMPUTE);
    if (w->k.list.count == 0)
        return;
    op.stream = w->wiring->compute;
    count_launches(w);
    if (w->k.status == FS_OK)
        w->k.status = fs_work_kernels(w->k.b, w->k.list.data, w->k.list.count, &op.kernels, w->k.err);
    if (w->last == FS_NONE)
        w->waits[w->n_waits++] = FS_TASK_START;
    w->last = fs_task_append(w, &op, w->label, w->waits, w->n_waits);
    if (w->k.status == FS_OK)
        w->task->ops.data[w->last].launches = w->launches;
    w->launches = 0;
    w->launched = 0;
    w->n_waits = 0;
    w->k.list.count = 0;
}

void fs_task_label(fs_task_writer *w, const char *text)
{
    if (w->k.list.count >= KERNELS_OF_OP)
        fs_task_flush(w);
    if (w->k.list.count == 0)
        w->label = text;
}

void fs_task_wait(fs_task_writer *w, uint32_t op)
{
    if (op == FS_NONE || w->k.status != FS_OK)
        return;
    assert(w->n_waits < FS_TASK_DEPS - 2); /* no more stand between two kernels */
    w->waits[w->n_waits++] = op;
}

uint32_t fs_task_collective(fs_task_writer *w, const char *name, fs_coll_kind kind, uint32_t family, uint16_t stream,
                            double bytes, bool beside)
{
    fs_op op = fs_op_default(FS_OP_COLLECTIVE);
    if (w->request->pass == FS_PASS_WEIGHTS)
        return FS_NONE;
    fs_task_flush(w);
    op.coll = (uint8_t)kind;
    op.stream = stream;
    op.family = family;
    op.size_bytes = bytes;
    op.sm_share = beside ? w->t->sm_share : 0;
    uint32_t deps[FS_TASK_DEPS], n = 0;
    deps[n++] = w->last == FS_NONE ? FS_TASK_START : w->last;
    for (uint32_t i = 0; i < w->n_waits; i++) /* nothing was listed since: it waits for the same */
        deps[n++] = w->waits[i];
    return fs_task_append(w, &op, name, deps, n);
}
