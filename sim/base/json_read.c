/* json_read.c - JSON text to a document; see json.h.
 *
 * yajl 2 tokenises and checks the grammar, json_build.c makes the tree. yajl does not check its allocations (the
 * parser, its buffers and its state stack use what malloc returned), so its allocator here never returns NULL: it
 * jumps out of the parser, and the blocks, which are kept in a ring for that, are freed wholesale. yajl is plain C
 * and holds nothing else. The text gets one blank at its end, so that yajl never keeps half a token beyond its only
 * chunk. Cost: O(text). */
#include "base/json_parser.h"

#include "base/file.h"
#include "base/rng.h"

#include <stddef.h>
#include <string.h>

typedef struct block {
    fs_json_ring link; /* first: a link is its block */
    max_align_t data[];
} block;

/* ---- yajl's memory ----------------------------------------------------------------------------------------------- */

static void *yajl_realloc_block(void *context, void *data, size_t bytes)
{
    fs_json_parser *p = context;
    block *old = data ? (block *)((char *)data - offsetof(block, data)) : NULL;
    block *b = bytes <= PTRDIFF_MAX - sizeof *b ? fs_realloc(old, 1, sizeof *b + bytes) : NULL;
    if (b == NULL)
        longjmp(p->out_of_memory, 1);
    if (old == NULL)
        b->link = (fs_json_ring){p->blocks.prev, &p->blocks};
    b->link.prev->next = &b->link;
    b->link.next->prev = &b->link;
    return b->data;
}

static void *yajl_alloc_block(void *context, size_t bytes)
{
    return yajl_realloc_block(context, NULL, bytes);
}

static void yajl_free_block(void *context, void *data)
{
    (void)context;
    if (data == NULL)
        return;
    block *b = (block *)((char *)data - offsetof(block, data));
    b->link.prev->next = b->link.next;
    b->link.next->prev = b->link.prev;
    fs_free(b);
}

/* ---- syntax errors ----------------------------------------------------------------------------------------------- */

/* Where the culprit is: the token before yajl's position, what follows the last value (yajl moves its position back
 * then), the character before its position, the one at it, or the end of the text. */
typedef enum place { AT_TOKEN, AFTER_VALUE, AT_CHARACTER, AT_NEXT, AT_END } place;

static const struct {
    const char *yajl; /* a part of yajl's message */
    const char *text; /* ours */
    place place;
} syntax_errors[] = {
    {"premature EOF", "the text ends too early", AT_END},
    {"unallowed token", "expected a value", AT_TOKEN},
    {"after array element", "expected ',' or ']' after an element", AFTER_VALUE},
    {"after key and value", "expected ',' or '}' after a member", AFTER_VALUE},
    {"separated by a colon", "expected ':' after a key", AT_TOKEN},
    {"invalid object key", "expected a key in double quotes", AT_TOKEN},
    {"probable comment", "comments are not allowed in JSON", AT_NEXT},
    {"invalid char in json", "unexpected character", AT_CHARACTER},
    {"invalid string in json", "unknown word, expected true, false or null", AT_NEXT},
    {"it may not", "unknown escape in a string", AT_CHARACTER},
    {"invalid character inside", "control character in a string, expected an escape such as \\n", AT_NEXT},
    {"invalid bytes in UTF8", "invalid UTF-8 in a string", AT_CHARACTER},
    {"non-hex", "expected four hexadecimal digits after \\u", AT_NEXT},
    {"decimal point", "expected a digit after the decimal point", AT_NEXT},
    {"exponent", "expected a digit after the exponent", AT_NEXT},
    {"minus sign", "expected a digit after the minus sign", AT_NEXT},
};

/* First byte behind the last value that is no white space; the length of the text where there is none. */
static uint32_t after_value(const fs_json_parser *p)
{
    const fs_json_doc *doc = p->doc;
    uint32_t at = p->end;
    while (at < doc->length && memchr(" \t\r\n", doc->text[at], 4) != NULL)
        at++;
    return at;
}

/* First byte of the token that ends before `end`. */
static uint32_t token_start(const char *text, uint32_t end)
{
    static const char word[] = "+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if (end == 0)
        return 0;
    uint32_t at = end - 1;
    if (text[at] == '"')
        return fs_json_open_quote(text, at);
    while (at > 0 && memchr(word, text[at], sizeof word - 1) && memchr(word, text[at - 1], sizeof word - 1))
        at--;
    return at;
}

static fs_status syntax_error(fs_json_parser *p)
{
    const fs_json_doc *doc = p->doc;
    if (p->depth == 0 && doc->values.count > 0)
        return fs_json_fail_offset(doc, after_value(p), p->err, "unexpected text after the end of the document");
    uint32_t end = fs_json_token_end(p);
    const char *message =
        (const char *)yajl_get_error(p->yajl, 0, (const unsigned char *)doc->text, (size_t)doc->length + 1);
    place where = AT_CHARACTER;
    const char *text = "invalid JSON";
    for (size_t i = 0; i < sizeof syntax_errors / sizeof *syntax_errors; i++)
        if (strstr(message, syntax_errors[i].yajl) != NULL) {
            where = syntax_errors[i].place;
            text = syntax_errors[i].text;
            break;
        }
    if (where == AT_END && doc->values.count == 0)
        return fs_json_fail_offset(doc, 0, p->err, "the file is empty, expected a JSON value");
    uint32_t at = end > 0 ? end - 1 : 0;
    if (where == AT_END)
        at = doc->length;
    else if (where == AT_NEXT)
        at = end;
    else if (where == AFTER_VALUE)
        at = after_value(p);
    else if (where == AT_TOKEN)
        at = token_start(doc->text, end);
    return fs_json_fail_offset(doc, at, p->err, "%s", text);
}

/* ---- the document ------------------------------------------------------------------------------------------------ */

static fs_status run_yajl(fs_json_parser *p)
{
    yajl_alloc_funcs memory = {yajl_alloc_block, yajl_realloc_block, yajl_free_block, p};
    p->blocks.prev = p->blocks.next = &p->blocks;
    if (setjmp(p->out_of_memory) != 0)
        return fs_fail_nomem(p->err);
    p->yajl = yajl_alloc(&fs_json_callbacks, &memory, p);
    yajl_status status = yajl_parse(p->yajl, (const unsigned char *)p->doc->text, (size_t)p->doc->length + 1);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(p->yajl);
    /* yajl overlooks a string behind the document that never ends. */
    if (p->status == FS_OK && (status != yajl_status_ok || after_value(p) < p->doc->length))
        p->status = syntax_error(p);
    return p->status;
}

static fs_status parse_text(fs_json_doc *doc, fs_err *err)
{
    fs_json_parser p = {.doc = doc, .err = err, .status = FS_OK};
    doc->text[doc->length] = ' '; /* see the head of this file */
    fs_status status = run_yajl(&p);
    doc->text[doc->length] = '\0';
    while (p.blocks.next != &p.blocks)
        yajl_free_block(NULL, ((block *)p.blocks.next)->data);
    fs_free(p.keys.data);
    fs_index_free(&p.key_index);
    if (status != FS_OK)
        return status;
    doc->values.data[0].last = 1;
    fs_json *fitted = fs_realloc(doc->values.data, doc->values.count, sizeof *fitted);
    if (fitted != NULL) { /* else the spare room stays */
        doc->values.data = fitted;
        doc->values.capacity = doc->values.count;
    }
    return FS_OK;
}

/* Takes `text` over, whatever comes of it. */
static fs_status make_doc(const char *path, char *text, size_t length, fs_status status_if_bad, fs_json_doc **out,
                          fs_err *err)
{
    fs_json_doc *doc = fs_zalloc(1, sizeof *doc);
    if (doc == NULL) {
        fs_free(text);
        return fs_fail_nomem(err);
    }
    doc->text = text;
    doc->length = (uint32_t)length;
    doc->status_if_bad = status_if_bad;
    doc->hash = fs_hash_bytes(FS_HASH_START, text, length);
    doc->path = fs_strdup(strcmp(path, "-") == 0 ? "<stdin>" : path);
    doc->arena = fs_arena_new();
    fs_status status = doc->path && doc->arena ? parse_text(doc, err) : fs_fail_nomem(err);
    if (status != FS_OK) {
        fs_json_free(doc);
        return status;
    }
    *out = doc;
    return FS_OK;
}

fs_status fs_json_parse(const char *path, const char *text, size_t length, fs_status status_if_bad, fs_json_doc **doc,
                        fs_err *err)
{
    if (length > FS_FILE_MAX - 1 - FS_JSON_SETS_MAX) /* offsets beyond the text name values that were set */
        return fs_fail_at(err, status_if_bad, path, 0, 0, "larger than 4 GiB");
    char *copy = fs_alloc(length + 1, 1);
    if (copy == NULL)
        return fs_fail_nomem(err);
    memcpy(copy, text, length);
    return make_doc(path, copy, length, status_if_bad, doc, err);
}

fs_status fs_json_read(const char *path, fs_status status_if_bad, fs_json_doc **doc, fs_err *err)
{
    char *text = NULL;
    size_t length = 0;
    fs_status status = fs_file_read(path, &text, &length, err);
    if (status != FS_OK)
        return status;
    if (length > FS_FILE_MAX - 1 - FS_JSON_SETS_MAX) {
        fs_free(text);
        return fs_fail_at(err, status_if_bad, path, 0, 0, "larger than 4 GiB");
    }
    return make_doc(path, text, length, status_if_bad, doc, err);
}

void fs_json_free(fs_json_doc *doc)
{
    if (doc == NULL)
        return;
    fs_free(doc->path);
    fs_free(doc->text);
    fs_arena_free(doc->arena);
    fs_free(doc->values.data);
    fs_free(doc->sets.data);
    fs_free(doc);
}
