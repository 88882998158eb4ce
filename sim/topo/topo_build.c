/* topo_build.c - expand boards and systems: a valid XML tree to a spec. See topo_build.h.
 *
 * Order, which decides ids: all parts and link types; then placed boards, nodes and devices as the system lists them;
 * then the links of the placed boards, copy by copy; then the system's own links. So nothing needs to be declared
 * before it is used but boards and parts as such.
 * Cost: O(names that patterns stand for). */
#include "topo/topo_build.h"

#include "base/num.h"

#include <stdio.h>
#include <string.h>

enum { COUNT_MAX = 1 << 20, PATH_SIZE = 2 * FS_NAME_MAX + 16 };

typedef struct builder {
    fs_doc *doc;
    fs_spec *spec;
    fs_err *err;
    xmlNode *root, *system;
    fs_names board_names;
    FS_VEC(xmlNode *) boards;
} builder;

static const fs_place nowhere;

/* A call into the spec failed: point at what the spec blames. */
static fs_status blame(builder *b, const xmlNode *e, fs_status status)
{
    if (status != FS_E_TOPOLOGY)
        return status;
    char text[FS_ERR_TEXT_MAX];
    memcpy(text, b->err->text, sizeof text);
    const char *attribute = b->spec->blame;
    const xmlNode *peak = attribute && fs_doc_is(e, "gpu") ? fs_doc_peak(e, attribute) : NULL;
    return fs_doc_fail(b->doc, peak ? peak : e, peak ? "flops" : attribute, b->err, "%s", text);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* An absent attribute leaves *out. */
static fs_status quantity(builder *b, const xmlNode *e, const char *attribute, fs_unit unit, double *out)
{
    const char *text = fs_doc_get(e, attribute), *why;
    if (text == NULL || fs_parse_quantity(text, unit, out, &why) == 0)
        return FS_OK;
    return fs_doc_fail(b->doc, e, attribute, b->err, "%s: %s", attribute, why);
}

static fs_status count(builder *b, const xmlNode *e, const char *attribute, uint32_t most, uint32_t *out)
{
    const char *text = fs_doc_get(e, attribute);
    uint64_t value;
    if (text == NULL)
        return FS_OK;
    if (fs_parse_uint(text, &value) != 0 || value < 1 || value > most)
        return fs_doc_fail(b->doc, e, attribute, b->err, "%s must be from 1 to %u, found '%.60s'", attribute, most,
                           text);
    *out = (uint32_t)value;
    return FS_OK;
}

static bool is_yes(const xmlNode *e, const char *attribute)
{
    const char *text = fs_doc_get(e, attribute);
    return text && strcmp(text, "yes") == 0;
}

/* ---- parts and link types ---------------------------------------------------------------------------------------- */

static fs_status read_peaks(builder *b, const xmlNode *gpu, fs_part *part)
{
    for (const xmlNode *e = fs_doc_child(gpu); e; e = fs_doc_next(e)) {
        const char *dtype = fs_doc_get(e, "dtype");
        int i = 0;
        while (i < FS_DTYPES - 1 && strcmp(dtype, fs_dtype_names[i]) != 0)
            i++;
        if (part->peak_flops[i] != 0)
            return fs_doc_fail(b->doc, e, "dtype", b->err, "peak of %s is given twice", dtype);
        fs_status status = quantity(b, e, "flops", FS_UNIT_FLOPS, &part->peak_flops[i]);
        if (status != FS_OK)
            return status;
        if (part->peak_flops[i] == 0) /* 0 means "not supported" inside, which is said by leaving it out */
            return fs_doc_fail(b->doc, e, "flops", b->err, "%s must be from 1 to 1e24 FLOP/s, found 0", dtype);
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
        fs_status status = quantity(b, e, figures[i].attribute, figures[i].unit, figures[i].out);
        if (status != FS_OK)
            return status;
    }
    return read_peaks(b, e, part);
}

static fs_status read_part(builder *b, const xmlNode *e, fs_device_kind kind)
{
    fs_part part = {.name = fs_doc_get(e, "name"), .kind = kind, .multicast = is_yes(e, "multicast")};
    fs_status status = kind == FS_DEVICE_GPU ? read_gpu(b, e, &part) : FS_OK;
    if (status == FS_OK)
        status = quantity(b, e, "power", FS_UNIT_WATTS, &part.power_W);
    if (status == FS_OK)
        status = quantity(b, e, "latency", FS_UNIT_SECONDS, &part.latency_s);
    return status == FS_OK ? blame(b, e, fs_spec_part(b->spec, &part, nowhere, b->err)) : status;
}

static fs_status read_link_type(builder *b, const xmlNode *e)
{
    fs_link_type type = {.name = fs_doc_get(e, "name")};
    const char *class_ = fs_doc_get(e, "class");
    for (int i = 0; i < FS_LINK_CLASSES; i++)
        if (strcmp(class_, fs_link_class_name((fs_link_class)i)) == 0)
            type.class_ = (fs_link_class)i;
    fs_status status = quantity(b, e, "bandwidth", FS_UNIT_BPS, &type.bandwidth_Bps);
    if (status == FS_OK)
        status = quantity(b, e, "effective", FS_UNIT_BPS, &type.effective_Bps);
    if (status == FS_OK)
        status = quantity(b, e, "latency", FS_UNIT_SECONDS, &type.latency_s);
    if (status != FS_OK)
        return status;
    return blame(b, e, fs_spec_link_type(b->spec, &type, fs_doc_get(e, "tier"), nowhere, b->err));
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
            return fs_doc_fail(b->doc, e, "name", b->err, "board '%s' is defined twice", name);
        if (!fs_names_add(&b->board_names, name) || !FS_PUSH(&b->boards, e))
            return fs_fail_nomem(b->err);
    }
    return FS_OK;
}

static fs_status find_board(builder *b, const xmlNode *place, xmlNode **board)
{
    const char *name = fs_doc_get(place, "board");
    uint32_t id = fs_names_find(&b->board_names, name);
    if (id != FS_NONE) {
        *board = b->boards.data[id];
        return FS_OK;
    }
    const char *near = fs_suggest(name, b->board_names.names, b->board_names.count);
    return near ? fs_doc_fail(b->doc, place, "board", b->err, "unknown board '%s' (did you mean '%s'?)", name, near)
                : fs_doc_fail(b->doc, place, "board", b->err, "unknown board '%s'", name);
}

static fs_status expand(builder *b, const xmlNode *e, const char *attribute, fs_name_list *list)
{
    fs_err inner;
    fs_status status = fs_name_list_expand(fs_doc_get(e, attribute), list, &inner);
    if (status == FS_E_TOPOLOGY)
        return fs_doc_fail(b->doc, e, attribute, b->err, "%s", inner.text);
    if (status != FS_OK)
        *b->err = inner;
    return status;
}

/* `prefix` is "" or "node0/". */
static const char *full_name(char *buffer, const char *prefix, const char *name)
{
    snprintf(buffer, PATH_SIZE, "%s%s", prefix, name);
    return buffer;
}

static fs_status add_devices(builder *b, const xmlNode *e, const char *prefix, uint32_t node)
{
    fs_name_list names;
    char name[PATH_SIZE];
    fs_status status = expand(b, e, "name", &names);
    if (status != FS_OK)
        return status;
    fs_place place = fs_doc_place(b->doc, e, NULL);
    const char *part = fs_doc_get(e, "part");
    for (uint32_t i = 0; status == FS_OK && i < names.count; i++)
        status =
            blame(b, e, fs_spec_device(b->spec, full_name(name, prefix, names.names[i]), part, node, place, b->err));
    fs_name_list_free(&names);
    return status;
}

/* How many connections `from` and `to` make; *all = each with each. */
static fs_status pairing(builder *b, const xmlNode *e, uint32_t n_from, uint32_t n_to, bool *all)
{
    const char *pair = fs_doc_get(e, "pair");
    *all = pair == NULL || strcmp(pair, "all") == 0;
    if (pair == NULL && n_from > 1 && n_to > 1)
        return fs_doc_fail(b->doc, e, NULL, b->err,
                           "%u names meet %u: say pair=\"all\" (each with each) or pair=\"each\" (one by one)", n_from,
                           n_to);
    if (!*all && n_from != n_to)
        return fs_doc_fail(b->doc, e, "pair", b->err,
                           "pair=\"each\" needs as many names on both sides, found %u and %u", n_from, n_to);
    uint64_t more = *all ? (uint64_t)n_from * n_to : n_from;
    if (more + b->spec->links.count > FS_LINKS_MAX / 2)
        return fs_doc_fail(b->doc, e, NULL, b->err, "more than %u links", (unsigned)FS_LINKS_MAX);
    return FS_OK;
}

static fs_status connect(builder *b, const xmlNode *e, const char *prefix, const fs_name_list *from,
                         const fs_name_list *to)
{
    uint32_t lanes = 1;
    bool all;
    char src[PATH_SIZE], dst[PATH_SIZE];
    const char *type = fs_doc_get(e, "type");
    fs_status status = count(b, e, "lanes", FS_LANES_MAX, &lanes);
    if (status == FS_OK)
        status = pairing(b, e, from->count, to->count, &all);
    for (uint32_t i = 0; status == FS_OK && i < from->count; i++) {
        full_name(src, prefix, from->names[i]);
        for (uint32_t j = all ? 0 : i; status == FS_OK && j < (all ? to->count : i + 1); j++)
            status = blame(
                b, e, fs_spec_link(b->spec, src, full_name(dst, prefix, to->names[j]), type, lanes, nowhere, b->err));
    }
    return status;
}

static fs_status add_links(builder *b, const xmlNode *e, const char *prefix)
{
    fs_name_list from = {0}, to = {0};
    fs_status status = expand(b, e, "from", &from);
    if (status == FS_OK)
        status = expand(b, e, "to", &to);
    if (status == FS_OK)
        status = connect(b, e, prefix, &from, &to);
    fs_name_list_free(&from);
    fs_name_list_free(&to);
    return status;
}

/* The devices or the links of a board, or of the system itself. */
static fs_status add_board(builder *b, const xmlNode *board, const char *prefix, uint32_t node, bool links)
{
    fs_status status = FS_OK;
    for (const xmlNode *e = fs_doc_child(board); status == FS_OK && e; e = fs_doc_next(e)) {
        if (!links && fs_doc_is(e, "device"))
            status = add_devices(b, e, prefix, node);
        else if (links && fs_doc_is(e, "link"))
            status = add_links(b, e, prefix);
    }
    return status;
}

/* The copies of a board: their nodes and devices, or their links. */
static fs_status add_place(builder *b, const xmlNode *place, bool links)
{
    xmlNode *board = NULL;
    uint32_t copies = 1, node = FS_NONE;
    const char *name = fs_doc_get(place, "name");
    bool numbered = fs_doc_get(place, "count") != NULL;
    fs_status status = count(b, place, "count", COUNT_MAX, &copies);
    if (status == FS_OK)
        status = find_board(b, place, &board);
    for (uint32_t i = 0; status == FS_OK && i < copies; i++) {
        char prefix[PATH_SIZE], number[16] = "";
        if (numbered)
            snprintf(number, sizeof number, "%u", i);
        int length = snprintf(prefix, sizeof prefix, "%s%s", name, number);
        if (!links)
            status = blame(b, place, fs_spec_node(b->spec, prefix, &node, nowhere, b->err));
        snprintf(prefix + length, sizeof prefix - (size_t)length, "/");
        if (status == FS_OK)
            status = add_board(b, board, prefix, node, links);
    }
    return status;
}

static fs_status find_node(builder *b, const xmlNode *device, uint32_t *node)
{
    const char *name = fs_doc_get(device, "node");
    *node = FS_NONE;
    if (name == NULL || (*node = fs_names_find(&b->spec->node_names, name)) != FS_NONE)
        return FS_OK;
    const char *near = fs_suggest(name, b->spec->node_names.names, b->spec->node_names.count);
    return near ? fs_doc_fail(b->doc, device, "node", b->err, "unknown node '%s' (did you mean '%s'?)", name, near)
                : fs_doc_fail(b->doc, device, "node", b->err,
                              "unknown node '%s': nodes are declared before their devices", name);
}

static fs_status add_system_devices(builder *b)
{
    fs_status status = FS_OK;
    for (const xmlNode *e = fs_doc_child(b->system); status == FS_OK && e; e = fs_doc_next(e)) {
        uint32_t node = FS_NONE;
        if (fs_doc_is(e, "place")) {
            status = add_place(b, e, false);
        } else if (fs_doc_is(e, "node")) {
            status = blame(b, e, fs_spec_node(b->spec, fs_doc_get(e, "name"), &node, nowhere, b->err));
        } else if (fs_doc_is(e, "device")) {
            status = find_node(b, e, &node);
            if (status == FS_OK)
                status = add_devices(b, e, "", node);
        }
    }
    return status;
}

static fs_status add_system(builder *b)
{
    fs_status status = add_system_devices(b);
    for (const xmlNode *e = fs_doc_child(b->system); status == FS_OK && e; e = fs_doc_next(e))
        if (fs_doc_is(e, "place"))
            status = add_place(b, e, true);
    return status == FS_OK ? add_board(b, b->system, "", FS_NONE, true) : status;
}

/* No system: the only board, placed once under plain names. */
static fs_status add_single_board(builder *b)
{
    uint32_t node;
    if (b->boards.count != 1)
        return fs_doc_fail(b->doc, b->root, NULL, b->err, "expected a <system> or exactly one <board>, found %u boards",
                           b->boards.count);
    const xmlNode *board = b->boards.data[0];
    fs_status status = blame(b, board, fs_spec_node(b->spec, fs_doc_get(board, "name"), &node, nowhere, b->err));
    if (status == FS_OK)
        status = add_board(b, board, "", node, false);
    return status == FS_OK ? add_board(b, board, "", node, true) : status;
}

fs_status fs_topo_build(fs_doc *doc, fs_spec *spec, fs_err *err)
{
    builder b = {.doc = doc, .spec = spec, .err = err, .root = xmlDocGetRootElement(doc->tree)};
    fs_status status = read_parts(&b);
    if (status == FS_OK)
        status = read_boards(&b);
    if (status == FS_OK)
        status = b.system ? add_system(&b) : add_single_board(&b);
    bool own = b.system && fs_doc_get(b.system, "gpu-forwarding");
    fs_spec_set_forwarding(spec, is_yes(own ? b.system : b.root, "gpu-forwarding"));
    fs_names_free(&b.board_names);
    fs_free(b.boards.data);
    return status;
}
