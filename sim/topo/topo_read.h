/* topo_read.h - attributes of a valid XML tree as values, with errors that point at them. Internal to topo. */
#ifndef FS_TOPO_READ_H
#define FS_TOPO_READ_H

#include "base/num.h"
#include "topo/spec_in.h"
#include "topo/topo_doc.h"

enum { FS_COUNT_MAX = 1 << 20, FS_PATH_SIZE = 2 * FS_NAME_MAX + 16 };

typedef struct fs_reader {
    fs_doc *doc;
    fs_spec *spec;
    fs_err *err;
} fs_reader;

/* An absent attribute leaves *out. */
FS_MUST_CHECK fs_status fs_read_quantity(const fs_reader *r, const xmlNode *e, const char *attribute, fs_unit unit,
                                         double *out);
FS_MUST_CHECK fs_status fs_read_count(const fs_reader *r, const xmlNode *e, const char *attribute, uint32_t most,
                                      uint32_t *out); /* from 1 */
bool fs_read_yes(const xmlNode *e, const char *attribute);
/* The names that a pattern stands for; free the list in every case. */
FS_MUST_CHECK fs_status fs_read_names(const fs_reader *r, const xmlNode *e, const char *attribute, fs_name_list *list);

/* A call into the spec gave `status`: point at what the spec blames. */
FS_MUST_CHECK fs_status fs_read_blame(const fs_reader *r, const xmlNode *e, fs_status status);
/* Fail at an attribute whose value is not among `names`; `what` names the kind of thing. */
FS_MUST_CHECK fs_status fs_read_unknown(const fs_reader *r, const xmlNode *e, const char *attribute, const char *what,
                                        const char *name, const fs_names *names);

#endif
