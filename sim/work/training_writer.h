/* training_writer.h - a task being written: kernels gather until something parts them. Private to training_writer.c,
 * training_layers.c and training_task.c. */
#ifndef FS_TRAINING_WRITER_H
#define FS_TRAINING_WRITER_H

#include "work/training_task.h"

typedef struct fs_task_writer {
    fs_kernel_writer k;
    const fs_training *t;
    const fs_wiring *wiring;
    const fs_task_request *request;
    fs_task *task;
    const char *label; /* of the op whose kernels are being listed */
    uint8_t phase;
    bool graphed;                              /* a CUDA graph launches the kernels being listed */
    uint32_t launched;                         /* so many of them have been counted among: */
    double launches;                           /* of the op to come */
    uint32_t last;                             /* op of the last kernel */
    uint32_t waits[FS_TASK_DEPS - 1], n_waits; /* what the next kernel waits for */
    uint32_t held; /* a collective beside the kernels being listed; what comes after them waits for it */
} fs_task_writer;

/* An op with its dependencies; its index in the task. */
uint32_t fs_task_append(fs_task_writer *w, fs_op *op, const char *name, const uint32_t *deps, uint32_t n_deps);
/* What the op of the kernels to come is called; must be said after everything that may end an op. */
void fs_task_label(fs_task_writer *w, const char *text);
/* Kernels of this part (FS_GRAPH_...) are listed from here on; 0: of none that may be in a graph. */
void fs_task_part(fs_task_writer *w, uint32_t part);
void fs_task_flush(fs_task_writer *w);             /* the kernels listed so far become an op */
void fs_task_wait(fs_task_writer *w, uint32_t op); /* the next kernel waits for op, unless that is FS_NONE */
/* Behind the kernels listed so far, or (the start of a task) behind what came in. beside: kernels run beside it. FS_NONE
 * in the pass that only makes gradients of weights: it talks to nobody. */
uint32_t fs_task_collective(fs_task_writer *w, const char *name, fs_coll_kind kind, uint32_t family, uint16_t stream,
                            double bytes, bool beside);

/* training_layers.c. */
void fs_layer_forward(fs_task_writer *w, uint32_t layer);
void fs_layer_backward(fs_task_writer *w, uint32_t layer);
void fs_mlp_forward(fs_task_writer *w, uint32_t layer); /* its MLP or experts alone */
void fs_embedding_forward(fs_task_writer *w);
void fs_embedding_backward(fs_task_writer *w);
void fs_loss_forward(fs_task_writer *w);
void fs_loss_backward(fs_task_writer *w);

#endif
