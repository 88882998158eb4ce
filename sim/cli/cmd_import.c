/* cmd_import.c - `fabsim import KIND FILE`: other tools' formats in. */
#include "cli/cli.h"
#include "topo/import_hwloc.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct arguments {
    const char *output;
    bool this_machine;
    fs_hwloc_options hwloc;
} arguments;

static fs_status parse(arguments *a, int argc, char *const *argv, const char *values[FS_ARGUMENTS_MAX], uint32_t *n,
                       bool *help, fs_err *err)
{
    const fs_option options[] = {
        {"output", 'o', FS_OPTION_TEXT, &a->output, "FILE", "Where the board goes (default: stdout).", NULL, 0},
        {"gpu-part", 0, FS_OPTION_TEXT, &a->hwloc.gpu_part, "NAME",
         "Part of every GPU, where the export does not tell it.", NULL, 0},
        {"nic-part", 0, FS_OPTION_TEXT, &a->hwloc.nic_part, "NAME",
         "Part of every NIC, where the export does not tell it.", NULL, 0},
        {"this-machine", 0, FS_OPTION_FLAG, &a->this_machine, NULL,
         "Read the machine that fabsim runs on instead of a file.", NULL, 0},
    };
    static const char *const names[] = {"KIND (hwloc)", "NODE.xml"};
    const fs_command command = {
        .usage = "fabsim import hwloc NODE.xml -o BOARD.xml [options]",
        .description = "Turn an export of `lstopo --of xml` into a topology with one board: GPUs, NVSwitches, NICs,\n"
                       "sockets, the PCIe tree with its link speeds, and the NVLinks. docs/IMPORT.md says how to\n"
                       "export a node and what is taken from where.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .arguments = names,
        .min_arguments = 1,
        .max_arguments = 2,
    };
    fs_status status = fs_cli_parse(&command, argc, argv, values, n, help, err);
    if (status != FS_OK || *help)
        return status;
    if (strcmp(values[0], "hwloc") != 0)
        return fs_fail(err, FS_E_USAGE, "import: unknown kind '%s', expected hwloc", values[0]);
    if (a->this_machine == (*n == 2))
        return fs_fail(err, FS_E_USAGE, "import hwloc: expected either a file or --this-machine; usage: %s",
                       command.usage);
    return FS_OK;
}

fs_status fs_cmd_import(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    (void)call; /* a board is no result file: it records nothing */
    arguments a = {.output = "-"};
    const char *values[FS_ARGUMENTS_MAX];
    uint32_t n = 0;
    bool help = false;
    fs_status status = parse(&a, argc, argv, values, &n, &help, err);
    if (status != FS_OK || help)
        return status;
    fs_out *out = NULL;
    status = fs_out_open(a.output, &out, err);
    if (status != FS_OK)
        return status;
    status = fs_import_hwloc(a.this_machine ? NULL : values[1], &a.hwloc, out, err);
    if (status == FS_OK)
        return fs_out_close(out, err);
    fs_out_discard(out);
    struct stat info;
    if (stat(a.output, &info) == 0 && S_ISREG(info.st_mode)) /* not /dev/null */
        remove(a.output);                                    /* no empty board stays behind */
    return status;
}
