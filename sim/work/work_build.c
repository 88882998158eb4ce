/* work_build.c - see work_build.h.
 *
 * Everything that survives goes into one arena from the start, which the frozen work takes over: freezing copies no
 * op. A program's arrays grow by doubling inside the arena; fs_work_reserve avoids what that leaves behind.
 * Cost: O(1) per call apart from the lengths given. */
#include "work/work_builder.h"

#include "base/rng.h"
#include "work/work_check.h"

#include <math.h>
#include <string.h>

enum { FIRST_OPS = 16 };
/* 2^31 - 1 ops in a program, so that op numbers and their doubles fit into uint32_t. */
#define OPS_MAX ((uint32_t)INT32_MAX)

fs_work_builder *fs_work_builder_new(const char *name, const char *kind, const char *path)
{
    fs_work_builder *b = fs_zalloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    b->arena = fs_arena_new();
    if (b->arena) {
        b->name = fs_arena_strdup(b->arena, name);
        b->kind = fs_arena_strdup(b->arena, kind);
        b->path = fs_arena_strdup(b->arena, path);
        b->note = "";
        b->kernel_efficiency = 1;
    }
    if (b->arena && b->name && b->kind && b->path)
        return b;
    fs_work_builder_free(b);
    return NULL;
}

void fs_work_builder_free(fs_work_builder *b)
{
    if (b == NULL)
        return;
    fs_free(b->streams.names.data);
    fs_index_free(&b->streams.index);
    fs_free(b->labels.names.data);
    fs_index_free(&b->labels.index);
    fs_free(b->families.data);
    fs_free(b->lists.data);
    fs_index_free(&b->list_index);
    fs_free(b->loads.data);
    fs_index_free(&b->load_index);
    fs_free(b->programs.data);
    fs_free(b->measured.data);
    fs_arena_free(b->arena);
    fs_free(b);
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *name)
{
    return fs_hash_bytes(FS_HASH_START, name, strlen(name));
}

static uint32_t find_name(const fs_interned *table, const char *name, uint64_t hash)
{
    fs_index_probe probe = fs_index_search(&table->index, hash);
    uint32_t id = fs_index_next(&probe);
    while (id != FS_NONE && strcmp(table->names.data[id], name) != 0)
        id = fs_index_next(&probe);
    return id;
}

static fs_status intern(fs_work_builder *b, fs_interned *table, const char *name, uint32_t *id, fs_err *err)
{
    uint64_t hash = hash_of(name);
    uint32_t known = find_name(table, name, hash);
    if (known == FS_NONE) {
        const char *copy = fs_arena_strdup(b->arena, name);
        if (copy == NULL || FS_PUSH(&table->names, copy) == NULL)
            return fs_fail_nomem(err);
        known = table->names.count - 1;
        if (!fs_index_add(&table->index, hash, known)) {
            table->names.count--;
            return fs_fail_nomem(err);
        }
    }
    *id = known;
    return FS_OK;
}

fs_status fs_work_stream(fs_work_builder *b, const char *name, uint16_t *stream, fs_err *err)
{
    uint32_t id = 0;
    if (b->streams.names.count == FS_STREAMS_MAX && find_name(&b->streams, name, hash_of(name)) == FS_NONE)
        return FS_BAD_WORK(b, err, "more than %d streams", FS_STREAMS_MAX);
    fs_status status = intern(b, &b->streams, name, &id, err);
    if (status == FS_OK)
        *stream = (uint16_t)id;
    return status;
}

fs_status fs_work_name(fs_work_builder *b, const char *name, uint32_t *id, fs_err *err)
{
    return intern(b, &b->labels, name, id, err);
}

/* ---- ranks and families --------------------------------------------------------------------------------------- */

fs_status fs_work_set_ranks(fs_work_builder *b, uint32_t n_ranks, fs_err *err)
{
    if (b->n_ranks != 0)
        return FS_BAD_WORK(b, err, "the number of ranks is set twice");
    if (n_ranks < 1 || n_ranks > FS_RANKS_MAX)
        return FS_BAD_WORK(b, err, "%u ranks, expected 1 to %d", n_ranks, FS_RANKS_MAX);
    uint32_t *gpu_of = fs_arena_alloc(b->arena, n_ranks, sizeof *gpu_of);
    uint32_t *program_of = fs_arena_alloc(b->arena, n_ranks, sizeof *program_of);
    if (gpu_of == NULL || program_of == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n_ranks; i++) {
        gpu_of[i] = i;
        program_of[i] = FS_NONE;
    }
    b->gpu_of = gpu_of;
    b->program_of = program_of;
    b->n_ranks = n_ranks;
    uint32_t world;
    return fs_work_family_strided(b, "world", n_ranks, 1, &world, err);
}

fs_status fs_work_place(fs_work_builder *b, uint32_t rank, uint32_t gpu, fs_err *err)
{
    if (rank >= b->n_ranks)
        return FS_BAD_WORK(b, err, "rank %u is placed, but there are %u ranks", rank, b->n_ranks);
    if (gpu >= FS_RANKS_MAX)
        return FS_BAD_WORK(b, err, "GPU number %u, expected 0 to %d", gpu, FS_RANKS_MAX - 1);
    b->gpu_of[rank] = gpu;
    return FS_OK;
}

/* ---- programs ------------------------------------------------------------------------------------------------- */

fs_status fs_work_program(fs_work_builder *b, const char *name, uint32_t *program, fs_err *err)
{
    fs_draft p = {.name = fs_arena_strdup(b->arena, name)};
    if (b->programs.count > FS_RANKS_MAX)
        return FS_BAD_WORK(b, err, "more than %d programs", FS_RANKS_MAX);
    if (p.name == NULL || FS_PUSH(&b->programs, p) == NULL)
        return fs_fail_nomem(err);
    *program = b->programs.count - 1;
    return FS_OK;
}

static bool grow(fs_arena *arena, void *data, uint32_t count, size_t size, uint32_t wanted, void **grown)
{
    *grown = fs_arena_alloc(arena, wanted, size);
    if (*grown && count > 0)
        memcpy(*grown, data, count * size);
    return *grown != NULL;
}

static bool grow_ops(fs_arena *arena, fs_draft *p, uint32_t capacity)
{
    void *ops, *begin;
    if (!grow(arena, p->ops, p->n_ops, sizeof *p->ops, capacity, &ops) ||
        !grow(arena, p->dep_begin, p->dep_begin ? p->n_ops + 1 : 0, sizeof *p->dep_begin, capacity + 1, &begin))
        return false;
    p->ops = ops;
    p->dep_begin = begin;
    p->op_capacity = capacity;
    return true;
}

static bool grow_deps(fs_arena *arena, fs_draft *p, uint32_t capacity)
{
    void *deps;
    if (!grow(arena, p->deps, p->n_deps, sizeof *p->deps, capacity, &deps))
        return false;
    p->deps = deps;
    p->dep_capacity = capacity;
    return true;
}

fs_status fs_work_reserve(fs_work_builder *b, uint32_t program, uint32_t n_ops, fs_err *err)
{
    fs_draft *p = &b->programs.data[program];
    if (n_ops > OPS_MAX)
        return FS_BAD_WORK(b, err, "more than %u ops in a program", OPS_MAX);
    return n_ops <= p->op_capacity || grow_ops(b->arena, p, n_ops) ? FS_OK : fs_fail_nomem(err);
}

fs_op fs_op_default(fs_op_kind kind)
{
    return (fs_op){.kind = (uint8_t)kind,
                   .coll = kind == FS_OP_COLLECTIVE ? FS_ALL_REDUCE : FS_SENDRECV,
                   .dtype = FS_FP16,
                   .family = FS_NONE,
                   .name = FS_NONE,
                   .kernels = FS_NONE,
                   .load = FS_NONE,
                   .duration_s = kind == FS_OP_COMPUTE ? -1 : 0};
}

const char *fs_op_label(const fs_op *op)
{
    switch ((fs_op_kind)op->kind) {
    case FS_OP_COMPUTE: return "compute";
    case FS_OP_DELAY: return "delay";
    case FS_OP_SEND: return "send";
    case FS_OP_RECV: return "recv";
    case FS_OP_COLLECTIVE: break;
    }
    return fs_coll_names[op->coll];
}

static bool amount(double x)
{
    return isfinite(x) && x >= 0;
}

/* What no later stage could bear, whoever made the op; the readers have finer limits with better messages. */
static fs_status check_op(const fs_work_builder *b, const fs_op *op, fs_err *err)
{
    const char *wrong = NULL;
    if (op->kind > FS_OP_RECV || op->coll >= FS_COLL_KINDS || op->algo >= FS_ALGOS || op->proto >= FS_PROTOS ||
        op->dtype >= FS_DTYPES || op->phase >= FS_PHASES || (op->kind == FS_OP_COLLECTIVE && op->coll == FS_SENDRECV))
        wrong = "an unknown kind";
    else if (op->stream >= b->streams.names.count || op->name >= b->labels.names.count)
        wrong = "an unknown stream or name";
    else if (op->family != FS_NONE ? op->family >= b->families.count : op->kind == FS_OP_COLLECTIVE)
        wrong = "an unknown group";
    else if (op->family == FS_NONE && op->kind >= FS_OP_SEND && (op->peer < 0 || (uint32_t)op->peer >= b->n_ranks))
        wrong = "a peer that is no rank";
    else if (!amount(op->flops) || !amount(op->bytes) || !amount(op->size_bytes) || !isfinite(op->duration_s) ||
             (op->kind == FS_OP_DELAY && op->duration_s < 0))
        wrong = "an amount that is negative or not finite";
    else if (!(op->sm_share >= 0 && op->sm_share < 1))
        wrong = "an SM share outside [0, 1)";
    else if (op->kernels != FS_NONE && (op->kernels >= b->lists.count || op->kind != FS_OP_COMPUTE))
        wrong = "an unknown list of kernels";
    else if (op->load != FS_NONE &&
             (op->load >= b->loads.count || op->kind != FS_OP_COLLECTIVE || op->coll != FS_ALL_TO_ALL))
        wrong = "an unknown load";
    if (wrong == NULL && op->load != FS_NONE && b->families.data[op->family].common_size != b->loads.data[op->load].n)
        return fs_fail_at(err, FS_E_TRACE, b->path, op->line, op->column,
                          "the load has %u shares, but not every group of '%.100s' has %u ranks",
                          b->loads.data[op->load].n, b->families.data[op->family].name, b->loads.data[op->load].n);
    return wrong ? fs_fail_at(err, FS_E_TRACE, b->path, op->line, op->column, "the op has %s", wrong) : FS_OK;
}

fs_status fs_work_op(fs_work_builder *b, uint32_t program, const fs_op *op, const uint32_t *deps, uint32_t n_deps,
                     uint32_t *index, fs_err *err)
{
    fs_op kept = *op;
    fs_status status = FS_OK;
    if (program >= b->programs.count)
        return FS_BAD_WORK(b, err, "an op for program %u of %u", program, b->programs.count);
    if (kept.stream == 0 && b->streams.names.count == 0)
        status = fs_work_stream(b, "main", &kept.stream, err);
    if (status == FS_OK && kept.name == FS_NONE && kept.coll < FS_COLL_KINDS)
        status = fs_work_name(b, fs_op_label(&kept), &kept.name, err);
    if (status == FS_OK)
        status = check_op(b, &kept, err);
    if (status != FS_OK)
        return status;
    if (kept.kind == FS_OP_COMPUTE && kept.kernels == FS_NONE && kept.duration_s < 0 && b->measured.count > 0) {
        double seconds = fs_work_measured_s(b, kept.name);
        kept.duration_s = seconds > 0 ? seconds : kept.duration_s;
    }
    fs_draft *p = &b->programs.data[program];
    if (p->n_ops == OPS_MAX || n_deps > OPS_MAX - p->n_deps)
        return FS_BAD_WORK(b, err, "more than %u ops or dependencies in a program", OPS_MAX);
    if (p->n_ops == p->op_capacity && !grow_ops(b->arena, p, p->n_ops ? 2 * p->n_ops : FIRST_OPS))
        return fs_fail_nomem(err);
    if (n_deps > p->dep_capacity - p->n_deps && !grow_deps(b->arena, p, 2 * (p->n_deps + n_deps)))
        return fs_fail_nomem(err);
    if (n_deps > 0)
        memcpy(p->deps + p->n_deps, deps, n_deps * sizeof *deps);
    p->n_deps += n_deps;
    p->ops[p->n_ops++] = kept;
    p->dep_begin[p->n_ops] = p->n_deps;
    if (index)
        *index = p->n_ops - 1;
    return FS_OK;
}

fs_status fs_work_assign(fs_work_builder *b, uint32_t rank, uint32_t program, fs_err *err)
{
    if (rank >= b->n_ranks || program >= b->programs.count)
        return FS_BAD_WORK(b, err, "program %u on rank %u, but there are %u programs and %u ranks", program, rank,
                           b->programs.count, b->n_ranks);
    if (b->program_of[rank] != FS_NONE)
        return FS_BAD_WORK(b, err, "rank %u has two programs, '%s' and '%s'", rank,
                           b->programs.data[b->program_of[rank]].name, b->programs.data[program].name);
    b->program_of[rank] = program;
    b->programs.data[program].n_ranks++;
    return FS_OK;
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

void fs_work_set_kernel_efficiency(fs_work_builder *b, double efficiency)
{
    b->kernel_efficiency = efficiency;
}

void fs_work_set_totals(fs_work_builder *b, const fs_totals *totals)
{
    b->totals = *totals;
}

void fs_work_set_nccl(fs_work_builder *b, fs_nccl_use nccl)
{
    b->nccl = nccl;
}

fs_status fs_work_set_faults(fs_work_builder *b, const fs_fault *faults, uint32_t n, fs_err *err)
{
    b->faults = fs_faults_copy(b->arena, faults, n);
    b->n_faults = b->faults ? n : 0;
    return b->faults ? FS_OK : fs_fail_nomem(err);
}

fs_status fs_work_set_note(fs_work_builder *b, const char *note, fs_err *err)
{
    const char *copy = fs_arena_strdup(b->arena, note);
    if (copy == NULL)
        return fs_fail_nomem(err);
    b->note = copy;
    return FS_OK;
}

void fs_work_set_inference(fs_work_builder *b, const struct fs_inference *inference)
{
    b->inference = inference;
}

fs_arena *fs_work_arena(fs_work_builder *b)
{
    return b->arena;
}

void fs_work_set_hash(fs_work_builder *b, uint64_t hash)
{
    b->hash = hash;
}

void fs_work_mix_hash(fs_work_builder *b, uint64_t hash)
{
    b->hash = fs_hash_bytes(b->hash, &hash, sizeof hash);
}

/* Ranks that nobody gave a program do nothing; giving them an empty one spares later stages the special case. */
static fs_status idle_ranks(fs_work_builder *b, fs_err *err)
{
    uint32_t idle = FS_NONE;
    fs_status status = FS_OK;
    for (uint32_t rank = 0; rank < b->n_ranks && status == FS_OK; rank++) {
        if (b->program_of[rank] != FS_NONE)
            continue;
        if (idle == FS_NONE)
            status = fs_work_program(b, "(idle)", &idle, err);
        if (status == FS_OK)
            status = fs_work_assign(b, rank, idle, err);
    }
    return status;
}

static const fs_program *freeze_programs(fs_work_builder *b)
{
    fs_program *programs = fs_arena_alloc(b->arena, b->programs.count, sizeof *programs);
    for (uint32_t i = 0; programs && i < b->programs.count; i++) {
        fs_draft *p = &b->programs.data[i];
        if (p->dep_begin == NULL && !grow_ops(b->arena, p, 0))
            return NULL;
        programs[i] = (fs_program){p->name, p->n_ops, p->ops, p->dep_begin, p->deps, p->n_ranks};
    }
    return programs;
}

static void *copy_array(fs_arena *arena, const void *data, uint32_t count, size_t size)
{
    void *copy = fs_arena_alloc(arena, count, size);
    if (copy && count > 0)
        memcpy(copy, data, count * size);
    return copy;
}

fs_status fs_work_freeze(fs_work_builder *b, fs_work **work, fs_err *err)
{
    if (b->n_ranks == 0)
        return FS_BAD_WORK(b, err, "a trace without ranks");
    fs_status status = idle_ranks(b, err);
    if (status != FS_OK)
        return status;
    fs_work *w = fs_arena_alloc(b->arena, 1, sizeof *w);
    if (w == NULL)
        return fs_fail_nomem(err);
    *w = (fs_work){.name = b->name,
                   .kind = b->kind,
                   .path = b->path,
                   .note = b->note,
                   .hash = b->hash,
                   .n_ranks = b->n_ranks,
                   .n_programs = b->programs.count,
                   .n_families = b->families.count,
                   .n_streams = b->streams.names.count,
                   .n_names = b->labels.names.count,
                   .n_kernel_lists = b->lists.count,
                   .n_loads = b->loads.count,
                   .gpu_of = b->gpu_of,
                   .program_of = b->program_of,
                   .totals = b->totals,
                   .nccl = b->nccl,
                   .kernel_efficiency = b->kernel_efficiency,
                   .n_faults = b->n_faults,
                   .faults = b->faults,
                   .inference = b->inference,
                   .arena = b->arena};
    w->programs = freeze_programs(b);
    w->families = copy_array(b->arena, b->families.data, w->n_families, sizeof *w->families);
    w->streams = copy_array(b->arena, b->streams.names.data, w->n_streams, sizeof *w->streams);
    w->names = copy_array(b->arena, b->labels.names.data, w->n_names, sizeof *w->names);
    w->kernel_lists = copy_array(b->arena, b->lists.data, w->n_kernel_lists, sizeof *w->kernel_lists);
    w->loads = copy_array(b->arena, b->loads.data, w->n_loads, sizeof *w->loads);
    if (!w->programs || !w->families || !w->streams || !w->names || !w->kernel_lists || !w->loads)
        return fs_fail_nomem(err);
    status = fs_work_check_order(w, err);
    if (status == FS_OK)
        status = fs_work_check_match(w, err);
    if (status != FS_OK)
        return status;
    b->arena = NULL; /* the work has it now; the builder is only good for freeing */
    *work = w;
    return FS_OK;
}
