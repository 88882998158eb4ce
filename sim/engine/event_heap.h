/* event_heap.h - the queue of what happens next.
 *
 * An indexed 4-ary heap of (time, sequence, slot): each slot has at most one event, which may be moved or
 * removed in O(log n) because position[slot] says where it is. Total order by (time, sequence), sequences differ,
 * so the order of delivery does not depend on the order of insertion. Room is reserved ahead: nothing
 * here allocates but fs_heap_reserve. */
#ifndef FS_EVENT_HEAP_H
#define FS_EVENT_HEAP_H

#include "base/err.h"

typedef struct fs_event {
    double time_s;
    uint64_t sequence;
    uint32_t slot;
} fs_event;

typedef struct fs_event_heap {
    fs_event *events;   /* (capacity) the first count are the heap */
    uint32_t *position; /* (capacity) of slots, FS_NONE where a slot has no event */
    uint32_t count;
    uint32_t capacity;
} fs_event_heap;

/* Room for slots [0, capacity). The heap is unchanged when memory runs out. */
FS_MUST_CHECK fs_status fs_heap_reserve(fs_event_heap *heap, uint32_t capacity, fs_err *err);
void fs_heap_release(fs_event_heap *heap);

/* Insert the event of a slot, or move the one it has. */
void fs_heap_put(fs_event_heap *heap, uint32_t slot, double time_s, uint64_t sequence);
/* Forget the event of a slot, if it has one. */
void fs_heap_drop(fs_event_heap *heap, uint32_t slot);

#endif
