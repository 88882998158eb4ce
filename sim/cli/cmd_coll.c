/* cmd_coll.c - `fabsim coll`: a table of collective times by size, in the columns of nccl-tests.
 *
 * All sizes run one after the other as one program of a single simulation, so the table costs one set-up and the
 * numbers are exactly what the same collective takes inside a trace. */
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/cli.h"
#include "cli/ranges.h"
#include "work/work_build.h"

#include <math.h>
#include <string.h>

typedef struct arguments {
    bool json, csv;
    uint64_t gpus, root, top_k, top_domains;
    double min, max;
    uint64_t factor;
    uint32_t kind, algo, proto, cost, network, lowering;
    fs_option_list sets, faults;
    fs_cli_nccl nccl;
    const char *on;                          /* --on; NULL: the first `gpus` */
    fs_rank_range ranges[FS_CLI_RANGES_MAX]; /* of it */
    uint32_t n_ranges;
    const char *sizes_text;
    uint32_t n_sizes;
    double *sizes; /* (n_sizes) */
} arguments;

enum { ROWS_MAX = 1024 };

static fs_status parse(arguments *a, int argc, char *const *argv, const char *values[FS_ARGUMENTS_MAX], bool *help,
                       fs_err *err)
{
    const fs_option options[] = {
        {"op", 0, FS_OPTION_CHOICE, &a->kind, "NAME",
         "all_reduce (default), all_gather, reduce_scatter, all_to_all, broadcast, reduce, sendrecv.", fs_coll_names,
         FS_COLL_KINDS},
        {"gpus", 'g', FS_OPTION_UINT, &a->gpus, "N", "The first N GPUs (default: all).", NULL, 0},
        {"on", 0, FS_OPTION_TEXT, &a->on, "N,N-N,...", "These GPUs instead, in this order: 0,8,16-31.", NULL, 0},
        {"min", 'b', FS_OPTION_SIZE, &a->min, "SIZE", "Smallest size (default 8).", NULL, 0},
        {"max", 'e', FS_OPTION_SIZE, &a->max, "SIZE", "Largest size (default 8G).", NULL, 0},
        {"factor", 'f', FS_OPTION_UINT, &a->factor, "K", "Each size is K times the last (default 2).", NULL, 0},
        {"sizes", 0, FS_OPTION_TEXT, &a->sizes_text, "SIZE,SIZE,...", "These sizes instead.", NULL, 0},
        {"algo", 0, FS_OPTION_CHOICE, &a->algo, "NAME",
         "auto (default), ring, tree, nvls, nvlstree, sharp, pat, hierarchical, direct, chain, oneshot,\n"
         "twoshot, forwarded, lowlatency.",
         fs_algo_names, FS_ALGOS},
        {"proto", 0, FS_OPTION_CHOICE, &a->proto, "NAME", "auto (default), LL, LL128, Simple.", fs_proto_names,
         FS_PROTOS},
        {"root", 'r', FS_OPTION_UINT, &a->root, "N", "Root of broadcast and reduce (default 0).", NULL, 0},
        {"top-k", 0, FS_OPTION_UINT, &a->top_k, "K",
         "With --algo forwarded: sizes count K copies of each token (default 1).", NULL, 0},
        {"top-domains", 0, FS_OPTION_UINT, &a->top_domains, "N",
         "With --algo forwarded: a token's copies are in at most N NVLink domains (default: all).", NULL, 0},
        {"cost", 0, FS_OPTION_CHOICE, &a->cost, "nccl|ideal",
         "Protocol costs of NCCL (default), or bare bandwidth and hop latency.", fs_cost_names, 2},
        FS_CLI_NCCL_OPTIONS(&a->nccl),
        {"lowering", 0, FS_OPTION_CHOICE, &a->lowering, "MODE", "coupled (default), flows, or messages.",
         fs_lowering_names, 3},
        {"network", 0, FS_OPTION_CHOICE, &a->network, "MODEL", "fabric (default), cm02 or ns3.", fs_network_names, 3},
        {"set", 0, FS_OPTION_LIST, &a->sets, "KEY=VALUE",
         "Override a figure: topo:nvlink2.bandwidth=50GB/s, nccl:hopper.nvls=0.8.", NULL, 0},
        {"fault", 0, FS_OPTION_LIST, &a->faults, "FAULT", "link:A-B=down, switch:NAME=0.5, ...: what fails.", NULL, 0},
        {"json", 0, FS_OPTION_FLAG, &a->json, NULL, "Print JSON instead of a table.", NULL, 0},
        {"csv", 0, FS_OPTION_FLAG, &a->csv, NULL, "Print CSV instead of a table.", NULL, 0},
    };
    static const char *const names[] = {"TOPOLOGY.xml"};
    const fs_command command = {
        .usage = "fabsim coll TOPOLOGY.xml [--op all_reduce] [options]",
        .description = "Time, algorithm and bus bandwidth of a collective by size, as nccl-tests prints them.\n"
                       "size: the whole buffer, as in nccl-tests. algbw = size / time; busbw = algbw x 2(n-1)/n for\n"
                       "all_reduce, x (n-1)/n for all_gather, reduce_scatter and all_to_all.\n"
                       "sendrecv: from the first of the GPUs to the last.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .arguments = names,
        .min_arguments = 1,
        .max_arguments = 1,
    };
    uint32_t n = 0;
    return fs_cli_parse(&command, argc, argv, values, &n, help, err);
}

/* The sizes of --sizes, or those from --min to --max. */
static fs_status make_sizes(arguments *a, fs_err *err)
{
    a->sizes = fs_alloc(ROWS_MAX, sizeof *a->sizes);
    if (a->sizes == NULL)
        return fs_fail_nomem(err);
    if (a->sizes_text == NULL) {
        for (double size = a->min; size <= a->max && a->n_sizes < ROWS_MAX; size *= (double)a->factor)
            a->sizes[a->n_sizes++] = size;
        return FS_OK;
    }
    for (const char *at = a->sizes_text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char word[40];
        const char *why = "too long";
        size_t length = strcspn(at, ",");
        if (a->n_sizes == ROWS_MAX)
            return fs_fail(err, FS_E_USAGE, "--sizes: at most %d", ROWS_MAX);
        memcpy(word, at, length < sizeof word ? length : 0);
        word[length < sizeof word ? length : 0] = '\0';
        if (length >= sizeof word || fs_parse_size(word, &a->sizes[a->n_sizes], &why) != 0)
            return fs_fail(err, FS_E_USAGE, "--sizes: size %u: %s", a->n_sizes + 1, why);
        if (!(a->sizes[a->n_sizes] >= 1 && a->sizes[a->n_sizes] <= FS_TRACE_BYTES_MAX))
            return fs_fail(err, FS_E_USAGE, "--sizes: expected from 1 to %g bytes, found '%s'", FS_TRACE_BYTES_MAX,
                           word);
        a->n_sizes++;
    }
    return FS_OK;
}

/* The GPUs that are meant: *n of them. */
static fs_status choose_gpus(arguments *a, const fs_topo *topo, uint32_t *n, fs_err *err)
{
    if (a->gpus > topo->n_gpus)
        return fs_fail(err, FS_E_USAGE, "--gpus: %llu asked for, the topology has %u", (unsigned long long)a->gpus,
                       topo->n_gpus);
    if (a->on && a->gpus)
        return fs_fail(err, FS_E_USAGE, "--gpus and --on exclude each other");
    fs_status status = fs_cli_ranges("--on", "GPUs", a->on, a->ranges, &a->n_ranges, err);
    if (status != FS_OK)
        return status;
    if (!a->on)
        a->ranges[a->n_ranges++] = (fs_rank_range){0, (a->gpus ? (uint32_t)a->gpus : topo->n_gpus) - 1};
    *n = 0;
    for (uint32_t i = 0; i < a->n_ranges; i++) {
        if (a->ranges[i].last >= topo->n_gpus)
            return fs_fail(err, FS_E_USAGE, "--on: there is no GPU %u, the topology has %u", a->ranges[i].last,
                           topo->n_gpus);
        *n += a->ranges[i].last - a->ranges[i].first + 1;
    }
    return *n < 2 ? fs_fail(err, FS_E_USAGE, "a collective needs at least 2 GPUs") : FS_OK;
}

static fs_status check(const arguments *a, uint32_t n, fs_err *err)
{
    if (a->root >= n)
        return fs_fail(err, FS_E_USAGE, "--root: %llu is not among %u ranks", (unsigned long long)a->root, n);
    if (a->top_k > UINT16_MAX || a->top_domains > UINT16_MAX)
        return fs_fail(err, FS_E_USAGE, "--top-k and --top-domains: expected at most %d", UINT16_MAX);
    if (a->factor < 2)
        return fs_fail(err, FS_E_USAGE, "--factor: expected at least 2");
    if (!(a->min >= 1) || !(a->max >= a->min))
        return fs_fail(err, FS_E_USAGE, "--min and --max: expected 1 <= min <= max");
    if (a->max > FS_TRACE_BYTES_MAX)
        return fs_fail(err, FS_E_USAGE, "--max: expected at most %g bytes", FS_TRACE_BYTES_MAX);
    if (a->json && a->csv)
        return fs_fail(err, FS_E_USAGE, "--json and --csv exclude each other");
    return FS_OK;
}

static fs_status add_ops(fs_work_builder *b, const arguments *a, uint32_t program, uint32_t rank, uint32_t family,
                         fs_err *err)
{
    fs_op_kind kind = a->kind != FS_SENDRECV ? FS_OP_COLLECTIVE : rank == 0 ? FS_OP_SEND : FS_OP_RECV;
    fs_op op = fs_op_default(kind);
    op.coll = (uint8_t)a->kind;
    op.algo = (uint8_t)a->algo;
    op.proto = (uint8_t)a->proto;
    op.root = (uint32_t)a->root;
    op.top_k = (uint16_t)a->top_k;
    op.top_domains = (uint16_t)a->top_domains;
    if (kind == FS_OP_COLLECTIVE)
        op.family = family;
    else
        op.peer = rank == 0 ? 1 : 0;
    fs_status status = fs_work_name(b, fs_coll_names[a->kind], &op.name, err);
    uint32_t index = 0;
    for (uint32_t i = 0; i < a->n_sizes && status == FS_OK; i++) {
        op.size_bytes = a->sizes[i];
        status = fs_work_op(b, program, &op, NULL, 0, &index, err);
    }
    return status;
}

/* Ranks stand on the chosen GPUs in order, the two of a send on the first and the last. */
static fs_status place(fs_work_builder *b, const arguments *a, fs_err *err)
{
    fs_status status = FS_OK;
    if (a->kind == FS_SENDRECV) {
        status = fs_work_place(b, 0, a->ranges[0].first, err);
        return status == FS_OK ? fs_work_place(b, 1, a->ranges[a->n_ranges - 1].last, err) : status;
    }
    uint32_t rank = 0;
    for (uint32_t i = 0; i < a->n_ranges; i++)
        for (uint32_t gpu = a->ranges[i].first; gpu <= a->ranges[i].last && status == FS_OK; gpu++)
            status = fs_work_place(b, rank++, gpu, err);
    return status;
}

/* One program for all ranks of a collective; one for each side of a send. */
static fs_status build_work(const arguments *a, uint32_t n, fs_work **work, fs_err *err)
{
    fs_work_builder *b = fs_work_builder_new(fs_coll_names[a->kind], "ops", "");
    if (b == NULL)
        return fs_fail_nomem(err);
    uint32_t family = 0, program = 0;
    uint16_t stream = 0;
    fs_status status = fs_work_set_ranks(b, n, err);
    if (status == FS_OK)
        status = place(b, a, err);
    if (status == FS_OK)
        status = fs_work_stream(b, "main", &stream, err);
    if (status == FS_OK)
        status = fs_work_family_strided(b, "world", n, 1, &family, err);
    uint32_t n_programs = a->kind == FS_SENDRECV ? 2 : 1;
    for (uint32_t p = 0; status == FS_OK && p < n_programs; p++) {
        status = fs_work_program(b, p ? "receiver" : "all", &program, err);
        if (status == FS_OK)
            status = add_ops(b, a, program, p, family, err);
    }
    for (uint32_t rank = 0; status == FS_OK && rank < n; rank++)
        status = fs_work_assign(b, rank, n_programs == 2 ? rank : 0, err);
    if (status == FS_OK)
        status = fs_work_freeze(b, work, err);
    fs_work_builder_free(b);
    return status;
}

static void write_json(const fs_result *r, fs_out *out)
{
    fs_jsonw w = fs_jsonw_start(out);
    fs_jsonw_object(&w, NULL);
    fs_jsonw_string(&w, "topology", r->topo->name);
    fs_jsonw_string(&w, "file", r->topo->path);
    fs_jsonw_string(&w, "op", r->work->name);
    fs_jsonw_uint(&w, "ranks", r->work->n_ranks);
    fs_jsonw_string(&w, "cost", r->cost);
    fs_jsonw_array(&w, "rows");
    for (uint32_t i = 0; i < r->n_comms; i++) {
        const fs_comm_row *row = &r->comms[i];
        fs_jsonw_object_inline(&w, NULL);
        fs_jsonw_number(&w, "size_bytes", row->size_bytes);
        fs_jsonw_number(&w, "time_us", row->mean_s * 1e6);
        fs_jsonw_number(&w, "algbw_GBps", row->algbw_Bps * 1e-9);
        fs_jsonw_number(&w, "busbw_GBps", row->busbw_Bps * 1e-9);
        fs_jsonw_string(&w, "algo", fs_algo_names[row->algo]);
        fs_jsonw_string(&w, "protocol", row->proto == FS_PROTO_AUTO ? "none" : fs_proto_names[row->proto]);
        fs_jsonw_uint(&w, "channels", row->channels);
        fs_jsonw_end(&w);
    }
    fs_jsonw_end(&w);
    fs_jsonw_end(&w);
    fs_out_puts(out, "\n");
}

static void write_csv(const fs_result *r, fs_out *out)
{
    fs_out_puts(out, "size_bytes,time_us,algbw_GBps,busbw_GBps,algo,protocol,channels\n");
    for (uint32_t i = 0; i < r->n_comms; i++) {
        const fs_comm_row *row = &r->comms[i];
        const double values[] = {row->size_bytes, row->mean_s * 1e6, row->algbw_Bps * 1e-9, row->busbw_Bps * 1e-9};
        char text[40];
        for (size_t k = 0; k < sizeof values / sizeof *values; k++)
            fs_out_printf(out, "%s,", fs_format_exact(values[k], text, sizeof text));
        fs_out_printf(out, "%s,%s,%u\n", fs_algo_names[row->algo],
                      row->proto == FS_PROTO_AUTO ? "none" : fs_proto_names[row->proto], row->channels);
    }
}

static fs_status write_table(const fs_result *r, fs_style style, fs_out *out, fs_err *err)
{
    fs_table *table = fs_table_new("rrrrllr");
    if (table == NULL)
        return fs_fail_nomem(err);
    char gpus[2 * FS_NAME_MAX + 16], first[FS_NAME_MAX + 1], last[FS_NAME_MAX + 1];
    snprintf(gpus, sizeof gpus, "on %u GPUs", r->work->n_ranks);
    if (r->work->programs[0].ops[0].kind == FS_OP_SEND)
        snprintf(gpus, sizeof gpus, "from %s to %s",
                 fs_device_name(r->topo, r->topo->gpus[r->work->gpu_of[0]], first, sizeof first),
                 fs_device_name(r->topo, r->topo->gpus[r->work->gpu_of[1]], last, sizeof last));
    fs_out_printf(out, "# fabsim coll: %s %s of %s (costs %s)\n", r->work->name, gpus, r->topo->name, r->cost);
    static const char *const heading[] = {"size (B)", "time (us)", "algbw (GB/s)", "busbw (GB/s)",
                                          "algo",     "protocol",  "channels"};
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t i = 0; i < r->n_comms; i++) {
        const fs_comm_row *row = &r->comms[i];
        fs_table_cell(table, "%.0f", row->size_bytes);
        fs_table_cell(table, "%.2f", row->mean_s * 1e6);
        fs_table_cell(table, "%.2f", row->algbw_Bps * 1e-9);
        fs_table_cell(table, "%.2f", row->busbw_Bps * 1e-9);
        fs_table_cell(table, "%s", fs_algo_names[row->algo]);
        fs_table_cell(table, "%s", row->proto == FS_PROTO_AUTO ? "-" : fs_proto_names[row->proto]);
        fs_table_cell(table, "%u", row->channels);
    }
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

static fs_status print(const fs_result *result, const arguments *a, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open("-", &out, err);
    if (status != FS_OK)
        return status;
    if (a->json)
        write_json(result, out);
    else if (a->csv)
        write_csv(result, out);
    else
        status = write_table(result, fs_cli_style(), out, err);
    return fs_out_finish(out, status, err);
}

static fs_status simulate(const arguments *a, const fs_topo *topo, uint32_t n, fs_err *err)
{
    fs_work *work = NULL;
    fs_status status = build_work(a, n, &work, err);
    if (status != FS_OK)
        return status;
    fs_run_options options = fs_run_default();
    options.network = (fs_backend)a->network;
    options.lowering = (fs_lowering_mode)a->lowering;
    options.cost = (fs_cost)a->cost;
    fs_cli_nccl_apply(&a->nccl, &options);
    fs_result result = {0};
    status = fs_run(topo, work, &options, &result, err);
    if (status == FS_E_TRACE) { /* the "trace" is the command line */
        status = err->status = FS_E_USAGE;
    } else if (status == FS_OK) {
        status = print(&result, a, err);
        fs_result_free(&result);
    }
    fs_work_free(work);
    return status;
}

fs_status fs_cmd_coll(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    arguments a = {.min = 8, .max = 8.0 * 1024 * 1024 * 1024, .factor = 2};
    const char *values[FS_ARGUMENTS_MAX];
    bool help = false;
    fs_status status = parse(&a, argc, argv, values, &help, err);
    if (status != FS_OK || help)
        return status;
    fs_overrides overrides;
    fs_cli_fault_list faults;
    status = fs_cli_prepare_network((fs_backend)a.network, call, err);
    if (status == FS_OK)
        status = fs_cli_topo_overrides(&a.sets, &overrides, err);
    if (status == FS_OK)
        status = fs_cli_faults(&a.faults, &faults, err);
    fs_topo *topo = NULL;
    uint32_t n = 0;
    if (status == FS_OK)
        status = fs_topo_load(values[0], overrides.topo, overrides.n_topo, &topo, err);
    if (status == FS_OK)
        status = fs_cli_apply_faults(topo, &faults, NULL, err);
    if (status == FS_OK)
        status = choose_gpus(&a, topo, &n, err);
    if (status == FS_OK)
        status = check(&a, n, err);
    if (status == FS_OK)
        status = make_sizes(&a, err);
    if (status == FS_OK)
        status = fs_cli_nccl_load(&a.nccl, &overrides, err);
    if (status == FS_OK)
        status = simulate(&a, topo, a.kind == FS_SENDRECV ? 2 : n, err);
    fs_nccl_table_free(a.nccl.table);
    fs_free(a.sizes);
    fs_topo_free(topo);
    return status;
}
