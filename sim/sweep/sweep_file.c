/* sweep_file.c - reads a sweep file. See sweep.h and docs/FORMATS.md, "Sweep". */
#include "sweep/sweep_in.h"

#include <stdio.h>
#include <string.h>

/* ---- scalars and names -------------------------------------------------------------------------------------------- */

fs_status fs_sweep_scalar(const fs_sweep *s, const fs_json *value, fs_value *out, fs_err *err)
{
    switch (fs_json_kind(value)) {
    case FS_JSON_NUMBER: *out = (fs_value){.kind = FS_VALUE_NUMBER, .number = fs_json_number(value)}; return FS_OK;
    case FS_JSON_BOOL: *out = (fs_value){.kind = FS_VALUE_BOOL, .number = fs_json_bool(value)}; return FS_OK;
    case FS_JSON_STRING: *out = (fs_value){.kind = FS_VALUE_TEXT, .text = fs_json_string(value)}; return FS_OK;
    default: return fs_json_fail(s->doc, value, false, err, "expected a number, a text, true or false");
    }
}

fs_status fs_sweep_name(const fs_sweep *s, const fs_json *member, const char **name, fs_err *err)
{
    const char *key = fs_json_key(member);
    bool bad = key[0] == '\0' || strlen(key) > FS_SETTING_SIZE / 2;
    for (const char *c = key; *c; c++)
        bad |= (unsigned char)*c <= ' ' || strchr("\"\\`=", *c) != NULL;
    if (bad)
        return fs_json_fail(s->doc, member, true, err,
                            "a setting is a path such as parallel.tp or network.ib.oversubscription");
    *name = key;
    return FS_OK;
}

static fs_status read_list(const fs_sweep *s, const fs_json *object, fs_setting_list *list, fs_err *err)
{
    if (!object)
        return FS_OK;
    if (fs_json_kind(object) != FS_JSON_OBJECT)
        return fs_json_fail(s->doc, object, false, err, "expected an object of settings: {\"parallel.tp\": 8}");
    list->data = fs_arena_alloc(s->arena, fs_json_count(object), sizeof *list->data);
    fs_status status = list->data ? FS_OK : fs_fail_nomem(err);
    for (const fs_json *m = fs_json_first(object); m && status == FS_OK; m = fs_json_next(m)) {
        status = fs_sweep_name(s, m, &list->data[list->count].name, err);
        if (status == FS_OK)
            status = fs_sweep_scalar(s, m, &list->data[list->count++].value, err);
    }
    return status;
}

/* ---- topologies and traces ---------------------------------------------------------------------------------------- */

/* A path as the sweep file says it, from where that file is. */
static fs_status beside(const fs_sweep *s, const char *file, const char **path, fs_err *err)
{
    const char *slash = strrchr(s->path, '/');
    size_t n = slash && file[0] != '/' ? (size_t)(slash + 1 - s->path) : 0;
    char *text = fs_arena_alloc(s->arena, n + strlen(file) + 1, 1);
    if (!text)
        return fs_fail_nomem(err);
    memcpy(text, s->path, n);
    strcpy(text + n, file);
    *path = text;
    return FS_OK;
}

static fs_status read_input(const fs_sweep *s, const fs_json *value, fs_sweep_input *input, fs_err *err)
{
    static const char *const keys[] = {"file", "set"};
    fs_status status = FS_OK;
    if (fs_json_kind(value) == FS_JSON_STRING) {
        input->file = fs_json_string(value);
    } else if (fs_json_kind(value) == FS_JSON_OBJECT) {
        status = fs_json_only(s->doc, value, keys, 2, err);
        if (status == FS_OK)
            status = fs_json_string_in(s->doc, value, "file", true, &input->file, err);
        if (status == FS_OK)
            status = read_list(s, fs_json_get(value, "set"), &input->set, err);
    } else {
        status = fs_json_fail(s->doc, value, false, err, "expected a file, or {\"file\": ..., \"set\": {...}}");
    }
    if (status == FS_OK && input->file[0] == '\0')
        status = fs_json_fail(s->doc, value, false, err, "the name of a file is empty");
    return status == FS_OK ? beside(s, input->file, &input->path, err) : status;
}

static fs_status read_inputs(const fs_sweep *s, const char *key, fs_sweep_input **inputs, uint32_t *count, fs_err *err)
{
    const fs_json *root = fs_json_root(s->doc), *list = fs_json_get(root, key);
    if (fs_json_kind(list) != FS_JSON_ARRAY || fs_json_count(list) == 0)
        return fs_json_fail(s->doc, list ? list : root, false, err, "'%s' is a list of at least one file", key);
    *inputs = fs_arena_alloc(s->arena, fs_json_count(list), sizeof **inputs);
    fs_status status = *inputs ? FS_OK : fs_fail_nomem(err);
    for (const fs_json *v = fs_json_first(list); v && status == FS_OK; v = fs_json_next(v))
        status = read_input(s, v, &(*inputs)[(*count)++], err);
    return status;
}

/* ---- axes --------------------------------------------------------------------------------------------------------- */

fs_status fs_sweep_axis(fs_sweep *s, const fs_json *at, uint32_t n_names, uint32_t n_values, fs_axis **axis,
                        fs_err *err)
{
    if (s->n_axes == FS_AXES_MAX)
        return fs_json_fail(s->doc, at, true, err, "more than %d lists", FS_AXES_MAX);
    if (n_names > FS_SETTINGS_MAX)
        return fs_json_fail(s->doc, at, true, err, "more than %d settings", FS_SETTINGS_MAX);
    fs_axis *a = &s->axes[s->n_axes];
    *a = (fs_axis){.n_names = n_names,
                   .n_values = n_values,
                   .names = fs_arena_alloc(s->arena, n_names, sizeof *a->names),
                   .values = fs_arena_alloc(s->arena, (size_t)n_names * n_values, sizeof *a->values)};
    if (!a->names || !a->values)
        return fs_fail_nomem(err);
    s->n_axes++;
    *axis = a;
    return FS_OK;
}

static fs_status read_column(fs_sweep *s, const fs_json *list, fs_axis *axis, uint32_t column, fs_err *err)
{
    uint32_t i = 0;
    fs_status status = fs_sweep_name(s, list, &axis->names[column], err);
    for (const fs_json *v = fs_json_first(list); v && status == FS_OK; v = fs_json_next(v), i++)
        status = fs_sweep_scalar(s, v, &axis->values[(size_t)i * axis->n_names + column], err);
    return status;
}

/* An object of lists: each an axis, or all of them one. */
static fs_status read_lists(fs_sweep *s, const fs_json *object, bool zipped, fs_err *err)
{
    if (fs_json_kind(object) != FS_JSON_OBJECT || fs_json_count(object) == 0)
        return fs_json_fail(s->doc, object, false, err, "expected lists of values: {\"parallel.tp\": [1, 2, 4]}");
    uint32_t column = 0, n_values = fs_json_count(fs_json_first(object));
    fs_status status = FS_OK;
    fs_axis *axis = NULL;
    for (const fs_json *m = fs_json_first(object); m && status == FS_OK; m = fs_json_next(m)) {
        if (fs_json_kind(m) != FS_JSON_ARRAY || fs_json_count(m) == 0)
            return fs_json_fail(s->doc, m, false, err, "expected a list of values, not an empty one");
        if (zipped && fs_json_count(m) != n_values)
            return fs_json_fail(s->doc, m, false, err,
                                "zipped lists are of one length: %u values here, %u in the first", fs_json_count(m),
                                n_values);
        if (!zipped || !axis)
            status = fs_sweep_axis(s, m, zipped ? fs_json_count(object) : 1, fs_json_count(m), &axis, err);
        if (status == FS_OK)
            status = read_column(s, m, axis, zipped ? column++ : 0, err);
    }
    return status;
}

static fs_status read_zips(fs_sweep *s, fs_err *err)
{
    const fs_json *zips = fs_json_get(fs_json_root(s->doc), "zip");
    fs_status status = FS_OK;
    if (fs_json_kind(zips) == FS_JSON_OBJECT)
        return read_lists(s, zips, true, err);
    if (zips && fs_json_kind(zips) != FS_JSON_ARRAY)
        return fs_json_fail(s->doc, zips, false, err, "expected an object of lists of one length, or a list of such");
    for (const fs_json *z = fs_json_first(zips); z && status == FS_OK; z = fs_json_next(z))
        status = read_lists(s, z, true, err);
    return status;
}

/* "points": a list of objects, one axis. A point that does not name a setting leaves it. */
static fs_status fill_point(fs_sweep *s, const fs_json *object, fs_axis *axis, uint32_t row, uint32_t *n_names,
                            fs_err *err)
{
    fs_status status = FS_OK;
    for (const fs_json *m = fs_json_first(object); m && status == FS_OK; m = fs_json_next(m)) {
        const char *name = NULL;
        uint32_t k = 0;
        status = fs_sweep_name(s, m, &name, err);
        while (status == FS_OK && k < *n_names && strcmp(axis->names[k], name) != 0)
            k++;
        if (status == FS_OK && k == axis->n_names)
            status = fs_json_fail(s->doc, m, true, err, "the points name more than %d settings", FS_SETTINGS_MAX);
        if (status != FS_OK)
            return status;
        *n_names += k == *n_names;
        axis->names[k] = name;
        status = fs_sweep_scalar(s, m, &axis->values[(size_t)row * axis->n_names + k], err);
    }
    return status;
}

static fs_status read_points(fs_sweep *s, fs_err *err)
{
    const fs_json *points = fs_json_get(fs_json_root(s->doc), "points");
    uint32_t row = 0, n_names = 0;
    fs_axis *axis = NULL;
    if (!points)
        return FS_OK;
    if (fs_json_kind(points) != FS_JSON_ARRAY || fs_json_count(points) == 0)
        return fs_json_fail(s->doc, points, false, err, "expected a list of points: [{\"parallel.tp\": 8}]");
    fs_status status = fs_sweep_axis(s, points, FS_SETTINGS_MAX, fs_json_count(points), &axis, err);
    for (const fs_json *p = fs_json_first(points); p && status == FS_OK; p = fs_json_next(p))
        status = fs_json_kind(p) == FS_JSON_OBJECT
                     ? fill_point(s, p, axis, row++, &n_names, err)
                     : fs_json_fail(s->doc, p, false, err, "expected a point: {\"parallel.tp\": 8}");
    for (uint32_t k = n_names; status == FS_OK && k < axis->n_names; k++)
        axis->names[k] = "";
    return status;
}

/* A setting that varies twice would only vary once. */
static fs_status check_axes(const fs_sweep *s, fs_err *err)
{
    for (uint32_t i = 0; i < s->n_axes; i++)
        for (uint32_t k = 0; k < s->axes[i].n_names; k++)
            for (uint32_t j = 0; j < i; j++)
                for (uint32_t l = 0; l < s->axes[j].n_names; l++)
                    if (s->axes[i].names[k][0] && strcmp(s->axes[i].names[k], s->axes[j].names[l]) == 0)
                        return fs_fail_at(err, FS_E_USAGE, s->path, 0, 0, "'%s' stands in two lists",
                                          s->axes[i].names[k]);
    return FS_OK;
}

/* ---- expressions -------------------------------------------------------------------------------------------------- */

static fs_status read_expr(const fs_sweep *s, const fs_json *value, fs_expr **expr, fs_err *err)
{
    if (fs_json_kind(value) != FS_JSON_STRING)
        return fs_json_fail(s->doc, value, false, err, "expected an expression as a text");
    fs_json_cursor cursor = {.doc = s->doc};
    fs_expr_place place = {.file = s->path, .status_if_bad = FS_E_USAGE};
    fs_json_place(&cursor, value, &place.line, &place.column);
    place.column++; /* behind the quote */
    return fs_expr_parse(fs_json_string(value), place, expr, err);
}

static fs_status read_conditions(fs_sweep *s, fs_err *err)
{
    const fs_json *where = fs_json_get(fs_json_root(s->doc), "where");
    if (!where)
        return FS_OK;
    bool list = fs_json_kind(where) == FS_JSON_ARRAY;
    s->conditions = fs_arena_alloc(s->arena, list ? fs_json_count(where) : 1, sizeof *s->conditions);
    fs_status status = s->conditions ? FS_OK : fs_fail_nomem(err);
    for (const fs_json *v = list ? fs_json_first(where) : where; v && status == FS_OK;
         v = list ? fs_json_next(v) : NULL) {
        status = read_expr(s, v, &s->conditions[s->n_conditions], err);
        s->n_conditions += status == FS_OK;
    }
    return status;
}

static fs_status read_derived(fs_sweep *s, fs_err *err)
{
    const fs_json *derive = fs_json_get(fs_json_root(s->doc), "derive");
    if (derive && fs_json_kind(derive) != FS_JSON_OBJECT)
        return fs_json_fail(s->doc, derive, false, err,
                            "expected expressions: {\"parallel.dp\": \"1024 / parallel.tp\"}");
    s->derived = fs_arena_alloc(s->arena, fs_json_count(derive), sizeof *s->derived);
    fs_status status = s->derived ? FS_OK : fs_fail_nomem(err);
    for (const fs_json *m = fs_json_first(derive); m && status == FS_OK; m = fs_json_next(m)) {
        status = fs_sweep_name(s, m, &s->derived[s->n_derived].name, err);
        if (status == FS_OK)
            status = read_expr(s, m, &s->derived[s->n_derived].expr, err);
        s->n_derived += status == FS_OK;
    }
    return status;
}

/* ---- the baseline ------------------------------------------------------------------------------------------------- */

static fs_status find_input(const fs_sweep *s, const fs_json *object, const char *key, const fs_sweep_input *inputs,
                            uint32_t count, uint32_t *index, fs_err *err)
{
    const char *file = NULL;
    fs_status status = fs_json_string_in(s->doc, object, key, false, &file, err);
    for (uint32_t i = 0; status == FS_OK && file; i++) {
        if (i == count)
            return fs_json_fail(s->doc, fs_json_get(object, key), false, err, "'%s' is not among the sweep's", file);
        if (strcmp(inputs[i].file, file) == 0) {
            *index = i;
            break;
        }
    }
    return status;
}

static fs_status read_baseline(fs_sweep *s, fs_err *err)
{
    static const char *const keys[] = {"topology", "trace", "set"};
    const fs_json *object = fs_json_get(fs_json_root(s->doc), "baseline");
    if (!object)
        return FS_OK;
    if (fs_json_kind(object) != FS_JSON_OBJECT)
        return fs_json_fail(s->doc, object, false, err, "expected {\"topology\": ..., \"trace\": ..., \"set\": {...}}");
    s->has_baseline = true;
    fs_status status = fs_json_only(s->doc, object, keys, sizeof keys / sizeof *keys, err);
    if (status == FS_OK)
        status = find_input(s, object, "topology", s->topologies, s->n_topologies, &s->baseline_topology, err);
    if (status == FS_OK)
        status = find_input(s, object, "trace", s->traces, s->n_traces, &s->baseline_trace, err);
    return status == FS_OK ? read_list(s, fs_json_get(object, "set"), &s->baseline, err) : status;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static fs_status read_head(fs_sweep *s, fs_err *err)
{
    static const char *const keys[] = {"fabsim", "name",   "source", "topologies", "traces",
                                       "set",    "grid",   "zip",    "random",     "latin_hypercube",
                                       "points", "derive", "where",  "baseline"};
    static const char *const versions[] = {"sweep/1"};
    const fs_json *root = fs_json_root(s->doc);
    const char *source = NULL;
    uint32_t version = 0;
    if (fs_json_kind(root) != FS_JSON_OBJECT)
        return fs_json_fail(s->doc, root, false, err, "a sweep is an object");
    fs_status status = fs_json_enum_in(s->doc, root, "fabsim", true, versions, 1, &version, err);
    if (status == FS_OK)
        status = fs_json_only(s->doc, root, keys, sizeof keys / sizeof *keys, err);
    if (status == FS_OK)
        status = fs_json_string_in(s->doc, root, "name", true, &s->name, err);
    return status == FS_OK ? fs_json_string_in(s->doc, root, "source", false, &source, err) : status;
}

static fs_status read_all(fs_sweep *s, fs_err *err)
{
    const fs_json *root = fs_json_root(s->doc), *grid = fs_json_get(root, "grid");
    fs_status status = read_head(s, err);
    if (status == FS_OK)
        status = read_inputs(s, "topologies", &s->topologies, &s->n_topologies, err);
    if (status == FS_OK)
        status = read_inputs(s, "traces", &s->traces, &s->n_traces, err);
    if (status == FS_OK)
        status = read_list(s, fs_json_get(root, "set"), &s->set, err);
    if (status == FS_OK && grid)
        status = read_lists(s, grid, false, err);
    if (status == FS_OK)
        status = read_zips(s, err);
    if (status == FS_OK)
        status = fs_sweep_read_samples(s, "random", false, err);
    if (status == FS_OK)
        status = fs_sweep_read_samples(s, "latin_hypercube", true, err);
    if (status == FS_OK)
        status = read_points(s, err);
    if (status == FS_OK)
        status = check_axes(s, err);
    if (status == FS_OK)
        status = read_derived(s, err);
    if (status == FS_OK)
        status = read_conditions(s, err);
    if (status == FS_OK)
        status = read_baseline(s, err);
    return status == FS_OK ? fs_sweep_enumerate(s, err) : status;
}

/* Takes the document. */
static fs_status build(const char *path, fs_json_doc *doc, fs_sweep **sweep, fs_err *err)
{
    fs_sweep *s = fs_zalloc(1, sizeof *s);
    if (!s) {
        fs_json_free(doc);
        return fs_fail_nomem(err);
    }
    s->doc = doc;
    s->arena = fs_arena_new();
    s->path = s->arena ? fs_arena_strdup(s->arena, path) : NULL;
    fs_status status = s->path ? read_all(s, err) : fs_fail_nomem(err);
    if (status != FS_OK) {
        fs_sweep_free(s);
        return status;
    }
    *sweep = s;
    return FS_OK;
}

fs_status fs_sweep_load(const char *path, fs_sweep **sweep, fs_err *err)
{
    fs_json_doc *doc = NULL;
    fs_status status = fs_json_read(path, FS_E_USAGE, &doc, err);
    return status == FS_OK ? build(path, doc, sweep, err) : status;
}

fs_status fs_sweep_parse(const char *path, const char *json, size_t length, fs_sweep **sweep, fs_err *err)
{
    fs_json_doc *doc = NULL;
    fs_status status = fs_json_parse(path, json, length, FS_E_USAGE, &doc, err);
    return status == FS_OK ? build(path, doc, sweep, err) : status;
}

void fs_sweep_free(fs_sweep *sweep)
{
    if (!sweep)
        return;
    for (uint32_t i = 0; i < sweep->n_derived; i++)
        fs_expr_free(sweep->derived[i].expr);
    for (uint32_t i = 0; i < sweep->n_conditions; i++)
        fs_expr_free(sweep->conditions[i]);
    fs_free(sweep->combinations.data);
    fs_json_free(sweep->doc);
    fs_arena_free(sweep->arena);
    fs_free(sweep);
}
