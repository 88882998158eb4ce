/* nccl_belief.c - NCCL's tuning model, by which it chooses (src/graph/tuning.cc; constants: nccl_table.h). See nccl_cost.h.
 *
 *     time = latency(algorithm, protocol, steps) + bytes / bandwidth
 *
 * with the bandwidth that NCCL gives the links, times a factor per algorithm and protocol. */
#include "coll/nccl_cost.h"

#include <math.h>

/* Share of the links' rate that an algorithm or protocol reaches, as NCCL has it. */
static const double tree_efficiency = 0.92, ll128_efficiency = 0.92, tree_ll_slowdown = 3.8,
                    tree_ll128_one_node = 7.0 / 9.0, pat_efficiency = 0.75;
static const double pat_hop_divisor = 3.5, pat_rank_s = 2.8e-6; /* steps overlap; and "still a linear part" */
/* Rings between nodes pay more latency once the chunks are full ("plateau effect of ring"). */
static const double plateau_before_ampere = 1.9, plateau = 1.4;
static const double plateau_bytes = 64;                               /* per channel and rank */
static const double net_overhead_s = 1e-6, net_overhead_simple = 3.0; /* Intel host; times 3 for Simple */
static const double split_Bps = 25e9; /* a channel of that rate becomes two (search.cc) */
enum { CORRECTION_FIRST_LOG2 = 6 };

static double ring_latency(const fs_nccl_table *t, const fs_nccl_run *run, double near, double far)
{
    double intra, inter, base = t->base_s[FS_NCCL_RING][fs_nccl_column_of(run->proto)];
    if (run->kind == FS_BROADCAST || run->kind == FS_REDUCE) /* one pipeline: "sameChannels" */
        return base + (run->n_nodes > 1 ? far : near);
    fs_nccl_ring_steps(run, &intra, &inter);
    if (run->n_nodes > 1)
        near = fmax(near, net_overhead_s * (run->proto == FS_PROTO_SIMPLE ? net_overhead_simple : 1.0));
    double total = base + intra * near + inter * far;
    if (run->kind == FS_ALL_REDUCE && run->proto == FS_PROTO_SIMPLE && run->n_nodes > 1 &&
        run->size_bytes >= plateau_bytes * run->channels * run->n)
        total *= run->arch < FS_AMPERE ? plateau_before_ampere : plateau;
    return total;
}

static double latency(const fs_nccl_table *t, const fs_nccl_run *run)
{
    uint32_t row = fs_nccl_row_of(run->algo), column = fs_nccl_column_of(run->proto);
    double per_node = run->n / run->n_nodes, levels = fs_nccl_floor_log2(run->n_nodes);
    double base = t->base_s[row][column], near = t->hop_s[fs_nccl_hardware_of(run->intra_class)][row][column];
    /* With one rank a node nothing hides the network's latency: the tree's figure, as in NCCL. */
    double far = t->hop_s[FS_NCCL_NET][run->n == run->n_nodes ? FS_NCCL_TREE : row][column];
    switch (run->algo) {
    case FS_ALGO_TREE: return base + 2.0 * ((per_node - 1.0) * near + levels * far);
    case FS_ALGO_NVLS: return base + near;
    case FS_ALGO_SHARP: return base + near + t->hop_s[FS_NCCL_NET][FS_NCCL_NVLS][column];
    case FS_ALGO_NVLSTREE: return base + near + 2.0 * levels * far;
    case FS_ALGO_PAT: return base + levels * far / pat_hop_divisor + run->n * pat_rank_s;
    case FS_ALGO_DIRECT: return base + (run->n_nodes > 1 ? far : near);
    case FS_ALGO_AUTO:
    case FS_ALGO_RING:
    case FS_ALGO_CHAIN:
    case FS_ALGO_HIERARCHICAL:
    case FS_ALGO_ONESHOT:
    case FS_ALGO_TWOSHOT:
    case FS_ALGO_FORWARDED:
    case FS_ALGO_LOWLATENCY:
    case FS_ALGOS: break;
    }
    return ring_latency(t, run, near, far);
}

static double ll_max(const fs_nccl_table *t, const fs_nccl_run *run)
{
    return t->ll_max_Bps[run->arch][run->n_nodes < 3 ? run->n_nodes - 1 : 2];
}

/* NCCL's channels between nodes: one for each adapter, two where a channel would carry 25 GB/s or more. */
static double net_channels(const fs_nccl_run *run, double bus_s)
{
    double rail_Bps = 2.0 * run->size_bytes / (bus_s * run->channels);
    return run->channels * (rail_Bps >= split_Bps ? 2.0 : 1.0);
}

/* NCCL gives a tree half of the bus's rate. On more than two nodes that is what inner nodes' adapters carry; on two they could do
 * twice as much, and so could the NVLinks of one. */
static double tree_seconds(const fs_nccl_table *t, const fs_nccl_run *run)
{
    uint32_t step = fs_nccl_floor_log2(run->size_bytes / (1 << CORRECTION_FIRST_LOG2));
    double bus_s =
        run->n_nodes == 1 ? 2.0 * run->stream_s : fmax(run->stream_s, run->n_nodes == 2 ? 2.0 * run->nic_s : 0.0);
    double seconds = bus_s / tree_efficiency;
    if (run->n_nodes > 1 && bus_s > 0.0)
        seconds = fmax(seconds, 2.0 * run->size_bytes /
                                    (net_channels(run, bus_s) * t->tree_channel_Bps[run->arch][run->n_nodes > 2]));
    if (run->proto == FS_PROTO_LL)
        seconds = fmax(seconds * tree_ll_slowdown, 2.0 * run->size_bytes / ll_max(t, run)); /* busbw = 2 x algbw */
    if (run->proto == FS_PROTO_LL128)
        seconds /= run->n_nodes == 1 ? tree_ll128_one_node : 120.0 / 128.0;
    return step < FS_NCCL_CORRECTIONS ? seconds / t->tree_correction[fs_nccl_column_of(run->proto)][step] : seconds;
}

static double nvls_seconds(const fs_nccl_table *t, const fs_nccl_run *run)
{
    const fs_nccl_release *release = &t->releases[t->release];
    double efficiency = t->nvls[run->arch];
    if (run->kind != FS_ALL_REDUCE)
        return run->stream_s / efficiency;
    /* NCCL counts from the NVLinks' rate for the payload; nvlink_s holds 1 + 1/ranks of a node times that (nvls.c). */
    double payload_s = run->nvlink_s / (1.0 + 1.0 / (run->n / run->n_nodes));
    return fmax(run->stream_s, payload_s / (efficiency * release->nvls_all_reduce));
}

static double ring_seconds(const fs_nccl_table *t, const fs_nccl_run *run)
{
    double turns = run->kind == FS_ALL_REDUCE ? 2.0 : 1.0, payload = turns * run->size_bytes * (run->n - 1) / run->n;
    if (run->proto == FS_PROTO_LL)
        return fmax(run->stream_s * fs_nccl_wire(FS_PROTO_LL), payload / ll_max(t, run));
    if (run->proto == FS_PROTO_LL128)
        return fmax(run->stream_s / ll128_efficiency, payload / t->ll128_max_Bps[run->arch]);
    return run->stream_s;
}

double fs_nccl_belief(const fs_nccl_table *t, const fs_nccl_run *run)
{
    switch (run->algo) {
    case FS_ALGO_TREE: return latency(t, run) + tree_seconds(t, run);
    case FS_ALGO_NVLS:
    case FS_ALGO_NVLSTREE:
    case FS_ALGO_SHARP: return latency(t, run) + nvls_seconds(t, run);
    case FS_ALGO_PAT: return latency(t, run) + run->stream_s / pat_efficiency;
    case FS_ALGO_DIRECT: /* not by time: by the size of a message */
    case FS_ALGO_AUTO:
    case FS_ALGO_RING:
    case FS_ALGO_CHAIN:
    case FS_ALGO_HIERARCHICAL:
    case FS_ALGO_ONESHOT:
    case FS_ALGO_TWOSHOT:
    case FS_ALGO_FORWARDED:
    case FS_ALGO_LOWLATENCY:
    case FS_ALGOS: break;
    }
    return latency(t, run) + ring_seconds(t, run);
}
