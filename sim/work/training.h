/* training.h - a training job as its trace describes it, and what follows from that alone: who is where, which layers a
 * stage has, memory and FLOPs. Private to sim/work.
 *
 * Ranks. Two grids share the ranks of a job: tp x cp x dp x pp for all that is not an expert, etp x ep x edp x pp for
 * experts, nested in the order of `order` (Megatron-LM's scheme; its default tp-cp-ep-dp-pp). Pipeline stages are
 * the same ranks in both. */
#ifndef FS_TRAINING_H
#define FS_TRAINING_H

#include "work/transformer.h"
#include "work/work_build.h"

/* Which kernels the framework of the day has (docs/MODEL.md, Training step). */
typedef enum fs_kernels { FS_UNFUSED, FS_FUSED, FS_FLASH, FS_KERNELS } fs_kernels;
typedef enum fs_recompute { FS_RECOMPUTE_NONE, FS_RECOMPUTE_SELECTIVE, FS_RECOMPUTE_FULL } fs_recompute;
/* What selective recomputation forms again: bits. */
enum { FS_AGAIN_SCORES = 1, FS_AGAIN_NORM = 2, FS_AGAIN_ACTIVATION = 4, FS_AGAIN_LATENT = 8, FS_AGAIN_MLP = 16 };
/* Parts of a layer that CUDA graphs have captured: bits. */
enum { FS_GRAPH_ATTENTION = 1, FS_GRAPH_ROUTER = 2 };
/* Which tensor-parallel collectives run beside products: of the backward pass, beside gradients of weights. */
typedef enum fs_tp_overlap { FS_TP_NONE, FS_TP_BACKWARD, FS_TP_ALL } fs_tp_overlap;
/* With vpp > 1, 1F1B is interleaved. ZB-H1: P. Qi et al., "Zero Bubble Pipeline Parallelism", ICLR 2024. */
typedef enum fs_schedule { FS_SCHEDULE_1F1B, FS_SCHEDULE_GPIPE, FS_SCHEDULE_ZB_H1 } fs_schedule;
typedef enum fs_dimension { FS_DIM_TP, FS_DIM_CP, FS_DIM_EP, FS_DIM_DP, FS_DIM_PP, FS_DIMS } fs_dimension;

typedef struct fs_training {
    fs_transformer model;
    uint32_t tp, cp, pp, vpp, dp, ep, etp;     /* >= 1 */
    uint8_t order[FS_DIMS];                    /* fs_dimension, the fastest first */
    bool sequence;                             /* sequence parallelism: norms and residuals are split over tp too */
    bool ring;                                 /* context parallelism passes keys on in a ring, beside attention */
    bool scatter_gather;                       /* pipeline messages are split over tp and gathered on arrival */
    uint32_t zero;                             /* 0 to 3: optimizer, gradients, weights sharded over dp; 3 is FSDP */
    uint32_t shard;                            /* replicas that share a sharded state: dp, or a divisor (hybrid) */
    uint32_t global_batch, micro_batch;        /* sequences; micro_batch per data-parallel replica */
    fs_dtype precision;                        /* of weights and activations as they are kept: 2 bytes */
    fs_dtype gemm, experts, attention, logits; /* what products run in */
    bool tensor_scales;                        /* a cast first finds the largest number of its tensor */
    double dispatch_bytes, combine_bytes;      /* of one number on its way to the experts and back */
    bool dispatch_padded;                      /* each expert's rows arrive padded to what narrow products take */
    uint8_t dispatch_algo;                     /* fs_algo that moves tokens: forwarded, direct, lowlatency */
    uint32_t top_domains;                      /* forwarded: NVLink domains of a token's experts at most; 0: all */
    double param_bytes;                        /* of a weight that is gathered */
    fs_dtype grad_dtype;                       /* of gradients, accumulated and reduced */
    double master_bytes, moment_bytes;         /* Adam's, per parameter; two moments */
    fs_kernels kernels;
    bool gradient_fusion; /* products that make gradients of weights add them to what is there */
    fs_recompute recompute;
    uint32_t recompute_parts; /* FS_AGAIN_... */
    fs_schedule schedule;
    bool overlap_grad_reduce;  /* a bucket's gradients are reduced as soon as they are there */
    bool overlap_param_gather; /* a bucket's weights are gathered beside the first forward passes */
    fs_tp_overlap overlap_tp;
    bool overlap_pp;      /* kernels do not wait for pipeline messages that they do not need */
    bool overlap_shared;  /* shared experts beside the dispatch of tokens */
    bool overlap_ep;      /* a microbatch's tokens move beside kernels of another one */
    double bucket;        /* parameters; layers join until they have as many. 0: a layer each */
    float sm_share;       /* of overlapped collectives */
    double host_launch_s; /* CPU time to launch a kernel, collective or message; 0: graphs, or never the limit */
    double host_step_s;   /* CPU time of a step beside that */
    uint32_t host_graphs; /* FS_GRAPH_...: what CUDA graphs launch, at the price of one kernel */
    bool host_sync;       /* the CPU waits for the GPU at the end of each pass */
} fs_training;

enum { FS_ACTIVATION_BYTES = 2 }; /* fp16, bf16: also the bytes of a weight in use */

/* One digit of the rank. */
fs_digit fs_training_digit(const fs_training *t, fs_dimension dim);        /* in the grid of tp, cp, dp, pp */
fs_digit fs_training_expert_digit(const fs_training *t, fs_dimension dim); /* etp, ep, edp as TP, EP, DP; pp */
uint32_t fs_training_ranks(const fs_training *t);
uint32_t fs_training_edp(const fs_training *t);

uint32_t fs_training_microbatches(const fs_training *t);

/* Chunks are stages in the order that a microbatch visits them: chunk c of stage s is number c x pp + s. The layers are
 * dealt out evenly; where that does not work out, chunks at both ends have one less, beginning with the last; the very
 * first and last may have none. */
void fs_training_layers(const fs_training *t, uint32_t chunk, uint32_t *first, uint32_t *count);

/* Parameters on one GPU of a stage. */
typedef struct fs_gpu_size {
    double dense, experts;
} fs_gpu_size;
fs_gpu_size fs_training_layer_size(const fs_training *t, uint32_t layer);
fs_gpu_size fs_training_chunk_size(const fs_training *t, uint32_t chunk); /* embeddings included */
fs_gpu_size fs_training_stage_size(const fs_training *t, uint32_t stage);
double fs_training_grad_bytes(const fs_training *t); /* of one gradient */

/* FLOPs of a step over all GPUs. Model: 3 x forward (Narayanan et al. 2021, eq. 3 without its recomputation);
 * hardware: what the kernels execute. */
double fs_training_model_flops(const fs_training *t);
double fs_training_hardware_flops(const fs_training *t);

/* What part of the routed tokens each expert-parallel position gets, share[ep]; false where all get the same. */
bool fs_training_shares(const fs_training *t, double *share);
double fs_training_routed(const fs_training *t); /* tokens that a rank sends to experts for a microbatch, padding too */

/* Does it keep, for attention's backward pass, the scores? */
bool fs_training_keeps_scores(const fs_training *t);

/* Bytes on the fullest GPU (training_memory.c). */
FS_MUST_CHECK fs_status fs_training_memory(const fs_training *t, fs_memory *memory, fs_err *err);

/* One line about it. */
void fs_training_note(const fs_training *t, char *text, size_t size);

#endif
