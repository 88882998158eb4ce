/* training_reader.h - a training trace being read: training_model.c has the model, training_options.c formats,
 * kernels and overlap, training.c the rest. inference*.c read with the same functions. Private to these. After the
 * first error every function does nothing. */
#ifndef FS_TRAINING_READER_H
#define FS_TRAINING_READER_H

#include "work/trace.h"
#include "work/training.h"

typedef struct fs_training_reader {
    const fs_json_doc *doc;
    fs_err *err;
    fs_status status;
    const fs_json *object; /* being read */
    double *popularity;    /* (experts) of the model's experts; owned */
} fs_training_reader;

/* Enters a member object of `parent` whose keys are known; false where there is none, or it is wrong. */
bool fs_training_enter(fs_training_reader *r, const fs_json *parent, const char *key, bool required,
                       const char *const *keys, size_t count);
void fs_training_number(fs_training_reader *r, const char *key, bool required, uint32_t high, uint32_t *out);
void fs_training_flag(fs_training_reader *r, const char *key, bool *out);
/* One of names[] at `object`; *out keeps its value where there is none. */
void fs_training_choice(fs_training_reader *r, const fs_json *object, const char *key, bool required,
                        const char *const *names, size_t count, uint32_t *out);
/* `value` of `key` must be a multiple of `of`. */
void fs_training_divides(fs_training_reader *r, const char *key, uint32_t value, const char *what, uint32_t of);

/* The parallel layout is read already. */
void fs_training_read_model(fs_training_reader *r, fs_training *t);
void fs_training_read_options(fs_training_reader *r, fs_training *t);

/* "kernels_measured": durations by the names of kernels; and, once the step is made, whether all of them are in it. */
FS_MUST_CHECK fs_status fs_training_read_measured(fs_training_reader *r, const fs_json *object, fs_work_builder *b);
FS_MUST_CHECK fs_status fs_training_check_measured(fs_training_reader *r, const fs_json *object,
                                                   const fs_work_builder *b);

enum {
    FS_LAYERS_MAX = 100000,
    FS_WIDTH_MAX = 1 << 24, /* hidden, ffn, vocab, seq */
    FS_EXPERTS_MAX = 1 << 16
};

#endif
