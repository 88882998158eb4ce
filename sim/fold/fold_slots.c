/* fold_slots.c - who sends to whom: forms, slots, numberings.
 *
 * A form is a distinct (family, peer) as a program's sends and recvs write it; on a rank it means another rank. Forms
 * that mean the same one share a slot: the lowest of them. Each end also learns which slot the other side has for it, so
 * that sends and recvs meet without naming ranks: classes of ranks have slots, but no peers of their own.
 * Cost: O(ops + ranks x forms x log forms), and 12 B a form of each rank. */
#include "base/index.h"
#include "base/rng.h"
#include "fold/folding.h"

#include <stdlib.h>
#include <string.h>

typedef struct form {
    uint32_t family;
    int32_t peer;
} form;

typedef struct slotter {
    fs_folding *f;
    FS_VEC(form) forms;          /* program after program */
    uint32_t *forms_begin;       /* (n_programs + 1) */
    uint64_t *by_peer;           /* like f->ends: peer << 32 | form, ascending on each rank */
    FS_VEC(uint32_t) numberings; /* a rank of each */
    fs_index index;
} slotter;

static bool is_transfer(const fs_op *op)
{
    return op->kind == FS_OP_SEND || op->kind == FS_OP_RECV;
}

static fs_status find_forms(slotter *s, uint32_t p, uint32_t *form_of, fs_err *err)
{
    const fs_program *program = &s->f->work->programs[p];
    fs_index index = {0};
    uint32_t begin = s->forms.count;
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < program->n_ops; i++) {
        form_of[i] = FS_NONE;
        if (!is_transfer(&program->ops[i]))
            continue;
        form key = {program->ops[i].family, program->ops[i].peer};
        uint64_t hash = fs_hash_bytes(FS_HASH_START, &key, sizeof key);
        fs_index_probe probe = fs_index_search(&index, hash);
        uint32_t at = fs_index_next(&probe);
        while (at != FS_NONE && memcmp(&s->forms.data[begin + at], &key, sizeof key) != 0)
            at = fs_index_next(&probe);
        if (at == FS_NONE) {
            at = s->forms.count - begin;
            if (!FS_PUSH(&s->forms, key) || !fs_index_add(&index, hash, at))
                status = fs_fail_nomem(err);
        }
        form_of[i] = at;
    }
    fs_index_free(&index);
    return status;
}

static fs_status build_forms(slotter *s, fs_err *err)
{
    const fs_work *work = s->f->work;
    const uint32_t **op_form = fs_arena_alloc(s->f->arena, work->n_programs, sizeof *op_form);
    s->f->form_count = fs_arena_alloc(s->f->own, work->n_programs, sizeof *s->f->form_count);
    if (!op_form || !s->f->form_count)
        return fs_fail_nomem(err);
    for (uint32_t p = 0; p < work->n_programs; p++) {
        uint32_t *form_of = fs_arena_alloc(s->f->arena, work->programs[p].n_ops, sizeof *form_of);
        s->forms_begin[p] = s->forms.count;
        fs_status status = form_of ? find_forms(s, p, form_of, err) : fs_fail_nomem(err);
        if (status != FS_OK)
            return status;
        s->f->form_count[p] = s->forms.count - s->forms_begin[p];
        op_form[p] = form_of;
    }
    s->f->job->op_form = op_form;
    return FS_OK;
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* Peers and slots of one rank. */
static void resolve(slotter *s, uint32_t rank)
{
    const fs_work *work = s->f->work;
    uint32_t program = work->program_of[rank], n = s->f->form_count[program];
    const form *forms = s->forms.data + s->forms_begin[program];
    uint64_t *by_peer = s->by_peer + s->f->form_begin[rank];
    fs_end *ends = s->f->ends + s->f->form_begin[rank];
    for (uint32_t i = 0; i < n; i++)
        by_peer[i] = (uint64_t)fs_work_peer(work, forms[i].family, forms[i].peer, rank) << 32 | i;
    qsort(by_peer, n, sizeof *by_peer, by_number);
    for (uint32_t i = 0, slot = 0; i < n; i++) {
        if (i == 0 || by_peer[i] >> 32 != by_peer[i - 1] >> 32)
            slot = (uint32_t)by_peer[i];
        ends[(uint32_t)by_peer[i]] = (fs_end){.slot = slot, .peer = (uint32_t)(by_peer[i] >> 32)};
    }
}

/* The slot that `rank` has for `peer`. */
static uint32_t slot_for(const slotter *s, uint32_t rank, uint32_t peer)
{
    uint64_t begin = s->f->form_begin[rank], low = begin, high = s->f->form_begin[rank + 1], end = high;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (s->by_peer[middle] >> 32 < peer)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && s->by_peer[low] >> 32 == peer ? (uint32_t)s->by_peer[low] : FS_NONE;
}

/* Ranks that number their messages alike: the same program and slots. */
static fs_status find_numbering(slotter *s, uint32_t rank, fs_err *err)
{
    const fs_folding *f = s->f;
    const fs_end *ends = f->ends + f->form_begin[rank];
    uint32_t program = f->work->program_of[rank], n = f->form_count[program];
    uint64_t hash = fs_hash_bytes(FS_HASH_START, &program, sizeof program);
    for (uint32_t i = 0; i < n; i++)
        hash = (hash ^ ends[i].slot) * UINT64_C(0x9e3779b97f4a7c15);
    fs_index_probe probe = fs_index_search(&s->index, hash);
    for (uint32_t id = fs_index_next(&probe); id != FS_NONE; id = fs_index_next(&probe)) {
        uint32_t other = s->numberings.data[id], same = f->work->program_of[other] == program ? 0 : FS_NONE;
        const fs_end *others = f->ends + f->form_begin[other];
        while (same < n && others[same].slot == ends[same].slot)
            same++;
        if (same == n) {
            f->numbering[rank] = id;
            return FS_OK;
        }
    }
    f->numbering[rank] = s->numberings.count;
    if (!FS_PUSH(&s->numberings, rank) || !fs_index_add(&s->index, hash, f->numbering[rank]))
        return fs_fail_nomem(err);
    return FS_OK;
}

static fs_status build_ends(slotter *s, fs_err *err)
{
    fs_folding *f = s->f;
    uint32_t n = f->work->n_ranks;
    f->form_begin = fs_arena_alloc(f->own, (size_t)n + 1, sizeof *f->form_begin);
    f->numbering = fs_arena_alloc(f->own, n, sizeof *f->numbering);
    if (!f->form_begin || !f->numbering)
        return fs_fail_nomem(err);
    for (uint32_t rank = 0; rank < n; rank++)
        f->form_begin[rank + 1] = f->form_begin[rank] + f->form_count[f->work->program_of[rank]];
    f->ends = fs_arena_alloc(f->own, f->form_begin[n], sizeof *f->ends);
    s->by_peer = fs_alloc(f->form_begin[n], sizeof *s->by_peer);
    if (!f->ends || !s->by_peer)
        return fs_fail_nomem(err);
    for (uint32_t rank = 0; rank < n; rank++)
        resolve(s, rank);
    for (uint32_t rank = 0; rank < n; rank++) {
        for (uint64_t i = f->form_begin[rank]; i < f->form_begin[rank + 1]; i++)
            f->ends[i].peer_slot = slot_for(s, f->ends[i].peer, rank);
        fs_status status = find_numbering(s, rank, err);
        if (status != FS_OK)
            return status;
    }
    f->job->n_numberings = s->numberings.count;
    return FS_OK;
}

fs_status fs_fold_slots(fs_folding *f, fs_err *err)
{
    slotter s = {.f = f, .forms_begin = fs_alloc(f->work->n_programs, sizeof *s.forms_begin)};
    fs_status status = s.forms_begin ? build_forms(&s, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = build_ends(&s, err);
    fs_free(s.forms.data);
    fs_free(s.forms_begin);
    fs_free(s.by_peer);
    fs_free(s.numberings.data);
    fs_index_free(&s.index);
    return status;
}
