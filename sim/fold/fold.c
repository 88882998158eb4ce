/* fold.c - the identity partition: one actor per rank, one meeting per group, one resource per link and SM pool.
 *
 * Order: placement is checked, then actors, kernel times, meetings, signatures, plans and resources are laid out.
 * Kernel times are one array per (program, GPU part): ranks that run the same program on the same part share it.
 * Signatures and plans are in fold_plans.c. Cost: O(ops + ranks x families + groups x signatures). */
#include "fold/fold.h"

#include "base/mem.h"
#include "fold/folding.h"
#include "gpu/gpu.h"

#include <stdio.h>
#include <string.h>

/* Kernel times of one (program, part); chained per program. */
typedef struct timing {
    const double *seconds;
    uint32_t part, next;
} timing;

static const char *file_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path && *path ? path : "no file";
}

static fs_status check_placement(const fs_work *work, const fs_topo *topo, fs_err *err)
{
    if (work->n_ranks > topo->n_gpus)
        return fs_fail_at(err, FS_E_TRACE, work->path, 0, 0,
                          "the trace has %u ranks, the topology %u GPUs (%s); each rank needs a GPU of its own",
                          work->n_ranks, topo->n_gpus, file_name(topo->path));
    for (uint32_t rank = 0; rank < work->n_ranks; rank++)
        if (work->gpu_of[rank] >= topo->n_gpus)
            return fs_fail_at(err, FS_E_TRACE, work->path, 0, 0,
                              "rank %u is placed on GPU %u, but the topology has GPUs 0 to %u (%s)", rank,
                              work->gpu_of[rank], topo->n_gpus - 1, file_name(topo->path));
    return FS_OK;
}

/* ---- actors and the time of their kernels ------------------------------------------------------------------------ */

static fs_status build_actors(fs_folding *b, fs_err *err)
{
    uint32_t n = b->work->n_ranks;
    uint32_t *rank_of = fs_arena_alloc(b->arena, n, sizeof *rank_of);
    uint32_t *program = fs_arena_alloc(b->arena, n, sizeof *program);
    uint32_t *index = fs_arena_alloc(b->arena, n, sizeof *index);
    uint32_t *count = fs_arena_alloc(b->arena, n, sizeof *count);
    if (!rank_of || !program || !index || !count)
        return fs_fail_nomem(err);
    for (uint32_t rank = 0; rank < n; rank++) {
        rank_of[rank] = rank;
        program[rank] = b->work->program_of[rank];
        index[rank] = b->program_actors[program[rank]]++;
        count[rank] = 1;
    }
    b->job->n_actors = n;
    b->job->actor_rank = rank_of;
    b->job->actor_of_rank = rank_of; /* the identity both ways */
    b->job->actor_program = program;
    b->job->actor_index = index;
    b->job->actor_count = count;
    return FS_OK;
}

static fs_status fail_no_peak(const fs_folding *b, const fs_op *op, uint8_t dtype, const fs_part *part, fs_err *err)
{
    char has[128] = "";
    size_t length = 0;
    for (uint32_t d = 0; d < FS_DTYPES; d++)
        if (part->peak_flops[d] > 0)
            length +=
                (size_t)snprintf(has + length, sizeof has - length, "%s%s", length ? ", " : "", fs_dtype_names[d]);
    return fs_fail_at(err, FS_E_TRACE, b->work->path, op->line, op->column,
                      "GPU part '%.80s' has no peak rate for %s; it has %s", part->name, fs_dtype_names[dtype],
                      length ? has : "none for any number format");
}

/* Seconds of each kernel list on a part, as far as the program uses it; negative: not known yet. */
static fs_status time_list(const fs_folding *b, const fs_op *op, const fs_part *part, double *seconds, fs_err *err)
{
    const fs_kernel_list *list = &b->work->kernel_lists[op->kernels];
    double sum = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        const fs_kernel *k = &list->kernels[i];
        double one = fs_gpu_kernel_s(part, k->flops, k->bytes, (fs_dtype)k->dtype, b->cost == FS_COST_IDEAL);
        if (one < 0)
            return fail_no_peak(b, op, k->dtype, part, err);
        sum += k->count * one;
    }
    *seconds = sum;
    return FS_OK;
}

static fs_status time_kernels(const fs_folding *b, const fs_program *program, const fs_part *part,
                              const double **seconds, fs_err *err)
{
    double *time = fs_arena_alloc(b->arena, program->n_ops, sizeof *time);
    double *list = fs_alloc(b->work->n_kernel_lists, sizeof *list);
    fs_status status = time && list ? FS_OK : fs_fail_nomem(err);
    for (uint32_t i = 0; status == FS_OK && i < b->work->n_kernel_lists; i++)
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
                status = time_list(b, op, part, &list[op->kernels], err);
            time[i] = list[op->kernels];
            continue;
        }
        time[i] = fs_gpu_kernel_s(part, op->flops, op->bytes, (fs_dtype)op->dtype, b->cost == FS_COST_IDEAL);
        if (time[i] < 0)
            status = fail_no_peak(b, op, op->dtype, part, err);
    }
    fs_free(list);
    *seconds = time;
    return status;
}

static fs_status build_durations(fs_folding *b, fs_err *err)
{
    uint32_t n = b->job->n_actors, n_timings = 0;
    const double **duration = fs_arena_alloc(b->arena, n, sizeof *duration);
    timing *timings = fs_alloc(n, sizeof *timings); /* at most one per actor */
    uint32_t *first = fs_alloc(b->work->n_programs, sizeof *first);
    fs_status status = duration && timings && first ? FS_OK : fs_fail_nomem(err);
    for (uint32_t p = 0; status == FS_OK && p < b->work->n_programs; p++)
        first[p] = FS_NONE;
    for (uint32_t a = 0; status == FS_OK && a < n; a++) {
        uint32_t program = b->job->actor_program[a];
        uint32_t part = fs_topo_device(b->topo, fs_fold_device(b, b->job->actor_rank[a])).part;
        uint32_t t = first[program];
        while (t != FS_NONE && timings[t].part != part)
            t = timings[t].next;
        if (t == FS_NONE) {
            t = n_timings;
            timings[t] = (timing){.part = part, .next = first[program]};
            status = time_kernels(b, &b->work->programs[program], &b->topo->parts[part], &timings[t].seconds, err);
            if (status != FS_OK)
                break;
            first[program] = t;
            n_timings++;
        }
        duration[a] = timings[t].seconds;
    }
    b->job->duration_s = duration;
    fs_free(timings);
    fs_free(first);
    return status;
}

/* ---- meetings ---------------------------------------------------------------------------------------------------- */

static fs_status build_meetings(fs_folding *b, fs_err *err)
{
    const fs_work *work = b->work;
    uint32_t n_meetings = 0, n_members = 0;
    for (uint32_t f = 0; f < work->n_families; f++) {
        n_meetings += work->families[f].n_groups;
        n_members += fs_family_members(&work->families[f]);
    }
    uint32_t *begin = fs_arena_alloc(b->arena, (size_t)n_meetings + 1, sizeof *begin);
    uint32_t *actors = fs_arena_alloc(b->arena, n_members, sizeof *actors);
    uint32_t *group = fs_arena_alloc(b->arena, n_meetings, sizeof *group);
    uint32_t *of = fs_arena_alloc(b->arena, (size_t)work->n_families * b->job->n_actors, sizeof *of);
    if (!begin || !actors || !group || !of)
        return fs_fail_nomem(err);

    uint32_t meeting = 0, member = 0;
    for (uint32_t f = 0; f < work->n_families; f++) {
        const fs_family *family = &work->families[f];
        uint32_t first = meeting;
        for (uint32_t g = 0; g < family->n_groups; g++, meeting++) {
            begin[meeting] = member;
            group[meeting] = g;
            for (uint32_t i = 0; i < fs_family_size(family, g); i++)
                actors[member++] = fs_family_member(family, g, i);
        }
        uint32_t *row = of + (size_t)f * b->job->n_actors;
        for (uint32_t rank = 0; rank < work->n_ranks; rank++) {
            uint32_t group_of = fs_family_group_of(family, rank);
            row[rank] = group_of == FS_NONE ? FS_NONE : first + group_of;
        }
    }
    begin[n_meetings] = member;
    b->job->n_meetings = n_meetings;
    b->job->meeting_begin = begin;
    b->job->meeting_actors = actors;
    b->job->meeting_group = group;
    b->job->meeting_of = of;
    return FS_OK;
}

/* ---- resources --------------------------------------------------------------------------------------------------- */

static fs_status build_resources(fs_folding *b, fs_pattern_table *patterns, fs_err *err)
{
    uint32_t n_links = b->topo->n_links, n_actors = b->job->n_actors;
    uint32_t n = n_links + n_actors;
    double *capacity = fs_arena_alloc(b->arena, n, sizeof *capacity);
    uint32_t *link_of = fs_arena_alloc(b->arena, n_links, sizeof *link_of);
    uint32_t *link_count = fs_arena_alloc(b->arena, n_links, sizeof *link_count);
    uint32_t *sm_pattern = fs_arena_alloc(b->arena, n_actors, sizeof *sm_pattern);
    if (!capacity || !link_of || !link_count || !sm_pattern)
        return fs_fail_nomem(err);
    for (uint32_t l = 0; l < n_links; l++) {
        capacity[l] = fs_link_capacity(b->topo, l, b->cost);
        link_of[l] = l;
        link_count[l] = 1;
    }
    for (uint32_t a = 0; a < n_actors; a++) {
        capacity[n_links + a] = 1;
        fs_share pool = {.resource = n_links + a, .coefficient = 1};
        fs_status status = fs_pattern_add(patterns, &pool, 1, &sm_pattern[a], err);
        if (status != FS_OK)
            return status;
    }
    b->job->n_links = n_links;
    b->job->n_resources = n;
    b->job->capacity = capacity;
    b->job->sm_pattern = sm_pattern;
    b->job->link_of = link_of;
    b->job->link_count = link_count;
    return FS_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static fs_status build(fs_folding *b, fs_pattern_table *patterns, fs_err *err)
{
    b->program_actors = fs_zalloc(b->work->n_programs, sizeof *b->program_actors);
    if (!b->program_actors)
        return fs_fail_nomem(err);
    fs_status status = build_actors(b, err);
    if (status == FS_OK)
        status = build_durations(b, err);
    if (status == FS_OK)
        status = build_meetings(b, err);
    if (status == FS_OK)
        status = fs_fold_plans(b, err);
    if (status == FS_OK)
        status = build_resources(b, patterns, err);
    return status;
}

fs_status fs_fold(const fs_work *work, const fs_topo *topo, fs_lowering *lowering, fs_pattern_table *patterns,
                  fs_cost cost, fs_job **job, fs_err *err)
{
    fs_status status = check_placement(work, topo, err);
    if (status != FS_OK)
        return status;
    fs_arena *arena = fs_arena_new();
    fs_job *made = arena ? fs_arena_alloc(arena, 1, sizeof *made) : NULL;
    if (!made) {
        fs_arena_free(arena);
        return fs_fail_nomem(err);
    }
    *made = (fs_job){.work = work, .topo = topo, .arena = arena};
    fs_folding b = {.job = made, .work = work, .topo = topo, .lowering = lowering, .arena = arena, .cost = cost};
    status = build(&b, patterns, err);
    fs_free(b.program_actors);
    if (status == FS_OK)
        *job = made;
    else
        fs_arena_free(arena);
    return status;
}

void fs_job_free(fs_job *job)
{
    if (job)
        fs_arena_free(job->arena);
}

uint32_t fs_job_peer(const fs_job *job, uint32_t actor, const fs_op *op)
{
    return job->actor_of_rank[fs_work_peer(job->work, op->family, op->peer, job->actor_rank[actor])];
}
