/* test_afd.c - attention and FFN on GPUs of their own, against what one can compute by hand. */
#include "serve_case.h"
#include "topo/faults.h"

#define FIXED(n, m) "\"input\":" #n ",\"output\":" #m
#define ONE_REQUEST "\"arrival\":\"constant\",\"rate\":1,\"count\":1,"
#define APART(batches, attention, ffn)                                                                                 \
    "{\"name\":\"a\"" attention ",\"ffn\":{\"pool\":\"f\",\"micro_batches\":" #batches "}},"                           \
    "{\"name\":\"f\",\"role\":\"ffn\"" ffn "}"

/* The kernels of docs/MODEL.md, Serving, for the tiny model under --cost ideal: 100 TFLOP/s, 2 TB/s, everything is bound by
 * memory, 2 bytes a number. */
#define RATE 2e12
#define HIDDEN 64.0

static double attention_s(double tokens, double keys)
{
    double q = 64, kv = 128, h = HIDDEN, numbers = 2 * 4 * tokens * h; /* norms */
    numbers += h * (q + kv) + tokens * (h + q + kv) + tokens * (2 * q + 2 * kv) + keys * kv + tokens * 2 * q;
    numbers += q * h + tokens * (q + h);
    return 2 * numbers / RATE;
}

static double ffn_s(double tokens, double split)
{
    double f = 256 / split, h = HIDDEN;
    return 2 * (2 * (h * f + tokens * (h + f)) + tokens * 2 * f) / RATE;
}

static double embedding_s(double tokens)
{
    return 2 * 2 * tokens * HIDDEN / RATE;
}

static double logits_s(void)
{
    return 2 * (2 * HIDDEN + 128 * HIDDEN + 128 + HIDDEN + 3 * 128) / RATE;
}

/* An iteration alone, two layers, with so long a way there and back behind each. */
static double alone_s(double tokens, double keys, double split, double ways_s)
{
    return embedding_s(tokens) + 2 * (attention_s(tokens, keys) + ffn_s(tokens, split) + ways_s) + logits_s();
}

/* The tiny model with something more to it: members that begin with a comma. */
static served serve_model(const char *line, const char *model, const char *engines, const char *requests)
{
    static char text[4096];
    served s = {.topo = make_topo(line)};
    fs_run_options options = ideal();
    fs_snprintf(text, sizeof text,
                "{\"fabsim\":\"trace/1\",\"kind\":\"inference\",\"model\":{\"layers\":2,\"hidden\":64,\"heads\":4,"
                "\"ffn\":256,\"vocab\":128,\"seq\":4096,\"norm\":\"rms\",\"bias\":false,\"positions\":\"rotary\","
                "\"dropout\":false%s},\"engines\":[%s],\"requests\":{%s}}",
                model, engines, requests);
    ASSERT_OK(fs_work_parse("t.json", text, strlen(text), NULL, 0, &s.work, &failure));
    ASSERT_OK(fs_serve_run(s.topo, s.work, &options, &s.result, &failure));
    s.v = s.result.serving;
    return s;
}

static double bytes_on(const served *s, const char *name)
{
    for (uint32_t i = 0; i < s->result.n_links; i++) {
        char found[FS_LINK_NAME_SIZE];
        fs_link_name(s->topo, s->result.links[i].link, found, sizeof found);
        if (strcmp(found, name) == 0)
            return s->result.links[i].bytes;
    }
    return 0;
}

/* ---- one request --------------------------------------------------------------------------------------------------- */

static void a_token_goes_to_and_fro(void **state)
{
    (void)state;
    const double way_s = 2e-6 + HIDDEN * 2 / 100e9; /* two links of 1 us; 64 numbers of 2 bytes */
    served s = serve("gpus:2 nvlink:100GB/s,1us", APART(1, "", ""), ONE_REQUEST FIXED(1, 4), "");
    double decode_s = alone_s(1, 2, 1, 2 * way_s) + alone_s(1, 3, 1, 2 * way_s) + alone_s(1, 4, 1, 2 * way_s);
    ASSERT_CLOSE(s.v->ttft.mean, alone_s(1, 1, 1, 2 * way_s), 1e-9);
    ASSERT_CLOSE(s.v->tpot.mean, decode_s / 3, 1e-9);
    ASSERT_CLOSE(s.v->alone_tpot_s, alone_s(1, 2, 1, 2 * way_s), 1e-9);
    /* 4 iterations of 2 layers, there and back */
    ASSERT_CLOSE(s.result.links[0].bytes, 4 * 2 * HIDDEN * 2, 1e-12);
    ASSERT_CLOSE(s.result.tiers[0].bytes, 4 * 4 * 2 * HIDDEN * 2, 1e-12); /* two links each */
    const fs_afd_row *afd = &s.v->pools[0].afd;
    double total_s = alone_s(1, 1, 1, 2 * way_s) + decode_s;
    ASSERT_CLOSE(afd->there, 4 * 2 * way_s / total_s, 1e-6);
    ASSERT_CLOSE(afd->back, afd->there, 1e-6);
    ASSERT_CLOSE(afd->ffn_work, 4 * 2 * ffn_s(1, 1) / total_s, 1e-6);
    ASSERT_CLOSE(afd->attention + afd->ffn_work + afd->there + afd->back, 1, 1e-9);
    assert_string_equal(afd->bound, "links");
    end(&s);
}

/* With links of no time, and nothing to overlap with, it is the replica that has its MLPs itself. */
static void fast_links_make_one_replica(void **state)
{
    (void)state;
    static const char line[] = "gpus:2 nvlink:1000000TB/s",
                      requests[] = "\"rate\":2000,\"count\":200,\"input\":{\"uniform\":[5,300]},\"output\":40";
    served whole = serve(line, "{}", requests, ""), apart = serve(line, APART(1, "", ""), requests, "");
    for (uint32_t i = 0; i < 200; i++) {
        ASSERT_CLOSE(apart.v->requests[i].first_s, whole.v->requests[i].first_s, 1e-6);
        ASSERT_CLOSE(apart.v->requests[i].done_s, whole.v->requests[i].done_s, 1e-6);
    }
    assert_int_equal(apart.v->pools[0].iterations, whole.v->pools[0].iterations);
    end(&whole);
    end(&apart);
}

/* Two GPUs share an MLP: tokens are gathered before it, one half from each, and the sums scattered behind it. */
static void a_shared_mlp_gathers_and_scatters(void **state)
{
    (void)state;
    double half_s = 2e-6 + 10 * HIDDEN * 2 / 2 / 100e9; /* of ten tokens; a ring of two, or halves to two at once */
    served s =
        serve("gpus:3 nvlink:100GB/s,1us", APART(1, "", ",\"parallel\":{\"tp\":2}"), ONE_REQUEST FIXED(10, 1), "");
    double whole_s = 2e-6 + 10 * HIDDEN * 2 / 100e9; /* all of it leaves one GPU, and comes back to it */
    ASSERT_CLOSE(s.v->ttft.mean, alone_s(10, 10, 2, 2 * (half_s + whole_s)), 1e-9);
    end(&s);
}

/* Four experts on two GPUs, of which a token visits two: popular ones are dealt out in turn, so that 0.4 + 0.2 of the visits
 * are to the first GPU. 100 tokens, two layers, 64 numbers of 2 bytes, there and back. */
static void tokens_go_to_their_experts(void **state)
{
    (void)state;
    static const char moe[] = ",\"moe\":{\"experts\":4,\"top_k\":2,\"ffn\":128,\"skew\":[0.4,0.3,0.2,0.1]}";
    const double all = 100 * 2 * 2 * HIDDEN * 2;
    served s =
        serve_model("gpus:3 nvlink:100GB/s", moe, APART(2, "", ",\"parallel\":{\"ep\":2}"), ONE_REQUEST FIXED(100, 1));
    ASSERT_CLOSE(bytes_on(&s, "gpu0 -> nvsw0"), all, 1e-9);
    ASSERT_CLOSE(bytes_on(&s, "nvsw0 -> gpu0"), all, 1e-9);
    ASSERT_CLOSE(bytes_on(&s, "nvsw0 -> gpu1"), 0.6 * all, 1e-9);
    ASSERT_CLOSE(bytes_on(&s, "gpu2 -> nvsw0"), 0.4 * all, 1e-9);
    ASSERT_CLOSE(s.v->pools[1].weight_bytes, 2 * 2 * 2 * 64 * 128 * 2, 1e-12); /* layers, experts, matrices */
    ASSERT_CLOSE(s.v->ttft.mean * s.v->pools[0].afd.there, all / 100e9, 1e-6);
    end(&s);
}

/* ---- windows --------------------------------------------------------------------------------------------------------- */

/* The first layer sees 8 keys, the second one all. A prompt of 10 tokens has 1 + ... + 8 + 8 + 8 = 52 pairs there: as
 * 1.25 blocks of 8 queries and 8.7 keys, of which the i-th query sees 1.7 + i - 1. */
static void a_window_hides_what_is_before(void **state)
{
    (void)state;
    const double mlps = 2 * ffn_s(1, 1) + embedding_s(1) + logits_s();
    double decode_s = 0, prompt_s = attention_s(10, 10) + attention_s(10, 1.25 * 8.7) + 2 * ffn_s(10, 1);
    static const char window[] = ",\"causal\":true,\"window\":{\"tokens\":8,\"full_every\":2}";
    served s = serve_model("gpus:2 nvlink:1GB/s", window, "{}", ONE_REQUEST FIXED(10, 4));
    ASSERT_CLOSE(s.v->ttft.mean, prompt_s + embedding_s(10) + logits_s(), 1e-6);
    for (uint32_t keys = 11; keys < 14; keys++)
        decode_s += attention_s(1, 8) + attention_s(1, keys) + mlps;
    ASSERT_CLOSE(s.v->tpot.mean, decode_s / 3, 1e-6);
    /* a token's cache in one layer, 256 B; of a sequence the window of the other, set aside for 256 of them */
    const fs_pool_row *p = &s.v->pools[0];
    double room = 0.9 * p->gpu_bytes - p->weight_bytes - 256.0 * 8 * 256;
    assert_int_equal(p->kv_blocks, (uint64_t)(room / (16 * 256)));
    end(&s);
}

/* ---- micro-batches --------------------------------------------------------------------------------------------------- */

/* Stations one after the other, whoever comes first goes first: the recurrence that the events must give. done_s of each
 * iteration of each lane; every lane has one sequence and computes a token at a time from a prompt of one. */
static void recur(uint32_t lanes, uint32_t iterations, double way_s, double first_s[8], double last_s[8])
{
    double ready_s[8] = {0}, free_s[2] = {0};
    uint32_t stage[8] = {0}, round[8] = {0};
    for (;;) {
        uint32_t next = lanes;
        for (uint32_t l = 0; l < lanes; l++)
            if (round[l] < iterations && (next == lanes || ready_s[l] < ready_s[next]))
                next = l;
        if (next == lanes)
            return;
        uint32_t station = stage[next] % 2;
        double begin_s = fmax(ready_s[next], free_s[station]), keys = round[next] + 1;
        double work_s = station == 1 ? ffn_s(1, 1) : stage[next] == 4 ? logits_s() : attention_s(1, keys);
        free_s[station] = begin_s + work_s + (stage[next] == 0 ? embedding_s(1) : 0);
        ready_s[next] = free_s[station] + (stage[next] == 4 ? 0 : way_s);
        if (++stage[next] < 5)
            continue;
        stage[next] = 0;
        *(round[next]++ == 0 ? &first_s[next] : &last_s[next]) = ready_s[next];
    }
}

static void micro_batches_overlap_as_the_recurrence_says(void **state)
{
    (void)state;
    static const struct {
        const char *engines, *line;
        uint32_t lanes;
        double way_s;
    } cases[] = {{APART(2, "", ""), "gpus:2 nvlink:1000000TB/s", 2, 0},
                 {APART(2, "", ""), "gpus:2 nvlink:1000000TB/s,10ns", 2, 2e-8},
                 {APART(3, "", ""), "gpus:2 nvlink:1000000TB/s,10ns", 3, 2e-8},
                 {APART(4, "", ""), "gpus:2 nvlink:1000000TB/s,20ns", 4, 4e-8},
                 {APART(5, "", ""), "gpus:2 nvlink:1000000TB/s,1us", 5, 2e-6}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        enum { TOKENS = 100 };
        double first_s[8], last_s[8], tpot_s = 0;
        char requests[128];
        fs_snprintf(requests, sizeof requests, "\"arrival\":\"closed\",\"concurrency\":%u,\"count\":%u," FIXED(1, 100),
                    cases[c].lanes, cases[c].lanes);
        served s = serve(cases[c].line, cases[c].engines, requests, "");
        recur(cases[c].lanes, TOKENS, cases[c].way_s, first_s, last_s);
        for (uint32_t l = 0; l < cases[c].lanes; l++) {
            ASSERT_CLOSE(s.v->requests[l].first_s, first_s[l], 1e-6);
            ASSERT_CLOSE(s.v->requests[l].done_s, last_s[l], 1e-6);
            tpot_s += (last_s[l] - first_s[l]) / (TOKENS - 1) / cases[c].lanes;
        }
        ASSERT_CLOSE(s.v->tpot.mean, tpot_s, 1e-6);
        end(&s);
    }
}

/* More micro-batches than the round trip needs: one side is busy all the time, and the report says which. */
static void the_fuller_side_bounds(void **state)
{
    (void)state;
    static const char line[] = "gpus:9 nvlink:1000000TB/s,10ns",
                      requests[] = "\"arrival\":\"closed\",\"concurrency\":8,\"count\":8," FIXED(1, 60);
    served s = serve(line, APART(4, "", ""), requests, "");
    assert_string_equal(s.v->pools[0].afd.bound, "ffn");
    assert_true(s.v->pools[1].busy > 0.97); /* the MLPs are twice as large as the rest */
    assert_true(s.v->pools[0].busy < 0.9);
    end(&s);
    s = serve(line, APART(4, "", ",\"parallel\":{\"pp\":2}"), requests, ""); /* a layer on each of two */
    assert_string_equal(s.v->pools[0].afd.bound, "attention");
    assert_true(s.v->pools[0].busy > 0.95 && s.v->pools[1].busy < 0.7);
    end(&s);
    s = serve("gpus:9 nvlink:1000000TB/s,1ms", APART(4, "", ""), requests, "");
    assert_string_equal(s.v->pools[0].afd.bound, "links");
    end(&s);
}

/* Two replicas that attend share one that has the MLPs, and its link. */
static void replicas_share_mlps(void **state)
{
    (void)state;
    static const char engines[] = APART(1, ",\"replicas\":2", ""),
                      requests[] = "\"arrival\":\"bursts\",\"burst\":2,\"rate\":1,\"count\":2," FIXED(100, 2);
    served s = serve("gpus:3 nvlink:1MB/s", engines, requests, "");
    double way_s = 2 * 100 * HIDDEN * 2 / 1e6; /* of both over the one link to the MLPs at once */
    assert_true(s.v->requests[0].replica != s.v->requests[1].replica);
    for (uint32_t i = 0; i < 2; i++) /* a prompt of a hundred tokens there and back, in each of two layers */
        ASSERT_CLOSE(s.v->requests[i].first_s - s.v->requests[i].arrival_s, 2 * 2 * way_s, 1e-2);
    end(&s);
}

/* ---- faults, memory, the trace ----------------------------------------------------------------------------------- */

static void a_slow_gpu_slows_its_side(void **state)
{
    (void)state;
    fs_fault fault = {.kind = FS_FAULT_GPU, .name = "gpu1", .speed = 0.5, .to_s = INFINITY, .origin = "--fault"};
    served whole = serve("gpus:2 nvlink:1000000TB/s", APART(1, "", ""), ONE_REQUEST FIXED(1, 1), ""), s = {0};
    s.topo = make_topo("gpus:2 nvlink:1000000TB/s");
    ASSERT_OK(fs_topo_apply_faults(s.topo, &fault, 1, &failure));
    fs_run_options options = ideal();
    ASSERT_OK(fs_serve_run(s.topo, whole.work, &options, &s.result, &failure));
    ASSERT_CLOSE(s.result.serving->ttft.mean - whole.v->ttft.mean, 2 * ffn_s(1, 1), 1e-6);
    end(&s);
    end(&whole);
}

/* Of a layer 12,288 parameters attend (and norms), 32,768 are its MLP: 65,536 B. */
static void weights_are_where_their_layers_are(void **state)
{
    (void)state;
    served s =
        serve("gpus:9 nvlink:1TB/s", APART(2, "", ",\"parallel\":{\"tp\":2,\"pp\":2}"), ONE_REQUEST FIXED(1, 2), "");
    ASSERT_CLOSE(s.v->pools[1].weight_bytes, 32768 * 2 / 2, 1e-12);
    ASSERT_CLOSE(s.v->pools[0].weight_bytes, 2 * (64 * 192 + 64 * 64 + 2 * 64) * 2 + 128 * 64 * 2, 1e-12);
    assert_int_equal(s.v->pools[1].kv_blocks, 0);
    end(&s);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char requests[] = ONE_REQUEST FIXED(1, 2);
    static const struct {
        const char *engines, *text;
    } cases[] = {
        {"{\"ffn\":{\"pool\":\"g\"}},{\"name\":\"f\",\"role\":\"ffn\"}", "there is no pool 'g'"},
        {"{\"name\":\"g\",\"ffn\":{\"pool\":\"g\"}}", "is of role 'both'; expected \"ffn\""},
        {"{},{\"name\":\"f\",\"role\":\"ffn\"}", "no pool leaves its MLPs to 'f'"},
        {"{\"name\":\"f\",\"role\":\"ffn\"}", "no pool answers requests"},
        {APART(2, ",\"parallel\":{\"pp\":2}", ""), "is of attention only"},
        {APART(2, ",\"replicas\":3", ",\"replicas\":2"), "3 replicas cannot share 2"},
        {APART(2, "", ",\"limits\":{}"), "has no sequences, so no 'limits'"},
        {APART(2, "", ",\"kv\":{\"blocks\":3}"), "blocks"},
        {APART(2, "", ",\"parallel\":{\"ep\":2}"), "does not divide the model's 0 experts"},
        {APART(2, "", ",\"parallel\":{\"tp\":3}"), "does not divide 256 columns"},
        {APART(0, "", ""), "micro_batches"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = refuse("gpus:9 nvlink:1TB/s", cases[i].engines, requests, "", FS_E_TRACE);
        if (!strstr(text, cases[i].text))
            fail_msg("case %zu: '%s'", i, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_token_goes_to_and_fro),
                                       cmocka_unit_test(fast_links_make_one_replica),
                                       cmocka_unit_test(a_shared_mlp_gathers_and_scatters),
                                       cmocka_unit_test(tokens_go_to_their_experts),
                                       cmocka_unit_test(a_window_hides_what_is_before),
                                       cmocka_unit_test(micro_batches_overlap_as_the_recurrence_says),
                                       cmocka_unit_test(the_fuller_side_bounds),
                                       cmocka_unit_test(replicas_share_mlps),
                                       cmocka_unit_test(a_slow_gpu_slows_its_side),
                                       cmocka_unit_test(weights_are_where_their_layers_are),
                                       cmocka_unit_test(what_makes_no_sense_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
