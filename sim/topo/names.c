/* names.c - see names.h. A hash table of ids over an array of names; ids never depend on the hash.
 *
 * Cost: O(1) expected per operation, 8 to 16 bytes per name beside the name itself. */
#include "topo/names.h"

#include "base/rng.h"

#include <string.h>

void fs_names_free(fs_names *set)
{
    fs_free(set->names);
    fs_free(set->slots);
    *set = (fs_names){0};
}

/* The slot that holds `name`, or the free one where it belongs. There is always a free one. */
static uint32_t slot_of(const fs_names *set, const char *name)
{
    uint32_t mask = set->n_slots - 1;
    uint32_t i = (uint32_t)fs_hash_bytes(FS_HASH_START, name, strlen(name)) & mask;
    while (set->slots[i] != 0 && strcmp(set->names[set->slots[i] - 1], name) != 0)
        i = (i + 1) & mask;
    return i;
}

uint32_t fs_names_find(const fs_names *set, const char *name)
{
    if (set->n_slots == 0)
        return FS_NONE;
    uint32_t id = set->slots[slot_of(set, name)];
    return id == 0 ? FS_NONE : id - 1;
}

static bool grow_slots(fs_names *set)
{
    uint32_t n_slots = set->n_slots ? set->n_slots * 2 : 16;
    uint32_t *slots = n_slots ? fs_zalloc(n_slots, sizeof *slots) : NULL;
    if (slots == NULL)
        return false;
    fs_free(set->slots);
    set->slots = slots;
    set->n_slots = n_slots;
    for (uint32_t id = 0; id < set->count; id++)
        slots[slot_of(set, set->names[id])] = id + 1;
    return true;
}

bool fs_names_add(fs_names *set, const char *name)
{
    if (set->count >= set->n_slots / 2 && !grow_slots(set))
        return false;
    set->names = fs_vec_grow(set->names, set->count, &set->capacity, sizeof *set->names);
    if (set->count >= set->capacity)
        return false;
    set->slots[slot_of(set, name)] = set->count + 1;
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
