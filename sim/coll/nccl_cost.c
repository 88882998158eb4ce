/* nccl_cost.c - see nccl_cost.h. With P serial steps (of a ring; all else is one pipeline) of c seconds for the bytes each and
 * latency L each, c as fast as the slower of links and GPUs:
 *
 *     time = launch + P (c^q + L^q)^(1/q) + wire + (fill x W + flight x wire) c / (c + W) + (drain + copy) g D / (g + D)
 *
 * q = 1: latency adds to each step. q > 1: a chunk's slices hide part of it (of a ring; one pipeline has its latency once), but not
 * of what links, switches and NICs between domains take (wire). The fill is what does not overlap at the ends of the
 * pipeline (the first slices, the copy out of the last ones), which grows with the chunk until NCCL's buffers are full: W is what
 * they hold. g is a chunk's time on a GPU: after the P steps that send, each round of a ring has one that only receives ("drain"), done
 * by the same blocks, while the links idle; with two GPUs it is half as many steps again. An all_gather besides copies a rank's own part.
 * With many rounds (D, "drift") the channels drift apart and use each other's idle links.
 *
 * What is bytes goes on the wire: LL sends a 4 B flag with each 4 B (factor 2), LL128 8 B of flags in each 128 B (128/120). The
 * rest is GPUs that cannot keep the links busy: it is paid as time beside the transfer, so that bytes per link stay true and others
 * may use the idle links. */
#include "coll/nccl_cost.h"

#include "coll/copies.h"

#include <math.h>

static const double threads = 512,
                    thread_bytes = 8; /* NCCL_LL_MAX_NTHREADS, NCCL_LL_THREAD_THRESHOLD (devcomm.h, from memory) */

double fs_nccl_wire(fs_proto proto)
{
    return proto == FS_PROTO_LL ? 2.0 : proto == FS_PROTO_LL128 ? 128.0 / 120.0 : 1.0;
}

/* NCCL runs these with the Simple protocol alone, and what it does not know is not given flags either. */
static bool only_simple(fs_algo algo)
{
    return algo == FS_ALGO_NVLS || algo == FS_ALGO_NVLSTREE || algo == FS_ALGO_SHARP || algo == FS_ALGO_PAT ||
           algo == FS_ALGO_HIERARCHICAL || algo == FS_ALGO_ONESHOT || algo == FS_ALGO_TWOSHOT ||
           algo == FS_ALGO_FORWARDED || algo == FS_ALGO_LOWLATENCY;
}

bool fs_nccl_has(const fs_nccl_run *run)
{
    switch (run->proto) {
    case FS_PROTO_SIMPLE: return true;
    case FS_PROTO_LL: return !only_simple(run->algo);
    case FS_PROTO_LL128: /* needs 128 B stores that arrive whole: NVLink, Volta or later; no sends */
        return !only_simple(run->algo) && run->algo != FS_ALGO_DIRECT && run->arch >= FS_VOLTA &&
               fs_nccl_hardware_of(run->intra_class) == FS_NCCL_NVLINK;
    case FS_PROTO_AUTO:
    case FS_PROTOS: break;
    }
    return false;
}

void fs_nccl_ring_steps(const fs_nccl_run *run, double *intra, double *inter)
{
    double turns = run->kind == FS_ALL_REDUCE ? 2.0 : 1.0;
    *inter = turns * (run->n_nodes - 1);
    *intra = turns * (run->n - 1) - *inter;
}

uint32_t fs_nccl_floor_log2(double x)
{
    int exponent = 0;
    return x < 1.0 ? 0 : (frexp(x, &exponent), (uint32_t)(exponent - 1));
}

static const fs_nccl_takes *takes_of(const fs_nccl_table *table, fs_arch arch, fs_algo algo, fs_proto proto)
{
    return &table->takes[arch][fs_nccl_row_of(algo)][fs_nccl_column_of(proto)];
}

double fs_nccl_hop(const fs_nccl_table *table, fs_arch arch, fs_algo algo, fs_proto proto, uint32_t link_class)
{
    return takes_of(table, arch, algo, proto)->hop_s[fs_nccl_hardware_of(link_class)];
}

double fs_nccl_launch(const fs_nccl_table *table, fs_arch arch, fs_algo algo, fs_proto proto)
{
    return takes_of(table, arch, algo, proto)->launch_s;
}

/* Whom a rank sends to, or gets from. */
static double peers(const fs_nccl_run *run)
{
    return run->apart > 0 ? fmax(run->apart, run->n - run->apart) : run->n - 1.0;
}

/* How far the blocks of a small collective are filled with threads, which then wait for each other at each step: NCCL starts one
 * block with few, and more blocks once that is full (threads x bytes of each; a ring's LL has that for each rank). */
static double crowd(const fs_nccl_run *run)
{
    double full_bytes = threads * thread_bytes * (run->algo == FS_ALGO_RING ? run->n : 1.0);
    return fmin(run->size_bytes / (2.0 * full_bytes), 1.0);
}

/* Latency of all steps together. */
static double steps_s(const fs_nccl_table *table, const fs_nccl_takes *t, const fs_nccl_run *run)
{
    double near = t->hop_s[fs_nccl_hardware_of(run->intra_class)] * (1.0 + t->crowd * crowd(run));
    /* With one rank a node nothing hides the network's latency: a tree's figure, as NCCL believes. */
    bool exposed = run->algo == FS_ALGO_RING && run->n == run->n_nodes;
    double far = (exposed ? takes_of(table, run->arch, FS_ALGO_TREE, run->proto) : t)->hop_s[FS_NCCL_NET], intra, inter;
    double levels = fs_nccl_floor_log2(run->n_nodes), per_node = run->n / run->n_nodes; /* whole, as NCCL counts */
    fs_nccl_ring_steps(run, &intra, &inter);
    switch (run->algo) {
    case FS_ALGO_TREE: return 2.0 * ((per_node - 1.0) * near + levels * far);
    case FS_ALGO_NVLS: return near;
    case FS_ALGO_NVLSTREE: return near + 2.0 * levels * far;
    case FS_ALGO_SHARP: return near + far;
    case FS_ALGO_PAT: return levels * far + run->n * near;
    case FS_ALGO_ONESHOT:
    case FS_ALGO_TWOSHOT: return (run->n - 1) * near;
    case FS_ALGO_FORWARDED:
    case FS_ALGO_LOWLATENCY:
    case FS_ALGO_DIRECT: return peers(run) * near + (run->n_nodes > 1 ? far : 0.0);
    case FS_ALGO_AUTO:
    case FS_ALGO_RING:
    case FS_ALGO_CHAIN:
    case FS_ALGO_HIERARCHICAL:
    case FS_ALGOS: break;
    }
    return intra * near + inter * far;
}

/* NVLS has a buffer for each GPU of a domain, since each is the head of a part; others have one a channel. */
static double buffers(const fs_nccl_run *run)
{
    bool nvls = run->algo == FS_ALGO_NVLS || run->algo == FS_ALGO_NVLSTREE || run->algo == FS_ALGO_SHARP;
    return nvls ? run->n / run->n_nodes : 1.0;
}

/* What the SMs of one GPU handle of forwarded tokens, its own included: a copy for each GPU and, over a network, one for each
 * domain. */
static double handled_bytes(const fs_nccl_run *run)
{
    double copies = run->n * fs_copies_reach(1.0 / run->n, run->top_k, run->top_domains, run->n_nodes);
    if (run->n_nodes > 1)
        copies += run->n_nodes * fs_copies_reach(1.0 / run->n_nodes, run->top_k, run->top_domains, run->n_nodes);
    return run->size_bytes / run->top_k * copies;
}

/* What a cap counts: payload through one GPU, where an all_reduce carries its bytes twice; of sends, which have channels of their
 * own, one message. */
static double payload_bytes(const fs_nccl_run *run)
{
    if (run->algo == FS_ALGO_FORWARDED)
        return handled_bytes(run);
    if (run->algo == FS_ALGO_DIRECT)
        return run->kind == FS_SENDRECV ? run->size_bytes : run->size_bytes / run->n;
    return run->size_bytes * fs_busbw_factor(run->kind, run->n);
}

/* What does not overlap: filling and draining the pipeline, and a rank's message to itself, of an all_gather or an all-to-all. A single send
 * has none of it, and Simple copies nothing between registered buffers. gpu_s: time of the payload on the GPUs. */
static double ends_s(const fs_nccl_takes *t, const fs_nccl_run *run, double steps, double chunk_s, double gpu_s)
{
    double window_s = t->window_s * buffers(run);
    bool own = run->kind == FS_ALL_TO_ALL || run->kind == FS_ALL_GATHER;
    bool registered = run->registered && run->proto == FS_PROTO_SIMPLE; /* flags go through NCCL's own buffers */
    if (registered || run->kind == FS_SENDRECV || chunk_s <= 0.0)
        return 0.0;
    double round_s = gpu_s / steps, apart = 1.0 / (1.0 + round_s / t->drift_s);
    double drain = run->algo == FS_ALGO_RING ? t->drain : 0.0; /* a chain has no rounds */
    return (t->fill * window_s + t->flight * run->wire_s) * chunk_s / (chunk_s + window_s) +
           apart * (drain * round_s + (own ? t->copy * gpu_s / (run->n - 1) : 0.0));
}

/* Seconds of the payload over the links between domains, and on the GPUs. */
static double links_s(const fs_nccl_takes *t, const fs_nccl_run *run, double *gpu_s)
{
    double wire = fs_nccl_wire(run->proto);
    /* What the GPUs must keep busy: the NVLinks, where there are any. */
    *gpu_s = wire * (run->nvlink_s > 0.0 ? run->nvlink_s : run->stream_s);
    /* A single send has no one to wait for, and one GPU a node nothing but the network. */
    if (run->kind != FS_SENDRECV && run->n > run->n_nodes)
        *gpu_s /= t->efficiency;
    if (t->cap_Bps > 0.0)
        *gpu_s = fmax(*gpu_s, payload_bytes(run) / t->cap_Bps);
    return wire * run->stream_s / (run->n_nodes > 1 ? t->net_efficiency : 1.0);
}

fs_nccl_time fs_nccl_cost(const fs_nccl_table *table, const fs_nccl_run *run)
{
    const fs_nccl_takes *t = takes_of(table, run->arch, run->algo, run->proto);
    double wire = fs_nccl_wire(run->proto), intra, inter, gpu_s, network_s = links_s(t, run, &gpu_s);
    fs_nccl_ring_steps(run, &intra, &inter);
    double steps = run->algo == FS_ALGO_RING ? fmax(intra + inter, 1.0) : 1.0;
    double chunk_s = fmax(network_s, gpu_s) / steps, latency_s = steps_s(table, t, run) / steps;
    double overlap =
        run->algo == FS_ALGO_RING ? t->overlap : 1.0; /* one pipeline has its latency once, and bytes after */
    double longer = fmax(chunk_s, latency_s), shorter = fmin(chunk_s, latency_s);
    double step_s = longer > 0.0 ? longer * pow(1.0 + pow(shorter / longer, overlap), 1.0 / overlap) : 0.0;
    return (fs_nccl_time){.wire = wire,
                          .latency_s = t->launch_s + steps * step_s + run->wire_s +
                                       ends_s(t, run, steps, chunk_s, gpu_s) - wire * run->stream_s};
}
