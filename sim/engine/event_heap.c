/* event_heap.c - see event_heap.h. Four children a node: half the levels of a binary heap, and siblings share a
 * cache line or two (LaMarca and Ladner, "The Influence of Caches on the Performance of Heaps", 1996). */
#include "engine/event_heap.h"

#include "base/mem.h"

#include <stdbool.h>
#include <string.h>

enum { ARITY = 4 }; /* sift_down compares four children by pairs */

__extension__ typedef unsigned __int128 event_key;

/* Times are never negative, so their bits order as they do. */
static event_key key_of(const fs_event *event)
{
    uint64_t bits;
    memcpy(&bits, &event->time_s, sizeof bits);
    return (event_key)bits << 64 | event->sequence;
}

/* Which of two events comes first is a coin toss: compared as integers without short cuts it costs no mispredicted
 * branch, and as one integer each a subtraction with borrow. */
static bool before(const fs_event *a, const fs_event *b)
{
    return key_of(a) < key_of(b);
}

static uint32_t first_of(const fs_event_heap *heap, uint32_t a, uint32_t b)
{
    return a + (b - a) * before(&heap->events[b], &heap->events[a]); /* b > a; no branch */
}

static void place(fs_event_heap *heap, uint32_t at, fs_event event)
{
    heap->events[at] = event;
    heap->position[event.slot] = at;
}

/* Move `event`, which belongs at `at` or above, to its place. */
static void sift_up(fs_event_heap *heap, uint32_t at, fs_event event)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / ARITY;
        if (!before(&event, &heap->events[parent]))
            break;
        place(heap, at, heap->events[parent]);
        at = parent;
    }
    place(heap, at, event);
}

/* Move `event`, which belongs at `at` or below, to its place. */
static void sift_down(fs_event_heap *heap, uint32_t at, fs_event event)
{
    for (;;) {
        uint64_t first = (uint64_t)at * ARITY + 1;
        if (first >= heap->count)
            break;
        uint32_t best = (uint32_t)first;
        if (first + ARITY <= heap->count)
            best = first_of(heap, first_of(heap, best, best + 1), first_of(heap, best + 2, best + 3));
        else
            for (uint32_t child = best + 1; child < heap->count; child++)
                best = first_of(heap, best, child);
        if (!before(&heap->events[best], &event))
            break;
        place(heap, at, heap->events[best]);
        at = best;
    }
    place(heap, at, event);
}

fs_status fs_heap_reserve(fs_event_heap *heap, uint32_t capacity, fs_err *err)
{
    if (capacity <= heap->capacity)
        return FS_OK;
    fs_event *events = fs_realloc(heap->events, capacity, sizeof *events);
    if (events == NULL)
        return fs_fail_nomem(err);
    heap->events = events;
    uint32_t *position = fs_realloc(heap->position, capacity, sizeof *position);
    if (position == NULL)
        return fs_fail_nomem(err);
    heap->position = position;
    for (uint32_t slot = heap->capacity; slot < capacity; slot++)
        position[slot] = FS_NONE;
    heap->capacity = capacity;
    return FS_OK;
}

void fs_heap_release(fs_event_heap *heap)
{
    fs_free(heap->events);
    fs_free(heap->position);
}

void fs_heap_put(fs_event_heap *heap, uint32_t slot, double time_s, uint64_t sequence)
{
    fs_event event = {.time_s = time_s, .sequence = sequence, .slot = slot};
    uint32_t at = heap->position[slot];
    if (at == FS_NONE)
        sift_up(heap, heap->count++, event);
    else if (before(&event, &heap->events[at]))
        sift_up(heap, at, event);
    else
        sift_down(heap, at, event);
}

void fs_heap_drop(fs_event_heap *heap, uint32_t slot)
{
    uint32_t at = heap->position[slot];
    if (at == FS_NONE)
        return;
    heap->position[slot] = FS_NONE;
    fs_event last = heap->events[--heap->count];
    if (last.slot == slot)
        return;
    if (at > 0 && before(&last, &heap->events[(at - 1) / ARITY]))
        sift_up(heap, at, last);
    else
        sift_down(heap, at, last);
}
