/* prop_ns3.c - small systems in packets: ns-3's TCP shares links as the fluid model does, within 10 %.
 *
 * What is compared is the fairness: the ratios among the mean rates of the transfers of one case, not the rates
 * themselves (headers cost TCP 5 %, and slow start some more). A process has one engine of ns3's, so every case is a
 * child, with an alarm: ns-3 that makes no progress must be an error of fs_engine_run, never a hang. */
#include "engine/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRANSFERS = 8, LINKS = 8, CHILD_SECONDS = 60 };
static const double TOLERANCE = 0.10;
static const double GB = 1e9;

/* A child's assertion: cmocka's would go on with the parent's tests in the child. */
#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: %s: ", __LINE__, #condition);                                                    \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fputc('\n', stderr);                                                                                       \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static void in_child(const char *name, void (*body)(const void *), const void *argument)
{
    int how = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        body(argument);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0)
        fail_msg("%s: the child %s %d", name, WIFSIGNALED(how) ? "ended by signal" : "failed with status",
                 WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how));
}

typedef struct trial {
    fs_pattern_table *patterns;
    fs_engine *engine;
    uint32_t n_transfers;
    double end_s[TRANSFERS];
} trial;

/* What one case is: links in GB/s, and for each transfer the links that it crosses, as text: "0 3". */
typedef struct scene {
    const char *name;
    double capacity[LINKS]; /* GB/s, 0: no more links */
    const char *transfer[TRANSFERS];
    double megabytes[TRANSFERS];
} scene;

static fs_status on_done(void *context, uint64_t tag, double now_s, fs_err *err)
{
    (void)err;
    trial *w = context;
    if (tag < TRANSFERS)
        w->end_s[tag] = now_s;
    return FS_OK;
}

static uint32_t add_pattern(fs_pattern_table *patterns, const char *links)
{
    fs_share row[LINKS];
    fs_err err;
    uint32_t id, count = 0;
    for (; *links; links++)
        if (*links != ' ')
            row[count++] = (fs_share){.resource = (uint32_t)(*links - '0'), .coefficient = 1};
    EXPECT(fs_pattern_add(patterns, row, count, &id, &err) == FS_OK, "%s", err.text);
    return id;
}

/* ---- sharing ---- */

static void run_scene(const scene *s, fs_backend backend, trial *w)
{
    double capacity[LINKS];
    uint32_t pattern[TRANSFERS];
    fs_err err = {0};
    *w = (trial){.patterns = fs_pattern_table_new()};
    fs_engine_def def = {.backend = backend, .capacity = capacity, .patterns = w->patterns};
    for (; def.n_links < LINKS && s->capacity[def.n_links] > 0; def.n_links++)
        capacity[def.n_links] = s->capacity[def.n_links] * GB;
    def.n_resources = def.n_links;
    for (; w->n_transfers < TRANSFERS && s->transfer[w->n_transfers]; w->n_transfers++)
        pattern[w->n_transfers] = add_pattern(w->patterns, s->transfer[w->n_transfers]);
    fs_status status = fs_engine_new(&def, &w->engine, &err);
    for (uint32_t t = 0; status == FS_OK && t < w->n_transfers; t++)
        status = fs_engine_transfer(w->engine, pattern[t], s->megabytes[t] * 1e6, 1e-6, t, &err);
    const fs_engine_calls calls = {.context = w, .done = on_done};
    if (status == FS_OK)
        status = fs_engine_run(w->engine, &calls, &err);
    EXPECT(status == FS_OK, "%s, %s: %s", s->name, fs_backend_name(backend), err.text);
    fs_engine_free(w->engine);
    fs_pattern_table_free(w->patterns);
}

static void compare_scene(const void *argument)
{
    const scene *s = argument;
    trial packets, fluid;
    run_scene(s, FS_BACKEND_NS3, &packets);
    run_scene(s, FS_BACKEND_FABRIC, &fluid);
    for (uint32_t t = 0; t < packets.n_transfers; t++) {
        double slowdown = packets.end_s[t] / fluid.end_s[t], first = packets.end_s[0] / fluid.end_s[0];
        EXPECT(fabs(slowdown / first - 1) <= TOLERANCE && slowdown > 0.99,
               "%s: transfer %u is %.3f times as slow as in fabric, transfer 0 %.3f times", s->name, t, slowdown,
               first);
    }
}

static void sharing_is_the_same(void **state)
{
    (void)state;
    static const scene scenes[] = {
        {"one flow", {1}, {"0"}, {2}},
        {"two flows share a link", {1}, {"0", "0"}, {2, 2}},
        {"incast of four", {1, 1, 1, 1, 1}, {"0 4", "1 4", "2 4", "3 4"}, {1, 1, 1, 1}},
        {"incast on a narrow link", {1, 1, 0.5}, {"0 2", "1 2"}, {2, 2}},
        {"two beside one", {1, 1}, {"0", "0", "1"}, {2, 2, 4}},
        {"three tiers", {1, 0.5, 0.75}, {"0 1 2"}, {2}},
        {"half and whole", {1, 0.25}, {"0 1", "0"}, {1, 3}},
        /* Links 0, 2, 4 go up to a switch and 1, 3, 5 down: the order of ids is not the order of the way. */
        {"all to all", {1, 1, 1, 1, 1, 1}, {"0 3", "0 5", "1 2", "2 5", "1 4", "3 4"}, {1, 1, 1, 1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        in_child(scenes[i].name, compare_scene, &scenes[i]);
}

/* ---- what is refused ---- */

/* One resource of a kind, and a run along one pattern that must fail, with a timer beside it. */
typedef struct refusal {
    uint32_t pattern; /* 0 "0", 1 "012", 2 "02", 3 half of 0, 4 link 0 and a pool, 5 "12", added late */
    double amount;
    const char *text;
} refusal;

static fs_status lower_capacity(void *context, uint64_t tag, double now_s, fs_err *err)
{
    (void)now_s;
    (void)err;
    if (tag == TRANSFERS)
        fs_engine_set_capacity(((trial *)context)->engine, 0, 1);
    return FS_OK;
}

static void expect_refusal(const void *argument)
{
    const refusal *r = argument;
    fs_err err = {0};
    const double capacity[] = {1e9, 1e9, 1e9, 1};
    trial w = {.patterns = fs_pattern_table_new()};
    const fs_engine_def def = {
        .backend = FS_BACKEND_NS3, .n_resources = 4, .n_links = 3, .capacity = capacity, .patterns = w.patterns};
    uint32_t half, mixed;
    add_pattern(w.patterns, "0");
    add_pattern(w.patterns, "012");
    add_pattern(w.patterns, "02"); /* a short cut for the one before */
    EXPECT(fs_pattern_add(w.patterns, &(fs_share){0, 0.5}, 1, &half, &err) == FS_OK, "%s", err.text);
    EXPECT(fs_pattern_add(w.patterns, (fs_share[]){{0, 1}, {3, 1}}, 2, &mixed, &err) == FS_OK, "%s", err.text);
    EXPECT(fs_engine_new(&def, &w.engine, &err) == FS_OK, "%s", err.text);
    add_pattern(w.patterns, "12");
    const fs_engine_calls calls = {.context = &w, .done = lower_capacity};
    EXPECT(fs_engine_timer(w.engine, 1e-4, TRANSFERS, &err) == FS_OK, "%s", err.text);
    EXPECT(fs_engine_transfer(w.engine, r->pattern, r->amount, 0, 0, &err) == FS_OK, "%s", err.text);
    EXPECT(fs_engine_run(w.engine, &calls, &err) == FS_E_SIM, "it ran");
    EXPECT(strcmp(err.text, r->text) == 0, "%s", err.text);
    fs_engine_free(w.engine);
    EXPECT(fs_engine_new(&def, &w.engine, &err) == FS_E_SIM, "a second engine");
    EXPECT(strcmp(err.text, "ns-3 simulates once: this process has had its engine with the network backend ns3") == 0,
           "%s", err.text);
    fs_engine_def other = def;
    other.backend = FS_BACKEND_CM02;
    EXPECT(fs_engine_new(&other, &w.engine, &err) == FS_E_SIM, "another backend");
    EXPECT(strcmp(err.text, "this process has started SimGrid for the network backend ns3 and cannot switch to cm02") ==
               0,
           "%s", err.text);
    fs_pattern_table_free(w.patterns);
}

static void what_packets_cannot_do_is_refused(void **state)
{
    (void)state;
    static const refusal refusals[] = {
        {5, 1, "the network backend ns3 was made for 5 patterns, and pattern 5 came later; use fabric or cm02"},
        {3, 1,
         "the network backend ns3 carries plain paths: links with coefficient 1 and no SM pools, which pattern 3 is "
         "not; use fabric or cm02"},
        {4, 1,
         "the network backend ns3 carries plain paths: links with coefficient 1 and no SM pools, which pattern 4 is "
         "not; use fabric or cm02"},
        {1, 1,
         "the network backend ns3 cannot route pattern 1: ns-3 would find another way as short; use fabric or cm02"},
        {0, 1e10, "SimGrid: the network backend ns3 moves at most 4294967295 bytes in a transfer; use fabric or cm02"},
        {0, 1e6, "the network backend ns3 cannot change the capacity of link 0 in flight; use fabric or cm02"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        in_child(refusals[i].text, expect_refusal, &refusals[i]);
}

/* ---- time ---- */

/* Link 0 of 1 GB/s under pattern 0, and an SM pool under pattern 1. */
static void open_pair(trial *w)
{
    static const double capacity[] = {1e9, 1};
    uint32_t pool;
    fs_err err = {0};
    *w = (trial){.patterns = fs_pattern_table_new()};
    const fs_engine_def def = {
        .backend = FS_BACKEND_NS3, .n_resources = 2, .n_links = 1, .capacity = capacity, .patterns = w->patterns};
    add_pattern(w->patterns, "0");
    EXPECT(fs_pattern_add(w->patterns, &(fs_share){1, 1}, 1, &pool, &err) == FS_OK, "%s", err.text);
    EXPECT(fs_engine_new(&def, &w->engine, &err) == FS_OK, "%s", err.text);
}

static void transfer(trial *w, uint32_t pattern, double amount, double latency_s, uint64_t tag)
{
    fs_err err = {0};
    EXPECT(fs_engine_transfer(w->engine, pattern, amount, latency_s, tag, &err) == FS_OK, "%s", err.text);
}

static void run_pair(trial *w, fs_status (*done)(void *, uint64_t, double, fs_err *))
{
    fs_err err = {0};
    const fs_engine_calls calls = {.context = w, .done = done};
    EXPECT(fs_engine_run(w->engine, &calls, &err) == FS_OK, "%s", err.text);
}

static void compute_beside(const void *argument)
{
    (void)argument;
    trial w;
    open_pair(&w);
    transfer(&w, 0, 1e6, 0, 0);
    transfer(&w, 1, 0.25, 0, 1);
    transfer(&w, 1, 0.25, 0, 2);
    run_pair(&w, on_done);
    EXPECT(w.end_s[1] == 0.5 && w.end_s[2] == 0.5, "%g %g", w.end_s[1], w.end_s[2]);
    EXPECT(w.end_s[0] > 1e-3 && w.end_s[0] < 1.2e-3, "%g", w.end_s[0]);
    EXPECT(fs_engine_use(w.engine, 0).amount == 1e6, "%g", fs_engine_use(w.engine, 0).amount);
}

static void compute_stays_fluid_beside_packets(void **state)
{
    (void)state;
    in_child("compute beside packets", compute_beside, NULL);
}

/* A timer leaves ns-3's clock behind; the next transfer must find it again. */
static void long_pause(const void *argument)
{
    (void)argument;
    fs_err err = {0};
    trial w;
    open_pair(&w);
    transfer(&w, 0, 1e5, 0, 0);
    EXPECT(fs_engine_timer(w.engine, 0.5, 1, &err) == FS_OK, "%s", err.text);
    transfer(&w, 0, 1e5, 0.75, 2);
    EXPECT(fs_engine_timer(w.engine, 0.8, 3, &err) == FS_OK, "%s", err.text);
    run_pair(&w, on_done);
    EXPECT(w.end_s[2] > 0.7501 && w.end_s[2] < 0.7503, "%g", w.end_s[2]);
}

static void packets_after_a_long_pause(void **state)
{
    (void)state;
    in_child("packets after a long pause", long_pause, NULL);
}

/* Tag 0 moves in waves, each started by the end of the one before; tag 1 ticks in the meantime, at times that ns-3
 * cannot count to. */
enum { WAVES = 30 };
static const double TICK_S = 1.23456789e-6;
static uint32_t waves, ticks;

static fs_status next_wave_or_tick(void *context, uint64_t tag, double now_s, fs_err *err)
{
    trial *w = context;
    if (tag == 1) {
        EXPECT(fabs(now_s / (++ticks * TICK_S) - 1) < 1e-12, "tick %u at %.17g", ticks, now_s);
        return waves < WAVES ? fs_engine_timer(w->engine, TICK_S, 1, err) : FS_OK;
    }
    w->end_s[0] = now_s;
    return ++waves < WAVES ? fs_engine_transfer(w->engine, 0, 1e4, waves % 3 ? 0 : 3.3e-9, 0, err) : FS_OK;
}

static void waves_and_ticks(const void *argument)
{
    (void)argument;
    fs_err err = {0};
    trial w;
    open_pair(&w);
    transfer(&w, 0, 1e4, 1e-10, 0);
    EXPECT(fs_engine_timer(w.engine, TICK_S, 1, &err) == FS_OK, "%s", err.text);
    run_pair(&w, next_wave_or_tick);
    EXPECT(waves == WAVES && ticks * TICK_S >= w.end_s[0], "%u waves, %u ticks", waves, ticks);
    EXPECT(w.end_s[0] > WAVES * 10e-6 && w.end_s[0] < WAVES * 14e-6, "%g", w.end_s[0]);
}

static void timers_fall_into_waves_of_packets(void **state)
{
    (void)state;
    in_child("waves and ticks", waves_and_ticks, NULL);
}

/* ---- whether there is an ns-3 ---- */

/* In a child, which ends with the status WITHOUT where there is none. */
enum { WITHOUT = 77 };

static void make_engine(void)
{
    fs_err err = {0};
    const double capacity = 1;
    trial w = {.patterns = fs_pattern_table_new()};
    const fs_engine_def def = {
        .backend = FS_BACKEND_NS3, .n_resources = 1, .n_links = 1, .capacity = &capacity, .patterns = w.patterns};
    fs_status status = fs_engine_new(&def, &w.engine, &err);
    if (status == FS_E_SIM && strcmp(err.text, "this SimGrid was built without ns-3") == 0)
        _exit(WITHOUT);
    EXPECT(status == FS_OK, "%s", err.text);
}

static int is_there(void)
{
    int how = 0;
    pid_t child = fork();
    if (child == 0) {
        make_engine();
        _exit(0);
    }
    return child < 0 || waitpid(child, &how, 0) != child || !WIFEXITED(how) || WEXITSTATUS(how) != WITHOUT;
}

int main(int argc, char **argv)
{
    (void)argc;
    if (getenv(FS_NS3_VARIABLE) == NULL) { /* ns-3 has been loaded without it: start anew */
        setenv(FS_NS3_VARIABLE, FS_NS3_VALUE, 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    if (!is_there()) {
        printf("1..0 # SKIP this SimGrid was built without ns-3\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sharing_is_the_same),
        cmocka_unit_test(compute_stays_fluid_beside_packets),
        cmocka_unit_test(packets_after_a_long_pause),
        cmocka_unit_test(timers_fall_into_waves_of_packets),
        cmocka_unit_test(what_packets_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
