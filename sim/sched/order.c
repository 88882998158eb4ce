/* order.c - see order.h.
 *
 * Sends are numbered per (slot, tag), so that forms which mean the same rank count together. Ranks of a program with
 * equal slots share one array. Cost: O(ops), for each numbering. */
#include "sched/order.h"

#include "base/index.h"
#include "base/mem.h"
#include "base/rng.h"

#include <string.h>

/* Counts how often each key was seen. */
typedef struct tally_key {
    uint32_t kind, slot, tag, padding;
} tally_key;

typedef struct tally_entry {
    tally_key key;
    uint32_t count;
} tally_entry;

typedef struct tally {
    FS_VEC(tally_entry) entries;
    fs_index index;
} tally;

/* The index starts anew: wiping it would cost what the largest program made of it, each time. */
static void tally_clear(tally *t)
{
    fs_index_free(&t->index);
    t->entries.count = 0;
}

/* *seen = how often the key came before. */
static fs_status tally_count(tally *t, tally_key key, uint32_t *seen, fs_err *err)
{
    uint64_t hash = fs_hash_bytes(FS_HASH_START, &key, sizeof key);
    fs_index_probe probe = fs_index_search(&t->index, hash);
    uint32_t i = fs_index_next(&probe);
    while (i != FS_NONE && memcmp(&t->entries.data[i].key, &key, sizeof key) != 0)
        i = fs_index_next(&probe);
    if (i == FS_NONE) {
        i = t->entries.count;
        if (!FS_PUSH(&t->entries, ((tally_entry){.key = key})) || !fs_index_add(&t->index, hash, i))
            return fs_fail_nomem(err);
    }
    *seen = t->entries.data[i].count++;
    return FS_OK;
}

/* ---- lanes and collectives of a program -------------------------------------------------------------------------- */

static fs_status lay_out_lanes(const fs_job *job, const fs_program *program, fs_arena *arena, fs_order_program *out,
                               fs_err *err)
{
    uint32_t n_streams = job->work->n_streams, n_lanes = 0;
    uint32_t *lane_of = fs_arena_alloc(arena, n_streams, sizeof *lane_of);
    uint32_t *lane_ops = fs_arena_alloc(arena, program->n_ops, sizeof *lane_ops);
    uint32_t *position = fs_arena_alloc(arena, program->n_ops, sizeof *position);
    if (!lane_of || !lane_ops || !position)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < program->n_ops; i++)
        lane_of[program->ops[i].stream] = 1;
    for (uint32_t s = 0; s < n_streams; s++)
        lane_of[s] = lane_of[s] ? n_lanes++ : FS_NONE;

    uint16_t *lane_stream = fs_arena_alloc(arena, n_lanes, sizeof *lane_stream);
    uint32_t *begin = fs_arena_alloc(arena, (size_t)n_lanes + 1, sizeof *begin);
    if (!lane_stream || !begin)
        return fs_fail_nomem(err);
    for (uint32_t s = 0; s < n_streams; s++)
        if (lane_of[s] != FS_NONE)
            lane_stream[lane_of[s]] = (uint16_t)s;
    for (uint32_t i = 0; i < program->n_ops; i++)
        position[i] = begin[lane_of[program->ops[i].stream] + 1]++;
    for (uint32_t l = 0; l < n_lanes; l++)
        begin[l + 1] += begin[l];
    for (uint32_t i = 0; i < program->n_ops; i++)
        lane_ops[begin[lane_of[program->ops[i].stream]] + position[i]] = i;
    out->n_lanes = n_lanes;
    out->lane_stream = lane_stream;
    out->lane_begin = begin;
    out->lane_ops = lane_ops;
    out->lane_of = lane_of;
    out->position = position;
    return FS_OK;
}

/* Collectives of each family, and their numbers in sequence[]. */
static fs_status number_collectives(const fs_job *job, const fs_program *program, fs_arena *arena, uint32_t *sequence,
                                    fs_order_program *out, fs_err *err)
{
    uint32_t n_families = job->work->n_families;
    uint32_t *begin = fs_arena_alloc(arena, (size_t)n_families + 1, sizeof *begin);
    if (!begin)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < program->n_ops; i++)
        if (program->ops[i].kind == FS_OP_COLLECTIVE)
            sequence[i] = begin[program->ops[i].family + 1]++;
    for (uint32_t f = 0; f < n_families; f++)
        begin[f + 1] += begin[f];
    uint32_t *ops = fs_arena_alloc(arena, begin[n_families], sizeof *ops);
    if (!ops)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < program->n_ops; i++)
        if (program->ops[i].kind == FS_OP_COLLECTIVE)
            ops[begin[program->ops[i].family] + sequence[i]] = i;
    out->coll_begin = begin;
    out->coll_ops = ops;
    return FS_OK;
}

/* ---- sends and receives ------------------------------------------------------------------------------------------ */

static bool is_transfer(const fs_op *op)
{
    return op->kind == FS_OP_SEND || op->kind == FS_OP_RECV;
}

/* The numbers of all ops on an actor: collectives as they are, sends and recvs by slot and tag. */
static fs_status number_transfers(const fs_job *job, uint32_t actor, const uint32_t *collectives, fs_arena *arena,
                                  tally *t, const uint32_t **sequence, fs_err *err)
{
    const fs_program *program = &job->work->programs[job->actor_program[actor]];
    uint32_t *numbers = fs_arena_alloc(arena, program->n_ops, sizeof *numbers);
    if (!numbers)
        return fs_fail_nomem(err);
    if (program->n_ops > 0)
        memcpy(numbers, collectives, program->n_ops * sizeof *numbers);
    tally_clear(t);
    for (uint32_t i = 0; i < program->n_ops; i++) {
        const fs_op *op = &program->ops[i];
        if (!is_transfer(op))
            continue;
        tally_key key = {.kind = op->kind, .slot = fs_job_end(job, actor, i)->slot, .tag = op->tag};
        fs_status status = tally_count(t, key, &numbers[i], err);
        if (status != FS_OK)
            return status;
    }
    *sequence = numbers;
    return FS_OK;
}

static fs_status make(const fs_job *job, fs_order *order, const uint32_t **collectives, tally *t, fs_err *err)
{
    uint32_t n_programs = job->work->n_programs;
    fs_order_program *programs = fs_arena_alloc(order->arena, n_programs, sizeof *programs);
    const uint32_t **sequence = fs_arena_alloc(order->arena, job->n_numberings, sizeof *sequence);
    if (!programs || !sequence)
        return fs_fail_nomem(err);
    for (uint32_t p = 0; p < n_programs; p++) {
        const fs_program *program = &job->work->programs[p];
        uint32_t *numbers = fs_arena_alloc(order->arena, program->n_ops, sizeof *numbers);
        fs_status status = numbers ? lay_out_lanes(job, program, order->arena, &programs[p], err) : fs_fail_nomem(err);
        if (status == FS_OK)
            status = number_collectives(job, program, order->arena, numbers, &programs[p], err);
        if (status != FS_OK)
            return status;
        collectives[p] = numbers;
    }
    for (uint32_t a = 0; a < job->n_actors; a++) {
        const uint32_t **numbers = &sequence[job->actor_numbering[a]];
        if (*numbers)
            continue;
        fs_status status = number_transfers(job, a, collectives[job->actor_program[a]], order->arena, t, numbers, err);
        if (status != FS_OK)
            return status;
    }
    order->programs = programs;
    order->sequence = sequence;
    return FS_OK;
}

fs_status fs_order_make(const fs_job *job, fs_order *order, fs_err *err)
{
    fs_order made = {.arena = fs_arena_new()};
    const uint32_t **collectives = fs_alloc(job->work->n_programs, sizeof *collectives);
    tally t = {0};
    fs_status status = made.arena && collectives ? make(job, &made, collectives, &t, err) : fs_fail_nomem(err);
    fs_free(collectives);
    fs_free(t.entries.data);
    fs_index_free(&t.index);
    if (status == FS_OK)
        *order = made;
    else
        fs_order_free(&made);
    return status;
}

void fs_order_free(fs_order *order)
{
    fs_arena_free(order->arena);
    order->arena = NULL;
}
