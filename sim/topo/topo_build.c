/* topo_build.c - expand boards and systems: a valid XML tree to a spec. See topo_build.h.
 *
 * Order, which decides ids: all parts and link types; then placed boards, nodes and devices as the system lists them;
 * then the switches of its networks; links have no order. So nothing needs to be declared before it is used but boards
 * and parts as such.
 * Cost: O(names that patterns stand for). */
#include "topo/topo_build.h"

#include "base/num.h"
#include "topo/gpu_figures.h"
#include "topo/network.h"

#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 4 }; /* of boards in boards */

typedef struct builder {
    fs_reader r;
    xmlNode *root, *system;
    fs_names board_names;
    FS_VEC(xmlNode *) boards;
    uint32_t *units; /* (boards.count) of each board in the spec; FS_NONE = not yet, as nothing has placed it */
} builder;

static const fs_place nowhere;

/* ---- parts and link types ---------------------------------------------------------------------------------------- */

/* How kernels run: <kernels> and <attention>, both or neither. */
static fs_status read_costs(builder *b, const xmlNode *e, fs_part *part)
{
    for (size_t i = 0; i < FS_COST_FIGURES; i++) {
        const fs_gpu_figure *f = &fs_cost_figures[i];
        fs_status status = fs_doc_is(e, f->element)
                               ? fs_read_quantity(&b->r, e, f->attribute, f->unit, fs_figure_of(f, &part->costs))
                               : FS_OK;
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

static fs_status read_product(builder *b, const xmlNode *e, fs_gpu_product *product)
{
    product->whole = fs_read_yes(e, "whole");
    product->overlap = fs_read_yes(e, "overlap");
    for (size_t i = 0; i < FS_PRODUCT_FIGURES; i++) {
        const fs_gpu_figure *f = &fs_product_figures[i];
        fs_status status = fs_read_quantity(&b->r, e, f->attribute, f->unit, fs_figure_of(f, product));
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

static fs_status read_peaks(builder *b, const xmlNode *gpu, fs_part *part)
{
    for (const xmlNode *e = fs_doc_child(gpu); e; e = fs_doc_next(e)) {
        if (!fs_doc_is(e, "peak")) {
            fs_status status = read_costs(b, e, part);
            if (status != FS_OK)
                return status;
            continue;
        }
        const char *dtype = fs_doc_get(e, "dtype");
        int i = 0;
        while (i < FS_DTYPES - 1 && strcmp(dtype, fs_dtype_names[i]) != 0)
            i++;
        if (part->peak_flops[i] != 0)
            return fs_doc_fail(b->r.doc, e, "dtype", b->r.err, "peak of %s is given twice", dtype);
        fs_status status = fs_read_quantity(&b->r, e, "flops", FS_UNIT_FLOPS, &part->peak_flops[i]);
        if (status == FS_OK)
            status = read_product(b, e, &part->product[i]);
        if (status != FS_OK)
            return status;
        if (part->peak_flops[i] == 0) /* 0 means "not supported" inside, which is said by leaving it out */
            return fs_doc_fail(b->r.doc, e, "flops", b->r.err, "%s must be from 1 to 1e24 FLOP/s, found 0", dtype);
    }
    return FS_OK;
}

static fs_status read_gpu(builder *b, const xmlNode *e, fs_part *part)
{
    const char *arch = fs_doc_get(e, "arch");
    for (int i = 0; i < FS_ARCHS; i++)
        if (strcmp(arch, fs_arch_name((fs_arch)i)) == 0)
            part->arch = (fs_arch)i;
    const struct {
        const char *attribute;
        fs_unit unit;
        double *out;
    } figures[] = {
        {"memory", FS_UNIT_BYTES, &part->mem_bytes},
        {"memory-bandwidth", FS_UNIT_BPS, &part->mem_Bps},
        {"gemm-efficiency", FS_UNIT_NONE, &part->gemm_efficiency},
        {"memory-efficiency", FS_UNIT_NONE, &part->mem_efficiency},
        {"launch", FS_UNIT_SECONDS, &part->launch_s},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        fs_status status = fs_read_quantity(&b->r, e, figures[i].attribute, figures[i].unit, figures[i].out);
        if (status != FS_OK)
            return status;
    }
    return read_peaks(b, e, part);
}

static fs_status read_part(builder *b, const xmlNode *e, fs_device_kind kind)
{
    fs_part part = {.name = fs_doc_get(e, "name"), .kind = kind, .multicast = fs_read_yes(e, "multicast")};
    fs_status status = kind == FS_DEVICE_GPU ? read_gpu(b, e, &part) : FS_OK;
    if (status == FS_OK)
        status = fs_read_quantity(&b->r, e, "power", FS_UNIT_WATTS, &part.power_W);
    if (status == FS_OK)
        status = fs_read_quantity(&b->r, e, "host-power", FS_UNIT_WATTS, &part.host_W);
    if (status == FS_OK)
        status = fs_read_quantity(&b->r, e, "latency", FS_UNIT_SECONDS, &part.latency_s);
    if (status == FS_OK)
        status = fs_read_count(&b->r, e, "ports", FS_COUNT_MAX, &part.ports);
    return status == FS_OK ? fs_read_blame(&b->r, e, fs_spec_part(b->r.spec, &part, nowhere, b->r.err)) : status;
}

static fs_status read_link_type(builder *b, const xmlNode *e)
{
    fs_link_type type = {.name = fs_doc_get(e, "name")};
    const char *class_ = fs_doc_get(e, "class");
    for (int i = 0; i < FS_LINK_CLASSES; i++)
        if (strcmp(class_, fs_link_class_name((fs_link_class)i)) == 0)
            type.class_ = (fs_link_class)i;
    fs_status status = fs_read_quantity(&b->r, e, "bandwidth", FS_UNIT_BPS, &type.bandwidth_Bps);
    if (status == FS_OK)
        status = fs_read_quantity(&b->r, e, "effective", FS_UNIT_BPS, &type.effective_Bps);
    if (status == FS_OK)
        status = fs_read_quantity(&b->r, e, "latency", FS_UNIT_SECONDS, &type.latency_s);
    if (status != FS_OK)
        return status;
    return fs_read_blame(&b->r, e, fs_spec_link_type(b->r.spec, &type, fs_doc_get(e, "tier"), nowhere, b->r.err));
}

static fs_status read_parts(builder *b)
{
    fs_status status = FS_OK;
    for (xmlNode *e = b->root; status == FS_OK && e; e = fs_doc_walk(e, b->root)) {
        if (e->parent->type != XML_ELEMENT_NODE || !fs_doc_is(e->parent, "parts"))
            continue;
        for (int kind = 0; status == FS_OK && kind < FS_DEVICE_KINDS; kind++)
            if (fs_doc_is(e, fs_device_kind_name((fs_device_kind)kind)))
                status = read_part(b, e, (fs_device_kind)kind);
        if (status == FS_OK && fs_doc_is(e, "link-type"))
            status = read_link_type(b, e);
    }
    return status;
}

/* ---- boards and the system's children ---------------------------------------------------------------------------- */

static fs_status read_boards(builder *b)
{
    for (xmlNode *e = fs_doc_child(b->root); e; e = fs_doc_next(e)) {
        if (fs_doc_is(e, "system"))
            b->system = e;
        if (!fs_doc_is(e, "board"))
            continue;
        const char *name = fs_doc_get(e, "name");
        if (fs_names_find(&b->board_names, name) != FS_NONE)
            return fs_doc_fail(b->r.doc, e, "name", b->r.err, "board '%s' is defined twice", name);
        if (!fs_names_add(&b->board_names, name) || !FS_PUSH(&b->boards, e))
            return fs_fail_nomem(b->r.err);
    }
    return FS_OK;
}

static fs_status add_devices(builder *b, const xmlNode *e, uint32_t node)
{
    fs_name_list names;
    fs_status status = fs_read_names(&b->r, e, "name", &names);
    if (status != FS_OK)
        return status;
    fs_place place = fs_doc_place(b->r.doc, e, NULL);
    const char *part = fs_doc_get(e, "part");
    for (uint32_t i = 0; status == FS_OK && i < names.count; i++)
        status = fs_read_blame(&b->r, e, fs_spec_device(b->r.spec, names.names[i], part, node, place, b->r.err));
    fs_name_list_free(&names);
    return status;
}

/* How many connections `from` and `to` make; *all = each with each. */
static fs_status pairing(builder *b, const xmlNode *e, uint32_t n_from, uint32_t n_to, bool *all)
{
    const char *pair = fs_doc_get(e, "pair");
    *all = pair == NULL || strcmp(pair, "all") == 0;
    if (pair == NULL && n_from > 1 && n_to > 1)
        return fs_doc_fail(b->r.doc, e, NULL, b->r.err,
                           "%u names meet %u: say pair=\"all\" (each with each) or pair=\"each\" (one by one)", n_from,
                           n_to);
    if (!*all && n_from != n_to)
        return fs_doc_fail(b->r.doc, e, "pair", b->r.err,
                           "pair=\"each\" needs as many names on both sides, found %u and %u", n_from, n_to);
    uint64_t more = *all ? (uint64_t)n_from * n_to : n_from;
    if (more + fs_spec_connections(b->r.spec) > FS_LINKS_MAX / 2)
        return fs_doc_fail(b->r.doc, e, NULL, b->r.err, "more than %u links", (unsigned)FS_LINKS_MAX);
    return FS_OK;
}

static fs_status connect(builder *b, const xmlNode *e, const fs_name_list *from, const fs_name_list *to)
{
    uint32_t lanes = 1;
    bool all;
    const char *type = fs_doc_get(e, "type");
    fs_status status = fs_read_count(&b->r, e, "lanes", FS_LANES_MAX, &lanes);
    if (status == FS_OK)
        status = pairing(b, e, from->count, to->count, &all);
    for (uint32_t i = 0; status == FS_OK && i < from->count; i++)
        for (uint32_t j = all ? 0 : i; status == FS_OK && j < (all ? to->count : i + 1); j++)
            status = fs_read_blame(
                &b->r, e, fs_spec_link(b->r.spec, from->names[i], to->names[j], type, lanes, nowhere, b->r.err));
    return status;
}

static fs_status add_links(builder *b, const xmlNode *e)
{
    fs_name_list from = {0}, to = {0};
    fs_status status = fs_read_names(&b->r, e, "from", &from);
    if (status == FS_OK)
        status = fs_read_names(&b->r, e, "to", &to);
    if (status == FS_OK)
        status = connect(b, e, &from, &to);
    fs_name_list_free(&from);
    fs_name_list_free(&to);
    return status;
}

/* The links of a board, or of the system itself. */
static fs_status add_all_links(builder *b, const xmlNode *board)
{
    fs_status status = FS_OK;
    for (const xmlNode *e = fs_doc_child(board); status == FS_OK && e; e = fs_doc_next(e))
        if (fs_doc_is(e, "link"))
            status = add_links(b, e);
    return status;
}

/* A board that holds placed boards is a chassis or a rack around nodes, and no node itself. */
static const xmlNode *find_place(const xmlNode *board)
{
    const xmlNode *e = fs_doc_child(board);
    while (e && !fs_doc_is(e, "place"))
        e = fs_doc_next(e);
    return e;
}

/* What stands between nodes: whatever belongs to one would be nobody's there. */
static fs_status check_rack_device(builder *b, const xmlNode *e)
{
    uint32_t part = fs_names_find(&b->r.spec->part_names, fs_doc_get(e, "part"));
    fs_device_kind kind = part == FS_NONE ? FS_DEVICE_NVSWITCH : b->r.spec->parts.data[part].kind;
    if (kind != FS_DEVICE_GPU && kind != FS_DEVICE_NIC && kind != FS_DEVICE_CPU)
        return FS_OK;
    return fs_doc_fail(b->r.doc, e, "part", b->r.err,
                       "a board that places other boards has only switches of its own, found a %s",
                       fs_device_kind_name(kind));
}

static fs_status add_place(builder *b, const xmlNode *place, uint32_t depth);

/* What a board consists of, into the unit that is open. Recursion: one level per board in a board, limited by
 * add_place. */
static fs_status fill_unit(builder *b, const xmlNode *board, uint32_t node, uint32_t depth)
{
    fs_status status = FS_OK;
    bool rack = find_place(board) != NULL;
    for (const xmlNode *e = fs_doc_child(board); status == FS_OK && e; e = fs_doc_next(e)) {
        if (fs_doc_is(e, "place")) {
            status = add_place(b, e, depth);
        } else if (fs_doc_is(e, "device")) {
            status = rack ? check_rack_device(b, e) : FS_OK;
            if (status == FS_OK)
                status = add_devices(b, e, node);
        }
    }
    return status == FS_OK ? add_all_links(b, board) : status;
}

/* The unit of the board that a place names: made when it is first placed. */
static fs_status find_unit(builder *b, const xmlNode *place, uint32_t depth, uint32_t *unit)
{
    const char *name = fs_doc_get(place, "board");
    uint32_t id = fs_names_find(&b->board_names, name);
    if (id == FS_NONE)
        return fs_read_unknown(&b->r, place, "board", "board", name, &b->board_names);
    if (b->units[id] == FS_NONE) {
        const xmlNode *board = b->boards.data[id];
        bool node = find_place(board) == NULL;
        fs_status status = fs_spec_unit_begin(b->r.spec, node, b->r.err);
        if (status == FS_OK)
            status = fill_unit(b, board, node ? 0 : FS_NONE, depth);
        if (status != FS_OK)
            return status;
        b->units[id] = fs_spec_unit_end(b->r.spec);
    }
    *unit = b->units[id];
    return FS_OK;
}

/* The copies of a board. `depth`: how many boards are around it. */
static fs_status add_place(builder *b, const xmlNode *place, uint32_t depth)
{
    uint32_t copies = 1, unit = FS_NONE;
    bool numbered = fs_doc_get(place, "count") != NULL;
    if (depth == DEPTH_MAX)
        return fs_doc_fail(b->r.doc, place, "board", b->r.err, "boards nest deeper than %d", DEPTH_MAX);
    fs_status status = fs_read_count(&b->r, place, "count", FS_COUNT_MAX, &copies);
    if (status == FS_OK)
        status = find_unit(b, place, depth + 1, &unit);
    if (status != FS_OK)
        return status;
    const char *name = fs_doc_get(place, "name");
    fs_place at = fs_doc_place(b->r.doc, place, NULL);
    return fs_read_blame(&b->r, place, fs_spec_place(b->r.spec, unit, name, numbered, copies, at, b->r.err));
}

static fs_status find_node(builder *b, const xmlNode *device, uint32_t *node)
{
    const char *name = fs_doc_get(device, "node");
    *node = FS_NONE;
    if (name == NULL || (*node = fs_spec_find_node(b->r.spec, name)) != FS_NONE)
        return FS_OK;
    const fs_names *known = &b->r.spec->loose_nodes;
    return fs_suggest(name, known->names, known->count)
               ? fs_read_unknown(&b->r, device, "node", "node", name, known)
               : fs_doc_fail(b->r.doc, device, "node", b->r.err,
                             "unknown node '%s': nodes are declared before their devices", name);
}

/* An explicit device of the system may belong to a network: <network> without tiers, <device network=...>. */
static fs_status join_network(builder *b, const xmlNode *device, uint32_t first)
{
    fs_spec *spec = b->r.spec;
    const char *name = fs_doc_get(device, "network");
    if (name == NULL)
        return FS_OK;
    uint32_t network = fs_names_find(&spec->network_names, name);
    if (network == FS_NONE)
        return fs_read_unknown(&b->r, device, "network", "network", name, &spec->network_names);
    fs_status status = FS_OK;
    for (uint32_t d = first; status == FS_OK && d < spec->n_devices; d++)
        status = fs_read_blame(&b->r, device, fs_spec_join(spec, d, network, nowhere, b->r.err));
    return status;
}

static fs_status add_system_devices(builder *b)
{
    fs_status status = FS_OK;
    for (const xmlNode *e = fs_doc_child(b->system); status == FS_OK && e; e = fs_doc_next(e)) {
        uint32_t node = FS_NONE, first = b->r.spec->n_devices;
        if (fs_doc_is(e, "place")) {
            status = add_place(b, e, 0);
        } else if (fs_doc_is(e, "node")) {
            status = fs_read_blame(&b->r, e, fs_spec_node(b->r.spec, fs_doc_get(e, "name"), &node, nowhere, b->r.err));
        } else if (fs_doc_is(e, "device")) {
            status = find_node(b, e, &node);
            if (status == FS_OK)
                status = add_devices(b, e, node);
            if (status == FS_OK)
                status = join_network(b, e, first);
        }
    }
    return status;
}

/* Networks are declared before anything refers to them, and built when everything that they attach to is there. */
static fs_status add_networks(builder *b, bool declare)
{
    fs_status status = FS_OK;
    for (const xmlNode *e = fs_doc_child(b->system); status == FS_OK && e; e = fs_doc_next(e))
        if (fs_doc_is(e, "network"))
            status = declare ? fs_network_declare(&b->r, e) : fs_network_add(&b->r, e);
    return status;
}

static fs_status add_system(builder *b)
{
    const char *cross_rail = fs_doc_get(b->system, "cross-rail");
    fs_spec_set_cross_rail(b->r.spec, cross_rail && strcmp(cross_rail, "network") == 0);
    fs_status status = add_networks(b, true);
    if (status == FS_OK)
        status = add_system_devices(b);
    if (status == FS_OK)
        status = add_networks(b, false);
    return status == FS_OK ? add_all_links(b, b->system) : status;
}

static bool is_placed(const builder *b, const xmlNode *board)
{
    for (xmlNode *e = b->root; e; e = fs_doc_walk(e, b->root))
        if (fs_doc_is(e, "place") && strcmp(fs_doc_get(e, "board"), fs_doc_get(board, "name")) == 0)
            return true;
    return false;
}

/* No system: the only board that no other places, placed once under plain names. */
static fs_status add_single_board(builder *b)
{
    const xmlNode *board = NULL;
    uint32_t node = FS_NONE, found = 0;
    for (uint32_t i = 0; i < b->boards.count; i++)
        if (!is_placed(b, b->boards.data[i])) {
            board = b->boards.data[i];
            found++;
        }
    if (found != 1)
        return fs_doc_fail(b->r.doc, b->root, NULL, b->r.err,
                           "expected a <system> or exactly one <board>, found %u boards", b->boards.count);
    fs_spec *spec = b->r.spec;
    fs_status status = fs_spec_unit_begin(spec, false, b->r.err);
    if (status == FS_OK && find_place(board) == NULL)
        status = fs_read_blame(&b->r, board, fs_spec_node(spec, fs_doc_get(board, "name"), &node, nowhere, b->r.err));
    if (status == FS_OK)
        status = fill_unit(b, board, node, 1);
    return status == FS_OK ? fs_spec_place(spec, fs_spec_unit_end(spec), "", false, 1, nowhere, b->r.err) : status;
}

fs_status fs_topo_build(fs_doc *doc, fs_spec *spec, fs_err *err)
{
    builder b = {.r = {doc, spec, err}, .root = xmlDocGetRootElement(doc->tree)};
    fs_status status = read_parts(&b);
    if (status == FS_OK)
        status = read_boards(&b);
    if (status == FS_OK && !(b.units = fs_alloc(b.boards.count, sizeof *b.units)))
        status = fs_fail_nomem(err);
    for (uint32_t i = 0; status == FS_OK && i < b.boards.count; i++)
        b.units[i] = FS_NONE;
    if (status == FS_OK)
        status = b.system ? add_system(&b) : add_single_board(&b);
    bool own = b.system && fs_doc_get(b.system, "gpu-forwarding");
    fs_spec_set_forwarding(spec, fs_read_yes(own ? b.system : b.root, "gpu-forwarding"));
    fs_names_free(&b.board_names);
    fs_free(b.boards.data);
    fs_free(b.units);
    return status;
}
