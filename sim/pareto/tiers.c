/* tiers.c - see tiers.h. */
#include "pareto/tiers.h"

#include "base/json.h"
#include "base/num.h"

#include <string.h>

static const unsigned char shipped[] = {
#include "tiers.json.h"
};

static fs_status read_tier(const fs_json_doc *doc, const fs_json *json, fs_price_tier *t, fs_err *err)
{
    static const char *const keys[] = {"name", "dollars_per_million", "tokens_per_s_per_user", "power_share"};
    const char *name = "";
    if (fs_json_kind(json) != FS_JSON_OBJECT)
        return fs_json_fail(doc, json, false, err, "expected a tier: {\"name\": \"free\", ...}");
    fs_status status = fs_json_only(doc, json, keys, sizeof keys / sizeof *keys, err);
    if (status == FS_OK)
        status = fs_json_string_in(doc, json, "name", true, &name, err);
    if (status == FS_OK && (name[0] == '\0' || strlen(name) > FS_TIER_NAME_MAX))
        status = fs_json_fail(doc, fs_json_get(json, "name"), false, err, "expected a name of 1 to %d bytes",
                              FS_TIER_NAME_MAX);
    if (status == FS_OK)
        status = fs_json_number_in(doc, json, "dollars_per_million", true, 0, 1e9, &t->dollars, err);
    if (status == FS_OK)
        status = fs_json_number_in(doc, json, "tokens_per_s_per_user", true, 0, 1e9, &t->per_user, err);
    if (status == FS_OK)
        status = fs_json_number_in(doc, json, "power_share", true, 0, 1, &t->power_share, err);
    if (status == FS_OK)
        fs_snprintf(t->name, sizeof t->name, "%s", name);
    return status;
}

static fs_status read_tiers(const fs_json_doc *doc, fs_tiers *tiers, fs_err *err)
{
    static const char *const keys[] = {"fabsim", "source", "tiers"}, *const versions[] = {"tiers/1"};
    const fs_json *root = fs_json_root(doc), *list = fs_json_get(root, "tiers");
    uint32_t version = 0;
    double sum = 0;
    fs_status status = fs_json_only(doc, root, keys, sizeof keys / sizeof *keys, err);
    if (status == FS_OK)
        status = fs_json_enum_in(doc, root, "fabsim", true, versions, 1, &version, err);
    if (status != FS_OK)
        return status;
    if (fs_json_kind(list) != FS_JSON_ARRAY || fs_json_count(list) < 1 || fs_json_count(list) > FS_TIERS_MAX)
        return fs_json_fail(doc, list ? list : root, false, err, "'tiers': expected a list of 1 to %d tiers",
                            FS_TIERS_MAX);
    for (const fs_json *t = fs_json_first(list); t && status == FS_OK; t = fs_json_next(t)) {
        status = read_tier(doc, t, &tiers->all[tiers->n], err);
        for (uint32_t i = 0; i < tiers->n && status == FS_OK; i++)
            if (strcmp(tiers->all[i].name, tiers->all[tiers->n].name) == 0)
                status = fs_json_fail(doc, fs_json_get(t, "name"), false, err, "a second tier of that name");
        sum += tiers->all[tiers->n++].power_share;
    }
    if (status == FS_OK && sum > 1 + 1e-9)
        status = fs_json_fail(doc, list, false, err, "the tiers share %.4g of the power; at most 1 is there", sum);
    return status;
}

void fs_tiers_print(fs_out *out)
{
    fs_out_write(out, (const char *)shipped, sizeof shipped);
}

fs_status fs_tiers_read(const char *path, fs_tiers *tiers, fs_err *err)
{
    fs_json_doc *doc = NULL;
    *tiers = (fs_tiers){.n = 0};
    fs_status status = path ? fs_json_read(path, FS_E_USAGE, &doc, err)
                            : fs_json_parse("tiers.json", (const char *)shipped, sizeof shipped, FS_E_USAGE, &doc, err);
    if (status == FS_OK)
        status = read_tiers(doc, tiers, err);
    fs_json_free(doc);
    return status;
}
