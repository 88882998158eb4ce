/* import_hwloc_parts.c - the parts that ship with fabsim, from the copy of topologies/parts inside the program.
 *
 * An imported board must work wherever it is put, so it cannot include parts/gpus.xml by path: it carries the elements
 * that it uses, word for word, sources included. They are found by their name attribute, and written as libxml2 read
 * them. */
#include "topo/import_hwloc_board.h"

#include "base/num.h"

#include <libxml/parser.h>
#include <libxml/tree.h>

#include <string.h>

struct fs_hw_parts {
    FS_VEC(xmlNodePtr)
    nodes; /* the elements with a name, in document order; they live as long as the libxml2 session */
};

/* Attribute text; NULL where there is none. Shipped files hold no entities, so it is one text node. */
static const char *attribute_of(const xmlNode *element, const char *name)
{
    const xmlAttr *attribute = xmlHasProp(element, (const xmlChar *)name);
    return attribute && attribute->children ? (const char *)attribute->children->content : NULL;
}

/* Reading one shipped file, for the guard of mem_xml.c. */
typedef struct reading {
    const fs_hw_text *text;
    xmlDocPtr doc;
} reading;

/* Shipped files are well-formed, so that every failure here is memory that ran out. libxml2 may then still return a
 * tree, with elements missing: errNo tells. */
static void read_text(void *user)
{
    reading *r = user;
    xmlParserCtxtPtr context = xmlNewParserCtxt();
    if (!context)
        return;
    xmlDocPtr doc = xmlCtxtReadMemory(context, r->text->text, (int)r->text->length, r->text->file, NULL,
                                      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (context->errNo == XML_ERR_OK)
        r->doc = doc;
    xmlFreeParserCtxt(context);
}

static bool read_parts(fs_hw_parts *parts, const fs_hw_text *text)
{
    reading r = {.text = text};
    if (!fs_mem_xml_call(read_text, &r) || r.doc == NULL || xmlDocGetRootElement(r.doc) == NULL)
        return false;
    for (xmlNodePtr node = xmlDocGetRootElement(r.doc)->children; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && attribute_of(node, "name") && !FS_PUSH(&parts->nodes, node))
            return false;
    return true;
}

fs_status fs_hw_parts_open(fs_hw_parts **parts, fs_err *err)
{
    fs_hw_parts *p = fs_zalloc(1, sizeof *p);
    bool ok = p != NULL;
    for (uint32_t i = 0; ok && i < fs_hw_n_shipped_parts; i++)
        ok = read_parts(p, &fs_hw_shipped_parts[i]);
    if (!ok) {
        fs_hw_parts_close(p);
        return fs_fail_nomem(err);
    }
    *parts = p;
    return FS_OK;
}

void fs_hw_parts_close(fs_hw_parts *parts)
{
    if (!parts)
        return;
    fs_free(parts->nodes.data);
    fs_free(parts);
}

static xmlNodePtr find_part(const fs_hw_parts *parts, const char *element, const char *name)
{
    for (uint32_t i = 0; i < parts->nodes.count; i++) {
        const xmlNodePtr node = parts->nodes.data[i];
        if (strcmp(attribute_of(node, "name"), name) == 0 &&
            (!element || strcmp((const char *)node->name, element) == 0))
            return node;
    }
    return NULL;
}

const char *fs_hw_part_attribute(const fs_hw_parts *parts, const char *element, const char *name, const char *attribute)
{
    const xmlNode *node = find_part(parts, element, name);
    return node ? attribute_of(node, attribute) : NULL;
}

fs_status fs_hw_part_check(const fs_hw_parts *parts, const char *element, const char *name, fs_err *err)
{
    enum { CANDIDATES_MAX = 64 };
    const char *candidates[CANDIDATES_MAX];
    size_t count = 0;
    if (find_part(parts, element, name))
        return FS_OK;
    for (uint32_t i = 0; i < parts->nodes.count && count < CANDIDATES_MAX; i++)
        if (strcmp((const char *)parts->nodes.data[i]->name, element) == 0)
            candidates[count++] = attribute_of(parts->nodes.data[i], "name");
    const char *near = fs_suggest(name, candidates, count);
    if (near)
        return fs_fail(err, FS_E_USAGE, "no shipped %s part is called '%.80s'; did you mean '%s'?", element, name,
                       near);
    char all[FS_ERR_TEXT_MAX / 2];
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", candidates[i]);
    return fs_fail(err, FS_E_USAGE, "no shipped %s part is called '%.80s'; there are %s", element, name, all);
}

typedef struct dumping {
    xmlNodePtr node;
    const char *text; /* NULL = it failed; lives as long as the libxml2 session */
} dumping;

static void dump(void *user)
{
    dumping *d = user;
    xmlBufferPtr buffer = xmlBufferCreate();
    if (buffer && xmlNodeDump(buffer, d->node->doc, d->node, 0, 0) >= 0)
        d->text = (const char *)xmlBufferContent(buffer);
}

fs_status fs_hw_part_write(const fs_hw_parts *parts, const char *name, fs_out *out, fs_err *err)
{
    dumping d = {.node = find_part(parts, NULL, name)};
    if (!fs_mem_xml_call(dump, &d) || d.text == NULL)
        return fs_fail_nomem(err);
    for (const char *line = d.text; *line;) {
        const size_t bytes = strcspn(line, "\n") + (strchr(line, '\n') != NULL);
        fs_out_write(out, line, bytes);
        line += bytes;
        if (*line)
            fs_out_puts(out, "  "); /* one level deeper than in its own file */
    }
    return FS_OK;
}
