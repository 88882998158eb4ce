/* test_routing.c - how networks choose among equal paths: static routes of fat trees, hashed ones, and what is left of
 * them when cables fail. */
#include "base/mem.h"
#include "base/rng.h"
#include "route/route.h"
#include "topo/faults.h"
#include "topo/topo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct fabric {
    fs_topo *topo;
    fs_router *router;
    fs_route_buffer buffer;
    uint32_t *load; /* (n_links) flows */
    fs_err err;
} fabric;

/* `nodes` nodes of a GPU and a NIC each, on a network "net" of the given tiers. */
static fabric open_network(uint32_t nodes, const char *routing, const char *tiers, const char *fault,
                           fs_router_options options)
{
    fabric f = {0};
    char text[4096];
    snprintf(
        text, sizeof text,
        "<fabsim version='topology/1' name='t'><parts>"
        "<gpu name='g' arch='hopper' memory='80GB' memory-bandwidth='3TB/s' gemm-efficiency='0.7' "
        "memory-efficiency='0.9' launch='1us' power='700W' source='s'><peak dtype='fp16' flops='1TFLOP/s'/></gpu>"
        "<nic name='n' source='s'/><net-switch name='w' latency='0s' source='s'/>"
        "<link-type name='p' class='pcie' tier='pcie' bandwidth='100GB/s' effective='100GB/s' latency='0s' "
        "source='s'/><link-type name='e' class='net' tier='net' bandwidth='50GB/s' effective='50GB/s' latency='1us' "
        "source='s'/></parts><board name='b'><device name='gpu0' part='g'/><device name='nic0' part='n'/>"
        "<link from='gpu0' to='nic0' type='p'/></board><system><place board='b' name='node' count='%u'/>"
        "<network name='net' nodes='node' ports='nic0' routing='%s'>%s</network></system></fabsim>",
        nodes, routing, tiers);
    fs_status status = fs_topo_parse("t.xml", text, strlen(text), NULL, 0, &f.topo, &f.err);
    if (status != FS_OK)
        print_error("%s\n", f.err.text);
    assert_int_equal(status, FS_OK);
    fs_fault down = {
        .kind = FS_FAULT_LINK, .name = fault, .to_s = INFINITY, .origin = "t", .status_if_bad = FS_E_TOPOLOGY};
    if (fault != NULL)
        assert_int_equal(fs_topo_apply_faults(f.topo, &down, 1, &f.err), FS_OK);
    assert_int_equal(fs_router_new(f.topo, options, &f.router, &f.err), FS_OK);
    f.load = fs_zalloc(f.topo->n_links, sizeof *f.load);
    return f;
}

static void close_network(fabric *f)
{
    fs_free(f->load);
    fs_route_buffer_free(&f->buffer);
    fs_router_free(f->router);
    fs_topo_free(f->topo);
}

static const fs_route *compose(fabric *f, uint32_t src_gpu, uint32_t dst_gpu, uint64_t flow)
{
    fs_status status =
        fs_router_compose(f->router, f->topo->gpus[src_gpu], f->topo->gpus[dst_gpu], flow, &f->buffer, &f->err);
    if (status != FS_OK)
        print_error("%s\n", f->err.text);
    assert_int_equal(status, FS_OK);
    return &f->buffer.route;
}

/* Every GPU to the one `shift` further on: the most flows on a link. Each flow has one path. */
static uint32_t worst_of_shift(fabric *f, uint32_t shift)
{
    uint32_t n = f->topo->n_gpus, worst = 0;
    memset(f->load, 0, f->topo->n_links * sizeof *f->load);
    for (uint32_t i = 0; i < n; i++) {
        const fs_route *r = compose(f, i, (i + shift) % n, 0);
        assert_int_equal(r->n_shares, r->hops);
        for (uint32_t k = 0; k < r->n_shares; k++) {
            uint32_t load = ++f->load[r->shares[k].resource];
            assert_true(r->shares[k].coefficient == 1.0);
            worst = load > worst ? load : worst;
        }
    }
    return worst;
}

static const char two_tiers[] = "<tier name='leaf' part='w' type='e' group='16' switches='1'/>"
                                "<tier name='spine' part='w' type='e' switches='16'/>",
                  fat_cables[] = "<tier name='leaf' part='w' type='e' group='16' switches='1'/>"
                                 "<tier name='spine' part='w' type='e' switches='4' lanes='4'/>",
                  three_tiers[] = "<tier name='leaf' part='w' type='e' group='8' switches='1'/>"
                                  "<tier name='spine' part='w' type='e' group='8' switches='8'/>"
                                  "<tier name='core' part='w' type='e' switches='64' planes='8'/>";

static void expect_shifts(const char *tiers, const char *fault, uint32_t least, uint32_t most)
{
    fabric f = open_network(512, "static", tiers, fault, (fs_router_options){0});
    uint32_t worst = 0;
    for (uint32_t shift = 1; shift < 512; shift++) {
        uint32_t found = worst_of_shift(&f, shift);
        if (found > most)
            print_error("shift %u: %u flows on a link\n", shift, found);
        assert_true(found <= most);
        worst = found > worst ? found : worst;
    }
    assert_int_equal(worst, least);
    close_network(&f);
}

static void shifts_do_not_collide(void **state)
{
    (void)state;
    expect_shifts(two_tiers, NULL, 1, 1);
    expect_shifts(fat_cables, NULL, 1, 1);
    expect_shifts(three_tiers, NULL, 1, 1);
}

static void a_failed_cable_doubles_a_link(void **state)
{
    (void)state;
    expect_shifts(two_tiers, "net/leaf3 - net/spine5", 2, 2);
    expect_shifts(three_tiers, "net/leaf3 - net/spine5", 2, 2);
}

/* Links of the route, ascending: 16 at most. */
static uint32_t links_of(const fs_route *r, uint32_t *links)
{
    for (uint32_t i = 0; i < r->n_shares; i++)
        links[i] = r->shares[i].resource;
    return r->n_shares;
}

static void only_what_used_the_cable_moves(void **state)
{
    (void)state;
    fabric whole = open_network(512, "static", two_tiers, NULL, (fs_router_options){0}),
           hurt = open_network(512, "static", two_tiers, "net/leaf3 - net/spine5", (fs_router_options){0});
    uint32_t gone = fs_topo_find(whole.topo, "net/spine5"), leaf = fs_topo_find(whole.topo, "net/leaf3"), moved = 0;
    for (uint32_t src = 0; src < 512; src += 3)
        for (uint32_t dst = 0; dst < 512; dst++) {
            uint32_t a[16], b[16];
            bool used = false;
            if (src == dst)
                continue;
            uint32_t n = links_of(compose(&whole, src, dst, 0), a), m = links_of(compose(&hurt, src, dst, 0), b);
            for (uint32_t i = 0; i < n; i++) {
                const fs_link l = fs_topo_link(whole.topo, a[i]);
                used = used || (l.src == gone && l.dst == leaf) || (l.src == leaf && l.dst == gone);
            }
            assert_true(used == (n != m || memcmp(a, b, n * sizeof *a) != 0));
            moved += used;
        }
    assert_true(moved > 0);
    close_network(&whole);
    close_network(&hurt);
}

/* All 16 nodes of one leaf to 16 of another, each a flow over one of 16 spines: balls into bins. The fullest
 * of 16 bins with 16 balls holds 3.08 on average, with a deviation of 0.745 (multinomial distribution). */
static void hashes_collide_as_balls_in_bins(void **state)
{
    (void)state;
    enum { SEEDS = 400, BINS = 16 };
    double sum = 0.0, drawn = 0.0;
    fs_rng rng = fs_rng_seed(1);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fabric f = open_network(2 * BINS, "ecmp", two_tiers, NULL, (fs_router_options){.seed = seed});
        uint32_t worst = 0, most = 0, bins[BINS] = {0};
        for (uint32_t i = 0; i < BINS; i++) {
            const fs_route *r = compose(&f, i, BINS + i, 0);
            assert_int_equal(r->n_shares, 6);
            for (uint32_t k = 0; k < r->n_shares; k++) {
                uint32_t load = ++f.load[r->shares[k].resource];
                worst = load > worst ? load : worst;
            }
            uint32_t bin = ++bins[fs_rng_below(&rng, BINS)];
            most = bin > most ? bin : most;
        }
        sum += worst;
        drawn += most;
        close_network(&f);
    }
    /* Five deviations of a mean of 400. */
    assert_true(fabs(sum / SEEDS - 3.08) < 0.19);
    assert_true(fabs(drawn / SEEDS - 3.08) < 0.19);
}

static void hashes_tell_flows_apart_and_repeat(void **state)
{
    (void)state;
    fabric f = open_network(512, "ecmp", three_tiers, NULL, (fs_router_options){.seed = 7}),
           g = open_network(512, "ecmp", three_tiers, NULL, (fs_router_options){.seed = 7});
    uint32_t used = 0;
    for (uint64_t flow = 0; flow < 2000; flow++) {
        uint32_t a[16], b[16], n = links_of(compose(&f, 0, 500, flow), a);
        assert_int_equal(n, 8);
        assert_int_equal(links_of(compose(&g, 0, 500, flow), b), n);
        assert_memory_equal(a, b, n * sizeof *a);
        for (uint32_t i = 0; i < n; i++)
            f.load[a[i]]++;
    }
    /* Over 8 spines and 64 cores there are 64 paths: 64 links from spines to cores are used, about 31 times each. */
    for (uint32_t l = 0; l < f.topo->n_links; l++) {
        const fs_link link = fs_topo_link(f.topo, l);
        char name[FS_NAME_MAX + 1];
        if (f.load[l] > 0 && strncmp(fs_device_name(f.topo, link.dst, name, sizeof name), "net/core", 8) == 0) {
            assert_true(f.load[l] > 5 && f.load[l] < 70);
            used++;
        }
    }
    assert_int_equal(used, 64);
    const fs_route *kept = NULL, *other = NULL;
    assert_int_equal(fs_router_find(f.router, f.topo->gpus[0], f.topo->gpus[500], 1, &kept, &f.err), FS_OK);
    assert_int_equal(fs_router_find(f.router, f.topo->gpus[0], f.topo->gpus[500], 2, &other, &f.err), FS_OK);
    assert_ptr_not_equal(kept, other);
    close_network(&f);
    close_network(&g);
}

/* Every policy crosses as many links, and has the latency and the capacity of one cable. */
static void policies_agree_on_distance(void **state)
{
    (void)state;
    static const char *const policies[] = {"adaptive", "spray", "ecmp", "static"};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        fabric f = open_network(512, policies[i], three_tiers, NULL, (fs_router_options){0});
        for (uint32_t dst = 1; dst < 512; dst += 17) {
            const fs_route *r = compose(&f, 0, dst, 0);
            uint32_t hops = dst < 8 ? 4 : dst < 64 ? 6 : 8; /* two of them on the boards */
            assert_int_equal(r->hops, hops);
            assert_true(fabs(r->latency_s - (hops - 2) * 1e-6) < 1e-15);
            assert_true(fabs(r->bandwidth_Bps - 50e9) < 1);
            assert_int_equal(r->worst_class, FS_CLASS_NET);
            assert_int_equal(r->n_shares, i > 1 ? hops : dst < 8 ? 4 : dst < 64 ? 4 + 16 : 4 + 16 + 128);
        }
        close_network(&f);
    }
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static void expect_cut_off(const char *routing, const char *fault, const char *message)
{
    fabric f = open_network(32, routing, two_tiers, fault, (fs_router_options){0});
    const fs_route *r = NULL;
    assert_int_equal(fs_router_find(f.router, f.topo->gpus[0], f.topo->gpus[20], 0, &r, &f.err), FS_E_TOPOLOGY);
    assert_null(r);
    assert_string_equal(f.err.text, message);
    fs_router_free(f.router);
    assert_int_equal(fs_router_new(f.topo, (fs_router_options){.epoch = FS_NONE}, &f.router, &f.err), FS_OK);
    compose(&f, 0, 20, 0); /* the healthy machine has a way */
    close_network(&f);
}

static void errors_name_what_failed(void **state)
{
    (void)state;
    static const char *const policies[] = {"adaptive", "ecmp", "static"};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        expect_cut_off(
            policies[i], "node0/nic0 - net/leaf0",
            "no path from 'node0/gpu0' to 'node20/gpu0': a failed link cuts it off, node0/nic0 -> net/leaf0");
        expect_cut_off(
            policies[i], "net/leaf1 > node20/nic0",
            "no path from 'node0/gpu0' to 'node20/gpu0': a failed link cuts it off, net/leaf1 -> node20/nic0");
        expect_cut_off(policies[i], "node20/nic0 - node20/gpu0",
                       "no path from 'node0/gpu0' to 'node20/gpu0': a failed link cuts it off, node20/nic0 -> "
                       "node20/gpu0");
    }
}

/* 15 whole cables and one at a half: every cable gets its part of what is left. */
static void slow_links_carry_less(void **state)
{
    (void)state;
    fabric f = open_network(32, "adaptive", two_tiers, NULL, (fs_router_options){0});
    fs_fault slow = {.kind = FS_FAULT_LINK,
                     .name = "net/leaf0 - net/spine3",
                     .speed = 0.5,
                     .from_s = 1.0,
                     .to_s = INFINITY,
                     .origin = "t",
                     .status_if_bad = FS_E_TOPOLOGY};
    assert_int_equal(fs_topo_apply_faults(f.topo, &slow, 1, &f.err), FS_OK);
    assert_int_equal(f.topo->n_epochs, 2);
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        fs_router_free(f.router);
        assert_int_equal(fs_router_new(f.topo, (fs_router_options){.epoch = epoch}, &f.router, &f.err), FS_OK);
        const fs_route *r = compose(&f, 0, 20, 0);
        uint32_t spine = fs_topo_find(f.topo, "net/spine3"), leaf = fs_topo_find(f.topo, "net/leaf0");
        assert_int_equal(r->n_shares, 36);
        for (uint32_t i = 0; i < r->n_shares; i++) {
            const fs_link l = fs_topo_link(f.topo, r->shares[i].resource);
            if (l.src == leaf && l.dst == spine)
                assert_true(fabs(r->shares[i].coefficient - (epoch == 0 ? 1.0 / 16 : 0.5 / 15.5)) < 1e-15);
        }
    }
    close_network(&f);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    static const char *const policies[] = {"adaptive", "ecmp", "static"};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        fabric f = open_network(64, policies[i], two_tiers, "net/leaf1 - net/spine0", (fs_router_options){0});
        fs_status status = FS_E_NOMEM;
        for (uint64_t k = 1; status != FS_OK; k++) {
            fs_router *r = NULL;
            fs_route_buffer buffer = {0};
            uint64_t live = fs_mem_live();
            fs_mem_fail_after(k);
            status = fs_router_new(f.topo, (fs_router_options){0}, &r, &f.err);
            for (uint32_t dst = 1; dst < 64 && status == FS_OK; dst += 21)
                status = fs_router_compose(r, f.topo->gpus[0], f.topo->gpus[dst], 0, &buffer, &f.err);
            fs_mem_fail_after(0);
            if (status != FS_OK)
                assert_int_equal(status, FS_E_NOMEM);
            fs_route_buffer_free(&buffer);
            fs_router_free(r);
            assert_int_equal(fs_mem_live(), live);
            assert_true(k < 2000);
        }
        close_network(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shifts_do_not_collide),
        cmocka_unit_test(a_failed_cable_doubles_a_link),
        cmocka_unit_test(only_what_used_the_cable_moves),
        cmocka_unit_test(hashes_collide_as_balls_in_bins),
        cmocka_unit_test(hashes_tell_flows_apart_and_repeat),
        cmocka_unit_test(policies_agree_on_distance),
        cmocka_unit_test(errors_name_what_failed),
        cmocka_unit_test(slow_links_carry_less),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
