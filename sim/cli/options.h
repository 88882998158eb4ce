/* options.h - a command line by table: the same table parses, explains and suggests.
 *
 * `--name value`, `--name=value`, `-x value`, `--flag`, `--` ends options, anything else is an argument. An unknown
 * option is FS_E_USAGE with the nearest known one. */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include "base/file.h"

#include <stdbool.h>

/* What an option does with its value. The pointers go to the command's own variables. */
typedef enum fs_option_type {
    FS_OPTION_FLAG,   /* bool *: set to true */
    FS_OPTION_TEXT,   /* const char **: points into argv */
    FS_OPTION_CHOICE, /* uint32_t *: index into choices[] */
    FS_OPTION_SIZE,   /* double *: "64K", "8G", "64MiB", in bytes */
    FS_OPTION_UINT,   /* uint64_t * */
    FS_OPTION_NUMBER, /* double *: positive */
    FS_OPTION_TIME,   /* double *: "500ms", in seconds; positive */
    FS_OPTION_POWER,  /* double *: "1GW", in W; positive */
    FS_OPTION_LIST    /* fs_option_list *: may be given many times */
} fs_option_type;

enum { FS_OPTION_LIST_MAX = 64 };

typedef struct fs_option_list {
    const char *values[FS_OPTION_LIST_MAX];
    uint32_t count;
} fs_option_list;

typedef struct fs_option {
    const char *name; /* without dashes */
    char letter;      /* short form, or 0 */
    fs_option_type type;
    void *target;
    const char *value; /* how help names the value: "FILE" */
    const char *help;  /* one sentence */
    const char *const *choices;
    uint32_t n_choices;
} fs_option;

/* A command: what help prints and what its arguments are called. */
typedef struct fs_command {
    const char *usage;       /* "fabsim TOPOLOGY.xml TRACE.json [options]" */
    const char *description; /* paragraphs */
    const fs_option *options;
    size_t n_options;
    const char *const *arguments; /* names of positional arguments, for messages */
    uint32_t min_arguments, max_arguments;
} fs_command;

enum { FS_ARGUMENTS_MAX = 4096 }; /* as many databases `fabsim sweep --merge` takes */

/* argv[0] is the first word after the command's name. values[] receives the positional arguments. *help is set
 * where --help was given (then nothing else is checked). */
FS_MUST_CHECK fs_status fs_options_parse(const fs_command *command, int argc, char *const *argv,
                                         const char *values[FS_ARGUMENTS_MAX], uint32_t *n_values, bool *help,
                                         fs_err *err);
void fs_options_help(const fs_command *command, fs_out *out);

#endif
