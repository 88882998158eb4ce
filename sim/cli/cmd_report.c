/* cmd_report.c - `fabsim report RESULT... -o out.html`: pictures of results, in one file. */
#include "base/mem.h"
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

/* Whole or not at all: the page is made in memory, since the last of the results may be none. */
static fs_status write_page(const char *path, const char *const *results, uint32_t n, fs_err *err)
{
    fs_out *page = NULL, *out = NULL;
    char *text = NULL;
    size_t length = 0;
    fs_status status = fs_out_memory(&page, err);
    if (status != FS_OK)
        return status;
    status = fs_page_write(results, n, page, err);
    if (status != FS_OK) {
        fs_out_discard(page);
        return status;
    }
    status = fs_out_take(page, &text, &length, err);
    if (status == FS_OK)
        status = fs_out_open(path, &out, err);
    if (status == FS_OK) {
        fs_out_write(out, text, length);
        status = fs_out_close(out, err);
    }
    fs_free(text);
    return status;
}

fs_status fs_cmd_report(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    arguments a = {0};
    const char *values[FS_ARGUMENTS_MAX] = {NULL};
    uint32_t n = 0;
    bool help = false;
    (void)call;
    fs_status status = parse(&a, argc, argv, values, &n, &help, err);
    if (status != FS_OK || help)
        return status;
    return write_page(a.output, values, n, err);
}
