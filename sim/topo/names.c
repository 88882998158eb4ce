/* names.c - see names.h. An index over an array of names; ids never depend on the hash.
 *
 * Cost: O(1) expected per operation. */
#include "topo/names.h"

#include "base/rng.h"

#include <string.h>

void fs_names_free(fs_names *set)
{
    fs_free(set->names);
    fs_index_free(&set->index);
    *set = (fs_names){0};
}

static uint64_t hash_of(const char *name)
{
    return fs_hash_bytes(FS_HASH_START, name, strlen(name));
}

uint32_t fs_names_find(const fs_names *set, const char *name)
{
    fs_index_probe probe = fs_index_search(&set->index, hash_of(name));
    uint32_t id = fs_index_next(&probe);
    while (id != FS_NONE && strcmp(set->names[id], name) != 0)
        id = fs_index_next(&probe);
    return id;
}

bool fs_names_add(fs_names *set, const char *name)
{
    set->names = fs_vec_grow(set->names, set->count, &set->capacity, sizeof *set->names);
    if (set->count >= set->capacity || !fs_index_add(&set->index, hash_of(name), set->count))
        return false;
    set->names[set->count++] = name;
    return true;
}

bool fs_name_ok(const char *name, bool slash)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    size_t length = strlen(name);
    if (length == 0 || length > FS_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (strchr(allowed, name[i]) == NULL && !(slash && name[i] == '/'))
            return false;
    return true;
}
