/* fold_times.c - how long each kernel takes alone: one array per (program, GPU part), which ranks share.
 *
 * Cost: O(ranks + parts x ops of their programs). */
#include "fold/folding.h"
#include "gpu/gpu.h"

#include <stdio.h>

/* Kernel times of one (program, part); chained per program. */
typedef struct timing {
    uint32_t part, next;
} timing;

static fs_status fail_no_peak(const fs_folding *f, const fs_op *op, uint8_t dtype, const fs_part *part, fs_err *err)
{
    char has[128] = "";
    size_t length = 0;
    for (uint32_t d = 0; d < FS_DTYPES; d++)
        if (part->peak_flops[d] > 0)
            length +=
                (size_t)snprintf(has + length, sizeof has - length, "%s%s", length ? ", " : "", fs_dtype_names[d]);
    return fs_fail_at(err, FS_E_TRACE, f->work->path, op->line, op->column,
                      "GPU part '%.80s' has no peak rate for %s; it has %s", part->name, fs_dtype_names[dtype],
                      length ? has : "none for any number format");
}

/* Seconds of each kernel list on a part, as far as the program uses it; negative: not known yet. */
static fs_status time_list(const fs_folding *f, const fs_op *op, const fs_part *part, double *seconds, fs_err *err)
{
    const fs_kernel_list *list = &f->work->kernel_lists[op->kernels];
    double sum = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        const fs_kernel *k = &list->kernels[i];
        fs_kernel_time time = {.seconds = k->measured_s};
        if (!(k->measured_s > 0) &&
            !fs_gpu_kernel(part, &k->shape, k->flops, k->bytes, (fs_dtype)k->dtype, f->cost == FS_COST_IDEAL, &time))
            return fail_no_peak(f, op, k->dtype, part, err);
        sum += k->count * time.seconds;
    }
    *seconds = sum;
    return FS_OK;
}

static fs_status time_kernels(const fs_folding *f, const fs_program *program, const fs_part *part,
                              const double **seconds, fs_err *err)
{
    static const fs_kernel_shape none; /* plain */
    double *time = fs_arena_alloc(f->arena, program->n_ops, sizeof *time);
    double *list = fs_alloc(f->work->n_kernel_lists, sizeof *list);
    fs_status status = time && list ? FS_OK : fs_fail_nomem(err);
    for (uint32_t i = 0; status == FS_OK && i < f->work->n_kernel_lists; i++)
        list[i] = -1;
    for (uint32_t i = 0; status == FS_OK && i < program->n_ops; i++) {
        const fs_op *op = &program->ops[i];
        if (op->kind != FS_OP_COMPUTE && op->kind != FS_OP_DELAY)
            continue;
        time[i] = op->duration_s;
        if (op->duration_s >= 0)
            continue;
        if (op->kernels != FS_NONE) {
            if (list[op->kernels] < 0)
                status = time_list(f, op, part, &list[op->kernels], err);
            time[i] = list[op->kernels];
            continue;
        }
        fs_kernel_time one;
        if (fs_gpu_kernel(part, &none, op->flops, op->bytes, (fs_dtype)op->dtype, f->cost == FS_COST_IDEAL, &one))
            time[i] = one.seconds;
        else
            status = fail_no_peak(f, op, op->dtype, part, err);
    }
    double efficiency = f->work->kernel_efficiency;
    if (efficiency <= 0)
        efficiency = part->costs.in_step > 0 ? part->costs.in_step : 1;
    for (uint32_t i = 0; status == FS_OK && f->cost != FS_COST_IDEAL && i < program->n_ops; i++)
        if (program->ops[i].kind == FS_OP_COMPUTE && program->ops[i].duration_s < 0)
            time[i] /= efficiency;
    fs_free(list);
    *seconds = time;
    return status;
}

/* The times of a program on a part; made where they are not yet known. */
static fs_status find_timing(fs_folding *f, timing *chain, uint32_t *first, uint32_t program, uint32_t part,
                             uint32_t *id, fs_err *err)
{
    uint32_t t = *first;
    while (t != FS_NONE && chain[t].part != part)
        t = chain[t].next;
    *id = t;
    if (t != FS_NONE)
        return FS_OK;
    t = f->n_timings;
    fs_status status = time_kernels(f, &f->work->programs[program], &f->topo->parts[part], &f->timings[t], err);
    if (status != FS_OK)
        return status;
    chain[t] = (timing){.part = part, .next = *first};
    *first = *id = t;
    f->n_timings++;
    return FS_OK;
}

fs_status fs_fold_times(fs_folding *f, fs_err *err)
{
    const fs_work *work = f->work;
    size_t most = (size_t)work->n_programs * f->topo->n_parts;
    most = most < work->n_ranks ? most : work->n_ranks;
    f->timing_of = fs_arena_alloc(f->own, work->n_ranks, sizeof *f->timing_of);
    f->timings = fs_arena_alloc(f->own, most, sizeof *f->timings);
    timing *chain = fs_alloc(most, sizeof *chain);
    uint32_t *first = fs_alloc(work->n_programs, sizeof *first);
    fs_status status = f->timing_of && f->timings && chain && first ? FS_OK : fs_fail_nomem(err);
    for (uint32_t p = 0; status == FS_OK && p < work->n_programs; p++)
        first[p] = FS_NONE;
    for (uint32_t rank = 0; status == FS_OK && rank < work->n_ranks; rank++) {
        uint32_t program = work->program_of[rank];
        uint32_t part = fs_topo_device(f->topo, fs_fold_device(f, rank)).part;
        status = find_timing(f, chain, &first[program], program, part, &f->timing_of[rank], err);
    }
    fs_free(chain);
    fs_free(first);
    return status;
}
