/* import_hwloc_write.c - the board as a topology file that a person can read and edit.
 *
 * Text goes out directly, not through fs_topo_write_xml: that one writes a frozen machine, which has no sources and no
 * remarks left. NVLinks, which are many and regular, are gathered into patterns ("gpu[0-7]" to "nvsw[0-5]"); PCIe
 * links, which each carry what hwloc said of them, stand one to a line.
 *
 * Cost: O(links + bundles^2), bundles being at most a few per device. */
#include "topo/import_hwloc_pcie.h"

#include <stdio.h>
#include <string.h>

enum { PATTERN_MEMBERS_MAX = 64 /* keeps a pattern far below the schema's 1,024 characters */ };

/* Text from hwloc inside an attribute or a comment: printable ASCII, nothing that ends either. */
static void put_text(fs_out *out, const char *text, bool comment)
{
    for (char last = 0; *text; last = *text++) {
        if (*text < ' ' || *text > '~')
            fs_out_puts(out, "?");
        else if (comment && *text == '-' && last == '-')
            fs_out_puts(out, " -");
        else if (!comment && *text == '&')
            fs_out_puts(out, "&amp;");
        else if (!comment && *text == '<')
            fs_out_puts(out, "&lt;");
        else if (!comment && *text == '"')
            fs_out_puts(out, "&quot;");
        else
            fs_out_write(out, text, 1);
    }
}

/* A name for the board: product, else host, with what names may not hold turned into '-'. */
static void board_name(const fs_hw_board *board, char *name, size_t size)
{
    static const char *const keys[] = {"DMIProductName", "PlatformModel", "HostName"};
    const hwloc_obj_t root = hwloc_get_root_obj(board->topology);
    const char *text = NULL;
    size_t length = 0;
    for (size_t i = 0; !text && i < sizeof keys / sizeof keys[0]; i++)
        text = hwloc_obj_get_info_by_name(root, keys[i]);
    for (; text && *text && length + 1 < size; text++) {
        const bool upper = *text >= 'A' && *text <= 'Z', lower = *text >= 'a' && *text <= 'z',
                   digit = *text >= '0' && *text <= '9';
        if (upper || lower || digit)
            name[length++] = (char)(upper ? *text - 'A' + 'a' : *text);
        else if (length > 0 && name[length - 1] != '-')
            name[length++] = '-';
    }
    while (length > 0 && name[length - 1] == '-')
        length--;
    name[length] = '\0';
    if (length == 0)
        snprintf(name, size, "node");
}

/* ---- parts ---- */

typedef FS_VEC(const char *) name_list;

static fs_status push_name(name_list *list, const char *name, fs_err *err)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->data[i], name) == 0)
            return FS_OK;
    return FS_PUSH(list, name) ? FS_OK : fs_fail_nomem(err);
}

static fs_status write_parts(const fs_hw_board *board, fs_out *out, fs_err *err)
{
    name_list names = {0};
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < board->devices.count; i++)
        status = push_name(&names, board->devices.data[i].part, err);
    for (uint32_t i = 0; status == FS_OK && i < board->links.count; i++)
        status = push_name(&names, board->links.data[i].type, err);
    fs_out_puts(out, "  <parts>\n");
    for (uint32_t i = 0; status == FS_OK && i < names.count; i++) {
        fs_out_puts(out, "    ");
        if (fs_hw_part_attribute(board->parts, NULL, names.data[i], "name"))
            status = fs_hw_part_write(board->parts, names.data[i], out, err);
        else
            fs_pcie_type_write(names.data[i], out);
        fs_out_puts(out, "\n");
    }
    fs_out_puts(out, "  </parts>\n\n");
    fs_free(names.data);
    return status;
}

/* ---- links in patterns ---- */

/* Links [first, first + count) of one device to devices of one kind, alike in type and lanes. */
typedef struct bundle {
    uint32_t first, count;
    bool written;
} bundle;

typedef FS_VEC(bundle) bundle_list;

static bool same_run(const fs_hw_board *board, const fs_hw_link *a, const fs_hw_link *b)
{
    const fs_hw_device *devices = board->devices.data;
    return a->from == b->from && a->lanes == b->lanes && devices[a->to].kind == devices[b->to].kind &&
           strcmp(a->type, b->type) == 0;
}

static fs_status gather(const fs_hw_board *board, bundle_list *list, fs_err *err)
{
    const fs_hw_link *links = board->links.data;
    for (uint32_t i = 0; i < board->links.count;) {
        bundle found = {.first = i, .count = 1};
        if (links[i].note[0] == '\0')
            while (i + found.count < board->links.count && found.count < PATTERN_MEMBERS_MAX &&
                   same_run(board, &links[i], &links[i + found.count]) && links[i + found.count].note[0] == '\0')
                found.count++;
        if (!FS_PUSH(list, found))
            return fs_fail_nomem(err);
        i += found.count;
    }
    return FS_OK;
}

/* Do two bundles lead from devices of one kind to the same devices in the same way? */
static bool alike(const fs_hw_board *board, const bundle *a, const bundle *b)
{
    const fs_hw_link *x = &board->links.data[a->first], *y = &board->links.data[b->first];
    if (a->count != b->count || x->note[0] || y->note[0] || x->lanes != y->lanes || strcmp(x->type, y->type) != 0 ||
        board->devices.data[x->from].kind != board->devices.data[y->from].kind)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (x[i].to != y[i].to)
            return false;
    return true;
}

/* "gpu[0-3,5]" for device ids in ascending order of number. */
static void put_pattern(const fs_hw_board *board, const uint32_t *ids, uint32_t count, fs_out *out)
{
    char name[FS_HW_NAME_MAX];
    const fs_hw_device *devices = board->devices.data;
    if (count == 1) {
        fs_out_puts(out, fs_hw_device_name(&devices[ids[0]], name, sizeof name));
        return;
    }
    fs_hw_device_name(&devices[ids[0]], name, sizeof name);
    name[strcspn(name, "0123456789")] = '\0';
    fs_out_printf(out, "%s[", name);
    for (uint32_t i = 0; i < count;) {
        uint32_t run = 1;
        while (i + run < count && devices[ids[i + run]].number == devices[ids[i]].number + run)
            run++;
        fs_out_printf(out, run > 1 ? "%s%u-%u" : "%s%u", i > 0 ? "," : "", devices[ids[i]].number,
                      devices[ids[i]].number + run - 1);
        i += run;
    }
    fs_out_puts(out, "]");
}

static void write_bundles(const fs_hw_board *board, bundle_list *list, uint32_t start, fs_out *out)
{
    uint32_t from[PATTERN_MEMBERS_MAX], to[PATTERN_MEMBERS_MAX], n_from = 0;
    const bundle *head = &list->data[start];
    const fs_hw_link *link = &board->links.data[head->first];
    for (uint32_t i = start; i < list->count && n_from < PATTERN_MEMBERS_MAX; i++)
        if (!list->data[i].written && (i == start || alike(board, head, &list->data[i]))) {
            list->data[i].written = true;
            from[n_from++] = board->links.data[list->data[i].first].from;
        }
    for (uint32_t i = 0; i < head->count; i++)
        to[i] = link[i].to;
    fs_out_puts(out, "    <link from=\"");
    put_pattern(board, from, n_from, out);
    fs_out_puts(out, "\" to=\"");
    put_pattern(board, to, head->count, out);
    fs_out_printf(out, "\" type=\"%s\"", link->type);
    if (link->lanes != 1)
        fs_out_printf(out, " lanes=\"%u\"", link->lanes);
    if (n_from > 1 && head->count > 1)
        fs_out_puts(out, " pair=\"all\"");
    if (link->note[0]) {
        fs_out_puts(out, " source=\"");
        put_text(out, link->note, false);
        fs_out_puts(out, "\"");
    }
    fs_out_puts(out, "/>\n");
}

/* ---- the file ---- */

static void write_head(const fs_hw_board *board, const char *name, fs_out *out)
{
    const char *product = hwloc_obj_get_info_by_name(hwloc_get_root_obj(board->topology), "DMIProductName");
    fs_out_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- A node as hwloc sees it");
    if (product) {
        fs_out_puts(out, ": ");
        put_text(out, product, true);
    }
    fs_out_puts(out, ". Made by fabsim import hwloc; edit it as you like.");
    for (uint32_t i = 0; i < board->remarks.count; i++) {
        fs_out_puts(out, i == 0 ? "\n\n     Assumed or left out:\n     * " : "     * ");
        put_text(out, board->remarks.data[i].text, true);
        fs_out_puts(out, i + 1 < board->remarks.count ? "\n" : "");
    }
    fs_out_printf(out, " -->\n<fabsim version=\"topology/1\" name=\"%s\">\n", name);
}

fs_status fs_hw_write(const fs_hw_board *board, fs_out *out, fs_err *err)
{
    char name[FS_HW_NAME_MAX];
    bundle_list bundles = {0};
    fs_status status = gather(board, &bundles, err);
    if (status == FS_OK) {
        board_name(board, name, sizeof name);
        write_head(board, name, out);
        status = write_parts(board, out, err);
    }
    if (status == FS_OK) {
        fs_out_printf(out, "  <board name=\"%s\" source=\"hwloc\">\n", name);
        for (uint32_t i = 0; i < board->devices.count; i++) {
            const fs_hw_device *device = &board->devices.data[i];
            char device_name[FS_HW_NAME_MAX];
            fs_out_printf(out, "    <device name=\"%s\" part=\"%s\" source=\"",
                          fs_hw_device_name(device, device_name, sizeof device_name), device->part);
            put_text(out, device->note, false);
            fs_out_puts(out, "\"/>\n");
        }
        fs_out_puts(out, "\n");
        for (uint32_t i = 0; i < bundles.count; i++)
            if (!bundles.data[i].written)
                write_bundles(board, &bundles, i, out);
        fs_out_puts(out, "  </board>\n</fabsim>\n");
    }
    fs_free(bundles.data);
    return status;
}
