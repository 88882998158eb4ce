/* import_hwloc.c - a real node in: loads hwloc's topology and runs the stages of the importer.
 *
 * The file is read and parsed here first, for the sake of errors: hwloc says no more than "invalid argument", and
 * prints what it found to stderr. What passes has the root element and version that hwloc reads; hwloc then parses the
 * same bytes again.
 * Memory: everything of ours is freed on every path; hwloc's own allocations are hwloc's. */
#include "topo/import_hwloc.h"

#include "base/mem.h"
#include "topo/import_hwloc_board.h"

#include <libxml/parser.h>
#include <libxml/tree.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    XML_BYTES_MAX = 64 << 20, /* a 16-GPU node exports 40 kB, a 2,000-core machine some MB */
    HWLOC_XML_MAJOR = 2,      /* version of the format that libhwloc 2.x reads and writes */
    DISTANCES_MAX = 4096      /* objects of one matrix, which hwloc allocates before it reads it: 128 MiB */
};

/* ---- building ---- */

char *fs_hw_device_name(const fs_hw_device *device, char *buffer, size_t size)
{
    static const char *const stems[FS_DEVICE_KINDS] = {"gpu", "nvsw", "nic", "cpu", "plx", "switch"};
    snprintf(buffer, size, "%s%u", stems[device->kind], device->number);
    return buffer;
}

char *fs_hw_obj_name(hwloc_obj_t obj, char *buffer, size_t size)
{
    const hwloc_obj_t pci = fs_hw_pci_above(obj);
    const bool bridge = obj->type == HWLOC_OBJ_BRIDGE && obj->attr->bridge.upstream_type == HWLOC_OBJ_BRIDGE_PCI;
    const char *name = obj->name ? obj->name : hwloc_obj_type_string(obj->type);
    if (pci->type != HWLOC_OBJ_PCI_DEVICE && !bridge) {
        snprintf(buffer, size, "%.40s", name);
        return buffer;
    }
    const struct hwloc_pcidev_attr_s *at = bridge ? &obj->attr->bridge.upstream.pci : &pci->attr->pcidev;
    snprintf(buffer, size, "%.30s%s%04x:%02x:%02x.%x", obj->type == HWLOC_OBJ_OS_DEVICE ? name : "PCI",
             obj->type == HWLOC_OBJ_OS_DEVICE ? " at " : " ", (unsigned)at->domain, at->bus, at->dev, at->func);
    return buffer;
}

fs_status fs_hw_add_device(fs_hw_board *board, fs_device_kind kind, hwloc_obj_t obj, const char *part, uint32_t *index,
                           fs_err *err)
{
    fs_hw_device device = {.kind = kind, .obj = obj};
    snprintf(device.part, sizeof device.part, "%s", part);
    for (uint32_t i = 0; i < board->devices.count; i++)
        device.number += board->devices.data[i].kind == kind;
    if (!FS_PUSH(&board->devices, device))
        return fs_fail_nomem(err);
    *index = board->devices.count - 1;
    return FS_OK;
}

fs_status fs_hw_add_link(fs_hw_board *board, uint32_t from, uint32_t to, const char *type, uint32_t lanes,
                         const char *note, fs_err *err)
{
    fs_hw_link link = {.from = from, .to = to, .lanes = lanes};
    snprintf(link.type, sizeof link.type, "%s", type);
    snprintf(link.note, sizeof link.note, "%s", note);
    return FS_PUSH(&board->links, link) ? FS_OK : fs_fail_nomem(err);
}

fs_status fs_hw_remark_add(fs_hw_board *board, fs_err *err, const char *format, ...)
{
    fs_hw_remark remark;
    va_list args;
    va_start(args, format);
    vsnprintf(remark.text, sizeof remark.text, format, args);
    va_end(args);
    return FS_PUSH(&board->remarks, remark) ? FS_OK : fs_fail_nomem(err);
}

uint32_t fs_hw_find(const fs_hw_board *board, fs_device_kind kind, hwloc_obj_t obj)
{
    for (uint32_t i = 0; i < board->devices.count; i++)
        if (board->devices.data[i].kind == kind && board->devices.data[i].obj == obj)
            return i;
    return FS_NONE;
}

/* ---- loading ---- */

static fs_status check_matrices(const char *path, const xmlNode *root, fs_err *err)
{
    for (const xmlNode *child = root->children; child; child = child->next) {
        if (child->type != XML_ELEMENT_NODE)
            continue;
        xmlChar *count = xmlGetProp(child, (const xmlChar *)"nbobjs");
        const bool too_many = count && strtoul((const char *)count, NULL, 10) > DISTANCES_MAX;
        xmlFree(count);
        if (too_many)
            return fs_fail_at(err, FS_E_TOPOLOGY, path, (uint32_t)xmlGetLineNo(child), 0,
                              "a matrix of distances between more than %d objects", DISTANCES_MAX);
    }
    return FS_OK;
}

static fs_status check_root(const char *path, xmlDocPtr doc, fs_err *err)
{
    const xmlNode *root = xmlDocGetRootElement(doc);
    const uint32_t line = root ? (uint32_t)xmlGetLineNo(root) : 0;
    if (doc->intSubset && doc->intSubset->children)
        return fs_fail_at(err, FS_E_TOPOLOGY, path, line, 0,
                          "this file declares entities or elements of its own, which no "
                          "export of lstopo does");
    if (!root || strcmp((const char *)root->name, "topology") != 0)
        return fs_fail_at(err, FS_E_TOPOLOGY, path, line, 0,
                          "the root element is <%.40s>, expected <topology>, as 'lstopo --of xml' writes it",
                          root ? (const char *)root->name : "");
    xmlChar *version = xmlGetProp(root, (const xmlChar *)"version"); /* hwloc 1.x wrote none, and is still read */
    fs_status status = FS_OK;
    if (version && strtol((const char *)version, NULL, 10) > HWLOC_XML_MAJOR)
        status = fs_fail_at(err, FS_E_TOPOLOGY, path, line, 0,
                            "this export has version %.16s, the installed hwloc reads version %d.x\n"
                            "export it again with: lstopo --export-xml-flags v2 --of xml node.xml",
                            (const char *)version, HWLOC_XML_MAJOR);
    xmlFree(version);
    return status == FS_OK ? check_matrices(path, root, err) : status;
}

/* What the parser found first; later errors only follow from it. */
typedef struct parsing {
    const char *path;
    fs_err *err;
    fs_status status;
} parsing;

static void on_error(void *user, xmlErrorPtr error)
{
    parsing *p = ((xmlParserCtxtPtr)user)->_private;
    if (p->status != FS_OK || error->level < XML_ERR_ERROR)
        return;
    const char *message = error->message ? error->message : "unknown error";
    if (error->code == XML_ERR_NO_MEMORY)
        p->status = fs_fail_nomem(p->err);
    else
        p->status = fs_fail_at(p->err, FS_E_TOPOLOGY, p->path, (uint32_t)error->line, (uint32_t)error->int2,
                               "not well-formed XML: %.*s", (int)strcspn(message, "\n"), message);
}

/* Reading the export, for the guard of mem_xml.c. */
typedef struct reading {
    parsing p;
    const char *text;
    size_t length;
    xmlChar *plain; /* the same document as hwloc's own reader takes it; lives as long as the session */
    int plain_length;
} reading;

static void read_xml(void *user)
{
    reading *r = user;
    xmlParserCtxtPtr context = xmlNewParserCtxt();
    if (!context)
        return;
    context->_private = &r->p;
    context->sax->serror = on_error;
    context->sax->comment = NULL;
    context->sax->processingInstruction = NULL;
    xmlDocPtr doc =
        xmlCtxtReadMemory(context, r->text, (int)r->length, r->p.path, NULL, XML_PARSE_NONET | XML_PARSE_BIG_LINES);
    if (r->p.status == FS_OK && doc)
        r->p.status = check_root(r->p.path, doc, r->p.err);
    if (r->p.status == FS_OK && doc)
        xmlDocDumpMemoryEnc(doc, &r->plain, &r->plain_length, "UTF-8");
    xmlFreeParserCtxt(context);
}

/* Check the export and give back what hwloc is to read: without comments and the like, because hwloc's own reader takes
 * nothing that lstopo would not write. (Its reader on libxml2 is a plugin that may be missing, and does not survive memory that
 * runs out.) */
static fs_status check_xml(const char *path, const char *text, size_t length, reading *r, fs_err *err)
{
    if (length > XML_BYTES_MAX)
        return fs_fail_at(err, FS_E_TOPOLOGY, path, 0, 0, "the file is larger than 64 MiB");
    if (length == 0)
        return fs_fail_at(err, FS_E_TOPOLOGY, path, 1, 1, "the file is empty");
    *r = (reading){.p = {.path = path, .err = err}, .text = text, .length = length};
    if (!fs_mem_xml_call(read_xml, r))
        return fs_fail_nomem(err);
    if (r->p.status == FS_OK && r->plain == NULL)
        r->p.status = fs_fail_nomem(err); /* all else was reported to on_error */
    return r->p.status;
}

static fs_status refuse(const fs_hw_board *board, int reason, fs_err *err)
{
    if (reason == ENOMEM)
        return fs_fail_nomem(err);
    return fs_fail_at(err, FS_E_TOPOLOGY, board->path, 0, 0, "hwloc cannot make sense of %s%s%s",
                      board->path ? "this export" : "this machine", reason ? ": " : "", reason ? strerror(reason) : "");
}

/* text NULL: this machine. */
static fs_status load(fs_hw_board *board, const char *text, size_t length, fs_err *err)
{
    /* hwloc prints what it dislikes to stderr, unless told otherwise; what the user has set is left alone. */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
    setenv("HWLOC_LIBXML", "0", 1); /* its own reader: see check_xml */
    errno = 0;
    if (hwloc_topology_init(&board->topology) != 0) {
        board->topology = NULL;
        return refuse(board, ENOMEM, err);
    }
    /* Everything below a bridge stays: switch ports matter here, and NVSwitches are PCI devices of no important
     * class. */
    hwloc_topology_set_io_types_filter(board->topology, HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_flags(board->topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (text && hwloc_topology_set_xmlbuffer(board->topology, text, (int)length + 1) != 0)
        return refuse(board, errno, err);
    if (hwloc_topology_load(board->topology) != 0)
        return refuse(board, errno, err);
    return FS_OK;
}

static fs_status check_options(const fs_hw_board *board, fs_err *err)
{
    fs_status status = FS_OK;
    if (board->options.gpu_part)
        status = fs_hw_part_check(board->parts, "gpu", board->options.gpu_part, err);
    if (status == FS_OK && board->options.nic_part)
        status = fs_hw_part_check(board->parts, "nic", board->options.nic_part, err);
    return status;
}

fs_status fs_import_hwloc(const char *path, const fs_hwloc_options *options, fs_out *out, fs_err *err)
{
    fs_hw_board board = {.path = path};
    fs_hw_parts *parts = NULL;
    char *text = NULL;
    size_t length = 0;
    reading r = {0};
    if (!fs_mem_xml_begin())
        return fs_fail_nomem(err);
    if (options)
        board.options = *options;
    fs_status status = fs_hw_parts_open(&parts, err);
    board.parts = parts;
    if (status == FS_OK)
        status = check_options(&board, err);
    if (status == FS_OK && path)
        status = fs_file_read(path, &text, &length, err);
    if (status == FS_OK && path)
        status = check_xml(path, text, length, &r, err);
    if (status == FS_OK)
        status = load(&board, (const char *)r.plain, (size_t)r.plain_length, err);
    if (status == FS_OK)
        status = fs_hw_scan(&board, err);
    if (status == FS_OK)
        status = fs_hw_nvlinks(&board, err);
    if (status == FS_OK)
        status = fs_hw_write(&board, out, err);
    if (board.topology)
        hwloc_topology_destroy(board.topology);
    fs_free(board.remarks.data);
    fs_free(board.links.data);
    fs_free(board.devices.data);
    fs_free(text);
    fs_hw_parts_close(parts);
    fs_mem_xml_end();
    return status;
}
