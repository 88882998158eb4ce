/* report_csv.c - the tables of a result as CSV files (RFC 4180), one header line each, SI units. */
#include "base/mem.h"
#include "base/num.h"
#include "report/report_in.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { NUMBER = 40 }; /* bytes of a formatted number */

/* Names come from traces and may hold anything: quote always. */
static void write_quoted(fs_out *out, const char *text)
{
    fs_out_puts(out, "\"");
    for (; *text; text++) {
        if (*text == '"')
            fs_out_puts(out, "\"");
        fs_out_write(out, text, 1);
    }
    fs_out_puts(out, "\"");
}

static void write_numbers(fs_out *out, const double *values, size_t count)
{
    char text[NUMBER];
    for (size_t i = 0; i < count; i++)
        fs_out_printf(out, ",%s", fs_format_exact(values[i], text, sizeof text));
    fs_out_puts(out, "\n");
}

static void write_breakdown(const fs_result *r, fs_out *out)
{
    fs_out_puts(out, "name,max_rank,seconds,max_s\n");
    for (uint32_t i = 0; i < r->n_breakdown; i++) {
        const fs_breakdown_row *row = &r->breakdown[i];
        write_quoted(out, row->name);
        fs_out_printf(out, ",%u", row->max_rank);
        write_numbers(out, (double[]){row->seconds, row->max_s}, 2);
    }
}

static void write_tiers(const fs_result *r, fs_out *out)
{
    fs_out_puts(out, "tier,links,capacity_Bps,bytes,mean_utilization,peak_utilization\n");
    for (uint32_t i = 0; i < r->n_tiers; i++) {
        const fs_tier_row *row = &r->tiers[i];
        write_quoted(out, row->name);
        fs_out_printf(out, ",%u", row->links);
        write_numbers(out, (double[]){row->capacity_Bps, row->bytes, row->mean_utilization, row->peak_utilization}, 4);
    }
}

static void write_links(const fs_result *r, fs_out *out)
{
    fs_out_puts(out, "link,source,destination,tier,bytes,mean_utilization,peak_utilization,busy_s,count\n");
    for (uint32_t i = 0; i < r->n_links; i++) {
        const fs_link_row *row = &r->links[i];
        const fs_link link = fs_topo_link(r->topo, row->link);
        fs_out_printf(out, "%u,", row->link);
        write_quoted(out, FS_DEVICE_NAME(r->topo, link.src));
        fs_out_puts(out, ",");
        write_quoted(out, FS_DEVICE_NAME(r->topo, link.dst));
        fs_out_puts(out, ",");
        write_quoted(out, r->topo->tiers[r->topo->link_types[link.type].tier].name);
        write_numbers(
            out, (double[]){row->bytes, row->mean_utilization, row->peak_utilization, row->busy_s, (double)row->count},
            5);
    }
}

static void write_comms(const fs_result *r, fs_out *out)
{
    fs_out_puts(out, "group,operation,algo,protocol,channels,ranks,count,size_bytes,mean_s,algbw_Bps,busbw_Bps\n");
    for (uint32_t i = 0; i < r->n_comms; i++) {
        const fs_comm_row *row = &r->comms[i];
        write_quoted(out, row->family);
        fs_out_printf(out, ",%s,%s,%s,%u,%u,%" PRIu64, row->what, fs_algo_names[row->algo], fs_proto_names[row->proto],
                      row->channels, row->ranks, row->count);
        write_numbers(out, (double[]){row->size_bytes, row->mean_s, row->algbw_Bps, row->busbw_Bps}, 4);
    }
}

static void write_scaling(const fs_result *r, fs_out *out)
{
    fs_out_puts(out, "gpus,busiest_tier,step_time_s,tokens_per_s,tflops_per_gpu,mfu,efficiency,exposed,bubble,"
                     "busiest_utilization,memory_bytes\n");
    for (uint32_t i = 0; i < r->n_scaling; i++) {
        const fs_scaling_row *row = &r->scaling[i];
        fs_out_printf(out, "%u,", row->gpus);
        write_quoted(out, row->busiest_tier ? row->busiest_tier : "");
        write_numbers(out,
                      (double[]){row->step_time_s, row->tokens_per_s, row->tflops_per_gpu, row->mfu, row->efficiency,
                                 row->exposed, row->bubble, row->busiest_utilization, row->memory_bytes},
                      9);
    }
}

static void write_pools(const fs_result *r, fs_out *out)
{
    fs_out_puts(out,
                "pool,role,part,lpu,replicas,gpus,iterations,preemptions,kv_blocks,ffn,micro_batches,bound,mean_batch,"
                "busy,compute,prompt_tokens_per_s,kv_mean,kv_peak,kv_sent_bytes,weight_bytes,kv_bytes,gpu_bytes,"
                "attention_queue,attention,there,ffn_queue,ffn_work,back\n");
    for (uint32_t i = 0; i < r->serving->n_pools; i++) {
        const fs_pool_row *p = &r->serving->pools[i];
        write_quoted(out, p->name);
        const fs_afd_row *a = &p->afd;
        fs_out_printf(out, ",%s,", p->role);
        write_quoted(out, p->part);
        fs_out_printf(out, ",%d,%u,%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",", p->lpu, p->replicas, p->gpus,
                      p->iterations, p->preemptions, p->kv_blocks);
        if (a->ffn)
            write_quoted(out, a->ffn);
        fs_out_printf(out, ",%u,%s", a->micro_batches, a->bound ? a->bound : "");
        write_numbers(out,
                      (double[]){p->mean_batch, p->busy, p->compute, p->prompt_tokens_per_s, p->kv_mean, p->kv_peak,
                                 p->kv_sent_bytes, p->weight_bytes, p->kv_bytes, p->gpu_bytes, a->attention_queue,
                                 a->attention, a->there, a->ffn_queue, a->ffn_work, a->back},
                      16);
    }
}

/* A request that was rejected has no replica and no times. */
static void write_requests(const fs_result *r, fs_out *out)
{
    fs_out_puts(
        out, "request,count,input,output,priority,replica,decode_replica,cached,preemptions,arrival_s,start_s,first_s,"
             "landed_s,done_s\n");
    for (uint32_t i = 0; i < r->serving->n_rows; i++) {
        const fs_request_row *q = &r->serving->requests[i];
        char replica[16] = "", target[16] = "";
        if (!q->rejected)
            snprintf(replica, sizeof replica, "%u", q->replica);
        if (q->target != FS_NONE)
            snprintf(target, sizeof target, "%u", q->target);
        fs_out_printf(out, "%u,%u,%u,%u,%u,%s,%s,%u,%u", i, q->count, q->input, q->output, q->priority, replica, target,
                      q->cached, q->preemptions);
        char arrival[NUMBER];
        if (q->rejected)
            fs_out_printf(out, ",%s,,,,\n", fs_format_exact(q->arrival_s, arrival, sizeof arrival));
        else
            write_numbers(out, (double[]){q->arrival_s, q->start_s, q->first_s, q->landed_s, q->done_s}, 5);
    }
}

static fs_status write_file(const fs_result *r, const char *directory, const char *name,
                            void (*write)(const fs_result *, fs_out *), fs_err *err)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = fs_alloc(size, 1);
    if (path == NULL)
        return fs_fail_nomem(err);
    snprintf(path, size, "%s/%s", directory, name);
    fs_out *out = NULL;
    fs_status status = fs_out_open(path, &out, err);
    if (status == FS_OK) {
        write(r, out);
        status = fs_out_close(out, err);
    }
    fs_free(path);
    return status;
}

fs_status fs_report_csv(const fs_result *result, const char *directory, fs_err *err)
{
    static const struct {
        const char *name;
        void (*write)(const fs_result *, fs_out *);
    } files[] = {{"breakdown.csv", write_breakdown}, {"tiers.csv", write_tiers},     {"links.csv", write_links},
                 {"comms.csv", write_comms},         {"scaling.csv", write_scaling}, {"pools.csv", write_pools},
                 {"requests.csv", write_requests}};
    enum { SCALING = 4, POOLS, REQUESTS };
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return fs_fail(err, FS_E_IO, "cannot make directory '%s': %s", directory, strerror(errno));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if ((i == SCALING && result->n_scaling == 0) || ((i == POOLS || i == REQUESTS) && !result->serving))
            continue;
        fs_status status = write_file(result, directory, files[i].name, files[i].write, err);
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}
