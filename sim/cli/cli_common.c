/* cli_common.c - what the commands share. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const fs_network_names[3] = {"fabric", "cm02", "ns3"};

fs_style fs_cli_style(void)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    bool wanted = (no_color == NULL || no_color[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
    return (fs_style){.color = wanted && isatty(STDOUT_FILENO)};
}

bool fs_cli_is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

static fs_status print_help(const fs_command *command, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open("-", &out, err);
    if (status != FS_OK)
        return status;
    fs_options_help(command, out);
    return fs_out_close(out, err);
}

fs_status fs_cli_parse(const fs_command *command, int argc, char *const *argv, const char *values[FS_ARGUMENTS_MAX],
                       uint32_t *n_values, bool *help, fs_err *err)
{
    fs_status status = fs_options_parse(command, argc, argv, values, n_values, help, err);
    return status == FS_OK && *help ? print_help(command, err) : status;
}

fs_status fs_cli_prepare_network(fs_backend network, const fs_call *call, fs_err *err)
{
    const char *old = getenv(FS_NS3_VARIABLE);
    char value[1024];
    if (network != FS_BACKEND_NS3 || (old && strstr(old, FS_NS3_VALUE))) /* it holds after exec: no loop */
        return FS_OK;
    int length = snprintf(value, sizeof value, "%s%s%s", old ? old : "", old && old[0] ? ";" : "", FS_NS3_VALUE);
    if (length < 0 || (size_t)length >= sizeof value)
        return fs_fail(err, FS_E_SIM, "the environment variable %s is longer than %zu bytes", FS_NS3_VARIABLE,
                       sizeof value - sizeof FS_NS3_VALUE - 1);
    if (setenv(FS_NS3_VARIABLE, value, 1) == 0)
        execv("/proc/self/exe", call->argv);
    return fs_fail(err, FS_E_SIM,
                   "the network backend ns3 needs %s=%s in the environment, and starting again with it failed: %s",
                   FS_NS3_VARIABLE, FS_NS3_VALUE, strerror(errno));
}

fs_status fs_cli_overrides(const fs_option_list *sets, fs_overrides *o, fs_err *err)
{
    fs_status status = FS_OK;
    fs_overrides_clear(o);
    for (uint32_t i = 0; i < sets->count && status == FS_OK; i++) {
        char path[FS_SETTING_SIZE] = "";
        size_t length = strcspn(sets->values[i], "=");
        if (sets->values[i][length] == '\0' || length == 0 || length >= sizeof path)
            return fs_overrides_bad(sets->values[i], err);
        memcpy(path, sets->values[i], length);
        status = fs_overrides_add(o, path, sets->values[i] + length + 1, err);
    }
    return status;
}

fs_status fs_cli_topo_overrides(const fs_option_list *sets, fs_overrides *o, fs_err *err)
{
    fs_status status = fs_cli_overrides(sets, o, err);
    if (status == FS_OK && o->n_trace > 0)
        status = fs_fail(err, FS_E_USAGE, "--set: there is no trace here, expected topo:NAME.ATTRIBUTE=VALUE");
    return status;
}

fs_status fs_cli_nccl_load(fs_cli_nccl *nccl, const fs_overrides *overrides, fs_err *err)
{
    nccl->table = NULL;
    if (!nccl->file && !nccl->release && overrides->n_nccl == 0)
        return FS_OK;
    return fs_nccl_table_load(nccl->file, nccl->release, overrides->nccl, overrides->n_nccl, &nccl->table, err);
}

void fs_cli_nccl_apply(const fs_cli_nccl *nccl, fs_run_options *options)
{
    options->nccl = nccl->table;
    options->registered = nccl->registered;
    options->sharp = nccl->sharp;
}

fs_status fs_cli_check_pue(double pue, fs_err *err)
{
    if (pue >= 1)
        return FS_OK;
    return fs_fail(err, FS_E_USAGE,
                   "--pue: expected 1 or more, found %g: the whole facility draws no less than its machines", pue);
}
