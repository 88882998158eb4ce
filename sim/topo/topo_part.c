/* topo_part.c - see fs_topo_of_part in topo.h: the shipped parts, and a board with one device, as text for the reader. */
#include "base/mem.h"
#include "base/num.h"
#include "topo/import_hwloc_board.h"
#include "topo/topo.h"

#include <stdio.h>
#include <string.h>

static void add(char *text, size_t *used, const char *more, size_t length)
{
    if (text)
        memcpy(text + *used, more, length);
    *used += length;
}

/* Writes the document, or with text NULL only counts. Shipped files are one <parts> behind an XML declaration. */
static size_t compose(char *text, const char *part)
{
    static const char head[] = "<fabsim version=\"topology/1\" name=\"one GPU\">";
    char tail[FS_NAME_MAX + 128];
    size_t used = 0;
    snprintf(tail, sizeof tail, "<board name=\"one\"><device name=\"gpu0\" part=\"%.*s\"/></board></fabsim>",
             FS_NAME_MAX, part);
    add(text, &used, head, sizeof head - 1);
    for (uint32_t i = 0; i < fs_hw_n_shipped_parts; i++) {
        const char *all = fs_hw_shipped_parts[i].text;
        size_t length = fs_hw_shipped_parts[i].length, skip = 0;
        while (skip + 6 < length && memcmp(all + skip, "<parts", 6) != 0)
            skip++;
        add(text, &used, all + skip, length - skip);
    }
    add(text, &used, tail, strlen(tail));
    return used;
}

static fs_status check_name(const char *part, fs_err *err)
{
    fs_hw_parts *parts = NULL;
    if (!fs_mem_xml_begin())
        return fs_fail_nomem(err);
    fs_status status = fs_hw_parts_open(&parts, err);
    if (status == FS_OK)
        status = fs_hw_part_check(parts, "gpu", part, err);
    fs_hw_parts_close(parts);
    fs_mem_xml_end();
    return status;
}

fs_status fs_topo_of_part(const char *part, const fs_topo_override *overrides, uint32_t n_overrides, fs_topo **topo,
                          fs_err *err)
{
    fs_status status = check_name(part, err);
    if (status != FS_OK)
        return status;
    size_t length = compose(NULL, part);
    char *text = fs_alloc(length, 1);
    if (text == NULL)
        return fs_fail_nomem(err);
    compose(text, part);
    status = fs_topo_parse("shipped parts", text, length, overrides, n_overrides, topo, err);
    fs_free(text);
    return status;
}
