/* trace_scale.c - the same training job on another number of GPUs (docs/FORMATS.md, Scaling). See work.h.
 *
 * One parallel dimension grows until the ranks are as many as asked for, and under weak scaling the global batch grows
 * with them. That is done to the document before anybody reads it, so that every check of the reader holds for the
 * grown job as well. */
#include "work/trace.h"

#include <stdio.h>
#include <string.h>

const char *const fs_scaling_names[FS_SCALINGS] = {"auto", "weak", "strong"};

/* Dimensions that may grow. Experts are spread over the ranks of the others: ep grows together with dp. */
enum { BY_DP, BY_EP, BY_CP, BY_PP, BYS };
static const char *const by_names[BYS] = {"dp", "ep", "cp", "pp"};

typedef struct scaler {
    fs_json_doc *doc;
    uint32_t n_ranks;
    fs_scaling mode;
    uint32_t by;
    char origin[32]; /* "--scale 4096" */
    fs_err *err;
} scaler;

#define FAIL(s, ...) fs_fail_at((s)->err, FS_E_USAGE, (s)->origin, 0, 0, __VA_ARGS__)

/* A size as the trace has it; 1 where it has none. What is no size at all is for the reader to complain about. */
static uint64_t size_of(const scaler *s, const char *object, const char *key)
{
    const fs_json *value = fs_json_get(fs_json_get(fs_json_root(s->doc), object), key);
    double number = fs_json_number(value);
    return number >= 1 && number < FS_RANKS_MAX ? (uint64_t)number : 1;
}

static fs_status read_rule(scaler *s)
{
    static const char *const keys[] = {"by", "mode"}, *const modes[] = {"weak", "strong"};
    const fs_json *rule = fs_json_get(fs_json_root(s->doc), "scale");
    uint32_t mode = 0;
    if (rule && fs_json_kind(rule) != FS_JSON_OBJECT)
        return fs_json_fail(s->doc, rule, false, s->err, "expected an object: {\"by\": \"dp\", \"mode\": \"weak\"}");
    fs_status status = fs_json_only(s->doc, rule, keys, 2, s->err);
    if (status == FS_OK && rule)
        status = fs_json_enum_in(s->doc, rule, "by", false, by_names, BYS, &s->by, s->err);
    if (status == FS_OK && rule)
        status = fs_json_enum_in(s->doc, rule, "mode", false, modes, 2, &mode, s->err);
    if (status == FS_OK && s->mode == FS_SCALING_AUTO)
        s->mode = mode == 0 ? FS_SCALING_WEAK : FS_SCALING_STRONG;
    return status;
}

static fs_status set(const scaler *s, const char *path, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return fs_json_set(s->doc, path, text, s->err);
}

/* The batch as it is for the grown job: `from` and `to` are ranks before and after. */
static fs_status set_batch(const scaler *s, uint64_t from, uint64_t to, uint64_t dp)
{
    uint64_t batch = size_of(s, "batch", "global"), replicas = size_of(s, "batch", "micro") * dp;
    if (s->mode == FS_SCALING_WEAK) {
        if (batch * to % from != 0)
            return FAIL(s, "weak scaling from %llu ranks makes the global batch of %llu no whole number",
                        (unsigned long long)from, (unsigned long long)batch);
        batch = batch * to / from;
    }
    if (batch % replicas != 0)
        return FAIL(s, "the global batch of %llu is no multiple of micro x dp, %llu", (unsigned long long)batch,
                    (unsigned long long)replicas);
    return s->mode == FS_SCALING_WEAK ? set(s, "batch.global", batch) : FS_OK;
}

static fs_status grow(const scaler *s)
{
    static const char *const grown[BYS] = {"dp", "dp", "cp", "pp"}; /* what the number of ranks is a product of */
    static const char *const keys[] = {"tp", "cp", "pp", "dp"};
    char others[64] = "", path[32];
    uint64_t fixed = 1, size = size_of(s, "parallel", grown[s->by]);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i], grown[s->by]) == 0)
            continue;
        size_t used = strlen(others);
        snprintf(others + used, sizeof others - used, "%s%s", used ? " x " : "", keys[i]);
        fixed *= size_of(s, "parallel", keys[i]);
    }
    if (s->n_ranks % fixed != 0 || s->n_ranks == 0)
        return FAIL(s, "no multiple of %s, %llu", others, (unsigned long long)fixed);
    uint64_t now = s->n_ranks / fixed;
    snprintf(path, sizeof path, "parallel.%s", grown[s->by]);
    fs_status status = set_batch(s, fixed * size, s->n_ranks, s->by <= BY_EP ? now : size_of(s, "parallel", "dp"));
    if (status == FS_OK)
        status = set(s, path, now);
    if (status != FS_OK || s->by != BY_EP)
        return status;
    uint64_t ep = size_of(s, "parallel", "ep");
    if (ep * now % size != 0)
        return FAIL(s, "makes ep, %llu, no whole number", (unsigned long long)ep);
    return set(s, "parallel.ep", ep * now / size);
}

/* A trace that gives the number of GPUs may leave dp out; it grows with the number. */
static fs_status settle_replicas(const scaler *s)
{
    const fs_json *parallel = fs_json_get(fs_json_root(s->doc), "parallel");
    uint64_t gpus = size_of(s, "parallel", "gpus");
    uint64_t replica = size_of(s, "parallel", "tp") * size_of(s, "parallel", "cp") * size_of(s, "parallel", "pp");
    fs_status status = FS_OK;
    if (fs_json_get(parallel, "gpus") == NULL)
        return FS_OK;
    if (fs_json_get(parallel, "dp") == NULL && gpus >= replica)
        status = set(s, "parallel.dp", gpus / replica);
    return status == FS_OK ? set(s, "parallel.gpus", s->n_ranks) : status;
}

fs_status fs_trace_scale(fs_json_doc *doc, uint32_t n_ranks, fs_scaling *mode, fs_err *err)
{
    scaler s = {.doc = doc, .n_ranks = n_ranks, .mode = *mode, .err = err};
    const fs_json *root = fs_json_root(doc);
    const char *kind = fs_json_string(fs_json_get(root, "kind"));
    snprintf(s.origin, sizeof s.origin, "--scale %u", n_ranks);
    if (kind == NULL || strcmp(kind, "training") != 0)
        return FAIL(&s, "only a trace of kind \"training\" says how it grows");
    fs_status status = read_rule(&s);
    const fs_json *parallel = fs_json_get(root, "parallel");
    if (status == FS_OK && fs_json_kind(parallel) != FS_JSON_OBJECT)
        status = fs_json_fail(doc, parallel ? parallel : root, false, err, "a job that is to grow needs 'parallel'");
    if (status == FS_OK)
        status = settle_replicas(&s);
    if (status == FS_OK)
        status = grow(&s);
    if (status == FS_OK)
        *mode = s.mode;
    return status;
}
