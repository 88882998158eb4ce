/* topo_write.c - a frozen topology as explicit XML and as a Graphviz graph. See topo.h.
 *
 * The XML lists every node, device and connection in id order, so reading it back gives the same ids; numbers are
 * written in base units with as many digits as they need, so reading gives the same bits. */
#include "topo/topo.h"

#include "base/num.h"
#include "topo/gpu_figures.h"

#include <string.h>

enum { NUMBER = 40 };

/* ---- XML --------------------------------------------------------------------------------------------------------- */

static void escaped(fs_out *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '&': fs_out_puts(out, "&amp;"); break;
        case '<': fs_out_puts(out, "&lt;"); break;
        case '"': fs_out_puts(out, "&quot;"); break;
        default: fs_out_write(out, c, 1);
        }
    }
}

static void figure(fs_out *out, const char *attribute, double value, const char *unit)
{
    char number[NUMBER];
    fs_out_printf(out, " %s=\"%s%s\"", attribute, fs_format_exact(value, number, sizeof number), unit);
}

static const char *unit_name(fs_unit unit)
{
    return unit == FS_UNIT_SECONDS ? "s" : unit == FS_UNIT_BPS ? "B/s" : "";
}

static void write_product(const fs_gpu_product *product, fs_out *out)
{
    for (size_t i = 0; i < FS_PRODUCT_FIGURES; i++) {
        const fs_gpu_figure *f = &fs_product_figures[i];
        if (fs_figure_value(f, product) > 0)
            figure(out, f->attribute, fs_figure_value(f, product), unit_name(f->unit));
    }
    if (product->whole)
        fs_out_puts(out, " whole=\"yes\"");
    if (product->overlap)
        fs_out_puts(out, " overlap=\"yes\"");
}

static void write_costs(const fs_gpu_costs *costs, const char *element, fs_out *out)
{
    fs_out_printf(out, "      <%s", element);
    for (size_t i = 0; i < FS_COST_FIGURES; i++) {
        const fs_gpu_figure *f = &fs_cost_figures[i];
        if (strcmp(f->element, element) == 0)
            figure(out, f->attribute, fs_figure_value(f, costs), unit_name(f->unit));
    }
    fs_out_puts(out, "/>\n");
}

static void write_part(const fs_part *p, fs_out *out)
{
    const char *kind = fs_device_kind_name(p->kind);
    fs_out_printf(out, "    <%s name=\"%s\"", kind, p->name);
    if (p->kind == FS_DEVICE_GPU) {
        fs_out_printf(out, " arch=\"%s\"", fs_arch_name(p->arch));
        figure(out, "memory", p->mem_bytes, "B");
        figure(out, "memory-bandwidth", p->mem_Bps, "B/s");
        figure(out, "gemm-efficiency", p->gemm_efficiency, "");
        figure(out, "memory-efficiency", p->mem_efficiency, "");
        figure(out, "launch", p->launch_s, "s");
    } else {
        figure(out, "latency", p->latency_s, "s");
    }
    figure(out, "power", p->power_W, "W");
    if (p->host_W > 0)
        figure(out, "host-power", p->host_W, "W");
    if (p->ports != 0)
        fs_out_printf(out, " ports=\"%u\"", p->ports);
    if (p->kind == FS_DEVICE_NVSWITCH || (p->kind == FS_DEVICE_NET_SWITCH && p->multicast))
        fs_out_printf(out, " multicast=\"%s\"", p->multicast ? "yes" : "no");
    fs_out_puts(out, " source=\"expanded by fabsim\"");
    if (p->kind != FS_DEVICE_GPU) {
        fs_out_puts(out, "/>\n");
        return;
    }
    fs_out_puts(out, ">\n");
    for (int i = 0; i < FS_DTYPES; i++)
        if (p->peak_flops[i] != 0) {
            fs_out_printf(out, "      <peak dtype=\"%s\"", fs_dtype_names[i]);
            figure(out, "flops", p->peak_flops[i], "FLOP/s");
            write_product(&p->product[i], out);
            fs_out_puts(out, "/>\n");
        }
    if (p->costs.sms > 0) {
        write_costs(&p->costs, "kernels", out);
        write_costs(&p->costs, "attention", out);
    }
    fs_out_printf(out, "    </%s>\n", kind);
}

static void write_link_type(const fs_topo *topo, const fs_link_type *t, fs_out *out)
{
    fs_out_printf(out, "    <link-type name=\"%s\" class=\"%s\" tier=\"%s\"", t->name, fs_link_class_name(t->class_),
                  topo->tiers[t->tier].name);
    figure(out, "bandwidth", t->bandwidth_Bps, "B/s");
    figure(out, "effective", t->effective_Bps, "B/s");
    figure(out, "latency", t->latency_s, "s");
    fs_out_puts(out, " source=\"expanded by fabsim\"/>\n");
}

void fs_topo_write_xml(const fs_topo *topo, fs_out *out)
{
    fs_out_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<fabsim version=\"topology/1\" name=\"");
    escaped(out, topo->name);
    fs_out_puts(out, "\">\n  <parts>\n");
    for (uint32_t i = 0; i < topo->n_parts; i++)
        write_part(&topo->parts[i], out);
    for (uint32_t i = 0; i < topo->n_link_types; i++)
        write_link_type(topo, &topo->link_types[i], out);
    fs_out_printf(out, "  </parts>\n  <system gpu-forwarding=\"%s\" cross-rail=\"%s\">\n",
                  topo->gpu_forwarding ? "yes" : "no", topo->cross_rail ? "network" : "pxn");
    for (uint32_t i = 0; i < topo->n_networks; i++)
        fs_out_printf(out, "    <network name=\"%s\" routing=\"%s\"/>\n", topo->networks[i].name,
                      fs_routing_names[topo->networks[i].routing]);
    for (uint32_t i = 0; i < topo->n_nodes; i++)
        fs_out_printf(out, "    <node name=\"%s\"/>\n", FS_NODE_NAME(topo, i));
    for (uint32_t i = 0; i < topo->n_devices; i++) {
        const fs_device d = fs_topo_device(topo, i);
        fs_out_printf(out, "    <device name=\"%s\" part=\"%s\"", FS_DEVICE_NAME(topo, i), topo->parts[d.part].name);
        if (d.node != FS_NONE)
            fs_out_printf(out, " node=\"%s\"", FS_NODE_NAME(topo, d.node));
        if (d.network != FS_NONE)
            fs_out_printf(out, " network=\"%s\"", topo->networks[d.network].name);
        fs_out_puts(out, "/>\n");
    }
    for (uint32_t i = 0; i < topo->n_links; i += 2) {
        const fs_link l = fs_topo_link(topo, i);
        fs_out_printf(out, "    <link from=\"%s\" to=\"%s\" type=\"%s\"", FS_DEVICE_NAME(topo, l.src),
                      FS_DEVICE_NAME(topo, l.dst), topo->link_types[l.type].name);
        if (l.lanes != 1)
            fs_out_printf(out, " lanes=\"%u\"", l.lanes);
        fs_out_puts(out, "/>\n");
    }
    fs_out_puts(out, "  </system>\n</fabsim>\n");
}

/* ---- Graphviz ---------------------------------------------------------------------------------------------------- */

static const char *const shapes[FS_DEVICE_KINDS] = {
    [FS_DEVICE_GPU] = "shape=box style=filled fillcolor=\"#c7e9c0\"",
    [FS_DEVICE_NVSWITCH] = "shape=ellipse style=filled fillcolor=\"#a1d99b\"",
    [FS_DEVICE_NIC] = "shape=house style=filled fillcolor=\"#fdd0a2\"",
    [FS_DEVICE_CPU] = "shape=box style=filled fillcolor=\"#d9d9d9\"",
    [FS_DEVICE_PCIE_SWITCH] = "shape=ellipse style=filled fillcolor=\"#c6dbef\"",
    [FS_DEVICE_NET_SWITCH] = "shape=ellipse style=filled fillcolor=\"#fdae6b\"",
};

static const char *const colours[FS_LINK_CLASSES] = {
    [FS_CLASS_NVLINK] = "#31a354", [FS_CLASS_C2C] = "#756bb1", [FS_CLASS_PCIE] = "#3182bd",
    [FS_CLASS_CPU] = "#636363",    [FS_CLASS_NET] = "#e6550d",
};

static void write_devices_of(const fs_topo *topo, uint32_t node, fs_out *out)
{
    for (uint32_t i = 0; i < topo->n_devices; i++)
        if (fs_topo_device(topo, i).node == node)
            fs_out_printf(out, "  d%u [label=\"%s\" %s];\n", i, FS_DEVICE_NAME(topo, i),
                          shapes[fs_topo_device(topo, i).kind]);
}

void fs_topo_write_dot(const fs_topo *topo, fs_out *out)
{
    fs_out_puts(out, "graph fabsim {\n  label=\"");
    for (const char *c = topo->name; *c; c++) { /* printable ASCII: only these two need care */
        if (*c == '"' || *c == '\\')
            fs_out_puts(out, "\\");
        fs_out_write(out, c, 1);
    }
    fs_out_puts(out, "\";\n  node [fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\" fontsize=9];\n");
    write_devices_of(topo, FS_NONE, out);
    for (uint32_t n = 0; n < topo->n_nodes; n++) {
        fs_out_printf(out, "  subgraph cluster_%u {\n  label=\"%s\";\n", n, FS_NODE_NAME(topo, n));
        write_devices_of(topo, n, out);
        fs_out_puts(out, "  }\n");
    }
    for (uint32_t i = 0; i < topo->n_links; i += 2) {
        const fs_link l = fs_topo_link(topo, i);
        char rate[NUMBER];
        fs_out_printf(out, "  d%u -- d%u [color=\"%s\" label=\"%s", l.src, l.dst,
                      colours[topo->link_types[l.type].class_], fs_format_bps(l.bandwidth_Bps, rate, sizeof rate));
        if (l.lanes != 1)
            fs_out_printf(out, " (%u lanes)", l.lanes);
        fs_out_puts(out, "\"];\n");
    }
    fs_out_puts(out, "}\n");
}
