/* ops_trace.c - kind "ops": programs written out op by op (docs/FORMATS.md, Trace). Here: ranks, groups, programs,
 * totals; ops_fields.c reads the ops, ops_lists.c kernel lists and loads. Cost: O(values of the document). */
#include "work/ops_reader.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

fs_status fs_ops_blame(const fs_ops_reader *r, const fs_json *value, fs_status status)
{
    char text[FS_ERR_TEXT_MAX];
    if (status != FS_E_TRACE || r->err->line != 0)
        return status;
    memcpy(text, r->err->text, sizeof text);
    return fs_json_fail(r->doc, value, false, r->err, "%s", text);
}

/* ---- ranks and groups ------------------------------------------------------------------------------------------- */

static fs_status push_rank(const fs_ops_reader *r, const fs_json *value, uint64_t rank, fs_uint_list *ranks)
{
    if (rank >= r->n_ranks)
        return fs_json_fail(r->doc, value, false, r->err, "rank %llu, but there are %u ranks", (unsigned long long)rank,
                            r->n_ranks);
    if (ranks->count >= r->n_ranks)
        return fs_json_fail(r->doc, value, false, r->err, "more members than there are ranks (%u)", r->n_ranks);
    return FS_PUSH(ranks, (uint32_t)rank) ? FS_OK : fs_fail_nomem(r->err);
}

/* Digits at *text, fewer than 10 of them; moves *text behind them. */
static bool read_number(const char **text, uint64_t *number)
{
    uint32_t digits = 0;
    for (*number = 0; **text >= '0' && **text <= '9' && digits < 10; ++*text, digits++)
        *number = *number * 10 + (uint64_t)(**text - '0');
    return digits > 0 && digits < 10;
}

/* "all", or "0-3,6". */
static fs_status read_rank_text(const fs_ops_reader *r, const fs_json *value, fs_uint_list *ranks)
{
    const char *text = fs_json_string(value);
    bool all = strcmp(text, "all") == 0;
    fs_status status = FS_OK;
    for (uint64_t rank = 0; all && rank < r->n_ranks && status == FS_OK; rank++)
        status = push_rank(r, value, rank, ranks);
    for (bool more = !all; more && status == FS_OK;) {
        uint64_t first, last;
        bool good = read_number(&text, &first);
        last = first;
        if (good && *text == '-') {
            text++;
            good = read_number(&text, &last) && first <= last;
        }
        if (!good || (*text != ',' && *text != '\0'))
            return fs_json_fail(r->doc, value, false, r->err,
                                "'%.100s' is no set of ranks; expected \"all\", a list of ranks, or "
                                "ranges such as \"0-3,6\"",
                                fs_json_string(value));
        more = *text++ == ',';
        for (uint64_t rank = first; rank <= last && status == FS_OK; rank++)
            status = push_rank(r, value, rank, ranks);
    }
    return status;
}

/* A set of ranks: "all", "0-3,6", or [0, 1, 2, 3, 6]. Appends. */
static fs_status read_ranks(const fs_ops_reader *r, const fs_json *value, fs_uint_list *ranks)
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

/* One number, or a list of as many as the other key has. */
static fs_status read_digit_list(const fs_ops_reader *r, const fs_json *value, uint32_t *numbers, uint32_t *n)
{
    for (const fs_json *v = fs_json_first(value); v; v = fs_json_next(v)) {
        double number = fs_json_kind(v) == FS_JSON_NUMBER ? fs_json_number(v) : 0;
        if (!(number >= 1 && number <= r->n_ranks) || number > (double)(uint32_t)number)
            return fs_json_fail(r->doc, v, false, r->err, "expected a whole number, 1 to %u", r->n_ranks);
        if (*n == FS_FAMILY_DIGITS_MAX)
            return fs_json_fail(r->doc, v, false, r->err, "at most %d sizes and strides", FS_FAMILY_DIGITS_MAX);
        numbers[(*n)++] = (uint32_t)number;
    }
    return FS_OK;
}

/* {"size": [..], "stride": [..]}: ranks that differ in several digits. */
static fs_status read_digits(fs_ops_reader *r, const fs_json *value, const char *name, uint32_t *id)
{
    const fs_json *size = fs_json_get(value, "size"), *stride = fs_json_get(value, "stride");
    uint32_t sizes[FS_FAMILY_DIGITS_MAX], strides[FS_FAMILY_DIGITS_MAX], n = 0, n_strides = 0;
    fs_digit digits[FS_FAMILY_DIGITS_MAX];
    if (fs_json_kind(stride) != FS_JSON_ARRAY)
        return fs_json_fail(r->doc, value, false, r->err, "'size' is a list, so 'stride' is one of as many numbers");
    fs_status status = read_digit_list(r, size, sizes, &n);
    if (status == FS_OK)
        status = read_digit_list(r, stride, strides, &n_strides);
    if (status == FS_OK && n != n_strides)
        status = fs_json_fail(r->doc, stride, false, r->err, "%u sizes, but %u strides", n, n_strides);
    for (uint32_t i = 0; i < n; i++)
        digits[i] = (fs_digit){sizes[i], strides[i]};
    return status == FS_OK ? fs_work_family_digits(r->b, name, digits, n, id, r->err) : status;
}

static fs_status read_strided(fs_ops_reader *r, const fs_json *value, const char *name, uint32_t *id)
{
    static const char *const keys[] = {"size", "stride"};
    uint64_t size = 0, stride = 1;
    fs_status status = fs_json_only(r->doc, value, keys, COUNT(keys), r->err);
    if (status == FS_OK && fs_json_kind(fs_json_get(value, "size")) == FS_JSON_ARRAY)
        return read_digits(r, value, name, id);
    if (status == FS_OK)
        status = fs_json_uint_in(r->doc, value, "size", true, 1, r->n_ranks, &size, r->err);
    if (status == FS_OK)
        status = fs_json_uint_in(r->doc, value, "stride", false, 1, r->n_ranks, &stride, r->err);
    return status == FS_OK ? fs_work_family_strided(r->b, name, (uint32_t)size, (uint32_t)stride, id, r->err) : status;
}

/* [[0, 1], [2, 3]] or ["0-1", "2-3"]: several sets; [0, 1] or "0-1": one. */
static fs_status read_sets(fs_ops_reader *r, const fs_json *value, const char *name, uint32_t *id)
{
    fs_uint_list begin = {0}, ranks = {0};
    const fs_json *first = fs_json_kind(value) == FS_JSON_ARRAY ? fs_json_first(value) : NULL;
    bool several = first && fs_json_kind(first) != FS_JSON_NUMBER;
    fs_status status = FS_PUSH(&begin, 0) ? FS_OK : fs_fail_nomem(r->err);
    for (const fs_json *set = several ? first : value; set && status == FS_OK;
         set = several ? fs_json_next(set) : NULL) {
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

static fs_status read_groups(fs_ops_reader *r, const fs_json *groups)
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
            status = fs_json_fail(r->doc, g, false, r->err,
                                  "expected \"all\", sets of ranks, or {\"size\": .., \"stride\": ..}");
        status = fs_ops_blame(r, g, status);
        if (status == FS_OK && id > 0)
            r->families[r->n_families++] = fs_json_key(g);
    }
    return status;
}

static fs_status read_placement(fs_ops_reader *r, const fs_json *list)
{
    if (list == NULL)
        return FS_OK;
    if (fs_json_kind(list) != FS_JSON_ARRAY || fs_json_count(list) != r->n_ranks)
        return fs_json_fail(r->doc, list, false, r->err, "expected a list of %u GPU numbers, one for each rank",
                            r->n_ranks);
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
            status = fs_json_fail(r->doc, v, false, r->err, "ranks %u and %u are both placed on GPU %u", user[gpu] - 1,
                                  rank, gpu);
        else
            status = fs_work_place(r->b, rank, gpu, r->err);
        user[gpu] = rank + 1;
    }
    fs_free(user);
    return status;
}

/* ---- programs --------------------------------------------------------------------------------------------------- */

static fs_status assign(fs_ops_reader *r, const fs_json *program)
{
    const fs_json *set = fs_json_get(program, "ranks");
    fs_uint_list ranks = {0};
    fs_status status = FS_OK;
    if (set)
        status = read_ranks(r, set, &ranks);
    uint32_t n = set ? ranks.count : r->n_ranks;
    if (status == FS_OK && n == 0)
        status = fs_json_fail(r->doc, set, false, r->err, "a program that no rank runs");
    for (uint32_t i = 0; i < n && status == FS_OK; i++)
        status = fs_work_assign(r->b, set ? ranks.data[i] : i, r->program, r->err);
    fs_free(ranks.data);
    return fs_ops_blame(r, set ? set : program, status);
}

static fs_status read_program(fs_ops_reader *r, const fs_json *json, uint32_t number)
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
        status = fs_ops_collect_ids(r, ops);
    for (const fs_json *op = fs_json_first(ops); op && status == FS_OK; op = fs_json_next(op))
        status = fs_ops_read(r, op);
    fs_free(r->ids);
    fs_index_free(&r->by_id);
    r->ids = NULL;
    return status;
}

static fs_status read_memory(const fs_ops_reader *r, const fs_json *json, fs_memory *memory)
{
    static const char *const keys[] = {"weights", "gradients", "optimizer", "activations"};
    double *out[] = {&memory->weights, &memory->gradients, &memory->optimizer, &memory->activations};
    if (json == NULL)
        return FS_OK;
    if (fs_json_kind(json) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, json, false, r->err, "expected an object");
    fs_status status = fs_json_only(r->doc, json, keys, COUNT(keys), r->err);
    for (size_t i = 0; i < COUNT(keys) && status == FS_OK; i++)
        status =
            fs_json_quantity_in(r->doc, json, keys[i], false, FS_UNIT_BYTES, 0, FS_TRACE_BYTES_MAX, out[i], r->err);
    return status;
}

/* What the whole step is worth: for MFU and tokens/s. */
static fs_status read_totals(const fs_ops_reader *r, const fs_json *json)
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
    static const char *const keys[] = {
        "fabsim",  "kind",  "name",     "note",   "ranks",  "placement",         "groups",
        "kernels", "loads", "programs", "totals", "faults", "kernel_efficiency", "nccl"};
    const fs_json *root = fs_json_root(doc), *programs = fs_json_get(root, "programs");
    fs_ops_reader r = {.doc = doc, .b = b, .err = err, .at = {.doc = doc}};
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
    if (status == FS_OK)
        status = fs_ops_read_lists(&r, fs_json_get(root, "kernels"), fs_json_get(root, "loads"));
    if (status == FS_OK && (fs_json_kind(programs) != FS_JSON_ARRAY || fs_json_count(programs) == 0))
        status = fs_json_fail(doc, programs ? programs : root, false, err,
                              "an ops trace needs 'programs', a list of at least one");
    uint32_t number = 0;
    for (const fs_json *p = status == FS_OK ? fs_json_first(programs) : NULL; p && status == FS_OK; p = fs_json_next(p))
        status = read_program(&r, p, number++);
    fs_free(r.deps.data);
    fs_ops_free_lists(&r);
    return status;
}
