/* cmd_kernel.c - `fabsim kernel`: how long kernels take on a GPU, and what bounds them.
 *
 * One kernel from the command line, or one a line from a file, in the same words: kind, sizes, and then in any order
 * `causal`, `dtype=..`, `kv=..`. */
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/cli.h"
#include "gpu/gpu.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct arguments {
    bool json, csv;
    uint32_t dtype, cost;
    const char *file, *part;
    fs_option_list sets;
} arguments;

typedef struct row {
    char text[96]; /* the words, as they were given */
    fs_kernel_shape shape;
    fs_dtype dtype;
    double flops, bytes;
    fs_kernel_time time;
} row;

typedef FS_VEC(row) row_list;

enum { WORDS_MAX = FS_KERNEL_SIZES + 5 };

static fs_status parse(arguments *a, int argc, char *const *argv, const char *values[FS_ARGUMENTS_MAX], uint32_t *n,
                       bool *help, fs_err *err)
{
    const fs_option options[] = {
        {"dtype", 0, FS_OPTION_CHOICE, &a->dtype, "NAME",
         "Number format of operands: bf16 (default), fp16, fp8, fp4, ...", fs_dtype_names, FS_DTYPES},
        {"file", 'f', FS_OPTION_TEXT, &a->file, "FILE", "A kernel a line, '-' for stdin: words with blanks or commas.",
         NULL, 0},
        {"part", 0, FS_OPTION_TEXT, &a->part, "NAME", "Which GPU part of a topology that has several.", NULL, 0},
        {"cost", 0, FS_OPTION_CHOICE, &a->cost, "nccl|ideal", "As measured (default), or the bare roofline.",
         fs_cost_names, 2},
        {"set", 0, FS_OPTION_LIST, &a->sets, "KEY=VALUE", "Override a figure: topo:h100-sxm5.sustained=0.9.", NULL, 0},
        {"json", 0, FS_OPTION_FLAG, &a->json, NULL, "Print JSON instead of a table.", NULL, 0},
        {"csv", 0, FS_OPTION_FLAG, &a->csv, NULL, "Print CSV instead of a table.", NULL, 0},
    };
    static const char *const names[] = {
        "TOPOLOGY.xml or PART", "KIND", "SIZE", "SIZE", "SIZE", "SIZE", "SIZE", "SIZE", "SIZE", "WORD", "WORD", "WORD"};
    const fs_command command = {
        .usage = "fabsim kernel TOPOLOGY.xml|PART KIND SIZE... [causal] [kv=DTYPE] [scales=tensor|block] [options]",
        .description =
            "Time of a GPU kernel alone, what bounds it, and what part of the roofline it reaches. A topology, or a "
            "part\n"
            "that ships with fabsim (h100-sxm5). Kinds and their sizes:\n"
            "  gemm M N K [BATCH]                     (M x K) (K x N)\n"
            "  grouped M N K EXPERTS [SPREAD]         M rows over experts; the busiest has SPREAD times the least\n"
            "  attention SEQUENCES QUERIES KEYS HEADS KV_HEADS DIM [VALUE_DIM]; attention_grad, its backward pass\n"
            "  append SEQUENCES QUERIES HEADS KV_HEADS DIM [VALUE_DIM]    rotate, and write to the cache\n"
            "  quantise M K                           rows to the narrow format of --dtype\n"
            "  plain FLOPS BYTES                      what moves memory, without a shape",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .arguments = names,
        .min_arguments = 1,
        .max_arguments = sizeof names / sizeof *names,
    };
    fs_status status = fs_cli_parse(&command, argc, argv, values, n, help, err);
    if (status != FS_OK || *help)
        return status;
    if (a->json && a->csv)
        return fs_fail(err, FS_E_USAGE, "--json and --csv exclude each other");
    if ((a->file == NULL) == (*n == 1))
        return fs_fail(err, FS_E_USAGE, "kernel: expected either a kernel or --file; usage: %s", command.usage);
    return FS_OK;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static fs_status read_name(const char *what, const char *word, const char *const *names, uint32_t n, uint32_t *out,
                           fs_err *err)
{
    for (*out = 0; *out < n; ++*out)
        if (strcmp(word, names[*out]) == 0)
            return FS_OK;
    const char *near = fs_suggest(word, names, n);
    return fs_fail(err, FS_E_USAGE, "unknown %s '%.60s'%s%s%s", what, word, near ? " (did you mean '" : "",
                   near ? near : "", near ? "'?)" : "");
}

static fs_status read_kernel(const char *const *words, uint32_t n_words, fs_dtype dtype, row *r, fs_err *err)
{
    double sizes[WORDS_MAX];
    uint32_t n = 0, kind = 0, scales = FS_SCALES_USUAL, type = dtype, kv = dtype == FS_FP4 ? FS_FP8 : FS_BF16;
    bool causal = false;
    fs_status status = read_name("kind of kernel", words[0], fs_kernel_kind_names, FS_KERNEL_KINDS, &kind, err);
    for (uint32_t i = 1; status == FS_OK && i < n_words; i++) {
        const char *why;
        if (strcmp(words[i], "causal") == 0)
            causal = true;
        else if (strncmp(words[i], "kv=", 3) == 0)
            status = read_name("number format", words[i] + 3, fs_dtype_names, FS_DTYPES, &kv, err);
        else if (strncmp(words[i], "dtype=", 6) == 0)
            status = read_name("number format", words[i] + 6, fs_dtype_names, FS_DTYPES, &type, err);
        else if (strncmp(words[i], "scales=", 7) == 0)
            status = read_name("kind of scales", words[i] + 7, fs_scales_names, FS_SCALES, &scales, err);
        else if (fs_parse_quantity(words[i], FS_UNIT_NONE, &sizes[n], &why) == 0)
            n++;
        else
            status =
                fs_fail(err, FS_E_USAGE, "expected a size, causal, kv=, dtype= or scales=, found '%.60s'", words[i]);
    }
    if (status != FS_OK)
        return status;
    r->dtype = (fs_dtype)type;
    if (kind != FS_KERNEL_PLAIN) {
        status = fs_kernel_shape_of((fs_kernel_kind)kind, sizes, n, causal, (fs_dtype)kv, &r->shape, err);
        r->shape.scales = (uint8_t)scales;
        if (status == FS_OK && scales != FS_SCALES_USUAL && kind != FS_KERNEL_GROUPED)
            status =
                fs_fail(err, FS_E_USAGE, "scales= goes with grouped, found it with %s", fs_kernel_kind_names[kind]);
        if (status == FS_OK)
            fs_kernel_needs(&r->shape, r->dtype, &r->flops, &r->bytes);
        return status;
    }
    if (n != 2 || sizes[0] < 0 || sizes[1] < 0)
        return fs_fail(err, FS_E_USAGE, "plain takes FLOPs and bytes");
    r->flops = sizes[0];
    r->bytes = sizes[1];
    return FS_OK;
}

/* Words apart by blanks or commas; the line is cut into them. */
static fs_status read_line(char *line, fs_dtype dtype, row *r, fs_err *err)
{
    const char *words[WORDS_MAX];
    uint32_t n = 0;
    snprintf(r->text, sizeof r->text, "%s", line);
    for (char *at = r->text; *at; at++)
        *at = *at == ',' || *at == '\t' || *at == '\r' ? ' ' : *at;
    for (char *word = strtok(line, " \t\r,"); word; word = strtok(NULL, " \t\r,")) {
        if (n == WORDS_MAX)
            return fs_fail(err, FS_E_USAGE, "too many words");
        words[n++] = word;
    }
    return read_kernel(words, n, dtype, r, err);
}

static fs_status read_file(const char *path, fs_dtype dtype, row_list *rows, fs_err *err)
{
    char *text = NULL;
    size_t length = 0;
    uint32_t number = 0;
    fs_status status = fs_file_read(path, &text, &length, err);
    for (char *line = text, *next; status == FS_OK && line && *line; line = next) {
        size_t bytes = strcspn(line, "\n");
        next = line + bytes + (line[bytes] != '\0');
        line[bytes] = '\0';
        number++;
        if (line[strspn(line, " \t\r")] == '\0' || line[0] == '#')
            continue;
        row r = {0};
        fs_err why = {0};
        if (read_line(line, dtype, &r, &why) != FS_OK)
            status = fs_fail_at(err, FS_E_USAGE, path, number, 1, "%s", why.text);
        else if (FS_PUSH(rows, r) == NULL)
            status = fs_fail_nomem(err);
    }
    fs_free(text);
    return status;
}

static fs_status read_rows(const arguments *a, const char *const *values, uint32_t n, row_list *rows, fs_err *err)
{
    if (a->file)
        return read_file(a->file, (fs_dtype)a->dtype, rows, err);
    row r = {0};
    fs_status status = read_kernel(values + 1, n - 1, (fs_dtype)a->dtype, &r, err);
    if (status != FS_OK)
        return status;
    for (uint32_t i = 1, used = 0; i < n && used < sizeof r.text; i++)
        used += (uint32_t)snprintf(r.text + used, sizeof r.text - used, "%s%s", i > 1 ? " " : "", values[i]);
    return FS_PUSH(rows, r) ? FS_OK : fs_fail_nomem(err);
}

/* ---- the GPU ----------------------------------------------------------------------------------------------------- */

static fs_status find_part(const fs_topo *topo, const char *name, const fs_part **part, fs_err *err)
{
    const char *names[FS_OPTION_LIST_MAX];
    uint32_t n = 0;
    *part = NULL;
    for (uint32_t i = 0; i < topo->n_parts; i++) {
        const fs_part *p = &topo->parts[i];
        if (p->kind != FS_DEVICE_GPU || (name && strcmp(p->name, name) != 0))
            continue;
        bool placed = name != NULL;
        for (uint32_t g = 0; !placed && g < topo->n_gpus; g++)
            placed = fs_topo_device(topo, topo->gpus[g]).part == i;
        if (placed && *part)
            return fs_fail(err, FS_E_USAGE, "the topology has GPUs of several parts: choose one with --part, %s or %s",
                           (*part)->name, p->name);
        *part = placed ? p : *part;
    }
    for (uint32_t i = 0; i < topo->n_parts && n < FS_OPTION_LIST_MAX; i++)
        if (topo->parts[i].kind == FS_DEVICE_GPU)
            names[n++] = topo->parts[i].name;
    const char *near = name ? fs_suggest(name, names, n) : NULL;
    return *part ? FS_OK
                 : fs_fail(err, FS_E_USAGE, "--part: no GPU part is called '%.80s'%s%s%s", name ? name : "",
                           near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static fs_status price(const fs_part *part, bool ideal, row_list *rows, fs_err *err)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        row *r = &rows->data[i];
        if (!fs_gpu_kernel(part, &r->shape, r->flops, r->bytes, r->dtype, ideal, &r->time))
            return fs_fail(err, FS_E_USAGE, "GPU part '%.80s' has no peak rate for %s", part->name,
                           fs_dtype_names[r->dtype]);
    }
    return FS_OK;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void write_json(const row_list *rows, const fs_part *part, const char *cost, fs_out *out)
{
    fs_jsonw w = fs_jsonw_start(out);
    fs_jsonw_object(&w, NULL);
    fs_jsonw_string(&w, "part", part->name);
    fs_jsonw_string(&w, "cost", cost);
    fs_jsonw_array(&w, "rows");
    for (uint32_t i = 0; i < rows->count; i++) {
        const row *r = &rows->data[i];
        fs_jsonw_object_inline(&w, NULL);
        fs_jsonw_string(&w, "kernel", r->text);
        fs_jsonw_string(&w, "dtype", fs_dtype_names[r->dtype]);
        fs_jsonw_number(&w, "time_us", r->time.seconds * 1e6);
        fs_jsonw_string(&w, "bound", fs_gpu_bound_names[r->time.bound]);
        fs_jsonw_number(&w, "roofline_us", r->time.ideal_s * 1e6);
        fs_jsonw_number(&w, "flops", r->flops);
        fs_jsonw_number(&w, "bytes", r->bytes);
        fs_jsonw_end(&w);
    }
    fs_jsonw_end(&w);
    fs_jsonw_end(&w);
    fs_out_puts(out, "\n");
}

static void write_csv(const row_list *rows, fs_out *out)
{
    fs_out_puts(out, "kernel,dtype,time_us,bound,roofline_us,flops,bytes\n");
    for (uint32_t i = 0; i < rows->count; i++) {
        const row *r = &rows->data[i];
        char a[40], b[40], c[40], d[40];
        fs_out_printf(out, "%s,%s,%s,%s,%s,%s,%s\n", r->text, fs_dtype_names[r->dtype],
                      fs_format_exact(r->time.seconds * 1e6, a, sizeof a), fs_gpu_bound_names[r->time.bound],
                      fs_format_exact(r->time.ideal_s * 1e6, b, sizeof b), fs_format_exact(r->flops, c, sizeof c),
                      fs_format_exact(r->bytes, d, sizeof d));
    }
}

static fs_status write_table(const row_list *rows, const fs_part *part, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"kernel", "dtype", "time (us)", "bound by", "of roofline", "TFLOP/s", "GB/s"};
    fs_table *table = fs_table_new("llrlrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_out_printf(out, "# fabsim kernel: %s\n", part->name);
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t i = 0; i < rows->count; i++) {
        const row *r = &rows->data[i];
        double s = r->time.seconds > 0 ? r->time.seconds : 1;
        fs_table_cell(table, "%s", r->text);
        fs_table_cell(table, "%s", fs_dtype_names[r->dtype]);
        fs_table_cell(table, "%.2f", r->time.seconds * 1e6);
        fs_table_cell(table, "%s", fs_gpu_bound_names[r->time.bound]);
        fs_table_cell(table, "%.1f %%", r->time.ideal_s / s * 100);
        fs_table_cell(table, "%.1f", r->flops / s * 1e-12);
        fs_table_cell(table, "%.1f", r->bytes / s * 1e-9);
    }
    fs_status status = fs_table_print(table, true, fs_cli_style(), out, err);
    fs_table_free(table);
    return status;
}

static fs_status print(const arguments *a, const row_list *rows, const fs_part *part, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open("-", &out, err);
    if (status != FS_OK)
        return status;
    if (a->json)
        write_json(rows, part, fs_cost_names[a->cost], out);
    else if (a->csv)
        write_csv(rows, out);
    else
        status = write_table(rows, part, out, err);
    return fs_out_finish(out, status, err);
}

fs_status fs_cmd_kernel(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    (void)call;
    arguments a = {.dtype = FS_BF16};
    const char *values[FS_ARGUMENTS_MAX];
    uint32_t n = 0;
    bool help = false;
    fs_status status = parse(&a, argc, argv, values, &n, &help, err);
    if (status != FS_OK || help)
        return status;
    fs_overrides overrides;
    row_list rows = {0};
    fs_topo *topo = NULL;
    const fs_part *part = NULL;
    status = fs_cli_topo_overrides(&a.sets, &overrides, err);
    if (status == FS_OK)
        status = read_rows(&a, values, n, &rows, err);
    if (status == FS_OK && access(values[0], F_OK) == 0)
        status = fs_topo_load(values[0], overrides.topo, overrides.n_topo, &topo, err);
    else if (status == FS_OK)
        status = fs_topo_of_part(values[0], overrides.topo, overrides.n_topo, &topo, err);
    if (status == FS_OK)
        status = find_part(topo, a.part, &part, err);
    if (status == FS_OK)
        status = price(part, fs_cost_names[a.cost][0] == 'i', &rows, err);
    if (status == FS_OK)
        status = print(&a, &rows, part, err);
    fs_free(rows.data);
    fs_topo_free(topo);
    return status;
}
