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
    xmlDocPtr *docs; /* (n_docs) */
    uint32_t n_docs;
    FS_VEC(xmlNodePtr) nodes; /* the elements with a name, in document order; owned by docs */
};

/* Attribute text; NULL where there is none. Shipped files hold no entities, so it is one text node. */
static const char *attribute_of(const xmlNode *element, const char *name)
{
    const xmlAttr *attribute = xmlHasProp(element, (const xmlChar *)name);
    return attribute && attribute->children ? (const char *)attribute->children->content : NULL;
}

/* Shipped files are well-formed, so that every failure here is memory that ran out. libxml2 may then still return a
 * tree, with elements missing: errNo tells. */
static bool read_parts(fs_hw_parts *parts, const fs_hw_text *text)
{
    xmlParserCtxtPtr context = xmlNewParserCtxt();
    if (!context)
        return false;
    xmlDocPtr doc = xmlCtxtReadMemory(context, text->text, (int)text->length, text->file, NULL,
                                      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    const xmlNode *root = doc && context->errNo == XML_ERR_OK ? xmlDocGetRootElement(doc) : NULL;
    xmlFreeParserCtxt(context);
    if (!root) {
        xmlFreeDoc(doc);
        return false;
    }
    parts->docs[parts->n_docs++] = doc;
    for (xmlNodePtr node = root->children; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && attribute_of(node, "name") && !FS_PUSH(&parts->nodes, node))
            return false;
    return true;
}

fs_status fs_hw_parts_open(fs_hw_parts **parts, fs_err *err)
{
    fs_hw_parts *p = fs_zalloc(1, sizeof *p);
    bool ok = p && (p->docs = fs_zalloc(fs_hw_n_shipped_parts, sizeof *p->docs));
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
    for (uint32_t i = 0; i < parts->n_docs; i++)
        xmlFreeDoc(parts->docs[i]);
    fs_free(parts->docs);
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
    return fs_fail(err, FS_E_USAGE, "no shipped %s part is called '%.80s'%s%s%s", element, name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

fs_status fs_hw_part_write(const fs_hw_parts *parts, const char *name, fs_out *out, fs_err *err)
{
    const xmlNodePtr node = find_part(parts, NULL, name);
    xmlBufferPtr buffer = node ? xmlBufferCreate() : NULL;
    const int length = buffer ? xmlNodeDump(buffer, node->doc, node, 0, 0) : -1;
    for (const char *line = length >= 0 ? (const char *)xmlBufferContent(buffer) : ""; *line;) {
        const size_t bytes = strcspn(line, "\n") + (strchr(line, '\n') != NULL);
        fs_out_write(out, line, bytes);
        line += bytes;
        if (*line)
            fs_out_puts(out, "  "); /* one level deeper than in its own file */
    }
    xmlBufferFree(buffer);
    return length >= 0 ? FS_OK : fs_fail_nomem(err);
}
