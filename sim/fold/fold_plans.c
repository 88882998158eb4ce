/* fold_plans.c - which communications are the same, and a plan for each.
 *
 * Signatures are interned in the order of programs and ops, so that ids are reproducible.
 * A plan is made once per (signature, group that issues it); lowering itself caches what is alike beyond that.
 * Cost: O(ops + ranks x signatures of their program), and a lowering per plan. */
#include "fold/folding.h"

#include "base/index.h"
#include "base/mem.h"
#include "base/rng.h"

#include <string.h>

/* What makes two communications the same to the lowering. Plain words, none left to the compiler: hashed and compared
 * as bytes. */
typedef struct signature_key {
    uint32_t program; /* sends only, else FS_NONE */
    uint32_t family, kind, root;
    int32_t peer;
    uint32_t algo, proto, padding;
    double size_bytes;
} signature_key;

typedef struct signature {
    signature_key key;
    const fs_op *op;       /* the first one of its kind: for the request, and to blame */
    uint32_t last_program; /* the program that was scanned when it was seen last */
} signature;

typedef struct planner {
    const fs_folding *f;
    const fs_work *work; /* of the folding, as are the two below */
    fs_job *job;
    fs_arena *arena;
    FS_VEC(signature) signatures;
    fs_index index;        /* of signatures, by key */
    FS_VEC(uint32_t) used; /* signatures of each program, program after program */
    uint32_t *used_begin;  /* (n_programs + 1) */
    uint32_t *members;     /* scratch: GPU devices of a group */
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
        if (!FS_PUSH(&p->signatures, ((signature){.key = key, .op = op, .last_program = FS_NONE})) ||
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
    const uint32_t **of_program = fs_arena_alloc(p->arena, p->work->n_programs, sizeof *of_program);
    if (!of_program)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < p->work->n_programs; i++) {
        const fs_program *program = &p->work->programs[i];
        uint32_t *ids = fs_arena_alloc(p->arena, program->n_ops, sizeof *ids);
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
    p->used_begin[p->work->n_programs] = p->used.count;
    p->job->n_signatures = p->signatures.count;
    p->job->op_signature = of_program;
    return FS_OK;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

static fs_status lay_out_plans(planner *p, uint32_t *n_plans, fs_err *err)
{
    uint32_t n = p->signatures.count;
    uint32_t *begin = fs_arena_alloc(p->arena, (size_t)n + 1, sizeof *begin);
    if (!begin)
        return fs_fail_nomem(err);
    uint64_t total = 0;
    for (uint32_t s = 0; s < n; s++) {
        const signature_key *key = &p->signatures.data[s].key;
        begin[s] = (uint32_t)total;
        total += key->program == FS_NONE ? p->work->families[key->family].n_groups : p->f->program_actors[key->program];
        if (total >= FS_NONE) /* 32 GB of pointers and more */
            return fs_fail_nomem(err);
    }
    begin[n] = (uint32_t)total;
    p->job->plan_begin = begin;
    *n_plans = (uint32_t)total;
    return FS_OK;
}

/* Where the plan is that an actor uses. */
static uint32_t plan_index(const planner *p, uint32_t s, uint32_t actor)
{
    const signature_key *key = &p->signatures.data[s].key;
    if (key->program != FS_NONE)
        return p->job->plan_begin[s] + p->job->actor_index[actor];
    return p->job->plan_begin[s] + fs_family_group_of(&p->work->families[key->family], p->job->actor_rank[actor]);
}

static fs_status make_plan(planner *p, uint32_t s, uint32_t actor, const fs_plan **plan, fs_err *err)
{
    const signature_key *key = &p->signatures.data[s].key;
    const fs_op *op = p->signatures.data[s].op;
    uint32_t rank = p->job->actor_rank[actor], n = 0;
    if (key->program == FS_NONE) {
        const fs_family *family = &p->work->families[key->family];
        uint32_t group = fs_family_group_of(family, rank), size = fs_family_size(family, group);
        while (n < size) {
            uint32_t member = fs_family_member(family, group, n);
            p->members[n++] = fs_fold_device(p->f, member);
        }
    } else {
        p->members[n++] = fs_fold_device(p->f, rank);
        p->members[n++] = fs_fold_device(p->f, p->job->actor_rank[fs_job_peer(p->job, actor, op)]);
    }
    fs_coll_request request = {.kind = (fs_coll_kind)key->kind,
                               .algo = (fs_algo)key->algo,
                               .proto = (fs_proto)key->proto,
                               .gpus = p->members,
                               .n = n,
                               .root = key->root,
                               .size_bytes = key->size_bytes};
    fs_err why;
    fs_status status = fs_lower(p->f->lowering, &request, plan, &why);
    if (status == FS_E_TRACE)
        return fs_fail_at(err, FS_E_TRACE, p->work->path, op->line, op->column, "%s", why.text);
    if (status != FS_OK)
        *err = why;
    return status;
}

static fs_status build_plans(planner *p, fs_err *err)
{
    uint32_t n_plans = 0;
    fs_status status = lay_out_plans(p, &n_plans, err);
    if (status != FS_OK)
        return status;
    const fs_plan **plans = fs_arena_alloc(p->arena, n_plans, sizeof *plans);
    if (!plans)
        return fs_fail_nomem(err);
    for (uint32_t a = 0; a < p->job->n_actors; a++) {
        uint32_t program = p->job->actor_program[a];
        for (uint32_t i = p->used_begin[program]; i < p->used_begin[program + 1]; i++) {
            const fs_plan **plan = &plans[plan_index(p, p->used.data[i], a)];
            if (*plan == NULL)
                status = make_plan(p, p->used.data[i], a, plan, err);
            if (status != FS_OK)
                return status;
        }
    }
    p->job->plans = plans;
    return FS_OK;
}

fs_status fs_fold_plans(const fs_folding *folding, fs_err *err)
{
    planner p = {.f = folding, .work = folding->work, .job = folding->job, .arena = folding->arena};
    p.used_begin = fs_zalloc((size_t)folding->work->n_programs + 1, sizeof *p.used_begin);
    p.members = fs_alloc((size_t)folding->work->n_ranks + 2, sizeof *p.members);
    fs_status status = p.used_begin && p.members ? build_signatures(&p, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = build_plans(&p, err);
    fs_free(p.signatures.data);
    fs_index_free(&p.index);
    fs_free(p.used.data);
    fs_free(p.used_begin);
    fs_free(p.members);
    return status;
}
