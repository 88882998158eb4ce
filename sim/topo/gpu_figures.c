/* gpu_figures.c - see gpu_figures.h. What each figure means is said in part.h and docs/FORMATS.md. */
#include "topo/gpu_figures.h"

#define COST(element, attribute, unit, low, high, field)                                                               \
    {                                                                                                                  \
        element, attribute, unit, low, high, offsetof(fs_gpu_costs, field)                                             \
    }
#define PRODUCT(attribute, unit, low, high, field)                                                                     \
    {                                                                                                                  \
        "peak", attribute, unit, low, high, offsetof(fs_gpu_product, field)                                            \
    }

const fs_gpu_figure fs_cost_figures[FS_COST_FIGURES] = {
    COST("kernels", "sms", FS_UNIT_NONE, 1, 1e5, sms),
    COST("kernels", "floor", FS_UNIT_SECONDS, 0, 1, floor_s),
    COST("kernels", "l2-bandwidth", FS_UNIT_BPS, 1, 1e18, l2_Bps),
    COST("kernels", "operand-efficiency", FS_UNIT_NONE, 1e-6, 1, operand),
    COST("kernels", "sustained", FS_UNIT_NONE, 1e-6, 1, sustained),
    COST("kernels", "in-step", FS_UNIT_NONE, 0, 1, in_step),
    COST("kernels", "tile-step", FS_UNIT_NONE, 0, 256, step),
    COST("kernels", "tile-max", FS_UNIT_NONE, 4096, 65536, tile_max),
    COST("kernels", "append", FS_UNIT_BPS, 1, 1e18, append_Bps),
    COST("kernels", "append-fp8", FS_UNIT_BPS, 1, 1e18, append8_Bps),
    COST("attention", "efficiency", FS_UNIT_NONE, 1e-6, 1, attention),
    COST("attention", "backward", FS_UNIT_NONE, 1e-6, 1, attention_grad),
    COST("attention", "score", FS_UNIT_SECONDS, 0, 1, score_s),
    COST("attention", "query-block", FS_UNIT_NONE, 16, 1024, query_block),
    COST("attention", "block", FS_UNIT_SECONDS, 0, 1, block_s),
    COST("attention", "prefill-floor", FS_UNIT_SECONDS, 0, 1, attend_s),
    COST("attention", "decode-floor", FS_UNIT_SECONDS, 0, 1, decode_s),
    COST("attention", "piece", FS_UNIT_SECONDS, 0, 1, piece_s),
    COST("attention", "join", FS_UNIT_SECONDS, 0, 1, join_s),
    COST("attention", "read-efficiency", FS_UNIT_NONE, 1e-6, 1, read),
    COST("attention", "sm-bandwidth", FS_UNIT_BPS, 1, 1e18, stream_Bps),
    COST("attention", "fp8-read", FS_UNIT_NONE, 1, 100, fp8_read),
};

const fs_gpu_figure fs_product_figures[FS_PRODUCT_FIGURES] = {
    PRODUCT("efficiency", FS_UNIT_NONE, 1e-6, 1, efficiency),
    PRODUCT("tile", FS_UNIT_SECONDS, 0, 1, tile_s),
    PRODUCT("floor", FS_UNIT_SECONDS, 0, 1, floor_s),
    PRODUCT("grouped", FS_UNIT_NONE, 1e-6, 1, grouped),
    PRODUCT("grouped-tensor", FS_UNIT_NONE, 1e-6, 1, grouped_tensor),
    PRODUCT("grouped-block", FS_UNIT_NONE, 1e-6, 1, grouped_block),
    PRODUCT("grouped-read", FS_UNIT_NONE, 1e-6, 1, grouped_read),
    PRODUCT("tile-min", FS_UNIT_NONE, 0, 65536, tile_min),
    PRODUCT("depth", FS_UNIT_SECONDS, 0, 1, depth_s),
    PRODUCT("quantise-row", FS_UNIT_SECONDS, 0, 1, row_s),
    PRODUCT("quantise-pass", FS_UNIT_SECONDS, 0, 1, pass_s),
};
