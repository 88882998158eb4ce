/* topo_doc.c - read XML files and the files they include into one tree. See topo_doc.h.
 *
 * libxml2 parses; three things are done here instead of there:
 * - Places. libxml2's tree keeps a line, none past 65535 on every node, and no column. A hook on the start of each
 *   element notes the byte offset where the tag ends; the last '<' before it is where the tag begins, since '<' cannot
 *   stand in an attribute. Lines and columns are computed from offsets when someone asks.
 * - Includes. Only <xi:include href> is understood. libxml2's XInclude would bring xpointer, text, fallback, xml:base
 *   and its own way to the file system, and would lose which file a node came from.
 * - Refusals: DOCTYPE (so no entities, external or exploding), depth, size. */
#include "topo/topo_doc.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define XINCLUDE "http://www.w3.org/2001/XInclude"

/* An element's place lives in its _private pointer, which libxml2 leaves to us: source << 32 | offset of the tag's
 * end. */
_Static_assert(sizeof(uintptr_t) >= 8, "places are packed into pointers");

typedef struct parsing { /* one file being parsed */
    fs_doc *doc;
    uint32_t source;
    uint32_t depth;
    fs_err *err;
    fs_status status; /* of the first error */
} parsing;

/* ---- places ------------------------------------------------------------------------------------------------------ */

static bool index_lines(fs_source *s)
{
    uint32_t count = 1;
    for (size_t i = 0; i < s->length; i++)
        count += s->text[i] == '\n';
    s->line_starts = fs_alloc(count, sizeof *s->line_starts);
    if (s->line_starts == NULL)
        return false;
    s->line_starts[0] = 0;
    s->n_lines = 1;
    for (size_t i = 0; i < s->length; i++)
        if (s->text[i] == '\n')
            s->line_starts[s->n_lines++] = (uint32_t)i + 1;
    return true;
}

/* Without memory for the index the place is just the file. */
static fs_place place_of_offset(fs_source *s, size_t offset)
{
    if (s->line_starts == NULL && !index_lines(s))
        return (fs_place){s->path, 0, 0};
    uint32_t low = 0, high = s->n_lines;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (s->line_starts[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return (fs_place){s->path, low + 1, (uint32_t)(offset - s->line_starts[low]) + 1};
}

static size_t tag_begin(const fs_source *s, size_t end)
{
    if (end > s->length)
        end = s->length;
    while (end > 0 && s->text[--end] != '<') {
    }
    return end;
}

/* Offset of an attribute's name within the tag that begins at `at`, or of the tag where it is not there. */
static size_t attribute_offset(const fs_source *s, size_t at, const char *name)
{
    static const char blank[] = " \t\r\n";
    size_t tag = at, length = strlen(name);
    at += strcspn(s->text + at, " \t\r\n/>");
    for (;;) {
        at += strspn(s->text + at, blank);
        size_t key = strcspn(s->text + at, " \t\r\n=/>");
        if (key == 0)
            return tag;
        if (key == length && memcmp(s->text + at, name, length) == 0)
            return at;
        at += key;
        at += strspn(s->text + at, " \t\r\n=");
        char quote[2] = {s->text[at], '\0'};
        if (quote[0] != '"' && quote[0] != '\'')
            return tag;
        at++;
        at += strcspn(s->text + at, quote);
        if (s->text[at] == '\0')
            return tag;
        at++;
    }
}

fs_place fs_doc_place(fs_doc *doc, const xmlNode *element, const char *attribute)
{
    uintptr_t packed = (uintptr_t)element->_private;
    fs_source *s = &doc->sources.data[packed >> 32];
    size_t offset = tag_begin(s, packed & UINT32_MAX);
    return place_of_offset(s, attribute ? attribute_offset(s, offset, attribute) : offset);
}

/* ---- one file ---------------------------------------------------------------------------------------------------- */

static size_t position(const xmlParserCtxt *ctxt)
{
    return ctxt->input ? ctxt->input->consumed + (size_t)(ctxt->input->cur - ctxt->input->base) : 0;
}

FS_PRINTF(3, 4) static void stop(xmlParserCtxt *ctxt, size_t offset, const char *format, ...)
{
    parsing *p = ctxt->_private;
    if (p->status == FS_OK) {
        char text[256];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        fs_place at = place_of_offset(&p->doc->sources.data[p->source], offset);
        p->status = fs_fail_at(p->err, FS_E_TOPOLOGY, at.file, at.line, at.column, "%s", text);
    }
    xmlStopParser(ctxt);
}

static void on_element(void *user, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int n_namespaces,
                       const xmlChar **namespaces, int n_attributes, int n_defaulted, const xmlChar **attributes)
{
    xmlParserCtxt *ctxt = user;
    parsing *p = ctxt->_private;
    xmlNode *before = ctxt->node;
    size_t end = position(ctxt);
    if (++p->depth > FS_XML_DEPTH_MAX) {
        stop(ctxt, tag_begin(&p->doc->sources.data[p->source], end), "elements nest deeper than %d", FS_XML_DEPTH_MAX);
        return;
    }
    xmlSAX2StartElementNs(user, name, prefix, uri, n_namespaces, namespaces, n_attributes, n_defaulted, attributes);
    if (ctxt->node && ctxt->node != before) /* else out of memory */
        ctxt->node->_private = (void *)((uintptr_t)p->source << 32 | end);
}

static void on_element_end(void *user, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    parsing *p = ((xmlParserCtxt *)user)->_private;
    p->depth--;
    xmlSAX2EndElementNs(user, name, prefix, uri);
}

static void on_doctype(void *user, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    (void)name, (void)external, (void)system;
    xmlParserCtxt *ctxt = user;
    parsing *p = ctxt->_private;
    stop(ctxt, tag_begin(&p->doc->sources.data[p->source], position(ctxt)),
         "DOCTYPE is not allowed: a topology has no entities and no DTD");
}

static void on_error(void *user, xmlErrorPtr error)
{
    xmlParserCtxt *ctxt = user;
    parsing *p = ctxt->_private;
    if (p->status != FS_OK || error->level < XML_ERR_ERROR)
        return;
    if (error->code == XML_ERR_NO_MEMORY || error->message == NULL) { /* no memory even to say so */
        p->status = fs_fail_nomem(p->err);
        return;
    }
    char text[512];
    snprintf(text, sizeof text, "%s", error->message);
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = c[1] ? ' ' : '\0';
    p->status = fs_fail_at(p->err, FS_E_TOPOLOGY, p->doc->sources.data[p->source].path, (uint32_t)error->line,
                           (uint32_t)error->int2, "not well-formed XML: %s", text);
}

static xmlParserCtxt *new_parser(parsing *p)
{
    xmlParserCtxt *ctxt = xmlNewParserCtxt();
    if (ctxt == NULL)
        return NULL;
    ctxt->_private = p;
    ctxt->sax->startElementNs = on_element;
    ctxt->sax->endElementNs = on_element_end;
    ctxt->sax->internalSubset = on_doctype;
    ctxt->sax->serror = on_error;
    ctxt->sax->comment = NULL;
    ctxt->sax->processingInstruction = NULL;
    xmlDictFree(ctxt->dict);
    ctxt->dict = p->doc->dict;
    xmlDictReference(ctxt->dict);
    return ctxt;
}

/* UTF-8 is the only encoding: one that libxml2 would have to convert would shift the offsets. */
static fs_status check_text(const fs_source *s, fs_err *err)
{
    static const unsigned char utf16[2][2] = {{0xFE, 0xFF}, {0xFF, 0xFE}};
    if (s->length == 0)
        return fs_fail_at(err, FS_E_TOPOLOGY, s->path, 1, 1, "the file is empty");
    if (memchr(s->text, '\0', s->length) ||
        (s->length >= 2 && (memcmp(s->text, utf16[0], 2) == 0 || memcmp(s->text, utf16[1], 2) == 0)))
        return fs_fail_at(err, FS_E_TOPOLOGY, s->path, 1, 1, "not UTF-8 text");
    return FS_OK;
}

/* What reading one source takes and gives, for the guard of mem_xml.c. */
typedef struct reading {
    parsing p;
    xmlDoc *made;
    bool sound; /* well-formed, with a root */
} reading;

static void read_source(void *context)
{
    reading *r = context;
    const fs_source *s = &r->p.doc->sources.data[r->p.source];
    xmlParserCtxt *ctxt = new_parser(&r->p);
    if (ctxt == NULL)
        return;
    const int options =
        XML_PARSE_NONET | XML_PARSE_BIG_LINES | XML_PARSE_COMPACT | XML_PARSE_NOBLANKS | XML_PARSE_IGNORE_ENC;
    r->made = xmlCtxtReadMemory(ctxt, s->text, (int)s->length, NULL, NULL, options);
    r->sound = r->made != NULL && xmlDocGetRootElement(r->made) != NULL && ctxt->wellFormed;
    xmlFreeParserCtxt(ctxt);
}

static fs_status parse_source(fs_doc *doc, uint32_t source, xmlDoc **tree, fs_err *err)
{
    fs_status status = check_text(&doc->sources.data[source], err);
    if (status != FS_OK)
        return status;
    reading r = {.p = {.doc = doc, .source = source, .err = err}};
    if (!fs_mem_xml_call(read_source, &r))
        return fs_fail_nomem(err);
    if (r.p.status != FS_OK)
        return r.p.status;
    if (!r.sound)
        return fs_fail_nomem(err); /* every other failure has been reported to on_error */
    *tree = r.made;
    return FS_OK;
}

/* Take over `text` (freed in every case but success) as a new source. */
static fs_status add_source(fs_doc *doc, const char *path, char *text, size_t length, fs_err *err)
{
    fs_source s = {fs_arena_strdup(doc->arena, path), text, length, NULL, 0};
    fs_status status = FS_OK;
    if (doc->bytes + length > FS_XML_BYTES_MAX)
        status = fs_fail_at(err, FS_E_TOPOLOGY, path, 0, 0, "a topology is at most 64 MiB, all its files together");
    else if (doc->sources.count >= FS_XML_FILES_MAX)
        status = fs_fail_at(err, FS_E_TOPOLOGY, path, 0, 0, "a topology includes at most %d files", FS_XML_FILES_MAX);
    else if (s.path == NULL || !FS_PUSH(&doc->sources, s))
        status = fs_fail_nomem(err);
    if (status != FS_OK)
        fs_free(text);
    else
        doc->bytes += length;
    return status;
}

/* ---- includes ---------------------------------------------------------------------------------------------------- */

typedef struct chain { /* the files that are being included, innermost first */
    const char *path;
    const struct chain *outer;
    uint32_t depth;
} chain;

static bool is_include(const xmlNode *element)
{
    return element->ns && strcmp((const char *)element->ns->href, XINCLUDE) == 0;
}

static fs_status check_include(fs_doc *doc, const xmlNode *element, fs_err *err)
{
    if (strcmp((const char *)element->name, "include") != 0)
        return fs_doc_fail(doc, element, NULL, err, "<xi:%s> is not supported, only <xi:include href=\"...\"/>",
                           (const char *)element->name);
    for (const xmlAttr *a = element->properties; a; a = a->next)
        if (strcmp((const char *)a->name, "href") != 0)
            return fs_doc_fail(doc, element, (const char *)a->name, err,
                               "unknown attribute '%s' of <xi:include>, expected only href", (const char *)a->name);
    if (element->children)
        return fs_doc_fail(doc, element, NULL, err, "<xi:include> must be empty");
    const char *href = fs_doc_get(element, "href");
    if (href == NULL || href[0] == '\0')
        return fs_doc_fail(doc, element, href ? "href" : NULL, err, "<xi:include> needs href=\"FILE.xml\"");
    return FS_OK;
}

/* `href` relative to the folder of `from`. Never "-", which means stdin elsewhere. NULL when out of memory. */
static char *join_path(const char *from, const char *href)
{
    const char *slash = strrchr(from, '/');
    while (strncmp(href, "./", 2) == 0)
        href += 2;
    size_t folder = href[0] == '/' || !slash ? 0 : (size_t)(slash - from) + 1;
    size_t length = folder + strlen(href) + 3;
    char *path = fs_alloc(length, 1);
    if (path)
        snprintf(path, length, "%s%.*s%s", strcmp(href, "-") == 0 && folder == 0 ? "./" : "", (int)folder, from, href);
    return path;
}

static fs_status compose(fs_doc *doc, uint32_t source, const chain *outer, xmlDoc **tree, fs_err *err);

static fs_status include_file(fs_doc *doc, const xmlNode *element, const char *path, const chain *outer, xmlDoc **tree,
                              fs_err *err)
{
    for (const chain *c = outer; c; c = c->outer)
        if (strcmp(c->path, path) == 0)
            return fs_doc_fail(doc, element, "href", err, "include cycle: '%s' includes itself", path);
    if (outer->depth >= FS_XML_INCLUDE_DEPTH_MAX)
        return fs_doc_fail(doc, element, "href", err, "includes nest deeper than %d", FS_XML_INCLUDE_DEPTH_MAX);
    char *text;
    size_t length;
    fs_err inner;
    fs_status status = fs_file_read(path, &text, &length, &inner);
    if (status == FS_E_NOMEM)
        return fs_fail_nomem(err);
    if (status != FS_OK)
        return fs_doc_fail(doc, element, "href", err, "<xi:include>: %.500s", inner.text);
    status = add_source(doc, path, text, length, err);
    if (status != FS_OK)
        return status;
    uint32_t source = doc->sources.count - 1;
    status = compose(doc, source, outer, tree, err);
    if (status != FS_OK)
        return status;
    const xmlNode *root = xmlDocGetRootElement(*tree);
    if (!fs_doc_is(root, "parts") && !fs_doc_is(root, "board")) {
        status = fs_doc_fail(doc, root, NULL, err, "an included file is <parts> or <board>, found <%s>",
                             (const char *)root->name);
    }
    return status;
}

/* Put the root of `part` where `element` is; what is left over goes with the session. */
static xmlNode *splice(xmlNode *element, xmlDoc *part)
{
    xmlNode *root = xmlDocGetRootElement(part);
    xmlUnlinkNode(root);
    xmlSetTreeDoc(root, element->doc);
    xmlReplaceNode(element, root);
    return root;
}

/* Parse a source and resolve its includes. Recursion: one level per include, limited. */
static fs_status compose(fs_doc *doc, uint32_t source, const chain *outer, xmlDoc **tree, fs_err *err)
{
    chain here = {doc->sources.data[source].path, outer, outer ? outer->depth + 1 : 0};
    xmlDoc *made = NULL;
    fs_status status = parse_source(doc, source, &made, err);
    if (status != FS_OK)
        return status;
    xmlNode *root = xmlDocGetRootElement(made), *next;
    for (xmlNode *e = root; status == FS_OK && e; e = next) {
        next = fs_doc_walk(e, root);
        if (!is_include(e))
            continue;
        status = check_include(doc, e, err);
        if (status == FS_OK && e == root)
            status = fs_doc_fail(doc, e, NULL, err, "<xi:include> cannot be the whole file");
        if (status != FS_OK)
            break;
        char *path = join_path(here.path, fs_doc_get(e, "href"));
        xmlDoc *part = NULL;
        status = path ? include_file(doc, e, path, &here, &part, err) : fs_fail_nomem(err);
        fs_free(path);
        if (status == FS_OK)
            splice(e, part); /* `next` is behind it already: what comes in has no includes left */
    }
    if (status != FS_OK)
        return status; /* the session's end frees what was read */
    *tree = made;
    return FS_OK;
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static fs_status open_root(fs_doc *doc, const char *expected, const char *path, const char *xml, size_t length,
                           fs_err *err)
{
    char *text = NULL;
    doc->arena = fs_arena_new();
    doc->dict = xmlDictCreate();
    if (!doc->arena || !doc->dict)
        return fs_fail_nomem(err);
    if (xml == NULL) {
        fs_status status = fs_file_read(path, &text, &length, err);
        if (status != FS_OK)
            return status;
    } else if (length > FS_XML_BYTES_MAX || !(text = fs_alloc(length + 1, 1))) {
        return length > FS_XML_BYTES_MAX
                   ? fs_fail_at(err, FS_E_TOPOLOGY, path, 0, 0, "a topology is at most 64 MiB, all its files together")
                   : fs_fail_nomem(err);
    } else {
        memcpy(text, xml, length);
        text[length] = '\0';
    }
    fs_status status = add_source(doc, path, text, length, err);
    if (status == FS_OK)
        status = compose(doc, 0, NULL, &doc->tree, err);
    if (status != FS_OK)
        return status;
    const xmlNode *root = xmlDocGetRootElement(doc->tree);
    const char *name = (const char *)root->name;
    if (fs_doc_is(root, expected))
        return FS_OK;
    if (root->ns)
        return fs_doc_fail(doc, root, NULL, err, "expected <%s> in no namespace, found <%s> in '%.255s'", expected,
                           name, (const char *)root->ns->href);
    if (strcmp(expected, "fabsim") != 0)
        return fs_doc_fail(doc, root, NULL, err, "expected <%s>, found <%s>", expected, name);
    bool fragment = fs_doc_is(root, "parts") || fs_doc_is(root, "board");
    return fs_doc_fail(doc, root, NULL, err,
                       fragment ? "expected <fabsim>, found <%s>: a fragment for other files to include"
                                : "expected <fabsim>, found <%s>: not a topology",
                       name);
}

fs_status fs_doc_open(fs_doc *doc, const char *path, const char *xml, size_t length, fs_err *err)
{
    return fs_doc_open_as(doc, "fabsim", "topo", path, xml, length, err);
}

fs_status fs_doc_open_as(fs_doc *doc, const char *root, const char *set, const char *path, const char *xml,
                         size_t length, fs_err *err)
{
    *doc = (fs_doc){.set = set};
    if (!fs_mem_xml_begin())
        return fs_fail_nomem(err);
    fs_status status = open_root(doc, root, path, xml, length, err);
    if (status != FS_OK)
        fs_doc_close(doc);
    return status;
}

void fs_doc_close(fs_doc *doc)
{
    fs_mem_xml_end(); /* frees the trees and the dictionary */
    for (uint32_t i = 0; i < doc->sources.count; i++) {
        fs_free(doc->sources.data[i].text);
        fs_free(doc->sources.data[i].line_starts);
    }
    fs_free(doc->sources.data);
    if (doc->arena)
        fs_arena_free(doc->arena);
    *doc = (fs_doc){0};
}
