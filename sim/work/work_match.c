/* work_match.c - do the ranks of a job agree on what they say to each other? See work_check.h.
 *
 * A series is the ops of one program that meet the same partner in order: its collectives on one family, or its sends
 * (receives) with one peer and tag. Series are interned by content, so that agreement is equality of two numbers and
 * nothing is done per (rank, op):
 *   collectives: all members of a group must run programs whose series on the family have equal content;
 *   send/recv:   for each (source, destination, tag), the sender's series must equal the receiver's. Where several
 *                series of a program turn out to be one channel (a shift of 1 and one of -1 in a group of two), the ops
 *                are gathered and compared one by one.
 * Cost: O(ops + ranks x families + ranks x series of their programs), the last limited by CHANNEL_ENDS_MAX. */
#include "base/index.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rng.h"
#include "work/work_check.h"

#include <stdlib.h>
#include <string.h>

/* (rank, series) pairs; two that match take 36 to 72 B while the check runs. */
#define CHANNEL_ENDS_MAX (UINT32_C(1) << 28)
#define MIXED (FS_NONE - 1)   /* several series */
#define SETTLED (FS_NONE - 2) /* compared op by op, and equal */

typedef struct series_key {
    uint32_t program, kind, family, peer, tag; /* kind: fs_op_kind; no padding: hashed as bytes */
} series_key;

typedef struct series {
    series_key key;
    uint32_t begin, count; /* uses[] */
    uint32_t content;      /* the first series of equal content */
    uint32_t largest_root; /* its op with the largest root */
} series;

typedef struct matcher {
    const fs_work *work;
    FS_VEC(series) all;     /* program by program */
    uint32_t *series_begin; /* (n_programs + 1) */
    uint32_t *uses;         /* ops, series after series */
    fs_index by_key, by_content;
} matcher;

static bool communicates(const fs_op *op)
{
    return op->kind >= FS_OP_COLLECTIVE;
}

static const fs_op *op_of(const matcher *m, const series *s, uint32_t i)
{
    return &m->work->programs[s->key.program].ops[m->uses[s->begin + i]];
}

static const char *label(const matcher *m, const fs_op *op)
{
    return m->work->names[op->name];
}

/* ---- series --------------------------------------------------------------------------------------------------- */

static series_key key_of(uint32_t program, const fs_op *op)
{
    bool collective = op->kind == FS_OP_COLLECTIVE;
    return (series_key){program, op->kind, op->family, collective ? 0 : (uint32_t)op->peer, collective ? 0 : op->tag};
}

static uint64_t hash_key(const series_key *key)
{
    return fs_hash_bytes(FS_HASH_START, key, sizeof *key);
}

static uint32_t find_series(const matcher *m, const series_key *key)
{
    fs_index_probe probe = fs_index_search(&m->by_key, hash_key(key));
    uint32_t id = fs_index_next(&probe);
    while (id != FS_NONE && memcmp(&m->all.data[id].key, key, sizeof *key) != 0)
        id = fs_index_next(&probe);
    return id;
}

/* Counts the ops of each series. A second walk (fill_uses) meets the same series in the same order. */
static fs_status count_series(matcher *m, fs_err *err)
{
    const fs_work *work = m->work;
    for (uint32_t program = 0; program < work->n_programs; program++) {
        const fs_program *p = &work->programs[program];
        for (uint32_t i = 0; i < p->n_ops; i++) {
            if (!communicates(&p->ops[i]))
                continue;
            series fresh = {.key = key_of(program, &p->ops[i])};
            uint32_t id = find_series(m, &fresh.key);
            if (id == FS_NONE) {
                id = m->all.count;
                if (FS_PUSH(&m->all, fresh) == NULL || !fs_index_add(&m->by_key, hash_key(&fresh.key), id))
                    return fs_fail_nomem(err);
            }
            m->all.data[id].count++;
        }
        m->series_begin[program + 1] = m->all.count;
    }
    return FS_OK;
}

static fs_status fill_uses(matcher *m, fs_err *err)
{
    uint32_t n_uses = 0;
    for (uint32_t i = 0; i < m->all.count; i++) {
        series *s = &m->all.data[i];
        if (s->count > FS_NONE - n_uses)
            return fs_fail_at(err, FS_E_TRACE, m->work->path, 0, 0, "more than %u communicating ops", FS_NONE - 1);
        s->begin = n_uses;
        n_uses += s->count;
        s->count = 0;
    }
    m->uses = fs_alloc(n_uses, sizeof *m->uses);
    if (m->uses == NULL)
        return fs_fail_nomem(err);
    for (uint32_t program = 0; program < m->work->n_programs; program++) {
        const fs_program *p = &m->work->programs[program];
        for (uint32_t i = 0; i < p->n_ops; i++) {
            if (!communicates(&p->ops[i]))
                continue;
            series_key key = key_of(program, &p->ops[i]);
            series *s = &m->all.data[find_series(m, &key)];
            m->uses[s->begin + s->count++] = i;
        }
    }
    return FS_OK;
}

/* ---- contents ------------------------------------------------------------------------------------------------- */

static bool rooted(const fs_op *op)
{
    return op->coll == FS_BROADCAST || op->coll == FS_REDUCE;
}

/* Would two members of a group be content with each other's op? Sends meet receives, so the kind does not count. */
static bool same_call(const fs_op *a, const fs_op *b)
{
    return a->coll == b->coll && !(a->size_bytes < b->size_bytes) && !(a->size_bytes > b->size_bytes) &&
           a->algo == b->algo && a->proto == b->proto && (!rooted(a) || a->root == b->root);
}

static uint64_t hash_content(const matcher *m, const series *s)
{
    uint64_t hash = FS_HASH_START;
    for (uint32_t i = 0; i < s->count; i++) {
        const fs_op *op = op_of(m, s, i);
        struct {
            double size;
            uint32_t coll, root;
        } call = {op->size_bytes + 0.0, op->coll, rooted(op) ? op->root : 0}; /* + 0.0: -0 hashes as 0 */
        hash = fs_hash_bytes(hash, &call, sizeof call);
    }
    return hash;
}

static bool same_content(const matcher *m, const series *a, const series *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!same_call(op_of(m, a, i), op_of(m, b, i)))
            return false;
    return true;
}

static fs_status number_contents(matcher *m, fs_err *err)
{
    for (uint32_t i = 0; i < m->all.count; i++) {
        series *s = &m->all.data[i];
        uint64_t hash = hash_content(m, s);
        fs_index_probe probe = fs_index_search(&m->by_content, hash);
        s->content = fs_index_next(&probe);
        while (s->content != FS_NONE && !same_content(m, s, &m->all.data[s->content]))
            s->content = fs_index_next(&probe);
        if (s->content == FS_NONE) {
            s->content = i;
            if (!fs_index_add(&m->by_content, hash, i))
                return fs_fail_nomem(err);
        }
        s->largest_root = 0;
        for (uint32_t k = 0; k < s->count; k++)
            if (rooted(op_of(m, s, k)) && op_of(m, s, k)->root > op_of(m, s, s->largest_root)->root)
                s->largest_root = k;
    }
    return FS_OK;
}

/* ---- collectives ---------------------------------------------------------------------------------------------- */

static const char *describe(const matcher *m, const fs_op *op, char *buffer, size_t size)
{
    if (op == NULL) {
        snprintf(buffer, size, "has none");
        return buffer;
    }
    char bytes[64];
    int n = snprintf(buffer, size, "issues %s", fs_coll_names[op->coll]);
    if (op->coll != FS_BARRIER)
        n += snprintf(buffer + n, size - (size_t)n, " of %s B", fs_format_exact(op->size_bytes, bytes, sizeof bytes));
    if (rooted(op))
        n += snprintf(buffer + n, size - (size_t)n, " from position %u", op->root);
    if (op->algo != FS_ALGO_AUTO || op->proto != FS_PROTO_AUTO)
        n += snprintf(buffer + n, size - (size_t)n, " by %s/%s", fs_algo_names[op->algo], fs_proto_names[op->proto]);
    snprintf(buffer + n, size - (size_t)n, " ('%.100s')", label(m, op));
    return buffer;
}

/* a, b: series of ranks ra and rb, NULL where a rank's program has none. */
static fs_status disagree(const matcher *m, const fs_family *family, uint32_t ra, const series *a, uint32_t rb,
                          const series *b, fs_err *err)
{
    uint32_t i = 0, na = a ? a->count : 0, nb = b ? b->count : 0;
    while (i < na && i < nb && same_call(op_of(m, a, i), op_of(m, b, i)))
        i++;
    const fs_op *x = i < na ? op_of(m, a, i) : NULL, *y = i < nb ? op_of(m, b, i) : NULL;
    char left[256], right[256];
    return fs_work_fail(m->work, y ? y : x, err,
                        "ranks %u and %u of group '%.100s' disagree on their collective number %u there: "
                        "rank %u %s, rank %u %s",
                        ra, rb, family->name, i + 1, ra, describe(m, x, left, sizeof left), rb,
                        describe(m, y, right, sizeof right));
}

/* of_program: (n_programs) id of the program's collectives on this family, FS_NONE if it has none. */
static fs_status check_groups(const matcher *m, const fs_family *family, const uint32_t *of_program, fs_err *err)
{
    const uint32_t *program_of = m->work->program_of;
    for (uint32_t g = 0; g < family->n_groups; g++) {
        uint32_t first = family->ranks[family->begin[g]], size = family->begin[g + 1] - family->begin[g];
        uint32_t a = of_program[program_of[first]];
        const series *sa = a == FS_NONE ? NULL : &m->all.data[a];
        for (uint32_t i = family->begin[g] + 1; i < family->begin[g + 1]; i++) {
            uint32_t b = of_program[program_of[family->ranks[i]]];
            const series *sb = b == FS_NONE ? NULL : &m->all.data[b];
            if (a != b && (sa == NULL || sb == NULL || sa->content != sb->content))
                return disagree(m, family, first, sa, family->ranks[i], sb, err);
        }
        const fs_op *op = sa ? op_of(m, sa, sa->largest_root) : NULL;
        if (op && rooted(op) && op->root >= size)
            return fs_work_fail(m->work, op, err,
                                "'%.100s' has root %u, but the group '%.100s' of rank %u has %u ranks", label(m, op),
                                op->root, family->name, first, size);
    }
    return FS_OK;
}

/* Series of one family: series ids list[0..n). of_program is all FS_NONE, and left so. */
static fs_status check_family(const matcher *m, uint32_t family, const uint32_t *list, uint32_t n, uint32_t *of_program,
                              fs_err *err)
{
    const fs_family *f = &m->work->families[family];
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n; i++) /* the first use that a program makes of the family, of whatever kind */
        if (of_program[m->all.data[list[i]].key.program] == FS_NONE)
            of_program[m->all.data[list[i]].key.program] = list[i];
    for (uint32_t rank = 0; rank < m->work->n_ranks && status == FS_OK; rank++) {
        uint32_t s = of_program[m->work->program_of[rank]];
        if (s != FS_NONE && f->group_of[rank] == FS_NONE) {
            const fs_op *op = op_of(m, &m->all.data[s], 0);
            status =
                fs_work_fail(m->work, op, err, "'%.100s' uses group '%.100s', but rank %u, which runs it, is not in it",
                             label(m, op), f->name, rank);
        }
    }
    for (uint32_t i = 0; i < n; i++)
        of_program[m->all.data[list[i]].key.program] = FS_NONE;
    for (uint32_t i = 0; i < n; i++)
        if (m->all.data[list[i]].key.kind == FS_OP_COLLECTIVE)
            of_program[m->all.data[list[i]].key.program] = list[i];
    if (status == FS_OK)
        status = check_groups(m, f, of_program, err);
    for (uint32_t i = 0; i < n; i++)
        of_program[m->all.data[list[i]].key.program] = FS_NONE;
    return status;
}

static fs_status check_collectives(const matcher *m, fs_err *err)
{
    uint32_t n_families = m->work->n_families, n_programs = m->work->n_programs;
    uint32_t *begin =
        fs_zalloc((size_t)n_families + 2, sizeof *begin); /* buckets of series by family, shifted by one */
    uint32_t *list = fs_alloc(m->all.count, sizeof *list);
    uint32_t *of_program = fs_alloc(n_programs, sizeof *of_program);
    fs_status status = begin && list && of_program ? FS_OK : fs_fail_nomem(err);
    if (status == FS_OK) {
        memset(of_program, 0xff, n_programs * sizeof *of_program);
        for (uint32_t i = 0; i < m->all.count; i++)
            if (m->all.data[i].key.family != FS_NONE)
                begin[m->all.data[i].key.family + 2]++;
        for (uint32_t f = 0; f < n_families; f++)
            begin[f + 2] += begin[f + 1];
        for (uint32_t i = 0; i < m->all.count; i++)
            if (m->all.data[i].key.family != FS_NONE)
                list[begin[m->all.data[i].key.family + 1]++] = i;
    }
    for (uint32_t f = 0; f < n_families && status == FS_OK; f++)
        if (begin[f] < begin[f + 1])
            status = check_family(m, f, list + begin[f], begin[f + 1] - begin[f], of_program, err);
    fs_free(begin);
    fs_free(list);
    fs_free(of_program);
    return status;
}

/* ---- sends and receives --------------------------------------------------------------------------------------- */

typedef struct channel {
    uint32_t src, dst, tag; /* first: hashed as bytes */
    uint32_t send, recv;    /* series of either side, FS_NONE, MIXED or SETTLED */
} channel;

typedef struct channel_table {
    FS_VEC(channel) all;
    fs_index index;
} channel_table;

static uint32_t peer_of(const fs_work *work, const series_key *key, uint32_t rank)
{
    return fs_work_peer(work, key->family, (int32_t)key->peer, rank);
}

/* The channel of one of its ends; made where it is new, and NULL then where memory runs out. */
static channel *find_channel(channel_table *table, const fs_work *work, const series_key *key, uint32_t rank)
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
static fs_status gather(const matcher *m, const channel *c, fs_op_kind side, uint32_t **ops, uint32_t *n, fs_err *err)
{
    uint32_t rank = side == FS_OP_SEND ? c->src : c->dst, other = side == FS_OP_SEND ? c->dst : c->src;
    uint32_t program = m->work->program_of[rank], total = 0;
    uint32_t *list = NULL;
    for (int filling = 0; filling < 2; filling++) {
        if (filling && (list = fs_alloc(total, sizeof *list)) == NULL)
            return fs_fail_nomem(err);
        total = 0;
        for (uint32_t i = m->series_begin[program]; i < m->series_begin[program + 1]; i++) {
            const series *s = &m->all.data[i];
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

static fs_status compare_sides(const matcher *m, const channel *c, const uint32_t *sends, uint32_t n_sends,
                               const uint32_t *recvs, uint32_t n_recvs, fs_err *err)
{
    const fs_op *out = m->work->programs[m->work->program_of[c->src]].ops;
    const fs_op *in = m->work->programs[m->work->program_of[c->dst]].ops;
    uint32_t i = 0;
    while (i < n_sends && i < n_recvs && same_call(&out[sends[i]], &in[recvs[i]]))
        i++;
    if (i == n_sends && i == n_recvs)
        return FS_OK;
    if (i == n_recvs)
        return fs_work_fail(m->work, &out[sends[i]], err,
                            "rank %u sends '%.100s' to rank %u with tag %u, but rank %u has no "
                            "receive for it (%u sends, %u receives)",
                            c->src, label(m, &out[sends[i]]), c->dst, c->tag, c->dst, n_sends, n_recvs);
    if (i == n_sends)
        return fs_work_fail(m->work, &in[recvs[i]], err,
                            "rank %u receives '%.100s' from rank %u with tag %u, but rank %u has no "
                            "send for it (%u sends, %u receives)",
                            c->dst, label(m, &in[recvs[i]]), c->src, c->tag, c->src, n_sends, n_recvs);
    char sent[64], received[64];
    return fs_work_fail(m->work, &in[recvs[i]], err,
                        "rank %u sends %s B to rank %u ('%.100s', tag %u), but rank %u receives %s B "
                        "('%.100s')",
                        c->src, fs_format_exact(out[sends[i]].size_bytes, sent, sizeof sent), c->dst,
                        label(m, &out[sends[i]]), c->tag, c->dst,
                        fs_format_exact(in[recvs[i]].size_bytes, received, sizeof received), label(m, &in[recvs[i]]));
}

static fs_status check_channel(const matcher *m, channel *c, fs_err *err)
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
typedef fs_status (*visit)(const matcher *m, channel_table *table, uint32_t rank, uint32_t id, fs_err *err);

static fs_status enter(const matcher *m, channel_table *table, uint32_t rank, uint32_t id, fs_err *err)
{
    const series *s = &m->all.data[id];
    if (peer_of(m->work, &s->key, rank) == rank) {
        const fs_op *op = op_of(m, s, 0);
        return fs_work_fail(m->work, op, err, "rank %u %s itself: '%.100s'", rank,
                            op->kind == FS_OP_SEND ? "sends to" : "receives from", label(m, op));
    }
    channel *c = find_channel(table, m->work, &s->key, rank);
    if (c == NULL)
        return fs_fail_nomem(err);
    uint32_t *side = s->key.kind == FS_OP_SEND ? &c->send : &c->recv;
    *side = *side == FS_NONE ? id : MIXED;
    return FS_OK;
}

static fs_status compare(const matcher *m, channel_table *table, uint32_t rank, uint32_t id, fs_err *err)
{
    return check_channel(m, find_channel(table, m->work, &m->all.data[id].key, rank), err);
}

static fs_status each_end(const matcher *m, channel_table *table, visit visit_end, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t rank = 0; rank < m->work->n_ranks; rank++) {
        uint32_t program = m->work->program_of[rank];
        for (uint32_t i = m->series_begin[program]; i < m->series_begin[program + 1] && status == FS_OK; i++)
            if (m->all.data[i].key.kind != FS_OP_COLLECTIVE)
                status = visit_end(m, table, rank, i, err);
        if (status != FS_OK)
            break;
    }
    return status;
}

static fs_status check_pairs(const matcher *m, fs_err *err)
{
    uint64_t ends = 0;
    for (uint32_t i = 0; i < m->all.count; i++)
        if (m->all.data[i].key.kind != FS_OP_COLLECTIVE)
            ends += m->work->programs[m->all.data[i].key.program].n_ranks;
    if (ends == 0)
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

fs_status fs_work_check_match(const fs_work *work, fs_err *err)
{
    matcher m = {.work = work, .series_begin = fs_zalloc((size_t)work->n_programs + 1, sizeof(uint32_t))};
    fs_status status = m.series_begin ? count_series(&m, err) : fs_fail_nomem(err);
    if (status == FS_OK && m.all.count > 0)
        status = fill_uses(&m, err);
    if (status == FS_OK && m.all.count > 0) {
        status = number_contents(&m, err);
        if (status == FS_OK)
            status = check_collectives(&m, err);
        if (status == FS_OK)
            status = check_pairs(&m, err);
    }
    fs_free(m.all.data);
    fs_free(m.series_begin);
    fs_free(m.uses);
    fs_index_free(&m.by_key);
    fs_index_free(&m.by_content);
    return status;
}
