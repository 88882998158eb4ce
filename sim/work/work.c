/* work.c - from a trace file to a work; see work.h. The kinds have readers of their own (trace.h). */
#include "work/work.h"

#include "base/mem.h"
#include "base/rng.h"
#include "work/trace.h"

#include <string.h>

const char *const fs_phase_names[FS_PHASES] = {"none", "forward", "backward", "recompute", "optimizer"};

static const char *const kinds[] = {"ops", "training", "inference"};

void fs_work_free(fs_work *work)
{
    if (work)
        fs_arena_free(work->arena); /* the work itself lies in it */
}

uint32_t fs_work_peer(const fs_work *work, uint32_t family, int32_t peer, uint32_t rank)
{
    if (family == FS_NONE)
        return (uint32_t)peer;
    const fs_family *f = &work->families[family];
    uint32_t group = fs_family_group_of(f, rank);
    int64_t size = fs_family_size(f, group);
    int64_t position = ((int64_t)fs_family_position(f, rank) + peer) % size;
    return fs_family_member(f, group, (uint32_t)(position < 0 ? position + size : position));
}

static const char *file_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path && *path ? path : "no file";
}

fs_status fs_work_check_placement(const fs_work *work, const fs_topo *topo, fs_err *err)
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

/* What happens to a trace between reading and building. */
typedef struct changes {
    const fs_trace_override *overrides;
    uint32_t n_overrides;
    uint32_t n_ranks; /* 0: as they are */
    fs_scaling mode;
} changes;

/* The trace as read, and what was changed about it. */
static uint64_t hash_inputs(const fs_json_doc *doc, const changes *c)
{
    uint64_t hash = fs_json_hash(doc);
    for (uint32_t i = 0; i < c->n_overrides; i++) {
        hash = fs_hash_bytes(hash, c->overrides[i].path, strlen(c->overrides[i].path) + 1);
        hash = fs_hash_bytes(hash, c->overrides[i].value, strlen(c->overrides[i].value) + 1);
    }
    const uint32_t scale[] = {c->n_ranks, c->mode};
    return c->n_ranks ? fs_hash_bytes(hash, scale, sizeof scale) : hash;
}

static fs_status check_head(const fs_json_doc *doc, uint32_t *kind, fs_err *err)
{
    const fs_json *root = fs_json_root(doc), *version = fs_json_get(root, "fabsim");
    if (fs_json_kind(root) != FS_JSON_OBJECT || version == NULL)
        return fs_json_fail(doc, root, false, err,
                            "no fabsim trace: it starts with {\"fabsim\": \"trace/1\", \"kind\": ...");
    if (fs_json_kind(version) != FS_JSON_STRING || strcmp(fs_json_string(version), "trace/1") != 0)
        return fs_json_fail(doc, version, false, err, "unknown trace version, expected \"trace/1\"");
    return fs_json_enum_in(doc, root, "kind", true, kinds, sizeof kinds / sizeof *kinds, kind, err);
}

/* "nccl", which a trace of any kind may have. */
static fs_status read_nccl(const fs_json_doc *doc, fs_work_builder *b, fs_err *err)
{
    static const char *const keys[] = {"registered", "sharp", "cross_rail"};
    const fs_json *nccl = fs_json_get(fs_json_root(doc), "nccl");
    fs_nccl_use use = {0};
    uint32_t cross_rail = use.cross_rail;
    if (nccl == NULL)
        return FS_OK;
    if (fs_json_kind(nccl) != FS_JSON_OBJECT)
        return fs_json_fail(doc, nccl, false, err, "'nccl': expected an object with registered, sharp, cross_rail");
    fs_status status = fs_json_only(doc, nccl, keys, sizeof keys / sizeof *keys, err);
    if (status == FS_OK)
        status = fs_json_bool_in(doc, nccl, "registered", false, &use.registered, err);
    if (status == FS_OK)
        status = fs_json_bool_in(doc, nccl, "sharp", false, &use.sharp, err);
    if (status == FS_OK)
        status = fs_json_enum_in(doc, nccl, "cross_rail", false, fs_cross_rail_names, FS_CROSS_RAILS, &cross_rail, err);
    use.cross_rail = (fs_cross_rail)cross_rail;
    if (status == FS_OK)
        fs_work_set_nccl(b, use);
    return status;
}

/* A number; or "step", which training traces need not say: what each GPU part has for kernels in a step. */
static fs_status read_efficiency(const fs_json_doc *doc, bool training, double *efficiency, fs_err *err)
{
    static const char *const words[] = {"step"};
    const fs_json *root = fs_json_root(doc), *value = fs_json_get(root, "kernel_efficiency");
    uint32_t word = 0;
    *efficiency = training || fs_json_kind(value) == FS_JSON_STRING ? 0 : 1;
    if (value && fs_json_kind(value) == FS_JSON_STRING)
        return fs_json_enum_in(doc, root, "kernel_efficiency", true, words, 1, &word, err);
    return fs_json_number_in(doc, root, "kernel_efficiency", false, 0.01, 1, efficiency, err);
}

static fs_status build(const char *path, const fs_json_doc *doc, uint64_t hash, fs_work **work, fs_err *err)
{
    uint32_t kind = 0;
    const char *name = "";
    fs_status status = check_head(doc, &kind, err);
    if (status == FS_OK)
        status = fs_json_string_in(doc, fs_json_root(doc), "name", false, &name, err);
    double efficiency = 1; /* of the software, against kernels as they are modelled */
    if (status == FS_OK)
        status = read_efficiency(doc, kind == 1, &efficiency, err);
    if (status != FS_OK)
        return status;
    fs_work_builder *b = fs_work_builder_new(name, kinds[kind], path);
    if (b == NULL)
        return fs_fail_nomem(err);
    fs_work_set_hash(b, hash);
    fs_work_set_kernel_efficiency(b, efficiency);
    status = kind == 0   ? fs_trace_read_ops(doc, b, err)
             : kind == 1 ? fs_trace_read_training(doc, b, err)
                         : fs_trace_read_inference(doc, path, b, err);
    if (status == FS_OK)
        status = fs_trace_read_faults(doc, path, b, err);
    if (status == FS_OK)
        status = read_nccl(doc, b, err);
    if (status == FS_OK)
        status = fs_work_freeze(b, work, err);
    fs_work_builder_free(b);
    return status;
}

/* Takes the document. */
static fs_status finish(const char *path, fs_json_doc *doc, changes *c, fs_work **work, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < c->n_overrides && status == FS_OK; i++)
        status = fs_json_set(doc, c->overrides[i].path, c->overrides[i].value, err);
    if (status == FS_OK && c->n_ranks > 0)
        status = fs_trace_scale(doc, c->n_ranks, &c->mode, err);
    if (status == FS_OK)
        status = build(path, doc, hash_inputs(doc, c), work, err);
    fs_json_free(doc);
    return status;
}

static fs_status load(const char *path, changes *c, fs_work **work, fs_err *err)
{
    fs_json_doc *doc = NULL;
    fs_status status = fs_json_read(path, FS_E_TRACE, &doc, err);
    return status == FS_OK ? finish(path, doc, c, work, err) : status;
}

fs_status fs_work_load(const char *path, const fs_trace_override *overrides, uint32_t n_overrides, fs_work **work,
                       fs_err *err)
{
    changes c = {.overrides = overrides, .n_overrides = n_overrides};
    return load(path, &c, work, err);
}

fs_status fs_work_load_scaled(const char *path, const fs_trace_override *overrides, uint32_t n_overrides,
                              uint32_t n_ranks, fs_scaling *mode, fs_work **work, fs_err *err)
{
    changes c = {.overrides = overrides, .n_overrides = n_overrides, .n_ranks = n_ranks, .mode = *mode};
    fs_status status = load(path, &c, work, err);
    if (status == FS_OK)
        *mode = c.mode;
    return status;
}

fs_status fs_work_parse(const char *path, const char *json, size_t length, const fs_trace_override *overrides,
                        uint32_t n_overrides, fs_work **work, fs_err *err)
{
    changes c = {.overrides = overrides, .n_overrides = n_overrides};
    fs_json_doc *doc = NULL;
    fs_status status = fs_json_parse(path, json, length, FS_E_TRACE, &doc, err);
    return status == FS_OK ? finish(path, doc, &c, work, err) : status;
}
