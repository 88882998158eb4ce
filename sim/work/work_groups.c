/* work_groups.c - families of groups. See work_build.h.
 *
 * A strided family is a few numbers. An explicit one that turns out to be strided becomes one, so that later stages see
 * arithmetic where there is any. Cost: O(1) strided, O(ranks) explicit. */
#include "work/work_builder.h"

#include <string.h>

/* Members and ranks of explicit families, summed: 16 families of the largest job. Bounds what a short trace can make us
 * allocate. */
enum { FAMILY_RANKS_MAX = 16 * FS_RANKS_MAX };

static fs_status check_new(fs_work_builder *b, const char *name, fs_err *err)
{
    for (uint32_t i = 0; i < b->families.count; i++)
        if (strcmp(b->families.data[i].name, name) == 0)
            return FS_BAD_WORK(b, err, "group '%s' is defined twice", name);
    if (b->families.count == FS_FAMILIES_MAX)
        return FS_BAD_WORK(b, err, "more than %d groups", FS_FAMILIES_MAX);
    return FS_OK;
}

static fs_status keep(fs_work_builder *b, const char *name, fs_family *family, uint32_t *id, fs_err *err)
{
    family->name = fs_arena_strdup(b->arena, name);
    if (family->name == NULL || FS_PUSH(&b->families, *family) == NULL)
        return fs_fail_nomem(err);
    *id = b->families.count - 1;
    return FS_OK;
}

fs_status fs_work_family_digits(fs_work_builder *b, const char *name, const fs_digit *digits, uint32_t n_digits,
                                uint32_t *id, fs_err *err)
{
    fs_family family = {.n_digits = n_digits, .size = 1};
    uint64_t below = 1; /* what the next stride must be a multiple of */
    if (n_digits < 1 || n_digits > FS_FAMILY_DIGITS_MAX)
        return FS_BAD_WORK(b, err, "group '%s' has %u digits, expected 1 to %d", name, n_digits, FS_FAMILY_DIGITS_MAX);
    for (uint32_t i = 0; i < n_digits; i++) {
        uint64_t block = (uint64_t)digits[i].size * digits[i].stride;
        if (block == 0 || block > b->n_ranks || b->n_ranks % block != 0)
            return FS_BAD_WORK(b, err, "group '%s': size %u x stride %u does not divide %u ranks", name, digits[i].size,
                               digits[i].stride, b->n_ranks);
        if (digits[i].stride % below != 0)
            return FS_BAD_WORK(b, err, "group '%s': stride %u is no multiple of the size x stride before it, %u", name,
                               digits[i].stride, (uint32_t)below);
        below = block;
        family.digits[i] = digits[i];
        family.size *= digits[i].size;
    }
    family.n_groups = b->n_ranks / family.size;
    family.common_size = family.size;
    if (b->families.count > 0 && family.size == b->n_ranks && strcmp(name, b->families.data[0].name) == 0) {
        *id = 0; /* the world, said again */
        return FS_OK;
    }
    fs_status status = check_new(b, name, err);
    return status == FS_OK ? keep(b, name, &family, id, err) : status;
}

fs_status fs_work_family_strided(fs_work_builder *b, const char *name, uint32_t size, uint32_t stride, uint32_t *id,
                                 fs_err *err)
{
    fs_digit digit = {size, stride};
    return fs_work_family_digits(b, name, &digit, 1, id, err);
}

/* Are these lists what one digit makes? */
static bool is_digit(const fs_work_builder *b, const uint32_t *begin, uint32_t n_groups, const uint32_t *ranks,
                     fs_digit *digit)
{
    uint32_t size = begin[1];
    if (begin[n_groups] != b->n_ranks || (uint64_t)n_groups * size != b->n_ranks)
        return false;
    if (size > 1 && ranks[1] <= ranks[0])
        return false;
    fs_family family = {.size = size, .n_digits = 1, .digits = {{size, size > 1 ? ranks[1] - ranks[0] : 1}}};
    uint64_t block = (uint64_t)size * family.digits[0].stride;
    if (block > b->n_ranks || b->n_ranks % block != 0)
        return false;
    for (uint32_t g = 0; g < n_groups; g++) {
        if (begin[g] != g * size)
            return false;
        for (uint32_t i = 0; i < size; i++)
            if (ranks[begin[g] + i] != fs_family_member(&family, g, i))
                return false;
    }
    *digit = family.digits[0];
    return true;
}

static fs_status fill(fs_work_builder *b, const char *name, const uint32_t *ranks, fs_family *family,
                      uint32_t *group_of, uint32_t *position_of, fs_err *err)
{
    memset(group_of, 0xff, b->n_ranks * sizeof *group_of); /* FS_NONE */
    for (uint32_t g = 0; g < family->n_groups; g++) {
        for (uint32_t i = family->begin[g]; i < family->begin[g + 1]; i++) {
            uint32_t rank = ranks[i];
            if (rank >= b->n_ranks)
                return FS_BAD_WORK(b, err, "group '%s' names rank %u, but there are %u ranks", name, rank, b->n_ranks);
            if (group_of[rank] != FS_NONE)
                return FS_BAD_WORK(b, err, "group '%s' holds rank %u twice; its sets must be disjoint", name, rank);
            group_of[rank] = g;
            position_of[rank] = i - family->begin[g];
        }
    }
    return FS_OK;
}

fs_status fs_work_family_explicit(fs_work_builder *b, const char *name, const uint32_t *begin, uint32_t n_groups,
                                  const uint32_t *ranks, uint32_t *id, fs_err *err)
{
    fs_digit digit;
    fs_family family = {.n_groups = n_groups};
    for (uint32_t g = 0; g < n_groups; g++)
        if (begin[g] >= begin[g + 1])
            return FS_BAD_WORK(b, err, "group '%s' has an empty set of ranks", name);
    if (n_groups == 0 || begin[n_groups] > b->n_ranks)
        return FS_BAD_WORK(
            b, err, n_groups == 0 ? "group '%s' has no ranks" : "group '%s' has more members than there are ranks",
            name);
    if (is_digit(b, begin, n_groups, ranks, &digit))
        return fs_work_family_digits(b, name, &digit, 1, id, err);
    fs_status status = check_new(b, name, err);
    if (status == FS_OK && b->explicit_ranks + b->n_ranks > FAMILY_RANKS_MAX)
        status = FS_BAD_WORK(b, err, "too many groups given as lists: at most %d, counted once for each rank",
                             FAMILY_RANKS_MAX);
    if (status != FS_OK)
        return status;
    b->explicit_ranks += b->n_ranks;
    uint32_t *starts = fs_arena_alloc(b->arena, (size_t)n_groups + 1, sizeof *starts);
    uint32_t *members = fs_arena_alloc(b->arena, begin[n_groups], sizeof *members);
    uint32_t *group_of = fs_arena_alloc(b->arena, b->n_ranks, sizeof *group_of);
    uint32_t *position_of = fs_arena_alloc(b->arena, b->n_ranks, sizeof *position_of);
    if (!starts || !members || !group_of || !position_of)
        return fs_fail_nomem(err);
    memcpy(starts, begin, ((size_t)n_groups + 1) * sizeof *begin);
    memcpy(members, ranks, begin[n_groups] * sizeof *ranks);
    family.begin = starts;
    family.ranks = members;
    family.group_of = group_of;
    family.position_of = position_of;
    family.common_size = begin[1];
    for (uint32_t g = 0; g < n_groups; g++)
        family.common_size = begin[g + 1] - begin[g] == begin[1] ? family.common_size : 0;
    status = fill(b, name, ranks, &family, group_of, position_of, err);
    return status == FS_OK ? keep(b, name, &family, id, err) : status;
}
