/* scale.c - `--scale N,N,...`: the same job on one number of GPUs after the other, in one process.
 *
 * Runs go from the fewest GPUs to the most, so that each row can be compared with the first, and the result that is
 * reported in full is the largest. Ranks 0 ..< N are on GPUs 0 ..< N of the topology, which stays as large as it is. */
#include "cli/scale.h"

#include "base/clock.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_size(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

fs_status fs_scale_parse(const char *text, fs_scale_list *list, fs_err *err)
{
    list->count = 0;
    for (const char *at = text; text && at;) {
        char word[16] = "";
        uint64_t number = 0;
        size_t length = strcspn(at, ",");
        if (length < sizeof word)
            memcpy(word, at, length);
        if (fs_parse_uint(word, &number) != 0 || number == 0 || number > UINT32_MAX)
            return fs_fail(err, FS_E_USAGE, "--scale: expected numbers of GPUs such as 1024,2048, found '%s'", text);
        if (list->count == FS_SCALE_MAX)
            return fs_fail(err, FS_E_USAGE, "--scale: more than %d numbers", FS_SCALE_MAX);
        list->gpus[list->count++] = (uint32_t)number;
        at = at[length] == ',' ? at + length + 1 : NULL;
    }
    qsort(list->gpus, list->count, sizeof *list->gpus, by_size);
    for (uint32_t i = 1; i < list->count; i++)
        if (list->gpus[i] == list->gpus[i - 1])
            return fs_fail(err, FS_E_USAGE, "--scale: %u stands there twice", list->gpus[i]);
    return FS_OK;
}

/* One line that is written over and over; nothing where nobody watches. */
static void progress(const fs_scale_list *list, uint32_t done)
{
    char text[32];
    if (!isatty(STDERR_FILENO))
        return;
    if (done < list->count)
        fprintf(stderr, "\r%u of %u: %s GPUs\033[K", done + 1, list->count,
                fs_format_count(list->gpus[done], text, sizeof text));
    else
        fputs("\r\033[K", stderr);
}

/* Load and run one size; *work and *result are replaced. */
static fs_status run_one(const fs_scale_job *job, uint32_t gpus, bool last, fs_scaling *mode, fs_work **work,
                         fs_result *result, fs_err *err)
{
    fs_run_options options = *job->options;
    options.timeline = last ? options.timeline : NULL; /* of the largest run, as the rest of the result */
    options.pictures = last && options.pictures;
    fs_result_free(result);
    fs_work_free(*work);
    *work = NULL;
    *mode = job->mode;
    fs_status status =
        fs_work_load_scaled(job->path, job->overrides->trace, job->overrides->n_trace, gpus, mode, work, err);
    if (status == FS_OK)
        status = fs_cli_apply_faults(job->topo, job->faults, *work, err);
    return status == FS_OK ? fs_run(job->topo, *work, &options, result, err) : status;
}

fs_status fs_scale_run(const fs_scale_job *job, const fs_scale_list *list, fs_scaling_row *rows, fs_work **work,
                       fs_result *result, fs_err *err)
{
    fs_status status = FS_OK;
    fs_scaling mode = job->mode;
    fs_result made = {0};
    if (list->gpus[list->count - 1] > job->topo->n_gpus) /* now, not after hours of smaller ones */
        return fs_fail(err, FS_E_USAGE, "--scale: %u GPUs asked for, the topology has %u", list->gpus[list->count - 1],
                       job->topo->n_gpus);
    for (uint32_t i = 0; i < list->count && status == FS_OK; i++) {
        double start_s = fs_clock_s();
        bool last = i + 1 == list->count;
        progress(list, i);
        status = run_one(job, list->gpus[i], last, &mode, work, &made, err);
        if (status == FS_OK) {
            rows[i] = fs_result_scaling(&made);
            rows[i].wall_s = fs_clock_s() - start_s;
        }
    }
    progress(list, list->count);
    if (status != FS_OK)
        return status;
    fs_scaling_finish(rows, list->count);
    made.n_scaling = list->count;
    made.scaling = rows;
    made.scaling_mode = fs_scaling_names[mode];
    *result = made;
    return FS_OK;
}
