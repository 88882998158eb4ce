/* fold_plans.c - which communications are the same, and a plan for each.
 *
 * Signatures are interned in the order of programs and ops, so that ids are reproducible.
 * A plan is made once per (signature, group that issues it) and (signature, sender); lowering itself caches what is
 * alike beyond that. Cost: O(ops + ranks x signatures of their program), and a lowering per plan. */
#include "base/index.h"
#include "base/rng.h"
#include "fold/folding.h"

#include <string.h>

/* What makes two communications the same to the lowering. Plain words, none left to the compiler: hashed and compared
 * as bytes. */
typedef struct signature_key {
    uint32_t program; /* sends only, else FS_NONE */
    uint32_t family, kind, root;
    int32_t peer;
    uint32_t algo, proto;
    uint32_t load, transpose;
    uint16_t top_k, top_domains;
    double size_bytes;
} signature_key;

typedef struct known {
    signature_key key;
    const fs_op *op;       /* the first one of its kind */
    uint32_t last_program; /* the program that was scanned when it was seen last */
} known;

typedef struct planner {
    fs_folding *f;
    FS_VEC(known) signatures;
    fs_index index;        /* of signatures, by key */
    FS_VEC(uint32_t) used; /* signatures of each program, program after program */
    uint32_t *used_begin;  /* (n_programs + 1) */
    uint32_t *members;     /* scratch: GPU devices of a group */
    uint32_t *first_group; /* (n_families) where a family's groups begin in numbers[] */
    uint32_t *numbers;     /* (groups of all families) as the lowering numbers them, or FS_NONE */
} planner;

static signature_key key_of(uint32_t program, const fs_op *op)
{
    signature_key key = {.program = FS_NONE, .family = op->family, .size_bytes = op->size_bytes + 0.0 /* -0 is 0 */};
    if (op->kind == FS_OP_SEND) {
        key.program = program;
        key.kind = FS_SENDRECV;
        key.peer = op->peer;
    } else {
        key.kind = op->coll;
        key.root = op->root;
        key.algo = op->algo;
        key.proto = op->proto;
        key.load = op->load;
        key.transpose = op->transpose;
        key.top_k = op->top_k;
        key.top_domains = op->top_domains;
    }
    return key;
}

static fs_status intern(planner *p, uint32_t program, const fs_op *op, uint32_t *id, fs_err *err)
{
    signature_key key = key_of(program, op);
    uint64_t hash = fs_hash_bytes(FS_HASH_START, &key, sizeof key);
    fs_index_probe probe = fs_index_search(&p->index, hash);
    uint32_t i = fs_index_next(&probe);
    while (i != FS_NONE && memcmp(&p->signatures.data[i].key, &key, sizeof key) != 0)
        i = fs_index_next(&probe);
    if (i == FS_NONE) {
        i = p->signatures.count;
        if (!FS_PUSH(&p->signatures, ((known){.key = key, .op = op, .last_program = FS_NONE})) ||
            !fs_index_add(&p->index, hash, i))
            return fs_fail_nomem(err);
    }
    if (p->signatures.data[i].last_program != program) {
        p->signatures.data[i].last_program = program;
        if (!FS_PUSH(&p->used, i))
            return fs_fail_nomem(err);
    }
    *id = i;
    return FS_OK;
}

static fs_status build_signatures(planner *p, fs_err *err)
{
    const fs_work *work = p->f->work;
    const uint32_t **of_program = fs_arena_alloc(p->f->arena, work->n_programs, sizeof *of_program);
    if (!of_program)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < work->n_programs; i++) {
        const fs_program *program = &work->programs[i];
        uint32_t *ids = fs_arena_alloc(p->f->arena, program->n_ops, sizeof *ids);
        if (!ids)
            return fs_fail_nomem(err);
        p->used_begin[i] = p->used.count;
        for (uint32_t o = 0; o < program->n_ops; o++) {
            ids[o] = FS_NONE;
            uint8_t kind = program->ops[o].kind;
            if (kind != FS_OP_COLLECTIVE && kind != FS_OP_SEND)
                continue;
            fs_status status = intern(p, i, &program->ops[o], &ids[o], err);
            if (status != FS_OK)
                return status;
        }
        of_program[i] = ids;
    }
    p->used_begin[work->n_programs] = p->used.count;
    p->f->job->n_signatures = p->signatures.count;
    p->f->job->op_signature = of_program;
    return FS_OK;
}

/* ---- signatures by family and by program ------------------------------------------------------------------------- */

/* Ids by key_of[id], where that is not FS_NONE: begin (n_keys + 1), sorted (ids). */
static void sort_by_key(const uint32_t *key_of, uint32_t n_ids, uint32_t n_keys, uint32_t *begin, uint32_t *sorted)
{
    for (uint32_t i = 0; i < n_ids; i++)
        if (key_of[i] != FS_NONE)
            begin[key_of[i] + 1]++;
    for (uint32_t k = 0; k < n_keys; k++)
        begin[k + 1] += begin[k];
    for (uint32_t i = 0; i < n_ids; i++)
        if (key_of[i] != FS_NONE)
            sorted[begin[key_of[i]]++] = i;
    for (uint32_t k = n_keys; k > 0; k--)
        begin[k] = begin[k - 1];
    begin[0] = 0;
}

static fs_status sort_signatures(planner *p, fs_err *err)
{
    fs_folding *f = p->f;
    uint32_t n = p->signatures.count, n_families = f->work->n_families, n_programs = f->work->n_programs;
    uint32_t *family = fs_arena_alloc(f->own, n, sizeof *family), *program = fs_arena_alloc(f->own, n, sizeof *program);
    f->signatures = fs_arena_alloc(f->own, n, sizeof *f->signatures);
    f->of_family = fs_arena_alloc(f->own, n, sizeof *f->of_family);
    f->of_program = fs_arena_alloc(f->own, n, sizeof *f->of_program);
    f->of_family_begin = fs_arena_alloc(f->own, (size_t)n_families + 1, sizeof *f->of_family_begin);
    f->of_program_begin = fs_arena_alloc(f->own, (size_t)n_programs + 1, sizeof *f->of_program_begin);
    if (!family || !program || !f->signatures || !f->of_family || !f->of_program || !f->of_family_begin ||
        !f->of_program_begin)
        return fs_fail_nomem(err);
    for (uint32_t s = 0; s < n; s++) {
        const known *k = &p->signatures.data[s];
        f->signatures[s] = (fs_signature){.program = k->key.program, .family = k->key.family, .op = k->op};
        program[s] = k->key.program;
        family[s] = k->key.program == FS_NONE ? k->key.family : FS_NONE;
    }
    sort_by_key(family, n, n_families, f->of_family_begin, f->of_family);
    sort_by_key(program, n, n_programs, f->of_program_begin, f->of_program);
    return FS_OK;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

static fs_status lay_out_plans(planner *p, fs_err *err)
{
    fs_folding *f = p->f;
    uint32_t n = p->signatures.count;
    uint64_t total = 0;
    f->raw_begin = fs_arena_alloc(f->own, (size_t)n + 1, sizeof *f->raw_begin);
    if (!f->raw_begin)
        return fs_fail_nomem(err);
    for (uint32_t s = 0; s < n; s++) {
        const signature_key *key = &p->signatures.data[s].key;
        f->raw_begin[s] = (uint32_t)total;
        total += key->program == FS_NONE ? f->work->families[key->family].n_groups : f->program_ranks[key->program];
        if (total >= FS_NONE) /* 32 GB of pointers and more */
            return fs_fail_nomem(err);
    }
    f->raw_begin[n] = (uint32_t)total;
    f->raw = fs_arena_alloc(f->own, total, sizeof *f->raw);
    return f->raw ? FS_OK : fs_fail_nomem(err);
}

/* Where the plan is that a rank uses. */
static uint32_t plan_index(const planner *p, uint32_t s, uint32_t rank)
{
    const signature_key *key = &p->signatures.data[s].key;
    if (key->program != FS_NONE)
        return p->f->raw_begin[s] + p->f->index_in_program[rank];
    return p->f->raw_begin[s] + fs_family_group_of(&p->f->work->families[key->family], rank);
}

static fs_status make_plan(planner *p, uint32_t s, uint32_t rank, const fs_plan **plan, fs_err *err)
{
    const fs_work *work = p->f->work;
    const signature_key *key = &p->signatures.data[s].key;
    const fs_op *op = p->signatures.data[s].op;
    uint32_t n = 0, *number = NULL;
    if (key->program == FS_NONE) {
        const fs_family *family = &work->families[key->family];
        uint32_t group = fs_family_group_of(family, rank);
        number = &p->numbers[p->first_group[key->family] + group];
        n = fs_family_size(family, group);
        for (uint32_t i = 0; i < n && *number == FS_NONE; i++)
            p->members[i] = fs_fold_device(p->f, fs_family_member(family, group, i));
    } else {
        p->members[n++] = fs_fold_device(p->f, rank);
        p->members[n++] = fs_fold_device(p->f, fs_work_peer(work, op->family, op->peer, rank));
    }
    fs_coll_request request = {.kind = (fs_coll_kind)key->kind,
                               .algo = (fs_algo)key->algo,
                               .proto = (fs_proto)key->proto,
                               .gpus = p->members,
                               .n = n,
                               .group = number,
                               .root = key->root,
                               .size_bytes = key->size_bytes,
                               .top_k = key->top_k,
                               .top_domains = key->top_domains};
    if (op->kind == FS_OP_COLLECTIVE && op->load != FS_NONE) {
        request.load = work->loads[op->load].weight;
        request.transpose = op->transpose;
    }
    fs_err why;
    fs_status status = fs_lower(p->f->lowering, &request, plan, &why);
    if (status == FS_E_TRACE)
        return fs_fail_at(err, FS_E_TRACE, work->path, op->line, op->column, "%s", why.text);
    if (status != FS_OK)
        *err = why;
    return status;
}

static fs_status number_groups(planner *p, fs_err *err)
{
    const fs_work *work = p->f->work;
    size_t n = 0;
    p->first_group = fs_alloc(work->n_families, sizeof *p->first_group);
    for (uint32_t family = 0; p->first_group && family < work->n_families; family++) {
        p->first_group[family] = (uint32_t)n;
        n += work->families[family].n_groups;
    }
    p->numbers = fs_alloc(n, sizeof *p->numbers);
    if (!p->first_group || !p->numbers)
        return fs_fail_nomem(err);
    memset(p->numbers, 0xff, n * sizeof *p->numbers); /* FS_NONE */
    return FS_OK;
}

static fs_status build_plans(planner *p, fs_err *err)
{
    fs_status status = lay_out_plans(p, err);
    if (status == FS_OK)
        status = number_groups(p, err);
    for (uint32_t rank = 0; status == FS_OK && rank < p->f->work->n_ranks; rank++) {
        uint32_t program = p->f->work->program_of[rank];
        for (uint32_t i = p->used_begin[program]; status == FS_OK && i < p->used_begin[program + 1]; i++) {
            const fs_plan **plan = &p->f->raw[plan_index(p, p->used.data[i], rank)];
            if (*plan == NULL)
                status = make_plan(p, p->used.data[i], rank, plan, err);
        }
    }
    return status;
}

/* ---- groups that meet -------------------------------------------------------------------------------------------- */

static bool meets(const fs_folding *f, uint32_t family, uint32_t group)
{
    for (uint32_t i = f->of_family_begin[family]; i < f->of_family_begin[family + 1]; i++)
        if (f->raw[f->raw_begin[f->of_family[i]] + group])
            return true;
    return false;
}

static fs_status find_mets(fs_folding *f, fs_err *err)
{
    const fs_work *work = f->work;
    FS_VEC(fs_met) mets = {0};
    uint32_t n = 0;
    f->met_begin = fs_arena_alloc(f->own, (size_t)work->n_families + 1, sizeof *f->met_begin);
    if (!f->met_begin)
        return fs_fail_nomem(err);
    for (uint32_t family = 0; family < work->n_families; family++) {
        f->met_begin[family] = n;
        n += work->families[family].n_groups;
    }
    f->met_begin[work->n_families] = n;
    f->met_of = fs_arena_alloc(f->own, n, sizeof *f->met_of);
    if (!f->met_of)
        return fs_fail_nomem(err);
    for (uint32_t family = 0; family < work->n_families; family++) {
        for (uint32_t group = 0; group < work->families[family].n_groups; group++) {
            bool met = meets(f, family, group);
            f->met_of[f->met_begin[family] + group] = met ? mets.count : FS_NONE;
            if (met && !FS_PUSH(&mets, ((fs_met){family, group}))) {
                fs_free(mets.data);
                return fs_fail_nomem(err);
            }
        }
    }
    f->n_mets = mets.count;
    f->mets = fs_arena_alloc(f->own, mets.count, sizeof *f->mets);
    if (f->mets && mets.count > 0)
        memcpy(f->mets, mets.data, mets.count * sizeof *f->mets);
    fs_free(mets.data);
    return f->mets ? FS_OK : fs_fail_nomem(err);
}

fs_status fs_fold_plans(fs_folding *f, fs_err *err)
{
    planner p = {.f = f};
    p.used_begin = fs_zalloc((size_t)f->work->n_programs + 1, sizeof *p.used_begin);
    p.members = fs_alloc((size_t)f->work->n_ranks + 2, sizeof *p.members);
    fs_status status = p.used_begin && p.members ? build_signatures(&p, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = sort_signatures(&p, err);
    if (status == FS_OK)
        status = build_plans(&p, err);
    if (status == FS_OK)
        status = find_mets(f, err);
    fs_free(p.signatures.data);
    fs_index_free(&p.index);
    fs_free(p.used.data);
    fs_free(p.used_begin);
    fs_free(p.members);
    fs_free(p.first_group);
    fs_free(p.numbers);
    return status;
}
