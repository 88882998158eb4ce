/* index.c - see index.h.
 *
 * Open addressing with linear probing. A slot holds a tag, 32 bits of the mixed hash: its top bits say where the search
 * begins, and all of it tells nearly all strangers from candidates without a look at the items, so that the table grows
 * without asking the caller for hashes again.
 * Invariant: at most half of the slots are in use, so every search meets a free one and ends. */
#include "base/index.h"

#include "base/err.h"
#include "base/mem.h"

struct fs_index_slot {
    uint32_t tag;
    uint32_t mark; /* id + 1; 0 = free */
};

/* 2^31 slots: 16 GB. */
enum { FIRST_SLOTS = 64, LAST_SLOTS_LOG2 = 31 };

/* Multiplicative hashing (D. E. Knuth, "The Art of Computer Programming", volume 3, section 6.4; 2^64 / golden ratio):
 * the top bits of the product depend on all bits of the hash, whereas its low bits see only the low ones. */
static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

/* The top log2(n_slots) bits of the tag. */
static uint32_t home_of(const fs_index *index, uint32_t tag)
{
    return (uint32_t)((uint64_t)tag * index->n_slots >> 32);
}

fs_index_probe fs_index_search(const fs_index *index, uint64_t hash)
{
    uint32_t tag = tag_of(hash);
    return (fs_index_probe){index, tag, home_of(index, tag)};
}

uint32_t fs_index_next(fs_index_probe *probe)
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

static void enter(fs_index *index, fs_index_slot slot)
{
    uint32_t at = home_of(index, slot.tag);
    while (index->slots[at].mark != 0)
        at = (at + 1) & (index->n_slots - 1);
    index->slots[at] = slot;
    index->count++;
}

static bool grow(fs_index *index)
{
    if (index->n_slots >> LAST_SLOTS_LOG2 != 0)
        return false;
    fs_index wider = {.n_slots = index->n_slots ? 2 * index->n_slots : FIRST_SLOTS};
    wider.slots = fs_zalloc(wider.n_slots, sizeof *wider.slots);
    if (wider.slots == NULL)
        return false;
    for (uint32_t i = 0; i < index->n_slots; i++)
        if (index->slots[i].mark != 0)
            enter(&wider, index->slots[i]);
    fs_free(index->slots);
    *index = wider;
    return true;
}

bool fs_index_add(fs_index *index, uint64_t hash, uint32_t id)
{
    if (index->count >= index->n_slots / 2 && !grow(index))
        return false;
    enter(index, (fs_index_slot){tag_of(hash), id + 1});
    return true;
}

void fs_index_free(fs_index *index)
{
    fs_free(index->slots);
    *index = (fs_index){0};
}
