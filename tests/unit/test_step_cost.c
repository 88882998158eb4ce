/* test_step_cost.c - what iterations cost, by hand, with everything bound by memory; and where experts stand. */
#include "../fixture.h"
#include "base/num.h"
#include "serve/experts.h"
#include "serve/step_cost.h"

#include <math.h>

static const char model[] = "\"hidden\":64,\"heads\":4,\"ffn\":256,\"vocab\":128,\"seq\":4096,\"norm\":\"rms\","
                            "\"bias\":false,\"positions\":\"rotary\",\"dropout\":false";

typedef struct stepped {
    fs_topo *topo;
    fs_work *work;
    fs_step_model *model;
} stepped;

/* More of the model, of the trace (both begin with a comma) and the pool. */
static stepped step(const char *more_model, const char *more, const char *pool)
{
    static char text[4096];
    stepped s = {.topo = make_topo("gpus:8 nvlink:100GB/s")};
    fs_snprintf(text, sizeof text,
                "{\"fabsim\":\"trace/1\",\"kind\":\"inference\",\"name\":\"t\",\"model\":{%s%s%s}%s,\"engines\":[%s],"
                "\"requests\":{\"rate\":1,\"count\":1,\"input\":10,\"output\":4}}",
                model, strstr(more_model, "\"layers\"") ? "" : ",\"layers\":4", more_model, more, pool);
    ASSERT_OK(fs_work_parse("t.json", text, strlen(text), NULL, 0, &s.work, &failure));
    const fs_inference *in = s.work->inference;
    const fs_part *gpu = &s.topo->parts[fs_topo_device(s.topo, s.topo->gpus[0]).part];
    ASSERT_OK(fs_step_model_new(in, &in->pools[0], gpu, true, "t.json", &s.model, &failure));
    return s;
}

static void leave(stepped *s)
{
    fs_step_model_free(s->model);
    fs_work_free(s->work);
    fs_topo_free(s->topo);
}

static double seconds_of(const char *more_model, const char *more, const char *pool, const fs_batch *batch)
{
    stepped s = step(more_model, more, pool);
    double seconds = fs_step_compute_s(s.model, 0, batch);
    leave(&s);
    return seconds;
}

static fs_batch decoding(uint32_t n, uint32_t context)
{
    return (fs_batch){.decodes = n, .step = 1, .verified = 1, .decode_context = (uint64_t)n * context, .outputs = n};
}

/* 4 bits each, and 8 for the scale of 16 or of 32: experts of 3 x 64 x 32 numbers, 8 in each of 4 layers. */
static void scales_of_narrow_weights(void **state)
{
    (void)state;
    static const char moe[] = ",\"gated\":true,\"moe\":{\"experts\":8,\"top_k\":2,\"ffn\":32}";
    static const char *const formats[] = {"bf16", "fp4", "mxfp4"};
    const double numbers = 4 * 8 * 3 * 64 * 32, bits[] = {16, 4.5, 4.25};
    double bytes[3];
    for (uint32_t i = 0; i < 3; i++) {
        char precision[96];
        fs_snprintf(precision, sizeof precision, ",\"precision\":{\"gemm\":\"bf16\",\"experts\":\"%s\"}", formats[i]);
        stepped s = step(moe, precision, "{}");
        bytes[i] = fs_step_weight_bytes(s.model);
        ASSERT_CLOSE(bytes[0] - bytes[i], numbers * (bits[0] - bits[i]) / 8, 1e-12);
        leave(&s);
    }
}

static const double rate = 2e12, each = 2; /* B/s of the fixture's GPU, bytes of a number */

static void two_batches_have_kernels_of_their_own(void **state)
{
    (void)state;
    const fs_batch whole = decoding(7, 100), four = decoding(4, 100), three = decoding(3, 100);
    double parts_s = seconds_of("", "", "{}", &four) + seconds_of("", "", "{}", &three);
    ASSERT_CLOSE(seconds_of("", "", "{\"overlap\":\"two_batch\"}", &whole), parts_s, 1e-12);
    const fs_batch alone = decoding(1, 100);
    ASSERT_CLOSE(seconds_of("", "", "{\"overlap\":\"two_batch\"}", &alone), seconds_of("", "", "{}", &alone), 1e-12);
    /* what moves is as much, in twice as many pieces */
    stepped s = step("", "", "{\"parallel\":{\"tp\":2},\"overlap\":\"two_batch\"}"),
            t = step("", "", "{\"parallel\":{\"tp\":2}}");
    const fs_batch even = decoding(8, 100);
    fs_step_comm two = fs_step_communication(s.model, 0, &even), one = fs_step_communication(t.model, 0, &even);
    ASSERT_CLOSE(two.tp_count, 2 * one.tp_count, 1e-12);
    ASSERT_CLOSE(two.tp_bytes, one.tp_bytes / 2, 1e-12);
    leave(&s);
    leave(&t);
}

/* Two of four layers see 16 of 1,000 keys: 2 x 984 x 128 numbers less for each sequence. */
static void windows_hide_keys(void **state)
{
    (void)state;
    const fs_batch b = decoding(3, 1000);
    double saved =
        seconds_of("", "", "{}", &b) - seconds_of(",\"window\":{\"tokens\":16,\"full_every\":2}", "", "{}", &b);
    ASSERT_CLOSE(saved, 3 * 2 * 984 * 128 * each / rate, 1e-9);
    const fs_batch near = decoding(3, 10);
    ASSERT_CLOSE(seconds_of(",\"window\":{\"tokens\":16,\"full_every\":2}", "", "{}", &near),
                 seconds_of("", "", "{}", &near), 1e-12);
}

static void norms_of_queries_and_keys(void **state)
{
    (void)state;
    const fs_batch b = decoding(5, 100);
    double none = seconds_of("", "", "{}", &b);
    ASSERT_CLOSE(seconds_of(",\"qk_norm\":\"head\"", "", "{}", &b) - none, 4 * 5 * 2 * 128 * each / rate, 1e-9);
    ASSERT_CLOSE(seconds_of(",\"qk_norm\":\"all\"", "", "{}", &b) - none, 4 * 5 * 3 * 128 * each / rate, 1e-9);
    stepped s = step(",\"qk_norm\":\"all\"", "", "{\"parallel\":{\"tp\":2}}");
    fs_step_comm c = fs_step_communication(s.model, 0, &b);
    ASSERT_CLOSE(c.norm_bytes, 5 * 4, 1e-12); /* a sum of squares for each token */
    ASSERT_CLOSE(c.norm_count, 2 * 4, 1e-12);
    leave(&s);
}

/* Before qkv and both products of the MLP: read in bf16, written in fp8. */
static void block_scales_are_found_by_kernels(void **state)
{
    (void)state;
    const fs_batch b = decoding(5, 100);
    double more = seconds_of("", ",\"precision\":{\"weights\":\"fp8\",\"scales\":\"block\"}", "{}", &b) -
                  seconds_of("", ",\"precision\":{\"weights\":\"fp8\"}", "{}", &b);
    ASSERT_CLOSE(more, 4 * 5 * (64 + 64 + 256) * 3 / rate, 1e-9);
    /* NVFP4: written in 4 bits, and 8 for each 16; by kernels of their own unless the trace says that they are not */
    more = seconds_of("", ",\"precision\":\"fp4\"", "{}", &b) -
           seconds_of("", ",\"precision\":{\"weights\":\"fp4\",\"scales\":\"tensor\"}", "{}", &b);
    ASSERT_CLOSE(more, 4 * 5 * (64 + 64 + 256) * (2 + 4.5 / 8) / rate, 1e-9);
    /* products of bf16 read what is there */
    static const char kept[] = ",\"precision\":{\"weights\":\"fp4\",\"gemm\":\"bf16\"%s}";
    char as_it_is[96], by_block[96];
    fs_snprintf(as_it_is, sizeof as_it_is, kept, "");
    fs_snprintf(by_block, sizeof by_block, kept, ",\"scales\":\"block\"");
    ASSERT_CLOSE(seconds_of("", as_it_is, "{}", &b), seconds_of("", by_block, "{}", &b), 1e-12);
}

/* The NVFP4 checkpoint of DeepSeek-R1, second version: its output of attention and its MLPs are narrow, all else is not. */
static void parts_have_formats_of_their_own(void **state)
{
    (void)state;
    static const char moe[] = ",\"gated\":true,\"moe\":{\"experts\":8,\"top_k\":2,\"ffn\":32,\"shared_ffn\":32}";
    static const char parts[] = ",\"precision\":{\"weights\":\"bf16\",\"mlp\":\"fp4\",\"projection\":\"fp8\"}";
    const double shared = 3 * 64 * 32, projection = 64 * 64, narrow = 4.5 / 8;
    stepped wide = step(moe, "", "{}"), own = step(moe, parts, "{}");
    ASSERT_CLOSE(fs_step_weight_bytes(wide.model) - fs_step_weight_bytes(own.model),
                 4 * (shared * (each - narrow) + projection * (each - 1)), 1e-12);
    leave(&wide);
    leave(&own);
    /* and half as much of them on each of two GPUs */
    wide = step(moe, "", "{\"parallel\":{\"tp\":2}}");
    own = step(moe, parts, "{\"parallel\":{\"tp\":2}}");
    ASSERT_CLOSE(fs_step_weight_bytes(wide.model) - fs_step_weight_bytes(own.model),
                 2 * (shared * (each - narrow) + projection * (each - 1)), 1e-12);
    leave(&wide);
    leave(&own);
    /* Memory bounds all: products read so much less, and numbers are cast: to fp8 before the projection, to NVFP4 before
     * both products of the shared MLP. */
    const fs_batch b = decoding(5, 100);
    double less = seconds_of(moe, "", "{}", &b) - seconds_of(moe, parts, "{}", &b);
    double weights = shared * (each - narrow) + projection * (each - 1),
           casts = 5 * (64 * (2 + 1) + (64 + 32) * (2 + narrow));
    double operands = 5 * (64 * (each - 1) + (64 + 32) * (each - narrow)); /* what products read of tokens */
    ASSERT_CLOSE(less, 4 * (weights + operands - casts) / rate, 1e-9);
}

/* Two guesses for each of three sequences: the layer for later tokens has all nine tokens, then the three guesses. What a layer
 * takes is what a fifth one adds; the rest by its bytes. */
static void guesses_pass_through_a_layer(void **state)
{
    (void)state;
    static const char guessing[] = "{\"speculative\":{\"tokens\":2,\"acceptance\":0.5}}", five[] = ",\"layers\":5";
    const double h = 64, v = 128;
    fs_batch all = decoding(3, 100), next = decoding(3, 100);
    all.verified = 3;
    all.outputs = 9;
    const fs_batch *passes[] = {&all, &next};
    double expected = 0;
    for (uint32_t i = 0; i < 2; i++) {
        double m = i == 0 ? 9 : 3, ends = 2 * m * h + 2 * 2 * m * h; /* an embedding, two norms */
        double join = m * 2 * h + m * h + 2 * h * h, logits = 2 * 3 * h + (3 * h + h * v + 3 * v) + 3 * 3 * v;
        expected += (ends + join + logits) * each / rate;
        expected += seconds_of(five, "", "{}", passes[i]) - seconds_of("", "", "{}", passes[i]);
    }
    double free_s = seconds_of("", "", guessing, &all);
    ASSERT_CLOSE(seconds_of(",\"mtp\":1", "", guessing, &all) - free_s, expected, 1e-9);
    /* nobody guesses: nothing passes */
    ASSERT_CLOSE(seconds_of(",\"mtp\":1", "", "{}", &all), seconds_of("", "", "{}", &all), 1e-12);
    /* it has weights and a cache: 12 h^2, what joins, five norms of 64 */
    stepped without = step("", "", guessing), with = step(",\"mtp\":1", "", guessing);
    ASSERT_CLOSE(fs_step_kv_bytes(with.model) - fs_step_kv_bytes(without.model), 2 * h * each, 1e-12);
    ASSERT_CLOSE(fs_step_weight_bytes(with.model) - fs_step_weight_bytes(without.model),
                 (12 * h * h + 2 * h * h + 5 * h) * each, 1e-12);
    leave(&without);
    leave(&with);
    /* two GPUs: two all-reduces in each pass and one where it joins, the logits of each guess */
    without = step("", "", "{\"parallel\":{\"tp\":2},\"speculative\":{\"tokens\":2,\"acceptance\":0.5}}");
    with = step(",\"mtp\":1", "", "{\"parallel\":{\"tp\":2},\"speculative\":{\"tokens\":2,\"acceptance\":0.5}}");
    fs_step_comm none = fs_step_communication(without.model, 0, &all), c = fs_step_communication(with.model, 0, &all);
    ASSERT_CLOSE(c.tp_count - none.tp_count, 2 * 3, 1e-12);
    ASSERT_CLOSE(c.logits_count, 3, 1e-12);
    leave(&without);
    leave(&with);
}

/* ---- experts ------------------------------------------------------------------------------------------------------- */

static void ranks_of_one_group_send_no_tokens(void **state)
{
    (void)state;
    static const char moe[] = ",\"moe\":{\"experts\":8,\"top_k\":2}";
    const fs_batch b = decoding(8, 100);
    stepped s = step(moe, "", "{\"parallel\":{\"tp\":4,\"ep\":4}}");
    fs_step_comm c = fs_step_communication(s.model, 0, &b);
    ASSERT_CLOSE(c.tp_count, 2 * 4 + 1, 1e-12);
    assert_true(!(c.dispatch_bytes > 0) && !(c.combine_bytes > 0));
    leave(&s);
    s = step(moe, "", "{\"parallel\":{\"dp\":4,\"ep\":4}}");
    c = fs_step_communication(s.model, 0, &b);
    ASSERT_CLOSE(c.dispatch_bytes, 8 / 4 * 2 * 64 * each, 1e-12);
    leave(&s);
}

static void the_greatest_of_some(void **state)
{
    (void)state;
    static const double expected[] = {0, 0.5641895835, 0.8462843753, 1.0293753730}; /* Harter 1961, table 1 */
    for (uint32_t n = 1; n <= 4; n++) {
        fs_expert_spread s;
        ASSERT_OK(fs_experts_spread(&(fs_moe){.experts = 12}, n, 0, &s, &failure));
        ASSERT_CLOSE(s.excess + 1, expected[n - 1] + 1, 1e-8);
        ASSERT_CLOSE(fs_experts_busiest(&s, 100 * n), 100 + s.excess * sqrt(100 * (1 - 1.0 / n)), 1e-9);
        fs_experts_free(&s);
    }
}

/* 0.5 in three copies, 0.2, 0.2 and 0.1: 0.2, 1/6, 1/6 on one GPU, 0.2, 1/6, 0.1 on the other. */
static void copies_even_out(void **state)
{
    (void)state;
    const double popularity[] = {0.5, 0.2, 0.2, 0.1};
    const fs_moe moe = {.experts = 4, .popularity = popularity};
    fs_expert_spread s;
    ASSERT_OK(fs_experts_spread(&moe, 2, 0, &s, &failure));
    ASSERT_CLOSE(s.busiest, 0.7, 1e-12);
    fs_experts_free(&s);
    ASSERT_OK(fs_experts_spread(&moe, 2, 2, &s, &failure));
    ASSERT_CLOSE(s.busiest, 0.2 + 2 * 0.5 / 3, 1e-12);
    ASSERT_CLOSE(s.load[0] + s.load[1], 1, 1e-12);
    fs_experts_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_of_narrow_weights),
        cmocka_unit_test(two_batches_have_kernels_of_their_own),
        cmocka_unit_test(windows_hide_keys),
        cmocka_unit_test(norms_of_queries_and_keys),
        cmocka_unit_test(block_scales_are_found_by_kernels),
        cmocka_unit_test(parts_have_formats_of_their_own),
        cmocka_unit_test(guesses_pass_through_a_layer),
        cmocka_unit_test(ranks_of_one_group_send_no_tokens),
        cmocka_unit_test(the_greatest_of_some),
        cmocka_unit_test(copies_even_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
