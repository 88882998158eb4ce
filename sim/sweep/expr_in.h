/* expr_in.h - the tree of an expression. Private to sim/sweep. */
#ifndef FS_EXPR_IN_H
#define FS_EXPR_IN_H

#include "base/mem.h"
#include "sweep/expr.h"

typedef enum fs_expr_op {
    FS_EXPR_CONSTANT,
    FS_EXPR_NAME,
    FS_EXPR_OR,
    FS_EXPR_AND,
    FS_EXPR_NOT,
    FS_EXPR_EQ,
    FS_EXPR_NE,
    FS_EXPR_LE,
    FS_EXPR_LT,
    FS_EXPR_GE,
    FS_EXPR_GT,
    FS_EXPR_ADD,
    FS_EXPR_SUB,
    FS_EXPR_MUL,
    FS_EXPR_DIV,
    FS_EXPR_MOD,
    FS_EXPR_NEG,
    FS_EXPR_CALL
} fs_expr_op;

typedef enum fs_expr_function {
    FS_EXPR_MIN,
    FS_EXPR_MAX,
    FS_EXPR_FLOOR,
    FS_EXPR_CEIL,
    FS_EXPR_ROUND,
    FS_EXPR_ABS,
    FS_EXPR_LOG2,
    FS_EXPR_SQRT,
    FS_EXPR_FUNCTIONS
} fs_expr_function;
extern const char *const fs_expr_function_names[FS_EXPR_FUNCTIONS];

typedef struct fs_expr_node {
    fs_expr_op op;
    uint32_t at;          /* offset in the text: of the operator, or of what stands for itself */
    uint32_t left, right; /* nodes; of a call the first argument, and of an argument the next (FS_NONE: none) */
    uint32_t next;
    fs_expr_function function;
    fs_value value; /* of a constant; of a name its text */
} fs_expr_node;

struct fs_expr {
    fs_arena *arena; /* texts */
    fs_expr_place place;
    const char *text;
    FS_VEC(fs_expr_node) nodes;
    uint32_t root;
};

FS_PRINTF(4, 5) fs_status fs_expr_fail(const fs_expr *e, uint32_t at, fs_err *err, const char *format, ...);

#endif
