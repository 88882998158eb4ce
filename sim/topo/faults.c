/* faults.c - see faults.h.
 *
 * Algorithm: each fault becomes hits, pairs (link or GPU, fault). The times of all faults, sorted, are the epochs. Hits
 * sorted by id then make the rows of factors: the least speed of the faults that hold in an epoch. Faults at full speed
 * are checked and make nothing. */
#include "topo/faults.h"

#include "base/mem.h"
#include "base/num.h"
#include "topo/names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINK_TEXT_MAX = 1024 }; /* bytes of "A - B" */

const char *const fs_fault_kind_names[FS_FAULT_KINDS] = {"link", "switch", "nic", "gpu"};

typedef struct hit {
    uint32_t id, fault;
} hit;

typedef FS_VEC(hit) hits;
typedef FS_VEC(uint32_t) ids;

typedef struct applying {
    const fs_topo *topo;
    const fs_fault *fault; /* the one at hand */
    uint32_t number;       /* of it */
    hits links, gpus;
    fs_err *err;
} applying;

fs_status fs_fault_fail(const fs_fault *fault, fs_err *err, const char *format, ...)
{
    char text[FS_ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    fs_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fs_fail_at(err, fault->status_if_bad, fault->origin, fault->line, fault->column, "%s", text);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* May a device of this kind stand where `kind` of fault names one? The ends of a link are of any kind. */
static bool suits(fs_fault_kind kind, fs_device_kind device)
{
    switch (kind) {
    case FS_FAULT_SWITCH:
        return device == FS_DEVICE_NVSWITCH || device == FS_DEVICE_PCIE_SWITCH || device == FS_DEVICE_NET_SWITCH;
    case FS_FAULT_NIC: return device == FS_DEVICE_NIC;
    case FS_FAULT_GPU: return device == FS_DEVICE_GPU;
    case FS_FAULT_LINK:
    case FS_FAULT_KINDS: break;
    }
    return true;
}

/* The nearest name of a device that suits, in `best`; false where none is near. One by one, since no list of all names
 * exists. */
static bool suggest(const applying *a, const char *name, char best[FS_NAME_MAX + 1])
{
    char other[FS_NAME_MAX + 1];
    best[0] = '\0';
    for (uint32_t d = 0; d < a->topo->n_devices; d++) {
        if (!suits(a->fault->kind, fs_topo_device(a->topo, d).kind))
            continue;
        const char *pair[] = {best, fs_device_name(a->topo, d, other, sizeof other)};
        if (fs_suggest(name, pair, 2) == other)
            memcpy(best, other, sizeof other);
    }
    return best[0] != '\0';
}

static fs_status unknown_device(const applying *a, const char *name)
{
    const char *what = a->fault->kind == FS_FAULT_LINK ? "device" : fs_fault_kind_names[a->fault->kind];
    char near[FS_NAME_MAX + 1];
    return suggest(a, name, near) ? fs_fault_fail(a->fault, a->err, "no %s '%s' (did you mean '%s'?)", what, name, near)
                                  : fs_fault_fail(a->fault, a->err, "no %s '%s' in this topology", what, name);
}

/* A name, or a GPU's number where GPUs are meant: FS_NONE where there is no such device. */
static uint32_t find(const applying *a, const char *name)
{
    uint64_t number = 0;
    uint32_t device = fs_topo_find(a->topo, name);
    if (device == FS_NONE && a->fault->kind == FS_FAULT_GPU && fs_parse_uint(name, &number) == 0 &&
        number < a->topo->n_gpus)
        device = a->topo->gpus[number];
    return device;
}

static fs_status find_all(const applying *a, const fs_name_list *list, ids *devices)
{
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t device = find(a, list->names[i]);
        if (device == FS_NONE)
            return unknown_device(a, list->names[i]);
        fs_device_kind kind = fs_topo_device(a->topo, device).kind;
        if (!suits(a->fault->kind, kind))
            return fs_fault_fail(a->fault, a->err, "'%s' is a %s, expected a %s", list->names[i],
                                 fs_device_kind_name(kind), fs_fault_kind_names[a->fault->kind]);
        if (FS_PUSH(devices, device) == NULL)
            return fs_fail_nomem(a->err);
    }
    return FS_OK;
}

/* A broken pattern knows no place of its own. */
static fs_status expand(const applying *a, const char *pattern, fs_name_list *list)
{
    fs_err err = {0};
    fs_status status = fs_name_list_expand(pattern, list, &err);
    return status == FS_E_TOPOLOGY ? fs_fault_fail(a->fault, a->err, "%s", err.text)
           : status == FS_OK       ? FS_OK
                                   : fs_fail_nomem(a->err);
}

/* The devices that a pattern names; the caller frees the ids. */
static fs_status resolve(const applying *a, const char *pattern, ids *devices)
{
    fs_name_list list = {0};
    fs_status status = expand(a, pattern, &list);
    if (status == FS_OK)
        status = find_all(a, &list, devices);
    fs_name_list_free(&list);
    return status;
}

/* ---- links ------------------------------------------------------------------------------------------------------- */

/* The two ends as written, and whether only the direction from the first to the second is meant. */
typedef struct ends {
    char from[LINK_TEXT_MAX], to[LINK_TEXT_MAX];
    bool one_way;
} ends;

static void copy_trimmed(char *out, const char *from, const char *to)
{
    while (from < to && *from == ' ')
        from++;
    while (from < to && to[-1] == ' ')
        to--;
    memcpy(out, from, (size_t)(to - from));
    out[to - from] = '\0';
}

/* Cut `text` at `at`, which is `length` bytes long. */
static void cut(const char *text, const char *at, size_t length, bool one_way, ends *e)
{
    copy_trimmed(e->from, text, at);
    copy_trimmed(e->to, at + length, text + strlen(text));
    e->one_way = one_way;
}

/* Whether a pattern's first name is a device. */
static bool names_device(const applying *a, const char *pattern, fs_status *status)
{
    fs_name_list list = {0};
    fs_err ignored;
    fs_status made = fs_name_list_expand(pattern, &list, &ignored);
    bool found = made == FS_OK && find(a, list.names[0]) != FS_NONE;
    fs_name_list_free(&list);
    if (made == FS_E_NOMEM)
        *status = fs_fail_nomem(a->err);
    return found;
}

/* "A-B" without blanks: names may hold a '-', so try each that stands outside brackets. */
static fs_status split_at_dash(const applying *a, const char *text, ends *e)
{
    ends tried;
    uint32_t readings = 0, dashes = 0;
    bool inside = false;
    fs_status status = FS_OK;
    for (const char *c = text; *c != '\0' && status == FS_OK; c++) {
        inside = *c == '[' || (inside && *c != ']');
        if (*c != '-' || inside)
            continue;
        cut(text, c, 1, false, &tried);
        if (dashes++ == 0)
            *e = tried; /* where nothing fits, the first is as good as any to complain about */
        if (names_device(a, tried.from, &status) && status == FS_OK && names_device(a, tried.to, &status) &&
            readings++ == 0)
            *e = tried;
    }
    if (status != FS_OK || readings == 1)
        return status;
    if (readings > 1)
        return fs_fault_fail(a->fault, a->err,
                             "'%s' can be read in %u ways, write it with blanks around the sign: A - B", text,
                             readings);
    return dashes == 1
               ? FS_OK
               : fs_fault_fail(a->fault, a->err, "'%s' is no link, expected A-B, A - B or A->B of two devices", text);
}

static fs_status split_link(const applying *a, ends *e)
{
    const char *text = a->fault->name, *other = a->fault->other;
    if (strlen(text) >= LINK_TEXT_MAX || (other && strlen(other) >= LINK_TEXT_MAX))
        return fs_fault_fail(a->fault, a->err, "longer than %d bytes", LINK_TEXT_MAX - 1);
    if (other) {
        strcpy(e->from, text);
        strcpy(e->to, other);
        e->one_way = false;
        return FS_OK;
    }
    const char *arrow = strchr(text, '>'), *dash = strstr(text, " - ");
    if (arrow && arrow > text && arrow[-1] == '-')
        cut(text, arrow - 1, 2, true, e);
    else if (arrow)
        cut(text, arrow, 1, true, e);
    else if (dash)
        cut(text, dash, 3, false, e);
    else
        return split_at_dash(a, text, e);
    return FS_OK;
}

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static fs_status add_hit(const applying *a, hits *list, uint32_t id)
{
    return FS_PUSH(list, ((hit){id, a->number})) ? FS_OK : fs_fail_nomem(a->err);
}

/* All links from one of `from` to one of `to`, and back unless one way. */
static fs_status hit_between(applying *a, const ids *from, const ids *to, bool one_way)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < from->count; i++) {
        uint32_t n = fs_topo_out_count(a->topo, from->data[i]);
        for (uint32_t k = 0; k < n && status == FS_OK; k++) {
            uint32_t link = fs_topo_out_link(a->topo, from->data[i], k), end = fs_topo_link(a->topo, link).dst;
            if (bsearch(&end, to->data, to->count, sizeof *to->data, by_value) == NULL)
                continue;
            status = add_hit(a, &a->links, link);
            if (status == FS_OK && !one_way)
                status = add_hit(a, &a->links, link ^ 1); /* the other direction of the connection */
        }
    }
    return status;
}

static fs_status hit_links(applying *a)
{
    ends e;
    ids from = {0}, to = {0};
    uint32_t before = a->links.count;
    fs_status status = split_link(a, &e);
    if (status == FS_OK)
        status = resolve(a, e.from, &from);
    if (status == FS_OK)
        status = resolve(a, e.to, &to);
    if (status == FS_OK) {
        qsort(to.data, to.count, sizeof *to.data, by_value);
        status = hit_between(a, &from, &to, e.one_way);
    }
    if (status == FS_OK && a->links.count == before)
        status = fs_fault_fail(a->fault, a->err, "no link between '%s' and '%s'", e.from, e.to);
    fs_free(from.data);
    fs_free(to.data);
    return status;
}

/* ---- hits -------------------------------------------------------------------------------------------------------- */

static fs_status hit_device(applying *a, uint32_t device)
{
    if (a->fault->kind == FS_FAULT_GPU)
        return add_hit(a, &a->gpus, fs_topo_device(a->topo, device).index);
    uint32_t n = fs_topo_out_count(a->topo, device);
    fs_status status = FS_OK;
    for (uint32_t k = 0; k < n && status == FS_OK; k++) {
        uint32_t link = fs_topo_out_link(a->topo, device, k);
        status = add_hit(a, &a->links, link);
        if (status == FS_OK)
            status = add_hit(a, &a->links, link ^ 1);
    }
    return status;
}

static fs_status check(const fs_fault *f, fs_err *err)
{
    if (!(f->speed >= 0 && f->speed <= 1))
        return fs_fault_fail(f, err, "a speed is from 0 (down) to 1 (whole)");
    if (!(f->from_s >= 0 && f->from_s < f->to_s))
        return fs_fault_fail(f, err, "a fault begins at 0 s or later, and ends after that");
    if (f->kind == FS_FAULT_GPU && f->speed <= 0 && isinf(f->to_s))
        return fs_fault_fail(f, err,
                             "a GPU that is down for good never ends its work: expected a speed above 0, or a "
                             "time at which it comes back");
    return FS_OK;
}

static fs_status hit_fault(applying *a)
{
    fs_status status = check(a->fault, a->err);
    if (status == FS_OK && a->fault->kind == FS_FAULT_LINK)
        return hit_links(a);
    ids devices = {0};
    if (status == FS_OK)
        status = resolve(a, a->fault->name, &devices);
    for (uint32_t i = 0; i < devices.count && status == FS_OK; i++)
        status = hit_device(a, devices.data[i]);
    fs_free(devices.data);
    return status;
}

/* ---- epochs and factors ------------------------------------------------------------------------------------------ */

static int by_time(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static int by_id(const void *left, const void *right)
{
    const hit *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->fault < b->fault ? -1 : a->fault > b->fault;
}

/* When something changes, ascending, from 0 on: times (2 x n_faults + 1). Returns how many epochs that makes. */
static uint32_t cut_time(const fs_fault *faults, uint32_t n_faults, double *times)
{
    uint32_t n = 0, epochs = 1;
    times[n++] = 0;
    for (uint32_t i = 0; i < n_faults; i++) {
        if (!(faults[i].speed < 1))
            continue;
        times[n++] = faults[i].from_s;
        if (!isinf(faults[i].to_s))
            times[n++] = faults[i].to_s;
    }
    qsort(times, n, sizeof *times, by_time);
    for (uint32_t i = 1; i < n; i++)
        if (times[i] > times[epochs - 1])
            times[epochs++] = times[i];
    return epochs;
}

/* One row for each id that was hit. */
static bool make_factors(fs_arena *arena, hits *list, const fs_fault *faults, const double *start_s, uint32_t n_epochs,
                         fs_factors *out)
{
    uint32_t count = 0;
    if (list->count == 0)
        return true;
    qsort(list->data, list->count, sizeof *list->data, by_id);
    for (uint32_t i = 0; i < list->count; i++)
        count += i == 0 || list->data[i].id != list->data[i - 1].id;
    uint32_t *row_ids = fs_arena_alloc(arena, count, sizeof *row_ids);
    double *rows = fs_arena_alloc(arena, (size_t)count * n_epochs, sizeof *rows);
    if (!row_ids || !rows)
        return false;
    double *row = rows;
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const fs_fault *f = &faults[list->data[i].fault];
        if (i == 0 || list->data[i].id != list->data[i - 1].id) {
            row = rows + (size_t)n * n_epochs;
            row_ids[n++] = list->data[i].id;
            for (uint32_t e = 0; e < n_epochs; e++)
                row[e] = 1;
        }
        for (uint32_t e = 0; e < n_epochs; e++)
            if (start_s[e] >= f->from_s && start_s[e] < f->to_s && f->speed < row[e])
                row[e] = f->speed;
    }
    *out = (fs_factors){.count = count, .ids = row_ids, .factors = rows};
    return true;
}

const fs_fault *fs_faults_copy(fs_arena *arena, const fs_fault *faults, uint32_t n_faults)
{
    fs_fault *copies = fs_arena_alloc(arena, n_faults, sizeof *copies);
    for (uint32_t i = 0; copies && i < n_faults; i++) {
        const char *other = faults[i].other;
        copies[i] = faults[i];
        copies[i].name = fs_arena_strdup(arena, faults[i].name);
        copies[i].other = other ? fs_arena_strdup(arena, other) : NULL;
        copies[i].origin = fs_arena_strdup(arena, faults[i].origin);
        if (!copies[i].name || !copies[i].origin || (other && !copies[i].other))
            return NULL;
    }
    return copies;
}

/* The topology changes only where everything has worked. */
static fs_status install(applying *a, const double *times, uint32_t n_epochs, const fs_fault *faults, uint32_t n_faults,
                         fs_topo *topo)
{
    fs_factors links = {0}, gpus = {0};
    double *start_s = fs_arena_alloc(topo->arena, n_epochs, sizeof *start_s);
    const fs_fault *copies = fs_faults_copy(topo->arena, faults, n_faults);
    if (!start_s || !copies)
        return fs_fail_nomem(a->err);
    memcpy(start_s, times, n_epochs * sizeof *start_s);
    if (!make_factors(topo->arena, &a->links, faults, start_s, n_epochs, &links) ||
        !make_factors(topo->arena, &a->gpus, faults, start_s, n_epochs, &gpus))
        return fs_fail_nomem(a->err);
    topo->n_epochs = n_epochs;
    topo->epoch_start_s = start_s;
    topo->link_faults = links;
    topo->gpu_faults = gpus;
    topo->n_faults = n_faults;
    topo->faults = copies;
    return FS_OK;
}

fs_status fs_topo_apply_faults(fs_topo *topo, const fs_fault *faults, uint32_t n_faults, fs_err *err)
{
    if (n_faults > FS_FAULTS_MAX)
        return fs_fault_fail(&faults[FS_FAULTS_MAX], err, "more than %d faults", FS_FAULTS_MAX);
    applying a = {.topo = topo, .err = err};
    double *times = fs_alloc((size_t)n_faults * 2 + 1, sizeof *times);
    fs_status status = times ? FS_OK : fs_fail_nomem(err);
    for (; a.number < n_faults && status == FS_OK; a.number++) {
        uint32_t links = a.links.count, gpus = a.gpus.count;
        a.fault = &faults[a.number];
        status = hit_fault(&a);
        if (status == FS_OK && !(a.fault->speed < 1)) { /* checked, and that is all */
            a.links.count = links;
            a.gpus.count = gpus;
        }
    }
    uint32_t n_epochs = status == FS_OK ? cut_time(faults, n_faults, times) : 0;
    if (n_epochs > FS_EPOCHS_MAX)
        status =
            fs_fault_fail(&faults[n_faults - 1], err,
                          "the times of all faults cut the run into %u epochs, more than %d", n_epochs, FS_EPOCHS_MAX);
    if (status == FS_OK)
        status = install(&a, times, n_epochs, faults, n_faults, topo);
    fs_free(a.links.data);
    fs_free(a.gpus.data);
    fs_free(times);
    return status;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

char *fs_fault_text(const fs_fault *f, char *buffer, size_t size)
{
    char speed[40] = "down", from[40], to[40], when[100] = "";
    if (f->speed > 0)
        fs_format_exact(f->speed, speed, sizeof speed);
    fs_format_exact(f->from_s, from, sizeof from);
    fs_format_exact(f->to_s, to, sizeof to);
    if (!isinf(f->to_s))
        snprintf(when, sizeof when, "@%ss..%ss", from, to);
    else if (f->from_s > 0)
        snprintf(when, sizeof when, "@%ss..", from);
    snprintf(buffer, size, "%s:%s%s%s=%s%s", fs_fault_kind_names[f->kind], f->name, f->other ? " - " : "",
             f->other ? f->other : "", speed, when);
    return buffer;
}
