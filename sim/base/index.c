/* index.c - see index.h; what does not have to be inline. Open addressing with linear probing. */
#include "base/index.h"

#include "base/mem.h"

/* 2^31 slots: 16 GB. */
enum { FIRST_SLOTS = 64, LAST_SLOTS_LOG2 = 31 };

static void enter(fs_index *index, fs_index_slot slot)
{
    uint32_t at = fs_index_home(index, slot.tag);
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
    enter(index, (fs_index_slot){fs_index_tag(hash), id + 1});
    return true;
}

void fs_index_free(fs_index *index)
{
    fs_free(index->slots);
    *index = (fs_index){0};
}
