/* step_cost.h - what an iteration costs a GPU of a pool: seconds of kernels, bytes of weights and of KV cache, bytes on
 * their way to others. docs/MODEL.md, Serving, has the kernels.
 *
 * All GPUs of a stage do the same; of the dp ranks the busiest counts, which has the sequences divided by dp and rounded
 * up: they are dealt out evenly, and in a layer with experts all wait for each other. */
#ifndef FS_STEP_COST_H
#define FS_STEP_COST_H

#include "gpu/gpu.h"
#include "serve/batcher.h"
#include "work/inference.h"

typedef struct fs_step_model fs_step_model;

/* FS_E_TRACE at the pool where the part lacks a number format. ideal: no launches and no inefficiency. */
FS_MUST_CHECK fs_status fs_step_model_new(const fs_inference *inference, const fs_pool *pool, const fs_part *gpu,
                                          bool ideal, const char *trace_path, fs_step_model **model, fs_err *err);
void fs_step_model_free(fs_step_model *model);

double fs_step_weight_bytes(const fs_step_model *model); /* on the fullest GPU */
double fs_step_kv_bytes(const fs_step_model *model);     /* of a token, on the GPU that keeps most */
double
fs_step_window_bytes(const fs_step_model *model); /* of a sequence, beside that: the windows of layers that have one */
double fs_step_kv_all_bytes(const fs_step_model *model); /* of a token, once, in all layers */

/* Seconds of the kernels of one stage, on a GPU at full speed. */
double fs_step_compute_s(fs_step_model *model, uint32_t stage, const fs_batch *batch);

/* Sizes of the communication of a stage, as coll.h means them; a layer's is the same `count` times. */
typedef struct fs_step_comm {
    double tp_bytes, tp_count;                      /* all-reduce in each group of tp */
    double norm_bytes, norm_count;                  /* all-reduce of sums of squares; 0: none */
    double logits_bytes, logits_count;              /* all-gather in each of them; 0: none */
    double dispatch_bytes, combine_bytes, ep_count; /* all-to-all over all tp x dp */
    double send_bytes;                              /* from each GPU to its like in the next stage; 0: none */
} fs_step_comm;
fs_step_comm fs_step_communication(const fs_step_model *model, uint32_t stage, const fs_batch *batch);

/* ---- attention and FFN apart: a pool that leaves its MLPs to another, and that other ---- */

/* Seconds of attention stage `layer` of a pool whose MLPs are elsewhere: add what came back of the layer before, attend, route;
 * the first has the embedding, and one behind the last layer has the logits. */
double fs_step_attention_s(fs_step_model *model, uint32_t layer, const fs_batch *batch);
/* Seconds of a layer's MLP, or experts, on the busiest GPU of the pool that has them, for so many tokens. */
double fs_step_ffn_s(fs_step_model *ffn, uint32_t layer, double tokens);

/* What a layer moves, in B. */
typedef struct fs_step_hop {
    double tokens;      /* of all dp ranks */
    double reduce;      /* all-reduce in each group of tp that attends; 0: none */
    double there, back; /* between the two pools, all together */
    double gather,
        scatter;  /* among the GPUs that share an MLP, or an expert: all-gather before, reduce-scatter behind */
    bool experts; /* else the MLP of the layer is split over all GPUs of the stage */
} fs_step_hop;
fs_step_hop fs_step_hop_of(const fs_step_model *model, const fs_step_model *ffn, uint32_t layer, const fs_batch *batch);

double fs_step_all_bytes(const fs_step_model *model); /* weights of a whole replica, copies and all */

/* Shares of the routed tokens by position among the ep GPUs, NULL where all are alike. */
const double *fs_step_expert_load(const fs_step_model *model);

#endif
