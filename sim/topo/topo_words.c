/* topo_words.c - see topo_words.h. The schema decides; this table says it in words.
 *
 * Invariant: table and schema agree (a test walks both). */
#include "topo/topo_words.h"

#include <stdio.h>
#include <string.h>

#define NAME                                                                                                           \
    {                                                                                                                  \
        "name", FS_WORD_NAME, true, 0, NULL                                                                            \
    }
#define SOURCE                                                                                                         \
    {                                                                                                                  \
        "source", FS_WORD_TEXT, true, 0, NULL                                                                          \
    }
#define OPTIONAL_SOURCE                                                                                                \
    {                                                                                                                  \
        "source", FS_WORD_TEXT, false, 0, NULL                                                                         \
    }
#define POWER                                                                                                          \
    {                                                                                                                  \
        "power", FS_WORD_QUANTITY, false, FS_UNIT_WATTS, NULL                                                          \
    }
#define LATENCY(required)                                                                                              \
    {                                                                                                                  \
        "latency", FS_WORD_QUANTITY, required, FS_UNIT_SECONDS, NULL                                                   \
    }
#define PORTS                                                                                                          \
    {                                                                                                                  \
        "ports", FS_WORD_COUNT, false, 0, NULL                                                                         \
    }
#define LABEL                                                                                                          \
    {                                                                                                                  \
        "label", FS_WORD_NAME, false, 0, NULL                                                                          \
    }
#define LINK_TYPE                                                                                                      \
    {                                                                                                                  \
        "type", FS_WORD_NAME, true, 0, NULL                                                                            \
    }
#define PLACE                                                                                                          \
    {"board", FS_WORD_NAME, true, 0, NULL}, NAME,                                                                      \
    {                                                                                                                  \
        "count", FS_WORD_COUNT, false, 0, NULL                                                                         \
    }
#define FORWARDING                                                                                                     \
    {                                                                                                                  \
        "gpu-forwarding", FS_WORD_CHOICE, false, 0, "yes no"                                                           \
    }
#define LINK                                                                                                           \
    {"from", FS_WORD_PATTERN_PATH, true, 0, NULL}, {"to", FS_WORD_PATTERN_PATH, true, 0, NULL}, LINK_TYPE,             \
        {"lanes", FS_WORD_COUNT, false, 0, NULL}, {"pair", FS_WORD_CHOICE, false, 0, "all each"}, OPTIONAL_SOURCE

static const fs_word words[] = {
    {"fabsim",
     NULL,
     "parts board system",
     {{"version", FS_WORD_CHOICE, true, 0, "topology/1"}, {"name", FS_WORD_TITLE, true, 0, NULL}, FORWARDING}},
    {"parts", NULL, "parts gpu nvswitch nic cpu pcie-switch net-switch link-type", {{0}}},
    {"gpu",
     "parts",
     "peak kernels attention",
     {NAME,
      {"arch", FS_WORD_CHOICE, true, 0, "none pascal volta turing ampere hopper blackwell rubin"},
      {"memory", FS_WORD_QUANTITY, true, FS_UNIT_BYTES, NULL},
      {"memory-bandwidth", FS_WORD_QUANTITY, true, FS_UNIT_BPS, NULL},
      {"gemm-efficiency", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"memory-efficiency", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"launch", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"power", FS_WORD_QUANTITY, true, FS_UNIT_WATTS, NULL},
      SOURCE}},
    {"peak",
     "gpu",
     "",
     {{"dtype", FS_WORD_CHOICE, true, 0, "fp64 fp32 tf32 fp16 bf16 fp8 fp4 int8"},
      {"flops", FS_WORD_QUANTITY, true, FS_UNIT_FLOPS, NULL},
      {"efficiency", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"tile", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      {"floor", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      {"grouped", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"grouped-tensor", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"grouped-block", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"grouped-read", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"tile-min", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"depth", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      {"quantise-row", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      {"quantise-pass", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      {"whole", FS_WORD_CHOICE, false, 0, "yes no"},
      {"overlap", FS_WORD_CHOICE, false, 0, "yes no"}}},
    {"kernels",
     "gpu",
     "",
     {{"sms", FS_WORD_COUNT, true, 0, NULL},
      {"floor", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"l2-bandwidth", FS_WORD_QUANTITY, true, FS_UNIT_BPS, NULL},
      {"operand-efficiency", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"sustained", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"in-step", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"tile-step", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"tile-max", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"append", FS_WORD_QUANTITY, true, FS_UNIT_BPS, NULL},
      {"append-fp8", FS_WORD_QUANTITY, true, FS_UNIT_BPS, NULL}}},
    {"attention",
     "gpu",
     "",
     {{"efficiency", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"backward", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"score", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"query-block", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"block", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"prefill-floor", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"decode-floor", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"piece", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"join", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"read-efficiency", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"sm-bandwidth", FS_WORD_QUANTITY, true, FS_UNIT_BPS, NULL},
      {"fp8-read", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL}}},
    {"nvswitch",
     "parts",
     "",
     {NAME, LATENCY(true), POWER, PORTS, {"multicast", FS_WORD_CHOICE, false, 0, "yes no"}, SOURCE}},
    {"nic", "parts", "", {NAME, LATENCY(false), POWER, SOURCE}},
    {"cpu",
     "parts",
     "",
     {NAME, LATENCY(false), POWER, {"host-power", FS_WORD_QUANTITY, false, FS_UNIT_WATTS, NULL}, SOURCE}},
    {"pcie-switch", "parts", "", {NAME, LATENCY(true), POWER, SOURCE}},
    {"net-switch",
     "parts",
     "",
     {NAME, LATENCY(true), POWER, PORTS, {"multicast", FS_WORD_CHOICE, false, 0, "yes no"}, SOURCE}},
    {"link-type",
     "parts",
     "",
     {NAME,
      {"class", FS_WORD_CHOICE, true, 0, "nvlink c2c pcie cpu net"},
      {"tier", FS_WORD_NAME, true, 0, NULL},
      {"bandwidth", FS_WORD_QUANTITY, true, FS_UNIT_BPS, NULL},
      {"effective", FS_WORD_QUANTITY, true, FS_UNIT_BPS, NULL},
      LATENCY(true),
      SOURCE}},
    {"board", NULL, "device link place", {NAME, OPTIONAL_SOURCE}},
    {"place", "board", "", {PLACE}},
    {"device",
     "board",
     "",
     {{"name", FS_WORD_PATTERN, true, 0, NULL}, {"part", FS_WORD_NAME, true, 0, NULL}, OPTIONAL_SOURCE}},
    {"link", "board", "", {LINK}},
    {"system",
     "fabsim",
     "place node device network link",
     {FORWARDING, {"cross-rail", FS_WORD_CHOICE, false, 0, "pxn network"}}},
    {"place", "system", "", {PLACE}},
    {"node", "system", "", {{"name", FS_WORD_PATH, true, 0, NULL}}},
    {"device",
     "system",
     "",
     {{"name", FS_WORD_PATTERN_PATH, true, 0, NULL},
      {"part", FS_WORD_NAME, true, 0, NULL},
      {"node", FS_WORD_PATH, false, 0, NULL},
      {"network", FS_WORD_NAME, false, 0, NULL},
      OPTIONAL_SOURCE}},
    {"link", "system", "", {LINK}},
    {"network",
     "system",
     "tier torus dragonfly",
     {NAME,
      {"nodes", FS_WORD_NAME, false, 0, NULL},
      {"ports", FS_WORD_PATTERN_PATH, false, 0, NULL},
      {"nic-ports", FS_WORD_COUNT, false, 0, NULL},
      {"rails", FS_WORD_COUNT, false, 0, NULL},
      {"planes", FS_WORD_COUNT, false, 0, NULL},
      {"routing", FS_WORD_CHOICE, false, 0, "adaptive spray ecmp static"},
      OPTIONAL_SOURCE}},
    {"tier",
     "network",
     "",
     {NAME,
      {"part", FS_WORD_NAME, true, 0, NULL},
      LINK_TYPE,
      {"by", FS_WORD_CHOICE, false, 0, "node rail all"},
      {"group", FS_WORD_COUNT, false, 0, NULL},
      {"switches", FS_WORD_COUNT, false, 0, NULL},
      {"planes", FS_WORD_COUNT, false, 0, NULL},
      {"lanes", FS_WORD_COUNT, false, 0, NULL},
      {"uplinks", FS_WORD_COUNT, false, 0, NULL},
      {"oversubscription", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      LABEL,
      OPTIONAL_SOURCE}},
    {"torus",
     "network",
     "",
     {{"dims", FS_WORD_DIMS, true, 0, NULL},
      LINK_TYPE,
      {"lanes", FS_WORD_COUNT, false, 0, NULL},
      LABEL,
      OPTIONAL_SOURCE}},
    {"dragonfly", "network", "", {{"cables", FS_WORD_COUNT, true, 0, NULL}, LINK_TYPE, LABEL, OPTIONAL_SOURCE}},
    {"nccl",
     NULL,
     "release older believes architecture tree-correction takes",
     {{"version", FS_WORD_CHOICE, true, 0, "nccl/1"},
      {"release", FS_WORD_NAME, true, 0, NULL},
      {"p2p-LL", FS_WORD_QUANTITY, true, FS_UNIT_BYTES, NULL},
      SOURCE}},
    {"release",
     "nccl",
     "",
     {NAME,
      {"nvls-all-reduce", FS_WORD_QUANTITY, true, FS_UNIT_NONE, NULL},
      {"nvls-ranks", FS_WORD_COUNT, true, 0, NULL},
      {"nvlstree-net", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      SOURCE}},
    {"older",
     "nccl",
     "",
     {NAME,
      {"release", FS_WORD_NAME, true, 0, NULL},
      {"arch", FS_WORD_CHOICE, true, 0, "none pascal volta turing ampere hopper blackwell rubin"},
      {"LL128", FS_WORD_QUANTITY, false, FS_UNIT_BPS, NULL},
      {"tree", FS_WORD_TEXT, false, 0, NULL},
      SOURCE}},
    {"believes",
     "nccl",
     "",
     {NAME,
      {"base", FS_WORD_TEXT, true, 0, NULL},
      {"nvlink", FS_WORD_TEXT, true, 0, NULL},
      {"pci", FS_WORD_TEXT, true, 0, NULL},
      {"net", FS_WORD_TEXT, true, 0, NULL},
      SOURCE}},
    {"architecture",
     "nccl",
     "",
     {NAME,
      {"like", FS_WORD_NAME, false, 0, NULL},
      {"LL", FS_WORD_TEXT, true, 0, NULL},
      {"LL128", FS_WORD_QUANTITY, false, FS_UNIT_BPS, NULL},
      {"tree", FS_WORD_TEXT, true, 0, NULL},
      {"nvls", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      SOURCE}},
    {"tree-correction", "nccl", "", {NAME, {"factors", FS_WORD_TEXT, true, 0, NULL}, SOURCE}},
    {"takes",
     "nccl",
     "",
     {NAME,
      {"arch", FS_WORD_CHOICE, true, 0, "none pascal volta turing ampere hopper blackwell rubin"},
      {"algo", FS_WORD_CHOICE, true, 0, "tree ring nvls nvlstree pat direct oneshot twoshot forwarded lowlatency"},
      {"protocol", FS_WORD_CHOICE, true, 0, "LL LL128 Simple"},
      {"launch", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"hop", FS_WORD_QUANTITY, true, FS_UNIT_SECONDS, NULL},
      {"pci-hop", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      {"net-hop", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      {"efficiency", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"net-efficiency", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"cap", FS_WORD_QUANTITY, false, FS_UNIT_BPS, NULL},
      {"fill", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"drain", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"drift", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      {"crowd", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"copy", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"window", FS_WORD_QUANTITY, false, FS_UNIT_SECONDS, NULL},
      {"flight", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      {"overlap", FS_WORD_QUANTITY, false, FS_UNIT_NONE, NULL},
      SOURCE}},
};

enum { N_WORDS = sizeof words / sizeof *words, LIST_MAX = 16 };

/* ---- lists of words in one string -------------------------------------------------------------------------------- */

typedef struct list {
    char text[160];
    const char *items[LIST_MAX];
    size_t count;
} list;

static void split(const char *text, list *out)
{
    out->count = 0;
    snprintf(out->text, sizeof out->text, "%s", text);
    for (char *at = out->text; *at && out->count < LIST_MAX;) {
        out->items[out->count++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
}

static bool contains(const char *text, const char *item)
{
    list l;
    split(text, &l);
    for (size_t i = 0; i < l.count; i++)
        if (strcmp(l.items[i], item) == 0)
            return true;
    return false;
}

/* The item of a static list that is nearest; it points into `text`'s own words, kept in a static buffer. */
static const char *nearest(const char *text, const char *name)
{
    static list l;
    split(text, &l);
    return fs_suggest(name, l.items, l.count);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

const fs_word *fs_word_of(const xmlNode *element)
{
    if (element->ns != NULL)
        return NULL;
    const char *parent =
        element->parent && element->parent->type == XML_ELEMENT_NODE ? (const char *)element->parent->name : "";
    for (size_t i = 0; i < N_WORDS; i++)
        if (strcmp((const char *)element->name, words[i].element) == 0 &&
            (words[i].parent == NULL || strcmp(words[i].parent, parent) == 0))
            return &words[i];
    return NULL;
}

const fs_word_attr *fs_word_attribute(const fs_word *word, const char *name)
{
    for (const fs_word_attr *a = word->attributes; a->name; a++)
        if (strcmp(a->name, name) == 0)
            return a;
    return NULL;
}

const char *fs_word_suggest_attribute(const fs_word *word, const char *name)
{
    const char *names[sizeof word->attributes / sizeof *word->attributes];
    size_t count = 0;
    for (const fs_word_attr *a = word->attributes; a->name; a++)
        names[count++] = a->name;
    return fs_suggest(name, names, count);
}

const char *fs_word_suggest_child(const fs_word *word, const char *name)
{
    return nearest(word->children, name);
}

bool fs_word_has_child(const fs_word *word, const char *name)
{
    return contains(word->children, name);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static char reason[512];

FS_PRINTF(2, 3) static bool refuse(const char **why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    *why = reason;
    return false;
}

static bool check_letters(const fs_word_attr *a, const char *value, const char **why)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    bool brackets = a->kind == FS_WORD_PATTERN || a->kind == FS_WORD_PATTERN_PATH;
    bool slash = a->kind == FS_WORD_PATH || a->kind == FS_WORD_PATTERN_PATH;
    size_t most = brackets ? 1024 : 255, length = strlen(value), good = 0;
    while (value[good] &&
           (strchr(letters, value[good]) || (slash && value[good] == '/') || (brackets && strchr("[],", value[good]))))
        good++;
    if (length >= 1 && length <= most && good == length)
        return true;
    return refuse(why, "expected 1 to %zu letters, digits, '_', '-', '.'%s%s, found '%.60s'", most,
                  slash ? ", '/'" : "", brackets ? ", brackets" : "", value);
}

static bool check_title(const char *value, const char **why)
{
    size_t length = strlen(value), good = 0;
    while (value[good] >= ' ' && value[good] <= '~')
        good++;
    if (length >= 1 && length <= 255 && good == length && value[0] != ' ' && value[length - 1] != ' ')
        return true;
    return refuse(why, "expected 1 to 255 printable ASCII characters without blanks at the ends");
}

static bool check_count(const char *value, const char **why)
{
    size_t digits = strspn(value, "0123456789");
    return (digits >= 1 && digits <= 10 && value[digits] == '\0') ||
           refuse(why, "expected a whole number of at most 10 digits, found '%.60s'", value);
}

static bool check_dims(const char *value, const char **why)
{
    size_t n = 0;
    for (const char *at = value; n <= 6; at++) {
        size_t digits = strspn(at, "0123456789");
        at += digits;
        if (digits < 1 || digits > 7 || ++n > 6 || (*at != 'x' && *at != '\0'))
            break;
        if (*at == '\0')
            return true;
    }
    return refuse(why, "expected 1 to 6 whole numbers with 'x' between them, as in 8x8x4, found '%.60s'", value);
}

static bool check_quantity(const fs_word_attr *a, const char *value, const char **why)
{
    double number;
    if (fs_parse_quantity(value, a->unit, &number, why) != 0)
        return false;
    return number >= 0 || refuse(why, "must not be negative, found '%.60s'", value);
}

static bool check_choice(const fs_word_attr *a, const char *value, const char **why)
{
    if (contains(a->choices, value))
        return true;
    const char *near = nearest(a->choices, value);
    if (near)
        return refuse(why, "unknown value '%.60s' (did you mean '%s'?)", value, near);
    return refuse(why, "expected one of: %s; found '%.60s'", a->choices, value);
}

bool fs_word_check(const fs_word_attr *a, const char *value, const char **why)
{
    switch (a->kind) {
    case FS_WORD_TEXT: return value[0] != '\0' || refuse(why, "must not be empty");
    case FS_WORD_TITLE: return check_title(value, why);
    case FS_WORD_COUNT: return check_count(value, why);
    case FS_WORD_DIMS: return check_dims(value, why);
    case FS_WORD_QUANTITY: return check_quantity(a, value, why);
    case FS_WORD_CHOICE: return check_choice(a, value, why);
    case FS_WORD_NAME:
    case FS_WORD_PATH:
    case FS_WORD_PATTERN:
    case FS_WORD_PATTERN_PATH: return check_letters(a, value, why);
    }
    return true;
}
