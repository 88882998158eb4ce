/* work_write.c - a work as an explicit ops trace (docs/FORMATS.md, Trace). See work.h.
 *
 * What is read back is the same work, but for places in the file and the numbering of streams and labels, which follows
 * first use. Groups of equal strides are written as such. Programs that no rank runs are left out. Durations are
 * written in seconds, because microseconds would round. Cost: O(what is written), no memory. */
#include "work/work.h"

#include "base/jsonw.h"
#include "work/work_build.h"

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

/* Is it what fs_work_family_strided makes? Then its size and stride. */
static bool is_strided(const fs_work *work, const fs_family *f, uint32_t *size, uint32_t *stride)
{
    *size = f->begin[1];
    *stride = *size > 1 ? f->ranks[1] - f->ranks[0] : 1;
    uint64_t block = (uint64_t)*size * *stride;
    if (block == 0 || block > work->n_ranks || work->n_ranks % block != 0 || f->begin[f->n_groups] != work->n_ranks ||
        f->n_groups != work->n_ranks / *size)
        return false;
    for (uint32_t rank = 0; rank < work->n_ranks; rank++)
        if (f->position_of[rank] != rank / *stride % *size ||
            f->group_of[rank] != rank / block * *stride + rank % *stride)
            return false;
    return true;
}

static void write_family(fs_jsonw *w, const fs_work *work, const fs_family *f)
{
    uint32_t size, stride;
    if (is_strided(work, f, &size, &stride)) {
        fs_jsonw_object_inline(w, f->name);
        fs_jsonw_uint(w, "size", size);
        fs_jsonw_uint(w, "stride", stride);
        fs_jsonw_end(w);
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

static void write_compute(fs_jsonw *w, const fs_op *op)
{
    if (op->duration_s >= 0) {
        fs_jsonw_number(w, "duration_s", op->duration_s);
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
    if (op->algo != FS_ALGO_AUTO)
        fs_jsonw_string(w, "algo", fs_algo_names[op->algo]);
    if (op->proto != FS_PROTO_AUTO)
        fs_jsonw_string(w, "proto", fs_proto_names[op->proto]);
}

static char *id_of(uint32_t op, char *buffer, size_t size)
{
    snprintf(buffer, size, "o%u", op);
    return buffer;
}

static void write_op(fs_jsonw *w, const fs_work *work, const fs_program *p, uint32_t index)
{
    const fs_op *op = &p->ops[index];
    char id[16];
    fs_jsonw_object_inline(w, NULL);
    fs_jsonw_string(w, "op", fs_op_label(op));
    if (p->dep_begin[p->n_ops] > 0)
        fs_jsonw_string(w, "id", id_of(index, id, sizeof id));
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
            fs_jsonw_string(w, NULL, id_of(p->deps[d], id, sizeof id));
        fs_jsonw_end(w);
    }
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
    fs_jsonw_uint(&w, "ranks", work->n_ranks);
    write_placement(&w, work);
    fs_jsonw_object(&w, "groups");
    for (uint32_t i = 1; i < work->n_families; i++) /* 0 is the world, which is always there */
        write_family(&w, work, &work->families[i]);
    fs_jsonw_end(&w);
    write_totals(&w, &work->totals);
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
