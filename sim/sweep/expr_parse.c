/* expr_parse.c - from text to a tree, by recursive descent; one function a level of the grammar in expr.h. */
#include "sweep/expr_in.h"

#include "base/num.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 4096, DEPTH_MAX = 64 };

const char *const fs_expr_function_names[FS_EXPR_FUNCTIONS] = {"min",   "max", "floor", "ceil",
                                                               "round", "abs", "log2",  "sqrt"};

typedef struct parser {
    fs_expr *e;
    const char *at; /* the next character that is no blank */
    uint32_t depth;
    fs_err *err;
    fs_status status; /* of the first error */
} parser;

static uint32_t parse_or(parser *p);

fs_status fs_expr_fail(const fs_expr *e, uint32_t at, fs_err *err, const char *format, ...)
{
    char text[FS_ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    fs_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (e->place.line == 0)
        return fs_fail(err, e->place.status_if_bad, "'%.500s': at character %u: %.1000s", e->text, at + 1, text);
    return fs_fail_at(err, e->place.status_if_bad, e->place.file, e->place.line, e->place.column + at, "%.1000s", text);
}

static void skip_blanks(parser *p)
{
    p->at += strspn(p->at, " \t\r\n");
}

static uint32_t offset(const parser *p)
{
    return (uint32_t)(p->at - p->e->text);
}

static uint32_t complain(parser *p, const char *expected)
{
    if (p->status != FS_OK)
        return FS_NONE;
    p->status = *p->at ? fs_expr_fail(p->e, offset(p), p->err, "expected %s, found '%.20s'", expected, p->at)
                       : fs_expr_fail(p->e, offset(p), p->err, "expected %s, found the end", expected);
    return FS_NONE;
}

static uint32_t add(parser *p, fs_expr_node node)
{
    if (p->status == FS_OK && !FS_PUSH(&p->e->nodes, node))
        p->status = fs_fail_nomem(p->err);
    return p->status == FS_OK ? p->e->nodes.count - 1 : FS_NONE;
}

static uint32_t binary(parser *p, fs_expr_op op, uint32_t at, uint32_t left, uint32_t right)
{
    return add(p, (fs_expr_node){.op = op, .at = at, .left = left, .right = right, .next = FS_NONE});
}

/* Step over the text where it comes next. */
static bool take(parser *p, const char *text)
{
    size_t n = strlen(text);
    if (p->status != FS_OK || strncmp(p->at, text, n) != 0)
        return false;
    p->at += n;
    skip_blanks(p);
    return true;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_-.:", c));
}

/* ---- what stands for itself --------------------------------------------------------------------------------------- */

static uint32_t constant(parser *p, uint32_t at, fs_value value)
{
    return add(p, (fs_expr_node){.op = FS_EXPR_CONSTANT, .at = at, .value = value, .next = FS_NONE});
}

static uint32_t parse_number(parser *p)
{
    size_t n = 0;
    while ((p->at[n] >= '0' && p->at[n] <= '9') || p->at[n] == '.' || ((p->at[n] == 'e' || p->at[n] == 'E') && n > 0) ||
           ((p->at[n] == '-' || p->at[n] == '+') && n > 0 && (p->at[n - 1] == 'e' || p->at[n - 1] == 'E')))
        n++;
    fs_value value = {.kind = FS_VALUE_NUMBER};
    if (is_word(p->at[n]) && p->at[n] != '-' && p->at[n] != '/')
        return complain(p, "a number and then an operator (a number has no unit here)");
    if (fs_parse_number_n(p->at, n, &value.number) != 0)
        return complain(p, "a number");
    uint32_t at = offset(p);
    p->at += n;
    skip_blanks(p);
    return constant(p, at, value);
}

/* What stands between two of `quote`, in the arena; NULL: an error. */
static const char *parse_quoted(parser *p, char quote)
{
    const char *end = strchr(p->at + 1, quote);
    if (!end) {
        complain(p, quote == '`' ? "a name that ends with a backquote" : "text that ends with a quote");
        return NULL;
    }
    const char *text = fs_arena_strndup(p->e->arena, p->at + 1, (size_t)(end - p->at - 1));
    if (!text)
        p->status = fs_fail_nomem(p->err);
    p->at = end + 1;
    skip_blanks(p);
    return text;
}

static uint32_t parse_text(parser *p)
{
    uint32_t at = offset(p);
    const char *text = parse_quoted(p, *p->at);
    return text ? constant(p, at, (fs_value){.kind = FS_VALUE_TEXT, .text = text}) : FS_NONE;
}

static uint32_t name_node(parser *p, uint32_t at, const char *name)
{
    return add(p, (fs_expr_node){
                      .op = FS_EXPR_NAME, .at = at, .value = {.kind = FS_VALUE_TEXT, .text = name}, .next = FS_NONE});
}

static uint32_t parse_call(parser *p, uint32_t at, const char *name)
{
    uint32_t function = 0, first = FS_NONE, last = FS_NONE, count = 0;
    while (function < FS_EXPR_FUNCTIONS && strcmp(fs_expr_function_names[function], name) != 0)
        function++;
    if (function == FS_EXPR_FUNCTIONS) {
        const char *near = fs_suggest(name, fs_expr_function_names, FS_EXPR_FUNCTIONS);
        p->status = near ? fs_expr_fail(p->e, at, p->err, "unknown function '%.60s' (did you mean '%s'?)", name, near)
                         : fs_expr_fail(p->e, at, p->err, "unknown function '%.60s'", name);
        return FS_NONE;
    }
    do {
        uint32_t argument = parse_or(p);
        if (p->status != FS_OK)
            return FS_NONE;
        if (last == FS_NONE)
            first = argument;
        else
            p->e->nodes.data[last].next = argument;
        last = argument;
        count++;
    } while (take(p, ","));
    if (p->status == FS_OK && !take(p, ")"))
        return complain(p, "',' or ')'");
    if (function > FS_EXPR_MAX && count != 1) {
        p->status = fs_expr_fail(p->e, at, p->err, "%s takes one value", name);
        return FS_NONE;
    }
    return add(
        p, (fs_expr_node){
               .op = FS_EXPR_CALL, .at = at, .left = first, .function = (fs_expr_function)function, .next = FS_NONE});
}

static uint32_t parse_word(parser *p)
{
    uint32_t at = offset(p);
    size_t n = 0;
    while (is_word(p->at[n]))
        n++;
    const char *word = fs_arena_strndup(p->e->arena, p->at, n);
    if (!word) {
        p->status = fs_fail_nomem(p->err);
        return FS_NONE;
    }
    p->at += n;
    skip_blanks(p);
    if (take(p, "("))
        return parse_call(p, at, word);
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
        return constant(p, at, (fs_value){.kind = FS_VALUE_BOOL, .number = word[0] == 't'});
    return name_node(p, at, word);
}

/* ---- the levels --------------------------------------------------------------------------------------------------- */

static uint32_t parse_factor(parser *p)
{
    uint32_t at = offset(p), inner = FS_NONE;
    if (p->depth == DEPTH_MAX)
        p->status = p->status == FS_OK ? fs_expr_fail(p->e, at, p->err, "nested too deeply") : p->status;
    if (p->status != FS_OK)
        return FS_NONE;
    p->depth++;
    if (take(p, "-")) {
        inner = binary(p, FS_EXPR_NEG, at, parse_factor(p), FS_NONE);
    } else if (take(p, "(")) {
        inner = parse_or(p);
        if (p->status == FS_OK && !take(p, ")"))
            inner = complain(p, "an operator or ')'");
    } else if ((*p->at >= '0' && *p->at <= '9') || *p->at == '.') {
        inner = parse_number(p);
    } else if (*p->at == '\'' || *p->at == '"') {
        inner = parse_text(p);
    } else if (*p->at == '`') {
        const char *name = parse_quoted(p, '`');
        inner = name ? name_node(p, at, name) : FS_NONE;
    } else if (is_word(*p->at)) {
        inner = parse_word(p);
    } else {
        inner = complain(p, "a value");
    }
    p->depth--;
    return inner;
}

typedef struct level_op {
    const char *text;
    fs_expr_op op;
} level_op;

/* Left to right through operators of one level; `once`: no chains. */
static uint32_t parse_level(parser *p, const level_op *ops, size_t n_ops, uint32_t (*inner)(parser *), bool once)
{
    uint32_t left = inner(p);
    for (bool more = true; more && p->status == FS_OK;) {
        uint32_t at = offset(p);
        size_t i = 0;
        while (i < n_ops && !take(p, ops[i].text))
            i++;
        more = i < n_ops && !once;
        if (i < n_ops)
            left = binary(p, ops[i].op, at, left, inner(p));
    }
    return left;
}

static uint32_t parse_term(parser *p)
{
    static const level_op ops[] = {{"*", FS_EXPR_MUL}, {"/", FS_EXPR_DIV}, {"%", FS_EXPR_MOD}};
    return parse_level(p, ops, sizeof ops / sizeof *ops, parse_factor, false);
}

static uint32_t parse_sum(parser *p)
{
    static const level_op ops[] = {{"+", FS_EXPR_ADD}, {"-", FS_EXPR_SUB}};
    return parse_level(p, ops, sizeof ops / sizeof *ops, parse_term, false);
}

static uint32_t parse_compare(parser *p)
{
    static const level_op ops[] = {{"==", FS_EXPR_EQ}, {"!=", FS_EXPR_NE}, {"<=", FS_EXPR_LE},
                                   {"<", FS_EXPR_LT},  {">=", FS_EXPR_GE}, {">", FS_EXPR_GT}};
    return parse_level(p, ops, sizeof ops / sizeof *ops, parse_sum, true);
}

static uint32_t parse_not(parser *p)
{
    uint32_t at = offset(p), n = 0;
    while (*p->at == '!' && p->at[1] != '=' && take(p, "!"))
        n++;
    uint32_t inner = parse_compare(p);
    for (; n > 0 && p->status == FS_OK; n--)
        inner = binary(p, FS_EXPR_NOT, at, inner, FS_NONE);
    return inner;
}

static uint32_t parse_and(parser *p)
{
    static const level_op ops[] = {{"&&", FS_EXPR_AND}};
    return parse_level(p, ops, 1, parse_not, false);
}

static uint32_t parse_or(parser *p)
{
    static const level_op ops[] = {{"||", FS_EXPR_OR}};
    return parse_level(p, ops, 1, parse_and, false);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

fs_status fs_expr_parse(const char *text, fs_expr_place place, fs_expr **expr, fs_err *err)
{
    if (strlen(text) > TEXT_MAX)
        return fs_fail_at(err, place.status_if_bad, place.file, place.line, place.column,
                          "an expression of more than %d characters", TEXT_MAX);
    fs_expr *e = fs_zalloc(1, sizeof *e);
    if (!e || !(e->arena = fs_arena_new()) || !(e->text = fs_arena_strdup(e->arena, text)) ||
        (place.file && !(place.file = fs_arena_strdup(e->arena, place.file)))) {
        fs_expr_free(e);
        return fs_fail_nomem(err);
    }
    e->place = place;
    parser p = {.e = e, .at = e->text, .err = err};
    skip_blanks(&p);
    e->root = parse_or(&p);
    if (p.status == FS_OK && *p.at)
        complain(&p, "an operator or the end");
    if (p.status != FS_OK) {
        fs_expr_free(e);
        return p.status;
    }
    *expr = e;
    return FS_OK;
}

void fs_expr_free(fs_expr *expr)
{
    if (!expr)
        return;
    fs_free(expr->nodes.data);
    fs_arena_free(expr->arena);
    fs_free(expr);
}
