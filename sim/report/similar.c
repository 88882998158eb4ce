/* similar.c - see similar.h. The table is small and read where it lies: name;cases;mean error in percent, a line each. */
#include "report/similar.h"

#include "base/num.h"
#include "work/inference.h"

#include <stdlib.h>
#include <string.h>

static const char measured[] = {
#include "measured.csv.h"
    0};

static const char *size_class(uint32_t ranks)
{
    if (ranks <= 64)
        return "up to 64 GPUs";
    return ranks <= 1024 ? "65 to 1,024 GPUs" : "more than 1,024 GPUs";
}

static const char *served_by(const fs_inference *in)
{
    return in->pools[0].role == FS_ROLE_BOTH ? "one pool" : "prefill apart";
}

void fs_similar_name(const fs_result *r, char name[FS_SIMILAR_NAME])
{
    const fs_work *work = r->work;
    const fs_topo *topo = r->topo;
    name[0] = '\0';
    bool served = work->inference != NULL;
    if (work->kind == NULL || (!served && strcmp(work->kind, "training") != 0) || work->n_ranks == 0)
        return;
    fs_arch arch = fs_topo_gpu_part(topo, work->gpu_of[0])->arch;
    bool experts = served ? work->inference->model.moe.experts > 0 : work->totals.experts;
    const char *size = served ? served_by(work->inference) : size_class(work->n_ranks);
    fs_snprintf(name, FS_SIMILAR_NAME, "%s %s, %s, %s", experts ? "MoE" : "dense", served ? "serving" : "training",
                fs_arch_name(arch), size);
}

/* The line of just this name. */
static bool find_line(const char *name, size_t length, fs_similar *out)
{
    for (const char *line = measured; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, name, length) != 0 || line[length] != ';')
            continue;
        char *rest;
        unsigned long cases = strtoul(line + length + 1, &rest, 10);
        double percent = 0;
        if (*rest != ';' || fs_parse_number_n(rest + 1, strcspn(rest + 1, "\n"), &percent) != 0)
            return false;
        *out = (fs_similar){.cases = (uint32_t)cases, .mean = percent / 100};
        memcpy(out->name, name, length);
        return true;
    }
    return false;
}

bool fs_similar_find(const char *name, fs_similar *out)
{
    size_t length = strlen(name);
    while (length > 0 && length < FS_SIMILAR_NAME) {
        if (find_line(name, length, out))
            return true;
        do /* back to the comma before the last part; one within a number has no blank behind it */
            length--;
        while (length > 0 && !(name[length] == ',' && name[length + 1] == ' '));
    }
    return false;
}
