/* topo_read.c - see topo_read.h. */
#include "topo/topo_read.h"

#include <string.h>

fs_status fs_read_blame(const fs_reader *r, const xmlNode *e, fs_status status)
{
    if (status != FS_E_TOPOLOGY)
        return status;
    char text[FS_ERR_TEXT_MAX];
    memcpy(text, r->err->text, sizeof text);
    const char *attribute = r->spec->blame;
    const xmlNode *peak = attribute && fs_doc_is(e, "gpu") ? fs_doc_peak(e, attribute) : NULL;
    return fs_doc_fail(r->doc, peak ? peak : e, peak ? "flops" : attribute, r->err, "%s", text);
}

fs_status fs_read_unknown(const fs_reader *r, const xmlNode *e, const char *attribute, const char *what,
                          const char *name, const fs_names *names)
{
    const char *near = fs_suggest(name, names->names, names->count);
    return near ? fs_doc_fail(r->doc, e, attribute, r->err, "unknown %s '%s' (did you mean '%s'?)", what, name, near)
                : fs_doc_fail(r->doc, e, attribute, r->err, "unknown %s '%s'", what, name);
}

fs_status fs_read_quantity(const fs_reader *r, const xmlNode *e, const char *attribute, fs_unit unit, double *out)
{
    const char *text = fs_doc_get(e, attribute), *why;
    if (text == NULL || fs_parse_quantity(text, unit, out, &why) == 0)
        return FS_OK;
    return fs_doc_fail(r->doc, e, attribute, r->err, "%s: %s", attribute, why);
}

fs_status fs_read_count(const fs_reader *r, const xmlNode *e, const char *attribute, uint32_t most, uint32_t *out)
{
    const char *text = fs_doc_get(e, attribute);
    uint64_t value;
    if (text == NULL)
        return FS_OK;
    if (fs_parse_uint(text, &value) != 0 || value < 1 || value > most)
        return fs_doc_fail(r->doc, e, attribute, r->err, "%s must be from 1 to %u, found '%.60s'", attribute, most,
                           text);
    *out = (uint32_t)value;
    return FS_OK;
}

bool fs_read_yes(const xmlNode *e, const char *attribute)
{
    const char *text = fs_doc_get(e, attribute);
    return text && strcmp(text, "yes") == 0;
}

fs_status fs_read_names(const fs_reader *r, const xmlNode *e, const char *attribute, fs_name_list *list)
{
    fs_err inner;
    fs_status status = fs_name_list_expand(fs_doc_get(e, attribute), list, &inner);
    if (status == FS_E_TOPOLOGY)
        return fs_doc_fail(r->doc, e, attribute, r->err, "%s", inner.text);
    if (status != FS_OK)
        *r->err = inner;
    return status;
}
