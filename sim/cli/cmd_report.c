/* cmd_report.c - `fabsim report RESULT... -o out.html`: pictures of results, in one file. */
#include "cli/cli.h"
#include "page/page.h"

typedef struct arguments {
    const char *output;
} arguments;

static fs_status parse(arguments *a, int argc, char *const *argv, const char *values[FS_ARGUMENTS_MAX], uint32_t *n,
                       bool *help, fs_err *err)
{
    const fs_option options[] = {
        {"output", 'o', FS_OPTION_TEXT, &a->output, "FILE.html", "Write the page here; - is stdout.", NULL, 0},
    };
    static const char *const names[] = {"RESULT"};
    const fs_command command = {
        .usage = "fabsim report RESULT... -o REPORT.html",
        .description =
            "Pictures of results, in one HTML file that needs no network: what --json of a simulation, of a scaling\n"
            "study (--scale) or of fabsim coll has written. Several results are also drawn side by side.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .arguments = names,
        .min_arguments = 1,
        .max_arguments = FS_ARGUMENTS_MAX,
    };
    fs_status status = fs_cli_parse(&command, argc, argv, values, n, help, err);
    if (status == FS_OK && !*help && a->output == NULL)
        status = fs_fail(err, FS_E_USAGE, "where to? -o REPORT.html is missing");
    return status;
}

fs_status fs_cmd_report(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    arguments a = {0};
    const char *values[FS_ARGUMENTS_MAX] = {NULL};
    uint32_t n = 0;
    bool help = false;
    fs_out *out = NULL;
    (void)call;
    fs_status status = parse(&a, argc, argv, values, &n, &help, err);
    if (status != FS_OK || help)
        return status;
    status = fs_out_open(a.output, &out, err);
    if (status != FS_OK)
        return status;
    status = fs_page_write(values, n, out, err);
    if (status != FS_OK) {
        fs_out_discard(out);
        return status;
    }
    return fs_out_close(out, err);
}
