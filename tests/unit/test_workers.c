/* test_workers.c - the pool of worker processes: answers, failures of every kind, limits, memory, signals. */
#include "../fixture.h"

#include "base/clock.h"
#include "base/mem.h"
#include "sweep/progress.h"
#include "sweep/workers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { N = 40 };

typedef struct context {
    uint32_t told[N]; /* how often each task ended */
    fs_status status[N];
    char text[N][256]; /* answer or message */
    double start_s[N], end_s[N], peak[N];
    uint32_t behaviour; /* of task 3 */
    uint32_t done_by_this_worker;
    double predicted[N];
    uint32_t stop_at; /* `end` fails, or a signal comes, after as many */
    int signal;
} context;

enum { WELL, FAIL, CRASH, ABORT, HANG, EXIT, NOMEM, GROW };

static void nap(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static fs_status misbehave(const context *c, fs_err *err)
{
    switch (c->behaviour) {
    case FAIL: return fs_fail_at(err, FS_E_TRACE, "some.json", 3, 7, "no such key");
    case CRASH: raise(SIGSEGV); break;
    case ABORT: fprintf(stderr, "first line\nthe very reason\n"); abort();
    case HANG: nap(1000); break;
    case EXIT: _exit(9);
    case NOMEM: return fs_fail_nomem(err);
    case GROW: {
        volatile char *block = malloc((size_t)1 << 30);
        if (!block)
            return fs_fail_nomem(err);
        for (size_t i = 0; i < (size_t)1 << 30; i += 4096)
            block[i] = 1;
        free((void *)block);
        break;
    }
    default: break;
    }
    return FS_OK;
}

static fs_status run(void *context_, uint32_t task, fs_out *answer, fs_err *err)
{
    context *c = context_;
    double start_s = fs_clock_s();
    if (task == 3) {
        fs_status status = misbehave(c, err);
        if (status != FS_OK)
            return status;
    }
    if (c->predicted[task] > 0)
        nap(0.02);
    fs_out_printf(answer, "%.17g %.17g %u square %u", start_s, fs_clock_s(), ++c->done_by_this_worker, task * task);
    return FS_OK;
}

static uint32_t count_told(const context *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < N; i++)
        count += c->told[i];
    return count;
}

static fs_status end(void *context_, uint32_t task, const fs_task_end *e, fs_err *err)
{
    context *c = context_;
    c->told[task]++;
    c->status[task] = e->status;
    c->peak[task] = e->peak_bytes;
    if (e->status == FS_OK) {
        assert_int_equal(strlen(e->answer), e->length);
        int used = 0;
        unsigned nth = 0;
        assert_int_equal(sscanf(e->answer, "%lf %lf %u %n", &c->start_s[task], &c->end_s[task], &nth, &used), 3);
        snprintf(c->text[task], sizeof c->text[task], "%s", e->answer + used);
    } else {
        assert_null(e->answer);
        fs_err_format(e->error, c->text[task], sizeof c->text[task]);
    }
    uint32_t count = count_told(c);
    if (count == c->stop_at && c->signal)
        raise(c->signal);
    else if (count == c->stop_at)
        return fs_fail(err, FS_E_IO, "the disk is full");
    return FS_OK;
}

static double predict(void *context_, uint32_t task)
{
    return ((context *)context_)->predicted[task];
}

static fs_workers_def def(context *c)
{
    return (fs_workers_def){.n_tasks = N, .n_workers = 3, .context = c, .run = run, .end = end};
}

static void assert_others_well(const context *c)
{
    for (uint32_t i = 0; i < N; i++) {
        char expected[64];
        assert_int_equal(c->told[i], 1);
        if (i == 3)
            continue;
        assert_int_equal(c->status[i], FS_OK);
        snprintf(expected, sizeof expected, "square %u", i * i);
        assert_string_equal(c->text[i], expected);
        assert_true(c->peak[i] > 0);
    }
}

static void run_with(uint32_t behaviour, fs_workers_def d, context *c)
{
    int number = -1;
    fs_err err = {0};
    c->behaviour = behaviour;
    assert_int_equal(fs_workers_run(&d, &number, &err), FS_OK);
    assert_int_equal(number, 0);
    assert_others_well(c);
}

static void test_well(void **state)
{
    (void)state;
    context c = {0};
    run_with(WELL, def(&c), &c);
    assert_string_equal(c.text[3], "square 9");
    assert_int_equal(c.done_by_this_worker, 0); /* workers have copies */
}

static void test_default_number_of_workers(void **state)
{
    (void)state;
    context c = {0};
    fs_workers_def d = def(&c);
    d.n_workers = 0;
    run_with(WELL, d, &c);
    assert_true(fs_workers_cores() >= 1);
    assert_true(fs_workers_free_bytes() > 1e6);
}

static void test_no_tasks(void **state)
{
    (void)state;
    context c = {0};
    fs_workers_def d = def(&c);
    int number = -1;
    fs_err err;
    d.n_tasks = 0;
    assert_int_equal(fs_workers_run(&d, &number, &err), FS_OK);
    assert_int_equal(c.told[0], 0);
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        uint32_t behaviour;
        fs_status status;
        const char *text; /* within the message */
    } cases[] = {{FAIL, FS_E_TRACE, "some.json:3:7: error: no such key"},
                 {CRASH, FS_E_SIM, "the worker crashed (signal 11, Segmentation fault)"},
                 {ABORT, FS_E_SIM, "the very reason"},
                 {EXIT, FS_E_SIM, "the worker ended by itself (status 9)"},
                 {NOMEM, FS_E_NOMEM, "out of memory"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        context c = {0};
        run_with(cases[i].behaviour, def(&c), &c);
        assert_int_equal(c.status[3], cases[i].status);
        if (!strstr(c.text[3], cases[i].text))
            fail_msg("'%s' not in '%s'", cases[i].text, c.text[3]);
    }
}

static void test_time_limit(void **state)
{
    (void)state;
    context c = {0};
    fs_workers_def d = def(&c);
    d.seconds_max = 0.3;
    run_with(HANG, d, &c);
    assert_int_equal(c.status[3], FS_E_SIM);
    assert_non_null(strstr(c.text[3], "took longer than the limit of 0.3 s"));
}

static void test_memory_limit(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* its allocator ends the program instead of failing */
#endif
    context c = {0};
    fs_workers_def d = def(&c);
    d.bytes_max = 256e6;
    run_with(GROW, d, &c);
    assert_int_equal(c.status[3], FS_E_NOMEM);
    context free_c = {0};
    run_with(GROW, def(&free_c), &free_c);
    assert_int_equal(free_c.status[3], FS_OK);
    assert_true(free_c.peak[3] > 1e9);
    for (uint32_t i = 4; i < N; i++) /* peaks are of the task, not of all so far */
        assert_true(free_c.peak[i] < 1e9);
}

/* Tasks that do not fit beside one another never overlap; one that is larger than all memory runs alone. */
static void test_memory_aware(void **state)
{
    (void)state;
    context c = {0};
    fs_workers_def d = def(&c);
    d.memory_bytes = 10;
    d.predict_bytes = predict;
    for (uint32_t i = 0; i < N; i++)
        c.predicted[i] = i == 7 ? 1000 : i % 4 == 0 ? 6 : 3;
    run_with(WELL, d, &c);
    bool overlap = false;
    for (uint32_t i = 0; i < N; i++)
        for (uint32_t k = 0; k < i; k++) {
            bool together = c.start_s[i] < c.end_s[k] && c.start_s[k] < c.end_s[i];
            overlap |= together;
            if (c.predicted[i] + c.predicted[k] > 10)
                assert_false(together);
        }
    assert_true(overlap);
}

static void test_error_of_the_caller_stops(void **state)
{
    (void)state;
    context c = {.stop_at = 5};
    fs_workers_def d = def(&c);
    int number = 0;
    fs_err err = {0};
    assert_int_equal(fs_workers_run(&d, &number, &err), FS_E_IO);
    assert_string_equal(err.text, "the disk is full");
    assert_int_equal(count_told(&c), 5);
}

static void test_signals(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        context c = {.stop_at = 5, .signal = signals[i], .behaviour = HANG};
        void (*before)(int) = signal(signals[i], SIG_DFL); /* under nohup hang-ups are ignored, by workers as well */
        fs_workers_def d = def(&c);
        int number = 0;
        fs_err err = {0};
        assert_int_equal(fs_workers_run(&d, &number, &err), FS_OK);
        signal(signals[i], before);
        assert_int_equal(number, signals[i]);
        assert_int_equal(c.told[3], 0);
        assert_int_equal(c.told[N - 1], 0);
    }
}

static void test_progress(void **state)
{
    (void)state;
    char text[256];
    fs_progress p = {.terminal = true, .total = 10000, .done = 2500, .failed = 3};
    fs_progress_format(&p, 10, 79, text, sizeof text);
    assert_string_equal(text, "[######....................] 2,500 of 10,000 done, 3 failed  250 /s  30 s left");
    p.terminal = false;
    fs_progress_format(&p, 10000, 200, text, sizeof text);
    assert_string_equal(text, "2,500 of 10,000 done, 3 failed  0.25 /s  8 h 20 min left");
    p.done = 10000;
    fs_progress_format(&p, 10000, 200, text, sizeof text);
    assert_string_equal(text, "10,000 of 10,000 done, 3 failed  1.00 /s");
    p = (fs_progress){.terminal = true, .total = 7};
    fs_progress_format(&p, 0, 10, text, sizeof text); /* too narrow for all of it */
    assert_string_equal(text, "0 of 7 don");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well),         cmocka_unit_test(test_default_number_of_workers),
        cmocka_unit_test(test_no_tasks),     cmocka_unit_test(test_failures),
        cmocka_unit_test(test_time_limit),   cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_memory_aware), cmocka_unit_test(test_error_of_the_caller_stops),
        cmocka_unit_test(test_signals),      cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
