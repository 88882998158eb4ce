/* run_set.c - see run_set.h. */
#include "run_set.h"

#include <stdio.h>
#include <string.h>

enum { PREFIX = 5 }; /* of "topo:" and "nccl:" */

bool fs_setting_is_topo(const char *path)
{
    return strncmp(path, "topo:", PREFIX) == 0 || fs_topo_is_kind(path, strcspn(path, "."));
}

void fs_overrides_clear(fs_overrides *o)
{
    o->count = o->n_topo = o->n_nccl = o->n_trace = 0;
}

fs_status fs_overrides_bad(const char *text, fs_err *err)
{
    return fs_fail(err, FS_E_USAGE,
                   "--set: expected path=value for the trace, topo:NAME.ATTRIBUTE=value for the "
                   "topology or nccl:NAME.ATTRIBUTE=value for NCCL's costs, found '%s'",
                   text);
}

fs_status fs_overrides_add(fs_overrides *o, const char *path, const char *value, fs_err *err)
{
    size_t length = strlen(path);
    if (o->count == FS_SETTINGS_MAX)
        return fs_fail(err, FS_E_USAGE, "--set given more than %d times", FS_SETTINGS_MAX);
    if (length + strlen(value) + 2 > FS_SETTING_SIZE)
        return fs_fail(err, FS_E_USAGE, "--set: longer than %d bytes", FS_SETTING_SIZE - 1);
    char *text = o->text[o->count++];
    strcpy(text, path);
    char *kept = strcpy(text + length + 1, value);
    bool nccl = strncmp(text, "nccl:", PREFIX) == 0, prefixed = nccl || strncmp(text, "topo:", PREFIX) == 0;
    if (!nccl && !fs_setting_is_topo(text)) {
        o->trace[o->n_trace++] = (fs_trace_override){text, kept};
        return FS_OK;
    }
    char *name = prefixed ? text + PREFIX : text;
    char *dot = strrchr(name, '.'); /* names may hold dots, attributes may not */
    if (dot == NULL || dot == name || dot[1] == '\0') {
        char all[FS_SETTING_SIZE];
        snprintf(all, sizeof all, "%s=%s", path, value);
        return fs_overrides_bad(all, err);
    }
    *dot = '\0';
    fs_topo_override *to = nccl ? &o->nccl[o->n_nccl++] : &o->topo[o->n_topo++];
    *to = (fs_topo_override){name, dot + 1, kept};
    return FS_OK;
}
