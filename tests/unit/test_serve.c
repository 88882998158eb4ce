/* test_serve.c - whole inference runs against what one can compute by hand, and against queueing theory. */
#include "serve_case.h"
#include "topo/faults.h"

#include <stdlib.h>
#include <unistd.h>

#define FIXED(n, m) "\"input\":" #n ",\"output\":" #m
#define MEASURED(prefill, decode) "\"measured\":{\"prefill_s_per_token\":" #prefill ",\"decode_s\":" #decode "}"

static const char one[] = "gpus:4 nvlink:100GB/s";

/* ---- one request --------------------------------------------------------------------------------------------------- */

static void measured_iterations_add_up(void **state)
{
    (void)state;
    served s =
        serve(one, "{" MEASURED(1e-3, 0.02) "}", "\"arrival\":\"constant\",\"rate\":1,\"count\":1," FIXED(100, 11), "");
    assert_int_equal(s.v->ttft.count, 1);
    ASSERT_CLOSE(s.v->ttft.mean, 0.1, 1e-9);
    ASSERT_CLOSE(s.v->tpot.mean, 0.02, 1e-9);
    ASSERT_CLOSE(s.v->itl.mean, 0.02, 1e-9);
    ASSERT_CLOSE(s.v->itl.count, 10, 1e-9);
    ASSERT_CLOSE(s.v->e2e.mean, 0.3, 1e-9);
    ASSERT_CLOSE(s.result.step_time_s, 1.3, 1e-9); /* it came after a second */
    ASSERT_CLOSE(s.v->alone_ttft_s, 0.1, 1e-9);
    ASSERT_CLOSE(s.v->alone_tpot_s, 0.02, 1e-9);
    assert_false(s.v->unstable);
    end(&s);
}

/* The kernels of docs/MODEL.md, Serving, for the tiny model under --cost ideal: 100 TFLOP/s, 2 TB/s, everything is bound by
 * memory. `tokens` in bf16, of which `queries` see `keys` each, `rows` of logits; split over tp. */
static double by_hand(double tokens, double keys, double rows, double tp)
{
    const double h = 64, f = 256 / tp, v = 128 / tp, q = 64 / tp, kv = 128 / tp, rate = 2e12, each = 2;
    double bytes = 0;
    bytes += 2 * 4 * tokens * h;                        /* norms */
    bytes += h * (q + kv) + tokens * (h + q + kv);      /* qkv */
    bytes += tokens * (2 * q + 2 * kv);                 /* rotation */
    bytes += keys * kv + tokens * 2 * q;                /* attention */
    bytes += q * h + tokens * (q + h);                  /* projection */
    bytes += h * f + tokens * (h + f) + tokens * 2 * f; /* in, activation */
    bytes += f * h + tokens * (f + h);                  /* out */
    bytes *= 2;                                         /* layers */
    bytes += 2 * tokens * h;                            /* embedding */
    bytes += 2 * rows * h + v * h + rows * (v + h) + 3 * rows * 128;
    return bytes * each / rate;
}

static void kernels_add_up(void **state)
{
    (void)state;
    served s = serve(one, "{}", "\"arrival\":\"constant\",\"rate\":1,\"count\":1," FIXED(10, 4), "");
    ASSERT_CLOSE(s.v->ttft.mean, by_hand(10, 10, 1, 1), 1e-9);
    double decode_s = by_hand(1, 11, 1, 1) + by_hand(1, 12, 1, 1) + by_hand(1, 13, 1, 1);
    ASSERT_CLOSE(s.v->tpot.mean, decode_s / 3, 1e-9);
    end(&s);
}

/* Two all-reduces a layer and one for the embedding, over 2 GPUs each: a ring has 2 latencies, and S bytes at full rate; one
 * shot has a latency and as many bytes. Then the logits are gathered: 1 latency, half of them. */
static void tensor_parallelism_adds_its_collectives(void **state)
{
    (void)state;
    static const char *const engines[] = {"{\"parallel\":{\"tp\":2},\"all_reduce\":\"nccl\"}",
                                          "{\"parallel\":{\"tp\":2}}"};
    for (int shots = 0; shots < 2; shots++) {
        served s = serve("gpus:2 nvlink:100GB/s,1us", engines[shots],
                         "\"arrival\":\"constant\",\"rate\":1,\"count\":1," FIXED(10, 1), "");
        double latency_s = 2e-6, reduce_s = (2 - shots) * latency_s + 10 * 64 * 2 / 100e9;
        double gather_s = latency_s + 128 / 100e9;
        ASSERT_CLOSE(s.v->ttft.mean, by_hand(10, 10, 1, 2) + 5 * reduce_s + gather_s, 1e-9);
        ASSERT_CLOSE(s.v->alone_ttft_s, s.v->ttft.mean, 1e-9);
        end(&s);
    }
}

/* Prompts' kernels at half their speed; a token that is decoded takes what it did. */
static void prompts_have_an_efficiency(void **state)
{
    (void)state;
    static const char requests[] = "\"arrival\":\"constant\",\"rate\":1,\"count\":1," FIXED(100, 4);
    fs_run_options options = ideal();
    options.cost = FS_COST_NCCL;
    served whole = serve_with(one, "{}", requests, "", options);
    served half = serve_with(one, "{\"overhead\":{\"prompt_efficiency\":0.5}}", requests, "", options);
    ASSERT_CLOSE(half.v->ttft.mean, 2 * whole.v->ttft.mean, 1e-9);
    ASSERT_CLOSE(half.v->tpot.mean, whole.v->tpot.mean, 1e-9);
    end(&half);
    end(&whole);
}

/* Two stages of a layer each, and what they send: 10 tokens of 64 numbers. */
static void pipelines_pass_tokens_on(void **state)
{
    (void)state;
    served s = serve("gpus:2 nvlink:100GB/s,1us", "{\"parallel\":{\"pp\":2}}",
                     "\"arrival\":\"constant\",\"rate\":1,\"count\":1," FIXED(10, 1), "");
    ASSERT_CLOSE(s.v->ttft.mean, by_hand(10, 10, 1, 1) + 2e-6 + 10 * 64 * 2 / 100e9, 1e-9);
    end(&s);
    /* with many under way the stages overlap: iterations of two lanes, each half as long in a stage */
    s = serve(one, "{\"parallel\":{\"pp\":2}," MEASURED(0, 0.02) "}",
              "\"arrival\":\"closed\",\"concurrency\":2,\"count\":2," FIXED(1, 101), "");
    ASSERT_CLOSE(s.v->tpot.mean, (2.00 + 2.01) / 2 / 100, 1e-9); /* the second one waits for a stage once */
    ASSERT_CLOSE(s.v->pools[0].busy, 1, 0.01);
    end(&s);
}

static void a_slow_gpu_slows_its_replica(void **state)
{
    (void)state;
    static const char requests[] = "\"arrival\":\"constant\",\"rate\":1,\"count\":1," FIXED(10, 4);
    served s = {0};
    fs_fault fault = {.kind = FS_FAULT_GPU, .name = "gpu0", .speed = 0.5, .to_s = INFINITY, .origin = "--fault"};
    served whole = serve(one, "{}", requests, "");
    s.topo = make_topo(one);
    ASSERT_OK(fs_topo_apply_faults(s.topo, &fault, 1, &failure));
    fs_run_options options = ideal();
    ASSERT_OK(fs_serve_run(s.topo, whole.work, &options, &s.result, &failure));
    ASSERT_CLOSE(s.result.serving->ttft.mean, 2 * whole.v->ttft.mean, 1e-9);
    end(&s);
    end(&whole);
}

/* The link that a cache leaves by at half its speed, for good. */
static void a_slow_link_slows_caches(void **state)
{
    (void)state;
    static const char engines[] =
        "{\"role\":\"prefill\"," MEASURED(0, 0.01) "},{\"role\":\"decode\"," MEASURED(0, 0.01) "}";
    static const char requests[] = "\"arrival\":\"constant\",\"rate\":1,\"count\":1," FIXED(100, 11);
    fs_fault fault = {
        .kind = FS_FAULT_LINK, .name = "gpu0", .other = "nvsw0", .speed = 0.5, .to_s = INFINITY, .origin = "--fault"};
    served whole = serve("gpus:2 nvlink:1MB/s", engines, requests, ""), s = {0};
    s.topo = make_topo("gpus:2 nvlink:1MB/s");
    ASSERT_OK(fs_topo_apply_faults(s.topo, &fault, 1, &failure));
    fs_run_options options = ideal();
    ASSERT_OK(fs_serve_run(s.topo, whole.work, &options, &s.result, &failure));
    const fs_request_row *fast = &whole.v->requests[0], *slow = &s.result.serving->requests[0];
    ASSERT_CLOSE(fast->landed_s - fast->first_s, 0.0512, 1e-9);
    ASSERT_CLOSE(slow->landed_s - slow->first_s, 0.1024, 1e-9);
    end(&s);
    end(&whole);
}

/* ---- queues -------------------------------------------------------------------------------------------------------- */

static double mean_queue(const char *engine, const char *requests, const char *distribution, uint32_t seeds)
{
    double sum = 0;
    for (uint32_t seed = 0; seed < seeds; seed++) {
        fs_run_options options = ideal();
        char text[256];
        options.seed = 17 * seed;
        fs_snprintf(text, sizeof text, "%s,%s", requests, distribution);
        served s = serve_with(one, engine, text, "", options);
        sum += s.v->queue.mean / seeds;
        assert_false(s.v->unstable);
        end(&s);
    }
    return sum;
}

/* One sequence at a time, a prompt of a second and no answer behind it: M/D/1, wait rho / (2 mu (1 - rho))
 * (Pollaczek, Khinchine). */
static void m_d_1(void **state)
{
    (void)state;
    static const char engine[] = "{\"limits\":{\"max_seqs\":1}," MEASURED(0.001, 0) "}";
    double wait_s = mean_queue(engine, "\"rate\":0.6,\"count\":100000", FIXED(1000, 1), 4);
    ASSERT_CLOSE(wait_s, 0.6 / (2 * 0.4), 0.02);
}

/* c sequences at a time, answers of exponential lengths, tokens at a rate of their own: M/M/c with the wait of Erlang's C.
 * Iterations take 5 ms, of which an arrival waits half before it is seen. */
static void m_m_c(void **state)
{
    (void)state;
    static const char engine[] = "{\"limits\":{\"max_seqs\":4},\"kv\":{\"blocks\":100000}," MEASURED(0, 0.005) "}";
    double wait_s =
        mean_queue(engine, "\"rate\":2.8,\"count\":100000", "\"input\":1,\"output\":{\"exponential\":200}", 2);
    double a = 2.8, term = 1, sum = 0; /* offered load 2.8 of 4 servers, which serve one a second */
    for (int k = 0; k < 4; k++, term *= a / k)
        sum += term;
    double last = term / (1 - a / 4), erlang_c = last / (sum + last);
    ASSERT_CLOSE(wait_s - 0.0025 * (1 - erlang_c), erlang_c / (4 - 2.8), 0.02);
}

static void overload_is_said(void **state)
{
    (void)state;
    static const char engine[] = "{\"limits\":{\"max_seqs\":1}," MEASURED(0.001, 0) "}";
    served s = serve(one, engine, "\"rate\":1.2,\"count\":2000," FIXED(1000, 1), "");
    assert_true(s.v->unstable);
    assert_true(s.v->queued[3] > s.v->queued[0]);
    assert_int_equal(s.v->e2e.count, 2000); /* and all of them end */
    end(&s);
    s = serve(one, engine, "\"rate\":0.8,\"count\":2000," FIXED(1000, 1), "");
    assert_false(s.v->unstable);
    end(&s);
}

/* ---- objectives, limits -------------------------------------------------------------------------------------------- */

static void objectives_are_counted(void **state)
{
    (void)state;
    /* two come at once and share the engine one by one: the second one's first token is late */
    static const char engine[] = "{\"limits\":{\"max_seqs\":1}," MEASURED(0.001, 0.01) "}";
    static const char requests[] = "\"arrival\":\"bursts\",\"burst\":2,\"rate\":1,\"count\":2," FIXED(100, 11);
    served s = serve(one, engine, requests, ",\"slo\":{\"ttft_s\":0.15,\"tpot_s\":0.02}");
    ASSERT_CLOSE(s.v->slo_met, 0.5, 1e-9);
    ASSERT_CLOSE(s.v->ttft.greatest, 0.1 + 0.1 + 0.1, 1e-9);
    ASSERT_CLOSE(s.v->queue.greatest, 0.2, 1e-9);
    ASSERT_CLOSE(s.v->goodput_tokens_per_s * s.result.step_time_s, 11, 1e-9);
    assert_true(s.v->alone_ttft_s <= s.v->slo_ttft_s);
    end(&s);
    s = serve(one, engine, requests, ",\"slo\":{\"ttft_s\":0.05}");
    assert_true(s.v->slo_met == 0);
    assert_true(s.v->alone_ttft_s > s.v->slo_ttft_s); /* which the report says */
    end(&s);
}

static void what_never_fits_is_rejected(void **state)
{
    (void)state;
    static const char engine[] = "{\"kv\":{\"block_tokens\":16,\"blocks\":4}," MEASURED(0.001, 0.01) "}";
    served s = serve(
        one, engine,
        "\"arrival\":\"closed\",\"concurrency\":3,\"count\":50,\"input\":{\"uniform\":[1,100]},\"output\":10", "");
    uint32_t rejected = 0;
    for (uint32_t i = 0; i < s.v->n_rows; i++) {
        const fs_request_row *r = &s.v->requests[i];
        assert_int_equal(r->rejected, r->input + 9 > 64);
        rejected += r->rejected;
    }
    assert_int_equal(s.v->n_rejected, rejected);
    assert_true(rejected > 0 && rejected < 50);
    assert_int_equal(s.v->e2e.count, 50 - rejected);
    end(&s);
}

/* A file is what was asked: of 30, 31 and 32 tokens in, with 10 out, a context of 41 holds two. */
static void what_is_longer_than_the_context_is_rejected(void **state)
{
    (void)state;
    static const fs_request asked[] = {{.arrival_s = 0, .input = 30, .output = 10},
                                       {.arrival_s = 1, .input = 32, .output = 10},
                                       {.arrival_s = 2, .input = 31, .output = 10}};
    static const char text[] =
        "{\"fabsim\":\"trace/1\",\"kind\":\"inference\",\"name\":\"t\",\"model\":{\"layers\":2,\"hidden\":64,"
        "\"heads\":4,\"ffn\":256,\"vocab\":128,\"seq\":41},\"engines\":[{}],\"requests\":{\"rate\":1,\"count\":3,"
        "\"input\":1,\"output\":1}}";
    fs_topo *topo = make_topo(one);
    fs_work *work = NULL;
    fs_result result = {0};
    fs_run_options options = fs_run_default();
    ASSERT_OK(fs_work_parse("t.json", text, strlen(text), NULL, 0, &work, &failure));
    fs_inference in = *work->inference;
    fs_work given = *work;
    in.source.requests = asked;
    given.inference = &in;
    ASSERT_OK(fs_serve_run(topo, &given, &options, &result, &failure));
    assert_int_equal(result.serving->n_rejected, 1);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(result.serving->requests[i].rejected, i == 1);
    fs_result_free(&result);
    fs_work_free(work);
    fs_topo_free(topo);
}

static void shared_prompts_are_found(void **state)
{
    (void)state;
    static const char requests[] =
        "\"arrival\":\"constant\",\"rate\":1,\"count\":10,\"prefix\":{\"groups\":1,\"tokens\":64}," FIXED(100, 2);
    served s = serve(one, "{\"kv\":{\"prefix_cache\":true}," MEASURED(0.001, 0.01) "}", requests, "");
    ASSERT_CLOSE(s.v->pools[0].kv_hits, 0.9, 1e-9);
    assert_int_equal(s.v->requests[0].cached, 0);
    assert_int_equal(s.v->requests[5].cached, 64);
    ASSERT_CLOSE(s.v->requests[5].first_s - s.v->requests[5].arrival_s, 0.036, 1e-9);
    end(&s);
    s = serve(one, "{" MEASURED(0.001, 0.01) "}", requests, "");
    ASSERT_CLOSE(s.v->ttft.greatest, 0.1, 1e-9);
    end(&s);
}

/* With the router that looks for it, a group stays where its prefix is. */
static void the_router_finds_prefixes(void **state)
{
    (void)state;
    static const char engine[] = "{\"replicas\":4,\"kv\":{\"prefix_cache\":true}," MEASURED(0.0001, 0.001) "}";
    static const char requests[] = "\"rate\":1,\"count\":200,\"prefix\":{\"groups\":8,\"tokens\":512}," FIXED(600, 5);
    served by_prefix = serve(one, engine, requests, ",\"router\":\"prefix\"");
    served in_turn = serve(one, engine, requests, ",\"router\":\"round_robin\"");
    ASSERT_CLOSE(by_prefix.v->pools[0].kv_hits, (200 - 8) / 200.0, 1e-9); /* each group once for the first time */
    ASSERT_CLOSE(in_turn.v->pools[0].kv_hits, (200 - 32) / 200.0, 1e-9);  /* on each replica */
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(in_turn.v->requests[i].replica, i % 4);
    end(&by_prefix);
    end(&in_turn);
}

/* ---- prefill and decode apart -------------------------------------------------------------------------------------- */

#define APART                                                                                                          \
    "{\"name\":\"p\",\"role\":\"prefill\"," MEASURED(0.001, 0.01) "},"                                                 \
                                                                  "{\"name\":\"d\",\"role\":\"decode\"," MEASURED(     \
                                                                      0.001, 0.01) "}"

/* 100 tokens of 2 layers x 2 x 64 numbers of 2 bytes: 51,200 B. Half of them, a layer's, leave beside the kernels, the
 * other half behind them. */
static void caches_travel_layer_by_layer(void **state)
{
    (void)state;
    served s =
        serve("gpus:2 nvlink:1MB/s", APART, "\"arrival\":\"constant\",\"rate\":1,\"count\":1," FIXED(100, 11), "");
    ASSERT_CLOSE(s.v->ttft.mean, 0.1, 1e-9);
    /* the first layer is done after 50 ms; its 25.6 ms over the link end before the second is */
    ASSERT_CLOSE(s.v->e2e.mean, 0.1 + 0.0256 + 0.1, 1e-9);
    ASSERT_CLOSE(s.v->pools[0].kv_sent_bytes, 51200, 1e-12);
    ASSERT_CLOSE(s.result.links[0].bytes, 51200, 1e-12);
    ASSERT_CLOSE(s.v->itl.greatest, 0.0256 + 0.01, 1e-9);
    end(&s);
}

/* An answer of one token needs no decoding. */
static void a_single_token_stays(void **state)
{
    (void)state;
    served s =
        serve("gpus:2 nvlink:1MB/s", APART, "\"arrival\":\"constant\",\"rate\":1,\"count\":3," FIXED(100, 1), "");
    assert_true(s.v->pools[0].kv_sent_bytes == 0);
    ASSERT_CLOSE(s.v->e2e.mean, 0.1, 1e-9);
    end(&s);
}

/* Continuous batching of sequences that come with their prompt, step after step. */
static void decode_by_hand(const double *arrive_s, uint32_t n, uint32_t tokens, double step_s, double *done_s)
{
    uint32_t left[64], started = 0, done = 0;
    double now_s = 0;
    for (uint32_t i = 0; i < n; i++)
        left[i] = tokens;
    while (done < n) {
        if (started == done && arrive_s[started] > now_s)
            now_s = arrive_s[started];
        while (started < n && arrive_s[started] <= now_s)
            started++;
        now_s += step_s;
        for (uint32_t i = 0; i < started; i++)
            if (left[i] > 0 && --left[i] == 0) {
                done_s[i] = now_s;
                done++;
            }
    }
}

/* With links of no time, a prefill pool is a queue of its own, and the decode pool one that it feeds. */
static void fast_links_make_two_pools(void **state)
{
    (void)state;
    enum { N = 60, OUT = 21 };
    static const char line[] = "gpus:2 nvlink:1000000TB/s",
                      requests[] = "\"rate\":5,\"count\":60,\"input\":{\"uniform\":[50,300]}";
    char with[128], without[128];
    double first_s[N], done_s[N];
    fs_snprintf(with, sizeof with, "%s,\"output\":%d", requests, OUT);
    fs_snprintf(without, sizeof without, "%s,\"output\":1", requests);
    static const char prefill[] = "\"limits\":{\"max_seqs\":1}," MEASURED(0.001, 0.01);
    char both[512], alone[256];
    fs_snprintf(both, sizeof both, "{\"role\":\"prefill\",%s},{\"role\":\"decode\"," MEASURED(0.001, 0.01) "}",
                prefill);
    fs_snprintf(alone, sizeof alone, "{%s}", prefill);
    served apart = serve(line, both, with, ""), first = serve(line, alone, without, "");
    for (uint32_t i = 0; i < N; i++)
        first_s[i] = first.v->requests[i].done_s;
    decode_by_hand(first_s, N, OUT - 1, 0.01, done_s);
    for (uint32_t i = 0; i < N; i++) {
        ASSERT_CLOSE(apart.v->requests[i].first_s, first_s[i], 1e-9);
        ASSERT_CLOSE(apart.v->requests[i].done_s, done_s[i], 1e-6);
    }
    end(&apart);
    end(&first);
}

/* No blocks for a second sequence: it stays on the prefill replica until the first has gone. */
static void caches_wait_for_room(void **state)
{
    (void)state;
    static const char engines[] = "{\"role\":\"prefill\"," MEASURED(
        0.001, 0.01) "},"
                     "{\"role\":\"decode\",\"kv\":{\"blocks\":8}," MEASURED(0.001, 0.01) "}";
    served s = serve("gpus:2 nvlink:1GB/s", engines,
                     "\"arrival\":\"bursts\",\"burst\":2,\"rate\":1,\"count\":2," FIXED(100, 11), "");
    const fs_request_row *r = s.v->requests;
    double copy_s = 51200 / 1e9; /* whole, and not before there is room */
    ASSERT_CLOSE(r[1].first_s - r[1].arrival_s, 0.2, 1e-9);
    assert_true(r[0].done_s < r[1].done_s);
    ASSERT_CLOSE(r[1].done_s, r[0].done_s + copy_s + 0.1, 1e-9);
    end(&s);
}

/* Two sequences and blocks for one of them and a half: the second one leaves its 32 tokens with the CPU after 10 ms, and
 * they come back when the first one is done after 40; its last three tokens then take 30. */
static void caches_go_to_the_cpu_and_back(void **state)
{
    (void)state;
    static const char requests[] =
        "\"arrival\":\"bursts\",\"burst\":2,\"rate\":1,\"count\":2,\"input\":31,\"output\":5";
    static const char engine[] = "{\"kv\":{\"blocks\":4,\"preemption\":\"%s\"}," MEASURED(0, 0.01) "}";
    char swap[256], recompute[256];
    fs_snprintf(swap, sizeof swap, engine, "swap");
    fs_snprintf(recompute, sizeof recompute, engine, "recompute");
    served a = serve("topologies/dgx-h100.xml", swap, requests, ""),
           b = serve("topologies/dgx-h100.xml", recompute, requests, "");
    double begin_s = a.v->requests[0].arrival_s, wait_s = a.v->requests[1].done_s - begin_s;
    assert_int_equal(a.v->preemptions, 1);
    ASSERT_CLOSE(a.v->requests[0].done_s - begin_s, 0.04, 1e-9);
    assert_true(wait_s > 0.07 && wait_s < 0.0701); /* 16 KiB over PCIe */
    ASSERT_CLOSE(a.result.links[0].bytes, 32 * 512, 1e-9);
    ASSERT_CLOSE(b.v->requests[1].done_s - begin_s, 0.06,
                 1e-9); /* computes them again in no time, and with them a token */
    assert_int_equal(b.result.n_links, 0);
    end(&a);
    end(&b);
    assert_non_null(strstr(refuse(one, swap, requests, "", FS_E_TRACE), "needs a CPU beside its GPUs"));
}

/* ---- contention ---------------------------------------------------------------------------------------------------- */

/* Two nodes of two GPUs, a NIC beside each GPU. Experts of the decode replica are on GPUs 1, 2 and 3, so that its
 * all-to-alls leave the first node by the NIC of GPU 1; its dp rank 0 is that GPU's. The prefill replica on GPU 0 sends
 * caches to all three. `long_ones` are being decoded when eight others come. */
static fs_result mixed_run(const fs_topo *topo, uint32_t long_ones, uint32_t late_ones)
{
    char path[] = "/tmp/fabsim-serve-XXXXXX", text[2048];
    int file = mkstemp(path);
    assert_true(file >= 0);
    FILE *out = fdopen(file, "w");
    fprintf(out, "TIMESTAMP,ContextTokens,GeneratedTokens\n");
    for (uint32_t i = 0; i < long_ones; i++)
        fprintf(out, "0,16,200\n");
    for (uint32_t i = 0; i < late_ones; i++)
        fprintf(out, "%s,2048,2\n", long_ones > 0 ? "0.05" : "0");
    assert_int_equal(fclose(out), 0);
    fs_snprintf(text, sizeof text,
                "{\"fabsim\":\"trace/1\",\"kind\":\"inference\",\"model\":{\"layers\":4,\"hidden\":1024,\"heads\":8,"
                "\"ffn\":256,\"vocab\":128,\"seq\":4096,\"bias\":false,\"moe\":{\"experts\":6,\"top_k\":2,"
                "\"ffn\":64}},\"engines\":[{\"role\":\"prefill\"},{\"role\":\"decode\",\"parallel\":{\"dp\":3,"
                "\"ep\":3}}],\"requests\":{\"file\":\"%s\"}}",
                path);
    fs_work *work = NULL;
    fs_result result = {0};
    ASSERT_OK(fs_work_parse("t.json", text, strlen(text), NULL, 0, &work, &failure));
    fs_run_options options = ideal();
    ASSERT_OK(fs_serve_run(topo, work, &options, &result, &failure));
    fs_work_free(work);
    unlink(path);
    result.work = NULL;
    return result;
}

/* Decoding of the first 48; the others decode a single step, so that only their caches can slow it down. */
static double decoding_s(const fs_result *r)
{
    double sum = 0;
    for (uint32_t i = 0; i < 48; i++)
        sum += r->serving->requests[i].done_s - r->serving->requests[i].landed_s;
    return sum / 48;
}

/* From the first token to the cache being there, of the last eight. */
static double landing_s(const fs_result *r)
{
    double sum = 0;
    for (uint32_t i = r->serving->n_rows - 8; i < r->serving->n_requests; i++)
        sum += r->serving->requests[i].landed_s - r->serving->requests[i].first_s;
    return sum / 8;
}

static void caches_and_experts_share_a_nic(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("nodes:2 gpus:2 nvlink:1000GB/s nic:1GB/s spine");
    fs_result both = mixed_run(topo, 48, 8), late = mixed_run(topo, 0, 8), early = mixed_run(topo, 48, 0);
    char name[FS_LINK_NAME_SIZE];
    assert_true(landing_s(&both) > 1.1 * landing_s(&late));     /* all-to-alls slow the caches down, */
    assert_true(decoding_s(&both) > 1.05 * decoding_s(&early)); /* and caches the all-to-alls, */
    fs_link_name(topo, both.links[0].link, name, sizeof name);
    assert_non_null(strstr(name, "nic")); /* on a NIC, and the report names it */
    assert_true(both.links[0].peak_utilization > 0.999);
    fs_result_free(&both);
    fs_result_free(&late);
    fs_result_free(&early);
    fs_topo_free(topo);
}

/* What leaves node 0 through its NICs: a prompt of 160 tokens and one decoding step on four ranks of two nodes, top_k 2. */
static double leaving_bytes(const char *dispatch)
{
    static char text[2048];
    fs_topo *topo = make_topo("nodes:2 gpus:2 nvlink:1000GB/s nic:1GB/s spine");
    fs_work *work = NULL;
    fs_result result = {0};
    double sum = 0;
    fs_snprintf(text, sizeof text,
                "{\"fabsim\":\"trace/1\",\"kind\":\"inference\",\"name\":\"t\",\"model\":{\"layers\":2,\"hidden\":64,"
                "\"heads\":4,\"ffn\":256,\"vocab\":128,\"seq\":4096,\"moe\":{\"experts\":4,\"top_k\":2,\"ffn\":64}},"
                "\"engines\":[{\"parallel\":{\"dp\":4,\"ep\":4}%s}],"
                "\"requests\":{\"rate\":1,\"count\":1,\"input\":160,\"output\":2}}",
                dispatch);
    ASSERT_OK(fs_work_parse("t.json", text, strlen(text), NULL, 0, &work, &failure));
    fs_run_options options = ideal();
    ASSERT_OK(fs_serve_run(topo, work, &options, &result, &failure));
    for (uint32_t i = 0; i < result.n_links; i++) {
        char name[FS_LINK_NAME_SIZE];
        fs_link_name(topo, result.links[i].link, name, sizeof name);
        sum += strncmp(name, "node0/nic", 9) == 0 && !strstr(name, "gpu") ? result.links[i].bytes : 0;
    }
    fs_result_free(&result);
    fs_work_free(work);
    fs_topo_free(topo);
    return sum;
}

/* A copy for each of two experts, half of which are on the other node; or one where any of them is, 1 - (1/2)^2 of the
 * tokens. Half of the tokens are node 0's; 64 numbers of 2 bytes, two layers, there and back. */
static void tokens_are_forwarded_once_to_a_domain(void **state)
{
    (void)state;
    const double each = 64 * 2 * 2 * 2 / 2.0, copies = 2 * 0.5, once = 0.75;
    ASSERT_CLOSE(leaving_bytes(",\"dispatch\":{\"algo\":\"direct\"}"), 161 * each * copies, 1e-9);
    ASSERT_CLOSE(leaving_bytes(",\"dispatch\":{\"algo\":\"lowlatency\"}"), 161 * each * copies, 1e-9);
    ASSERT_CLOSE(leaving_bytes(",\"dispatch\":{\"algo\":\"forwarded\"}"), 161 * each * once, 1e-9);
    ASSERT_CLOSE(leaving_bytes(""), 160 * each * once + each * copies, 1e-9); /* auto: by phase */
    /* one domain of two is open: half of the tokens stay, the others cross once */
    ASSERT_CLOSE(leaving_bytes(",\"dispatch\":{\"top_domains\":1}"), 160 * each / 2 + each * copies, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(measured_iterations_add_up),
                                       cmocka_unit_test(kernels_add_up),
                                       cmocka_unit_test(tensor_parallelism_adds_its_collectives),
                                       cmocka_unit_test(prompts_have_an_efficiency),
                                       cmocka_unit_test(pipelines_pass_tokens_on),
                                       cmocka_unit_test(a_slow_gpu_slows_its_replica),
                                       cmocka_unit_test(a_slow_link_slows_caches),
                                       cmocka_unit_test(m_d_1),
                                       cmocka_unit_test(m_m_c),
                                       cmocka_unit_test(overload_is_said),
                                       cmocka_unit_test(objectives_are_counted),
                                       cmocka_unit_test(what_never_fits_is_rejected),
                                       cmocka_unit_test(what_is_longer_than_the_context_is_rejected),
                                       cmocka_unit_test(shared_prompts_are_found),
                                       cmocka_unit_test(the_router_finds_prefixes),
                                       cmocka_unit_test(caches_travel_layer_by_layer),
                                       cmocka_unit_test(a_single_token_stays),
                                       cmocka_unit_test(fast_links_make_two_pools),
                                       cmocka_unit_test(caches_wait_for_room),
                                       cmocka_unit_test(caches_go_to_the_cpu_and_back),
                                       cmocka_unit_test(caches_and_experts_share_a_nic),
                                       cmocka_unit_test(tokens_are_forwarded_once_to_a_domain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
