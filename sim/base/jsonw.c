/* jsonw.c - see jsonw.h. A writer without a buffer of its own: what is open is a depth and two flags a level. */
#include "base/jsonw.h"

#include "base/num.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

fs_jsonw fs_jsonw_start(fs_out *out)
{
    return (fs_jsonw){.out = out};
}

static void new_line(fs_jsonw *w)
{
    fs_out_puts(w->out, "\n");
    for (int i = 0; i < w->depth; i++)
        fs_out_puts(w->out, "  ");
}

/* Bytes of the UTF-8 character at `text`; 0 where it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *text)
{
    unsigned char c = text[0], low = 0x80, high = 0xBF;
    size_t length = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (c == 0xE0)
        low = 0xA0;
    else if (c == 0xED)
        high = 0x9F;
    else if (c == 0xF0)
        low = 0x90;
    else if (c == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xBF)
        if (text[i] < low || text[i] > high)
            return 0; /* the NUL ends up here too */
    return length;
}

/* Escapes what JSON forbids; a byte that is no UTF-8 (file names may hold any) becomes U+FFFD. */
static void quote(fs_out *out, const char *text)
{
    fs_out_puts(out, "\"");
    const unsigned char *at = (const unsigned char *)text, *plain = at; /* what waits to be written as it is */
    while (*at != '\0') {
        size_t length = utf8_length(at);
        if (length > 0 && *at >= 0x20 && *at != '"' && *at != '\\') {
            at += length;
            continue;
        }
        fs_out_write(out, (const char *)plain, (size_t)(at - plain));
        if (length == 0)
            fs_out_puts(out, "\\ufffd");
        else if (*at == '\n')
            fs_out_puts(out, "\\n");
        else if (*at == '\t')
            fs_out_puts(out, "\\t");
        else if (*at < 0x20)
            fs_out_printf(out, "\\u%04x", (unsigned)*at);
        else
            fs_out_printf(out, "\\%c", *at);
        plain = ++at;
    }
    fs_out_write(out, (const char *)plain, (size_t)(at - plain));
    fs_out_puts(out, "\"");
}

/* Comma, white space and key: all that comes before a value. */
static void before_value(fs_jsonw *w, const char *key)
{
    if (w->depth == 0)
        return;
    int level = w->depth - 1;
    assert(w->array[level] == (key == NULL)); /* members have keys, elements have none */
    if (!w->first[level])
        fs_out_puts(w->out, ",");
    if (!w->inline_from_here)
        new_line(w);
    else if (!w->first[level] || !w->array[level])
        fs_out_puts(w->out, " ");
    w->first[level] = false;
    if (key != NULL) {
        quote(w->out, key);
        fs_out_puts(w->out, ": ");
    }
}

static void begin(fs_jsonw *w, const char *key, bool array, bool on_one_line)
{
    before_value(w, key);
    assert(w->depth < FS_JSONW_DEPTH_MAX);
    fs_out_puts(w->out, array ? "[" : "{");
    w->first[w->depth] = true;
    w->array[w->depth] = array;
    w->depth++;
    if (on_one_line && !w->inline_from_here) {
        w->inline_from_here = true;
        w->inline_depth = w->depth;
    }
}

void fs_jsonw_object(fs_jsonw *w, const char *key)
{
    begin(w, key, false, false);
}

void fs_jsonw_object_inline(fs_jsonw *w, const char *key)
{
    begin(w, key, false, true);
}

void fs_jsonw_array(fs_jsonw *w, const char *key)
{
    begin(w, key, true, false);
}

void fs_jsonw_array_inline(fs_jsonw *w, const char *key)
{
    begin(w, key, true, true);
}

void fs_jsonw_end(fs_jsonw *w)
{
    assert(w->depth > 0);
    bool on_one_line = w->inline_from_here;
    if (on_one_line && w->inline_depth == w->depth)
        w->inline_from_here = false;
    w->depth--;
    bool array = w->array[w->depth], empty = w->first[w->depth];
    if (!empty && !on_one_line)
        new_line(w);
    else if (!empty && !array)
        fs_out_puts(w->out, " ");
    fs_out_puts(w->out, array ? "]" : "}");
    if (w->depth == 0)
        fs_out_puts(w->out, "\n");
}

void fs_jsonw_string(fs_jsonw *w, const char *key, const char *value)
{
    before_value(w, key);
    quote(w->out, value);
}

void fs_jsonw_number(fs_jsonw *w, const char *key, double value)
{
    char text[40];
    before_value(w, key);
    fs_out_puts(w->out, isfinite(value) ? fs_format_exact(value, text, sizeof text) : "null");
}

void fs_jsonw_uint(fs_jsonw *w, const char *key, uint64_t value)
{
    before_value(w, key);
    fs_out_printf(w->out, "%" PRIu64, value);
}

void fs_jsonw_bool(fs_jsonw *w, const char *key, bool value)
{
    before_value(w, key);
    fs_out_puts(w->out, value ? "true" : "false");
}

void fs_jsonw_null(fs_jsonw *w, const char *key)
{
    before_value(w, key);
    fs_out_puts(w->out, "null");
}
