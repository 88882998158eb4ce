/* sweep_cli.h - what the files of `fabsim sweep` share. Private to cli. */
#ifndef FS_SWEEP_CLI_H
#define FS_SWEEP_CLI_H

#include "cli/cli.h"

typedef struct fs_sweep_arguments {
    const fs_call *call;
    const char *values[FS_ARGUMENTS_MAX];
    uint32_t n_values;
    const char *output, *shard, *time_limit;
    double memory_limit;
    uint64_t jobs;
    bool retry, dry_run, quiet, merge, slurm, show;
    /* --slurm */
    uint64_t tasks;
    const char *resubmit;
    fs_option_list sbatch;
    /* --show */
    const char *where, *best, *group_by, *columns, *sweep, *csv, *jsonl;
    uint64_t top;
} fs_sweep_arguments;

/* Table, CSV or JSON Lines of a database. */
FS_MUST_CHECK fs_status fs_sweep_show(const fs_sweep_arguments *a, fs_err *err);

/* Write scripts beside the database, submit them, say how to submit failed tasks again. */
FS_MUST_CHECK fs_status fs_sweep_slurm(const fs_sweep_arguments *a, fs_err *err);

#endif
