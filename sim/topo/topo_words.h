/* topo_words.h - the vocabulary of the topology format as C sees it: to explain what the schema refuses. Internal. */
#ifndef FS_TOPO_WORDS_H
#define FS_TOPO_WORDS_H

#include "base/num.h"

#include <libxml/tree.h>
#include <stdbool.h>

typedef enum fs_word_kind {
    FS_WORD_TEXT,         /* anything but nothing */
    FS_WORD_TITLE,        /* printable ASCII, no blanks at its ends */
    FS_WORD_NAME,         /* letters, digits, _ - . */
    FS_WORD_PATTERN,      /* a name with brackets */
    FS_WORD_PATH,         /* a name with / */
    FS_WORD_PATTERN_PATH, /* a name with both */
    FS_WORD_COUNT,
    FS_WORD_DIMS,     /* counts with x between them */
    FS_WORD_QUANTITY, /* .unit; FS_UNIT_NONE is a bare number */
    FS_WORD_CHOICE    /* .choices */
} fs_word_kind;

typedef struct fs_word_attr {
    const char *name;
    fs_word_kind kind;
    bool required;
    fs_unit unit;
    const char *choices; /* "yes no" */
} fs_word_attr;

typedef struct fs_word {
    const char *element, *parent; /* parent NULL: wherever another word lists it as a child */
    const char *children;         /* "device link" */
    fs_word_attr attributes[24];  /* up to the first without a name */
} fs_word;

const fs_word *fs_word_of(const xmlNode *element); /* NULL: not a word of the format, or not there */
const fs_word_attr *fs_word_attribute(const fs_word *word, const char *name);
const char *fs_word_suggest_attribute(const fs_word *word, const char *name);
const char *fs_word_suggest_child(const fs_word *word, const char *name);
bool fs_word_has_child(const fs_word *word, const char *name);

/* Whether the value suits the attribute; else *why says what was expected, until the next call. */
bool fs_word_check(const fs_word_attr *attribute, const char *value, const char **why);

#endif
