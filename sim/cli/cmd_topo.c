/* cmd_topo.c - `fabsim topo FILE`: check a topology and say what it is. */
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/cli.h"
#include "topo/survey.h"

typedef struct arguments {
    bool json, expand, dot;
    fs_option_list sets;
} arguments;

enum { TEXT = 64 };

static fs_status parse(arguments *a, int argc, char *const *argv, const char *values[FS_ARGUMENTS_MAX], bool *help,
                       fs_err *err)
{
    const fs_option options[] = {
        {"json", 0, FS_OPTION_FLAG, &a->json, NULL, "Print the description as JSON.", NULL, 0},
        {"expand", 0, FS_OPTION_FLAG, &a->expand, NULL,
         "Print explicit XML: every device and link; it reads back identical.", NULL, 0},
        {"dot", 0, FS_OPTION_FLAG, &a->dot, NULL, "Print Graphviz: fabsim topo FILE --dot | dot -Tsvg -o topo.svg",
         NULL, 0},
        {"set", 0, FS_OPTION_LIST, &a->sets, "KEY=VALUE", "Override a figure: topo:nvlink2.bandwidth=50GB/s.", NULL, 0},
    };
    static const char *const names[] = {"TOPOLOGY.xml"};
    const fs_command command = {
        .usage = "fabsim topo TOPOLOGY.xml [options]",
        .description =
            "Check a topology and print its devices, its links by tier, its bisection bandwidth, and whether\n"
            "every GPU reaches every other.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .arguments = names,
        .min_arguments = 1,
        .max_arguments = 1,
    };
    uint32_t n = 0;
    fs_status status = fs_cli_parse(&command, argc, argv, values, &n, help, err);
    if (status == FS_OK && a->json + a->expand + a->dot > 1)
        status = fs_fail(err, FS_E_USAGE, "--json, --expand and --dot exclude each other");
    return status;
}

static fs_status print_tiers(const fs_topo *topo, const fs_survey *survey, fs_style style, fs_out *out, fs_err *err)
{
    fs_table *table = fs_table_new("lrrrr");
    if (table == NULL)
        return fs_fail_nomem(err);
    static const char *const heading[] = {"tier", "connections", "lanes", "bandwidth", "bisection"};
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t t = 0; t < topo->n_tiers; t++) {
        const fs_tier_survey *tier = &survey->tiers[t];
        char lanes[TEXT], bandwidth[TEXT], bisection[TEXT];
        fs_table_cell(table, "%s", topo->tiers[t].name);
        fs_table_cell(table, "%u", tier->connections);
        fs_table_cell(table, "%s", fs_format_count(tier->lanes, lanes, sizeof lanes));
        fs_table_cell(table, "%s", fs_format_bps(tier->bandwidth_Bps, bandwidth, sizeof bandwidth));
        fs_table_cell(table, "%s",
                      tier->carries_gpus ? fs_format_bps(tier->bisection_Bps, bisection, sizeof bisection) : "-");
    }
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

static fs_status print_text(const fs_topo *topo, const fs_survey *survey, fs_out *out, fs_err *err)
{
    fs_style style = fs_cli_style();
    char text[TEXT];
    fs_print_bold(out, style, topo->name);
    fs_out_printf(out, " (%s)\n", topo->path);
    fs_out_puts(out, "  devices   ");
    const char *comma = "";
    for (uint32_t k = 0; k < FS_DEVICE_KINDS; k++) {
        if (survey->devices_of_kind[k] == 0)
            continue;
        fs_out_printf(out, "%s%u %s", comma, survey->devices_of_kind[k], fs_device_kind_name((fs_device_kind)k));
        comma = ", ";
    }
    const fs_part *gpu = fs_topo_gpu_part(topo, 0);
    fs_out_printf(out, "\n  GPU part  %s\n", gpu->name);
    fs_out_printf(out, "  scale-up  %u domain%s, largest %u GPUs\n\n", survey->scale_up_domains,
                  survey->scale_up_domains == 1 ? "" : "s", survey->largest_domain);
    fs_print_bold(out, style, "Links by tier");
    fs_out_puts(out, " (one direction; bisection: first half of the GPUs to the second, this tier limiting)\n");
    fs_status status = print_tiers(topo, survey, style, out, err);
    if (status != FS_OK)
        return status;
    fs_out_printf(out, "\nBisection bandwidth, all tiers together: %s\n",
                  fs_format_bps(survey->bisection_Bps, text, sizeof text));
    if (survey->all_reach)
        fs_out_puts(out, "Every GPU reaches every other.\n");
    else
        fs_out_printf(out, "NOT CONNECTED: no path from %s to %s.\n",
                      FS_DEVICE_NAME(topo, topo->gpus[survey->unreached_from]),
                      FS_DEVICE_NAME(topo, topo->gpus[survey->unreached_to]));
    return FS_OK;
}

static void print_json(const fs_topo *topo, const fs_survey *survey, fs_out *out)
{
    fs_jsonw w = fs_jsonw_start(out);
    fs_jsonw_object(&w, NULL);
    fs_jsonw_string(&w, "name", topo->name);
    fs_jsonw_string(&w, "file", topo->path);
    fs_jsonw_object_inline(&w, "devices");
    for (uint32_t k = 0; k < FS_DEVICE_KINDS; k++)
        fs_jsonw_uint(&w, fs_device_kind_name((fs_device_kind)k), survey->devices_of_kind[k]);
    fs_jsonw_end(&w);
    fs_jsonw_uint(&w, "scale_up_domains", survey->scale_up_domains);
    fs_jsonw_uint(&w, "largest_domain", survey->largest_domain);
    fs_jsonw_array(&w, "tiers");
    for (uint32_t t = 0; t < topo->n_tiers; t++) {
        const fs_tier_survey *tier = &survey->tiers[t];
        fs_jsonw_object_inline(&w, NULL);
        fs_jsonw_string(&w, "name", topo->tiers[t].name);
        fs_jsonw_uint(&w, "connections", tier->connections);
        fs_jsonw_uint(&w, "lanes", tier->lanes);
        fs_jsonw_number(&w, "bandwidth_Bps", tier->bandwidth_Bps);
        if (tier->carries_gpus)
            fs_jsonw_number(&w, "bisection_Bps", tier->bisection_Bps);
        else
            fs_jsonw_null(&w, "bisection_Bps");
        fs_jsonw_end(&w);
    }
    fs_jsonw_end(&w);
    fs_jsonw_number(&w, "bisection_Bps", survey->bisection_Bps);
    fs_jsonw_bool(&w, "all_reach", survey->all_reach);
    fs_jsonw_end(&w);
    fs_out_puts(out, "\n");
}

static fs_status describe(const fs_topo *topo, const arguments *a, fs_out *out, fs_err *err)
{
    if (a->expand) {
        fs_topo_write_xml(topo, out);
        return FS_OK;
    }
    if (a->dot) {
        fs_topo_write_dot(topo, out);
        return FS_OK;
    }
    fs_survey survey = {0};
    fs_status status = fs_survey_make(topo, &survey, err);
    if (status != FS_OK)
        return status;
    if (a->json)
        print_json(topo, &survey, out);
    else
        status = print_text(topo, &survey, out, err);
    fs_survey_free(&survey);
    return status;
}

fs_status fs_cmd_topo(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    (void)call; /* a description is no result file: it records nothing */
    arguments a = {0};
    const char *values[FS_ARGUMENTS_MAX];
    bool help = false;
    fs_status status = parse(&a, argc, argv, values, &help, err);
    if (status != FS_OK || help)
        return status;
    fs_overrides overrides;
    status = fs_cli_topo_overrides(&a.sets, &overrides, err);
    if (status == FS_OK && overrides.n_nccl > 0)
        status = fs_fail(err, FS_E_USAGE, "--set: nothing communicates here, expected topo:NAME.ATTRIBUTE=VALUE");
    fs_topo *topo = NULL;
    if (status == FS_OK)
        status = fs_topo_load(values[0], overrides.topo, overrides.n_topo, &topo, err);
    fs_out *out = NULL;
    if (status == FS_OK)
        status = fs_out_open("-", &out, err);
    if (status == FS_OK)
        status = describe(topo, &a, out, err);
    status = fs_out_finish(out, status, err);
    fs_topo_free(topo);
    return status;
}
