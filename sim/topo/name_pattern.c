/* name_pattern.c - name patterns: "node[0-1]/gpu[0,2,4-7]" to the names it stands for. See names.h.
 *
 * Algorithm: parse into literals and brackets, each bracket a list of ranges; count the names; allocate once; then
 * count through the brackets like an odometer whose last wheel runs fastest.
 * Limits make the cost O(result): a bracket's numbers are counted, never stored one by one. */
#include "topo/names.h"

#include <stdio.h>
#include <string.h>

enum { RANGES_MAX = 64, PATTERN_BYTES_MAX = 1024 };

typedef struct range {
    uint32_t first, last;
} range;

typedef struct bracket {
    const char *literal; /* what stands before it */
    size_t literal_length;
    uint32_t n_ranges, count; /* count: numbers in all ranges together */
    range ranges[RANGES_MAX];
} bracket;

typedef struct pattern {
    uint32_t n_brackets, count;
    bracket brackets[FS_PATTERN_BRACKETS_MAX];
    const char *tail; /* after the last bracket */
} pattern;

static fs_status fail(fs_err *err, const char *text, const char *what)
{
    return fs_fail(err, FS_E_TOPOLOGY, "name pattern '%s': %s", text, what);
}

/* A number without leading zeros, so that name and number determine each other. */
static bool read_number(const char **at, uint32_t *out)
{
    const char *p = *at;
    if (*p < '0' || *p > '9' || (p[0] == '0' && p[1] >= '0' && p[1] <= '9'))
        return false;
    uint64_t value = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (uint64_t)(*p - '0');
        if (value >= UINT32_MAX)
            return false;
    }
    *at = p;
    *out = (uint32_t)value;
    return true;
}

/* *at stands behind '['; afterwards behind ']'. */
static fs_status read_bracket(const char *text, const char **at, bracket *b, fs_err *err)
{
    for (;;) {
        range r;
        if (b->n_ranges == RANGES_MAX)
            return fail(err, text, "more than 64 ranges in one bracket");
        if (!read_number(at, &r.first))
            return fail(err, text, "expected a number without leading zeros, below 4294967295, in the bracket");
        r.last = r.first;
        if (**at == '-') {
            ++*at;
            if (!read_number(at, &r.last))
                return fail(err, text, "expected a number without leading zeros, below 4294967295, in the bracket");
        }
        if (r.last < r.first)
            return fail(err, text, "a range must rise");
        if (r.last - r.first >= FS_PATTERN_NAMES_MAX || b->count + (r.last - r.first) >= FS_PATTERN_NAMES_MAX)
            return fail(err, text, "stands for more than 1048576 names");
        b->count += r.last - r.first + 1;
        b->ranges[b->n_ranges++] = r;
        char c = **at;
        if (c != ',' && c != ']')
            return fail(err, text, c ? "expected ',' or '-' or ']' after a number" : "a bracket is not closed");
        ++*at;
        if (c == ']')
            return FS_OK;
    }
}

static fs_status read_pattern(const char *text, pattern *p, fs_err *err)
{
    p->n_brackets = 0;
    p->count = 1;
    p->tail = text;
    size_t literal = 0;
    if (strlen(text) > PATTERN_BYTES_MAX)
        return fs_fail(err, FS_E_TOPOLOGY, "name pattern is longer than 1024 bytes");
    if (text[0] == '\0')
        return fs_fail(err, FS_E_TOPOLOGY, "empty name");
    for (const char *at = text; *at != '\0';) {
        if (*at == ']')
            return fail(err, text, "']' without '['");
        if (*at != '[') {
            at++;
            continue;
        }
        if (p->n_brackets == FS_PATTERN_BRACKETS_MAX)
            return fail(err, text, "more than 8 brackets");
        bracket *b = &p->brackets[p->n_brackets++];
        *b = (bracket){.literal = p->tail, .literal_length = (size_t)(at - p->tail)};
        at++;
        fs_status status = read_bracket(text, &at, b, err);
        if (status != FS_OK)
            return status;
        if ((uint64_t)p->count * b->count > FS_PATTERN_NAMES_MAX)
            return fail(err, text, "stands for more than 1048576 names");
        p->count *= b->count;
        p->tail = at;
        literal += b->literal_length;
    }
    if (literal + strlen(p->tail) > FS_NAME_MAX)
        return fs_fail(err, FS_E_TOPOLOGY, "name pattern '%.40s...': a name is longer than 255 bytes", text);
    return FS_OK;
}

/* The k-th number of a bracket. */
static uint32_t number_at(const bracket *b, uint32_t k)
{
    const range *r = b->ranges;
    for (; k > r->last - r->first; r++)
        k -= r->last - r->first + 1;
    return r->first + k;
}

/* The k-th name into a buffer; its length. */
static size_t write_name(const pattern *p, uint32_t k, char *buffer, size_t size)
{
    uint32_t digits[FS_PATTERN_BRACKETS_MAX];
    for (uint32_t i = p->n_brackets; i-- > 0;) {
        digits[i] = k % p->brackets[i].count;
        k /= p->brackets[i].count;
    }
    size_t length = 0;
    for (uint32_t i = 0; i < p->n_brackets; i++) {
        const bracket *b = &p->brackets[i];
        length += (size_t)snprintf(buffer + length, size - length, "%.*s%u", (int)b->literal_length, b->literal,
                                   number_at(b, digits[i]));
    }
    return length + (size_t)snprintf(buffer + length, size - length, "%s", p->tail);
}

fs_status fs_name_list_expand(const char *text, fs_name_list *list, fs_err *err)
{
    pattern *p = fs_alloc(1, sizeof *p); /* 4 KiB: not on the stack */
    if (p == NULL)
        return fs_fail_nomem(err);
    fs_status status = read_pattern(text, p, err);
    if (status != FS_OK) {
        fs_free(p);
        return status;
    }
    char name[PATTERN_BYTES_MAX + FS_PATTERN_BRACKETS_MAX * 10 + 1]; /* a number is at most 10 digits */
    size_t bytes = 0;
    for (uint32_t k = 0; k < p->count; k++)
        bytes += write_name(p, k, name, sizeof name) + 1;
    fs_name_list made = {fs_alloc(p->count, sizeof *made.names), p->count, fs_alloc(bytes, 1)};
    if (made.names == NULL || made.text == NULL) {
        fs_name_list_free(&made);
        fs_free(p);
        return fs_fail_nomem(err);
    }
    char *at = made.text;
    for (uint32_t k = 0; k < p->count; k++) {
        size_t length = write_name(p, k, name, sizeof name);
        made.names[k] = memcpy(at, name, length + 1);
        at += length + 1;
    }
    fs_free(p);
    *list = made;
    return FS_OK;
}

void fs_name_list_free(fs_name_list *list)
{
    fs_free(list->names);
    fs_free(list->text);
    *list = (fs_name_list){0};
}
