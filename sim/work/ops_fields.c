/* ops_fields.c - one op of an ops trace, and the ids that ops wait for (docs/FORMATS.md, Trace).
 *
 * One walk over the members of an op finds its fields; the typed readers of json.h are asked only where a value is
 * not plainly right, so that a trace of a million ops is read in well under a second and errors still read alike.
 * Ids are local to a program and may be used before they are defined: a program's ids are collected first. */
#include "work/ops_reader.h"

#include "base/rng.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const field_names[FS_FIELDS] = {
    "op",    "id",        "name",  "stream",      "after",      "duration_us", "duration_s", "flops",    "bytes",
    "dtype", "kernels",   "phase", "group",       "size_bytes", "algo",        "proto",      "sm_share", "root",
    "load",  "transpose", "top_k", "top_domains", "to",         "from",        "shift",      "tag"};

#define BIT(field) (1u << (field))
#define COMMON (BIT(FS_F_OP) | BIT(FS_F_ID) | BIT(FS_F_NAME) | BIT(FS_F_STREAM) | BIT(FS_F_AFTER) | BIT(FS_F_PHASE))
#define DURATION (BIT(FS_F_DURATION_US) | BIT(FS_F_DURATION_S))
#define COLLECTIVE (COMMON | BIT(FS_F_GROUP) | BIT(FS_F_SIZE) | BIT(FS_F_ALGO) | BIT(FS_F_PROTO) | BIT(FS_F_SM_SHARE))
#define MESSAGE (COMMON | BIT(FS_F_GROUP) | BIT(FS_F_SHIFT) | BIT(FS_F_TAG) | BIT(FS_F_SIZE) | BIT(FS_F_SM_SHARE))

/* What "op" may be, and the keys that each takes. */
static const struct {
    fs_op_kind kind;
    fs_coll_kind coll;
    uint32_t fields;
} op_kinds[] = {
    {FS_OP_COMPUTE, FS_SENDRECV,
     COMMON | DURATION | BIT(FS_F_FLOPS) | BIT(FS_F_BYTES) | BIT(FS_F_DTYPE) | BIT(FS_F_KERNELS)},
    {FS_OP_DELAY, FS_SENDRECV, COMMON | DURATION},
    {FS_OP_SEND, FS_SENDRECV, MESSAGE | BIT(FS_F_TO)},
    {FS_OP_RECV, FS_SENDRECV, MESSAGE | BIT(FS_F_FROM)},
    {FS_OP_COLLECTIVE, FS_ALL_REDUCE, COLLECTIVE},
    {FS_OP_COLLECTIVE, FS_ALL_GATHER, COLLECTIVE},
    {FS_OP_COLLECTIVE, FS_REDUCE_SCATTER, COLLECTIVE},
    {FS_OP_COLLECTIVE, FS_ALL_TO_ALL,
     COLLECTIVE | BIT(FS_F_LOAD) | BIT(FS_F_TRANSPOSE) | BIT(FS_F_TOP_K) | BIT(FS_F_TOP_DOMAINS)},
    {FS_OP_COLLECTIVE, FS_BROADCAST, COLLECTIVE | BIT(FS_F_ROOT)},
    {FS_OP_COLLECTIVE, FS_REDUCE, COLLECTIVE | BIT(FS_F_ROOT)},
    {FS_OP_COLLECTIVE, FS_BARRIER, COMMON | BIT(FS_F_GROUP)},
};
static const char *const op_names[COUNT(op_kinds)] = {"compute",    "delay",      "send",           "recv",
                                                      "all_reduce", "all_gather", "reduce_scatter", "all_to_all",
                                                      "broadcast",  "reduce",     "barrier"};

/* ---- fields of an op -------------------------------------------------------------------------------------------- */

static fs_status quantity(fs_ops_reader *r, uint32_t f, bool required, fs_unit unit, double high, double *out)
{
    const fs_json *v = r->field[f];
    if (v && fs_json_kind(v) == FS_JSON_NUMBER && fs_json_number(v) >= 0 && fs_json_number(v) <= high) {
        *out = fs_json_number(v);
        return FS_OK;
    }
    if (v == NULL && !required)
        return FS_OK;
    return fs_json_quantity_in(r->doc, r->op_json, field_names[f], required, unit, 0, high, out, r->err);
}

static fs_status unsigned_number(fs_ops_reader *r, uint32_t f, bool required, uint32_t high, uint32_t *out)
{
    uint64_t number = 0;
    if (r->field[f] == NULL && !required)
        return FS_OK;
    fs_status status = fs_json_uint_in(r->doc, r->op_json, field_names[f], required, 0, high, &number, r->err);
    if (status == FS_OK)
        *out = (uint32_t)number;
    return status;
}

static fs_status choice(fs_ops_reader *r, uint32_t f, const char *const *names, size_t count, uint8_t *out)
{
    uint32_t index = *out;
    if (r->field[f] == NULL)
        return FS_OK;
    fs_status status = fs_json_enum_in(r->doc, r->op_json, field_names[f], false, names, count, &index, r->err);
    if (status == FS_OK)
        *out = (uint8_t)index;
    return status;
}

static fs_status text(fs_ops_reader *r, uint32_t f, const char **out)
{
    const fs_json *v = r->field[f];
    if (v == NULL)
        return FS_OK;
    if (fs_json_kind(v) != FS_JSON_STRING)
        return fs_json_string_in(r->doc, r->op_json, field_names[f], false, out, r->err);
    if (*fs_json_string(v) == '\0')
        return fs_json_fail(r->doc, v, false, r->err, "'%s' is empty", field_names[f]);
    *out = fs_json_string(v);
    return FS_OK;
}

static fs_status group(fs_ops_reader *r, uint32_t *family)
{
    const char *name = NULL;
    if (r->field[FS_F_GROUP] == NULL)
        return fs_json_fail(r->doc, r->op_json, false, r->err, "%s needs a 'group'", op_names[r->kind]);
    fs_status status = text(r, FS_F_GROUP, &name);
    if (status != FS_OK)
        return status;
    for (uint32_t i = 0; i < r->n_families; i++)
        if (strcmp(r->families[i], name) == 0) {
            *family = i;
            return FS_OK;
        }
    const char *near = fs_suggest(name, r->families, r->n_families);
    return fs_json_fail(r->doc, r->field[FS_F_GROUP], false, r->err,
                        near ? "unknown group '%.100s' (did you mean '%.100s'?)" : "unknown group '%.100s'", name,
                        near);
}

/* FS_FIELDS where it is none. Pointers decide first: a document's key is nearly always one of a few strings. */
static uint32_t field_of(fs_ops_reader *r, const char *key)
{
    uint32_t f = 0;
    while (f < FS_FIELDS && r->key_of[f] != key)
        f++;
    if (f < FS_FIELDS)
        return f;
    for (f = 0; f < FS_FIELDS && strcmp(field_names[f], key) != 0;)
        f++;
    if (f < FS_FIELDS)
        r->key_of[f] = key;
    return f;
}

static fs_status find_fields(fs_ops_reader *r)
{
    const char *allowed[FS_FIELDS];
    uint32_t n_allowed = 0, position = 0;
    memset(r->field, 0, sizeof r->field);
    for (const fs_json *v = fs_json_first(r->op_json); v; v = fs_json_next(v), position++) {
        const char *key = fs_json_key(v);
        uint32_t f = field_of(r, key);
        if (f == FS_FIELDS || !(op_kinds[r->kind].fields & BIT(f)))
            break;
        r->field[f] = v;
    }
    if (position == fs_json_count(r->op_json))
        return FS_OK;
    for (uint32_t f = 0; f < FS_FIELDS; f++)
        if (op_kinds[r->kind].fields & BIT(f))
            allowed[n_allowed++] = field_names[f];
    return fs_json_only(r->doc, r->op_json, allowed, n_allowed, r->err);
}

/* ---- ids -------------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *id)
{
    return fs_hash_bytes(FS_HASH_START, id, strlen(id));
}

/* The op with an id, FS_NONE where there is none. */
static uint32_t find_op(const fs_ops_reader *r, const char *id, uint64_t hash)
{
    fs_index_probe probe = fs_index_search(&r->by_id, hash);
    uint32_t op = fs_index_next(&probe);
    while (op != FS_NONE && strcmp(r->ids[op], id) != 0)
        op = fs_index_next(&probe);
    return op;
}

static fs_status used_twice(const fs_ops_reader *r, const fs_json *ops, uint32_t index)
{
    const fs_json *op = fs_json_first(ops);
    for (uint32_t i = 0; i < index; i++)
        op = fs_json_next(op);
    return fs_json_fail(r->doc, fs_json_get(op, "id"), false, r->err, "id '%.100s' is used twice in this program",
                        r->ids[index]);
}

fs_status fs_ops_collect_ids(fs_ops_reader *r, const fs_json *ops)
{
    uint32_t index = 0;
    r->ids = fs_zalloc(r->n_ops, sizeof *r->ids);
    if (r->ids == NULL)
        return fs_fail_nomem(r->err);
    for (const fs_json *op = fs_json_first(ops); op; op = fs_json_next(op), index++) {
        const fs_json *id = fs_json_kind(op) == FS_JSON_OBJECT ? fs_json_get(op, "id") : NULL;
        if (!id || fs_json_kind(id) != FS_JSON_STRING)
            continue;
        r->ids[index] = fs_json_string(id);
        uint64_t hash = hash_of(r->ids[index]);
        if (find_op(r, r->ids[index], hash) != FS_NONE)
            return used_twice(r, ops, index);
        if (!fs_index_add(&r->by_id, hash, index))
            return fs_fail_nomem(r->err);
    }
    return FS_OK;
}

/* ops[] with ids, for a suggestion. */
static fs_status unknown_id(const fs_ops_reader *r, const fs_json *value)
{
    const char **known = fs_alloc(r->n_ops, sizeof *known);
    uint32_t n = 0;
    if (known == NULL)
        return fs_fail_nomem(r->err);
    for (uint32_t i = 0; i < r->n_ops; i++)
        if (r->ids[i])
            known[n++] = r->ids[i];
    const char *near = fs_suggest(fs_json_string(value), known, n);
    fs_status status = fs_json_fail(r->doc, value, false, r->err,
                                    near ? "no op of this program has id '%.100s' (did you mean "
                                           "'%.100s'?)"
                                         : "no op of this program has id '%.100s'",
                                    fs_json_string(value), near);
    fs_free(known);
    return status;
}

static fs_status read_after(fs_ops_reader *r)
{
    const fs_json *after = r->field[FS_F_AFTER];
    r->deps.count = 0;
    bool list = after && fs_json_kind(after) == FS_JSON_ARRAY;
    for (const fs_json *v = list ? fs_json_first(after) : after; v; v = list ? fs_json_next(v) : NULL) {
        if (fs_json_kind(v) != FS_JSON_STRING)
            return fs_json_fail(r->doc, v, false, r->err, "'after' takes the id of an op, or a list of them");
        uint32_t op = find_op(r, fs_json_string(v), hash_of(fs_json_string(v)));
        if (op == FS_NONE)
            return unknown_id(r, v);
        if (FS_PUSH(&r->deps, op) == NULL)
            return fs_fail_nomem(r->err);
    }
    return FS_OK;
}

/* ---- ops -------------------------------------------------------------------------------------------------------- */

/* Leaves *seconds alone where there is no duration. */
static fs_status read_duration(fs_ops_reader *r, double *seconds)
{
    double us = -1;
    if (r->field[FS_F_DURATION_US] && r->field[FS_F_DURATION_S])
        return fs_json_fail(r->doc, r->field[FS_F_DURATION_S], true, r->err,
                            "either 'duration_us' or 'duration_s', not both");
    if (r->field[FS_F_DURATION_US]) {
        fs_status status = quantity(r, FS_F_DURATION_US, true, FS_UNIT_NONE, FS_TRACE_SECONDS_MAX * 1e6, &us);
        if (status == FS_OK)
            *seconds = us * 1e-6;
        return status;
    }
    return quantity(r, FS_F_DURATION_S, false, FS_UNIT_NONE, FS_TRACE_SECONDS_MAX, seconds);
}

static fs_status read_compute(fs_ops_reader *r, fs_op *op)
{
    const fs_json *amount = r->field[FS_F_FLOPS] ? r->field[FS_F_FLOPS] : r->field[FS_F_BYTES];
    const fs_json *kernels = r->field[FS_F_KERNELS];
    fs_status status = read_duration(r, &op->duration_s);
    if (status == FS_OK)
        status = quantity(r, FS_F_FLOPS, false, FS_UNIT_FLOP, FS_TRACE_FLOPS_MAX, &op->flops);
    if (status == FS_OK)
        status = quantity(r, FS_F_BYTES, false, FS_UNIT_BYTES, FS_TRACE_BYTES_MAX, &op->bytes);
    if (status == FS_OK)
        status = choice(r, FS_F_DTYPE, fs_dtype_names, FS_DTYPES, &op->dtype);
    if (status != FS_OK)
        return status;
    if (amount && op->duration_s >= 0)
        return fs_json_fail(r->doc, amount, true, r->err, "a compute op has a duration, or flops and bytes, not both");
    if (kernels && (amount || r->field[FS_F_DTYPE] || op->duration_s >= 0))
        return fs_json_fail(r->doc, kernels, true, r->err, "'kernels' have flops, bytes and dtype of their own");
    if (kernels)
        return fs_ops_kernels(r, kernels, &op->kernels);
    if (!amount && op->duration_s < 0)
        return fs_json_fail(r->doc, r->op_json, false, r->err,
                            "a compute op needs 'duration_us', or 'flops' and 'bytes', or 'kernels'");
    return FS_OK;
}

static fs_status read_share(fs_ops_reader *r, fs_op *op)
{
    double share = 0; /* below 1 by more than a float's rounding */
    if (r->field[FS_F_SM_SHARE] == NULL)
        return FS_OK;
    fs_status status = fs_json_number_in(r->doc, r->op_json, "sm_share", true, 0, 0.9999, &share, r->err);
    op->sm_share = (float)share;
    return status;
}

/* Of a token: how many copies there are, and in how many domains. */
static fs_status read_copies(fs_ops_reader *r, fs_op *op)
{
    const fs_json *given = r->field[FS_F_TOP_K] ? r->field[FS_F_TOP_K] : r->field[FS_F_TOP_DOMAINS];
    uint32_t top_k = 0, top_domains = 0;
    fs_status status = unsigned_number(r, FS_F_TOP_K, false, UINT16_MAX, &top_k);
    if (status == FS_OK)
        status = unsigned_number(r, FS_F_TOP_DOMAINS, false, UINT16_MAX, &top_domains);
    if (status == FS_OK && given && op->algo != FS_ALGO_FORWARDED)
        return fs_json_fail(r->doc, given, true, r->err, "'top_k' and 'top_domains' go with \"algo\": \"forwarded\"");
    op->top_k = (uint16_t)top_k;
    op->top_domains = (uint16_t)top_domains;
    return status;
}

static fs_status read_collective(fs_ops_reader *r, fs_op *op)
{
    fs_status status = group(r, &op->family);
    if (status == FS_OK && op->coll != FS_BARRIER)
        status = quantity(r, FS_F_SIZE, true, FS_UNIT_BYTES, FS_TRACE_BYTES_MAX, &op->size_bytes);
    if (status == FS_OK)
        status = choice(r, FS_F_ALGO, fs_algo_names, FS_ALGOS, &op->algo);
    if (status == FS_OK)
        status = choice(r, FS_F_PROTO, fs_proto_names, FS_PROTOS, &op->proto);
    if (status == FS_OK)
        status = unsigned_number(r, FS_F_ROOT, false, r->n_ranks - 1, &op->root);
    if (status == FS_OK && r->field[FS_F_LOAD])
        status = fs_ops_load(r, r->field[FS_F_LOAD], &op->load);
    if (status == FS_OK && r->field[FS_F_TRANSPOSE])
        status = fs_json_bool_in(r->doc, r->op_json, "transpose", true, &op->transpose, r->err);
    if (status == FS_OK && r->field[FS_F_TRANSPOSE] && op->load == FS_NONE)
        return fs_json_fail(r->doc, r->field[FS_F_TRANSPOSE], true, r->err, "'transpose' goes with 'load'");
    if (status == FS_OK)
        status = read_copies(r, op);
    return status == FS_OK ? read_share(r, op) : status;
}

static fs_status read_message(fs_ops_reader *r, fs_op *op)
{
    uint32_t to = op->kind == FS_OP_SEND ? FS_F_TO : FS_F_FROM, peer = 0;
    const fs_json *shift = r->field[FS_F_SHIFT];
    fs_status status = FS_OK;
    if ((r->field[to] != NULL) == (shift != NULL))
        return fs_json_fail(r->doc, r->op_json, false, r->err, "%s needs either '%s', or 'group' and 'shift'",
                            op_names[r->kind], field_names[to]);
    if (shift) {
        double number = 0;
        status = fs_json_number_in(r->doc, r->op_json, "shift", true, -FS_RANKS_MAX, FS_RANKS_MAX, &number, r->err);
        op->peer = (int32_t)number;
        if (status == FS_OK && (number > op->peer || number < op->peer))
            status = fs_json_fail(r->doc, shift, false, r->err, "'shift' is a whole number of positions in the group");
        if (status == FS_OK)
            status = group(r, &op->family);
    } else {
        if (r->field[FS_F_GROUP])
            return fs_json_fail(r->doc, r->field[FS_F_GROUP], true, r->err, "'group' goes with 'shift', not with '%s'",
                                field_names[to]);
        status = unsigned_number(r, to, true, r->n_ranks - 1, &peer);
        op->peer = (int32_t)peer;
    }
    if (status == FS_OK)
        status = unsigned_number(r, FS_F_TAG, false, UINT32_MAX, &op->tag);
    if (status == FS_OK)
        status = quantity(r, FS_F_SIZE, true, FS_UNIT_BYTES, FS_TRACE_BYTES_MAX, &op->size_bytes);
    return status == FS_OK ? read_share(r, op) : status;
}

/* Which op it is. */
static fs_status read_kind(fs_ops_reader *r)
{
    if (fs_json_kind(r->op_json) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, r->op_json, false, r->err, "expected an op: {\"op\": \"all_reduce\", ...}");
    const fs_json *name = fs_json_get(r->op_json, "op");
    const char *said = fs_json_string(name);
    for (uint32_t kind = 0; said && kind < COUNT(op_names); kind++)
        if (said[0] == op_names[kind][0] && strcmp(said, op_names[kind]) == 0) {
            r->kind = kind;
            return FS_OK;
        }
    return fs_json_enum_in(r->doc, r->op_json, "op", true, op_names, COUNT(op_names), &r->kind, r->err);
}

fs_status fs_ops_read(fs_ops_reader *r, const fs_json *json)
{
    r->op_json = json;
    fs_status status = read_kind(r);
    if (status == FS_OK)
        status = find_fields(r);
    if (status != FS_OK)
        return status;
    fs_op op = fs_op_default(op_kinds[r->kind].kind);
    op.coll = (uint8_t)op_kinds[r->kind].coll;
    fs_json_place(&r->at, json, &op.line, &op.column);
    switch (op_kinds[r->kind].kind) {
    case FS_OP_COMPUTE: status = read_compute(r, &op); break;
    case FS_OP_DELAY:
        op.duration_s = -1;
        status = read_duration(r, &op.duration_s);
        if (status == FS_OK && op.duration_s < 0)
            status = fs_json_fail(r->doc, json, false, r->err, "a delay needs 'duration_us'");
        break;
    case FS_OP_COLLECTIVE: status = read_collective(r, &op); break;
    case FS_OP_SEND:
    case FS_OP_RECV: status = read_message(r, &op); break;
    }
    const char *stream = "main", *id = NULL;
    if (status == FS_OK)
        status = choice(r, FS_F_PHASE, fs_phase_names, FS_PHASES, &op.phase);
    if (status == FS_OK)
        status = text(r, FS_F_STREAM, &stream);
    if (status == FS_OK)
        status = text(r, FS_F_ID, &id);
    const char *name = id ? id : fs_op_label(&op);
    if (status == FS_OK)
        status = text(r, FS_F_NAME, &name);
    if (status == FS_OK)
        status = read_after(r);
    if (status == FS_OK)
        status = fs_ops_blame(r, r->field[FS_F_STREAM], fs_work_stream(r->b, stream, &op.stream, r->err));
    if (status == FS_OK)
        status = fs_work_name(r->b, name, &op.name, r->err);
    return status == FS_OK ? fs_work_op(r->b, r->program, &op, r->deps.data, r->deps.count, NULL, r->err) : status;
}
