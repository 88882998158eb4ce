/* test_batcher.c - who is in the next iteration: budgets, chunks, priorities, preemption, speculation. */
#include "../fixture.h"
#include "serve/batcher.h"

enum { REQUESTS = 8 };

typedef struct bench {
    fs_kv *kv;
    fs_batcher *b;
    fs_seq seqs[REQUESTS];
    fs_batch batch;
} bench;

static fs_batcher_def def(void)
{
    return (fs_batcher_def){
        .lanes = 1, .max_tokens = 100, .max_seqs = 4, .seq_blocks = 1000, .chunked = true, .step_tokens = 1};
}

/* Request i has input 10 (i + 1), output 5, priority 0. */
static void open_bench(bench *t, fs_batcher_def d, uint64_t blocks)
{
    *t = (bench){0};
    for (uint32_t i = 0; i < REQUESTS; i++)
        t->seqs[i] = (fs_seq){.input = 10 * (i + 1), .output = 5, .order = i};
    ASSERT_OK(fs_kv_new(blocks, 16, 0, &t->kv, &failure));
    ASSERT_OK(fs_batcher_new(&d, t->kv, t->seqs, &t->b, &failure));
}

static void close_bench(bench *t)
{
    fs_batcher_free(t->b);
    fs_kv_free(t->kv);
}

static void submit(bench *t, uint32_t id)
{
    ASSERT_OK(fs_batcher_submit(t->b, id, &failure));
}

static bool compose(bench *t)
{
    bool any = false;
    ASSERT_OK(fs_batcher_compose(t->b, 0, &t->batch, &any, &failure));
    return any;
}

static const fs_batcher_news *finish_iteration(bench *t)
{
    ASSERT_OK(fs_batcher_finish(t->b, 0, &failure));
    return fs_batcher_news_of(t->b);
}

static void one_request(void **state)
{
    (void)state;
    bench t;
    open_bench(&t, def(), 100);
    assert_false(compose(&t));
    submit(&t, 0);
    assert_true(compose(&t));
    assert_int_equal(t.batch.decodes, 0);
    assert_int_equal(t.batch.prefill_tokens, 10);
    assert_int_equal(t.batch.outputs, 1);
    ASSERT_CLOSE(t.batch.prefill_pairs, 55, 1e-12);
    const fs_batcher_news *news = finish_iteration(&t);
    assert_int_equal(news->first.count, 1);
    for (uint32_t token = 2; token <= 5; token++) {
        assert_true(compose(&t));
        assert_int_equal(t.batch.decodes, 1);
        assert_int_equal(t.batch.decode_context, 10 + token - 1);
        news = finish_iteration(&t);
        assert_int_equal(news->finished.count, token == 5);
        assert_int_equal(news->fresh.count, token == 2);
    }
    assert_false(compose(&t));
    assert_int_equal(t.seqs[0].produced, 5);
    assert_int_equal(fs_kv_count(t.kv).free, 100);
    close_bench(&t);
}

/* 10 + 20 + 30 + 40 tokens fill the budget of 90 with 30 of the last; then decoding comes first. */
static void prompts_are_cut(void **state)
{
    (void)state;
    bench t;
    fs_batcher_def d = def();
    uint32_t n = 0;
    d.max_tokens = 90;
    open_bench(&t, d, 100);
    for (uint32_t i = 0; i < 5; i++)
        submit(&t, i);
    compose(&t);
    assert_int_equal(t.batch.chunks, 4); /* max_seqs */
    assert_int_equal(t.batch.prefill_tokens, 90);
    assert_int_equal(t.batch.outputs, 3);
    const fs_chunk *chunks = fs_batcher_chunks(t.b, 0, &n);
    assert_int_equal(chunks[3].tokens, 30);
    assert_int_equal(finish_iteration(&t)->first.count, 3);
    compose(&t);
    assert_int_equal(t.batch.decodes, 3);
    assert_int_equal(t.batch.prefill_tokens, 10);
    ASSERT_CLOSE(t.batch.prefill_pairs, 10 * 30 + 55, 1e-12);
    assert_int_equal(t.batch.prefill_context, 40);
    finish_iteration(&t);
    assert_int_equal(fs_batcher_waiting(t.b), 1);
    close_bench(&t);
}

static void whole_prompts_go_first(void **state)
{
    (void)state;
    bench t;
    fs_batcher_def d = def();
    d.chunked = false;
    d.max_tokens = 35;
    open_bench(&t, d, 100);
    submit(&t, 0);
    submit(&t, 1);
    submit(&t, 2);
    compose(&t);
    assert_int_equal(t.batch.prefill_tokens, 30); /* the third does not fit whole */
    finish_iteration(&t);
    submit(&t, 6); /* 70: longer than the budget, and so alone */
    compose(&t);
    assert_int_equal(t.batch.decodes, 0);
    assert_int_equal(t.batch.prefill_tokens, 30);
    finish_iteration(&t);
    compose(&t);
    assert_int_equal(t.batch.prefill_tokens, 70);
    finish_iteration(&t);
    compose(&t);
    assert_int_equal(t.batch.decodes, 4);
    finish_iteration(&t);
    close_bench(&t);
}

/* Two ranks of attention, three iterations of patience, answers of 5 tokens. */
static void prompts_wait_for_each_other(void **state)
{
    (void)state;
    for (uint32_t chunked = 0; chunked < 2; chunked++) {
        bench t;
        fs_batcher_def d = def();
        d.chunked = chunked;
        d.ranks = 2;
        d.balance = 3;
        open_bench(&t, d, 100);
        for (uint32_t i = 0; i < REQUESTS; i++)
            t.seqs[i].output = 20;
        submit(&t, 0);
        compose(&t); /* nobody decodes: nobody would be stopped */
        assert_int_equal(t.batch.chunks, 1);
        finish_iteration(&t);
        submit(&t, 1);
        compose(&t); /* one rank has nothing to decode */
        assert_int_equal(t.batch.chunks, 1);
        finish_iteration(&t);
        submit(&t, 2);
        for (uint32_t waited = 1; waited <= 3; waited++) {
            compose(&t);
            assert_int_equal(t.batch.chunks, waited == 3);
            assert_int_equal(t.batch.decodes, waited == 3 && !chunked ? 0 : 2);
            finish_iteration(&t);
        }
        compose(&t); /* it decodes with the others, and the count begins anew */
        assert_int_equal(t.batch.decodes, 3);
        finish_iteration(&t);
        submit(&t, 3);
        submit(&t, 4);
        compose(&t); /* of two prompts max_seqs lets one in, which is not enough for both ranks */
        assert_int_equal(t.batch.chunks, 0);
        finish_iteration(&t);
        close_bench(&t);
    }
}

static void a_prompt_for_each_rank_goes_at_once(void **state)
{
    (void)state;
    bench t;
    fs_batcher_def d = def();
    d.ranks = 2;
    d.balance = 1000;
    open_bench(&t, d, 100);
    submit(&t, 0);
    submit(&t, 1);
    compose(&t);
    assert_int_equal(t.batch.chunks, 2);
    finish_iteration(&t);
    submit(&t, 2);
    compose(&t);
    assert_int_equal(t.batch.chunks, 0);
    finish_iteration(&t);
    submit(&t, 3);
    compose(&t);
    assert_int_equal(t.batch.chunks, 2);
    assert_int_equal(t.batch.decodes, 2);
    finish_iteration(&t);
    close_bench(&t);
}

static void urgent_ones_start_first(void **state)
{
    (void)state;
    bench t;
    fs_batcher_def d = def();
    d.max_seqs = 1;
    open_bench(&t, d, 100);
    t.seqs[2].priority = 1;
    for (uint32_t i = 0; i < 3; i++)
        submit(&t, i);
    compose(&t);
    assert_int_equal(fs_batcher_news_of(t.b)->started.data[0], 2);
    close_bench(&t);
}

/* Two sequences of 30 and 31 tokens in 4 blocks of 16: the second one's 33rd token finds none free. */
static void the_last_one_is_preempted(void **state)
{
    (void)state;
    bench t;
    fs_batcher_def d = def();
    open_bench(&t, d, 4);
    t.seqs[0].input = 30;
    t.seqs[1].input = 31;
    submit(&t, 0);
    submit(&t, 1);
    compose(&t);
    assert_int_equal(t.batch.chunks, 2);
    finish_iteration(&t);
    compose(&t); /* 31 and 32 in the cache */
    assert_int_equal(t.batch.decodes, 2);
    finish_iteration(&t);
    compose(&t); /* one needs its 33rd place and is the least urgent itself */
    const fs_batcher_news *news = fs_batcher_news_of(t.b);
    assert_int_equal(news->preempted.count, 1);
    assert_int_equal(news->preempted.data[0], 1);
    assert_true(t.seqs[1].broken);
    assert_int_equal(t.seqs[1].produced, 2);
    assert_int_equal(t.seqs[1].prompt, 33); /* its prompt, and what it had said */
    assert_int_equal(t.batch.decodes, 1);
    finish_iteration(&t);
    while (compose(&t))
        finish_iteration(&t);
    assert_int_equal(t.seqs[0].state, FS_SEQ_DONE);
    assert_int_equal(t.seqs[1].state, FS_SEQ_DONE);
    assert_int_equal(t.seqs[1].produced, 5);
    assert_int_equal(t.seqs[1].preemptions, 1);
    assert_int_equal(fs_kv_count(t.kv).free, 4);
    close_bench(&t);
}

/* 1.5 tokens a step: 1, 2, 1, 2, ...; four tokens after the first take three steps. */
static void guesses_that_are_right_save_steps(void **state)
{
    (void)state;
    bench t;
    fs_batcher_def d = def();
    d.draft_tokens = 1;
    d.step_tokens = 1.5;
    open_bench(&t, d, 100);
    submit(&t, 0);
    compose(&t);
    finish_iteration(&t);
    uint32_t steps = 0, tokens = 0;
    while (compose(&t)) {
        assert_int_equal(t.batch.verified, 2);
        assert_int_equal(t.batch.outputs, 2);
        steps++;
        tokens += t.batch.step;
        finish_iteration(&t);
    }
    assert_int_equal(steps, 3);
    assert_int_equal(tokens, 4);
    assert_int_equal(t.seqs[0].produced, 5);
    close_bench(&t);
}

static void a_prefill_pool_holds_what_it_computed(void **state)
{
    (void)state;
    bench t;
    fs_batcher_def d = def();
    d.holds = true;
    open_bench(&t, d, 3);
    submit(&t, 1); /* 20 tokens, 2 blocks */
    submit(&t, 2);
    compose(&t);
    assert_int_equal(t.batch.chunks, 1); /* no room for the other */
    assert_int_equal(finish_iteration(&t)->finished.count, 1);
    assert_int_equal(t.seqs[1].state, FS_SEQ_HELD);
    assert_false(compose(&t));
    fs_batcher_release(t.b, 1);
    assert_true(compose(&t));
    finish_iteration(&t);
    fs_batcher_release(t.b, 2);
    close_bench(&t);
}

static void prompts_land_from_elsewhere(void **state)
{
    (void)state;
    bench t;
    open_bench(&t, def(), 4);
    assert_true(fs_batcher_reserve(t.b, 3)); /* 40 tokens: 3 blocks */
    assert_false(fs_batcher_reserve(t.b, 2));
    assert_false(compose(&t));
    ASSERT_OK(fs_batcher_join(t.b, 3, &failure));
    uint32_t steps = 0;
    for (; compose(&t); steps++)
        finish_iteration(&t);
    assert_int_equal(steps, 4);
    assert_int_equal(t.seqs[3].state, FS_SEQ_DONE);
    assert_int_equal(fs_kv_count(t.kv).free, 4);
    close_bench(&t);
}

static void lanes_share_the_work(void **state)
{
    (void)state;
    bench t;
    bool any = false;
    fs_batcher_def d = def();
    d.lanes = 2;
    open_bench(&t, d, 100);
    for (uint32_t i = 0; i < 4; i++)
        submit(&t, i);
    for (uint32_t lane = 0; lane < 2; lane++) {
        ASSERT_OK(fs_batcher_compose(t.b, lane, &t.batch, &any, &failure));
        assert_int_equal(t.batch.chunks, 2);
    }
    close_bench(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_request),
                                       cmocka_unit_test(prompts_are_cut),
                                       cmocka_unit_test(whole_prompts_go_first),
                                       cmocka_unit_test(prompts_wait_for_each_other),
                                       cmocka_unit_test(a_prompt_for_each_rank_goes_at_once),
                                       cmocka_unit_test(urgent_ones_start_first),
                                       cmocka_unit_test(the_last_one_is_preempted),
                                       cmocka_unit_test(guesses_that_are_right_save_steps),
                                       cmocka_unit_test(a_prefill_pool_holds_what_it_computed),
                                       cmocka_unit_test(prompts_land_from_elsewhere),
                                       cmocka_unit_test(lanes_share_the_work)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
