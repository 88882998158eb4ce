/* group.c - see group.h. A known group costs a hash of its GPUs, a new one of a known form a few 10 ns a member. */
#include "coll/group.h"

#include "base/rng.h"

#include <string.h>

#define OUTSIDE_GPU (1u << 31) /* beside a device id */
#define OUTSIDE_UNKNOWN (FS_NONE - 1)

static fs_status numbering_init(fs_numbering *n, size_t ids, fs_err *err)
{
    n->stamp = fs_zalloc(ids, sizeof *n->stamp);
    n->number = fs_alloc(ids, sizeof *n->number);
    return n->stamp && n->number ? FS_OK : fs_fail_nomem(err);
}

static void numbering_free(fs_numbering *n)
{
    fs_free(n->stamp);
    fs_free(n->number);
}

static uint32_t number_of(fs_numbering *n, uint32_t id, uint32_t stamp)
{
    if (n->stamp[id] != stamp) {
        n->stamp[id] = stamp;
        n->number[id] = n->count++;
    }
    return n->number[id];
}

fs_status fs_groups_init(fs_groups *groups, fs_neighbourhood *hood, fs_err *err)
{
    size_t boards = (size_t)hood->topo->n_nodes + 1;
    *groups = (fs_groups){.hood = hood};
    groups->gpu_stamp = fs_zalloc(hood->topo->n_gpus, sizeof *groups->gpu_stamp);
    groups->outside = fs_alloc(hood->topo->n_gpus, sizeof *groups->outside);
    fs_status status = groups->gpu_stamp && groups->outside ? FS_OK : fs_fail_nomem(err);
    for (uint32_t g = 0; status == FS_OK && g < hood->topo->n_gpus; g++)
        groups->outside[g] = OUTSIDE_UNKNOWN;
    if (status == FS_OK)
        status = numbering_init(&groups->boards, boards, err);
    if (status == FS_OK)
        status = numbering_init(&groups->domains, boards, err);
    if (status == FS_OK)
        status = numbering_init(&groups->switches, hood->n_nvswitches, err);
    return status;
}

void fs_groups_free(fs_groups *groups)
{
    fs_free(groups->groups.data);
    fs_free(groups->forms.data);
    fs_index_free(&groups->group_index);
    fs_index_free(&groups->form_index);
    fs_free(groups->gpu_stamp);
    fs_free(groups->outside);
    fs_free(groups->key.data);
    numbering_free(&groups->boards);
    numbering_free(&groups->domains);
    numbering_free(&groups->switches);
}

/* ---- forms ------------------------------------------------------------------------------------------------------- */

/* What a GPU's NVLinks lead to outside its board: a switch; FS_NONE; or, marked, the GPU itself where that is another GPU,
 * and then nothing is like it. */
static uint32_t find_outside(const fs_topo *topo, uint32_t gpu)
{
    for (uint32_t k = 0; k < fs_topo_out_count(topo, gpu); k++) {
        const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, gpu, k));
        if (topo->link_types[link.type].class_ == FS_CLASS_NVLINK &&
            fs_topo_device(topo, link.dst).kind == FS_DEVICE_GPU &&
            fs_board_of(topo, link.dst) != fs_board_of(topo, gpu))
            return OUTSIDE_GPU | gpu;
    }
    return fs_switch_of(topo, gpu);
}

/* The same as a word of a form: switches are numbered as they appear. */
static uint32_t label_outside(fs_groups *groups, uint32_t gpu, uint32_t stamp)
{
    const fs_topo *topo = groups->hood->topo;
    uint32_t *outside = &groups->outside[fs_topo_device(topo, gpu).index];
    if (*outside == OUTSIDE_UNKNOWN)
        *outside = find_outside(topo, gpu);
    return *outside >= OUTSIDE_GPU ? *outside
                                   : number_of(&groups->switches, fs_topo_device(topo, *outside).index, stamp);
}

/* The form's key, into groups->key. */
static fs_status describe(fs_groups *groups, const uint32_t *gpus, uint32_t n, fs_err *err)
{
    const fs_neighbourhood *hood = groups->hood;
    uint32_t stamp = groups->stamp;
    groups->boards.count = groups->domains.count = groups->switches.count = groups->key.count = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t board = fs_board_of(hood->topo, gpus[i]), make = hood->make_of_board[board];
        const uint32_t words[FS_FORM_WORDS] = {
            number_of(&groups->boards, board, stamp), number_of(&groups->domains, hood->domain_of_board[board], stamp),
            make, gpus[i] - hood->first_of_board[board], hood->odd[make] ? label_outside(groups, gpus[i], stamp) : 0};
        for (uint32_t w = 0; w < FS_FORM_WORDS; w++)
            if (FS_PUSH(&groups->key, words[w]) == NULL)
                return fs_fail_nomem(err);
    }
    return FS_OK;
}

/* Positions by the number in the key's word `word`, of `count` different ones. */
static fs_status sort_members(fs_arena *arena, const fs_form *form, uint32_t word, uint32_t count,
                              const uint32_t **out_begin, const uint32_t **out_positions, fs_err *err)
{
    uint32_t *begin = fs_arena_alloc(arena, (size_t)count + 2, sizeof *begin);
    uint32_t *positions = fs_arena_alloc(arena, form->n, sizeof *positions);
    if (begin == NULL || positions == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < form->n; i++)
        begin[form->key[FS_FORM_WORDS * (size_t)i + word] + 2]++;
    for (uint32_t k = 2; k <= count; k++)
        begin[k] += begin[k - 1];
    for (uint32_t i = 0; i < form->n; i++) /* begin[k + 1] runs from the start of k's list to its end */
        positions[begin[form->key[FS_FORM_WORDS * (size_t)i + word] + 1]++] = i;
    *out_begin = begin;
    *out_positions = positions;
    return FS_OK;
}

static fs_status split_domains(fs_arena *arena, fs_form *form, fs_err *err)
{
    const uint32_t *begin, *members;
    fs_status status = sort_members(arena, form, 1, form->n_domains, &begin, &members, err);
    if (status != FS_OK)
        return status;
    uint32_t *domain_of = fs_arena_alloc(arena, form->n, sizeof *domain_of);
    form->domains = fs_arena_alloc(arena, form->n_domains, sizeof *form->domains);
    if (domain_of == NULL || form->domains == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < form->n; i++)
        domain_of[i] = form->key[FS_FORM_WORDS * (size_t)i + 1];
    for (uint32_t d = 0; d < form->n_domains; d++)
        form->domains[d] = (fs_domain){.n = begin[d + 1] - begin[d], .members = members + begin[d]};
    form->domain_of = domain_of;
    return FS_OK;
}

/* A form of the key that groups->key holds. */
static fs_status new_form(fs_groups *groups, const uint32_t *gpus, uint32_t n, fs_form **out, fs_err *err)
{
    fs_arena *arena = groups->hood->arena;
    fs_form *form = fs_arena_alloc(arena, 1, sizeof *form);
    uint32_t *key = fs_arena_alloc(arena, (size_t)n * FS_FORM_WORDS, sizeof *key);
    if (form == NULL || key == NULL)
        return fs_fail_nomem(err);
    memcpy(key, groups->key.data, (size_t)n * FS_FORM_WORDS * sizeof *key);
    *form = (fs_form){.n = n,
                      .key = key,

                      .sample = gpus,
                      .n_domains = groups->domains.count,
                      .n_boards = groups->boards.count};
    fs_status status = split_domains(arena, form, err);
    if (status == FS_OK)
        status = sort_members(arena, form, 0, form->n_boards, &form->board_begin, &form->on_board, err);
    if (status == FS_OK)
        *out = form;
    return status;
}

static fs_status find_form(fs_groups *groups, const uint32_t *gpus, uint32_t n, uint32_t *id, fs_err *err)
{
    fs_status status = describe(groups, gpus, n, err);
    if (status != FS_OK)
        return status;
    size_t size = (size_t)n * FS_FORM_WORDS * sizeof *groups->key.data;
    uint64_t hash = fs_hash_bytes(FS_HASH_START, groups->key.data, size);
    fs_index_probe probe = fs_index_search(&groups->form_index, hash);
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe)) {
        const fs_form *form = groups->forms.data[i];
        if (form->n == n && memcmp(form->key, groups->key.data, size) == 0) {
            *id = i;
            return FS_OK;
        }
    }
    fs_form *form = NULL;
    status = new_form(groups, gpus, n, &form, err);
    if (status != FS_OK)
        return status;
    if (FS_PUSH(&groups->forms, form) == NULL)
        return fs_fail_nomem(err);
    *id = groups->forms.count - 1;
    if (fs_index_add(&groups->form_index, hash, *id))
        return FS_OK;
    groups->forms.count--;
    return fs_fail_nomem(err);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static fs_status check_gpus(fs_groups *groups, const uint32_t *gpus, uint32_t n, fs_err *err)
{
    const fs_topo *topo = groups->hood->topo;
    uint32_t stamp = ++groups->stamp;
    for (uint32_t i = 0; i < n; i++) {
        if (gpus[i] >= topo->n_devices)
            return fs_fail(err, FS_E_TRACE, "a group names device %u, but '%s' has %u devices", gpus[i], topo->name,
                           topo->n_devices);
        const fs_device device = fs_topo_device(topo, gpus[i]);
        if (device.kind != FS_DEVICE_GPU)
            return fs_fail(err, FS_E_TRACE, "a group names '%s', which is no GPU", FS_DEVICE_NAME(topo, gpus[i]));
        if (groups->gpu_stamp[device.index] == stamp)
            return fs_fail(err, FS_E_TRACE, "a group names '%s' twice", FS_DEVICE_NAME(topo, gpus[i]));
        groups->gpu_stamp[device.index] = stamp;
    }
    return FS_OK;
}

fs_status fs_group_find(fs_groups *groups, const uint32_t *gpus, uint32_t n, uint32_t *id, fs_err *err)
{
    uint64_t hash = fs_hash_bytes(FS_HASH_START, gpus, n * sizeof *gpus);
    fs_index_probe probe = fs_index_search(&groups->group_index, hash);
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe)) {
        const fs_group *group = &groups->groups.data[i];
        if (group->n == n && memcmp(group->gpus, gpus, n * sizeof *gpus) == 0) {
            *id = i;
            return FS_OK;
        }
    }
    fs_status status = check_gpus(groups, gpus, n, err);
    if (status != FS_OK)
        return status;
    uint32_t *copy = fs_arena_alloc(groups->hood->arena, n, sizeof *copy);
    fs_group new = {.n = n, .gpus = copy};
    if (copy == NULL)
        return fs_fail_nomem(err);
    memcpy(copy, gpus, n * sizeof *copy);
    status = find_form(groups, copy, n, &new.form, err);
    if (status != FS_OK)
        return status;
    if (FS_PUSH(&groups->groups, new) == NULL)
        return fs_fail_nomem(err);
    *id = groups->groups.count - 1;
    if (fs_index_add(&groups->group_index, hash, *id))
        return FS_OK;
    groups->groups.count--;
    return fs_fail_nomem(err);
}

/* ---- rails ------------------------------------------------------------------------------------------------------- */

/* A NIC next to a member. */
typedef struct near_nic {
    uint32_t board, nic; /* number of the board in the form; local */
    uint32_t position;
} near_nic;

typedef FS_VEC(near_nic) near_nics;

static fs_status list_near(fs_neighbourhood *hood, const fs_form *form, const fs_domain *domain, near_nics *near,
                           fs_err *err)
{
    near->count = 0;
    for (uint32_t i = 0; i < domain->n; i++) {
        uint32_t position = domain->members[i], gpu = form->sample[position];
        const uint32_t *key = form->key + FS_FORM_WORDS * (size_t)position;
        const fs_make *make;
        fs_status status = fs_find_make(hood, fs_board_of(hood->topo, gpu), &make, err);
        if (status != FS_OK)
            return status;
        uint32_t g = fs_make_gpu(make, key[3]);
        for (uint32_t k = make->near_begin[g]; k < make->near_begin[g + 1]; k++)
            if (FS_PUSH(near, ((near_nic){key[0], make->nics[make->near[k]], position})) == NULL)
                return fs_fail_nomem(err);
    }
    return FS_OK;
}

static bool before(const near_nic *a, const near_nic *b)
{
    return a->board != b->board ? a->board < b->board : a->nic < b->nic;
}

static uint32_t rails_of_gpu(const fs_rail *rails, uint32_t n, uint32_t position)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += rails[i].enter == position;
    return count;
}

/* The distinct NICs, each with its GPUs: to enter by the one with the fewest NICs so far. */
static uint32_t assign_rails(const fs_form *form, const near_nics *near, fs_rail *rails)
{
    uint32_t n = 0;
    const near_nic *last = NULL;
    for (;;) {
        const near_nic *next = NULL;
        for (uint32_t i = 0; i < near->count; i++)
            if ((last == NULL || before(last, &near->data[i])) && (next == NULL || before(&near->data[i], next)))
                next = &near->data[i];
        if (next == NULL)
            return n;
        fs_rail rail = {FS_NONE, FS_NONE, 0};
        uint32_t fewest = UINT32_MAX;
        for (uint32_t i = 0; i < near->count; i++) {
            const near_nic *here = &near->data[i];
            bool same = here->board == next->board && here->nic == next->nic;
            uint32_t taken = same ? rails_of_gpu(rails, n, here->position) : UINT32_MAX;
            if (taken < fewest) {
                fewest = taken;
                rail.enter = here->position;
            }
        }
        for (uint32_t i = 0; i < near->count; i++) {
            const near_nic *here = &near->data[i];
            if (here->board == next->board && here->nic == next->nic && here->position != rail.enter &&
                rail.leave == FS_NONE)
                rail.leave = here->position;
        }
        if (rail.leave == FS_NONE)
            rail.leave = rail.enter;
        rail.offset = (int32_t)next->nic - (int32_t)form->key[FS_FORM_WORDS * (size_t)rail.enter + 3];
        rails[n++] = rail;
        last = next;
    }
}

fs_status fs_form_find_rails(fs_neighbourhood *hood, fs_form *form, fs_err *err)
{
    fs_status status = FS_OK;
    near_nics near = {0};
    for (uint32_t d = 0; d < form->n_domains && status == FS_OK && !form->rails_found; d++) {
        fs_domain *domain = &form->domains[d];
        status = list_near(hood, form, domain, &near, err);
        fs_rail *rails = status == FS_OK ? fs_arena_alloc(hood->arena, near.count, sizeof *rails) : NULL;
        if (status == FS_OK && rails == NULL)
            status = fs_fail_nomem(err);
        if (status != FS_OK)
            break;
        domain->n_rails = assign_rails(form, &near, rails);
        domain->rails = rails;
        if (d == 0 || domain->n_rails < form->n_rails)
            form->n_rails = domain->n_rails;
    }
    fs_free(near.data);
    form->rails_found = status == FS_OK;
    return status;
}
