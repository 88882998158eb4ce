/* kv.c - see kv.h. A hash keeps its entry for good, as the index never forgets; only its blocks come and go. Idle entries
 * are in a list, the one to go first at its head. */
#include "serve/kv.h"

#include "base/index.h"
#include "base/mem.h"

#include <assert.h>

typedef struct entry {
    uint64_t hash;
    uint32_t users;
    bool kept;
    uint32_t before, after; /* among the idle ones */
} entry;

struct fs_kv {
    uint32_t block_tokens, hash_blocks;
    fs_kv_use use;
    FS_VEC(entry) entries;
    fs_index index;
    uint32_t head, tail; /* idle entries */
};

fs_status fs_kv_new(uint64_t blocks, uint32_t block_tokens, uint32_t hash_tokens, fs_kv **kv, fs_err *err)
{
    fs_kv *made = fs_zalloc(1, sizeof *made);
    if (!made)
        return fs_fail_nomem(err);
    made->block_tokens = block_tokens;
    made->hash_blocks = hash_tokens / block_tokens; /* where that is no whole number, the rest is computed again */
    made->use.blocks = made->use.free = blocks;
    made->head = made->tail = FS_NONE;
    *kv = made;
    return FS_OK;
}

void fs_kv_free(fs_kv *kv)
{
    if (!kv)
        return;
    fs_free(kv->entries.data);
    fs_index_free(&kv->index);
    fs_free(kv);
}

uint32_t fs_kv_tokens_per_block(const fs_kv *kv)
{
    return kv->block_tokens;
}

uint64_t fs_kv_blocks_of(const fs_kv *kv, uint64_t tokens)
{
    return (tokens + kv->block_tokens - 1) / kv->block_tokens;
}

uint64_t fs_kv_available(const fs_kv *kv)
{
    return kv->use.free + kv->use.idle;
}

uint64_t fs_kv_hash_blocks(const fs_kv *kv)
{
    return kv->hash_blocks;
}

uint32_t fs_kv_hash_tokens(const fs_kv *kv)
{
    return kv->hash_blocks * kv->block_tokens;
}

/* ---- idle entries ------------------------------------------------------------------------------------------------ */

static void leave_idle(fs_kv *kv, uint32_t id)
{
    entry *e = &kv->entries.data[id];
    *(e->before == FS_NONE ? &kv->head : &kv->entries.data[e->before].after) = e->after;
    *(e->after == FS_NONE ? &kv->tail : &kv->entries.data[e->after].before) = e->before;
    kv->use.idle -= kv->hash_blocks;
}

static void become_idle(fs_kv *kv, uint32_t id)
{
    entry *e = &kv->entries.data[id];
    e->before = kv->tail;
    e->after = FS_NONE;
    *(kv->tail == FS_NONE ? &kv->head : &kv->entries.data[kv->tail].after) = id;
    kv->tail = id;
    kv->use.idle += kv->hash_blocks;
}

static void evict(fs_kv *kv)
{
    uint32_t id = kv->head;
    leave_idle(kv, id);
    kv->entries.data[id].kept = false;
    kv->use.shared -= kv->hash_blocks;
    kv->use.free += kv->hash_blocks;
    kv->use.evicted += kv->hash_blocks;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

bool fs_kv_take(fs_kv *kv, uint64_t blocks)
{
    if (blocks > fs_kv_available(kv))
        return false;
    while (kv->use.free < blocks)
        evict(kv);
    kv->use.free -= blocks;
    kv->use.private_ += blocks;
    kv->use.taken += blocks;
    return true;
}

void fs_kv_give(fs_kv *kv, uint64_t blocks)
{
    assert(blocks <= kv->use.private_);
    kv->use.private_ -= blocks;
    kv->use.free += blocks;
    kv->use.given += blocks;
}

/* ---- prefixes ---------------------------------------------------------------------------------------------------- */

static uint32_t find(const fs_kv *kv, uint64_t hash)
{
    fs_index_probe probe = fs_index_search(&kv->index, hash);
    uint32_t id = fs_index_next(&probe);
    while (id != FS_NONE && kv->entries.data[id].hash != hash)
        id = fs_index_next(&probe);
    return id;
}

uint32_t fs_kv_match(const fs_kv *kv, const uint64_t *hashes, uint32_t n)
{
    uint32_t found = 0;
    while (kv->hash_blocks > 0 && found < n) {
        uint32_t id = find(kv, hashes[found]);
        if (id == FS_NONE || !kv->entries.data[id].kept)
            break;
        found++;
    }
    return found;
}

void fs_kv_note_lookup(fs_kv *kv, uint32_t sought, uint32_t found)
{
    if (kv->hash_blocks == 0) /* nothing is kept: nobody looks */
        return;
    kv->use.lookups += sought;
    kv->use.hits += found;
}

void fs_kv_pin(fs_kv *kv, const uint64_t *hashes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = find(kv, hashes[i]);
        assert(id != FS_NONE && kv->entries.data[id].kept);
        if (kv->entries.data[id].users++ == 0)
            leave_idle(kv, id);
    }
}

void fs_kv_unpin(fs_kv *kv, const uint64_t *hashes, uint32_t n)
{
    for (uint32_t i = n; i-- > 0;) { /* a prompt's last blocks are of no use without its first: they go before them */
        uint32_t id = find(kv, hashes[i]);
        assert(id != FS_NONE && kv->entries.data[id].users > 0);
        if (--kv->entries.data[id].users == 0)
            become_idle(kv, id);
    }
}

fs_status fs_kv_store(fs_kv *kv, const uint64_t *hashes, uint32_t n, uint64_t *blocks, fs_err *err)
{
    *blocks = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = find(kv, hashes[i]);
        if (id == FS_NONE) {
            id = kv->entries.count;
            if (!FS_PUSH(&kv->entries, (entry){.hash = hashes[i]}) || !fs_index_add(&kv->index, hashes[i], id))
                return fs_fail_nomem(err);
        }
        entry *e = &kv->entries.data[id];
        if (e->kept) {
            fs_kv_pin(kv, &hashes[i], 1);
            fs_kv_give(kv, kv->hash_blocks);
        } else {
            e->kept = true;
            e->users = 1;
            kv->use.private_ -= kv->hash_blocks;
            kv->use.shared += kv->hash_blocks;
            kv->use.stored += kv->hash_blocks;
        }
        *blocks += kv->hash_blocks;
    }
    return FS_OK;
}

fs_kv_use fs_kv_count(const fs_kv *kv)
{
    const fs_kv_use *u = &kv->use;
    assert(u->free + u->private_ + u->shared == u->blocks && u->idle <= u->shared);
    assert(u->taken == u->given + u->stored + u->private_ && u->stored == u->evicted + u->shared);
    return *u;
}
