/* cmd_compare.c - `fabsim compare A.json B.json`: what changed from one result to another, and why. */
#include "cli/cli.h"
#include "report/compare.h"
#include "report/result_file.h"

static fs_status parse(int argc, char *const *argv, const char *values[FS_ARGUMENTS_MAX], bool *help, fs_err *err)
{
    static const char *const names[] = {"A.json", "B.json"};
    const fs_command command = {
        .usage = "fabsim compare A.json B.json",
        .description =
            "What changed from result A to result B (files that --json wrote), in tables, and the dominant reason:\n"
            "compute, which collective, which tier of links. Of training and of serving.",
        .arguments = names,
        .min_arguments = 2,
        .max_arguments = 2,
    };
    uint32_t n = 0;
    return fs_cli_parse(&command, argc, argv, values, &n, help, err);
}

static fs_status read_run(const char *path, fs_json_doc **doc, fs_err *err)
{
    fs_result_kind kind = FS_RESULT_RUN;
    fs_status status = fs_result_read(path, &kind, doc, err);
    if (status == FS_OK && kind != FS_RESULT_RUN)
        status =
            fs_fail(err, FS_E_USAGE,
                    "'%s' is no result of one simulation: compare takes what fabsim TOPOLOGY TRACE --json wrote", path);
    return status;
}

static fs_status print(fs_compared a, fs_compared b, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open("-", &out, err);
    if (status != FS_OK)
        return status;
    return fs_out_finish(out, fs_compare_text(a, b, fs_cli_style(), out, err), err);
}

fs_status fs_cmd_compare(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    const char *values[FS_ARGUMENTS_MAX] = {NULL};
    bool help = false;
    fs_json_doc *a = NULL, *b = NULL;
    (void)call;
    fs_status status = parse(argc, argv, values, &help, err);
    if (status != FS_OK || help)
        return status;
    status = read_run(values[0], &a, err);
    if (status == FS_OK)
        status = read_run(values[1], &b, err);
    if (status == FS_OK)
        status = print((fs_compared){values[0], a}, (fs_compared){values[1], b}, err);
    fs_json_free(a);
    fs_json_free(b);
    return status;
}
