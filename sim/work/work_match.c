/* work_match.c - do the ranks of a job agree on what they say to each other? See work_check.h and work_series.h.
 *
 * Series are numbered by content; nothing is done per (rank, op). Here the collectives: all members of a group must run
 * programs whose series on the family have equal content. Sends and receives: work_pairs.c.
 * Cost: O(ops + ranks x families in use). */
#include "base/num.h"
#include "base/rng.h"
#include "work/work_series.h"

#include <string.h>

static bool communicates(const fs_op *op)
{
    return op->kind >= FS_OP_COLLECTIVE;
}

/* ---- series --------------------------------------------------------------------------------------------------- */

static fs_series_key key_of(uint32_t program, const fs_op *op)
{
    bool collective = op->kind == FS_OP_COLLECTIVE;
    return (fs_series_key){program, op->kind, op->family, collective ? 0 : (uint32_t)op->peer,
                           collective ? 0 : op->tag};
}

static uint64_t hash_key(const fs_series_key *key)
{
    return fs_hash_bytes(FS_HASH_START, key, sizeof *key);
}

static uint32_t find_series(const fs_matcher *m, const fs_series_key *key)
{
    fs_index_probe probe = fs_index_search(&m->by_key, hash_key(key));
    uint32_t id = fs_index_next(&probe);
    while (id != FS_NONE && memcmp(&m->all.data[id].key, key, sizeof *key) != 0)
        id = fs_index_next(&probe);
    return id;
}

/* Counts the ops of each series. A second walk (fill_uses) meets the same series in the same order. */
static fs_status count_series(fs_matcher *m, fs_err *err)
{
    const fs_work *work = m->work;
    for (uint32_t program = 0; program < work->n_programs; program++) {
        const fs_program *p = &work->programs[program];
        for (uint32_t i = 0; i < p->n_ops; i++) {
            if (!communicates(&p->ops[i]))
                continue;
            fs_series fresh = {.key = key_of(program, &p->ops[i])};
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

static fs_status fill_uses(fs_matcher *m, fs_err *err)
{
    uint32_t n_uses = 0;
    for (uint32_t i = 0; i < m->all.count; i++) {
        fs_series *s = &m->all.data[i];
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
            fs_series_key key = key_of(program, &p->ops[i]);
            fs_series *s = &m->all.data[find_series(m, &key)];
            m->uses[s->begin + s->count++] = i;
        }
    }
    return FS_OK;
}

/* ---- contents ------------------------------------------------------------------------------------------------- */

bool fs_same_call(const fs_op *a, const fs_op *b)
{
    return a->coll == b->coll && !(a->size_bytes < b->size_bytes) && !(a->size_bytes > b->size_bytes) &&
           a->algo == b->algo && a->proto == b->proto && a->load == b->load && a->transpose == b->transpose &&
           a->top_k == b->top_k && a->top_domains == b->top_domains && (!fs_op_rooted(a) || a->root == b->root);
}

static uint64_t hash_content(const fs_matcher *m, const fs_series *s)
{
    uint64_t hash = FS_HASH_START;
    for (uint32_t i = 0; i < s->count; i++) {
        const fs_op *op = fs_series_op(m, s, i);
        struct {
            double size;
            uint32_t coll, root, load, transpose;
        } call = {op->size_bytes + 0.0 /* -0 hashes as 0 */, op->coll, fs_op_rooted(op) ? op->root : 0, op->load,
                  op->transpose};
        hash = fs_hash_bytes(hash, &call, sizeof call);
    }
    return hash;
}

static bool same_content(const fs_matcher *m, const fs_series *a, const fs_series *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!fs_same_call(fs_series_op(m, a, i), fs_series_op(m, b, i)))
            return false;
    return true;
}

static fs_status number_contents(fs_matcher *m, fs_err *err)
{
    for (uint32_t i = 0; i < m->all.count; i++) {
        fs_series *s = &m->all.data[i];
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
            if (fs_op_rooted(fs_series_op(m, s, k)) &&
                fs_series_op(m, s, k)->root > fs_series_op(m, s, s->largest_root)->root)
                s->largest_root = k;
    }
    return FS_OK;
}

/* ---- collectives ---------------------------------------------------------------------------------------------- */

static const char *describe(const fs_matcher *m, const fs_op *op, char *buffer, size_t size)
{
    if (op == NULL) {
        snprintf(buffer, size, "has none");
        return buffer;
    }
    char bytes[64];
    int n = snprintf(buffer, size, "issues %s", fs_coll_names[op->coll]);
    if (op->coll != FS_BARRIER)
        n += snprintf(buffer + n, size - (size_t)n, " of %s B", fs_format_exact(op->size_bytes, bytes, sizeof bytes));
    if (fs_op_rooted(op))
        n += snprintf(buffer + n, size - (size_t)n, " from position %u", op->root);
    if (op->algo != FS_ALGO_AUTO || op->proto != FS_PROTO_AUTO)
        n += snprintf(buffer + n, size - (size_t)n, " by %s/%s", fs_algo_names[op->algo], fs_proto_names[op->proto]);
    snprintf(buffer + n, size - (size_t)n, " ('%.100s')", fs_op_name(m, op));
    return buffer;
}

/* a, b: series of ranks ra and rb, NULL where a rank's program has none. */
static fs_status disagree(const fs_matcher *m, const fs_family *family, uint32_t ra, const fs_series *a, uint32_t rb,
                          const fs_series *b, fs_err *err)
{
    uint32_t i = 0, na = a ? a->count : 0, nb = b ? b->count : 0;
    while (i < na && i < nb && fs_same_call(fs_series_op(m, a, i), fs_series_op(m, b, i)))
        i++;
    const fs_op *x = i < na ? fs_series_op(m, a, i) : NULL, *y = i < nb ? fs_series_op(m, b, i) : NULL;
    char left[256], right[256];
    return fs_work_fail(m->work, y ? y : x, err,
                        "ranks %u and %u of group '%.100s' disagree on their collective number %u there: "
                        "rank %u %s, rank %u %s",
                        ra, rb, family->name, i + 1, ra, describe(m, x, left, sizeof left), rb,
                        describe(m, y, right, sizeof right));
}

/* of_program: (n_programs) id of the program's collectives on this family, FS_NONE if it has none. first: scratch,
 * (n_groups). Ranks are met in their order, so the rank that is blamed is the first that differs. */
static fs_status check_groups(const fs_matcher *m, const fs_family *family, const uint32_t *of_program, uint32_t *first,
                              fs_err *err)
{
    const uint32_t *program_of = m->work->program_of;
    memset(first, 0xff, family->n_groups * sizeof *first); /* FS_NONE */
    for (uint32_t rank = 0; rank < m->work->n_ranks; rank++) {
        uint32_t g = fs_family_group_of(family, rank);
        if (g == FS_NONE)
            continue;
        uint32_t b = of_program[program_of[rank]];
        const fs_series *sb = b == FS_NONE ? NULL : &m->all.data[b];
        if (first[g] == FS_NONE) {
            first[g] = rank;
            const fs_op *op = sb ? fs_series_op(m, sb, sb->largest_root) : NULL;
            if (op && fs_op_rooted(op) && op->root >= fs_family_size(family, g))
                return fs_work_fail(m->work, op, err,
                                    "'%.100s' has root %u, but the group '%.100s' of rank %u has %u ranks",
                                    fs_op_name(m, op), op->root, family->name, rank, fs_family_size(family, g));
            continue;
        }
        uint32_t a = of_program[program_of[first[g]]];
        const fs_series *sa = a == FS_NONE ? NULL : &m->all.data[a];
        if (a != b && (sa == NULL || sb == NULL || sa->content != sb->content))
            return disagree(m, family, first[g], sa, rank, sb, err);
    }
    return FS_OK;
}

/* Series of one family: series ids list[0..n). of_program is all FS_NONE, and left so. */
static fs_status check_family(const fs_matcher *m, uint32_t family, const uint32_t *list, uint32_t n,
                              uint32_t *of_program, uint32_t *first, fs_err *err)
{
    const fs_family *f = &m->work->families[family];
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n; i++) /* the first use that a program makes of the family, of whatever kind */
        if (of_program[m->all.data[list[i]].key.program] == FS_NONE)
            of_program[m->all.data[list[i]].key.program] = list[i];
    for (uint32_t rank = 0; f->size == 0 && rank < m->work->n_ranks && status == FS_OK; rank++) {
        uint32_t s = of_program[m->work->program_of[rank]];
        if (s != FS_NONE && fs_family_group_of(f, rank) == FS_NONE) {
            const fs_op *op = fs_series_op(m, &m->all.data[s], 0);
            status =
                fs_work_fail(m->work, op, err, "'%.100s' uses group '%.100s', but rank %u, which runs it, is not in it",
                             fs_op_name(m, op), f->name, rank);
        }
    }
    for (uint32_t i = 0; i < n; i++)
        of_program[m->all.data[list[i]].key.program] = FS_NONE;
    for (uint32_t i = 0; i < n; i++)
        if (m->all.data[list[i]].key.kind == FS_OP_COLLECTIVE)
            of_program[m->all.data[list[i]].key.program] = list[i];
    if (status == FS_OK)
        status = check_groups(m, f, of_program, first, err);
    for (uint32_t i = 0; i < n; i++)
        of_program[m->all.data[list[i]].key.program] = FS_NONE;
    return status;
}

static fs_status check_collectives(const fs_matcher *m, fs_err *err)
{
    uint32_t n_families = m->work->n_families, n_programs = m->work->n_programs;
    uint32_t *begin =
        fs_zalloc((size_t)n_families + 2, sizeof *begin); /* buckets of series by family, shifted by one */
    uint32_t *list = fs_alloc(m->all.count, sizeof *list);
    uint32_t *of_program = fs_alloc(n_programs, sizeof *of_program);
    uint32_t *first = fs_alloc(m->work->n_ranks, sizeof *first);
    fs_status status = begin && list && of_program && first ? FS_OK : fs_fail_nomem(err);
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
            status = check_family(m, f, list + begin[f], begin[f + 1] - begin[f], of_program, first, err);
    fs_free(begin);
    fs_free(list);
    fs_free(of_program);
    fs_free(first);
    return status;
}

fs_status fs_work_check_match(const fs_work *work, fs_err *err)
{
    fs_matcher m = {.work = work, .series_begin = fs_zalloc((size_t)work->n_programs + 1, sizeof(uint32_t))};
    fs_status status = m.series_begin ? count_series(&m, err) : fs_fail_nomem(err);
    if (status == FS_OK && m.all.count > 0)
        status = fill_uses(&m, err);
    if (status == FS_OK && m.all.count > 0) {
        status = number_contents(&m, err);
        if (status == FS_OK)
            status = check_collectives(&m, err);
        if (status == FS_OK)
            status = fs_work_check_pairs(&m, err);
    }
    fs_free(m.all.data);
    fs_free(m.series_begin);
    fs_free(m.uses);
    fs_index_free(&m.by_key);
    fs_index_free(&m.by_content);
    return status;
}
