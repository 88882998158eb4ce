/* transformer.h - sizes of a dense transformer and of its training: parameters, FLOPs, bytes.
 *
 * GPT-like: learned positions, two layer norms and biases, input and output embedding tied. `gated` makes the MLP
 * one of two input matrices (SwiGLU); kv_heads < heads is grouped-query attention. */
#ifndef FS_TRANSFORMER_H
#define FS_TRANSFORMER_H

#include "work/work.h"

typedef struct fs_transformer {
    uint32_t layers, hidden, heads, kv_heads, ffn, vocab, seq;
    bool gated;
} fs_transformer;

/* Which kernels the framework of the day has (docs/MODEL.md, Training step). */
typedef enum fs_kernels { FS_UNFUSED, FS_FUSED, FS_FLASH, FS_KERNELS } fs_kernels;

typedef struct fs_training {
    fs_transformer model;
    uint32_t tp, dp;
    uint32_t global_batch, micro_batch; /* samples; micro_batch per data-parallel replica */
    fs_dtype precision;                 /* of weights and activations: 2 bytes (fp16, bf16) */
    fs_dtype grad_dtype;                /* of gradients, accumulated and reduced */
    fs_kernels kernels;
    bool recompute;           /* each layer's forward again before its backward */
    bool overlap_grad_reduce; /* a layer's gradients are reduced as soon as they are there */
} fs_training;

enum { FS_ACTIVATION_BYTES = 2 }; /* fp16, bf16: also the bytes of a weight in use */

double fs_training_grad_bytes(const fs_training *t); /* of one gradient */
uint32_t fs_training_microbatches(const fs_training *t);
double fs_transformer_qkv_width(const fs_transformer *m); /* columns of Q, K and V together */

/* Parameters: the whole model's; one layer's and all on one GPU under tensor parallelism. */
double fs_transformer_parameters(const fs_transformer *m);
double fs_training_layer_parameters(const fs_training *t);
double fs_training_gpu_parameters(const fs_training *t);

/* FLOPs of a step over all GPUs. Model: 3 x forward (Narayanan et al. 2021, eq. 3 without its recomputation);
 * hardware: what the kernels execute. */
double fs_training_model_flops(const fs_training *t);
double fs_training_hardware_flops(const fs_training *t);

/* Bytes on each GPU (Korthikanti et al. 2022 for the activations). */
fs_memory fs_training_memory(const fs_training *t);

#endif
