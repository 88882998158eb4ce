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

#include <stdbool.h>
#include <stdint.h>

typedef struct fs_index_slot fs_index_slot;

/* All zero bits is an empty index, which owns nothing. */
typedef struct fs_index {
    fs_index_slot *slots; /* (n_slots) */
    uint32_t n_slots;     /* a power of two, or 0 */
    uint32_t count;       /* ids added */
} fs_index;

/* A search under way; good until something is added. */
typedef struct fs_index_probe {
    const fs_index *index;
    uint32_t tag, at;
} fs_index_probe;

fs_index_probe fs_index_search(const fs_index *index, uint64_t hash);
/* The next candidate; FS_NONE when there are no more, and then the search is over. */
uint32_t fs_index_next(fs_index_probe *probe);

/* Enter an id, which is not FS_NONE. False when out of memory: nothing has changed. */
bool fs_index_add(fs_index *index, uint64_t hash, uint32_t id);
void fs_index_free(fs_index *index); /* what remains is an empty index */

#endif
