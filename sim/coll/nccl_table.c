/* nccl_table.c - read the table of NCCL's constants; see nccl_table.h. The schema decides what is valid, as for topologies; what it
 * cannot say (ranges, counts of a list, what must be there) is checked here. An architecture without a row of its own takes that of
 * the one that it is said to be like. */
#include "coll/nccl_table.h"

#include "base/mem.h"
#include "base/num.h"
#include "topo/topo_doc.h"

#include <math.h>
#include <string.h>

static const unsigned char shipped[] = {
#include "nccl.xml.h" /* made from topologies/costs/nccl.xml by the Makefile */
};

static const char *const row_names[FS_NCCL_ROWS] = {"tree",   "ring",    "nvls",    "nvlstree",  "pat",
                                                    "direct", "oneshot", "twoshot", "forwarded", "lowlatency"};

typedef struct reader {
    fs_doc *doc;
    fs_nccl_table *t;
    fs_err *err;
    bool believed[FS_NCCL_ROWS], known[FS_ARCHS], taken[FS_ARCHS][FS_NCCL_ROWS][FS_NCCL_COLUMNS];
    bool corrected[FS_NCCL_COLUMNS];
    uint32_t like[FS_ARCHS];
} reader;

/* Sends and all-to-alls are not in NCCL's own table. SHARP in the network with NVLS in the nodes is NVLS over several nodes. */
fs_nccl_row fs_nccl_row_of(fs_algo algo)
{
    switch (algo) {
    case FS_ALGO_TREE: return FS_NCCL_TREE;
    case FS_ALGO_NVLS: return FS_NCCL_NVLS;
    case FS_ALGO_SHARP:
    case FS_ALGO_NVLSTREE: return FS_NCCL_NVLSTREE;
    case FS_ALGO_PAT: return FS_NCCL_PAT;
    case FS_ALGO_DIRECT: return FS_NCCL_DIRECT;
    case FS_ALGO_ONESHOT: return FS_NCCL_ONESHOT;
    case FS_ALGO_TWOSHOT: return FS_NCCL_TWOSHOT;
    case FS_ALGO_FORWARDED: return FS_NCCL_FORWARDED;
    case FS_ALGO_LOWLATENCY: return FS_NCCL_LOWLATENCY;
    case FS_ALGO_AUTO:
    case FS_ALGO_RING:
    case FS_ALGO_CHAIN:
    case FS_ALGO_HIERARCHICAL:
    case FS_ALGOS: break;
    }
    return FS_NCCL_RING;
}

uint32_t fs_nccl_column_of(fs_proto proto)
{
    return proto == FS_PROTO_LL ? 0 : proto == FS_PROTO_LL128 ? 1 : 2;
}

fs_nccl_hardware fs_nccl_hardware_of(uint32_t link_class)
{
    return link_class == FS_CLASS_NET                                    ? FS_NCCL_NET
           : link_class == FS_CLASS_NVLINK || link_class == FS_CLASS_C2C ? FS_NCCL_NVLINK
                                                                         : FS_NCCL_PCI;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static fs_status read_number(const reader *r, const xmlNode *e, const char *attribute, fs_unit unit, double least,
                             double most, double *out)
{
    const char *text = fs_doc_get(e, attribute), *why;
    if (text == NULL)
        return FS_OK;
    double value;
    if (fs_parse_quantity(text, unit, &value, &why) != 0)
        return fs_doc_fail(r->doc, e, attribute, r->err, "%s: %s", attribute, why);
    if (!(value >= least && value <= most))
        return fs_doc_fail(r->doc, e, attribute, r->err, "%s must be from %g to %g, found '%.60s'", attribute, least,
                           most, text);
    *out = value;
    return FS_OK;
}

/* Exactly n values with blanks between them. */
static fs_status read_list(const reader *r, const xmlNode *e, const char *attribute, fs_unit unit, uint32_t n,
                           double *out)
{
    const char *at = fs_doc_get(e, attribute), *why;
    uint32_t found = 0;
    for (at += strspn(at, " \t\r\n"); *at; at += strspn(at, " \t\r\n")) {
        size_t length = strcspn(at, " \t\r\n");
        char word[40];
        if (length >= sizeof word)
            return fs_doc_fail(r->doc, e, attribute, r->err, "%s: value %u is too long", attribute, found + 1);
        memcpy(word, at, length);
        word[length] = '\0';
        double value = 0;
        if (fs_parse_quantity(word, unit, &value, &why) != 0 || value < 0)
            return fs_doc_fail(r->doc, e, attribute, r->err, "%s: value %u: %s", attribute, found + 1,
                               value < 0 ? "must not be negative" : why);
        if (found < n)
            out[found] = value;
        found++;
        at += length;
    }
    if (found == n)
        return FS_OK;
    return fs_doc_fail(r->doc, e, attribute, r->err, "%s: expected %u values, found %u", attribute, n, found);
}

/* The same, and none of them may be 0. */
static fs_status read_positive(const reader *r, const xmlNode *e, const char *attribute, fs_unit unit, uint32_t n,
                               double *out)
{
    fs_status status = read_list(r, e, attribute, unit, n, out);
    for (uint32_t i = 0; i < n && status == FS_OK; i++)
        if (out[i] <= 0)
            status = fs_doc_fail(r->doc, e, attribute, r->err, "%s: value %u must be more than 0", attribute, i + 1);
    return status;
}

static fs_status find_name(const reader *r, const xmlNode *e, const char *attribute, const char *const *names,
                           uint32_t n, uint32_t *out)
{
    const char *name = fs_doc_get(e, attribute);
    for (*out = 0; *out < n; ++*out)
        if (strcmp(names[*out], name) == 0)
            return FS_OK;
    const char *near = fs_suggest(name, names, n);
    return near ? fs_doc_fail(r->doc, e, attribute, r->err, "unknown %s '%.60s' (did you mean '%s'?)", attribute, name,
                              near)
                : fs_doc_fail(r->doc, e, attribute, r->err, "unknown %s '%.60s'", attribute, name);
}

static fs_status find_arch(const reader *r, const xmlNode *e, const char *attribute, uint32_t *out)
{
    const char *names[FS_ARCHS];
    for (int i = 0; i < FS_ARCHS; i++)
        names[i] = fs_arch_name((fs_arch)i);
    return find_name(r, e, attribute, names, FS_ARCHS, out);
}

static fs_status twice(const reader *r, const xmlNode *e)
{
    return fs_doc_fail(r->doc, e, "name", r->err, "<%s> '%s' is given twice", (const char *)e->name,
                       fs_doc_get(e, "name"));
}

/* ---- elements ---------------------------------------------------------------------------------------------------- */

static fs_status read_release(reader *r, const xmlNode *e)
{
    fs_nccl_table *t = r->t;
    const char *name = fs_doc_get(e, "name");
    for (uint32_t i = 0; i < t->n_releases; i++)
        if (strcmp(t->releases[i].name, name) == 0)
            return twice(r, e);
    if (t->n_releases == FS_NCCL_RELEASES_MAX)
        return fs_doc_fail(r->doc, e, NULL, r->err, "more than %d releases", FS_NCCL_RELEASES_MAX);
    double ranks = 0;
    fs_nccl_release release = {.name = fs_arena_strdup(t->arena, name)};
    if (release.name == NULL)
        return fs_fail_nomem(r->err);
    fs_status status = read_number(r, e, "nvls-all-reduce", FS_UNIT_NONE, 1e-3, 1.0, &release.nvls_all_reduce);
    if (status == FS_OK)
        status = read_number(r, e, "nvls-ranks", FS_UNIT_NONE, 2, 1e6, &ranks);
    if (status == FS_OK)
        status = read_number(r, e, "nvlstree-net", FS_UNIT_SECONDS, 0, 1, &release.nvlstree_net_s);
    release.nvls_ranks = (uint32_t)ranks;
    t->releases[t->n_releases++] = release;
    return status;
}

static fs_status read_believes(reader *r, const xmlNode *e)
{
    static const char *const attributes[FS_NCCL_HARDWARE] = {"nvlink", "pci", "net"};
    uint32_t row;
    fs_status status = find_name(r, e, "name", row_names, FS_NCCL_ONESHOT, &row);
    if (status == FS_OK && r->believed[row])
        status = twice(r, e);
    if (status == FS_OK)
        status = read_list(r, e, "base", FS_UNIT_SECONDS, FS_NCCL_COLUMNS, r->t->base_s[row]);
    for (int i = 0; i < FS_NCCL_HARDWARE && status == FS_OK; i++)
        status = read_list(r, e, attributes[i], FS_UNIT_SECONDS, FS_NCCL_COLUMNS, r->t->hop_s[i][row]);
    if (status == FS_OK)
        r->believed[row] = true;
    return status;
}

static fs_status read_architecture(reader *r, const xmlNode *e)
{
    uint32_t arch;
    fs_status status = find_arch(r, e, "name", &arch);
    if (status == FS_OK && r->known[arch])
        status = twice(r, e);
    if (status == FS_OK)
        status = read_positive(r, e, "LL", FS_UNIT_BPS, 3, r->t->ll_max_Bps[arch]);
    if (status == FS_OK)
        status = read_positive(r, e, "tree", FS_UNIT_BPS, 2, r->t->tree_channel_Bps[arch]);
    r->t->nvls[arch] = 1.0;
    r->t->ll128_max_Bps[arch] = INFINITY;
    if (status == FS_OK)
        status = read_number(r, e, "LL128", FS_UNIT_BPS, 1, 1e18, &r->t->ll128_max_Bps[arch]);
    if (status == FS_OK)
        status = read_number(r, e, "nvls", FS_UNIT_NONE, 1e-3, 1.0, &r->t->nvls[arch]);
    r->like[arch] = FS_NONE;
    if (status == FS_OK && fs_doc_get(e, "like"))
        status = find_arch(r, e, "like", &r->like[arch]);
    if (status == FS_OK)
        r->known[arch] = true;
    return status;
}

static fs_status read_correction(reader *r, const xmlNode *e)
{
    uint32_t column;
    fs_status status = find_name(r, e, "name", &fs_proto_names[FS_PROTO_LL], FS_NCCL_COLUMNS, &column);
    if (status == FS_OK && r->corrected[column])
        status = twice(r, e);
    if (status == FS_OK)
        status = read_positive(r, e, "factors", FS_UNIT_NONE, FS_NCCL_CORRECTIONS, r->t->tree_correction[column]);
    if (status == FS_OK)
        r->corrected[column] = true;
    return status;
}

static fs_status read_takes(reader *r, const xmlNode *e)
{
    uint32_t arch, row, column;
    fs_nccl_takes takes = {
        .efficiency = 1.0, .net_efficiency = 1.0, .window_s = 1.0, .drift_s = INFINITY, .overlap = 1.0};
    const struct {
        const char *attribute;
        fs_unit unit;
        double least, most, *out;
    } figures[] = {
        {"launch", FS_UNIT_SECONDS, 0, 1, &takes.launch_s},
        {"hop", FS_UNIT_SECONDS, 0, 1, &takes.hop_s[FS_NCCL_NVLINK]},
        {"pci-hop", FS_UNIT_SECONDS, 0, 1, &takes.hop_s[FS_NCCL_PCI]},
        {"net-hop", FS_UNIT_SECONDS, 0, 1, &takes.hop_s[FS_NCCL_NET]},
        {"efficiency", FS_UNIT_NONE, 1e-3, 1, &takes.efficiency},
        {"net-efficiency", FS_UNIT_NONE, 1e-3, 1, &takes.net_efficiency},
        {"cap", FS_UNIT_BPS, 1, 1e18, &takes.cap_Bps},
        {"fill", FS_UNIT_NONE, 0, 100, &takes.fill},
        {"drain", FS_UNIT_NONE, 0, 100, &takes.drain},
        {"drift", FS_UNIT_SECONDS, 1e-9, 1e3, &takes.drift_s},
        {"crowd", FS_UNIT_NONE, 0, 100, &takes.crowd},
        {"copy", FS_UNIT_NONE, 0, 100, &takes.copy},
        {"window", FS_UNIT_SECONDS, 1e-9, 1, &takes.window_s},
        {"flight", FS_UNIT_NONE, 0, 1e4, &takes.flight},
        {"overlap", FS_UNIT_NONE, 1, 100, &takes.overlap},
    };
    fs_status status = find_arch(r, e, "arch", &arch);
    if (status == FS_OK)
        status = find_name(r, e, "algo", row_names, FS_NCCL_ROWS, &row);
    if (status == FS_OK)
        status = find_name(r, e, "protocol", &fs_proto_names[FS_PROTO_LL], FS_NCCL_COLUMNS, &column);
    for (size_t i = 0; i < sizeof figures / sizeof *figures && status == FS_OK; i++) {
        if (i == 2) /* a PCIe hop is an NVLink one where nothing else is said, a network hop a PCIe one */
            takes.hop_s[FS_NCCL_PCI] = takes.hop_s[FS_NCCL_NVLINK];
        if (i == 3)
            takes.hop_s[FS_NCCL_NET] = takes.hop_s[FS_NCCL_PCI];
        status =
            read_number(r, e, figures[i].attribute, figures[i].unit, figures[i].least, figures[i].most, figures[i].out);
    }
    if (status == FS_OK && r->taken[arch][row][column])
        status = fs_doc_fail(r->doc, e, NULL, r->err, "%s by %s with %s is given twice", fs_arch_name((fs_arch)arch),
                             row_names[row], fs_proto_names[FS_PROTO_LL + column]);
    if (status != FS_OK)
        return status;
    r->taken[arch][row][column] = true;
    r->t->takes[arch][row][column] = takes;
    return FS_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* NCCL has these with the Simple protocol alone; sends know no LL128. */
static bool exists(uint32_t row, uint32_t column)
{
    return column == 2 || row == FS_NCCL_TREE || row == FS_NCCL_RING || (row == FS_NCCL_DIRECT && column == 0);
}

static fs_status complete(reader *r, const xmlNode *root)
{
    for (uint32_t i = 0; i < FS_NCCL_ONESHOT; i++)
        if (!r->believed[i])
            return fs_doc_fail(r->doc, root, NULL, r->err, "<believes name=\"%s\"> is missing", row_names[i]);
    for (uint32_t i = 0; i < FS_NCCL_COLUMNS; i++)
        if (!r->corrected[i])
            return fs_doc_fail(r->doc, root, NULL, r->err, "<tree-correction name=\"%s\"> is missing",
                               fs_proto_names[FS_PROTO_LL + i]);
    for (uint32_t a = 0; a < FS_ARCHS; a++) {
        if (!r->known[a])
            return fs_doc_fail(r->doc, root, NULL, r->err, "<architecture name=\"%s\"> is missing",
                               fs_arch_name((fs_arch)a));
        for (uint32_t i = 0; i < FS_NCCL_ROWS; i++) {
            for (uint32_t k = 0; k < FS_NCCL_COLUMNS; k++) {
                uint32_t from = a, steps = 0;
                while (exists(i, k) && !r->taken[from][i][k] && r->like[from] != FS_NONE && steps++ < FS_ARCHS)
                    from = r->like[from];
                if (exists(i, k) && !r->taken[from][i][k])
                    return fs_doc_fail(r->doc, root, NULL, r->err,
                                       "<takes> of %s by %s with %s is missing, and what it is like has none",
                                       fs_arch_name((fs_arch)a), row_names[i], fs_proto_names[FS_PROTO_LL + k]);
                r->t->takes[a][i][k] = r->t->takes[from][i][k];
            }
        }
    }
    return FS_OK;
}

static fs_status choose_release(reader *r, const xmlNode *root, const char *release)
{
    const char *name = release ? release : fs_doc_get(root, "release"), *names[FS_NCCL_RELEASES_MAX];
    for (uint32_t i = 0; i < r->t->n_releases; i++) {
        names[i] = r->t->releases[i].name;
        r->t->release = i;
        if (strcmp(names[i], name) == 0)
            return FS_OK;
    }
    const char *near = fs_suggest(name, names, r->t->n_releases);
    if (release == NULL)
        return fs_doc_fail(r->doc, root, "release", r->err, "unknown release '%.60s'", name);
    return fs_fail(r->err, FS_E_USAGE, "--nccl-version: the table has no release '%.60s'; it has %s%s", name,
                   near               ? near
                   : r->t->n_releases ? names[0]
                                      : "none",
                   r->t->n_releases > 1 ? " and others" : "");
}

/* <older>: what a release has in the place of <architecture>. */
static fs_status believe_as_older(reader *r, const xmlNode *e)
{
    uint32_t arch, release;
    const char *names[FS_NCCL_RELEASES_MAX];
    for (uint32_t i = 0; i < r->t->n_releases; i++)
        names[i] = r->t->releases[i].name;
    fs_status status = find_name(r, e, "release", names, r->t->n_releases, &release);
    if (status == FS_OK)
        status = find_arch(r, e, "arch", &arch);
    double ll128 = status == FS_OK ? r->t->ll128_max_Bps[arch] : 0.0, tree[2] = {0};
    if (status == FS_OK)
        status = read_number(r, e, "LL128", FS_UNIT_BPS, 1, 1e18, &ll128);
    if (status == FS_OK && fs_doc_get(e, "tree"))
        status = read_positive(r, e, "tree", FS_UNIT_BPS, 2, tree);
    if (status != FS_OK || release != r->t->release)
        return status;
    r->t->ll128_max_Bps[arch] = ll128;
    if (tree[0] > 0.0)
        memcpy(r->t->tree_channel_Bps[arch], tree, sizeof tree);
    return FS_OK;
}

/* What the release in use has in the place of <believes> and <architecture>. */
static fs_status believe_as_release(reader *r, const xmlNode *root)
{
    fs_nccl_table *t = r->t;
    double net_s = t->releases[t->release].nvlstree_net_s;
    if (net_s > 0.0)
        t->hop_s[FS_NCCL_NET][FS_NCCL_NVLSTREE][fs_nccl_column_of(FS_PROTO_SIMPLE)] = net_s;
    fs_status status = FS_OK;
    for (const xmlNode *e = fs_doc_child(root); e && status == FS_OK; e = fs_doc_next(e))
        if (fs_doc_is(e, "older"))
            status = believe_as_older(r, e);
    return status;
}

static fs_status read_all(reader *r, const char *release)
{
    const xmlNode *root = xmlDocGetRootElement(r->doc->tree);
    fs_status status = read_number(r, root, "p2p-LL", FS_UNIT_BYTES, 0, 1e18, &r->t->p2p_LL_bytes);
    for (const xmlNode *e = fs_doc_child(root); e && status == FS_OK; e = fs_doc_next(e)) {
        if (fs_doc_is(e, "release"))
            status = read_release(r, e);
        else if (fs_doc_is(e, "believes"))
            status = read_believes(r, e);
        else if (fs_doc_is(e, "architecture"))
            status = read_architecture(r, e);
        else if (fs_doc_is(e, "tree-correction"))
            status = read_correction(r, e);
        else if (!fs_doc_is(e, "older")) /* those last, on what all releases have */
            status = read_takes(r, e);
    }
    if (status == FS_OK)
        status = complete(r, root);
    if (status == FS_OK)
        status = choose_release(r, root, release);
    if (status == FS_OK)
        status = believe_as_release(r, root);
    return status;
}

fs_status fs_nccl_table_load(const char *path, const char *release, const fs_topo_override *overrides,
                             uint32_t n_overrides, fs_nccl_table **out, fs_err *err)
{
    fs_doc doc;
    fs_status status = path ? fs_doc_open_as(&doc, "nccl", "nccl", path, NULL, 0, err)
                            : fs_doc_open_as(&doc, "nccl", "nccl", "nccl.xml (inside fabsim)", (const char *)shipped,
                                             sizeof shipped, err);
    if (status != FS_OK)
        return status;
    status = fs_doc_override(&doc, overrides, n_overrides, err);
    if (status == FS_OK && (path || n_overrides > 0)) /* the shipped one is valid: a test says so */
        status = fs_doc_validate(&doc, err);
    fs_nccl_table *t = status == FS_OK ? fs_zalloc(1, sizeof *t) : NULL;
    if (t != NULL)
        t->arena = fs_arena_new();
    if (status == FS_OK && (t == NULL || t->arena == NULL))
        status = fs_fail_nomem(err);
    if (status == FS_OK) {
        reader r = {.doc = &doc, .t = t, .err = err};
        status = read_all(&r, release);
    }
    fs_doc_close(&doc);
    if (status == FS_OK)
        *out = t;
    else
        fs_nccl_table_free(t);
    return status;
}

void fs_nccl_table_free(fs_nccl_table *table)
{
    if (table == NULL)
        return;
    fs_arena_free(table->arena);
    fs_free(table);
}
