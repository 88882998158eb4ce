/* ops_trace.c - kind "ops": programs written out op by op (docs/FORMATS.md, Trace).
 *
 * One walk over the members of an op finds its fields; the typed readers of json.h are asked only where a value is
 * not plainly right, so that a trace of a million ops is read in well under a second and errors still read alike.
 * Ids are local to a program and may be used before they are defined: a program's ids are collected first.
 * Cost: O(values of the document). */
#include "base/mem.h"
#include "base/rng.h"
#include "work/trace.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum {
    F_OP, F_ID, F_NAME, F_STREAM, F_AFTER, F_DURATION_US, F_DURATION_S, F_FLOPS, F_BYTES, F_DTYPE, F_PHASE, F_GROUP,
    F_SIZE, F_ALGO, F_PROTO, F_SM_SHARE, F_ROOT, F_TO, F_FROM, F_SHIFT, F_TAG, FIELDS
};
static const char *const field_names[FIELDS] = {
    "op", "id", "name", "stream", "after", "duration_us", "duration_s", "flops", "bytes", "dtype", "phase", "group",
    "size_bytes", "algo", "proto", "sm_share", "root", "to", "from", "shift", "tag"};

#define BIT(field) (1u << (field))
#define COMMON (BIT(F_OP) | BIT(F_ID) | BIT(F_NAME) | BIT(F_STREAM) | BIT(F_AFTER) | BIT(F_PHASE))
#define DURATION (BIT(F_DURATION_US) | BIT(F_DURATION_S))
#define COLLECTIVE (COMMON | BIT(F_GROUP) | BIT(F_SIZE) | BIT(F_ALGO) | BIT(F_PROTO) | BIT(F_SM_SHARE))
#define MESSAGE (COMMON | BIT(F_GROUP) | BIT(F_SHIFT) | BIT(F_TAG) | BIT(F_SIZE) | BIT(F_SM_SHARE))

/* What "op" may be, and the keys that each takes. */
static const struct {
    fs_op_kind kind;
    fs_coll_kind coll;
    uint32_t fields;
} op_kinds[] = {
    {FS_OP_COMPUTE, FS_SENDRECV, COMMON | DURATION | BIT(F_FLOPS) | BIT(F_BYTES) | BIT(F_DTYPE)},
    {FS_OP_DELAY, FS_SENDRECV, COMMON | DURATION},
    {FS_OP_SEND, FS_SENDRECV, MESSAGE | BIT(F_TO)},
    {FS_OP_RECV, FS_SENDRECV, MESSAGE | BIT(F_FROM)},
    {FS_OP_COLLECTIVE, FS_ALL_REDUCE, COLLECTIVE},
    {FS_OP_COLLECTIVE, FS_ALL_GATHER, COLLECTIVE},
    {FS_OP_COLLECTIVE, FS_REDUCE_SCATTER, COLLECTIVE},
    {FS_OP_COLLECTIVE, FS_ALL_TO_ALL, COLLECTIVE},
    {FS_OP_COLLECTIVE, FS_BROADCAST, COLLECTIVE | BIT(F_ROOT)},
    {FS_OP_COLLECTIVE, FS_REDUCE, COLLECTIVE | BIT(F_ROOT)},
    {FS_OP_COLLECTIVE, FS_BARRIER, COMMON | BIT(F_GROUP)},
};
static const char *const op_names[COUNT(op_kinds)] = {
    "compute", "delay", "send", "recv", "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce",
    "barrier"};

typedef FS_VEC(uint32_t) uint_list;

typedef struct reader {
    const fs_json_doc *doc;
    fs_work_builder *b;
    fs_err *err;
    uint32_t n_ranks;
    const char *families[FS_FAMILIES_MAX]; /* names, by id */
    uint32_t n_families;

    /* The program being read. */
    uint32_t program, n_ops;
    const char **ids;  /* (n_ops) NULL where an op has none; NULL while no op of the program has one */
    uint32_t *slots;   /* (n_slots) op + 1 by id */
    uint32_t n_slots;  /* a power of two */
    uint_list deps;    /* of the op being read */
    uint8_t expected[FIELDS];     /* the field that the i-th member of the last op was */
    const fs_json *field[FIELDS]; /* members of the op being read */
    const fs_json *op_json;
    uint32_t kind; /* index in op_kinds */
    fs_json_cursor at;
} reader;

/* An error of the builder knows no place: give it that of the value to blame. */
static fs_status blame(const reader *r, const fs_json *value, fs_status status)
{
    char text[FS_ERR_TEXT_MAX];
    if (status != FS_E_TRACE || r->err->line != 0)
        return status;
    memcpy(text, r->err->text, sizeof text);
    return fs_json_fail(r->doc, value, false, r->err, "%s", text);
}

/* ---- ranks and groups ------------------------------------------------------------------------------------------- */

static fs_status push_rank(const reader *r, const fs_json *value, uint64_t rank, uint_list *ranks)
{
    if (rank >= r->n_ranks)
        return fs_json_fail(r->doc, value, false, r->err, "rank %llu, but there are %u ranks", (unsigned long long)rank,
                            r->n_ranks);
    if (ranks->count >= r->n_ranks)
        return fs_json_fail(r->doc, value, false, r->err, "more members than there are ranks (%u)", r->n_ranks);
    return FS_PUSH(ranks, (uint32_t)rank) ? FS_OK : fs_fail_nomem(r->err);
}

/* Digits at *text, fewer than 10 of them; moves *text behind them. */
static bool read_digits(const char **text, uint64_t *number)
{
    uint32_t digits = 0;
    for (*number = 0; **text >= '0' && **text <= '9' && digits < 10; ++*text, digits++)
        *number = *number * 10 + (uint64_t)(**text - '0');
    return digits > 0 && digits < 10;
}

/* "all", or "0-3,6". */
static fs_status read_rank_text(const reader *r, const fs_json *value, uint_list *ranks)
{
    const char *text = fs_json_string(value);
    bool all = strcmp(text, "all") == 0;
    fs_status status = FS_OK;
    for (uint64_t rank = 0; all && rank < r->n_ranks && status == FS_OK; rank++)
        status = push_rank(r, value, rank, ranks);
    for (bool more = !all; more && status == FS_OK;) {
        uint64_t first, last;
        bool good = read_digits(&text, &first);
        last = first;
        if (good && *text == '-') {
            text++;
            good = read_digits(&text, &last) && first <= last;
        }
        if (!good || (*text != ',' && *text != '\0'))
            return fs_json_fail(r->doc, value, false, r->err, "'%.100s' is no set of ranks; expected \"all\", a list of ranks, or "
                                "ranges such as \"0-3,6\"", fs_json_string(value));
        more = *text++ == ',';
        for (uint64_t rank = first; rank <= last && status == FS_OK; rank++)
            status = push_rank(r, value, rank, ranks);
    }
    return status;
}

/* A set of ranks: "all", "0-3,6", or [0, 1, 2, 3, 6]. Appends. */
static fs_status read_ranks(const reader *r, const fs_json *value, uint_list *ranks)
{
    if (fs_json_kind(value) == FS_JSON_STRING)
        return read_rank_text(r, value, ranks);
    if (fs_json_kind(value) != FS_JSON_ARRAY)
        return fs_json_fail(r->doc, value, false, r->err, "expected a set of ranks: \"all\", a list, or \"0-3,6\"");
    fs_status status = FS_OK;
    for (const fs_json *v = fs_json_first(value); v && status == FS_OK; v = fs_json_next(v)) {
        double number = fs_json_kind(v) == FS_JSON_NUMBER ? fs_json_number(v) : -1;
        if (!(number >= 0 && number < 4294967296.0) || number > (double)(uint32_t)number)
            return fs_json_fail(r->doc, v, false, r->err, "expected a rank: 0, 1, 2, ...");
        status = push_rank(r, v, (uint32_t)number, ranks);
    }
    return status;
}

static fs_status read_strided(reader *r, const fs_json *value, const char *name, uint32_t *id)
{
    static const char *const keys[] = {"size", "stride"};
    uint64_t size = 0, stride = 1;
    fs_status status = fs_json_only(r->doc, value, keys, COUNT(keys), r->err);
    if (status == FS_OK)
        status = fs_json_uint_in(r->doc, value, "size", true, 1, r->n_ranks, &size, r->err);
    if (status == FS_OK)
        status = fs_json_uint_in(r->doc, value, "stride", false, 1, r->n_ranks, &stride, r->err);
    return status == FS_OK ? fs_work_family_strided(r->b, name, (uint32_t)size, (uint32_t)stride, id, r->err) : status;
}

/* [[0, 1], [2, 3]] or ["0-1", "2-3"]: several sets; [0, 1] or "0-1": one. */
static fs_status read_sets(reader *r, const fs_json *value, const char *name, uint32_t *id)
{
    uint_list begin = {0}, ranks = {0};
    const fs_json *first = fs_json_kind(value) == FS_JSON_ARRAY ? fs_json_first(value) : NULL;
    bool several = first && fs_json_kind(first) != FS_JSON_NUMBER;
    fs_status status = FS_PUSH(&begin, 0) ? FS_OK : fs_fail_nomem(r->err);
    for (const fs_json *set = several ? first : value; set && status == FS_OK; set = several ? fs_json_next(set) : NULL) {
        status = read_ranks(r, set, &ranks);
        if (status == FS_OK && FS_PUSH(&begin, ranks.count) == NULL)
            status = fs_fail_nomem(r->err);
    }
    if (status == FS_OK)
        status = fs_work_family_explicit(r->b, name, begin.data, begin.count - 1, ranks.data, id, r->err);
    fs_free(begin.data);
    fs_free(ranks.data);
    return status;
}

static fs_status read_groups(reader *r, const fs_json *groups)
{
    r->families[0] = "world";
    r->n_families = 1;
    if (groups && fs_json_kind(groups) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, groups, false, r->err, "expected an object: group names and who is in them");
    fs_status status = FS_OK;
    for (const fs_json *g = fs_json_first(groups); g && status == FS_OK; g = fs_json_next(g)) {
        uint32_t id = 0;
        bool all = fs_json_kind(g) == FS_JSON_STRING && strcmp(fs_json_string(g), "all") == 0;
        if (all)
            status = fs_work_family_strided(r->b, fs_json_key(g), r->n_ranks, 1, &id, r->err);
        else if (fs_json_kind(g) == FS_JSON_OBJECT)
            status = read_strided(r, g, fs_json_key(g), &id);
        else if (fs_json_kind(g) == FS_JSON_STRING || fs_json_kind(g) == FS_JSON_ARRAY)
            status = read_sets(r, g, fs_json_key(g), &id);
        else
            status = fs_json_fail(r->doc, g, false, r->err, "expected \"all\", sets of ranks, or {\"size\": .., \"stride\": ..}");
        status = blame(r, g, status);
        if (status == FS_OK && id > 0)
            r->families[r->n_families++] = fs_json_key(g);
    }
    return status;
}

static fs_status read_placement(reader *r, const fs_json *list)
{
    if (list == NULL)
        return FS_OK;
    if (fs_json_kind(list) != FS_JSON_ARRAY || fs_json_count(list) != r->n_ranks)
        return fs_json_fail(r->doc, list, false, r->err, "expected a list of %u GPU numbers, one for each rank", r->n_ranks);
    double top = 0;
    for (const fs_json *v = fs_json_first(list); v; v = fs_json_next(v)) {
        double number = fs_json_kind(v) == FS_JSON_NUMBER ? fs_json_number(v) : -1;
        if (!(number >= 0 && number < FS_RANKS_MAX) || number > (double)(uint32_t)number)
            return fs_json_fail(r->doc, v, false, r->err, "expected a GPU number, 0 to %d", FS_RANKS_MAX - 1);
        top = number > top ? number : top;
    }
    uint32_t *user = fs_zalloc((size_t)top + 1, sizeof *user); /* rank + 1 */
    fs_status status = user ? FS_OK : fs_fail_nomem(r->err);
    uint32_t rank = 0;
    for (const fs_json *v = fs_json_first(list); v && status == FS_OK; v = fs_json_next(v), rank++) {
        uint32_t gpu = (uint32_t)fs_json_number(v);
        if (user[gpu] != 0)
            status = fs_json_fail(r->doc, v, false, r->err, "ranks %u and %u are both placed on GPU %u", user[gpu] - 1, rank, gpu);
        else
            status = fs_work_place(r->b, rank, gpu, r->err);
        user[gpu] = rank + 1;
    }
    fs_free(user);
    return status;
}

/* ---- fields of an op -------------------------------------------------------------------------------------------- */

static fs_status quantity(reader *r, uint32_t f, bool required, fs_unit unit, double high, double *out)
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

static fs_status unsigned_number(reader *r, uint32_t f, bool required, uint32_t high, uint32_t *out)
{
    uint64_t number = 0;
    if (r->field[f] == NULL && !required)
        return FS_OK;
    fs_status status = fs_json_uint_in(r->doc, r->op_json, field_names[f], required, 0, high, &number, r->err);
    if (status == FS_OK)
        *out = (uint32_t)number;
    return status;
}

static fs_status choice(reader *r, uint32_t f, const char *const *names, size_t count, uint8_t *out)
{
    uint32_t index = *out;
    if (r->field[f] == NULL)
        return FS_OK;
    fs_status status = fs_json_enum_in(r->doc, r->op_json, field_names[f], false, names, count, &index, r->err);
    if (status == FS_OK)
        *out = (uint8_t)index;
    return status;
}

static fs_status text(reader *r, uint32_t f, const char **out)
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

static fs_status group(reader *r, uint32_t *family)
{
    const char *name = NULL;
    if (r->field[F_GROUP] == NULL)
        return fs_json_fail(r->doc, r->op_json, false, r->err, "%s needs a 'group'", op_names[r->kind]);
    fs_status status = text(r, F_GROUP, &name);
    if (status != FS_OK)
        return status;
    for (uint32_t i = 0; i < r->n_families; i++)
        if (strcmp(r->families[i], name) == 0) {
            *family = i;
            return FS_OK;
        }
    const char *near = fs_suggest(name, r->families, r->n_families);
    return fs_json_fail(r->doc, r->field[F_GROUP], false, r->err, near ? "unknown group '%.100s' (did you mean '%.100s'?)"
                        : "unknown group '%.100s'", name, near);
}

static fs_status find_fields(reader *r)
{
    const char *allowed[FIELDS];
    uint32_t n_allowed = 0, position = 0;
    memset(r->field, 0, sizeof r->field);
    for (const fs_json *v = fs_json_first(r->op_json); v; v = fs_json_next(v), position++) {
        const char *key = fs_json_key(v);
        uint32_t f = position < FIELDS ? r->expected[position] : 0;
        if (strcmp(field_names[f], key) != 0)
            for (f = 0; f < FIELDS && strcmp(field_names[f], key) != 0;)
                f++;
        if (f == FIELDS || !(op_kinds[r->kind].fields & BIT(f)))
            break;
        r->field[f] = v;
        if (position < FIELDS)
            r->expected[position] = (uint8_t)f;
    }
    if (position == fs_json_count(r->op_json))
        return FS_OK;
    for (uint32_t f = 0; f < FIELDS; f++)
        if (op_kinds[r->kind].fields & BIT(f))
            allowed[n_allowed++] = field_names[f];
    return fs_json_only(r->doc, r->op_json, allowed, n_allowed, r->err);
}

/* ---- ids -------------------------------------------------------------------------------------------------------- */

static uint32_t *id_slot(const reader *r, const char *id)
{
    uint32_t mask = r->n_slots - 1, at = (uint32_t)fs_hash_bytes(FS_HASH_START, id, strlen(id)) & mask;
    while (r->slots[at] != 0 && strcmp(r->ids[r->slots[at] - 1], id) != 0)
        at = (at + 1) & mask;
    return &r->slots[at];
}

static fs_status collect_ids(reader *r, const fs_json *ops)
{
    uint32_t index = 0, n_ids = 0;
    r->ids = fs_zalloc(r->n_ops, sizeof *r->ids);
    if (r->ids == NULL)
        return fs_fail_nomem(r->err);
    for (const fs_json *op = fs_json_first(ops); op; op = fs_json_next(op), index++) {
        const fs_json *id = fs_json_kind(op) == FS_JSON_OBJECT ? fs_json_get(op, "id") : NULL;
        if (id && fs_json_kind(id) == FS_JSON_STRING) {
            r->ids[index] = fs_json_string(id);
            n_ids++;
        }
    }
    for (r->n_slots = 8; r->n_slots < 2 * n_ids;)
        r->n_slots *= 2;
    r->slots = fs_zalloc(r->n_slots, sizeof *r->slots);
    if (r->slots == NULL)
        return fs_fail_nomem(r->err);
    index = 0;
    for (const fs_json *op = fs_json_first(ops); op && n_ids > 0; op = fs_json_next(op), index++) {
        if (r->ids[index] == NULL)
            continue;
        uint32_t *slot = id_slot(r, r->ids[index]);
        if (*slot != 0)
            return fs_json_fail(r->doc, fs_json_get(op, "id"), false, r->err, "id '%.100s' is used twice in this program",
                                r->ids[index]);
        *slot = index + 1;
    }
    return FS_OK;
}

/* ops[] with ids, for a suggestion. */
static fs_status unknown_id(const reader *r, const fs_json *value)
{
    const char **known = fs_alloc(r->n_ops, sizeof *known);
    uint32_t n = 0;
    if (known == NULL)
        return fs_fail_nomem(r->err);
    for (uint32_t i = 0; i < r->n_ops; i++)
        if (r->ids[i])
            known[n++] = r->ids[i];
    const char *near = fs_suggest(fs_json_string(value), known, n);
    fs_status status = fs_json_fail(r->doc, value, false, r->err, near ? "no op of this program has id '%.100s' (did you mean "
                                    "'%.100s'?)" : "no op of this program has id '%.100s'", fs_json_string(value), near);
    fs_free(known);
    return status;
}

static fs_status read_after(reader *r)
{
    const fs_json *after = r->field[F_AFTER];
    r->deps.count = 0;
    bool list = after && fs_json_kind(after) == FS_JSON_ARRAY;
    for (const fs_json *v = list ? fs_json_first(after) : after; v; v = list ? fs_json_next(v) : NULL) {
        if (fs_json_kind(v) != FS_JSON_STRING)
            return fs_json_fail(r->doc, v, false, r->err, "'after' takes the id of an op, or a list of them");
        uint32_t slot = *id_slot(r, fs_json_string(v));
        if (slot == 0)
            return unknown_id(r, v);
        if (FS_PUSH(&r->deps, slot - 1) == NULL)
            return fs_fail_nomem(r->err);
    }
    return FS_OK;
}

/* ---- ops -------------------------------------------------------------------------------------------------------- */

/* Leaves *seconds alone where there is no duration. */
static fs_status read_duration(reader *r, double *seconds)
{
    double us = -1;
    if (r->field[F_DURATION_US] && r->field[F_DURATION_S])
        return fs_json_fail(r->doc, r->field[F_DURATION_S], true, r->err, "either 'duration_us' or 'duration_s', not both");
    if (r->field[F_DURATION_US]) {
        fs_status status = quantity(r, F_DURATION_US, true, FS_UNIT_NONE, FS_TRACE_SECONDS_MAX * 1e6, &us);
        if (status == FS_OK)
            *seconds = us * 1e-6;
        return status;
    }
    return quantity(r, F_DURATION_S, false, FS_UNIT_NONE, FS_TRACE_SECONDS_MAX, seconds);
}

static fs_status read_compute(reader *r, fs_op *op)
{
    const fs_json *amount = r->field[F_FLOPS] ? r->field[F_FLOPS] : r->field[F_BYTES];
    fs_status status = read_duration(r, &op->duration_s);
    if (status == FS_OK)
        status = quantity(r, F_FLOPS, false, FS_UNIT_FLOP, FS_TRACE_FLOPS_MAX, &op->flops);
    if (status == FS_OK)
        status = quantity(r, F_BYTES, false, FS_UNIT_BYTES, FS_TRACE_BYTES_MAX, &op->bytes);
    if (status == FS_OK)
        status = choice(r, F_DTYPE, fs_dtype_names, FS_DTYPES, &op->dtype);
    if (status != FS_OK)
        return status;
    if (amount && op->duration_s >= 0)
        return fs_json_fail(r->doc, amount, true, r->err, "a compute op has a duration, or flops and bytes, not both");
    if (!amount && op->duration_s < 0)
        return fs_json_fail(r->doc, r->op_json, false, r->err, "a compute op needs 'duration_us', or 'flops' and 'bytes'");
    return FS_OK;
}

static fs_status read_share(reader *r, fs_op *op)
{
    double share = 0; /* below 1 by more than a float's rounding */
    if (r->field[F_SM_SHARE] == NULL)
        return FS_OK;
    fs_status status = fs_json_number_in(r->doc, r->op_json, "sm_share", true, 0, 0.9999, &share, r->err);
    op->sm_share = (float)share;
    return status;
}

static fs_status read_collective(reader *r, fs_op *op)
{
    fs_status status = group(r, &op->family);
    if (status == FS_OK && op->coll != FS_BARRIER)
        status = quantity(r, F_SIZE, true, FS_UNIT_BYTES, FS_TRACE_BYTES_MAX, &op->size_bytes);
    if (status == FS_OK)
        status = choice(r, F_ALGO, fs_algo_names, FS_ALGOS, &op->algo);
    if (status == FS_OK)
        status = choice(r, F_PROTO, fs_proto_names, FS_PROTOS, &op->proto);
    if (status == FS_OK)
        status = unsigned_number(r, F_ROOT, false, r->n_ranks - 1, &op->root);
    return status == FS_OK ? read_share(r, op) : status;
}

static fs_status read_message(reader *r, fs_op *op)
{
    uint32_t to = op->kind == FS_OP_SEND ? F_TO : F_FROM, peer = 0;
    const fs_json *shift = r->field[F_SHIFT];
    fs_status status = FS_OK;
    if ((r->field[to] != NULL) == (shift != NULL))
        return fs_json_fail(r->doc, r->op_json, false, r->err, "%s needs either '%s', or 'group' and 'shift'", op_names[r->kind],
                            field_names[to]);
    if (shift) {
        double number = 0;
        status = fs_json_number_in(r->doc, r->op_json, "shift", true, -FS_RANKS_MAX, FS_RANKS_MAX, &number, r->err);
        op->peer = (int32_t)number;
        if (status == FS_OK && (number > op->peer || number < op->peer))
            status = fs_json_fail(r->doc, shift, false, r->err, "'shift' is a whole number of positions in the group");
        if (status == FS_OK)
            status = group(r, &op->family);
    } else {
        if (r->field[F_GROUP])
            return fs_json_fail(r->doc, r->field[F_GROUP], true, r->err, "'group' goes with 'shift', not with '%s'", field_names[to]);
        status = unsigned_number(r, to, true, r->n_ranks - 1, &peer);
        op->peer = (int32_t)peer;
    }
    if (status == FS_OK)
        status = unsigned_number(r, F_TAG, false, UINT32_MAX, &op->tag);
    if (status == FS_OK)
        status = quantity(r, F_SIZE, true, FS_UNIT_BYTES, FS_TRACE_BYTES_MAX, &op->size_bytes);
    return status == FS_OK ? read_share(r, op) : status;
}

/* Which op it is: kept from the last one where that is right again. */
static fs_status read_kind(reader *r)
{
    if (fs_json_kind(r->op_json) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, r->op_json, false, r->err, "expected an op: {\"op\": \"all_reduce\", ...}");
    const fs_json *name = fs_json_get(r->op_json, "op");
    if (name && fs_json_kind(name) == FS_JSON_STRING && strcmp(fs_json_string(name), op_names[r->kind]) == 0)
        return FS_OK;
    return fs_json_enum_in(r->doc, r->op_json, "op", true, op_names, COUNT(op_names), &r->kind, r->err);
}

static fs_status read_op(reader *r, const fs_json *json)
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
        status = choice(r, F_PHASE, fs_phase_names, FS_PHASES, &op.phase);
    if (status == FS_OK)
        status = text(r, F_STREAM, &stream);
    if (status == FS_OK)
        status = text(r, F_ID, &id);
    const char *name = id ? id : fs_op_label(&op);
    if (status == FS_OK)
        status = text(r, F_NAME, &name);
    if (status == FS_OK)
        status = read_after(r);
    if (status == FS_OK)
        status = blame(r, r->field[F_STREAM], fs_work_stream(r->b, stream, &op.stream, r->err));
    if (status == FS_OK)
        status = fs_work_name(r->b, name, &op.name, r->err);
    return status == FS_OK ? fs_work_op(r->b, r->program, &op, r->deps.data, r->deps.count, NULL, r->err) : status;
}

/* ---- programs --------------------------------------------------------------------------------------------------- */

static fs_status assign(reader *r, const fs_json *program)
{
    const fs_json *set = fs_json_get(program, "ranks");
    uint_list ranks = {0};
    fs_status status = FS_OK;
    if (set)
        status = read_ranks(r, set, &ranks);
    uint32_t n = set ? ranks.count : r->n_ranks;
    if (status == FS_OK && n == 0)
        status = fs_json_fail(r->doc, set, false, r->err, "a program that no rank runs");
    for (uint32_t i = 0; i < n && status == FS_OK; i++)
        status = fs_work_assign(r->b, set ? ranks.data[i] : i, r->program, r->err);
    fs_free(ranks.data);
    return blame(r, set ? set : program, status);
}

static fs_status read_program(reader *r, const fs_json *json, uint32_t number)
{
    static const char *const keys[] = {"name", "ranks", "ops"};
    char default_name[32];
    const char *name = default_name;
    const fs_json *ops = fs_json_get(json, "ops");
    snprintf(default_name, sizeof default_name, "program %u", number);
    if (fs_json_kind(json) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, json, false, r->err, "expected a program: {\"ranks\": .., \"ops\": [..]}");
    fs_status status = fs_json_only(r->doc, json, keys, COUNT(keys), r->err);
    if (status == FS_OK)
        status = fs_json_string_in(r->doc, json, "name", false, &name, r->err);
    if (status == FS_OK && (ops == NULL || fs_json_kind(ops) != FS_JSON_ARRAY))
        status = fs_json_fail(r->doc, ops ? ops : json, false, r->err, "a program needs 'ops', a list");
    if (status == FS_OK)
        status = fs_work_program(r->b, name, &r->program, r->err);
    if (status == FS_OK)
        status = assign(r, json);
    if (status != FS_OK)
        return status;
    r->n_ops = fs_json_count(ops);
    status = fs_work_reserve(r->b, r->program, r->n_ops, r->err);
    if (status == FS_OK)
        status = collect_ids(r, ops);
    for (const fs_json *op = fs_json_first(ops); op && status == FS_OK; op = fs_json_next(op))
        status = read_op(r, op);
    fs_free(r->ids);
    fs_free(r->slots);
    r->ids = NULL;
    r->slots = NULL;
    return status;
}

static fs_status read_memory(const reader *r, const fs_json *json, fs_memory *memory)
{
    static const char *const keys[] = {"weights", "gradients", "optimizer", "activations"};
    double *out[] = {&memory->weights, &memory->gradients, &memory->optimizer, &memory->activations};
    if (json == NULL)
        return FS_OK;
    if (fs_json_kind(json) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, json, false, r->err, "expected an object");
    fs_status status = fs_json_only(r->doc, json, keys, COUNT(keys), r->err);
    for (size_t i = 0; i < COUNT(keys) && status == FS_OK; i++)
        status = fs_json_quantity_in(r->doc, json, keys[i], false, FS_UNIT_BYTES, 0, FS_TRACE_BYTES_MAX, out[i], r->err);
    return status;
}

/* What the whole step is worth: for MFU and tokens/s. */
static fs_status read_totals(const reader *r, const fs_json *json)
{
    static const char *const keys[] = {"model_flops", "hardware_flops", "tokens", "samples", "dtype", "memory"};
    fs_totals totals = {.dtype = FS_FP16};
    double *out[] = {&totals.model_flops, &totals.hardware_flops, &totals.tokens, &totals.samples};
    const fs_unit unit[] = {FS_UNIT_FLOP, FS_UNIT_FLOP, FS_UNIT_NONE, FS_UNIT_NONE};
    uint32_t dtype = FS_FP16;
    if (json == NULL)
        return FS_OK;
    if (fs_json_kind(json) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, json, false, r->err, "expected an object");
    fs_status status = fs_json_only(r->doc, json, keys, COUNT(keys), r->err);
    for (size_t i = 0; i < COUNT(out) && status == FS_OK; i++)
        status = fs_json_quantity_in(r->doc, json, keys[i], false, unit[i], 0, FS_TRACE_FLOPS_MAX, out[i], r->err);
    if (status == FS_OK)
        status = fs_json_enum_in(r->doc, json, "dtype", false, fs_dtype_names, FS_DTYPES, &dtype, r->err);
    if (status == FS_OK)
        status = read_memory(r, fs_json_get(json, "memory"), &totals.memory);
    totals.dtype = (fs_dtype)dtype;
    if (status == FS_OK)
        fs_work_set_totals(r->b, &totals);
    return status;
}

fs_status fs_trace_read_ops(const fs_json_doc *doc, fs_work_builder *b, fs_err *err)
{
    static const char *const keys[] = {"fabsim", "kind", "name", "note", "ranks", "placement", "groups", "programs", "totals"};
    const fs_json *root = fs_json_root(doc), *programs = fs_json_get(root, "programs");
    reader r = {.doc = doc, .b = b, .err = err, .at = {.doc = doc}};
    uint64_t n_ranks = 0;
    const char *note = "";
    fs_status status = fs_json_only(doc, root, keys, COUNT(keys), err);
    if (status == FS_OK)
        status = fs_json_uint_in(doc, root, "ranks", true, 1, FS_RANKS_MAX, &n_ranks, err);
    r.n_ranks = (uint32_t)n_ranks;
    if (status == FS_OK)
        status = fs_json_string_in(doc, root, "note", false, &note, err);
    if (status == FS_OK)
        status = fs_work_set_note(b, note, err);
    if (status == FS_OK)
        status = fs_work_set_ranks(b, r.n_ranks, err);
    if (status == FS_OK)
        status = read_placement(&r, fs_json_get(root, "placement"));
    if (status == FS_OK)
        status = read_groups(&r, fs_json_get(root, "groups"));
    if (status == FS_OK)
        status = read_totals(&r, fs_json_get(root, "totals"));
    if (status == FS_OK && (fs_json_kind(programs) != FS_JSON_ARRAY || fs_json_count(programs) == 0))
        status = fs_json_fail(doc, programs ? programs : root, false, err, "an ops trace needs 'programs', a list of at least one");
    uint32_t number = 0;
    for (const fs_json *p = status == FS_OK ? fs_json_first(programs) : NULL; p && status == FS_OK; p = fs_json_next(p))
        status = read_program(&r, p, number++);
    fs_free(r.deps.data);
    return status;
}
