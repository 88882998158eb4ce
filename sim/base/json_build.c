/* json_build.c - the callbacks that turn yajl's tokens into a tree; see json_tree.h.
 *
 * Invariant: p->open[0, depth) are the containers that are not closed, from the outside in, and every closed
 * subtree has its span. Duplicate keys: keys are interned, and an object that closes stamps its own.
 * Cost: O(token), no allocation per value. */
#include "base/json_parser.h"

#include "base/rng.h"

#include <string.h>

/* A key, once. Nodes point at text[]. */
struct fs_json_key_entry {
    struct fs_json_key_entry *follower; /* the key that came after this one last time */
    uint32_t stamp;                     /* 1 + index of the object that had it last, while that object is checked */
    uint32_t length;
    char text[];
};

/* ---- interned keys ----------------------------------------------------------------------------------------------- */

/* The entry of a key; new ones are made. NULL when out of memory. */
static fs_json_key_entry *key_entry(fs_json_parser *p, const char *text, size_t length)
{
    uint64_t hash = fs_hash_bytes(FS_HASH_START, text, length);
    fs_index_probe probe = fs_index_search(&p->key_index, hash);
    for (uint32_t id = fs_index_next(&probe); id != FS_NONE; id = fs_index_next(&probe)) {
        fs_json_key_entry *e = p->keys.data[id];
        if (e->length == length && memcmp(e->text, text, length) == 0)
            return e;
    }
    fs_json_key_entry *e = fs_arena_alloc(p->doc->arena, 1, sizeof *e + length + 1);
    if (e == NULL || FS_PUSH(&p->keys, e) == NULL || !fs_index_add(&p->key_index, hash, p->keys.count - 1))
        return NULL;
    e->length = (uint32_t)length;
    memcpy(e->text, text, length);
    return e;
}

static const char *intern(fs_json_parser *p, const char *text, size_t length)
{
    /* Objects of one kind repeat their keys in one order: the guess is nearly always right. */
    fs_json_key_entry *guess = p->last_key ? p->last_key->follower : NULL;
    if (guess && guess->length == length && memcmp(guess->text, text, length) == 0) {
        p->last_key = guess;
        return guess->text;
    }
    fs_json_key_entry *entry = key_entry(p, text, length);
    if (entry == NULL)
        return NULL;
    if (p->last_key != NULL)
        p->last_key->follower = entry;
    p->last_key = entry;
    return entry->text;
}

/* ---- callbacks: nonzero goes on, zero stops ---------------------------------------------------------------------- */

static int stop(fs_json_parser *p, fs_status status)
{
    p->status = status;
    return 0;
}

static fs_json *add_value(fs_json_parser *p, fs_json_type kind, uint32_t offset)
{
    fs_json_doc *doc = p->doc;
    uint32_t index = doc->values.count;
    if (index >= FS_JSON_VALUES_MAX) {
        stop(p, fs_json_fail_offset(doc, offset, p->err, "more than %d values", FS_JSON_VALUES_MAX));
        return NULL;
    }
    fs_json value = {.key = p->key, .offset = offset, .span = 1, .kind = kind & 7u};
    fs_json *added = FS_PUSH(&doc->values, value);
    if (added == NULL) {
        stop(p, fs_fail_nomem(p->err));
        return NULL;
    }
    p->key = NULL;
    p->end = fs_json_token_end(p);
    if (p->depth > 0) {
        doc->values.data[p->open[p->depth - 1]].u.count++;
        p->last_child[p->depth - 1] = index;
    }
    return added;
}

static int on_null(void *context)
{
    fs_json_parser *p = context;
    return add_value(p, FS_JSON_NULL, fs_json_token_end(p) - 4) != NULL;
}

static int on_boolean(void *context, int truth)
{
    fs_json_parser *p = context;
    fs_json *value = add_value(p, FS_JSON_BOOL, fs_json_token_end(p) - (truth ? 4 : 5));
    if (value != NULL)
        value->u.boolean = truth;
    return value != NULL;
}

static int on_number(void *context, const char *text, size_t length)
{
    fs_json_parser *p = context;
    uint32_t offset = fs_json_token_end(p) - (uint32_t)length;
    double number;
    if (fs_parse_number_n(text, length, &number) != 0)
        return stop(p, fs_json_fail_offset(p->doc, offset, p->err, "number %.*s%s is out of range",
                                           length > 40 ? 40 : (int)length, text, length > 40 ? "..." : ""));
    fs_json *value = add_value(p, FS_JSON_NUMBER, offset);
    if (value != NULL)
        value->u.number = number;
    return value != NULL;
}

static unsigned hex4(const char *text)
{
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
        code = code * 16 + digit;
    }
    return code;
}

/* What is wrong with an escaped string, or NULL. yajl lets "\u0000" through and makes half a surrogate pair '?'. */
static const char *bad_escape(const char *text, uint32_t start, uint32_t end, uint32_t *at)
{
    for (uint32_t i = start; i < end; i++) {
        if (text[i] != '\\')
            continue;
        *at = i++; /* the character after a backslash is no start of an escape */
        if (text[i] != 'u')
            continue;
        unsigned code = hex4(text + i + 1);
        i += 4;
        if (code == 0)
            return "\\u0000 is not allowed in a string";
        if (code < 0xD800 || code > 0xDFFF)
            continue;
        bool pair = code < 0xDC00 && i + 6 < end && text[i + 1] == '\\' && text[i + 2] == 'u';
        unsigned low = pair ? hex4(text + i + 3) : 0;
        if (low < 0xDC00 || low > 0xDFFF)
            return "half of a surrogate pair in a string";
        i += 6;
    }
    return NULL;
}

/* Where the literal of the string that yajl handed out begins; false where it is not acceptable. */
static bool literal_start(fs_json_parser *p, uint32_t *start)
{
    const char *text = p->doc->text;
    uint32_t close = fs_json_token_end(p) - 1, bad_at;
    *start = fs_json_open_quote(text, close);
    const char *wrong = bad_escape(text, *start + 1, close, &bad_at);
    if (wrong != NULL)
        stop(p, fs_json_fail_offset(p->doc, bad_at, p->err, "%s", wrong));
    return wrong == NULL;
}

static int on_string(void *context, const unsigned char *bytes, size_t length)
{
    fs_json_parser *p = context;
    char *text = p->doc->text;
    uint32_t start = fs_json_token_end(p) - (uint32_t)length - 2;
    if ((const char *)bytes != text + start + 1 && !literal_start(p, &start)) /* else it has no escapes */
        return 0;
    fs_json *value = add_value(p, FS_JSON_STRING, start);
    if (value == NULL)
        return 0;
    if (memchr(bytes, '\n', length) != NULL) { /* decoded in the text, it would count as a line when places are told */
        value->u.string = fs_arena_strndup(p->doc->arena, (const char *)bytes, length);
        return value->u.string != NULL ? 1 : stop(p, fs_fail_nomem(p->err));
    }
    /* Decoded text is never longer than its literal, and yajl is done with the literal. */
    memmove(text + start + 1, bytes, length);
    text[start + 1 + length] = '\0';
    value->u.string = text + start + 1;
    return 1;
}

static int on_key(void *context, const unsigned char *bytes, size_t length)
{
    fs_json_parser *p = context;
    uint32_t start = fs_json_token_end(p) - (uint32_t)length - 2;
    if ((const char *)bytes != p->doc->text + start + 1 && !literal_start(p, &start))
        return 0;
    p->key = intern(p, (const char *)bytes, length);
    return p->key != NULL ? 1 : stop(p, fs_fail_nomem(p->err));
}

static int open_container(fs_json_parser *p, fs_json_type kind)
{
    uint32_t index = p->doc->values.count, offset = fs_json_token_end(p) - 1;
    if (p->depth == FS_JSON_DEPTH_MAX)
        return stop(p, fs_json_fail_offset(p->doc, offset, p->err, "nested deeper than %d levels", FS_JSON_DEPTH_MAX));
    fs_json *value = add_value(p, kind, offset);
    if (value == NULL)
        return 0;
    value->u.count = 0;
    p->open[p->depth] = index;
    p->last_child[p->depth] = FS_NONE;
    p->depth++;
    return 1;
}

static int on_open_object(void *context)
{
    return open_container(context, FS_JSON_OBJECT);
}

static int on_open_array(void *context)
{
    return open_container(context, FS_JSON_ARRAY);
}

static int on_close(void *context)
{
    fs_json_parser *p = context;
    p->depth--;
    p->end = fs_json_token_end(p);
    fs_json *values = p->doc->values.data;
    uint32_t index = p->open[p->depth], last = p->last_child[p->depth];
    values[index].span = (p->doc->values.count - index) & FS_JSON_VALUES_MAX;
    if (last != FS_NONE)
        values[last].last = 1;
    return 1;
}

static int on_close_object(void *context)
{
    fs_json_parser *p = context;
    on_close(p);
    uint32_t stamp = p->open[p->depth] + 1;
    const fs_json *object = p->doc->values.data + stamp - 1;
    for (const fs_json *v = fs_json_first(object); v != NULL; v = fs_json_next(v)) {
        /* The tree promises not to change keys; the entry around one is the parser's. */
        fs_json_key_entry *e = (fs_json_key_entry *)(uintptr_t)(v->key - offsetof(fs_json_key_entry, text));
        if (e->stamp == stamp)
            return stop(p, fs_json_fail(p->doc, v, true, p->err, "duplicate key '%s'", v->key));
        e->stamp = stamp;
    }
    return 1;
}

const yajl_callbacks fs_json_callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_open_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_close_object,
    .yajl_start_array = on_open_array,
    .yajl_end_array = on_close,
};
