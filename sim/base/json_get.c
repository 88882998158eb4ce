/* json_get.c - reading values out of the tree, with errors that say where; see json.h. */
#include "base/json_tree.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define EXACT_INTEGER_MAX 0x1p53 /* up to here every integer is a double of its own */

/* ---- walking ----------------------------------------------------------------------------------------------------- */

const fs_json *fs_json_root(const fs_json_doc *doc)
{
    return doc->values.data;
}

uint64_t fs_json_hash(const fs_json_doc *doc)
{
    return doc->hash;
}

fs_json_type fs_json_kind(const fs_json *value)
{
    return value ? (fs_json_type)value->kind : FS_JSON_NULL;
}

static bool is_container(const fs_json *value)
{
    return fs_json_kind(value) == FS_JSON_ARRAY || fs_json_kind(value) == FS_JSON_OBJECT;
}

uint32_t fs_json_count(const fs_json *container)
{
    return is_container(container) ? container->u.count : 0;
}

const fs_json *fs_json_first(const fs_json *container)
{
    return fs_json_count(container) > 0 ? container + 1 : NULL;
}

const fs_json *fs_json_next(const fs_json *value)
{
    return value == NULL || value->last ? NULL : value + value->span;
}

const fs_json *fs_json_get(const fs_json *object, const char *key)
{
    if (fs_json_kind(object) != FS_JSON_OBJECT)
        return NULL;
    for (const fs_json *v = fs_json_first(object); v != NULL; v = fs_json_next(v))
        if (v->key[0] == key[0] && strcmp(v->key, key) == 0)
            return v;
    return NULL;
}

const char *fs_json_key(const fs_json *value)
{
    return value ? value->key : NULL;
}

const char *fs_json_string(const fs_json *value)
{
    return fs_json_kind(value) == FS_JSON_STRING ? value->u.string : NULL;
}

double fs_json_number(const fs_json *value)
{
    return fs_json_kind(value) == FS_JSON_NUMBER ? value->u.number : 0.0;
}

bool fs_json_bool(const fs_json *value)
{
    return fs_json_kind(value) == FS_JSON_BOOL && value->u.boolean;
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

uint32_t fs_json_open_quote(const char *text, uint32_t close)
{
    uint32_t at = close;
    while (at > 0) {
        at--;
        if (text[at] != '"')
            continue;
        uint32_t before = at; /* a quote inside stands behind an odd number of backslashes */
        while (before > 0 && text[before - 1] == '\\')
            before--;
        if ((at - before) % 2 == 0)
            break;
        at = before;
    }
    return at;
}

/* The key of the member whose value starts at `offset`: back over the colon and blanks to its quotes. */
static uint32_t key_offset(const char *text, uint32_t offset)
{
    uint32_t close = offset - 1;
    while (text[close] != '"')
        close--;
    return fs_json_open_quote(text, close);
}

static fs_status fail_at_offset(const fs_json_doc *doc, uint32_t offset, fs_err *err, const char *format, va_list args)
{
    char text[FS_ERR_TEXT_MAX];
    fs_vsnprintf(text, sizeof text, format, args);
    if (offset > doc->length) {
        char source[FS_ERR_FILE_MAX];
        snprintf(source, sizeof source, "--set %s", doc->sets.data[offset - doc->length - 1]);
        return fs_fail_at(err, doc->status_if_bad, source, 0, 0, "%s", text);
    }
    uint32_t line = 1, line_start = 0;
    for (uint32_t i = 0; i < offset; i++)
        if (doc->text[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    return fs_fail_at(err, doc->status_if_bad, doc->path, line, offset - line_start + 1, "%s", text);
}

fs_status fs_json_fail_offset(const fs_json_doc *doc, uint32_t offset, fs_err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fs_status status = fail_at_offset(doc, offset, err, format, args);
    va_end(args);
    return status;
}

fs_status fs_json_fail(const fs_json_doc *doc, const fs_json *value, bool at_key, fs_err *err, const char *format, ...)
{
    uint32_t offset = value ? value->offset : 0;
    if (value && at_key && value->key && offset <= doc->length)
        offset = key_offset(doc->text, offset);
    va_list args;
    va_start(args, format);
    fs_status status = fail_at_offset(doc, offset, err, format, args);
    va_end(args);
    return status;
}

fs_status fs_json_only(const fs_json_doc *doc, const fs_json *object, const char *const *keys, size_t count,
                       fs_err *err)
{
    if (fs_json_kind(object) != FS_JSON_OBJECT)
        return FS_OK;
    for (const fs_json *v = fs_json_first(object); v != NULL; v = fs_json_next(v)) {
        size_t i = 0;
        while (i < count && (v->key[0] != keys[i][0] || strcmp(v->key, keys[i]) != 0))
            i++;
        if (i < count)
            continue;
        const char *near = fs_suggest(v->key, keys, count);
        if (near != NULL)
            return fs_json_fail(doc, v, true, err, "unknown key '%s' (did you mean '%s'?)", v->key, near);
        return fs_json_fail(doc, v, true, err, "unknown key '%s'", v->key);
    }
    return FS_OK;
}

/* ---- typed members ----------------------------------------------------------------------------------------------- */

enum { DESCRIPTION_MAX = 160 };

/* A value in a few words, for "'layers' is <this>, expected ...". */
static const char *describe(const fs_json *value, char buffer[DESCRIPTION_MAX])
{
    char number[40];
    switch (fs_json_kind(value)) {
    case FS_JSON_NULL: return "null";
    case FS_JSON_BOOL: return value->u.boolean ? "true" : "false";
    case FS_JSON_ARRAY: return "an array";
    case FS_JSON_OBJECT: return "an object";
    case FS_JSON_NUMBER:
        snprintf(buffer, DESCRIPTION_MAX, "%s", fs_format_exact(value->u.number, number, sizeof number));
        break;
    case FS_JSON_STRING: snprintf(buffer, DESCRIPTION_MAX, "'%.60s'", value->u.string); break;
    }
    return buffer;
}

/* " from 1 to 10", " of at least 1", " of at most 10" or "". */
static const char *describe_range(double low, double high, char buffer[DESCRIPTION_MAX])
{
    char a[40], b[40];
    bool bottom = low > -DBL_MAX, top = high < DBL_MAX;
    fs_format_exact(low, a, sizeof a);
    fs_format_exact(high, b, sizeof b);
    if (bottom && top)
        snprintf(buffer, DESCRIPTION_MAX, " from %s to %s", a, b);
    else if (bottom)
        snprintf(buffer, DESCRIPTION_MAX, " of at least %s", a);
    else if (top)
        snprintf(buffer, DESCRIPTION_MAX, " of at most %s", b);
    else
        buffer[0] = '\0';
    return buffer;
}

static fs_status unexpected(const fs_json_doc *doc, const fs_json *value, const char *expected, fs_err *err)
{
    char found[DESCRIPTION_MAX];
    return fs_json_fail(doc, value, false, err, "'%s' is %s, expected %s", value->key, describe(value, found),
                        expected);
}

/* *value becomes the member, or NULL where it is absent and may be. */
static fs_status member(const fs_json_doc *doc, const fs_json *object, const char *key, bool required,
                        const fs_json **value, fs_err *err)
{
    *value = fs_json_get(object, key);
    if (*value == NULL && required)
        return fs_json_fail(doc, object, false, err, "missing key '%s'", key);
    return FS_OK;
}

fs_status fs_json_uint_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required, uint64_t low,
                          uint64_t high, uint64_t *out, fs_err *err)
{
    const fs_json *value;
    fs_status status = member(doc, object, key, required, &value, err);
    if (status != FS_OK || value == NULL)
        return status;
    double number = fs_json_number(value);
    bool integer =
        fs_json_kind(value) == FS_JSON_NUMBER && number >= 0 && number <= EXACT_INTEGER_MAX && number == floor(number);
    if (!integer || (uint64_t)number < low || (uint64_t)number > high) {
        char range[DESCRIPTION_MAX], expected[DESCRIPTION_MAX + 16];
        double top = (double)high < EXACT_INTEGER_MAX ? (double)high : EXACT_INTEGER_MAX;
        snprintf(expected, sizeof expected, "an integer%s", describe_range((double)low, top, range));
        return unexpected(doc, value, expected, err);
    }
    *out = (uint64_t)number;
    return FS_OK;
}

fs_status fs_json_number_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required, double low,
                            double high, double *out, fs_err *err)
{
    const fs_json *value;
    fs_status status = member(doc, object, key, required, &value, err);
    if (status != FS_OK || value == NULL)
        return status;
    double number = fs_json_number(value);
    if (fs_json_kind(value) != FS_JSON_NUMBER || number < low || number > high) {
        char range[DESCRIPTION_MAX], expected[DESCRIPTION_MAX + 16];
        snprintf(expected, sizeof expected, "a number%s", describe_range(low, high, range));
        return unexpected(doc, value, expected, err);
    }
    *out = number;
    return FS_OK;
}

fs_status fs_json_bool_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required, bool *out,
                          fs_err *err)
{
    const fs_json *value;
    fs_status status = member(doc, object, key, required, &value, err);
    if (status != FS_OK || value == NULL)
        return status;
    if (fs_json_kind(value) != FS_JSON_BOOL)
        return unexpected(doc, value, "true or false", err);
    *out = value->u.boolean;
    return FS_OK;
}

fs_status fs_json_string_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required,
                            const char **out, fs_err *err)
{
    const fs_json *value;
    fs_status status = member(doc, object, key, required, &value, err);
    if (status != FS_OK || value == NULL)
        return status;
    if (fs_json_kind(value) != FS_JSON_STRING)
        return unexpected(doc, value, "a string", err);
    *out = value->u.string;
    return FS_OK;
}

fs_status fs_json_quantity_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required,
                              fs_unit unit, double low, double high, double *out, fs_err *err)
{
    static const char *const names[] = {
        [FS_UNIT_NONE] = "",         [FS_UNIT_SECONDS] = " seconds", [FS_UNIT_BYTES] = " bytes", [FS_UNIT_BPS] = " B/s",
        [FS_UNIT_FLOPS] = " FLOP/s", [FS_UNIT_FLOP] = " FLOP",       [FS_UNIT_WATTS] = " watts"};
    const fs_json *value;
    fs_status status = member(doc, object, key, required, &value, err);
    if (status != FS_OK || value == NULL)
        return status;
    double number = fs_json_number(value);
    fs_json_type kind = fs_json_kind(value);
    const char *why;
    if (kind == FS_JSON_STRING && fs_parse_quantity(value->u.string, unit, &number, &why) != 0)
        return fs_json_fail(doc, value, false, err, "'%s': %s", key, why);
    if ((kind != FS_JSON_NUMBER && kind != FS_JSON_STRING) || number < low || number > high) {
        char range[DESCRIPTION_MAX], expected[DESCRIPTION_MAX + 32];
        snprintf(expected, sizeof expected, "a value%s%s", describe_range(low, high, range), names[unit]);
        return unexpected(doc, value, expected, err);
    }
    *out = number;
    return FS_OK;
}

fs_status fs_json_enum_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required,
                          const char *const *names, size_t count, uint32_t *out, fs_err *err)
{
    const fs_json *value;
    fs_status status = member(doc, object, key, required, &value, err);
    if (status != FS_OK || value == NULL)
        return status;
    const char *text = fs_json_string(value);
    for (size_t i = 0; i < count && text != NULL; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (uint32_t)i;
            return FS_OK;
        }
    const char *near = text ? fs_suggest(text, names, count) : NULL;
    if (near != NULL)
        return fs_json_fail(doc, value, false, err, "unknown %s '%s' (did you mean '%s'?)", key, text, near);
    char expected[512] = "one of";
    size_t used = strlen(expected);
    for (size_t i = 0; i < count && used < sizeof expected; i++)
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s '%s'", i ? "," : "", names[i]);
    return unexpected(doc, value, expected, err);
}
