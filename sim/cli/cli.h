/* cli.h - the commands. Each takes the words after its name and returns a status; main.c prints the error. */
#ifndef FS_CLI_H
#define FS_CLI_H

#include "base/file.h"
#include "cli/options.h"
#include "coll/nccl_table.h"
#include "report/table.h"
#include "run_set.h"

/* How the program was called. */
typedef struct fs_call {
    char *const *argv; /* main's */
    const char *text; /* the same as one string, cut where it is very long: a record in results, not for re-execution */
} fs_call;

FS_MUST_CHECK fs_status fs_cmd_run(int argc, char *const *argv, const fs_call *call, fs_err *err);
FS_MUST_CHECK fs_status fs_cmd_coll(int argc, char *const *argv, const fs_call *call, fs_err *err);
FS_MUST_CHECK fs_status fs_cmd_kernel(int argc, char *const *argv, const fs_call *call, fs_err *err);
FS_MUST_CHECK fs_status fs_cmd_sweep(int argc, char *const *argv, const fs_call *call, fs_err *err);
FS_MUST_CHECK fs_status fs_cmd_topo(int argc, char *const *argv, const fs_call *call, fs_err *err);
FS_MUST_CHECK fs_status fs_cmd_pareto(int argc, char *const *argv, const fs_call *call, fs_err *err);
FS_MUST_CHECK fs_status fs_cmd_factory(int argc, char *const *argv, const fs_call *call, fs_err *err);
FS_MUST_CHECK fs_status fs_cmd_compare(int argc, char *const *argv, const fs_call *call, fs_err *err);
FS_MUST_CHECK fs_status fs_cmd_report(int argc, char *const *argv, const fs_call *call, fs_err *err);
FS_MUST_CHECK fs_status fs_cmd_import(int argc, char *const *argv, const fs_call *call, fs_err *err);

/* Shared by the commands. */

/* Colour where stdout is a terminal, NO_COLOR is unset or empty (no-color.org) and TERM is not "dumb". */
fs_style fs_cli_style(void);

/* Whether an option's file, which may be NULL, is stdout: then nothing else goes there. */
bool fs_cli_is_stdout(const char *path);

/* fs_options_parse, and print the help to stdout where it was asked for (*help: the command has nothing else to do). */
FS_MUST_CHECK fs_status fs_cli_parse(const fs_command *command, int argc, char *const *argv,
                                     const char *values[FS_ARGUMENTS_MAX], uint32_t *n_values, bool *help, fs_err *err);

/* In the order of fs_backend. */
extern const char *const fs_network_names[3];

/* What a backend needs of its process. ns-3 reads its environment when it is loaded, so for ns3 the program is started
 * again, once, with the variable set (engine/engine.h): then this function does not return. */
FS_MUST_CHECK fs_status fs_cli_prepare_network(fs_backend network, const fs_call *call, fs_err *err);

/* Of --pue: a facility draws no less than its machines. */
FS_MUST_CHECK fs_status fs_cli_check_pue(double pue, fs_err *err);

/* `--set` values: those of the topology ("network.ib.oversubscription=2"), of NCCL's costs ("nccl:...") and of the trace
 * ("path=value"). */
FS_MUST_CHECK fs_status fs_cli_overrides(const fs_option_list *sets, fs_overrides *overrides, fs_err *err);
/* The same for commands without a trace: an override of one is FS_E_USAGE. */
FS_MUST_CHECK fs_status fs_cli_topo_overrides(const fs_option_list *sets, fs_overrides *overrides, fs_err *err);

/* What the commands that communicate say of NCCL. */
typedef struct fs_cli_nccl {
    const char *file, *release; /* --nccl, --nccl-version; NULL: the shipped table, its newest release */
    bool registered, sharp;
    fs_nccl_table *table; /* NULL: as shipped */
} fs_cli_nccl;
/* The options that fill it, to stand among a command's own. */
#define FS_CLI_NCCL_OPTIONS(n)                                                                                         \
    {"nccl", 0, FS_OPTION_TEXT, &(n)->file, "FILE.xml", "NCCL's costs from this table.", NULL, 0},                     \
        {"nccl-version", 0,         FS_OPTION_TEXT,                                                                    \
         &(n)->release,  "RELEASE", "As this release of NCCL chooses: 2.25, 2.30 (default).",                          \
         NULL,           0},                                                                                           \
        {"registered", 0, FS_OPTION_FLAG, &(n)->registered, NULL, "Buffers are registered with NCCL: no copies.",      \
         NULL,         0},                                                                                             \
    {                                                                                                                  \
        "sharp", 0, FS_OPTION_FLAG, &(n)->sharp, NULL, "NCCL may reduce in the network's switches (SHARP).", NULL, 0   \
    }
/* Read the table where something is not as shipped; free it with fs_nccl_table_free. */
FS_MUST_CHECK fs_status fs_cli_nccl_load(fs_cli_nccl *nccl, const fs_overrides *overrides, fs_err *err);
void fs_cli_nccl_apply(const fs_cli_nccl *nccl, fs_run_options *options);

/* `--fault` values, read. The storage is the caller's and lives as long as the faults are used. */
typedef struct fs_cli_fault_list {
    char text[FS_OPTION_LIST_MAX][256], origin[FS_OPTION_LIST_MAX][264];
    fs_fault faults[FS_OPTION_LIST_MAX];
    uint32_t count;
} fs_cli_fault_list;
FS_MUST_CHECK fs_status fs_cli_faults(const fs_option_list *options, fs_cli_fault_list *list, fs_err *err);
/* The command line's and, where there is a work, the trace's. */
FS_MUST_CHECK fs_status fs_cli_apply_faults(fs_topo *topo, const fs_cli_fault_list *list, const fs_work *work,
                                            fs_err *err);

#endif
