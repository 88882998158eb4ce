/* topo_doc.h - a topology's XML as one tree, each element of which knows where it was written. Internal to topo.
 *
 * Life: fs_doc_open reads the file and everything it includes; fs_doc_override changes attributes; fs_doc_validate
 * holds the tree against the schema; then topo_build.c reads it. */
#ifndef FS_TOPO_DOC_H
#define FS_TOPO_DOC_H

#include "base/mem.h"
#include "topo/spec.h"

#include <libxml/tree.h>

enum {
    FS_XML_BYTES_MAX = 64 << 20, /* of all files together */
    FS_XML_FILES_MAX = 1024,
    FS_XML_INCLUDE_DEPTH_MAX = 16,
    FS_XML_DEPTH_MAX = 32 /* of elements within one file */
};

typedef struct fs_source { /* one file */
    const char *path;
    char *text;
    size_t length;
    uint32_t *line_starts; /* (n_lines) offsets; made when first asked for */
    uint32_t n_lines;
} fs_source;

typedef struct fs_doc {
    fs_arena *arena; /* paths */
    FS_VEC(fs_source) sources;
    size_t bytes;  /* of all sources */
    xmlDict *dict; /* shared by all trees, so that nodes can move between them */
    xmlDoc *tree;
    const char *set; /* what --set calls it: "topo" */
} fs_doc;

/* `xml` NULL: read the file. doc need not be initialised; on failure it needs no close. */
FS_MUST_CHECK fs_status fs_doc_open(fs_doc *doc, const char *path, const char *xml, size_t length, fs_err *err);
/* The same for a document with another root than <fabsim>, whose overrides begin with `set`. */
FS_MUST_CHECK fs_status fs_doc_open_as(fs_doc *doc, const char *root, const char *set, const char *path,
                                       const char *xml, size_t length, fs_err *err);
void fs_doc_close(fs_doc *doc);
FS_MUST_CHECK fs_status fs_doc_override(fs_doc *doc, const fs_topo_override *overrides, uint32_t count, fs_err *err);
FS_MUST_CHECK fs_status fs_doc_validate(fs_doc *doc, fs_err *err);

/* An attribute's value, or NULL. Attributes have one text child at most once the parser has resolved references. */
const char *fs_doc_get(const xmlNode *element, const char *attribute);
/* Elements only: the first child and the next sibling, NULL at the end; all of a tree in document order. */
xmlNode *fs_doc_child(const xmlNode *element);
xmlNode *fs_doc_next(const xmlNode *element);
xmlNode *fs_doc_walk(xmlNode *element, const xmlNode *root);
bool fs_doc_is(const xmlNode *element, const char *name);
/* The <peak> of a <gpu> for that dtype, or NULL. */
xmlNode *fs_doc_peak(const xmlNode *gpu, const char *dtype);

/* Where an element, or one of its attributes (NULL = itself), stands. */
fs_place fs_doc_place(fs_doc *doc, const xmlNode *element, const char *attribute);
/* Fail there, with FS_E_TOPOLOGY; or with FS_E_USAGE where --set gave the attribute its value. */
FS_PRINTF(5, 6)
fs_status fs_doc_fail(fs_doc *doc, const xmlNode *element, const char *attribute, fs_err *err, const char *format, ...);

#endif
