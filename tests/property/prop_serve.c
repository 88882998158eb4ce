/* prop_serve.c - random inference jobs: every request ends or is rejected, times are in order, blocks and tokens add up,
 * the same seed gives the same run. */
#include "../unit/serve_case.h"
#include "base/rng.h"

enum { RUNS = 150 };

static uint32_t pick(fs_rng *rng, uint32_t low, uint32_t high)
{
    return low + fs_rng_below(rng, high - low + 1);
}

static const char *flag(fs_rng *rng)
{
    return fs_rng_below(rng, 2) ? "true" : "false";
}

static int add_pool(fs_rng *rng, const char *role, bool swap, char *text, size_t size)
{
    uint32_t tp = 1u << fs_rng_below(rng, 2), pp = pick(rng, 1, 2), dp = pick(rng, 1, 2);
    const char *measured =
        fs_rng_below(rng, 2) ? ",\"measured\":{\"prefill_s_per_token\":0.0001,\"decode_s\":0.01}" : "";
    int used = fs_snprintf(text, size,
                           "{\"role\":\"%s\",\"replicas\":%u,\"parallel\":{\"tp\":%u,\"pp\":%u,\"dp\":%u},"
                           "\"limits\":{\"max_tokens\":%u,\"max_seqs\":%u,\"chunked_prefill\":%s%s},\"overlap\":\"%s\","
                           "\"kv\":{\"block_tokens\":%u,\"blocks\":%u,\"prefix_cache\":%s,\"preemption\":\"%s\"}%s",
                           role, pick(rng, 1, 2), tp, pp, dp, pick(rng, 8, 300), pick(rng, 1, 20), flag(rng),
                           fs_rng_below(rng, 2) ? ",\"balance_iterations\":7" : "",
                           fs_rng_below(rng, 2) ? "none" : "two_batch", pick(rng, 1, 20), pick(rng, 8, 60), flag(rng),
                           swap ? "swap" : "recompute", measured);
    if (fs_rng_below(rng, 2))
        used += fs_snprintf(text + used, size - (size_t)used, ",\"speculative\":{\"tokens\":%u,\"acceptance\":0.%u}",
                            pick(rng, 1, 4), pick(rng, 0, 9));
    return used + fs_snprintf(text + used, size - (size_t)used, "}");
}

/* One that leaves its MLPs to another, which the first pool does not. */
static int add_apart(fs_rng *rng, const char *role, bool swap, char *text, size_t size)
{
    uint32_t mlps = pick(rng, 1, 2);
    return fs_snprintf(text, size,
                       "{\"role\":\"%s\",\"replicas\":%u,\"parallel\":{\"tp\":%u,\"dp\":%u},\"ffn\":{\"pool\":\"mlps\","
                       "\"micro_batches\":%u},\"limits\":{\"max_tokens\":%u,\"max_seqs\":%u,\"chunked_prefill\":%s},"
                       "\"kv\":{\"block_tokens\":%u,\"blocks\":%u,\"preemption\":\"%s\"}},"
                       "{\"role\":\"ffn\",\"name\":\"mlps\",\"replicas\":%u,\"parallel\":{\"tp\":%u,\"pp\":%u}}",
                       role, mlps * pick(rng, 1, 2), pick(rng, 1, 2), pick(rng, 1, 2), pick(rng, 1, 5),
                       pick(rng, 8, 300), pick(rng, 1, 20), flag(rng), pick(rng, 1, 20), pick(rng, 8, 60),
                       swap ? "swap" : "recompute", mlps, pick(rng, 1, 2), pick(rng, 1, 2));
}

static void make_engines(fs_rng *rng, bool swap, bool mlps, char *text, size_t size)
{
    bool apart = fs_rng_below(rng, 2);
    int used = add_pool(rng, apart ? "prefill" : "both", swap, text, size);
    used += fs_snprintf(text + used, size - (size_t)used, ",");
    (mlps ? add_apart : add_pool)(rng, apart ? "decode" : "both", swap, text + used, size - (size_t)used);
}

static void make_requests(fs_rng *rng, char *text, size_t size)
{
    static const char *const arrivals[] = {
        "\"rate\":40", "\"arrival\":\"gamma\",\"cv\":3,\"rate\":20", "\"arrival\":\"bursts\",\"burst\":7,\"rate\":30",
        "\"arrival\":\"constant\",\"rate\":25", "\"arrival\":\"closed\",\"concurrency\":9"};
    static const char *const lengths[] = {"17", "{\"uniform\":[1,80]}", "{\"exponential\":30}",
                                          "{\"lognormal\":{\"mean\":40,\"cv\":1,\"max\":200}}"};
    fs_snprintf(
        text, size,
        "%s,\"count\":%u,\"input\":%s,\"output\":%s,\"priorities\":[3,1],\"prefix\":{\"groups\":3,\"tokens\":%u}",
        arrivals[fs_rng_below(rng, 5)], pick(rng, 1, 120), lengths[fs_rng_below(rng, 4)], lengths[fs_rng_below(rng, 4)],
        pick(rng, 1, 40));
}

static void check_request(const fs_request_row *r, bool apart)
{
    if (r->rejected) {
        assert_int_equal(r->replica, FS_NONE);
        return;
    }
    assert_true(r->arrival_s <= r->start_s && r->start_s <= r->first_s && r->first_s <= r->done_s);
    assert_true(r->cached < r->input);
    if (apart && r->output > 1)
        assert_true(r->first_s <= r->landed_s && r->landed_s <= r->done_s && r->target != FS_NONE);
    else
        assert_int_equal(r->target, FS_NONE);
}

static void check(const served *s)
{
    const fs_serving_result *v = s->v;
    bool apart = s->work->inference->pools[0].role == FS_ROLE_PREFILL;
    uint32_t rejected = 0;
    uint64_t preemptions = 0, of_pools = 0;
    double prompt = 0, computed = 0, sent = 0, kv_bytes = 0;
    for (uint32_t i = 0; i < v->n_requests; i++) {
        const fs_request_row *r = &v->requests[i];
        check_request(r, apart);
        rejected += r->rejected;
        preemptions += r->preemptions;
        prompt += r->rejected ? 0 : r->input - r->cached;
        kv_bytes += r->target == FS_NONE ? 0 : r->input * 512.0; /* 2 layers, keys and values, 64 numbers, 2 bytes */
    }
    for (uint32_t p = 0; p < v->n_pools; p++) {
        of_pools += v->pools[p].preemptions;
        computed += v->pools[p].prompt_tokens_per_s * s->result.step_time_s;
        sent += v->pools[p].kv_sent_bytes;
        assert_true(v->pools[p].kv_peak <= 1 && v->pools[p].kv_mean <= v->pools[p].kv_peak);
        assert_true(v->pools[p].busy <= 1 + 1e-9 && v->pools[p].compute <= v->pools[p].busy + 1e-9);
        const fs_afd_row *a = &v->pools[p].afd;
        double parts = a->attention + a->attention_queue + a->ffn_work + a->ffn_queue + a->there + a->back;
        assert_true(!a->ffn || fabs(parts - 1) <= 1e-9);
    }
    assert_int_equal(v->n_rejected, rejected);
    assert_int_equal(v->e2e.count, v->n_requests - rejected);
    assert_int_equal(preemptions, of_pools);
    assert_true(preemptions > 0 ? computed >= prompt * (1 - 1e-9) : fabs(computed - prompt) <= 1e-6 * (prompt + 1));
    assert_true(fabs(sent - kv_bytes) <= 1e-6 * (kv_bytes + 1));
}

/* fs_kv_count asserts that blocks are free, private or shared, and that all that were taken are given back or kept. */
static void requests_and_blocks_are_conserved(void **state)
{
    (void)state;
    uint64_t preemptions = 0, rejected = 0;
    for (uint32_t run = 0; run < RUNS; run++) {
        char engines[2048], requests[512];
        bool swap = run % 4 == 3;
        const char *line = swap ? "topologies/gb200-nvl72.xml" : "gpus:32 nvlink:1GB/s,1us"; /* has CPUs; has none */
        fs_rng rng = fs_rng_seed(run);
        make_engines(&rng, swap, run % 3 == 1, engines, sizeof engines);
        make_requests(&rng, requests, sizeof requests);
        static const char *const routers[] = {"round_robin", "least_loaded", "prefix"};
        char more[64];
        fs_snprintf(more, sizeof more, ",\"router\":\"%s\"", routers[run % 3]);
        print_message("# run %u: [%s] {%s}%s\n", run, engines, requests, more);
        served a = serve(line, engines, requests, more);
        served b = serve(line, engines, requests, more);
        check(&a);
        assert_memory_equal(a.v->requests, b.v->requests, a.v->n_requests * sizeof *a.v->requests);
        assert_int_equal(a.result.counters.events, b.result.counters.events);
        preemptions += a.v->preemptions;
        rejected += a.v->n_rejected;
        end(&a);
        end(&b);
    }
    assert_true(preemptions > 100 && rejected > 100); /* both were tried */
}

/* Twice the rates of everything: half the time. */
static void faster_is_shorter(void **state)
{
    (void)state;
    static const char requests[] =
        "\"arrival\":\"closed\",\"concurrency\":20,\"count\":200,\"input\":{\"uniform\":[10,500]},"
        "\"output\":{\"uniform\":[2,50]}";
    static const char slow[] = "{\"role\":\"prefill\",\"measured\":{\"prefill_s_per_token\":0.0002,\"decode_s\":0.02}},"
                               "{\"role\":\"decode\",\"measured\":{\"prefill_s_per_token\":0.0002,\"decode_s\":0.02}}";
    static const char fast[] = "{\"role\":\"prefill\",\"measured\":{\"prefill_s_per_token\":0.0001,\"decode_s\":0.01}},"
                               "{\"role\":\"decode\",\"measured\":{\"prefill_s_per_token\":0.0001,\"decode_s\":0.01}}";
    served a = serve("gpus:2 nvlink:10MB/s", slow, requests, ""), b = serve("gpus:2 nvlink:20MB/s", fast, requests, "");
    ASSERT_CLOSE(a.result.step_time_s, 2 * b.result.step_time_s, 1e-6);
    ASSERT_CLOSE(a.v->ttft.mean, 2 * b.v->ttft.mean, 1e-6);
    ASSERT_CLOSE(a.v->tpot.mean, 2 * b.v->tpot.mean, 1e-6);
    end(&a);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(requests_and_blocks_are_conserved),
                                       cmocka_unit_test(faster_is_shorter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
