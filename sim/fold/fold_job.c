/* fold_job.c - from classes to the job: actors, their ends, meetings, resources. Plans follow in fold_rows.c.
 *
 * Every class is described by its first member. Cost: O(ranks + groups + links), and for each class what its first
 * member has. */
#include "fold/folding.h"

/* First members and sizes of n classes. */
static void describe(const uint32_t *class_of, uint32_t n_members, uint32_t *first, uint32_t *count)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < n_members; i++) {
        if (class_of[i] == seen)
            first[seen++] = i;
        count[class_of[i]]++;
    }
}

static fs_status build_actors(fs_folding *f, fs_err *err)
{
    const fs_work *work = f->work;
    uint32_t n = f->classes.n_ranks, n_ranks = work->n_ranks;
    uint32_t *rank_of = fs_arena_alloc(f->arena, n, sizeof *rank_of);
    uint32_t *of_rank = fs_arena_alloc(f->arena, n_ranks, sizeof *of_rank);
    uint32_t *program = fs_arena_alloc(f->arena, n, sizeof *program);
    uint32_t *index = fs_arena_alloc(f->arena, n, sizeof *index);
    uint32_t *count = fs_arena_alloc(f->arena, n, sizeof *count);
    uint32_t *numbering = fs_arena_alloc(f->arena, n, sizeof *numbering);
    const double **duration = fs_arena_alloc(f->arena, n, sizeof *duration);
    uint32_t *in_program = fs_arena_alloc(f->own, work->n_programs, sizeof *in_program);
    if (!rank_of || !of_rank || !program || !index || !count || !numbering || !duration || !in_program)
        return fs_fail_nomem(err);
    describe(f->classes.rank, n_ranks, rank_of, count);
    for (uint32_t rank = 0; rank < n_ranks; rank++)
        of_rank[rank] = f->classes.rank[rank];
    for (uint32_t a = 0; a < n; a++) {
        program[a] = work->program_of[rank_of[a]];
        index[a] = in_program[program[a]]++;
        numbering[a] = f->numbering[rank_of[a]];
        duration[a] = f->timings[f->timing_of[rank_of[a]]];
    }
    f->job->n_actors = n;
    f->job->actor_rank = rank_of;
    f->job->actor_of_rank = of_rank;
    f->job->actor_program = program;
    f->job->actor_index = index;
    f->job->actor_count = count;
    f->job->actor_numbering = numbering;
    f->job->duration_s = duration;
    return FS_OK;
}

static fs_status build_ends(fs_folding *f, fs_err *err)
{
    const fs_job *job = f->job;
    const fs_end **ends = fs_arena_alloc(f->arena, job->n_actors, sizeof *ends);
    if (!ends)
        return fs_fail_nomem(err);
    for (uint32_t a = 0; a < job->n_actors; a++) {
        uint32_t n = f->form_count[job->actor_program[a]];
        const fs_end *of_rank = f->ends + f->form_begin[job->actor_rank[a]];
        fs_end *own = fs_arena_alloc(f->arena, n, sizeof *own);
        if (!own)
            return fs_fail_nomem(err);
        for (uint32_t i = 0; i < n; i++)
            own[i] = (fs_end){of_rank[i].slot, job->actor_of_rank[of_rank[i].peer], of_rank[i].peer_slot};
        ends[a] = own;
    }
    f->job->actor_ends = ends;
    return FS_OK;
}

/* ---- meetings ---------------------------------------------------------------------------------------------------- */

/* The distinct actors of each meeting's first group. */
static fs_status gather_actors(fs_folding *f, const uint32_t *met_of, uint32_t *begin, fs_err *err)
{
    const fs_job *job = f->job;
    uint64_t n_members = 0;
    uint32_t *last = fs_arena_alloc(f->own, job->n_actors, sizeof *last), n = 0;
    for (uint32_t m = 0; m < job->n_meetings; m++) {
        const fs_met *met = &f->mets[met_of[m]];
        n_members += fs_family_size(&f->work->families[met->family], met->group);
    }
    uint32_t *actors = n_members < FS_NONE ? fs_arena_alloc(f->arena, n_members, sizeof *actors) : NULL;
    if (!last || !actors)
        return fs_fail_nomem(err);
    for (uint32_t m = 0; m < job->n_meetings; m++) {
        const fs_family *family = &f->work->families[f->mets[met_of[m]].family];
        uint32_t group = f->mets[met_of[m]].group, size = fs_family_size(family, group);
        begin[m] = n;
        for (uint32_t i = 0; i < size; i++) {
            uint32_t actor = job->actor_of_rank[fs_family_member(family, group, i)];
            if (last[actor] != m + 1)
                actors[n++] = actor;
            last[actor] = m + 1;
        }
    }
    begin[job->n_meetings] = n;
    f->job->meeting_begin = begin;
    f->job->meeting_actors = actors;
    return FS_OK;
}

static fs_status build_meetings(fs_folding *f, fs_err *err)
{
    fs_job *job = f->job;
    uint32_t n = f->classes.n_mets, n_families = f->work->n_families;
    uint32_t *met_of = fs_arena_alloc(f->own, n, sizeof *met_of);
    uint32_t *begin = fs_arena_alloc(f->arena, (size_t)n + 1, sizeof *begin);
    uint32_t *group = fs_arena_alloc(f->arena, n, sizeof *group);
    uint32_t *count = fs_arena_alloc(f->arena, n, sizeof *count);
    uint32_t *of = fs_arena_alloc(f->arena, (size_t)n_families * job->n_actors, sizeof *of);
    uint32_t *of_family = fs_arena_alloc(f->arena, (size_t)n_families + 1, sizeof *of_family);
    if (!met_of || !begin || !group || !count || !of || !of_family)
        return fs_fail_nomem(err);
    describe(f->classes.met, f->n_mets, met_of, count);
    for (uint32_t m = 0; m < n; m++) {
        group[m] = f->mets[met_of[m]].group;
        of_family[f->mets[met_of[m]].family + 1]++;
    }
    for (uint32_t family = 0; family < n_families; family++) {
        of_family[family + 1] += of_family[family];
        for (uint32_t a = 0; a < job->n_actors; a++) {
            uint32_t g = fs_family_group_of(&f->work->families[family], job->actor_rank[a]);
            uint32_t met = g == FS_NONE ? FS_NONE : f->met_of[f->met_begin[family] + g];
            of[(size_t)family * job->n_actors + a] = met == FS_NONE ? FS_NONE : f->classes.met[met];
        }
    }
    job->n_meetings = n;
    job->family_meetings = of_family;
    job->meeting_group = group;
    job->meeting_count = count;
    job->meeting_of = of;
    return gather_actors(f, met_of, begin, err);
}

/* ---- resources --------------------------------------------------------------------------------------------------- */

static fs_status build_resources(fs_folding *f, fs_err *err)
{
    fs_job *job = f->job;
    uint32_t n_links = f->classes.n_links, n = n_links + job->n_actors;
    uint32_t n_epochs = f->topo->n_epochs;
    double *capacity = fs_arena_alloc(f->arena, n, sizeof *capacity);
    double *capacity_at = fs_arena_alloc(f->arena, (size_t)n_epochs * n, sizeof *capacity_at);
    uint32_t *link_of = fs_arena_alloc(f->arena, n_links, sizeof *link_of);
    uint32_t *link_count = fs_arena_alloc(f->arena, n_links, sizeof *link_count);
    uint32_t *of_link = fs_arena_alloc(f->arena, f->topo->n_links, sizeof *of_link);
    if (!capacity || !capacity_at || !link_of || !link_count || !of_link)
        return fs_fail_nomem(err);
    describe(f->classes.link, f->topo->n_links, link_of, link_count);
    for (uint32_t l = 0; l < f->topo->n_links; l++)
        of_link[l] = f->classes.link[l];
    for (uint32_t l = 0; l < n_links; l++)
        capacity[l] = fs_link_capacity(f->topo, link_of[l], f->cost);
    for (uint32_t a = 0; a < job->n_actors; a++)
        capacity[n_links + a] = 1;
    for (uint32_t e = 0; e < n_epochs; e++) {
        double *row = capacity_at + (size_t)e * n;
        for (uint32_t l = 0; l < n_links; l++)
            row[l] = capacity[l] * fs_topo_link_factor(f->topo, link_of[l], e);
        for (uint32_t a = 0; a < job->n_actors; a++)
            row[n_links + a] = fs_topo_gpu_factor(f->topo, f->work->gpu_of[job->actor_rank[a]], e);
    }
    job->n_epochs = n_epochs;
    job->epoch_start_s = f->topo->epoch_start_s;
    job->n_links = n_links;
    job->n_resources = n;
    job->capacity = capacity;
    job->capacity_at = capacity_at;
    job->link_of = link_of;
    job->link_count = link_count;
    job->resource_of_link = of_link;
    return FS_OK;
}

fs_status fs_fold_job(fs_folding *f, fs_err *err)
{
    fs_status status = build_actors(f, err);
    if (status == FS_OK)
        status = build_ends(f, err);
    if (status == FS_OK)
        status = build_meetings(f, err);
    if (status == FS_OK)
        status = build_resources(f, err);
    return status;
}
