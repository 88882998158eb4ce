/* prop_ns3.c - small systems in packets: ns-3's TCP shares links as the fluid model does, within 10 %.
 *
 * What is compared is the fairness: the ratios among the mean rates of the transfers of one case, not the rates themselves
 * (headers cost TCP 5 %, and slow start some more). One process has one network backend, so this program is ns3's. */
#include "engine/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRANSFERS = 8, LINKS = 8, PATTERNS = 8 };
static const double TOLERANCE = 0.10;
static const double GB = 1e9;

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
    assert_int_equal(fs_pattern_add(patterns, row, count, &id, &err), FS_OK);
    return id;
}

/* False where ns-3 is not there. */
static int run_scene(const scene *s, fs_backend backend, trial *w)
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
    if (status == FS_E_SIM && strcmp(err.text, "this SimGrid was built without ns-3") == 0) {
        print_message("skipped: %s\n", err.text);
        fs_pattern_table_free(w->patterns);
        return 0;
    }
    for (uint32_t t = 0; status == FS_OK && t < w->n_transfers; t++)
        status = fs_engine_transfer(w->engine, pattern[t], s->megabytes[t] * 1e6, 1e-6, t, &err);
    const fs_engine_calls calls = {.context = w, .done = on_done};
    if (status == FS_OK)
        status = fs_engine_run(w->engine, &calls, &err);
    if (status != FS_OK)
        fail_msg("%s, %s: %s", s->name, fs_backend_name(backend), err.text);
    fs_engine_free(w->engine);
    fs_pattern_table_free(w->patterns);
    return 1;
}

static void sharing_is_the_same(void **state)
{
    (void)state;
    static const scene scenes[] = {
        {"one flow", {1}, {"0"}, {4}},
        {"two flows share a link", {1}, {"0", "0"}, {4, 4}},
        {"incast of four", {1, 1, 1, 1, 1}, {"0 4", "1 4", "2 4", "3 4"}, {4, 4, 4, 4}},
        {"incast on a narrow link", {1, 1, 0.5}, {"0 2", "1 2"}, {4, 4}},
        {"two beside one", {1, 1}, {"0", "0", "1"}, {4, 4, 8}},
        {"three tiers", {1, 0.5, 0.75}, {"0 1 2"}, {4}},
        {"half and whole", {1, 0.25}, {"0 1", "0"}, {2, 6}},
    };
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        trial packets, fluid;
        if (!run_scene(&scenes[i], FS_BACKEND_NS3, &packets))
            return;
        run_scene(&scenes[i], FS_BACKEND_FABRIC, &fluid);
        for (uint32_t t = 0; t < packets.n_transfers; t++) {
            double slowdown = packets.end_s[t] / fluid.end_s[t], first = packets.end_s[0] / fluid.end_s[0];
            if (fabs(slowdown / first - 1) > TOLERANCE)
                fail_msg("%s: transfer %u is %.3f times as slow as in fabric, transfer 0 %.3f times", scenes[i].name, t,
                         slowdown, first);
            assert_true(slowdown > 0.99);
        }
    }
}

static fs_status lower_capacity(void *context, uint64_t tag, double now_s, fs_err *err)
{
    (void)now_s;
    (void)err;
    if (tag == TRANSFERS)
        fs_engine_set_capacity(((trial *)context)->engine, 0, 1);
    return FS_OK;
}

static void run_fails(trial *w, const fs_engine_def *def, uint32_t pattern, double amount, const char *text)
{
    fs_err err = {0};
    const fs_engine_calls calls = {.context = w, .done = lower_capacity};
    if (w->engine == NULL)
        assert_int_equal(fs_engine_new(def, &w->engine, &err), FS_OK);
    assert_int_equal(fs_engine_timer(w->engine, 1e-4, TRANSFERS, &err), FS_OK);
    assert_int_equal(fs_engine_transfer(w->engine, pattern, amount, 0, 0, &err), FS_OK);
    assert_int_equal(fs_engine_run(w->engine, &calls, &err), FS_E_SIM);
    assert_string_equal(err.text, text);
    fs_engine_free(w->engine);
    w->engine = NULL;
}

static void what_packets_cannot_do_is_refused(void **state)
{
    (void)state;
    fs_err err;
    const double capacity[] = {1e9, 1e9, 1e9, 1};
    trial w = {.patterns = fs_pattern_table_new()};
    fs_engine_def def = {
        .backend = FS_BACKEND_NS3, .n_resources = 4, .n_links = 3, .capacity = capacity, .patterns = w.patterns};
    uint32_t half, mixed, plain = add_pattern(w.patterns, "0"), path = add_pattern(w.patterns, "012");
    add_pattern(w.patterns, "02"); /* a short cut for the one before */
    assert_int_equal(fs_pattern_add(w.patterns, &(fs_share){0, 0.5}, 1, &half, &err), FS_OK);
    assert_int_equal(fs_pattern_add(w.patterns, (fs_share[]){{0, 1}, {3, 1}}, 2, &mixed, &err), FS_OK);
    fs_status status = fs_engine_new(&def, &w.engine, &err);
    if (status != FS_OK) {
        assert_string_equal(err.text, "this SimGrid was built without ns-3");
        print_message("skipped: %s\n", err.text);
        fs_pattern_table_free(w.patterns);
        return;
    }
    uint32_t late = add_pattern(w.patterns, "12");
    run_fails(&w, &def, late, 1, "the network backend ns3 was made for 5 patterns, and pattern 5 came later");
    run_fails(&w, &def, half, 1,
              "the network backend ns3 carries plain paths: links with coefficient 1 and no SM pools, which pattern 3 is not");
    run_fails(&w, &def, mixed, 1,
              "the network backend ns3 carries plain paths: links with coefficient 1 and no SM pools, which pattern 4 is not");
    run_fails(&w, &def, path, 1, "the network backend ns3 cannot route pattern 1: ns-3 would find another way as short");
    run_fails(&w, &def, plain, 1e10, "SimGrid: the ns-3 binding moves at most 4294967295 bytes in a transfer");
    run_fails(&w, &def, plain, 0, "the network backend ns3 cannot change the capacity of link 0 in flight");
    def.backend = FS_BACKEND_CM02;
    assert_int_equal(fs_engine_new(&def, &w.engine, &err), FS_E_SIM);
    assert_string_equal(err.text, "this process has started SimGrid for the network backend ns3 and cannot switch to cm02");
    fs_pattern_table_free(w.patterns);
}

static void compute_stays_fluid_beside_packets(void **state)
{
    (void)state;
    fs_err err;
    uint32_t pool, link;
    const double capacity[] = {1e9, 1};
    trial w = {.patterns = fs_pattern_table_new()};
    fs_engine_def def = {
        .backend = FS_BACKEND_NS3, .n_resources = 2, .n_links = 1, .capacity = capacity, .patterns = w.patterns};
    const fs_engine_calls calls = {.context = &w, .done = on_done};
    assert_int_equal(fs_pattern_add(w.patterns, &(fs_share){1, 1}, 1, &pool, &err), FS_OK);
    link = add_pattern(w.patterns, "0");
    if (fs_engine_new(&def, &w.engine, &err) == FS_OK) {
        assert_int_equal(fs_engine_transfer(w.engine, link, 1e6, 0, 0, &err), FS_OK);
        for (uint64_t t = 1; t < 3; t++)
            assert_int_equal(fs_engine_transfer(w.engine, pool, 0.25, 0, t, &err), FS_OK);
        assert_int_equal(fs_engine_run(w.engine, &calls, &err), FS_OK);
        assert_true(w.end_s[1] == 0.5 && w.end_s[2] == 0.5);
        assert_true(w.end_s[0] > 1e-3 && w.end_s[0] < 1.2e-3);
        assert_true(fs_engine_use(w.engine, 0).amount == 1e6);
        fs_engine_free(w.engine);
    }
    fs_pattern_table_free(w.patterns);
}

/* A timer leaves ns-3's clock behind; the next transfer must find it again. */
static void packets_after_a_long_pause(void **state)
{
    (void)state;
    fs_err err;
    const double capacity[] = {1e9};
    trial w = {.patterns = fs_pattern_table_new()};
    fs_engine_def def = {
        .backend = FS_BACKEND_NS3, .n_resources = 1, .n_links = 1, .capacity = capacity, .patterns = w.patterns};
    const fs_engine_calls calls = {.context = &w, .done = on_done};
    uint32_t link = add_pattern(w.patterns, "0");
    if (fs_engine_new(&def, &w.engine, &err) == FS_OK) {
        assert_int_equal(fs_engine_transfer(w.engine, link, 1e5, 0, 0, &err), FS_OK);
        assert_int_equal(fs_engine_timer(w.engine, 0.5, 1, &err), FS_OK);
        assert_int_equal(fs_engine_transfer(w.engine, link, 1e5, 0.75, 2, &err), FS_OK);
        assert_int_equal(fs_engine_timer(w.engine, 0.8, 3, &err), FS_OK);
        assert_int_equal(fs_engine_run(w.engine, &calls, &err), FS_OK);
        assert_true(w.end_s[2] > 0.7501 && w.end_s[2] < 0.7503);
        fs_engine_free(w.engine);
    }
    fs_pattern_table_free(w.patterns);
}

int main(int argc, char **argv)
{
    (void)argc;
    if (getenv(FS_NS3_VARIABLE) == NULL) { /* ns-3 has been loaded without it: start anew */
        setenv(FS_NS3_VARIABLE, FS_NS3_VALUE, 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sharing_is_the_same),
        cmocka_unit_test(compute_stays_fluid_beside_packets),
        cmocka_unit_test(packets_after_a_long_pause),
        cmocka_unit_test(what_packets_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
