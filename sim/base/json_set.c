/* json_set.c - fs_json_set: replace a scalar of a document, or add a member, before anybody reads it.
 *
 * The path is walked with a stack of the containers on it; a new member is inserted behind its object's
 * subtree, and the containers on the stack grow by one value. Cost: O(values) for an insertion. Pointers into the tree
 * are not valid afterwards. */
#include "base/json_tree.h"

#include <string.h>

typedef struct walk {
    uint32_t open[FS_JSON_DEPTH_MAX]; /* containers on the path, by index */
    uint32_t depth;
    const char *name; /* the last component, not walked yet */
} walk;

/* The child of `parent` that a path component names, or NULL. */
static const fs_json *child(const fs_json *parent, const char *name, size_t length)
{
    bool array = fs_json_kind(parent) == FS_JSON_ARRAY;
    uint32_t index = 0, i = 0;
    for (size_t c = 0; c < length && array; c++) {
        if (name[c] < '0' || name[c] > '9' || index > FS_JSON_VALUES_MAX / 10)
            return NULL;
        index = index * 10 + (uint32_t)(name[c] - '0');
    }
    for (const fs_json *v = fs_json_first(parent); v != NULL; v = fs_json_next(v), i++)
        if (array ? i == index : strncmp(v->key, name, length) == 0 && v->key[length] == '\0')
            return v;
    return NULL;
}

/* Remember "path=text" for messages about what is set; the offset names it. */
static fs_status note_source(fs_json_doc *doc, const char *path, const char *text, uint32_t *offset, fs_err *err)
{
    if (doc->sets.count == FS_JSON_SETS_MAX)
        return fs_fail(err, FS_E_USAGE, "--set %s: more than %d values are set", path, FS_JSON_SETS_MAX);
    size_t length = strlen(path);
    char *source = fs_arena_alloc(doc->arena, 1, length + strlen(text) + 2);
    if (source == NULL || FS_PUSH(&doc->sets, source) == NULL)
        return fs_fail_nomem(err);
    memcpy(source, path, length);
    source[length] = '=';
    strcpy(source + length + 1, text);
    *offset = doc->length + doc->sets.count;
    return FS_OK;
}

/* Put `value` behind the last member of the innermost object of the walk, under the next `length` letters of the path. */
static fs_status insert(fs_json_doc *doc, const walk *w, size_t length, fs_json value, fs_err *err)
{
    uint32_t object = w->open[w->depth - 1];
    if (doc->values.count >= FS_JSON_VALUES_MAX)
        return fs_fail(err, FS_E_USAGE, "--set %s: too many values", w->name);
    char *key = fs_arena_alloc(doc->arena, 1, length + 1);
    if (key == NULL)
        return fs_fail_nomem(err);
    memcpy(key, w->name, length);
    key[length] = '\0';
    value.key = key;
    if (FS_PUSH(&doc->values, value) == NULL)
        return fs_fail_nomem(err);
    fs_json *values = doc->values.data;
    uint32_t at = object + values[object].span;
    for (fs_json *v = values + object + 1; v < values + at; v += v->span)
        if (v->last) {
            v->last = 0;
            break;
        }
    memmove(values + at + 1, values + at, (doc->values.count - 1 - at) * sizeof *values);
    values[at] = value;
    values[object].u.count++;
    for (uint32_t i = 0; i < w->depth; i++)
        values[w->open[i]].span = (values[w->open[i]].span + 1u) & FS_JSON_VALUES_MAX;
    return FS_OK;
}

/* All components but the last are containers; objects that are not there are made, since most of a trace is optional. */
static fs_status walk_path(fs_json_doc *doc, const char *path, uint32_t offset, walk *w, fs_err *err)
{
    *w = (walk){.open = {0}, .depth = 1, .name = path};
    for (;;) {
        const fs_json *at = doc->values.data + w->open[w->depth - 1];
        size_t length = strcspn(w->name, ".");
        int before = (int)(w->name - path);
        if (length == 0)
            return fs_fail(err, FS_E_USAGE, "--set %s: empty name in the path", path);
        if (fs_json_kind(at) != FS_JSON_OBJECT && fs_json_kind(at) != FS_JSON_ARRAY)
            return fs_fail(err, FS_E_USAGE, "--set %s: '%.*s' is neither an object nor an array", path,
                           before > 0 ? before - 1 : 0, path);
        if (w->name[length] == '\0')
            return FS_OK;
        if (w->depth == FS_JSON_DEPTH_MAX)
            return fs_fail(err, FS_E_USAGE, "--set %s: there is nothing so deep", path);
        if (child(at, w->name, length) == NULL) {
            if (fs_json_kind(at) == FS_JSON_ARRAY)
                return fs_fail(err, FS_E_USAGE, "--set %s: there is no '%.*s'", path, before + (int)length, path);
            const fs_json empty = {.span = 1, .kind = FS_JSON_OBJECT & 7u, .last = 1, .offset = offset};
            fs_status status = insert(doc, w, length, empty, err);
            if (status != FS_OK)
                return status;
        }
        const fs_json *next = child(doc->values.data + w->open[w->depth - 1], w->name, length);
        w->open[w->depth++] = (uint32_t)(next - doc->values.data);
        w->name += length + 1;
    }
}

/* `text` as a JSON scalar, else as a string. */
static fs_status read_scalar(fs_json_doc *doc, const char *text, fs_json *value, fs_err *err)
{
    fs_json_doc *scalar = NULL;
    fs_err ignored;
    fs_status status = fs_json_parse("--set", text, strlen(text), FS_E_USAGE, &scalar, &ignored);
    if (status == FS_E_NOMEM)
        return fs_fail_nomem(err);
    fs_json_type kind = status == FS_OK ? fs_json_kind(fs_json_root(scalar)) : FS_JSON_STRING;
    const char *string = status == FS_OK && kind == FS_JSON_STRING ? fs_json_string(fs_json_root(scalar)) : text;
    if (kind == FS_JSON_ARRAY || kind == FS_JSON_OBJECT)
        kind = FS_JSON_STRING;
    *value = (fs_json){.span = 1, .kind = kind & 7u, .last = 1};
    if (kind == FS_JSON_STRING) {
        value->u.string = fs_arena_strdup(doc->arena, string);
        status = value->u.string ? FS_OK : fs_fail_nomem(err);
    } else {
        value->u = fs_json_root(scalar)->u;
    }
    fs_json_free(scalar);
    return status == FS_E_NOMEM ? status : FS_OK;
}

fs_status fs_json_set(fs_json_doc *doc, const char *path, const char *text, fs_err *err)
{
    walk w;
    uint32_t offset = 0;
    fs_status status = note_source(doc, path, text, &offset, err);
    if (status == FS_OK)
        status = walk_path(doc, path, offset, &w, err);
    if (status != FS_OK)
        return status;
    const fs_json *parent = doc->values.data + w.open[w.depth - 1];
    const fs_json *old = child(parent, w.name, strlen(w.name));
    if (old != NULL && (fs_json_kind(old) == FS_JSON_OBJECT || fs_json_kind(old) == FS_JSON_ARRAY))
        return fs_fail(err, FS_E_USAGE, "--set %s: this is %s, only single values can be set", path,
                       fs_json_kind(old) == FS_JSON_OBJECT ? "an object" : "an array");
    if (old == NULL && fs_json_kind(parent) == FS_JSON_ARRAY)
        return fs_fail(err, FS_E_USAGE, "--set %s: the array has %u elements", path, fs_json_count(parent));
    fs_json value;
    status = read_scalar(doc, text, &value, err);
    if (status != FS_OK)
        return status;
    value.offset = offset;
    if (old == NULL)
        return insert(doc, &w, strlen(w.name), value, err);
    value.key = old->key;
    value.last = old->last;
    doc->values.data[old - doc->values.data] = value;
    return FS_OK;
}
