/* topo_xml.c - load a topology: compose the files, apply --set, validate, build, freeze. See topo.h. */
#include "topo/topo_build.h"

#include "base/rng.h"

#include <string.h>

bool fs_topo_is_kind(const char *word, size_t length)
{
    static const char *const kinds[] = {"gpu",       "nvswitch", "nic",   "cpu",    "pcie-switch", "net-switch",
                                        "link-type", "board",    "place", "device", "network",     "system"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(kinds[i], word, length) == 0 && kinds[i][length] == '\0')
            return true;
    return false;
}

fs_status fs_topo_hash_files(const char *path, uint64_t *hash, fs_err *err)
{
    fs_doc doc;
    fs_status status = fs_doc_open(&doc, path, NULL, 0, err);
    if (status != FS_OK)
        return status;
    uint64_t mixed = FS_HASH_START;
    for (uint32_t i = 0; i < doc.sources.count; i++)
        mixed =
            fs_hash_bytes(mixed, doc.sources.data[i].text, doc.sources.data[i].length + 1); /* the NUL ends a file */
    *hash = mixed;
    fs_doc_close(&doc);
    return FS_OK;
}

static fs_status read_doc(fs_doc *doc, const char *path, const fs_topo_override *overrides, uint32_t n_overrides,
                          fs_topo **topo, fs_err *err)
{
    fs_status status = fs_doc_override(doc, overrides, n_overrides, err);
    if (status == FS_OK)
        status = fs_doc_validate(doc, err);
    if (status != FS_OK)
        return status;
    fs_spec *spec = fs_spec_new(fs_doc_get(xmlDocGetRootElement(doc->tree), "name"), path);
    if (spec == NULL)
        return fs_fail_nomem(err);
    status = fs_topo_build(doc, spec, err);
    if (status == FS_OK)
        status = fs_spec_freeze(spec, topo, err);
    fs_spec_free(spec);
    return status;
}

fs_status fs_topo_parse(const char *path, const char *xml, size_t length, const fs_topo_override *overrides,
                        uint32_t n_overrides, fs_topo **topo, fs_err *err)
{
    fs_doc doc;
    fs_status status = fs_doc_open(&doc, path, xml, length, err);
    if (status != FS_OK)
        return status;
    status = read_doc(&doc, path, overrides, n_overrides, topo, err);
    fs_doc_close(&doc);
    return status;
}

fs_status fs_topo_load(const char *path, const fs_topo_override *overrides, uint32_t n_overrides, fs_topo **topo,
                       fs_err *err)
{
    return fs_topo_parse(path, NULL, 0, overrides, n_overrides, topo, err); /* NULL: read the file */
}
