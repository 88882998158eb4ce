/* sweep_slurm.c - placeholder */
#include "cli/sweep_cli.h"
fs_status fs_sweep_slurm(const fs_sweep_arguments *a, fs_err *err)
{
    (void)a;
    return fs_fail(err, FS_E_USAGE, "--slurm");
}
