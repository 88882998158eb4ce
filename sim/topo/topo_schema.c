/* topo_schema.c - hold a topology's tree against the schema, which is part of the program. See topo_doc.h.
 *
 * The schema (topologies/fabsim-topology.xsd) decides what is valid, libxml2 finds the first offence in document order,
 * and explain() says in our words what is wrong there; where it has no words, libxml2's stand.
 *
 * libxml2 2.9.14's schema code neither survives a failed allocation (it follows the null pointer) nor cleans up after
 * one, so it runs under the guard of mem_xml.c; the rest of libxml2 that is used here handles failures. */
#include "topo/topo_doc.h"
#include "topo/topo_words.h"

#include <libxml/xmlschemas.h>
#include <stdio.h>
#include <string.h>

static const unsigned char schema_text[] = {
#include "fabsim-topology.xsd.h" /* made from the schema by the Makefile */
};

typedef struct offence { /* the first one */
    bool found, no_memory;
    xmlNode *element;
    char text[512];
} offence;

static void on_offence(void *user, xmlErrorPtr error)
{
    offence *o = user;
    if (error->code == XML_ERR_NO_MEMORY)
        o->no_memory = true;
    if (o->found)
        return;
    xmlNode *node = error->node;
    while (node && node->type != XML_ELEMENT_NODE)
        node = node->parent;
    o->found = true;
    o->element = node;
    snprintf(o->text, sizeof o->text, "%s", error->message ? error->message : "");
    o->text[strcspn(o->text, "\n")] = '\0';
}

/* ---- in our words ------------------------------------------------------------------------------------------------ */

static fs_status explain_element(fs_doc *doc, const xmlNode *e, fs_err *err)
{
    const xmlNode *parent = e->parent;
    const char *name = (const char *)e->name, *within = (const char *)parent->name;
    const fs_word *word = fs_word_of(parent);
    if (word == NULL)
        return FS_OK;
    if (fs_word_has_child(word, name)) /* only the root's children have an order */
        return !fs_doc_is(parent, "fabsim")
                   ? FS_OK
                   : fs_doc_fail(doc, e, NULL, err,
                                 "<%s> is out of place: <parts> and <board> come first, then at most one <system>",
                                 name);
    const char *near = fs_word_suggest_child(word, name);
    if (near)
        return fs_doc_fail(doc, e, NULL, err, "unknown element <%.60s> in <%s> (did you mean <%s>?)", name, within,
                           near);
    if (word->children[0] == '\0')
        return fs_doc_fail(doc, e, NULL, err, "unknown element <%.60s>: <%s> has no children", name, within);
    return fs_doc_fail(doc, e, NULL, err, "unknown element <%.60s> in <%s>, expected one of: %s", name, within,
                       word->children);
}

static fs_status explain_attributes(fs_doc *doc, const xmlNode *e, const fs_word *word, fs_err *err)
{
    const char *element = (const char *)e->name, *why;
    for (const xmlAttr *a = e->properties; a; a = a->next) {
        const char *name = (const char *)a->name;
        const fs_word_attr *known = a->ns ? NULL : fs_word_attribute(word, name);
        const char *near = known ? NULL : fs_word_suggest_attribute(word, name);
        if (near)
            return fs_doc_fail(doc, e, name, err, "unknown attribute '%.60s' of <%s> (did you mean '%s'?)", name,
                               element, near);
        if (known == NULL)
            return fs_doc_fail(doc, e, name, err, "unknown attribute '%.60s' of <%s>", name, element);
        if (!fs_word_check(known, fs_doc_get(e, name), &why))
            return fs_doc_fail(doc, e, name, err, "%s: %s", name, why);
    }
    for (const fs_word_attr *a = word->attributes; a->name; a++)
        if (a->required && fs_doc_get(e, a->name) == NULL)
            return fs_doc_fail(doc, e, NULL, err, "<%s> lacks the attribute '%s'", element, a->name);
    return FS_OK;
}

/* FS_OK where there is nothing to say. */
static fs_status explain(fs_doc *doc, const xmlNode *e, fs_err *err)
{
    const fs_word *word = fs_word_of(e);
    fs_status status = word ? explain_attributes(doc, e, word, err) : explain_element(doc, e, err);
    if (status != FS_OK || word == NULL)
        return status;
    for (const xmlNode *c = e->children; c; c = c->next) {
        if (c->type == XML_ELEMENT_NODE && !fs_word_has_child(word, (const char *)c->name))
            return explain_element(doc, c, err);
        if (c->type != XML_ELEMENT_NODE && !xmlIsBlankNode(c))
            return fs_doc_fail(doc, e, NULL, err, "text in <%s>: expected only elements", (const char *)e->name);
    }
    if (fs_doc_is(e, "gpu") && fs_doc_child(e) == NULL)
        return fs_doc_fail(doc, e, NULL, err, "<gpu> needs at least one <peak>");
    for (const xmlNode *c = fs_doc_is(e, "gpu") ? fs_doc_child(e) : NULL; c; c = fs_doc_next(c))
        if (fs_doc_is(c, "kernels") && (fs_doc_next(c) == NULL || !fs_doc_is(fs_doc_next(c), "attention")))
            return fs_doc_fail(doc, c, NULL, err, "<kernels> needs an <attention> behind it");
    return fs_doc_is(e, "fabsim") ? FS_OK : explain_element(doc, e, err);
}

/* ---- validation -------------------------------------------------------------------------------------------------- */

static xmlSchema *load_schema(offence *o)
{
    xmlSchemaParserCtxt *parser = xmlSchemaNewMemParserCtxt((const char *)schema_text, sizeof schema_text);
    if (parser == NULL)
        return NULL;
    xmlSchemaSetParserStructuredErrors(parser, on_offence, o);
    xmlSchema *schema = xmlSchemaParse(parser);
    xmlSchemaFreeParserCtxt(parser);
    return schema;
}

static fs_status report(fs_doc *doc, const offence *o, fs_err *err)
{
    if (o->no_memory || !o->found)
        return fs_fail_nomem(err); /* an internal error of the validator has no other cause */
    const xmlNode *e = o->element ? o->element : xmlDocGetRootElement(doc->tree);
    fs_status status = explain(doc, e, err);
    return status != FS_OK ? status : fs_doc_fail(doc, e, NULL, err, "%s", o->text);
}

typedef struct validation {
    fs_doc *doc;
    offence offence;
    int result; /* 0 = valid, as libxml2 has it */
} validation;

static void validate(void *context)
{
    validation *v = context;
    xmlSchema *schema = load_schema(&v->offence);
    xmlSchemaValidCtxt *validator = schema ? xmlSchemaNewValidCtxt(schema) : NULL;
    if (validator) {
        xmlSchemaSetValidStructuredErrors(validator, on_offence, &v->offence);
        v->result = xmlSchemaValidateDoc(validator, v->doc->tree);
        xmlSchemaFreeValidCtxt(validator);
    }
    xmlSchemaFree(schema);
}

fs_status fs_doc_validate(fs_doc *doc, fs_err *err)
{
    validation v = {.doc = doc, .result = -1};
    if (!fs_mem_xml_call(validate, &v))
        return fs_fail_nomem(err);
    return v.result == 0 && !v.offence.no_memory ? FS_OK : report(doc, &v.offence, err);
}
