/* index.h - finds the ids of items by a hash of what they are.
 *
 * The caller keeps items in an array and numbers them; the index knows only hashes and ids, so it serves items of any
 * kind and never compares them. A search yields candidates, and the caller says which one is meant:
 *
 *     fs_index_probe probe = fs_index_search(&index, hash);
 *     uint32_t id = fs_index_next(&probe);
 *     while (id != FS_NONE && !same(&items[id], wanted))
 *         id = fs_index_next(&probe);
 *
 * Equal items must have equal hashes; nearly all candidates are then the item itself. An id is found as often as it was
 * added, in no order that means anything. Any hash will do, also a plain number: the index mixes it.
 * Cost: O(1) expected, 16 to 32 bytes an id. */
#ifndef FS_INDEX_H
#define FS_INDEX_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* tag: 32 bits of the mixed hash. Its top bits say where a search begins, and all of it tells nearly all strangers from
 * candidates without a look at the items, so that the index grows without asking for hashes again. */
typedef struct fs_index_slot {
    uint32_t tag;
    uint32_t mark; /* id + 1; 0 = free */
} fs_index_slot;

/* All zero bits is an empty index, which owns nothing. */
typedef struct fs_index {
    fs_index_slot *slots; /* (n_slots) at most half of them in use, so that every search meets a free one */
    uint32_t n_slots;     /* a power of two, or 0 */
    uint32_t count;       /* ids added */
} fs_index;

/* A search under way; good until something is added. */
typedef struct fs_index_probe {
    const fs_index *index;
    uint32_t tag, at;
} fs_index_probe;

/* Multiplicative hashing (D. E. Knuth, "The Art of Computer Programming", volume 3, section 6.4; 2^64 / golden ratio):
 * the top bits of the product depend on all bits of the hash, whereas its low bits see only the low ones. */
static inline uint32_t fs_index_tag(uint64_t hash)
{
    return (uint32_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

/* The top log2(n_slots) bits of the tag. */
static inline uint32_t fs_index_home(const fs_index *index, uint32_t tag)
{
    return (uint32_t)((uint64_t)tag * index->n_slots >> 32);
}

static inline fs_index_probe fs_index_search(const fs_index *index, uint64_t hash)
{
    uint32_t tag = fs_index_tag(hash);
    return (fs_index_probe){index, tag, fs_index_home(index, tag)};
}

/* The next candidate; FS_NONE when there are no more, and then the search is over. */
static inline uint32_t fs_index_next(fs_index_probe *probe)
{
    const fs_index *index = probe->index;
    if (index->n_slots == 0)
        return FS_NONE;
    for (;;) {
        fs_index_slot slot = index->slots[probe->at];
        if (slot.mark == 0)
            return FS_NONE;
        probe->at = (probe->at + 1) & (index->n_slots - 1);
        if (slot.tag == probe->tag)
            return slot.mark - 1;
    }
}

/* Enter an id, which is not FS_NONE. False when out of memory: nothing has changed. */
bool fs_index_add(fs_index *index, uint64_t hash, uint32_t id);
void fs_index_free(fs_index *index); /* what remains is an empty index */

#endif
