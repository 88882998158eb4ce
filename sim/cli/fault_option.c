/* fault_option.c - `--fault KIND:NAME=SPEED[@FROM..TO]`: the command line's way to write a fault.
 *
 *   link:leaf3-spine2=down          both directions; also 'leaf3 - spine2'
 *   link:leaf3>spine2=0.5           that direction at half its speed; also 'leaf3->spine2'
 *   switch:spine[0-3]=down@0.5s..2s all its links, for a while; '@0.5s..' and '@..2s' leave an end open
 *   gpu:node3/gpu1=0.8              a straggler */
#include "cli/cli.h"

#include "base/mem.h"
#include "base/num.h"

#include <math.h>
#include <string.h>

static fs_status bad(const fs_fault *fault, const char *what, const char *found, fs_err *err)
{
    return fs_fault_fail(fault, err, "expected %s, found '%s'", what, found);
}

static fs_status read_kind(char *text, fs_fault *fault, char **name, fs_err *err)
{
    char *colon = strchr(text, ':');
    uint32_t kind = 0;
    if (colon == NULL)
        return bad(fault, "link:A-B=SPEED, switch:NAME=SPEED, nic:NAME=SPEED or gpu:NAME=SPEED", text, err);
    *colon = '\0';
    while (kind < FS_FAULT_KINDS && strcmp(text, fs_fault_kind_names[kind]) != 0)
        kind++;
    if (kind == FS_FAULT_KINDS) {
        const char *near = fs_suggest(text, fs_fault_kind_names, FS_FAULT_KINDS);
        return near ? fs_fault_fail(fault, err, "unknown kind '%s' (did you mean '%s'?)", text, near)
                    : bad(fault, "link, switch, nic or gpu before the ':'", text, err);
    }
    fault->kind = (fs_fault_kind)kind;
    *name = colon + 1;
    return FS_OK;
}

static fs_status read_time(const char *text, const fs_fault *fault, double *out, fs_err *err)
{
    const char *why = "";
    if (fs_parse_quantity(text, FS_UNIT_SECONDS, out, &why) != 0)
        return fs_fault_fail(fault, err, "%s", why);
    return FS_OK;
}

/* What follows the '@'. */
static fs_status read_times(char *text, fs_fault *fault, fs_err *err)
{
    char *dots = strstr(text, "..");
    if (dots == NULL)
        return bad(fault, "times FROM..TO, FROM.. or ..TO after the '@'", text, err);
    *dots = '\0';
    fs_status status = FS_OK;
    if (text[0] != '\0')
        status = read_time(text, fault, &fault->from_s, err);
    if (status == FS_OK && dots[2] != '\0')
        status = read_time(dots + 2, fault, &fault->to_s, err);
    return status;
}

static fs_status read_fault(char *text, fs_fault *fault, fs_err *err)
{
    char *name = NULL;
    fs_status status = read_kind(text, fault, &name, err);
    if (status != FS_OK)
        return status;
    fault->name = name;
    char *equals = strrchr(name, '=');
    if (equals == NULL || equals == name)
        return bad(fault, "NAME=SPEED after the ':'", name, err);
    *equals = '\0';
    char *speed = equals + 1, *at = strchr(speed, '@');
    if (at)
        *at = '\0';
    if (strcmp(speed, "down") != 0 && fs_parse_number(speed, &fault->speed) != 0)
        return bad(fault, "'down' or a speed from 0 to 1", speed, err);
    return at ? read_times(at + 1, fault, err) : FS_OK;
}

fs_status fs_cli_faults(const fs_option_list *options, fs_cli_fault_list *list, fs_err *err)
{
    list->count = options->count;
    for (uint32_t i = 0; i < options->count; i++) {
        const char *text = options->values[i];
        if (strlen(text) >= sizeof list->text[i])
            return fs_fail(err, FS_E_USAGE, "--fault: longer than %zu bytes", sizeof list->text[i] - 1);
        strcpy(list->text[i], text);
        snprintf(list->origin[i], sizeof list->origin[i], "--fault %s", text);
        list->faults[i] = (fs_fault){.to_s = INFINITY, .origin = list->origin[i], .status_if_bad = FS_E_USAGE};
        fs_status status = read_fault(list->text[i], &list->faults[i], err);
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

fs_status fs_cli_apply_faults(fs_topo *topo, const fs_cli_fault_list *list, const fs_work *work, fs_err *err)
{
    uint32_t n_trace = work ? work->n_faults : 0, n = list->count + n_trace;
    fs_fault *all = fs_alloc(n, sizeof *all);
    if (all == NULL)
        return fs_fail_nomem(err);
    memcpy(all, list->faults, list->count * sizeof *all);
    if (n_trace > 0)
        memcpy(all + list->count, work->faults, n_trace * sizeof *all);
    fs_status status = fs_topo_apply_faults(topo, all, n, err);
    fs_free(all);
    return status;
}
