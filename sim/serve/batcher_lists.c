/* batcher_lists.c - see batcher_in.h: two binary heaps, rings of lists, a sorted list. */
#include "serve/batcher_in.h"

#include <string.h>

bool fs_ids_add(fs_ids *ids, uint32_t id)
{
    return FS_PUSH(ids, id) != NULL;
}

void fs_ids_remove(fs_ids *ids, uint32_t id)
{
    for (uint32_t i = 0; i < ids->count; i++) {
        if (ids->data[i] != id)
            continue;
        memmove(&ids->data[i], &ids->data[i + 1], (ids->count - i - 1) * sizeof *ids->data);
        ids->count--;
        return;
    }
}

/* Is a to go before b? Order is unique, so this is total. */
static bool before(const fs_batcher *b, uint32_t a, uint32_t other)
{
    const fs_seq *x = &b->seqs[a], *y = &b->seqs[other];
    return x->priority != y->priority ? x->priority > y->priority : x->order < y->order;
}

/* ---- those that wait --------------------------------------------------------------------------------------------- */

bool fs_batcher_queue(fs_batcher *b, uint32_t id)
{
    if (!fs_ids_add(&b->waiting, id))
        return false;
    uint32_t *heap = b->waiting.data, i = b->waiting.count - 1;
    for (; i > 0 && before(b, id, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = id;
    return true;
}

uint32_t fs_batcher_unqueue(fs_batcher *b)
{
    uint32_t *heap = b->waiting.data, top = heap[0], n = --b->waiting.count, moved = heap[n], i = 0;
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(b, heap[child + 1], heap[child]))
            child++;
        if (!before(b, heap[child], moved))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved; /* n = 0: out of use */
    return top;
}

/* ---- when they end ----------------------------------------------------------------------------------------------- */

static bool sooner(const fs_batcher *b, uint32_t a, uint32_t other)
{
    const fs_seq *x = &b->seqs[a], *y = &b->seqs[other];
    return x->ends != y->ends ? x->ends < y->ends : x->order < y->order;
}

static void set_end(fs_batcher *b, fs_lane_state *l, uint32_t at, uint32_t id)
{
    l->ends.data[at] = id;
    b->seqs[id].heap = at;
}

static void move_up(fs_batcher *b, fs_lane_state *l, uint32_t i, uint32_t id)
{
    for (; i > 0 && sooner(b, id, l->ends.data[(i - 1) / 2]); i = (i - 1) / 2)
        set_end(b, l, i, l->ends.data[(i - 1) / 2]);
    set_end(b, l, i, id);
}

bool fs_ends_add(fs_batcher *b, fs_lane_state *l, uint32_t id)
{
    if (!fs_ids_add(&l->ends, id))
        return false;
    move_up(b, l, l->ends.count - 1, id);
    return true;
}

void fs_ends_remove(fs_batcher *b, fs_lane_state *l, uint32_t id)
{
    uint32_t i = b->seqs[id].heap, n = --l->ends.count, moved = l->ends.data[n];
    if (i == n)
        return;
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && sooner(b, l->ends.data[child + 1], l->ends.data[child]))
            child++;
        if (!sooner(b, l->ends.data[child], moved))
            break;
        set_end(b, l, i, l->ends.data[child]);
    }
    move_up(b, l, i, moved);
}

/* ---- when they need a block -------------------------------------------------------------------------------------- */

static uint32_t *ring_of(const fs_batcher *b, const fs_lane_state *l, uint32_t id)
{
    return &l->ring[b->seqs[id].offset % b->ring];
}

void fs_ring_add(fs_batcher *b, fs_lane_state *l, uint32_t id)
{
    uint32_t *head = ring_of(b, l, id);
    b->seqs[id].ring_before = FS_NONE;
    b->seqs[id].ring_after = *head;
    if (*head != FS_NONE)
        b->seqs[*head].ring_before = id;
    *head = id;
}

void fs_ring_remove(fs_batcher *b, fs_lane_state *l, uint32_t id)
{
    const fs_seq *s = &b->seqs[id];
    *(s->ring_before == FS_NONE ? ring_of(b, l, id) : &b->seqs[s->ring_before].ring_after) = s->ring_after;
    if (s->ring_after != FS_NONE)
        b->seqs[s->ring_after].ring_before = s->ring_before;
}

/* ---- who is urgent ----------------------------------------------------------------------------------------------- */

/* From the end, where new ones mostly belong. */
void fs_urgent_add(fs_batcher *b, fs_lane_state *l, uint32_t id)
{
    uint32_t at = l->last;
    while (at != FS_NONE && before(b, id, at))
        at = b->seqs[at].urgent_before;
    fs_seq *s = &b->seqs[id];
    s->urgent_before = at;
    s->urgent_after = at == FS_NONE ? l->first : b->seqs[at].urgent_after;
    *(at == FS_NONE ? &l->first : &b->seqs[at].urgent_after) = id;
    *(s->urgent_after == FS_NONE ? &l->last : &b->seqs[s->urgent_after].urgent_before) = id;
}

void fs_urgent_remove(fs_batcher *b, fs_lane_state *l, uint32_t id)
{
    const fs_seq *s = &b->seqs[id];
    *(s->urgent_before == FS_NONE ? &l->first : &b->seqs[s->urgent_before].urgent_after) = s->urgent_after;
    *(s->urgent_after == FS_NONE ? &l->last : &b->seqs[s->urgent_after].urgent_before) = s->urgent_before;
}
