/* work_pairs.c - does each send meet a receive? See work_series.h.
 *
 * For each (source, destination, tag), the sender's series must equal the receiver's.
 * Where every program has one series at most for each (kind, tag), as pipelines and rings have, the partner's series is
 * known from the tag alone, and whether two series fit is asked once for each pair of programs: O(ranks x series), a few
 * ns each, no memory per rank (check_quickly).
 * Else, and where that finds anything amiss, channels are entered in a table one by one, which also finds words for
 * what is wrong. Where several series of a program turn out to be one channel (a shift of 1 and one of -1 in a group of
 * two), the ops are gathered and compared one by one. O(ops + ranks x series), limited by CHANNEL_ENDS_MAX. */
#include "base/num.h"
#include "base/rng.h"
#include "work/work_series.h"

#include <stdlib.h>
#include <string.h>

/* (rank, series) pairs; two that match take 36 to 72 B while the check runs. */
#define CHANNEL_ENDS_MAX (UINT32_C(1) << 28)
enum { QUICK_SERIES_MAX = 64 };
#define MIXED (FS_NONE - 1)   /* several fs_series */
#define SETTLED (FS_NONE - 2) /* compared op by op, and equal */

static uint32_t peer_of(const fs_work *work, const fs_series_key *key, uint32_t rank)
{
    return fs_work_peer(work, key->family, (int32_t)key->peer, rank);
}

/* ---- quickly ---------------------------------------------------------------------------------------------------- */

static bool is_message(const fs_series *s)
{
    return s->key.kind != FS_OP_COLLECTIVE;
}

/* Does each program have one series at most for each (kind, tag)? Programs have few series. */
static bool tags_tell(const fs_matcher *m)
{
    for (uint32_t p = 0; p < m->work->n_programs; p++) {
        uint32_t begin = m->series_begin[p], end = m->series_begin[p + 1];
        if (end - begin > QUICK_SERIES_MAX)
            return false;
        for (uint32_t i = begin; i < end; i++)
            for (uint32_t j = begin; j < i && is_message(&m->all.data[i]); j++)
                if (m->all.data[i].key.kind == m->all.data[j].key.kind &&
                    m->all.data[i].key.tag == m->all.data[j].key.tag)
                    return false;
    }
    return true;
}

/* The series of a program that a series means, where the shifts say that it is mutual for all ranks; FS_NONE: do not
 * know, or there is none. */
static uint32_t find_partner(const fs_matcher *m, const fs_series *s, uint32_t program)
{
    uint32_t wanted = s->key.kind == FS_OP_SEND ? FS_OP_RECV : FS_OP_SEND;
    uint32_t size = s->key.family == FS_NONE ? 0 : m->work->families[s->key.family].common_size;
    for (uint32_t i = m->series_begin[program]; size > 0 && i < m->series_begin[program + 1]; i++) {
        const fs_series *t = &m->all.data[i];
        if (t->key.kind != wanted || t->key.tag != s->key.tag)
            continue;
        int64_t around = (int64_t)(int32_t)s->key.peer + (int32_t)t->key.peer;
        bool mutual = t->key.family == s->key.family && around % size == 0 && (int32_t)s->key.peer % (int64_t)size != 0;
        return mutual && t->content == s->content ? i : FS_NONE;
    }
    return FS_NONE;
}

/* True: all is well. False: the long way must tell. */
static bool check_quickly(const fs_matcher *m)
{
    uint32_t last_program[QUICK_SERIES_MAX]; /* whose partner was found last; by series of a program */
    const fs_work *work = m->work;
    if (!tags_tell(m))
        return false;
    uint32_t before = FS_NONE;
    for (uint32_t rank = 0; rank < work->n_ranks; rank++) {
        uint32_t program = work->program_of[rank], begin = m->series_begin[program];
        if (program != before)
            memset(last_program, 0xff, sizeof last_program); /* FS_NONE */
        before = program;
        for (uint32_t i = begin; i < m->series_begin[program + 1]; i++) {
            const fs_series *s = &m->all.data[i];
            if (!is_message(s))
                continue;
            uint32_t of_peer = work->program_of[peer_of(work, &s->key, rank)];
            if (of_peer != last_program[i - begin] && find_partner(m, s, of_peer) == FS_NONE)
                return false;
            last_program[i - begin] = of_peer;
        }
    }
    return true;
}

/* ---- one by one -------------------------------------------------------------------------------------------------- */

typedef struct channel {
    uint32_t src, dst, tag; /* first: hashed as bytes */
    uint32_t send, recv;    /* series of either side, FS_NONE, MIXED or SETTLED */
} channel;

typedef struct channel_table {
    FS_VEC(channel) all;
    fs_index index;
} channel_table;

/* The channel of one of its ends; made where it is new, and NULL then where memory runs out. */
static channel *find_channel(channel_table *table, const fs_work *work, const fs_series_key *key, uint32_t rank)
{
    uint32_t peer = peer_of(work, key, rank);
    bool sends = key->kind == FS_OP_SEND;
    channel want = {sends ? rank : peer, sends ? peer : rank, key->tag, FS_NONE, FS_NONE};
    size_t identity = offsetof(channel, send);
    uint64_t hash = fs_hash_bytes(FS_HASH_START, &want, identity);
    fs_index_probe probe = fs_index_search(&table->index, hash);
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe))
        if (memcmp(&table->all.data[i], &want, identity) == 0)
            return &table->all.data[i];
    if (FS_PUSH(&table->all, want) == NULL || !fs_index_add(&table->index, hash, table->all.count - 1))
        return NULL;
    return &table->all.data[table->all.count - 1];
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The ops of one side of a channel in program order: *ops has *n of them, caller frees. */
static fs_status gather(const fs_matcher *m, const channel *c, fs_op_kind side, uint32_t **ops, uint32_t *n,
                        fs_err *err)
{
    uint32_t rank = side == FS_OP_SEND ? c->src : c->dst, other = side == FS_OP_SEND ? c->dst : c->src;
    uint32_t program = m->work->program_of[rank], total = 0;
    uint32_t *list = NULL;
    for (int filling = 0; filling < 2; filling++) {
        if (filling && (list = fs_alloc(total, sizeof *list)) == NULL)
            return fs_fail_nomem(err);
        total = 0;
        for (uint32_t i = m->series_begin[program]; i < m->series_begin[program + 1]; i++) {
            const fs_series *s = &m->all.data[i];
            if (s->key.kind != (uint32_t)side || s->key.tag != c->tag || peer_of(m->work, &s->key, rank) != other)
                continue;
            if (filling)
                memcpy(list + total, m->uses + s->begin, s->count * sizeof *list);
            total += s->count;
        }
    }
    qsort(list, total, sizeof *list, by_number);
    *ops = list;
    *n = total;
    return FS_OK;
}

static fs_status compare_sides(const fs_matcher *m, const channel *c, const uint32_t *sends, uint32_t n_sends,
                               const uint32_t *recvs, uint32_t n_recvs, fs_err *err)
{
    const fs_op *out = m->work->programs[m->work->program_of[c->src]].ops;
    const fs_op *in = m->work->programs[m->work->program_of[c->dst]].ops;
    uint32_t i = 0;
    while (i < n_sends && i < n_recvs && fs_same_call(&out[sends[i]], &in[recvs[i]]))
        i++;
    if (i == n_sends && i == n_recvs)
        return FS_OK;
    if (i == n_recvs)
        return fs_work_fail(m->work, &out[sends[i]], err,
                            "rank %u sends '%.100s' to rank %u with tag %u, but rank %u has no "
                            "receive for it (%u sends, %u receives)",
                            c->src, fs_op_name(m, &out[sends[i]]), c->dst, c->tag, c->dst, n_sends, n_recvs);
    if (i == n_sends)
        return fs_work_fail(m->work, &in[recvs[i]], err,
                            "rank %u receives '%.100s' from rank %u with tag %u, but rank %u has no "
                            "send for it (%u sends, %u receives)",
                            c->dst, fs_op_name(m, &in[recvs[i]]), c->src, c->tag, c->src, n_sends, n_recvs);
    char sent[64], received[64];
    return fs_work_fail(m->work, &in[recvs[i]], err,
                        "rank %u sends %s B to rank %u ('%.100s', tag %u), but rank %u receives %s B "
                        "('%.100s')",
                        c->src, fs_format_exact(out[sends[i]].size_bytes, sent, sizeof sent), c->dst,
                        fs_op_name(m, &out[sends[i]]), c->tag, c->dst,
                        fs_format_exact(in[recvs[i]].size_bytes, received, sizeof received),
                        fs_op_name(m, &in[recvs[i]]));
}

static fs_status check_channel(const fs_matcher *m, channel *c, fs_err *err)
{
    if (c->send == SETTLED ||
        (c->send < SETTLED && c->recv < SETTLED && m->all.data[c->send].content == m->all.data[c->recv].content))
        return FS_OK;
    uint32_t *sends = NULL, *recvs = NULL, n_sends, n_recvs;
    fs_status status = gather(m, c, FS_OP_SEND, &sends, &n_sends, err);
    if (status == FS_OK)
        status = gather(m, c, FS_OP_RECV, &recvs, &n_recvs, err);
    if (status == FS_OK)
        status = compare_sides(m, c, sends, n_sends, recvs, n_recvs, err);
    fs_free(sends);
    fs_free(recvs);
    c->send = SETTLED;
    return status;
}

/* What to do with each (rank, series) that sends or receives; id is the series'. */
typedef fs_status (*visit)(const fs_matcher *m, channel_table *table, uint32_t rank, uint32_t id, fs_err *err);

static fs_status enter(const fs_matcher *m, channel_table *table, uint32_t rank, uint32_t id, fs_err *err)
{
    const fs_series *s = &m->all.data[id];
    if (peer_of(m->work, &s->key, rank) == rank) {
        const fs_op *op = fs_series_op(m, s, 0);
        return fs_work_fail(m->work, op, err, "rank %u %s itself: '%.100s'", rank,
                            op->kind == FS_OP_SEND ? "sends to" : "receives from", fs_op_name(m, op));
    }
    channel *c = find_channel(table, m->work, &s->key, rank);
    if (c == NULL)
        return fs_fail_nomem(err);
    uint32_t *side = s->key.kind == FS_OP_SEND ? &c->send : &c->recv;
    *side = *side == FS_NONE ? id : MIXED;
    return FS_OK;
}

static fs_status compare(const fs_matcher *m, channel_table *table, uint32_t rank, uint32_t id, fs_err *err)
{
    return check_channel(m, find_channel(table, m->work, &m->all.data[id].key, rank), err);
}

static fs_status each_end(const fs_matcher *m, channel_table *table, visit visit_end, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t rank = 0; rank < m->work->n_ranks; rank++) {
        uint32_t program = m->work->program_of[rank];
        for (uint32_t i = m->series_begin[program]; i < m->series_begin[program + 1] && status == FS_OK; i++)
            if (is_message(&m->all.data[i]))
                status = visit_end(m, table, rank, i, err);
        if (status != FS_OK)
            break;
    }
    return status;
}

fs_status fs_work_check_pairs(const fs_matcher *m, fs_err *err)
{
    uint64_t ends = 0;
    for (uint32_t i = 0; i < m->all.count; i++)
        if (is_message(&m->all.data[i]))
            ends += m->work->programs[m->all.data[i].key.program].n_ranks;
    if (ends == 0 || check_quickly(m))
        return FS_OK;
    if (ends > CHANNEL_ENDS_MAX)
        return fs_fail_at(err, FS_E_TRACE, m->work->path, 0, 0,
                          "sends and receives form more than %u (rank, peer, tag) triples", CHANNEL_ENDS_MAX);
    channel_table table = {0};
    fs_status status = each_end(m, &table, enter, err);
    if (status == FS_OK)
        status = each_end(m, &table, compare, err);
    fs_free(table.all.data);
    fs_index_free(&table.index);
    return status;
}
