/* order.c - see order.h.
 *
 * Sends are numbered per (peer as written, tag). That is right for every rank of the program at once, unless
 * two ways to write a peer (rank 3; shift 1 in "tp"; shift 1 in "pp") come out as the same rank: those ranks get an
 * array of their own, numbered by the rank that is meant. Cost: O(ops + actors x distinct sends of a program). */
#include "sched/order.h"

#include "base/index.h"
#include "base/mem.h"
#include "base/rng.h"

#include <string.h>

/* Counts how often each key was seen. */
typedef struct tally_key {
    uint32_t kind, family, peer, tag;
} tally_key;

typedef struct tally_entry {
    tally_key key;
    uint32_t count;
    const fs_op *op; /* the first one with the key */
} tally_entry;

typedef struct tally {
    FS_VEC(tally_entry) entries;
    fs_index index;
} tally;

/* The index starts anew: wiping it would cost what the largest program made of it, for every actor. */
static void tally_clear(tally *t)
{
    fs_index_free(&t->index);
    t->entries.count = 0;
}

/* *seen = how often the key came before. */
static fs_status tally_count(tally *t, tally_key key, const fs_op *op, uint32_t *seen, fs_err *err)
{
    uint64_t hash = fs_hash_bytes(FS_HASH_START, &key, sizeof key);
    fs_index_probe probe = fs_index_search(&t->index, hash);
    uint32_t i = fs_index_next(&probe);
    while (i != FS_NONE && memcmp(&t->entries.data[i].key, &key, sizeof key) != 0)
        i = fs_index_next(&probe);
    if (i == FS_NONE) {
        i = t->entries.count;
        if (!FS_PUSH(&t->entries, ((tally_entry){.key = key, .op = op})) || !fs_index_add(&t->index, hash, i))
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

static tally_key key_as_written(const fs_op *op)
{
    return (tally_key){.kind = op->kind, .family = op->family, .peer = (uint32_t)op->peer, .tag = op->tag};
}

static tally_key key_as_meant(const fs_job *job, uint32_t actor, const fs_op *op)
{
    return (tally_key){.kind = op->kind, .family = FS_NONE, .peer = fs_job_peer(job, actor, op), .tag = op->tag};
}

static fs_status number_as_written(const fs_program *program, tally *t, uint32_t *sequence, fs_err *err)
{
    tally_clear(t);
    for (uint32_t i = 0; i < program->n_ops; i++)
        if (is_transfer(&program->ops[i]) &&
            tally_count(t, key_as_written(&program->ops[i]), &program->ops[i], &sequence[i], err) != FS_OK)
            return err->status;
    return FS_OK;
}

/* Whether two keys of `written` mean the same on this actor. */
static fs_status is_ambiguous(const fs_job *job, uint32_t actor, const tally *written, tally *meant, bool *ambiguous,
                              fs_err *err)
{
    tally_clear(meant);
    *ambiguous = false;
    for (uint32_t i = 0; i < written->entries.count && !*ambiguous; i++) {
        const fs_op *op = written->entries.data[i].op;
        uint32_t seen = 0;
        if (tally_count(meant, key_as_meant(job, actor, op), op, &seen, err) != FS_OK)
            return err->status;
        *ambiguous = seen > 0;
    }
    return FS_OK;
}

static fs_status number_as_meant(const fs_job *job, uint32_t actor, tally *t, fs_arena *arena,
                                 const uint32_t **sequence, fs_err *err)
{
    const fs_program *program = &job->work->programs[job->actor_program[actor]];
    uint32_t *own = fs_arena_alloc(arena, program->n_ops, sizeof *own);
    if (!own)
        return fs_fail_nomem(err);
    memcpy(own, *sequence, program->n_ops * sizeof *own);
    tally_clear(t);
    for (uint32_t i = 0; i < program->n_ops; i++)
        if (is_transfer(&program->ops[i]) &&
            tally_count(t, key_as_meant(job, actor, &program->ops[i]), &program->ops[i], &own[i], err) != FS_OK)
            return err->status;
    *sequence = own;
    return FS_OK;
}

/* All that one program needs; `actors` run it. */
static fs_status number_program(const fs_job *job, uint32_t p, const uint32_t *actors, uint32_t n_actors,
                                fs_order_program *out, const uint32_t **sequence, fs_arena *arena, tally *written,
                                tally *meant, fs_err *err)
{
    const fs_program *program = &job->work->programs[p];
    uint32_t *shared = fs_arena_alloc(arena, program->n_ops, sizeof *shared);
    if (!shared)
        return fs_fail_nomem(err);
    fs_status status = lay_out_lanes(job, program, arena, out, err);
    if (status == FS_OK)
        status = number_collectives(job, program, arena, shared, out, err);
    if (status == FS_OK)
        status = number_as_written(program, written, shared, err);
    for (uint32_t i = 0; status == FS_OK && i < n_actors; i++) {
        bool ambiguous = false;
        sequence[actors[i]] = shared;
        status = is_ambiguous(job, actors[i], written, meant, &ambiguous, err);
        if (status == FS_OK && ambiguous)
            status = number_as_meant(job, actors[i], meant, arena, &sequence[actors[i]], err);
    }
    return status;
}

static fs_status make(const fs_job *job, fs_order *order, uint32_t *begin, uint32_t *actors, tally *written,
                      tally *meant, fs_err *err)
{
    uint32_t n_programs = job->work->n_programs;
    fs_order_program *programs = fs_arena_alloc(order->arena, n_programs, sizeof *programs);
    const uint32_t **sequence = fs_arena_alloc(order->arena, job->n_actors, sizeof *sequence);
    if (!programs || !sequence)
        return fs_fail_nomem(err);
    for (uint32_t a = 0; a < job->n_actors; a++)
        begin[job->actor_program[a] + 1]++;
    for (uint32_t p = 0; p < n_programs; p++)
        begin[p + 1] += begin[p];
    for (uint32_t a = 0; a < job->n_actors; a++)
        actors[begin[job->actor_program[a]] + job->actor_index[a]] = a;
    for (uint32_t p = 0; p < n_programs; p++) {
        fs_status status = number_program(job, p, actors + begin[p], begin[p + 1] - begin[p], &programs[p], sequence,
                                          order->arena, written, meant, err);
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
    uint32_t *begin = fs_zalloc((size_t)job->work->n_programs + 1, sizeof *begin);
    uint32_t *actors = fs_alloc(job->n_actors, sizeof *actors);
    tally written = {0}, meant = {0};
    fs_status status =
        made.arena && begin && actors ? make(job, &made, begin, actors, &written, &meant, err) : fs_fail_nomem(err);
    fs_free(begin);
    fs_free(actors);
    fs_free(written.entries.data);
    fs_index_free(&written.index);
    fs_free(meant.entries.data);
    fs_index_free(&meant.index);
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
