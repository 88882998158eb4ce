/* result.c - see result.h. */
#include "report/result.h"

#include "base/mem.h"

#include <string.h>

double fs_result_memory(const fs_result *result)
{
    const fs_memory *m = &result->work->totals.memory;
    return m->weights + m->gradients + m->optimizer + m->activations;
}

fs_scaling_row fs_result_scaling(const fs_result *r)
{
    static const char exposed[] = "exposed ";
    fs_scaling_row row = {.gpus = (uint32_t)r->ranks,
                          .step_time_s = r->step_time_s,
                          .tokens_per_s = r->tokens_per_s,
                          .tflops_per_gpu = r->tflops_per_gpu,
                          .mfu = r->mfu,
                          .memory_bytes = fs_result_memory(r),
                          .fits = fs_result_memory(r) <= r->gpu_mem_bytes,
                          .wall_s = r->wall_s};
    for (uint32_t i = 0; i < r->n_breakdown && r->step_time_s > 0; i++) {
        double part = r->breakdown[i].seconds / r->step_time_s;
        if (strncmp(r->breakdown[i].name, exposed, sizeof exposed - 1) == 0)
            row.exposed += part;
        else if (strcmp(r->breakdown[i].name, "bubble") == 0)
            row.bubble += part;
    }
    if (r->n_links > 0) {
        uint32_t type = fs_topo_link(r->topo, r->links[0].link).type;
        row.busiest_tier = r->topo->tiers[r->topo->link_types[type].tier].name;
        row.busiest_utilization = r->links[0].mean_utilization;
    }
    return row;
}

void fs_scaling_finish(fs_scaling_row *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        double tokens = rows[0].tokens_per_s / rows[0].gpus;
        if (tokens > 0)
            rows[i].efficiency = rows[i].tokens_per_s / rows[i].gpus / tokens;
        else if (rows[0].tflops_per_gpu > 0)
            rows[i].efficiency = rows[i].tflops_per_gpu / rows[0].tflops_per_gpu;
    }
}

void fs_result_free(fs_result *result)
{
    fs_outline_free(result->pictures.outline);
    fs_spans_free(result->pictures.spans);
    fs_arena_free(result->arena);
    *result = (fs_result){0};
}

double fs_result_per_mw(const fs_result *r)
{
    return r->power.facility_W > 0 ? r->tokens_per_s / (r->power.facility_W * 1e-6) : 0;
}

double fs_result_joules(const fs_result *r)
{
    return r->tokens_per_s > 0 ? r->power.facility_W / r->tokens_per_s : 0;
}
