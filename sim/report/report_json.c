/* report_json.c - the result as JSON. The members are documented in docs/FORMATS.md, section Result. */
#include "report/report_in.h"
#include "report/result_file.h"
#include "report/similar.h"

#include <inttypes.h>
#include <stdio.h>

static void write_hash(fs_jsonw *w, const char *key, uint64_t hash)
{
    char text[20];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    fs_jsonw_string(w, key, text);
}

static void write_inputs(const fs_result *r, const fs_report_meta *meta, fs_jsonw *w)
{
    fs_jsonw_uint(w, "schema_version", FS_RESULT_SCHEMA);
    fs_jsonw_string(w, "fabsim", meta->version);
    fs_jsonw_string(w, "command", meta->command);
    fs_jsonw_object_inline(w, "topology");
    fs_jsonw_string(w, "name", r->topo->name);
    fs_jsonw_string(w, "file", r->topo->path);
    write_hash(w, "hash", r->topo->hash);
    fs_jsonw_uint(w, "gpus", r->topo->n_gpus);
    fs_jsonw_end(w);
    fs_jsonw_object_inline(w, "trace");
    fs_jsonw_string(w, "name", r->work->name);
    fs_jsonw_string(w, "file", r->work->path);
    write_hash(w, "hash", r->work->hash);
    fs_jsonw_uint(w, "ranks", r->work->n_ranks);
    fs_jsonw_end(w);
    fs_jsonw_object_inline(w, "options");
    fs_jsonw_string(w, "network", r->network);
    fs_jsonw_string(w, "lowering", r->lowering);
    fs_jsonw_string(w, "cost", r->cost);
    fs_jsonw_string(w, "fold", r->fold);
    fs_jsonw_uint(w, "seed", r->seed);
    if (r->scaling_mode)
        fs_jsonw_string(w, "scaling", r->scaling_mode);
    else
        fs_jsonw_null(w, "scaling");
    fs_jsonw_end(w);
    char text[256];
    fs_jsonw_array(w, "faults");
    for (uint32_t i = 0; i < r->topo->n_faults; i++)
        fs_jsonw_string(w, NULL, fs_fault_text(&r->topo->faults[i], text, sizeof text));
    fs_jsonw_end(w);
}

static void known_number(fs_jsonw *w, const char *key, double value)
{
    if (value > 0)
        fs_jsonw_number(w, key, value);
    else
        fs_jsonw_null(w, key);
}

static void write_power(const fs_power *p, fs_jsonw *w)
{
    if (!(p->rated_W > 0)) {
        fs_jsonw_null(w, "power");
        return;
    }
    fs_jsonw_object_inline(w, "power");
    fs_jsonw_number(w, "facility_W", p->facility_W);
    fs_jsonw_number(w, "rated_W", p->rated_W);
    fs_jsonw_number(w, "gpus_W", p->gpus_W);
    fs_jsonw_number(w, "gpus_rated_W", p->gpus_rated_W);
    fs_jsonw_number(w, "lpus_W", p->lpus_W);
    fs_jsonw_number(w, "lpus_rated_W", p->lpus_rated_W);
    fs_jsonw_number(w, "hosts_W", p->hosts_W);
    fs_jsonw_number(w, "nics_W", p->nics_W);
    fs_jsonw_number(w, "switches_W", p->switches_W);
    fs_jsonw_number(w, "busy", p->busy);
    fs_jsonw_number(w, "pue", p->pue);
    fs_jsonw_end(w);
}

static void write_headline(const fs_result *r, fs_jsonw *w)
{
    fs_jsonw_number(w, "step_time_s", r->step_time_s);
    known_number(w, "tflops_per_gpu", r->tflops_per_gpu);
    known_number(w, "mfu", r->mfu);
    known_number(w, "hfu", r->hfu);
    known_number(w, "tokens_per_s", r->tokens_per_s);
    known_number(w, "tokens_per_s_per_gpu", r->tokens_per_s_per_gpu);
    known_number(w, "energy_j", r->power.facility_W * r->step_time_s);
    known_number(w, "tokens_per_s_per_mw", fs_result_per_mw(r));
    known_number(w, "j_per_token", fs_result_joules(r));
    write_power(&r->power, w);
    fs_memory m = r->work->totals.memory;
    double total = fs_result_memory(r);
    if (total <= 0) {
        fs_jsonw_null(w, "memory");
        return;
    }
    fs_jsonw_object_inline(w, "memory");
    fs_jsonw_number(w, "weights_bytes", m.weights);
    fs_jsonw_number(w, "gradients_bytes", m.gradients);
    fs_jsonw_number(w, "optimizer_bytes", m.optimizer);
    fs_jsonw_number(w, "activations_bytes", m.activations);
    fs_jsonw_number(w, "total_bytes", total);
    fs_jsonw_number(w, "gpu_bytes", r->gpu_mem_bytes);
    fs_jsonw_bool(w, "fits", total <= r->gpu_mem_bytes);
    fs_jsonw_end(w);
}

/* The class of the run, and how far off measured cases of it were. */
static void write_similar(const fs_result *r, fs_jsonw *w)
{
    char name[FS_SIMILAR_NAME];
    fs_similar similar = {.cases = 0};
    fs_similar_name(r, name);
    if (name[0] == '\0') {
        fs_jsonw_null(w, "similar");
        return;
    }
    bool known = fs_similar_find(name, &similar);
    fs_jsonw_object_inline(w, "similar");
    fs_jsonw_string(w, "class", name);
    fs_jsonw_string(w, "measured_class", similar.name);
    fs_jsonw_uint(w, "cases", similar.cases);
    known_number(w, "mean_error", known ? similar.mean : 0);
    fs_jsonw_end(w);
}

static void write_breakdown(const fs_result *r, fs_jsonw *w)
{
    fs_jsonw_array(w, "breakdown");
    for (uint32_t i = 0; i < r->n_breakdown; i++) {
        const fs_breakdown_row *row = &r->breakdown[i];
        fs_jsonw_object_inline(w, NULL);
        fs_jsonw_string(w, "name", row->name);
        fs_jsonw_number(w, "seconds", row->seconds);
        fs_jsonw_number(w, "max_s", row->max_s);
        fs_jsonw_uint(w, "max_rank", row->max_rank);
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

static void write_comms(const fs_result *r, fs_jsonw *w)
{
    fs_jsonw_array(w, "communication");
    for (uint32_t i = 0; i < r->n_comms; i++) {
        const fs_comm_row *row = &r->comms[i];
        fs_jsonw_object_inline(w, NULL);
        fs_jsonw_string(w, "group", row->family);
        fs_jsonw_string(w, "operation", row->what);
        fs_jsonw_number(w, "size_bytes", row->size_bytes);
        fs_jsonw_uint(w, "ranks", row->ranks);
        fs_jsonw_uint(w, "count", row->count);
        fs_jsonw_string(w, "algo", fs_algo_names[row->algo]);
        fs_jsonw_string(w, "protocol", fs_proto_names[row->proto]);
        fs_jsonw_uint(w, "channels", row->channels);
        fs_jsonw_number(w, "mean_s", row->mean_s);
        fs_jsonw_number(w, "algbw_Bps", row->algbw_Bps);
        fs_jsonw_number(w, "busbw_Bps", row->busbw_Bps);
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

static void write_tiers(const fs_result *r, fs_jsonw *w)
{
    char name[FS_LINK_NAME_SIZE];
    fs_jsonw_array(w, "tiers");
    for (uint32_t i = 0; i < r->n_tiers; i++) {
        const fs_tier_row *row = &r->tiers[i];
        fs_jsonw_object_inline(w, NULL);
        fs_jsonw_string(w, "name", row->name);
        fs_jsonw_uint(w, "links", row->links);
        fs_jsonw_number(w, "capacity_Bps", row->capacity_Bps);
        fs_jsonw_number(w, "bytes", row->bytes);
        fs_jsonw_number(w, "mean_utilization", row->mean_utilization);
        fs_jsonw_number(w, "peak_utilization", row->peak_utilization);
        if (row->busiest_link == FS_NONE)
            fs_jsonw_null(w, "busiest_link");
        else
            fs_jsonw_string(w, "busiest_link", fs_link_name(r->topo, row->busiest_link, name, sizeof name));
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

static void write_links(const fs_result *r, uint32_t top, fs_jsonw *w)
{
    char name[FS_LINK_NAME_SIZE];
    fs_jsonw_array(w, "links");
    for (uint32_t i = 0; i < r->n_links && i < top; i++) {
        const fs_link_row *row = &r->links[i];
        const fs_link link = fs_topo_link(r->topo, row->link);
        fs_jsonw_object_inline(w, NULL);
        fs_jsonw_string(w, "link", fs_link_name(r->topo, row->link, name, sizeof name));
        fs_jsonw_string(w, "tier", r->topo->tiers[r->topo->link_types[link.type].tier].name);
        fs_jsonw_uint(w, "count", row->count);
        fs_jsonw_number(w, "bytes", row->bytes);
        fs_jsonw_number(w, "mean_utilization", row->mean_utilization);
        fs_jsonw_number(w, "peak_utilization", row->peak_utilization);
        fs_jsonw_number(w, "busy_s", row->busy_s);
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

static void write_scaling(const fs_result *r, bool stable, fs_jsonw *w)
{
    fs_jsonw_array(w, "scaling");
    for (uint32_t i = 0; i < r->n_scaling; i++) {
        const fs_scaling_row *row = &r->scaling[i];
        fs_jsonw_object_inline(w, NULL);
        fs_jsonw_uint(w, "gpus", row->gpus);
        fs_jsonw_number(w, "step_time_s", row->step_time_s);
        known_number(w, "tokens_per_s", row->tokens_per_s);
        known_number(w, "tflops_per_gpu", row->tflops_per_gpu);
        known_number(w, "mfu", row->mfu);
        known_number(w, "efficiency", row->efficiency);
        fs_jsonw_number(w, "exposed", row->exposed);
        fs_jsonw_number(w, "bubble", row->bubble);
        if (row->busiest_tier)
            fs_jsonw_string(w, "busiest_tier", row->busiest_tier);
        else
            fs_jsonw_null(w, "busiest_tier");
        fs_jsonw_number(w, "busiest_utilization", row->busiest_utilization);
        known_number(w, "memory_bytes", row->memory_bytes);
        fs_jsonw_bool(w, "fits", row->fits);
        if (!stable)
            fs_jsonw_number(w, "wall_s", row->wall_s);
        fs_jsonw_end(w);
    }
    fs_jsonw_end(w);
}

static void write_counters(const fs_result *r, bool stable, fs_jsonw *w)
{
    fs_jsonw_object_inline(w, "fold");
    fs_jsonw_uint(w, "ranks", r->ranks);
    fs_jsonw_uint(w, "rank_classes", r->rank_classes);
    fs_jsonw_uint(w, "links", r->topo->n_links);
    fs_jsonw_uint(w, "link_classes", r->link_classes);
    fs_jsonw_uint(w, "transfers", r->transfers);
    fs_jsonw_uint(w, "transfer_classes", r->transfer_classes);
    fs_jsonw_end(w);
    fs_jsonw_object_inline(w, "counters");
    fs_jsonw_uint(w, "ops", r->ops);
    fs_jsonw_uint(w, "events", r->counters.events);
    fs_jsonw_uint(w, "transfers", r->counters.transfers);
    fs_jsonw_uint(w, "solves", r->counters.solves);
    fs_jsonw_uint(w, "solve_visits", r->counters.solve_visits);
    fs_jsonw_uint(w, "peak_active", r->counters.peak_active);
    fs_jsonw_end(w);
    if (!stable) {
        fs_jsonw_uint(w, "peak_memory_bytes", r->peak_memory_bytes);
        fs_jsonw_number(w, "wall_s", r->wall_s);
    }
}

void fs_report_json(const fs_result *r, const fs_report_meta *meta, fs_out *out)
{
    fs_jsonw w = fs_jsonw_start(out);
    fs_jsonw_object(&w, NULL);
    write_inputs(r, meta, &w);
    write_headline(r, &w);
    write_similar(r, &w);
    if (r->serving)
        fs_report_serving_json(r->serving, &w);
    else
        fs_jsonw_null(&w, "serving");
    write_breakdown(r, &w);
    write_comms(r, &w);
    write_tiers(r, &w);
    write_links(r, meta->top_links, &w);
    fs_report_pictures_json(r, &w);
    write_scaling(r, meta->stable, &w);
    write_counters(r, meta->stable, &w);
    fs_jsonw_end(&w);
}
