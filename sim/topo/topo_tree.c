/* topo_tree.c - questions to a topology's XML tree, errors that point into it, and --set. See topo_doc.h. */
#include "topo/topo_doc.h"

#include "base/num.h"
#include "topo/topo_words.h"

#include <stdio.h>
#include <string.h>

const char *fs_doc_get(const xmlNode *element, const char *attribute)
{
    for (const xmlAttr *a = element->properties; a; a = a->next)
        if (a->ns == NULL && strcmp((const char *)a->name, attribute) == 0)
            return a->children && a->children->content ? (const char *)a->children->content : "";
    return NULL;
}

static xmlNode *first_element(xmlNode *node)
{
    while (node && node->type != XML_ELEMENT_NODE)
        node = node->next;
    return node;
}

xmlNode *fs_doc_child(const xmlNode *element)
{
    return first_element(element->children);
}

xmlNode *fs_doc_next(const xmlNode *element)
{
    return first_element(element->next);
}

xmlNode *fs_doc_walk(xmlNode *element, const xmlNode *root)
{
    xmlNode *next = fs_doc_child(element);
    while (next == NULL && element != root) {
        next = fs_doc_next(element);
        element = element->parent;
    }
    return next;
}

bool fs_doc_is(const xmlNode *element, const char *name)
{
    return element->ns == NULL && strcmp((const char *)element->name, name) == 0;
}

xmlNode *fs_doc_peak(const xmlNode *gpu, const char *dtype)
{
    for (xmlNode *e = fs_doc_child(gpu); e; e = fs_doc_next(e)) {
        const char *value = fs_doc_get(e, "dtype");
        if (value && strcmp(value, dtype) == 0)
            return e;
    }
    return NULL;
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static const xmlAttr *find_attribute(const xmlNode *element, const char *name)
{
    const xmlAttr *a = element->properties;
    while (a && strcmp((const char *)a->name, name) != 0)
        a = a->next;
    return a;
}

fs_status fs_doc_fail(fs_doc *doc, const xmlNode *element, const char *attribute, fs_err *err, const char *format, ...)
{
    char text[FS_ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const xmlAttr *a = attribute ? find_attribute(element, attribute) : NULL;
    if (a && a->_private) {
        const fs_topo_override *o = a->_private;
        return fs_fail(err, FS_E_USAGE, "--set %s:%.255s.%.60s=%.255s: %.1000s", doc->set, o->name, o->attribute,
                       o->value, text);
    }
    fs_place at = fs_doc_place(doc, element, attribute);
    return fs_fail_at(err, FS_E_TOPOLOGY, at.file, at.line, at.column, "%s", text);
}

/* ---- --set ------------------------------------------------------------------------------------------------------- */

/* Whether the text is `head`, a '.', `tail`. */
static bool is_joined(const char *text, const char *head, const char *tail)
{
    size_t n = strlen(head);
    return strncmp(text, head, n) == 0 && text[n] == '.' && strcmp(text + n + 1, tail) == 0;
}

/* What an override may call an element: its name, "gpu.h100-sxm5", "network.ib.leaf" for a tier, or, where there is one of
 * its kind and it has no name, "system". */
static bool is_called(const xmlNode *e, const char *text)
{
    const char *kind = (const char *)e->name, *name = fs_doc_get(e, "name");
    if (!name)
        return strcmp(text, kind) == 0;
    if (strcmp(text, name) == 0 || is_joined(text, kind, name))
        return true;
    const char *outer = e->parent && e->parent->type == XML_ELEMENT_NODE ? fs_doc_get(e->parent, "name") : NULL;
    size_t n = outer ? strlen((const char *)e->parent->name) : 0;
    return outer && strncmp(text, (const char *)e->parent->name, n) == 0 && text[n] == '.' &&
           is_joined(text + n + 1, outer, name);
}

/* The element whose `attribute` an override of `named` means: itself, or for GPUs <kernels> or <attention>, or the
 * <peak> of a dtype, whose "flops" it is, or for networks the lowest tier that can have it: only from the second on is
 * there a tier below to compare with. */
static xmlNode *holder(xmlNode *named, const char **attribute)
{
    const fs_word *word = fs_word_of(named);
    if (word && fs_word_attribute(word, *attribute))
        return named;
    bool network = fs_doc_is(named, "network");
    xmlNode *first = network || fs_doc_is(named, "gpu") ? fs_doc_child(named) : NULL;
    if (first && network && strcmp(*attribute, "oversubscription") == 0)
        first = fs_doc_next(first);
    for (xmlNode *e = first; e; e = fs_doc_next(e)) {
        const fs_word *inner = fs_word_of(e);
        if (inner && !fs_doc_is(e, "peak") && fs_word_attribute(inner, *attribute))
            return e;
    }
    xmlNode *peak = fs_doc_is(named, "gpu") ? fs_doc_peak(named, *attribute) : NULL;
    if (peak)
        *attribute = "flops";
    return peak;
}

static fs_status unknown_name(fs_doc *doc, const fs_topo_override *o, fs_err *err)
{
    FS_VEC(const char *) names = {0};
    xmlNode *root = xmlDocGetRootElement(doc->tree);
    for (xmlNode *e = root; e; e = fs_doc_walk(e, root)) {
        const char *name = fs_doc_get(e, "name");
        if (name && !FS_PUSH(&names, name)) {
            fs_free(names.data);
            return fs_fail_nomem(err);
        }
    }
    const char *near = fs_suggest(o->name, names.data, names.count);
    fs_free(names.data);
    if (near)
        return fs_fail(err, FS_E_USAGE, "--set %s:%.255s.%.60s: nothing has that name (did you mean '%.255s'?)",
                       doc->set, o->name, o->attribute, near);
    return fs_fail(err, FS_E_USAGE, "--set %s:%.255s.%.60s: nothing has that name", doc->set, o->name, o->attribute);
}

static fs_status unknown_attribute(const fs_doc *doc, const fs_topo_override *o, const xmlNode *named, fs_err *err)
{
    const fs_word *word = fs_word_of(named);
    const char *near = word ? fs_word_suggest_attribute(word, o->attribute) : NULL;
    const char *element = (const char *)named->name;
    if (near)
        return fs_fail(err, FS_E_USAGE, "--set %s:%.255s.%.60s: <%.60s> has no such attribute (did you mean '%s'?)",
                       doc->set, o->name, o->attribute, element, near);
    return fs_fail(err, FS_E_USAGE, "--set %s:%.255s.%.60s: <%.60s> has no such attribute", doc->set, o->name,
                   o->attribute, element);
}

/* Cables of a tier are said in one of three ways: an override takes the place of how the file says it. */
static void drop_other_ways(xmlNode *target, const char *attribute)
{
    static const char *const ways[] = {"lanes", "uplinks", "oversubscription"};
    enum { N = sizeof ways / sizeof *ways };
    bool is_way = false;
    for (size_t i = 0; i < N; i++)
        is_way |= strcmp(ways[i], attribute) == 0;
    for (size_t i = 0; i < N && is_way && fs_doc_is(target, "tier"); i++) {
        const xmlAttr *a = find_attribute(target, ways[i]);
        if (a && !a->_private && strcmp(ways[i], attribute) != 0)
            xmlUnsetProp(target, (const xmlChar *)ways[i]);
    }
}

static fs_status apply(fs_doc *doc, const fs_topo_override *o, fs_err *err)
{
    xmlNode *root = xmlDocGetRootElement(doc->tree), *named = NULL, *target = NULL;
    const char *attribute = o->attribute;
    for (xmlNode *e = root; e; e = fs_doc_walk(e, root)) {
        const char *found = o->attribute;
        if (!is_called(e, o->name))
            continue;
        named = e;
        xmlNode *h = holder(e, &found);
        if (h && target)
            return fs_fail(err, FS_E_USAGE, "--set %s:%.255s.%.60s: several elements have that name", doc->set, o->name,
                           o->attribute);
        if (h) {
            target = h;
            attribute = found;
        }
    }
    if (named == NULL)
        return unknown_name(doc, o, err);
    if (target == NULL)
        return unknown_attribute(doc, o, named, err);
    drop_other_ways(target, attribute);
    xmlAttr *a = xmlSetProp(target, (const xmlChar *)attribute, (const xmlChar *)o->value);
    /* xmlSetProp does not tell that it could not copy the value. */
    if (a == NULL || strcmp(fs_doc_get(target, attribute), o->value) != 0)
        return fs_fail_nomem(err);
    a->_private = (void *)(uintptr_t)o;
    return FS_OK;
}

fs_status fs_doc_override(fs_doc *doc, const fs_topo_override *overrides, uint32_t count, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < count; i++)
        status = apply(doc, &overrides[i], err);
    return status;
}
