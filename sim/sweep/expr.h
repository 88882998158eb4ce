/* expr.h - the expressions of sweeps: conditions, derived settings, --where. docs/FORMATS.md, "Expressions".
 *
 *   or      = and  { "||" and }            and = not { "&&" not }          not = "!" not | compare
 *   compare = sum [ ("==" | "!=" | "<" | "<=" | ">" | ">=") sum ]
 *   sum     = term { ("+" | "-") term }    term = factor { ("*" | "/" | "%") factor }
 *   factor  = "-" factor | number | 'text' | true | false | name | function "(" or { "," or } ")" | "(" or ")"
 *
 * Values are numbers, truth values and text. There are no conversions between them: 1 is not true and '1' is not 1. A
 * name is letters, digits and any of _ - . : (so a minus behind a name has a blank before it), or anything between
 * backquotes. A value may be absent (a figure that a failed point does not have): arithmetic with it is absent, every
 * comparison with it false. && and || do not look at their right side where the left one decides. */
#ifndef FS_EXPR_H
#define FS_EXPR_H

#include "base/err.h"

#include <stdbool.h>

typedef enum fs_value_kind { FS_VALUE_ABSENT, FS_VALUE_NUMBER, FS_VALUE_BOOL, FS_VALUE_TEXT } fs_value_kind;

typedef struct fs_value {
    fs_value_kind kind;
    double number;    /* of a truth value 0 or 1 */
    const char *text; /* not owned */
} fs_value;

/* Of the same kind and the same; absent is absent. */
bool fs_value_equal(fs_value a, fs_value b);

/* Where the text of an expression begins; an empty file and line 0: on a command line. */
typedef struct fs_expr_place {
    const char *file;
    uint32_t line, column;
    fs_status status_if_bad;
} fs_expr_place;

typedef struct fs_expr fs_expr;

/* The text is copied. Errors point at the character. */
FS_MUST_CHECK fs_status fs_expr_parse(const char *text, fs_expr_place place, fs_expr **expr, fs_err *err);
void fs_expr_free(fs_expr *expr);

/* What a name stands for. False: nothing has that name; then *near may become a similar one, or stay NULL. */
typedef bool (*fs_expr_lookup)(void *context, const char *name, fs_value *value, const char **near);

FS_MUST_CHECK fs_status fs_expr_eval(const fs_expr *expr, fs_expr_lookup lookup, void *context, fs_value *value,
                                     fs_err *err);
/* The same where a truth value is due; absent is false. */
FS_MUST_CHECK fs_status fs_expr_holds(const fs_expr *expr, fs_expr_lookup lookup, void *context, bool *holds,
                                      fs_err *err);

#endif
