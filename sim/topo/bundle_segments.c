/* bundle_segments.c - cut a topology where its faults differ. See bundling.h.
 *
 * Copies of a unit whose own links have faults get a mould of their own; copies next to each other with the same faults
 * share it. All other copies of a run share one. The system's own devices between two runs of boards are one segment.
 * Cost: O(runs + faults). */
#include "topo/bundling.h"

#include <string.h>

/* Devices of the system itself, one by one or as copies of one switch. */
static bool is_loose(const fs_topo_run *run)
{
    const fs_topo_unit *unit = run->unit;
    return unit->n_links == 0 && (run->name[0] == '\0' || (unit->n_devices == 1 && unit->names[0][0] == '\0'));
}

static bool add_segment(fs_bundling *b, uint32_t mould, uint32_t run_id, uint32_t copy, uint32_t copies)
{
    const fs_topo_run *run = &b->whole->runs[run_id];
    fs_segment s = {.mould = mould,
                    .first_run = run_id,
                    .first_copy = copy,
                    .copies = copies,
                    .first_device = run->first_device + copy * run->unit->n_devices,
                    .first_link = run->first_link + copy * run->unit->n_links,
                    .n_devices = run->unit->n_devices,
                    .n_links = run->unit->n_links};
    return FS_PUSH(&b->segments, s) != NULL;
}

static bool new_arrays(fs_bundling *b, fs_mould *m)
{
    m->cables = fs_arena_alloc(b->arena, m->n_devices, sizeof *m->cables);
    m->alone = fs_arena_alloc(b->arena, m->n_devices, sizeof *m->alone);
    m->class_of = fs_arena_alloc(b->arena, m->n_devices, sizeof *m->class_of);
    m->begin = fs_arena_alloc(b->arena, (size_t)m->n_devices + 1, sizeof *m->begin);
    m->members = fs_arena_alloc(b->arena, m->n_devices, sizeof *m->members);
    return m->cables && m->alone && m->class_of && m->begin && m->members;
}

/* A mould after copy `copy` of a run; FS_NONE when out of memory. */
static uint32_t add_mould(fs_bundling *b, uint32_t run_id, uint32_t copy)
{
    const fs_topo_run *run = &b->whole->runs[run_id];
    fs_mould m = {.n_devices = run->unit->n_devices,
                  .run = run_id,
                  .copy = copy,
                  .first_device = run->first_device + copy * run->unit->n_devices,
                  .first_link = run->first_link + copy * run->unit->n_links};
    return new_arrays(b, &m) && FS_PUSH(&b->moulds, m) ? b->moulds.count - 1 : FS_NONE;
}

/* ---- boards ------------------------------------------------------------------------------------------------------ */

/* Faults [begin, end) of links of one copy. */
typedef struct span {
    uint32_t copy, begin, end;
} span;

/* The faults of the next copy of the run that has any, from fault number `begin`; copy = run->copies: none. */
static span next_span(const fs_topo *topo, const fs_topo_run *run, uint32_t begin)
{
    const fs_factors *f = &topo->link_faults;
    span s = {run->copies, begin, begin};
    uint32_t n = run->unit->n_links;
    if (n == 0 || begin == f->count || f->ids[begin] >= run->first_link + run->copies * n)
        return s;
    s.copy = (f->ids[begin] - run->first_link) / n;
    while (s.end < f->count && f->ids[s.end] < run->first_link + (s.copy + 1) * n)
        s.end++;
    return s;
}

static bool same_faults(const fs_topo *topo, const fs_topo_run *run, span a, span b)
{
    const fs_factors *f = &topo->link_faults;
    uint32_t apart = (b.copy - a.copy) * run->unit->n_links;
    if (b.copy == run->copies || b.end - b.begin != a.end - a.begin)
        return false;
    for (uint32_t i = 0; i < a.end - a.begin; i++)
        if (f->ids[a.begin + i] + apart != f->ids[b.begin + i])
            return false;
    return memcmp(f->factors + (size_t)a.begin * topo->n_epochs, f->factors + (size_t)b.begin * topo->n_epochs,
                  (size_t)(a.end - a.begin) * topo->n_epochs * sizeof *f->factors) == 0;
}

/* *fault: number of the first fault that may be of this run, and then of the next. */
static bool cut_run(fs_bundling *b, uint32_t run_id, uint32_t *fault)
{
    const fs_topo *topo = b->whole;
    const fs_topo_run *run = &topo->runs[run_id];
    uint32_t whole = FS_NONE, copy = 0; /* the mould of copies without faults */
    span next = next_span(topo, run, *fault);
    while (copy < run->copies) {
        uint32_t mould, begin = copy;
        if (next.copy > copy) {
            if (whole == FS_NONE)
                whole = add_mould(b, run_id, copy);
            mould = whole;
            copy = next.copy;
        } else {
            span first = next;
            mould = add_mould(b, run_id, copy);
            do {
                next = next_span(topo, run, next.end);
                copy++;
            } while (next.copy == copy && same_faults(topo, run, first, next));
        }
        if (mould == FS_NONE || !add_segment(b, mould, run_id, begin, copy - begin))
            return false;
    }
    *fault = next.end;
    return true;
}

/* ---- devices of the system --------------------------------------------------------------------------------------- */

static bool list_loose(fs_bundling *b, uint32_t n)
{
    fs_mould m = {.loose = true, .n_devices = n, .ids = fs_arena_alloc(b->arena, n, sizeof *m.ids)};
    if (m.ids == NULL || !new_arrays(b, &m) || !FS_PUSH(&b->moulds, m))
        return false;
    b->loose = b->moulds.count - 1;
    for (uint32_t i = 0; i < b->segments.count; i++) {
        fs_segment *s = &b->segments.data[i];
        if (s->mould != FS_NONE)
            continue;
        s->mould = b->loose;
        for (uint32_t d = 0; d < s->n_devices; d++)
            m.ids[s->offset + d] = s->first_device + d;
    }
    return true;
}

fs_status fs_bundle_segments(fs_bundling *b, fs_err *err)
{
    const fs_topo *topo = b->whole;
    uint32_t n_loose = 0, fault = 0;
    bool good = true, open = false; /* is the last segment loose? */
    for (uint32_t r = 0; good && r < topo->n_runs; r++) {
        const fs_topo_run *run = &topo->runs[r];
        if (!is_loose(run)) {
            good = cut_run(b, r, &fault);
            open = false;
            continue;
        }
        uint32_t n = run->copies * run->unit->n_devices;
        good = open || add_segment(b, FS_NONE, r, 0, 1);
        if (good && !open) {
            b->segments.data[b->segments.count - 1].n_devices = 0;
            b->segments.data[b->segments.count - 1].offset = n_loose;
        }
        if (good)
            b->segments.data[b->segments.count - 1].n_devices += n;
        open = true;
        n_loose += n;
    }
    b->loose = FS_NONE;
    if (good)
        good = list_loose(b, n_loose);
    return good ? FS_OK : fs_fail_nomem(err);
}
