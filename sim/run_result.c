/* run_result.c - from what was noted down to the result's tables. See run_watch.h, result.h.
 *
 * Plans become rows of communication: what differs only in its root, or in which group it was, is one row. Its count is
 * per rank: of the group (or the sender) that did it most often. Rows follow the order in which the trace first names
 * them. All sorts have a total order, so results do not depend on the library's qsort. */
#include "run_watch.h"

#include "base/mem.h"
#include "run_links.h"
#include "topo/bundle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- where the time went ----------------------------------------------------------------------------------------- */

/* Which categories the work has ops of: the others get no row. */
static void mark_used(const fs_watch *w, bool *used)
{
    used[FS_CATEGORY_COMPUTE] = used[w->idle] = true;
    for (uint32_t p = 0; p < w->job->work->n_programs; p++) {
        const fs_program *program = &w->job->work->programs[p];
        for (uint32_t i = 0; i < program->n_ops; i++) {
            const fs_op *op = &program->ops[i];
            switch ((fs_op_kind)op->kind) {
            case FS_OP_COMPUTE:
                used[op->phase == FS_PHASE_OPTIMIZER ? FS_CATEGORY_OPTIMIZER : FS_CATEGORY_COMPUTE] = true;
                break;
            case FS_OP_COLLECTIVE: used[FS_CATEGORY_FAMILIES + op->family] = true; break;
            case FS_OP_DELAY: used[w->delay] = true; break;
            case FS_OP_SEND:
            case FS_OP_RECV: used[w->p2p] = used[w->bubble] = true; break;
            }
        }
    }
}

static const char *category_name(const fs_watch *w, uint32_t category, fs_arena *arena)
{
    static const char prefix[] = "exposed ";
    if (category == FS_CATEGORY_COMPUTE)
        return "compute";
    if (category == FS_CATEGORY_OPTIMIZER)
        return "optimizer";
    if (category == w->p2p)
        return "exposed p2p";
    if (category == w->delay)
        return "delay";
    if (category == w->bubble)
        return "bubble";
    if (category == w->idle)
        return "idle";
    const char *family = w->job->work->families[category - FS_CATEGORY_FAMILIES].name;
    char *name = fs_arena_alloc(arena, sizeof prefix + strlen(family), 1);
    if (name) {
        memcpy(name, prefix, sizeof prefix - 1);
        memcpy(name + sizeof prefix - 1, family, strlen(family));
    }
    return name;
}

static fs_status fill_breakdown(fs_watch *w, fs_result *r, fs_err *err)
{
    bool *used = fs_zalloc((size_t)w->idle + 1, sizeof *used);
    fs_breakdown_row *rows = fs_arena_alloc(r->arena, (size_t)w->idle + 1, sizeof *rows);
    fs_status status = used && rows ? FS_OK : fs_fail_nomem(err);
    if (status == FS_OK)
        mark_used(w, used);
    uint32_t n = 0;
    for (uint32_t c = 0; status == FS_OK && c <= w->idle; c++) {
        if (!used[c])
            continue;
        fs_breakdown_row *row = &rows[n++];
        row->name = category_name(w, c, r->arena);
        if (!row->name)
            status = fs_fail_nomem(err);
        for (uint32_t a = 0; a < w->job->n_actors; a++) {
            double seconds = fs_metric_seconds(w->metric, a, c);
            row->seconds += seconds * w->job->actor_count[a] / (double)r->ranks;
            if (seconds > row->max_s || a == 0) {
                row->max_s = seconds;
                row->max_rank = w->job->actor_rank[a];
            }
        }
    }
    fs_free(used);
    r->breakdown = rows;
    r->n_breakdown = n;
    return status;
}

/* ---- communication ----------------------------------------------------------------------------------------------- */

/* A plan that has run. `row` says what it is; plans with equal rows become one. */
typedef struct ran {
    fs_comm_row row;
    uint32_t family, kind;
    uint64_t group;     /* the group of its family, or the sender */
    uint32_t signature; /* order of first appearance */
    uint32_t owners;    /* groups or senders that it stands for */
    double seconds;     /* of all its runs, for one of them */
} ran;

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_rows(const ran *a, const ran *b)
{
    int order = compare(a->family, b->family);
    if (!order)
        order = compare(a->kind, b->kind);
    if (!order && a->row.size_bytes != b->row.size_bytes)
        order = a->row.size_bytes < b->row.size_bytes ? -1 : 1;
    if (!order)
        order = compare(a->row.ranks, b->row.ranks);
    if (!order)
        order = compare((uint64_t)a->row.algo, (uint64_t)b->row.algo);
    if (!order)
        order = compare((uint64_t)a->row.proto, (uint64_t)b->row.proto);
    return order ? order : compare(a->row.channels, b->row.channels);
}

static int by_row(const void *left, const void *right)
{
    const ran *a = left, *b = right;
    int order = compare_rows(a, b);
    if (!order)
        order = compare(a->group, b->group);
    return order ? order : compare(a->signature, b->signature);
}

static int by_appearance(const void *left, const void *right)
{
    const ran *a = left, *b = right;
    int order = compare(a->signature, b->signature);
    return order ? order : compare_rows(a, b);
}

/* Of each signature one op and its program. */
static void find_ops(const fs_job *job, const fs_op **op_of, uint32_t *program_of)
{
    for (uint32_t p = 0; p < job->work->n_programs; p++) {
        for (uint32_t i = 0; i < job->work->programs[p].n_ops; i++) {
            uint32_t signature = job->op_signature[p][i];
            if (signature == FS_NONE || op_of[signature])
                continue;
            op_of[signature] = &job->work->programs[p].ops[i];
            program_of[signature] = p;
        }
    }
}

static ran describe(const fs_watch *w, const fs_op *op, uint32_t program, uint32_t signature, uint32_t plan)
{
    const fs_job *job = w->job;
    const fs_plan *made = job->plans[plan];
    uint32_t place = plan - job->plan_begin[signature]; /* of the meeting or of the sender */
    ran one = {
        .family = op->family, .signature = signature, .owners = job->plan_owners[plan], .seconds = w->plan_s[plan]};
    one.row = (fs_comm_row){.family = "p2p",
                            .size_bytes = op->size_bytes,
                            .ranks = 2,
                            .count = w->plan_count[plan],
                            .algo = made->algo,
                            .proto = made->proto,
                            .channels = made->channels};
    one.kind = op->kind == FS_OP_SEND ? FS_SENDRECV : op->coll;
    one.group = op->kind == FS_OP_SEND ? (uint64_t)program << 32 | place : place;
    one.row.what = fs_coll_names[one.kind];
    if (op->family != FS_NONE) {
        const fs_family *family = &job->work->families[op->family];
        one.row.family = family->name;
        if (op->kind != FS_OP_SEND)
            one.row.ranks = fs_family_size(family, job->meeting_group[job->family_meetings[op->family] + place]);
    }
    return one;
}

/* Merge equal rows, in place; plans are sorted by_row. Returns how many are left. */
static uint32_t merge(ran *plans, uint32_t n)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < n;) {
        ran row = plans[i];
        uint64_t runs = 0, most = 0;
        double seconds = 0;
        while (i < n && compare_rows(&row, &plans[i]) == 0) {
            uint64_t of_group = 0, group = plans[i].group;
            for (; i < n && compare_rows(&row, &plans[i]) == 0 && plans[i].group == group; i++) {
                of_group += plans[i].row.count;
                runs += plans[i].row.count * plans[i].owners;
                seconds += plans[i].seconds * plans[i].owners;
                row.signature = plans[i].signature < row.signature ? plans[i].signature : row.signature;
            }
            most = of_group > most ? of_group : most;
        }
        row.row.count = most;
        row.row.mean_s = seconds / (double)runs;
        plans[rows++] = row;
    }
    return rows;
}

static fs_status gather(const fs_watch *w, const fs_op **op_of, uint32_t *program_of, ran *plans, fs_result *r,
                        fs_err *err)
{
    const fs_job *job = w->job;
    uint32_t n = 0;
    find_ops(job, op_of, program_of);
    for (uint32_t s = 0; s < job->n_signatures; s++)
        for (uint32_t plan = job->plan_begin[s]; plan < job->plan_begin[s + 1]; plan++)
            if (w->plan_count[plan] > 0)
                plans[n++] = describe(w, op_of[s], program_of[s], s, plan);
    qsort(plans, n, sizeof *plans, by_row);
    n = merge(plans, n);
    qsort(plans, n, sizeof *plans, by_appearance);
    r->comms = fs_arena_alloc(r->arena, n, sizeof *r->comms);
    if (!r->comms)
        return fs_fail_nomem(err);
    r->n_comms = n;
    for (uint32_t i = 0; i < n; i++) {
        fs_comm_row *row = &r->comms[i];
        *row = plans[i].row;
        row->algbw_Bps = row->mean_s > 0 ? row->size_bytes / row->mean_s : 0;
        row->busbw_Bps = row->algbw_Bps * fs_busbw_factor((fs_coll_kind)plans[i].kind, row->ranks);
    }
    return FS_OK;
}

static fs_status fill_comms(const fs_watch *w, fs_result *r, fs_err *err)
{
    const fs_job *job = w->job;
    const fs_op **op_of = fs_zalloc(job->n_signatures, sizeof *op_of);
    uint32_t *program_of = fs_zalloc(job->n_signatures, sizeof *program_of);
    ran *plans = fs_alloc(job->plan_begin[job->n_signatures], sizeof *plans);
    fs_status status = op_of && program_of && plans ? gather(w, op_of, program_of, plans, r, err) : fs_fail_nomem(err);
    fs_free(op_of);
    fs_free(program_of);
    fs_free(plans);
    return status;
}

/* ---- links ------------------------------------------------------------------------------------------------------- */

static fs_run_links links_of(const fs_watch *w)
{
    const fs_job *job = w->job;
    return (fs_run_links){.topo = job->topo,
                          .n = job->n_links,
                          .link_of = job->link_of,
                          .link_count = job->link_count,
                          .capacity = job->capacity,
                          .tier_of = w->tier_of,
                          .tier_links = w->tier_links,
                          .tier_Bps = w->tier_Bps,
                          .resource_of_link = job->resource_of_link,
                          .metric = w->metric};
}

static fs_status fill_links(const fs_watch *w, const fs_engine *engine, fs_result *r, fs_err *err)
{
    const fs_run_links links = links_of(w);
    return fs_run_fill_links(&links, engine, r, err);
}

static fs_status fill_pictures(const fs_watch *w, const fs_engine *engine, fs_result *r, fs_err *err)
{
    const fs_run_links links = links_of(w);
    return fs_run_fill_pictures(&links, engine, r, err);
}

/* ---- rates ------------------------------------------------------------------------------------------------------- */

static void fill_rates(const fs_job *job, fs_result *r)
{
    const fs_totals *totals = &job->work->totals;
    double peak = 0, memory = 0;
    bool all_peaks = true;
    for (uint32_t rank = 0; rank < job->work->n_ranks; rank++) {
        const fs_part *part = fs_topo_gpu_part(job->topo, job->work->gpu_of[rank]);
        peak += part->peak_flops[totals->dtype];
        all_peaks = all_peaks && part->peak_flops[totals->dtype] > 0;
        if (rank == 0 || part->mem_bytes < memory)
            memory = part->mem_bytes;
    }
    r->gpu_mem_bytes = memory;
    if (!(r->step_time_s > 0))
        return;
    r->tflops_per_gpu = totals->hardware_flops / r->step_time_s / (double)r->ranks * 1e-12;
    r->mfu = all_peaks ? totals->model_flops / r->step_time_s / peak : 0;
    r->hfu = all_peaks ? totals->hardware_flops / r->step_time_s / peak : 0;
    r->tokens_per_s = totals->tokens / r->step_time_s;
    r->tokens_per_s_per_gpu = r->tokens_per_s / (double)r->ranks;
}

static uint64_t count_ops(const fs_job *job)
{
    uint64_t ops = 0;
    for (uint32_t a = 0; a < job->n_actors; a++)
        ops += (uint64_t)job->work->programs[job->actor_program[a]].n_ops * job->actor_count[a];
    return ops;
}

fs_status fs_watch_result(fs_watch *watch, const fs_topo *whole, const fs_engine *engine, double step_s,
                          fs_result *result, fs_err *err)
{
    const fs_job *job = watch->job;
    fs_result r = {.topo = whole,
                   .work = job->work,
                   .step_time_s = step_s,
                   .ranks = job->work->n_ranks,
                   .rank_classes = job->n_actors,
                   .link_classes = job->n_links,
                   .transfers = job->n_transfers,
                   .transfer_classes = job->n_transfer_classes};
    r.arena = fs_arena_new();
    if (!r.arena)
        return fs_fail_nomem(err);
    r.ops = count_ops(job);
    r.counters = fs_engine_count(engine);
    fs_metric_finish(watch->metric, step_s);
    fill_rates(job, &r);
    fs_status status = fill_breakdown(watch, &r, err);
    if (status == FS_OK)
        status = fill_links(watch, engine, &r, err);
    if (status == FS_OK)
        status = fill_comms(watch, &r, err);
    if (status == FS_OK && watch->spans) {
        r.pictures.spans = watch->spans;
        watch->spans = NULL;
        status = fill_pictures(watch, engine, &r, err);
    }
    if (status == FS_OK)
        *result = r;
    else
        fs_result_free(&r);
    return status;
}
