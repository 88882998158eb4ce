/* step_in.h - the cost of an iteration from inside: step_share.c says what the busiest rank has of a batch, step_kernels.c what
 * a layer's kernels take for it, step_bytes.c what stays in memory, step_cost.c puts iterations together. Private to these. */
#ifndef FS_STEP_IN_H
#define FS_STEP_IN_H

#include "serve/experts.h"
#include "serve/step_cost.h"

enum { FS_STEP_NUMBER = 2 /* bytes of a number between kernels */ };

/* A product and what it takes. Plain words, none left to the compiler: hashed and compared as bytes. */
typedef struct fs_product_key {
    double m, n, k, batch;
    uint32_t kind, stored, multiplied, used;
} fs_product_key;

typedef struct fs_product_time {
    fs_product_key key;
    double seconds;
} fs_product_time;

enum { FS_PRODUCTS_KNOWN = 1 << 14 };

struct fs_step_model {
    const fs_inference *in;
    const fs_pool *pool;
    fs_part gpu; /* with the pool's launch time */
    bool ideal;
    double weight_bytes, all_bytes, kv_bytes, kv_all_bytes, window_bytes;
    fs_expert_spread spread; /* over ep GPUs */
    fs_product_time *known;  /* (FS_PRODUCTS_KNOWN) */
};

/* What the busiest dp rank has of a batch. */
typedef struct fs_step_share {
    double decoding, chunks;  /* sequences */
    double decodes, context;  /* tokens that decode, keys that they attend to */
    double prefill, prefixed; /* tokens of chunks, keys up to their ends */
    double keys;              /* as if each sequence saw all but those after its own tokens: gives the true pairs */
    double tokens, all, rows; /* of this rank, of all ranks; rows of logits */
} fs_step_share;

fs_step_share fs_step_share_of(const fs_step_model *m, const fs_batch *b);
fs_step_share fs_step_share_in_window(const fs_step_model *m, const fs_step_share *whole);
/* With two batches each has half of the sequences and of the prompts' tokens, and kernels of its own. */
uint32_t fs_step_parts(const fs_step_model *m, const fs_batch *b);
fs_batch fs_step_part_of(const fs_batch *whole, uint32_t i, uint32_t parts);

void fs_step_stage_layers(const fs_step_model *m, uint32_t stage, uint32_t *first, uint32_t *count);

/* Seconds, on a GPU at full speed. */
double fs_step_passes_s(const fs_step_model *m, double numbers); /* bound by memory: so many read or written */
double fs_step_layer_attention_s(const fs_step_model *m, const fs_step_share *s); /* norms and projections too */
double fs_step_mlp_s(const fs_step_model *m, double tokens, double ffn);
double fs_step_route_s(const fs_step_model *m, double tokens);
double fs_step_routed_s(const fs_step_model *m, double routed); /* of so many routed tokens that came here */
double fs_step_experts_s(const fs_step_model *m, const fs_step_share *s);
double fs_step_logits_s(const fs_step_model *m, const fs_step_share *s);
double fs_step_join_s(const fs_step_model *m, double tokens); /* input of the layer for later tokens */

double fs_step_kv_width(const fs_step_model *m); /* numbers that the cache keeps of a token in a layer, here */
double fs_step_routed_here(const fs_step_model *m, double tokens); /* that the busiest GPU works on, of so many */
double fs_step_expert_split(const fs_step_model *m);               /* GPUs that share an expert */
double fs_step_experts_here(const fs_step_model *m);

void fs_step_measure(fs_step_model *m); /* fills the bytes */

#endif
