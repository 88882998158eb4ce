/* nccl_cost.c - see nccl_cost.h. NCCL's model:  time = latency(algorithm, protocol, steps) + bytes / bandwidth, the
 * bandwidth reduced by a factor per algorithm and protocol.
 *
 * A factor below 1 has two parts. What is bytes goes on the wire: LL sends a 4 B flag with each 4 B (factor 2), LL128
 * 8 B of flags in each 128 B (128/120). The rest is GPUs that cannot keep the links busy: it is paid as time
 * beside the transfer (wait_s), so that bytes per link stay true and others may use the idle links.
 *
 * Not modelled: caps per channel (perChMax...), which bind by NCCL's own channel count and never on a full board. */
#include "coll/nccl_cost.h"

#include <math.h>

enum { NVLINK, PCI, NET, HARDWARE };
enum { TREE, RING, NVLS, NVLSTREE, PAT, ROWS };
enum { LL, LL128, SIMPLE, COLUMNS };

#define US 1e-6
#define GBPS 1e9

/* baseLatency, us. */
static const double base_us[ROWS][COLUMNS] = {
    [TREE] = {6.8, 14.0, 8.4}, [RING] = {6.6, 14.0, 8.4}, [NVLS] = {0}, [NVLSTREE] = {0}, [PAT] = {8, 8, 8}};

/* hwLatency, us per step. */
static const double hop_us[HARDWARE][ROWS][COLUMNS] = {
    [NVLINK] = {[TREE] = {0.6, 1.25, 4.0},
                [RING] = {0.6, 1.9, 3.4},
                [NVLS] = {0, 0, 25},
                [NVLSTREE] = {0, 0, 25},
                [PAT] = {0, 0, 4}},
    [PCI] = {[TREE] = {1.0, 1.9, 4.0}, [RING] = {1.0, 2.5, 5.7}, [NVLS] = {0}, [NVLSTREE] = {0}, [PAT] = {0, 0, 4}},
    [NET] = {[TREE] = {5.0, 8.5, 14},
             [RING] = {2.7, 4.0, 14.0},
             [NVLS] = {0, 0, 18},
             [NVLSTREE] = {0, 0, 20.9},
             [PAT] = {0, 0, 14}}};

/* llMaxBw, GB/s of bus bandwidth: by architecture on one node; on 2 and on more nodes the row of Intel hosts. */
static const double ll_max_one_node[] = {
    [FS_ARCH_NONE] = 39, [FS_PASCAL] = 39,  [FS_VOLTA] = 39,      [FS_TURING] = 39,
    [FS_AMPERE] = 87.7,  [FS_HOPPER] = 141, [FS_BLACKWELL] = 282, [FS_RUBIN] = 282};
static const double ll_max_two_nodes = 39, ll_max_more_nodes = 20.4;

/* treeCorrection: factor on the bandwidth at 64 B, 128 B, ... 512 MiB. */
enum { CORRECTIONS = 24, CORRECTION_FIRST_LOG2 = 6 };
static const double tree_correction[COLUMNS][CORRECTIONS] = {
    [LL] = {1, 1, 1, 1, .9, .8, .7, .7, .7, .7, .6, .5, .4, .4, .5, .6, .7, .8, .9, 1, 1, 1, 1, 1},
    [LL128] = {1, 1, 1, 1, 1, .9, .8, .8, .8, .7, .6, .6, .6, .6, .6, .6, .8, .9, .9, .9, .9, 1, 1, 1},
    [SIMPLE] = {.9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5, .5, .5, .5, .6, .7, .8, .7, .7, .8, .9, .9, .9}};

/* Share of the links' rate that an algorithm or protocol reaches. */
static const double tree_efficiency = 0.92;  /* waiting where the tree branches */
static const double ll128_efficiency = 0.92; /* 120/128 = 0.9375, less what is seen */
static const double tree_ll_slowdown = 3.8;  /* of the tree with LL against Simple */
static const double tree_ll128_one_node = 7.0 / 9.0;
static const double pat_efficiency = 0.75;
static const double pat_hop_divisor = 3.5, pat_rank_us = 2.8; /* steps overlap; and "still a linear part" */
static const double nvls_efficiency_hopper = 0.85, nvls_efficiency_blackwell = 0.74;
/* One sixth of the time of an NVLS all_reduce goes to its stages' hand-over: NCCL 2.25.1, src/graph/tuning.cc line 292;
 * 2.30.7 counts channels instead, (c - 1)/c. */
static const double nvls_all_reduce_ratio = 5.0 / 6.0;

/* Rings between nodes pay more latency once the chunks are full ("plateau effect of ring"). */
static const double plateau_before_ampere = 1.9, plateau = 1.4;
static const double plateau_bytes = 64;     /* per channel and rank */
static const double ll_between_nodes = 1.8; /* NCCL 2.8 to 2.30: LL steps in a node of several */
static const double net_overhead_us = 1.0, net_overhead_simple = 3.0; /* Intel host; times 3 for Simple */

static uint32_t hardware_of(uint32_t link_class)
{
    return link_class == FS_CLASS_NET                                    ? NET
           : link_class == FS_CLASS_NVLINK || link_class == FS_CLASS_C2C ? NVLINK
                                                                         : PCI;
}

/* Sends and all-to-alls are not in NCCL's table: they take the ring's latency for one step. SHARP in the network with
 * NVLS in the nodes is NCCL's NVLS over several nodes. */
static uint32_t row_of(fs_algo algo)
{
    switch (algo) {
    case FS_ALGO_TREE: return TREE;
    case FS_ALGO_NVLS:
    case FS_ALGO_SHARP: return NVLS;
    case FS_ALGO_NVLSTREE: return NVLSTREE;
    case FS_ALGO_PAT: return PAT;
    case FS_ALGO_AUTO:
    case FS_ALGO_RING:
    case FS_ALGO_DIRECT:
    case FS_ALGO_CHAIN:
    case FS_ALGO_HIERARCHICAL:
    case FS_ALGOS: break;
    }
    return RING;
}

/* NCCL runs these with the Simple protocol alone, and what it does not know is not given flags either. */
static bool only_simple(fs_algo algo)
{
    return algo == FS_ALGO_NVLS || algo == FS_ALGO_NVLSTREE || algo == FS_ALGO_SHARP || algo == FS_ALGO_PAT ||
           algo == FS_ALGO_HIERARCHICAL;
}

static uint32_t column_of(fs_proto proto)
{
    return proto == FS_PROTO_LL ? LL : proto == FS_PROTO_LL128 ? LL128 : SIMPLE;
}

double fs_nccl_wire(fs_proto proto)
{
    return proto == FS_PROTO_LL ? 2.0 : proto == FS_PROTO_LL128 ? 128.0 / 120.0 : 1.0;
}

double fs_nccl_hop(fs_algo algo, fs_proto proto, uint32_t link_class)
{
    return hop_us[hardware_of(link_class)][row_of(algo)][column_of(proto)] * US;
}

double fs_nccl_launch(fs_algo algo, fs_proto proto)
{
    return base_us[row_of(algo)][column_of(proto)] * US;
}

bool fs_nccl_has(const fs_nccl_run *run)
{
    switch (run->proto) {
    case FS_PROTO_SIMPLE: return true;
    case FS_PROTO_LL: return !only_simple(run->algo);
    case FS_PROTO_LL128: /* needs 128 B stores that arrive whole: NVLink, Volta or later; no sends */
        return !only_simple(run->algo) && run->algo != FS_ALGO_DIRECT && run->arch >= FS_VOLTA &&
               hardware_of(run->intra_class) == NVLINK;
    case FS_PROTO_AUTO:
    case FS_PROTOS: break;
    }
    return false;
}

static double ring_latency_us(const fs_nccl_run *run, double intra, double inter)
{
    bool all_reduce = run->kind == FS_ALL_REDUCE;
    double turns = all_reduce ? 2.0 : 1.0, steps = turns * (run->n - 1), inter_steps = turns * (run->n_nodes - 1);
    if (run->n_nodes > 1)
        intra = fmax(intra, net_overhead_us * (run->proto == FS_PROTO_SIMPLE ? net_overhead_simple : 1.0));
    double hops = (steps - inter_steps) * intra + inter_steps * inter;
    double total = base_us[RING][column_of(run->proto)] + hops;
    if (all_reduce && run->proto == FS_PROTO_SIMPLE && run->n_nodes > 1 &&
        run->size_bytes >= plateau_bytes * run->channels * run->n)
        total *= run->arch < FS_AMPERE ? plateau_before_ampere : plateau;
    return total;
}

static uint32_t floor_log2(double x)
{
    int exponent = 0;
    return x < 1.0 ? 0 : (frexp(x, &exponent), (uint32_t)(exponent - 1));
}

/* Three rings one after the other, two where nothing is reduced or nothing gathered: not NCCL's, but each ring is. */
static double hierarchical_latency_us(const fs_nccl_run *run, double intra, double inter)
{
    bool all_reduce = run->kind == FS_ALL_REDUCE;
    double per_node = run->n / run->n_nodes, turns = all_reduce ? 2.0 : 1.0, rings = 0.0;
    rings += per_node > 1 ? turns : 0.0;
    rings += run->n_nodes > 1 ? 1.0 : 0.0;
    return rings * base_us[RING][column_of(run->proto)] + turns * (per_node - 1) * intra +
           turns * (run->n_nodes - 1) * inter;
}

static double latency_us(const fs_nccl_run *run)
{
    uint32_t row = row_of(run->algo), column = column_of(run->proto);
    uint32_t per_node = run->n / run->n_nodes; /* whole, as NCCL counts */
    double intra = hop_us[hardware_of(run->intra_class)][row][column];
    /* With one rank a node nothing hides the network's latency: the tree's figure, as in NCCL. */
    double inter = hop_us[NET][run->n == run->n_nodes ? TREE : row][column];
    if (run->n_nodes > 1 && run->proto == FS_PROTO_LL)
        intra *= ll_between_nodes;
    switch (run->algo) {
    case FS_ALGO_TREE: return base_us[TREE][column] + 2 * ((per_node - 1) * intra + floor_log2(run->n_nodes) * inter);
    case FS_ALGO_NVLS: return base_us[NVLS][column] + intra;
    case FS_ALGO_SHARP: return base_us[NVLS][column] + intra + inter;
    case FS_ALGO_NVLSTREE: return base_us[NVLSTREE][column] + intra + 2 * floor_log2(run->n_nodes) * inter;
    case FS_ALGO_PAT:
        return base_us[PAT][column] + floor_log2(run->n_nodes) * inter / pat_hop_divisor + run->n * pat_rank_us;
    case FS_ALGO_HIERARCHICAL: return hierarchical_latency_us(run, intra, inter);
    case FS_ALGO_DIRECT: return base_us[RING][column] + (run->n_nodes > 1 ? inter : intra);
    case FS_ALGO_AUTO:
    case FS_ALGO_RING:
    case FS_ALGO_CHAIN:
    case FS_ALGOS: break;
    }
    return ring_latency_us(run, intra, inter);
}

static double ll_max(const fs_nccl_run *run)
{
    double GBps = run->n_nodes == 1   ? ll_max_one_node[run->arch]
                  : run->n_nodes == 2 ? ll_max_two_nodes
                                      : ll_max_more_nodes;
    return GBps * GBPS;
}

/* Seconds that the bytes take with everything that NCCL says slows them, latency apart. */
static double tree_seconds(const fs_nccl_run *run)
{
    uint32_t column = column_of(run->proto), step = floor_log2(run->size_bytes / (1 << CORRECTION_FIRST_LOG2));
    double seconds = run->stream_s / tree_efficiency;
    if (run->proto == FS_PROTO_LL)
        seconds = fmax(seconds * tree_ll_slowdown, 2.0 * run->size_bytes / ll_max(run)); /* busbw = 2 x algbw */
    if (run->proto == FS_PROTO_LL128)
        seconds /= run->n_nodes == 1 ? tree_ll128_one_node : 120.0 / 128.0;
    return step < CORRECTIONS ? seconds / tree_correction[column][step] : seconds;
}

static double nvls_seconds(const fs_nccl_run *run)
{
    double efficiency = run->arch >= FS_BLACKWELL ? nvls_efficiency_blackwell : nvls_efficiency_hopper;
    if (run->kind != FS_ALL_REDUCE)
        return run->stream_s / efficiency;
    /* NCCL counts from the NVLinks' rate for the payload; nvlink_s holds 1 + 1/ranks of a node times that (nvls.c). */
    double payload_s = run->nvlink_s / (1.0 + 1.0 / (run->n / run->n_nodes));
    return fmax(run->stream_s, payload_s / (efficiency * nvls_all_reduce_ratio));
}

static double ring_seconds(const fs_nccl_run *run)
{
    double turns = run->kind == FS_ALL_REDUCE ? 2.0 : 1.0;
    if (run->proto == FS_PROTO_LL)
        return fmax(run->stream_s * fs_nccl_wire(FS_PROTO_LL),
                    turns * run->size_bytes * (run->n - 1) / run->n / ll_max(run));
    return run->proto == FS_PROTO_LL128 ? run->stream_s / ll128_efficiency : run->stream_s;
}

fs_nccl_time fs_nccl_cost(const fs_nccl_run *run)
{
    double wire = fs_nccl_wire(run->proto), seconds = run->stream_s * wire;
    if (run->algo == FS_ALGO_TREE)
        seconds = tree_seconds(run);
    else if (row_of(run->algo) == NVLS || row_of(run->algo) == NVLSTREE)
        seconds = nvls_seconds(run);
    else if (run->algo == FS_ALGO_PAT)
        seconds = run->stream_s / pat_efficiency;
    else if (run->algo != FS_ALGO_DIRECT && run->algo != FS_ALGO_HIERARCHICAL)
        seconds = ring_seconds(run);
    return (fs_nccl_time){
        .wire = wire, .latency_s = latency_us(run) * US, .wait_s = fmax(0.0, seconds - wire * run->stream_s)};
}
