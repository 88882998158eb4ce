/* fold.c - see fold.h: the stages of folding in their order. Cost: O(ops + ranks x families + plans), a lowering per
 * plan, and a refinement (refine.h) over the links that plans cross. */
#include "fold/folding.h"

#include <string.h>

const char *const fs_fold_names[FS_FOLDS] = {"auto", "off"};

static fs_status number_ranks(fs_folding *f, fs_err *err)
{
    f->program_ranks = fs_arena_alloc(f->own, f->work->n_programs, sizeof *f->program_ranks);
    f->index_in_program = fs_arena_alloc(f->own, f->work->n_ranks, sizeof *f->index_in_program);
    if (!f->program_ranks || !f->index_in_program)
        return fs_fail_nomem(err);
    for (uint32_t rank = 0; rank < f->work->n_ranks; rank++)
        f->index_in_program[rank] = f->program_ranks[f->work->program_of[rank]]++;
    return FS_OK;
}

static fs_status build(fs_folding *f, fs_fold_mode mode, fs_err *err)
{
    fs_status status = number_ranks(f, err);
    if (status == FS_OK)
        status = fs_fold_times(f, err);
    if (status == FS_OK)
        status = fs_fold_slots(f, err);
    if (status == FS_OK)
        status = fs_fold_plans(f, err);
    if (status == FS_OK)
        status = mode == FS_FOLD_OFF ? fs_fold_alone(f, err) : fs_fold_colour(f, err);
    if (status == FS_OK)
        status = fs_fold_job(f, err);
    if (status == FS_OK)
        status = fs_fold_rows(f, err);
    return status;
}

fs_status fs_fold(const fs_work *work, const fs_topo *topo, fs_lowering *lowering, fs_pattern_table *patterns,
                  fs_cost cost, fs_fold_mode mode, fs_job **job, fs_err *err)
{
    fs_status status = fs_work_check_placement(work, topo, err);
    if (status != FS_OK)
        return status;
    fs_arena *arena = fs_arena_new(), *own = fs_arena_new();
    fs_job *made = arena && own ? fs_arena_alloc(arena, 1, sizeof *made) : NULL;
    if (!made) {
        fs_arena_free(arena);
        fs_arena_free(own);
        return fs_fail_nomem(err);
    }
    *made = (fs_job){.work = work, .topo = topo, .arena = arena};
    fs_folding f = {.job = made,
                    .work = work,
                    .topo = topo,
                    .lowering = lowering,
                    .patterns = patterns,
                    .arena = arena,
                    .own = own,
                    .cost = cost};
    status = build(&f, mode, err);
    fs_arena_free(own);
    if (status == FS_OK)
        *job = made;
    else
        fs_job_free(made);
    return status;
}

void fs_job_free(fs_job *job)
{
    if (!job)
        return;
    fs_pattern_table_free(job->own_patterns);
    fs_arena_free(job->arena);
}
