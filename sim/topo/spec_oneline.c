/* spec_oneline.c - a test topology in one line. See spec.h.
 *
 * Grammar: words divided by blanks; the first names the shape, the others come in any order, each at most once.
 *
 *   gpus:N   nvlink:LINK              N GPUs on one NVSwitch: gpu0.. nvsw0
 *   ring:N   nvlink:LINK              gpu(i) to gpu(i+1), and the last to the first (N = 2: one connection)
 *   mesh:N   nvlink:LINK              every pair of GPUs directly
 *   pcie:N   pcie:LINK                N GPUs under one PCIe switch: gpu0.. plx0
 *   nodes:M  gpus:N nvlink:LINK nic:LINK [pcie:LINK] [spine]
 *            M nodes, each N GPUs on one NVSwitch and a NIC beside every GPU: node0/gpu0.. node0/nvsw0 node0/nic0..;
 *            rail r of every node meets in leaf(r). A GPU reaches its NIC over `pcie` (default: as fast as the NIC, no
 *            latency). With `spine` the leaves meet in spine0 with as many lanes as there are nodes: full bisection.
 *   LINK     RATE[,LATENCY[,EFFECTIVE]]   such as 25GB/s,500ns,20GB/s; LATENCY 0 and EFFECTIVE = RATE by default
 *   anywhere:  multicast (switches reduce and multicast), forwarding (GPUs forward), flops:RATE (default 100TFLOP/s)
 *
 * No part has a latency, so a path costs the sum of its LATENCYs. Everything beside the LINKs is TEST_GPU below. */
#include "topo/spec_in.h"

#include "base/num.h"

#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1000, GPUS_MAX = 1 << 16, MESH_MAX = 1 << 10, NODES_MAX = 1 << 16, ALL_GPUS_MAX = 1 << 20 };

/* Round figures, each one different from 0 and 1, so that a forgotten one shows. */
static const fs_part TEST_GPU = {
    .name = "test-gpu",
    .kind = FS_DEVICE_GPU,
    .arch = FS_AMPERE,
    .mem_bytes = 80e9,
    .mem_Bps = 2e12,
    .gemm_efficiency = 0.5,
    .mem_efficiency = 0.5,
    .launch_s = 1e-6,
    .power_W = 400,
};

typedef enum shape { CROSSBAR, RING, MESH, PCIE, NODES } shape;

typedef struct line {
    shape shape;
    uint32_t nodes, gpus;
    fs_link_type nvlink, pcie, nic; /* bandwidth 0 = not given */
    bool multicast, forwarding, spine;
    double flops;
    fs_spec *spec;
} line;

static const fs_place nowhere;

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static fs_status bad(fs_err *err, const char *word, const char *what)
{
    return fs_fail(err, FS_E_TOPOLOGY, "topology line: '%s': %s", word, what);
}

static fs_status read_count(const char *word, const char *value, uint32_t most, uint32_t *out, fs_err *err)
{
    uint64_t count;
    if (*out != 0)
        return bad(err, word, "given twice");
    if (fs_parse_uint(value, &count) != 0 || count < 1 || count > most)
        return fs_fail(err, FS_E_TOPOLOGY, "topology line: '%s': expected a number from 1 to %u", word, most);
    *out = (uint32_t)count;
    return FS_OK;
}

/* RATE[,LATENCY[,EFFECTIVE]] */
static fs_status read_link(const char *word, char *value, fs_link_type *type, fs_err *err)
{
    if (type->bandwidth_Bps != 0)
        return bad(err, word, "given twice");
    char *latency = strchr(value, ','), *effective = latency ? strchr(latency + 1, ',') : NULL;
    const char *why;
    if (latency)
        *latency++ = '\0';
    if (effective)
        *effective++ = '\0';
    if (fs_parse_quantity(value, FS_UNIT_BPS, &type->bandwidth_Bps, &why) != 0 ||
        (latency && fs_parse_quantity(latency, FS_UNIT_SECONDS, &type->latency_s, &why) != 0))
        return bad(err, word, why);
    type->effective_Bps = type->bandwidth_Bps;
    if (effective && fs_parse_quantity(effective, FS_UNIT_BPS, &type->effective_Bps, &why) != 0)
        return bad(err, word, why);
    return FS_OK;
}

static fs_status read_flag(const char *word, bool *flag, fs_err *err)
{
    if (*flag)
        return bad(err, word, "given twice");
    *flag = true;
    return FS_OK;
}

static fs_status read_shape(line *l, const char *word, const char *value, fs_err *err)
{
    static const struct {
        const char *key;
        shape shape;
        uint32_t most;
    } shapes[] = {
        {"gpus", CROSSBAR, GPUS_MAX}, {"ring", RING, GPUS_MAX},    {"mesh", MESH, MESH_MAX},
        {"pcie", PCIE, GPUS_MAX},     {"nodes", NODES, NODES_MAX},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (value && strcmp(word, shapes[i].key) == 0) {
            l->shape = shapes[i].shape;
            return read_count(word, value, shapes[i].most, l->shape == NODES ? &l->nodes : &l->gpus, err);
        }
    return bad(err, word, "expected a shape first: gpus:N, ring:N, mesh:N, pcie:N or nodes:N");
}

static fs_status read_word(line *l, char *word, char *value, fs_err *err)
{
    if (value && strcmp(word, "nvlink") == 0)
        return read_link(word, value, &l->nvlink, err);
    if (value && strcmp(word, "pcie") == 0)
        return read_link(word, value, &l->pcie, err);
    if (value && strcmp(word, "nic") == 0)
        return read_link(word, value, &l->nic, err);
    if (value && strcmp(word, "gpus") == 0 && l->shape == NODES)
        return read_count(word, value, GPUS_MAX, &l->gpus, err);
    if (value && strcmp(word, "flops") == 0) {
        const char *why;
        if (l->flops != 0)
            return bad(err, word, "given twice");
        return fs_parse_quantity(value, FS_UNIT_FLOPS, &l->flops, &why) == 0 ? FS_OK : bad(err, word, why);
    }
    if (!value && strcmp(word, "multicast") == 0)
        return read_flag(word, &l->multicast, err);
    if (!value && strcmp(word, "forwarding") == 0)
        return read_flag(word, &l->forwarding, err);
    if (!value && strcmp(word, "spine") == 0)
        return read_flag(word, &l->spine, err);
    return bad(err, word, "unknown word");
}

static fs_status check_line(const line *l, fs_err *err)
{
    static const char *const keys[] = {"gpus", "ring", "mesh", "pcie", "nodes"};
    const char *key = keys[l->shape];
    bool needs_nvlink = l->shape != PCIE, has_pcie = l->shape == PCIE || l->shape == NODES;
    if (l->gpus == 0)
        return bad(err, key, "needs gpus:N beside it");
    if ((uint64_t)l->gpus * (l->nodes ? l->nodes : 1) > ALL_GPUS_MAX)
        return bad(err, key, "more than 1048576 GPUs");
    if (needs_nvlink && l->nvlink.bandwidth_Bps == 0)
        return bad(err, key, "needs nvlink:RATE beside it");
    if (!needs_nvlink && l->nvlink.bandwidth_Bps != 0)
        return bad(err, "nvlink", "has no place in this shape");
    if (l->shape == PCIE && l->pcie.bandwidth_Bps == 0)
        return bad(err, key, "needs pcie:RATE beside it");
    if (!has_pcie && l->pcie.bandwidth_Bps != 0)
        return bad(err, "pcie", "has no place in this shape");
    if (l->shape == NODES && l->nic.bandwidth_Bps == 0)
        return bad(err, key, "needs nic:RATE beside it");
    if (l->shape != NODES && l->nic.bandwidth_Bps != 0)
        return bad(err, "nic", "has no place in this shape");
    if (l->shape != NODES && l->spine)
        return bad(err, "spine", "has no place in this shape");
    return FS_OK;
}

/* `text` is cut into words. */
static fs_status read_line(line *l, char *text, fs_err *err)
{
    bool first = true;
    for (char *word = text + strspn(text, " "); *word != '\0';) {
        size_t length = strcspn(word, " ");
        char *next = word + length;
        next += strspn(next, " ");
        word[length] = '\0';
        char *value = strchr(word, ':');
        if (value)
            *value++ = '\0';
        fs_status status = first ? read_shape(l, word, value, err) : read_word(l, word, value, err);
        if (status != FS_OK)
            return status;
        first = false;
        word = next;
    }
    return first ? bad(err, "", "expected a shape first: gpus:N, ring:N, mesh:N, pcie:N or nodes:N")
                 : check_line(l, err);
}

/* ---- building ---------------------------------------------------------------------------------------------------- */

static fs_status add_parts(line *l, fs_err *err)
{
    fs_part gpu = TEST_GPU;
    for (int i = 0; i < FS_DTYPES; i++)
        gpu.peak_flops[i] = l->flops != 0 ? l->flops : 100e12;
    const fs_part parts[] = {
        gpu,
        {.name = "test-nvswitch", .kind = FS_DEVICE_NVSWITCH, .multicast = l->multicast},
        {.name = "test-pcie-switch", .kind = FS_DEVICE_PCIE_SWITCH},
        {.name = "test-nic", .kind = FS_DEVICE_NIC},
        {.name = "test-net-switch", .kind = FS_DEVICE_NET_SWITCH, .multicast = l->multicast},
    };
    fs_status status = FS_OK;
    for (size_t i = 0; status == FS_OK && i < sizeof parts / sizeof *parts; i++)
        status = fs_spec_part(l->spec, &parts[i], nowhere, err);
    return status;
}

static fs_status add_type(line *l, fs_link_type type, const char *name, const char *tier, fs_link_class class_,
                          fs_err *err)
{
    if (type.bandwidth_Bps == 0)
        return FS_OK;
    type.name = name;
    type.class_ = class_;
    return fs_spec_link_type(l->spec, &type, tier, nowhere, err);
}

static fs_status add_types(line *l, fs_err *err)
{
    if (l->shape == NODES && l->pcie.bandwidth_Bps == 0) {
        l->pcie = l->nic;
        l->pcie.latency_s = 0;
    }
    fs_status status = add_type(l, l->nvlink, "test-nvlink", "nvlink", FS_CLASS_NVLINK, err);
    if (status == FS_OK)
        status = add_type(l, l->pcie, "test-pcie", "pcie", FS_CLASS_PCIE, err);
    if (status == FS_OK)
        status = add_type(l, l->nic, "test-nic", "nic", FS_CLASS_NET, err);
    if (status == FS_OK && l->spine)
        status = add_type(l, l->nic, "test-spine", "leaf-spine", FS_CLASS_NET, err);
    return status;
}

/* `kind` + number */
static fs_status add_device(line *l, const char *kind, uint32_t number, const char *part, uint32_t node, fs_err *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s%u", kind, number);
    return fs_spec_device(l->spec, name, part, node, nowhere, err);
}

static fs_status connect(line *l, const char *kind_a, uint32_t a, const char *kind_b, uint32_t b, const char *type,
                         uint32_t lanes, fs_err *err)
{
    char from[64], to[64];
    snprintf(from, sizeof from, "%s%u", kind_a, a);
    snprintf(to, sizeof to, "%s%u", kind_b, b);
    return fs_spec_link(l->spec, from, to, type, lanes, nowhere, err);
}

/* GPUs and what joins them, within one node. */
static fs_status add_gpus(line *l, uint32_t node, fs_err *err)
{
    fs_status status = FS_OK;
    uint32_t n = l->gpus;
    for (uint32_t i = 0; status == FS_OK && i < n; i++)
        status = add_device(l, "gpu", i, TEST_GPU.name, node, err);
    if (status == FS_OK && l->shape == PCIE)
        status = add_device(l, "plx", 0, "test-pcie-switch", node, err);
    if (status == FS_OK && (l->shape == CROSSBAR || l->shape == NODES))
        status = add_device(l, "nvsw", 0, "test-nvswitch", node, err);
    for (uint32_t i = 0; status == FS_OK && i < n; i++) {
        if (l->shape == PCIE)
            status = connect(l, "gpu", i, "plx", 0, "test-pcie", 1, err);
        else if (l->shape == CROSSBAR || l->shape == NODES)
            status = connect(l, "gpu", i, "nvsw", 0, "test-nvlink", 1, err);
        else if (l->shape == RING && (i + 1 < n || n > 2))
            status = connect(l, "gpu", i, "gpu", (i + 1) % n, "test-nvlink", 1, err);
        for (uint32_t j = i + 1; status == FS_OK && l->shape == MESH && j < n; j++)
            status = connect(l, "gpu", i, "gpu", j, "test-nvlink", 1, err);
    }
    return status;
}

static fs_status add_nics(line *l, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < l->gpus; i++) {
        status = add_device(l, "nic", i, "test-nic", 0, err);
        if (status == FS_OK)
            status = connect(l, "gpu", i, "nic", i, "test-pcie", 1, err);
    }
    return status;
}

/* The node, as a unit that is placed once or l->nodes times. */
static fs_status add_board(line *l, fs_err *err)
{
    uint32_t node = 0;
    bool many = l->shape == NODES;
    fs_status status = fs_spec_unit_begin(l->spec, many, err);
    if (status == FS_OK && !many)
        status = fs_spec_node(l->spec, "node0", &node, nowhere, err);
    if (status == FS_OK)
        status = add_gpus(l, node, err);
    if (status == FS_OK && many)
        status = add_nics(l, err);
    if (status != FS_OK)
        return status;
    return fs_spec_place(l->spec, fs_spec_unit_end(l->spec), many ? "node" : "", many, many ? l->nodes : 1, nowhere,
                         err);
}

static fs_status add_rails(line *l, fs_err *err)
{
    fs_status status = FS_OK;
    uint32_t first = 0, stride = 0, nic = fs_names_find(&l->spec->type_names, "test-nic");
    for (uint32_t r = 0; status == FS_OK && r < l->gpus; r++) {
        char name[64];
        uint32_t leaf = l->spec->n_devices;
        snprintf(name, sizeof name, "nic%u", r);
        status = add_device(l, "leaf", r, "test-net-switch", FS_NONE, err);
        if (status == FS_OK)
            status = fs_spec_run_device(l->spec, 0, name, &first, &stride, nowhere, err);
        for (uint32_t m = 0; status == FS_OK && m < l->nodes; m++)
            status = fs_spec_cable(l->spec, first + m * stride, leaf, nic, 1, nowhere, err);
    }
    if (status == FS_OK && l->spine)
        status = add_device(l, "spine", 0, "test-net-switch", FS_NONE, err);
    for (uint32_t r = 0; status == FS_OK && l->spine && r < l->gpus; r++)
        status = connect(l, "leaf", r, "spine", 0, "test-spine", l->nodes, err);
    return status;
}

static fs_status build(line *l, fs_err *err)
{
    fs_status status = add_parts(l, err);
    if (status == FS_OK)
        status = add_types(l, err);
    if (status != FS_OK)
        return status;
    fs_spec_set_forwarding(l->spec, l->forwarding);
    status = add_board(l, err);
    return status == FS_OK && l->shape == NODES ? add_rails(l, err) : status;
}

fs_status fs_spec_oneline(const char *text, fs_topo **topo, fs_err *err)
{
    char copy[LINE_MAX_BYTES + 1];
    size_t length = strlen(text);
    if (length > LINE_MAX_BYTES)
        return fs_fail(err, FS_E_TOPOLOGY, "topology line: longer than 1000 bytes");
    memcpy(copy, text, length + 1);
    line l = {0};
    fs_status status = read_line(&l, copy, err);
    if (status != FS_OK)
        return status;
    l.spec = fs_spec_new("one-line topology", NULL);
    if (l.spec == NULL)
        return fs_fail_nomem(err);
    status = build(&l, err);
    if (status == FS_OK)
        status = fs_spec_freeze(l.spec, topo, err);
    fs_spec_free(l.spec);
    return status;
}
