/* names.h - sets of names with dense ids, and name patterns ("gpu[0-7]"). Internal to topo. */
#ifndef FS_NAMES_H
#define FS_NAMES_H

#include "base/err.h"
#include "base/index.h"
#include "base/mem.h"
#include "topo/topo.h"

#include <stdbool.h>

enum {
    FS_PATTERN_NAMES_MAX = 1 << 20, /* names that one pattern may stand for */
    FS_PATTERN_BRACKETS_MAX = 8
};

/* Names get the ids 0, 1, 2, ... in the order in which they are added. All zero bits is an empty set. */
typedef struct fs_names {
    const char **names; /* (count) owned by whoever added them */
    uint32_t count, capacity;
    fs_index index; /* by name */
} fs_names;

void fs_names_free(fs_names *set);
uint32_t fs_names_find(const fs_names *set, const char *name); /* id, or FS_NONE */
/* Add a name that is not in the set; it is not copied. False when out of memory. */
bool fs_names_add(fs_names *set, const char *name);

/* Whether `name` is 1 to FS_NAME_MAX letters, digits, '_', '-', '.', and '/' where `slash`. */
bool fs_name_ok(const char *name, bool slash);

/* A list of names, or what a pattern expands to. Free with fs_name_list_free; all zero bits is empty. */
typedef struct fs_name_list {
    const char **names; /* (count) */
    uint32_t count;
    char *text; /* the bytes of all of them */
} fs_name_list;

/* "gpu[0-3]" -> gpu0 gpu1 gpu2 gpu3; "a[0,2,4-5]" lists; brackets multiply, the last runs fastest. Before anything is
 * allocated the pattern is checked and counted. FS_E_TOPOLOGY without a place, or FS_E_NOMEM. */
FS_MUST_CHECK fs_status fs_name_list_expand(const char *pattern, fs_name_list *list, fs_err *err);
void fs_name_list_free(fs_name_list *list);

#endif
