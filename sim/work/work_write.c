/* work_write.c - a work as an explicit ops trace (docs/FORMATS.md, Trace). See work.h.
 *
 * What is read back is the same work, but for places in the file and the numbering of streams and labels, which follows
 * first use. Groups of equal strides are written as such; kernel lists and loads get names. Programs that no rank runs are left out. Durations are
 * written in seconds, because microseconds would round. Cost: O(what is written), no memory. */
#include "work/work.h"

#include "base/jsonw.h"
#include "work/work_build.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void write_totals(fs_jsonw *w, const fs_totals *t)
{
    fs_jsonw_object(w, "totals");
    fs_jsonw_number(w, "model_flops", t->model_flops);
    fs_jsonw_number(w, "hardware_flops", t->hardware_flops);
    fs_jsonw_number(w, "tokens", t->tokens);
    fs_jsonw_number(w, "samples", t->samples);
    fs_jsonw_string(w, "dtype", fs_dtype_names[t->dtype]);
    fs_jsonw_object_inline(w, "memory");
    fs_jsonw_number(w, "weights", t->memory.weights);
    fs_jsonw_number(w, "gradients", t->memory.gradients);
    fs_jsonw_number(w, "optimizer", t->memory.optimizer);
    fs_jsonw_number(w, "activations", t->memory.activations);
    fs_jsonw_end(w);
    fs_jsonw_end(w);
}

static void write_placement(fs_jsonw *w, const fs_work *work)
{
    uint32_t rank = 0;
    while (rank < work->n_ranks && work->gpu_of[rank] == rank)
        rank++;
    if (rank == work->n_ranks)
        return; /* rank i on GPU i */
    fs_jsonw_array_inline(w, "placement");
    for (rank = 0; rank < work->n_ranks; rank++)
        fs_jsonw_uint(w, NULL, work->gpu_of[rank]);
    fs_jsonw_end(w);
}

static void write_digits(fs_jsonw *w, const fs_family *f)
{
    fs_jsonw_object_inline(w, f->name);
    if (f->n_digits == 1) {
        fs_jsonw_uint(w, "size", f->digits[0].size);
        fs_jsonw_uint(w, "stride", f->digits[0].stride);
    } else {
        fs_jsonw_array_inline(w, "size");
        for (uint32_t i = 0; i < f->n_digits; i++)
            fs_jsonw_uint(w, NULL, f->digits[i].size);
        fs_jsonw_end(w);
        fs_jsonw_array_inline(w, "stride");
        for (uint32_t i = 0; i < f->n_digits; i++)
            fs_jsonw_uint(w, NULL, f->digits[i].stride);
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

static void write_family(fs_jsonw *w, const fs_family *f)
{
    if (f->size > 0) {
        write_digits(w, f);
        return;
    }
    fs_jsonw_array_inline(w, f->name);
    for (uint32_t g = 0; g < f->n_groups; g++) {
        fs_jsonw_array_inline(w, NULL);
        for (uint32_t i = f->begin[g]; i < f->begin[g + 1]; i++)
            fs_jsonw_uint(w, NULL, f->ranks[i]);
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

/* The ranks of a program, from *from on and around; usually the next program's first rank follows its predecessor's
 * last. */
static void write_ranks(fs_jsonw *w, const fs_work *work, uint32_t program, uint32_t *from)
{
    uint32_t wanted = work->programs[program].n_ranks;
    if (wanted == work->n_ranks) {
        fs_jsonw_string(w, "ranks", "all");
        return;
    }
    fs_jsonw_array_inline(w, "ranks");
    for (uint32_t rank = *from; wanted > 0; rank = rank + 1 == work->n_ranks ? 0 : rank + 1)
        if (work->program_of[rank] == program) {
            fs_jsonw_uint(w, NULL, rank);
            *from = rank;
            wanted--;
        }
    fs_jsonw_end(w);
}

/* Kernel lists and loads have no names of their own. */
static char *numbered(char letter, uint32_t id, char *buffer, size_t size)
{
    snprintf(buffer, size, "%c%u", letter, id);
    return buffer;
}

static void write_shape(fs_jsonw *w, const fs_kernel_shape *shape)
{
    fs_jsonw_array_inline(w, fs_kernel_kind_names[shape->kind]);
    for (uint32_t i = 0; i < fs_kernel_sizes_of[shape->kind].n; i++)
        fs_jsonw_number(w, NULL, fs_kernel_size_at(shape, i));
    fs_jsonw_end(w);
    if (shape->causal)
        fs_jsonw_bool(w, "causal", true);
    if (shape->dim > 0 && shape->kv_dtype != FS_FP16)
        fs_jsonw_string(w, "kv_dtype", fs_dtype_names[shape->kv_dtype]);
}

static void write_kernel_lists(fs_jsonw *w, const fs_work *work)
{
    char name[16];
    if (work->n_kernel_lists == 0)
        return;
    fs_jsonw_object(w, "kernels");
    for (uint32_t i = 0; i < work->n_kernel_lists; i++) {
        const fs_kernel_list *list = &work->kernel_lists[i];
        fs_jsonw_array(w, numbered('k', i, name, sizeof name));
        for (uint32_t k = 0; k < list->n; k++) {
            const fs_kernel *kernel = &list->kernels[k];
            fs_jsonw_object_inline(w, NULL);
            fs_jsonw_string(w, "name", work->names[kernel->name]);
            fs_jsonw_number(w, "flops", kernel->flops);
            fs_jsonw_number(w, "bytes", kernel->bytes);
            if (kernel->dtype != FS_FP16)
                fs_jsonw_string(w, "dtype", fs_dtype_names[kernel->dtype]);
            if (kernel->shape.kind != FS_KERNEL_PLAIN)
                write_shape(w, &kernel->shape);
            if (kernel->measured_s > 0)
                fs_jsonw_number(w, "duration_s", kernel->measured_s);
            if (kernel->count != 1)
                fs_jsonw_uint(w, "count", kernel->count);
            fs_jsonw_end(w);
        }
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

static void write_loads(fs_jsonw *w, const fs_work *work)
{
    char name[16];
    if (work->n_loads == 0)
        return;
    fs_jsonw_object(w, "loads");
    for (uint32_t i = 0; i < work->n_loads; i++) {
        fs_jsonw_array_inline(w, numbered('l', i, name, sizeof name));
        for (uint32_t k = 0; k < work->loads[i].n; k++)
            fs_jsonw_number(w, NULL, work->loads[i].weight[k]);
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

static void write_compute(fs_jsonw *w, const fs_op *op)
{
    char list[16];
    if (op->duration_s >= 0) {
        fs_jsonw_number(w, "duration_s", op->duration_s);
    } else if (op->kernels != FS_NONE) {
        fs_jsonw_string(w, "kernels", numbered('k', op->kernels, list, sizeof list));
        return;
    } else {
        fs_jsonw_number(w, "flops", op->flops);
        fs_jsonw_number(w, "bytes", op->bytes);
    }
    if (op->dtype != FS_FP16)
        fs_jsonw_string(w, "dtype", fs_dtype_names[op->dtype]);
}

static void write_message(fs_jsonw *w, const fs_work *work, const fs_op *op)
{
    if (op->family != FS_NONE) {
        fs_jsonw_string(w, "group", work->families[op->family].name);
        fs_jsonw_number(w, "shift", op->peer);
    } else {
        fs_jsonw_uint(w, op->kind == FS_OP_SEND ? "to" : "from", (uint32_t)op->peer);
    }
    fs_jsonw_uint(w, "tag", op->tag);
    fs_jsonw_number(w, "size_bytes", op->size_bytes);
}

static void write_collective(fs_jsonw *w, const fs_work *work, const fs_op *op)
{
    fs_jsonw_string(w, "group", work->families[op->family].name);
    if (op->coll == FS_BARRIER)
        return;
    fs_jsonw_number(w, "size_bytes", op->size_bytes);
    if (op->coll == FS_BROADCAST || op->coll == FS_REDUCE)
        fs_jsonw_uint(w, "root", op->root);
    if (op->load != FS_NONE) {
        char load[16];
        fs_jsonw_string(w, "load", numbered('l', op->load, load, sizeof load));
        if (op->transpose)
            fs_jsonw_bool(w, "transpose", true);
    }
    if (op->algo != FS_ALGO_AUTO)
        fs_jsonw_string(w, "algo", fs_algo_names[op->algo]);
    if (op->top_k > 0)
        fs_jsonw_uint(w, "top_k", op->top_k);
    if (op->top_domains > 0)
        fs_jsonw_uint(w, "top_domains", op->top_domains);
    if (op->proto != FS_PROTO_AUTO)
        fs_jsonw_string(w, "proto", fs_proto_names[op->proto]);
}

static void write_op(fs_jsonw *w, const fs_work *work, const fs_program *p, uint32_t index)
{
    const fs_op *op = &p->ops[index];
    char id[16];
    fs_jsonw_object_inline(w, NULL);
    fs_jsonw_string(w, "op", fs_op_label(op));
    if (p->dep_begin[p->n_ops] > 0)
        fs_jsonw_string(w, "id", numbered('o', index, id, sizeof id));
    fs_jsonw_string(w, "name", work->names[op->name]);
    fs_jsonw_string(w, "stream", work->streams[op->stream]);
    switch ((fs_op_kind)op->kind) {
    case FS_OP_COMPUTE: write_compute(w, op); break;
    case FS_OP_DELAY: fs_jsonw_number(w, "duration_s", op->duration_s); break;
    case FS_OP_SEND:
    case FS_OP_RECV: write_message(w, work, op); break;
    case FS_OP_COLLECTIVE: write_collective(w, work, op); break;
    }
    if (op->sm_share > 0)
        fs_jsonw_number(w, "sm_share", (double)op->sm_share);
    if (op->phase != FS_PHASE_NONE)
        fs_jsonw_string(w, "phase", fs_phase_names[op->phase]);
    if (p->dep_begin[index] < p->dep_begin[index + 1]) {
        fs_jsonw_array_inline(w, "after");
        for (uint32_t d = p->dep_begin[index]; d < p->dep_begin[index + 1]; d++)
            fs_jsonw_string(w, NULL, numbered('o', p->deps[d], id, sizeof id));
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

static void write_fault(fs_jsonw *w, const fs_fault *f)
{
    const char *kind = fs_fault_kind_names[f->kind];
    fs_jsonw_object_inline(w, NULL);
    if (f->other) {
        fs_jsonw_array_inline(w, kind);
        fs_jsonw_string(w, NULL, f->name);
        fs_jsonw_string(w, NULL, f->other);
        fs_jsonw_end(w);
    } else {
        fs_jsonw_string(w, kind, f->name);
    }
    if (f->speed > 0)
        fs_jsonw_number(w, "speed", f->speed);
    else
        fs_jsonw_bool(w, "down", true);
    fs_jsonw_number(w, "from_s", f->from_s);
    if (!isinf(f->to_s))
        fs_jsonw_number(w, "to_s", f->to_s);
    fs_jsonw_end(w);
}

static void write_faults(fs_jsonw *w, const fs_work *work)
{
    if (work->n_faults == 0)
        return;
    fs_jsonw_array(w, "faults");
    for (uint32_t i = 0; i < work->n_faults; i++)
        write_fault(w, &work->faults[i]);
    fs_jsonw_end(w);
}

void fs_work_write_ops(const fs_work *work, fs_out *out)
{
    fs_jsonw w = fs_jsonw_start(out);
    uint32_t from = 0;
    fs_jsonw_object(&w, NULL);
    fs_jsonw_string(&w, "fabsim", "trace/1");
    fs_jsonw_string(&w, "kind", "ops");
    fs_jsonw_string(&w, "name", work->name);
    fs_jsonw_string(&w, "note", work->note);
    if (work->kernel_efficiency <= 0)
        fs_jsonw_string(&w, "kernel_efficiency", "step");
    else if (work->kernel_efficiency < 1)
        fs_jsonw_number(&w, "kernel_efficiency", work->kernel_efficiency);
    fs_jsonw_uint(&w, "ranks", work->n_ranks);
    write_placement(&w, work);
    fs_jsonw_object(&w, "groups");
    for (uint32_t i = 1; i < work->n_families; i++) /* 0 is the world, which is always there */
        write_family(&w, &work->families[i]);
    fs_jsonw_end(&w);
    write_totals(&w, &work->totals);
    if (work->nccl.registered || work->nccl.sharp || work->nccl.cross_rail != FS_CROSS_AS_TOPOLOGY) {
        fs_jsonw_object_inline(&w, "nccl");
        fs_jsonw_bool(&w, "registered", work->nccl.registered);
        fs_jsonw_bool(&w, "sharp", work->nccl.sharp);
        fs_jsonw_string(&w, "cross_rail", fs_cross_rail_names[work->nccl.cross_rail]);
        fs_jsonw_end(&w);
    }
    write_faults(&w, work);
    write_kernel_lists(&w, work);
    write_loads(&w, work);
    fs_jsonw_array(&w, "programs");
    for (uint32_t i = 0; i < work->n_programs; i++) {
        const fs_program *p = &work->programs[i];
        if (p->n_ranks == 0)
            continue;
        fs_jsonw_object(&w, NULL);
        fs_jsonw_string(&w, "name", p->name);
        write_ranks(&w, work, i, &from);
        fs_jsonw_array(&w, "ops");
        for (uint32_t op = 0; op < p->n_ops; op++)
            write_op(&w, work, p, op);
        fs_jsonw_end(&w);
        fs_jsonw_end(&w);
    }
    fs_jsonw_end(&w);
    fs_jsonw_end(&w);
}
