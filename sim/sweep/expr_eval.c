/* expr_eval.c - what an expression comes to. See expr.h. */
#include "sweep/expr_in.h"

#include <math.h>
#include <string.h>

typedef struct evaluation {
    const fs_expr *e;
    fs_expr_lookup lookup;
    void *context;
    fs_err *err;
} evaluation;

static const char *const kind_names[] = {"absent", "a number", "a truth value", "text"};

static fs_status eval(const evaluation *v, uint32_t node, fs_value *out);

bool fs_value_equal(fs_value a, fs_value b)
{
    if (a.kind != b.kind)
        return false;
    return a.kind == FS_VALUE_TEXT ? strcmp(a.text, b.text) == 0 : a.kind == FS_VALUE_ABSENT || a.number == b.number;
}

static fs_value truth(bool yes)
{
    return (fs_value){.kind = FS_VALUE_BOOL, .number = yes};
}

static fs_status wrong_kind(const evaluation *v, const fs_expr_node *n, const char *wanted, fs_value got)
{
    return fs_expr_fail(v->e, n->at, v->err, "expected %s, found %s", wanted, kind_names[got.kind]);
}

static fs_status eval_name(const evaluation *v, const fs_expr_node *n, fs_value *out)
{
    const char *near = NULL;
    if (v->lookup(v->context, n->value.text, out, &near))
        return FS_OK;
    return near ? fs_expr_fail(v->e, n->at, v->err, "unknown name '%.200s' (did you mean '%.200s'?)", n->value.text,
                               near)
                : fs_expr_fail(v->e, n->at, v->err, "unknown name '%.200s'", n->value.text);
}

/* Truth of a side of a logical operator; absent is false. */
static fs_status eval_truth(const evaluation *v, uint32_t node, bool *yes)
{
    fs_value value = {0};
    fs_status status = eval(v, node, &value);
    if (status != FS_OK)
        return status;
    if (value.kind != FS_VALUE_BOOL && value.kind != FS_VALUE_ABSENT)
        return wrong_kind(v, &v->e->nodes.data[node], "a truth value", value);
    *yes = value.kind == FS_VALUE_BOOL && value.number != 0;
    return FS_OK;
}

static fs_status eval_logic(const evaluation *v, const fs_expr_node *n, fs_value *out)
{
    bool left = false, right = false;
    fs_status status = eval_truth(v, n->left, &left);
    bool decided = n->op == FS_EXPR_NOT || left == (n->op == FS_EXPR_OR);
    if (status == FS_OK && !decided)
        status = eval_truth(v, n->right, &right);
    *out = truth(n->op == FS_EXPR_NOT ? !left : decided ? left : right);
    return status;
}

static bool compares(fs_expr_op op, int order)
{
    switch (op) {
    case FS_EXPR_EQ: return order == 0;
    case FS_EXPR_NE: return order != 0;
    case FS_EXPR_LE: return order <= 0;
    case FS_EXPR_LT: return order < 0;
    case FS_EXPR_GE: return order >= 0;
    default: return order > 0;
    }
}

static fs_status compare(const evaluation *v, const fs_expr_node *n, fs_value a, fs_value b, fs_value *out)
{
    if (a.kind == FS_VALUE_ABSENT || b.kind == FS_VALUE_ABSENT) {
        *out = truth(false);
        return FS_OK;
    }
    if (a.kind != b.kind)
        return fs_expr_fail(v->e, n->at, v->err, "%s and %s cannot be compared", kind_names[a.kind],
                            kind_names[b.kind]);
    int order = a.kind == FS_VALUE_TEXT ? strcmp(a.text, b.text) : (a.number > b.number) - (a.number < b.number);
    *out = truth(compares(n->op, order));
    return FS_OK;
}

/* A number that a double holds: overflow and 0/0 are errors, as everywhere in fabsim's inputs. */
static fs_status number(const evaluation *v, const fs_expr_node *n, double value, fs_value *out)
{
    if (!isfinite(value))
        return fs_expr_fail(v->e, n->at, v->err, "the result is no finite number");
    *out = (fs_value){.kind = FS_VALUE_NUMBER, .number = value};
    return FS_OK;
}

static fs_status calculate(const evaluation *v, const fs_expr_node *n, fs_value a, fs_value b, fs_value *out)
{
    bool absent = a.kind == FS_VALUE_ABSENT || b.kind == FS_VALUE_ABSENT;
    if (a.kind != FS_VALUE_NUMBER && a.kind != FS_VALUE_ABSENT)
        return wrong_kind(v, n, "a number on the left", a);
    if (b.kind != FS_VALUE_NUMBER && b.kind != FS_VALUE_ABSENT)
        return wrong_kind(v, n, "a number on the right", b);
    if (absent) {
        *out = (fs_value){.kind = FS_VALUE_ABSENT};
        return FS_OK;
    }
    switch (n->op) {
    case FS_EXPR_ADD: return number(v, n, a.number + b.number, out);
    case FS_EXPR_SUB: return number(v, n, a.number - b.number, out);
    case FS_EXPR_MUL: return number(v, n, a.number * b.number, out);
    case FS_EXPR_DIV:
    case FS_EXPR_MOD:
        if (b.number == 0)
            return fs_expr_fail(v->e, n->at, v->err, "division by zero");
        return number(v, n, n->op == FS_EXPR_DIV ? a.number / b.number : fmod(a.number, b.number), out);
    default: return number(v, n, -a.number, out);
    }
}

static double call_one(fs_expr_function function, double x)
{
    switch (function) {
    case FS_EXPR_FLOOR: return floor(x);
    case FS_EXPR_CEIL: return ceil(x);
    case FS_EXPR_ROUND: return round(x);
    case FS_EXPR_ABS: return fabs(x);
    case FS_EXPR_LOG2: return log2(x);
    case FS_EXPR_SQRT: return sqrt(x);
    default: return x;
    }
}

static fs_status eval_call(const evaluation *v, const fs_expr_node *n, fs_value *out)
{
    double result = 0;
    for (uint32_t at = n->left; at != FS_NONE; at = v->e->nodes.data[at].next) {
        fs_value a = {0};
        fs_status status = eval(v, at, &a);
        if (status != FS_OK)
            return status;
        if (a.kind == FS_VALUE_ABSENT) {
            *out = a;
            return FS_OK;
        }
        if (a.kind != FS_VALUE_NUMBER)
            return wrong_kind(v, &v->e->nodes.data[at], "a number", a);
        double x = call_one(n->function, a.number);
        if (at == n->left || (n->function == FS_EXPR_MIN && x < result) || (n->function == FS_EXPR_MAX && x > result))
            result = x;
    }
    return number(v, n, result, out);
}

static fs_status eval(const evaluation *v, uint32_t node, fs_value *out)
{
    const fs_expr_node *n = &v->e->nodes.data[node];
    switch (n->op) {
    case FS_EXPR_CONSTANT: *out = n->value; return FS_OK;
    case FS_EXPR_NAME: return eval_name(v, n, out);
    case FS_EXPR_CALL: return eval_call(v, n, out);
    case FS_EXPR_OR:
    case FS_EXPR_AND:
    case FS_EXPR_NOT: return eval_logic(v, n, out);
    default: break;
    }
    fs_value a = {0}, b = {.kind = FS_VALUE_NUMBER};
    fs_status status = eval(v, n->left, &a);
    if (status == FS_OK && n->op != FS_EXPR_NEG)
        status = eval(v, n->right, &b);
    if (status != FS_OK)
        return status;
    bool comparison = n->op >= FS_EXPR_EQ && n->op <= FS_EXPR_GT;
    return comparison ? compare(v, n, a, b, out) : calculate(v, n, a, b, out);
}

fs_status fs_expr_eval(const fs_expr *expr, fs_expr_lookup lookup, void *context, fs_value *value, fs_err *err)
{
    evaluation v = {expr, lookup, context, err};
    return eval(&v, expr->root, value);
}

fs_status fs_expr_holds(const fs_expr *expr, fs_expr_lookup lookup, void *context, bool *holds, fs_err *err)
{
    evaluation v = {expr, lookup, context, err};
    return eval_truth(&v, expr->root, holds);
}
