/* test_route.c - which links a route crosses, and in which parts. */
#include "fabric_case.h"

static fabric open_ideal(const char *text)
{
    return fabric_open(text, FS_COST_IDEAL, FS_LOWER_COUPLED);
}

static void expect_no_path(const char *line, const char *from, const char *to, const char *text)
{
    fabric f = open_ideal(line);
    const fs_route *r = NULL;
    assert_int_equal(fs_router_find(f.router, device(&f, from), device(&f, to), 0, &r, &f.err), FS_E_TOPOLOGY);
    assert_null(r);
    assert_string_equal(f.err.text, text);
    fabric_close(&f);
}

static void a_crossbar_is_two_links_away(void **state)
{
    (void)state;
    fabric f = open_ideal("gpus:4 nvlink:25GB/s,500ns,20GB/s");
    const fs_route *r = route(&f, "gpu0", "gpu3");
    assert_int_equal(r->n_shares, 2);
    assert_int_equal(r->hops, 2);
    assert_int_equal(r->worst_class, FS_CLASS_NVLINK);
    near(r->latency_s, 1e-6);
    near(r->bandwidth_Bps, 25e9);
    near(r->effective_Bps, 20e9);
    near(fraction(&f, r, "gpu0", "nvsw0"), 1.0);
    near(fraction(&f, r, "nvsw0", "gpu3"), 1.0);
    assert_true(r->shares[0].resource < r->shares[1].resource);
    assert_ptr_equal(route(&f, "gpu0", "gpu3"), r);
    assert_ptr_not_equal(route(&f, "gpu3", "gpu0"), r);
    fabric_close(&f);
}

static void many_routes_stay_known(void **state)
{
    (void)state;
    fabric f = open_ideal("gpus:32 nvlink:25GB/s");
    const fs_route *first = route(&f, "gpu0", "gpu1");
    for (uint32_t a = 0; a < 32; a++) {
        for (uint32_t b = 0; b < 32; b++) {
            const fs_route *r = NULL;
            if (a != b)
                assert_int_equal(fs_router_find(f.router, f.topo->gpus[a], f.topo->gpus[b], 0, &r, &f.err), FS_OK);
        }
    }
    assert_ptr_equal(route(&f, "gpu0", "gpu1"), first);
    fabric_close(&f);
}

/* Two GPUs with 4, 5, 5, 4 and 5, 4, 4, 5 lanes to four switches: each switch can pass on 4. */
static void unequal_lanes_meet_in_the_smaller(void **state)
{
    (void)state;
    static const uint32_t lanes[2][4] = {{4, 5, 5, 2}, {5, 4, 4, 5}};
    static const fs_place nowhere = {0};
    static const fs_part gpu = {.name = "g",
                                .kind = FS_DEVICE_GPU,
                                .mem_bytes = 1,
                                .mem_Bps = 1,
                                .gemm_efficiency = 1,
                                .mem_efficiency = 1,
                                .peak_flops = {[FS_FP16] = 1}};
    static const fs_part sw = {.name = "s", .kind = FS_DEVICE_NVSWITCH};
    static const fs_link_type type = {
        .name = "l", .class_ = FS_CLASS_NVLINK, .bandwidth_Bps = 25e9, .effective_Bps = 20e9};
    fabric f = {0};
    fs_spec *spec = fs_spec_new("t", "t");
    uint32_t node;
    assert_int_equal(fs_spec_part(spec, &gpu, nowhere, &f.err), FS_OK);
    assert_int_equal(fs_spec_part(spec, &sw, nowhere, &f.err), FS_OK);
    assert_int_equal(fs_spec_link_type(spec, &type, "nvlink", nowhere, &f.err), FS_OK);
    assert_int_equal(fs_spec_node(spec, "n", &node, nowhere, &f.err), FS_OK);
    assert_int_equal(fs_spec_device(spec, "a", "g", node, nowhere, &f.err), FS_OK);
    assert_int_equal(fs_spec_device(spec, "b", "g", node, nowhere, &f.err), FS_OK);
    for (uint32_t s = 0; s < 4; s++) {
        char name[8];
        snprintf(name, sizeof name, "sw%u", s);
        assert_int_equal(fs_spec_device(spec, name, "s", node, nowhere, &f.err), FS_OK);
        assert_int_equal(fs_spec_link(spec, "a", name, "l", lanes[0][s], nowhere, &f.err), FS_OK);
        assert_int_equal(fs_spec_link(spec, "b", name, "l", lanes[1][s], nowhere, &f.err), FS_OK);
    }
    assert_int_equal(fs_spec_freeze(spec, &f.topo, &f.err), FS_OK);
    fs_spec_free(spec);
    assert_int_equal(fs_router_new(f.topo, (fs_router_options){0}, &f.router, &f.err), FS_OK);
    const fs_route *r = route(&f, "a", "b");
    near(fraction(&f, r, "a", "sw0"), 4.0 / 14);
    near(fraction(&f, r, "sw1", "b"), 4.0 / 14);
    near(fraction(&f, r, "a", "sw3"), 2.0 / 14);
    near(r->bandwidth_Bps, 14 * 25e9); /* the maximum flow */
    fabric_close(&f);
}

static void dgx2_boards_join_in_trunks(void **state)
{
    (void)state;
    fabric f = open_ideal("topologies/dgx2h.xml");
    const fs_route *same = route(&f, "gpu0", "gpu7"), *other = route(&f, "gpu0", "gpu8");
    assert_int_equal(same->hops, 2);
    assert_int_equal(same->n_shares, 12);
    near(fraction(&f, same, "gpu0", "nvsw0"), 1.0 / 6);
    near(same->bandwidth_Bps, 150e9);
    assert_int_equal(other->hops, 3);
    assert_int_equal(other->n_shares, 18);
    near(other->bandwidth_Bps, 150e9);
    fabric_close(&f);
}

static void dgx1_pairs_without_nvlink_take_pcie(void **state)
{
    (void)state;
    fabric f = open_ideal("topologies/dgx1-v100.xml");
    const fs_route *direct = route(&f, "gpu0", "gpu4"), *far = route(&f, "gpu0", "gpu5");
    assert_int_equal(direct->hops, 1);
    assert_int_equal(direct->worst_class, FS_CLASS_NVLINK);
    near(direct->bandwidth_Bps, 50e9);
    assert_int_equal(far->worst_class, FS_CLASS_CPU);
    for (uint32_t i = 0; i < far->n_shares; i++)
        assert_int_not_equal(f.topo->link_types[fs_topo_link(f.topo, far->shares[i].resource).type].class_,
                             FS_CLASS_NVLINK);
    fabric_close(&f);
}

static void gpus_forward_only_when_told(void **state)
{
    (void)state;
    fabric f = open_ideal("ring:4 nvlink:25GB/s,1us forwarding");
    const fs_route *r = route(&f, "gpu0", "gpu2");
    assert_int_equal(r->hops, 2);
    near(r->latency_s, 2e-6);
    near(fraction(&f, r, "gpu0", "gpu1"), 0.5);
    near(fraction(&f, r, "gpu3", "gpu2"), 0.5);
    near(r->bandwidth_Bps, 50e9);
    assert_int_equal(route(&f, "gpu0", "gpu1")->hops, 1);
    fabric_close(&f);
    expect_no_path(
        "ring:4 nvlink:25GB/s", "gpu0", "gpu2",
        "no path from 'gpu0' to 'gpu2'; gpu-forwarding=\"yes\" would let a GPU between them pass their traffic on");
    /* One GPU between, never two. */
    expect_no_path("ring:6 nvlink:25GB/s forwarding", "gpu0", "gpu3", "no path from 'gpu0' to 'gpu3'");
}

static void the_network_starts_at_the_own_nic(void **state)
{
    (void)state;
    fabric f = open_ideal("nodes:2 gpus:2 nvlink:25GB/s nic:10GB/s,1us spine");
    assert_int_equal(route(&f, "node0/gpu0", "node0/gpu1")->worst_class, FS_CLASS_NVLINK);
    const fs_route *rail = route(&f, "node0/gpu0", "node1/gpu0"), *across = route(&f, "node0/gpu0", "node1/gpu1");
    assert_int_equal(rail->worst_class, FS_CLASS_NET);
    assert_int_equal(rail->hops, 4);
    near(fraction(&f, rail, "node0/nic0", "leaf0"), 1.0);
    assert_int_equal(across->hops, 6);
    near(fraction(&f, across, "leaf0", "spine0"), 1.0);
    near(fraction(&f, across, "node1/nic1", "node1/gpu1"), 1.0);
    fabric_close(&f);
    /* Without a spine the rails do not meet, and a NIC passes nothing from one to the other. */
    expect_no_path("nodes:2 gpus:2 nvlink:25GB/s nic:10GB/s", "node0/gpu0", "node1/gpu1",
                   "no path from 'node0/gpu0' to 'node1/gpu1'");
}

static void a_single_path_takes_the_lowest_links(void **state)
{
    (void)state;
    fabric f = open_ideal("topologies/dgx2h.xml");
    fs_router *single;
    const fs_route *r;
    assert_int_equal(fs_router_new(f.topo, (fs_router_options){.single_path = true}, &single, &f.err), FS_OK);
    assert_int_equal(fs_router_find(single, f.topo->gpus[0], f.topo->gpus[8], 0, &r, &f.err), FS_OK);
    assert_int_equal(r->n_shares, 3);
    assert_int_equal(r->hops, 3);
    for (uint32_t i = 0; i < 3; i++)
        near(r->shares[i].coefficient, 1.0);
    assert_true(fraction(&f, r, "gpu0", "nvsw0") > 0.0);
    near(r->bandwidth_Bps, 25e9);
    fs_router_free(single);
    fabric_close(&f);
}

/* A search that goes on for the next source finds what a new one finds. */
static void the_order_of_questions_does_not_matter(void **state)
{
    (void)state;
    fabric f = open_ideal("topologies/dgx-h100-x2.xml");
    for (uint32_t dst = 0; dst < f.topo->n_devices; dst += 3) {
        for (uint32_t src = 0; src < f.topo->n_devices; src++) {
            const fs_route *r = NULL, *fresh = NULL;
            fs_router *router;
            if (src == dst)
                continue;
            fs_status status = fs_router_find(f.router, src, dst, 0, &r, &f.err);
            assert_int_equal(fs_router_new(f.topo, (fs_router_options){0}, &router, &f.err), FS_OK);
            assert_int_equal(fs_router_find(router, src, dst, 0, &fresh, &f.err), status);
            fs_route none = {0}; /* NVSwitches have no way off their board */
            r = status == FS_OK ? r : &none;
            fresh = status == FS_OK ? fresh : &none;
            assert_int_equal(r->n_shares, fresh->n_shares);
            for (uint32_t i = 0; i < r->n_shares; i++) {
                assert_int_equal(r->shares[i].resource, fresh->shares[i].resource);
                assert_true(r->shares[i].coefficient == fresh->shares[i].coefficient);
            }
            assert_true(r->hops == fresh->hops && r->worst_class == fresh->worst_class);
            assert_true(r->latency_s == fresh->latency_s);
            fs_router_free(router);
        }
    }
    fabric_close(&f);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    fabric f = open_ideal("topologies/dgx2h.xml");
    fs_status status = FS_E_NOMEM;
    for (uint64_t k = 1; status != FS_OK; k++) {
        fs_router *r = NULL;
        const fs_route *found = NULL;
        uint64_t live = fs_mem_live();
        fs_mem_fail_after(k);
        status = fs_router_new(f.topo, (fs_router_options){0}, &r, &f.err);
        if (status == FS_OK)
            status = fs_router_find(r, f.topo->gpus[0], f.topo->gpus[8], 0, &found, &f.err);
        fs_mem_fail_after(0);
        if (status != FS_OK) {
            assert_int_equal(status, FS_E_NOMEM);
            assert_null(found);
        }
        fs_router_free(r);
        assert_int_equal(fs_mem_live(), live);
        assert_true(k < 1000);
    }
    fabric_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crossbar_is_two_links_away),
        cmocka_unit_test(many_routes_stay_known),
        cmocka_unit_test(unequal_lanes_meet_in_the_smaller),
        cmocka_unit_test(dgx2_boards_join_in_trunks),
        cmocka_unit_test(dgx1_pairs_without_nvlink_take_pcie),
        cmocka_unit_test(gpus_forward_only_when_told),
        cmocka_unit_test(the_network_starts_at_the_own_nic),
        cmocka_unit_test(a_single_path_takes_the_lowest_links),
        cmocka_unit_test(the_order_of_questions_does_not_matter),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
