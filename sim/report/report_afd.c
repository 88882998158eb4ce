/* report_afd.c - of inference with attention and MLPs apart: which side bounds, and how busy both are. */
#include "report/report_in.h"

static void part(fs_table *table, double value)
{
    fs_table_cell(table, "%.1f %%", 100 * value);
}

static void cells(const fs_pool_row *p, fs_table *table)
{
    const fs_afd_row *a = &p->afd;
    fs_table_cell(table, "%s", p->name);
    fs_table_cell(table, "%s", a->ffn);
    fs_table_cell(table, "%u", a->micro_batches);
    part(table, a->attention_queue);
    part(table, a->attention);
    part(table, a->there);
    part(table, a->ffn_queue);
    part(table, a->ffn_work);
    part(table, a->back);
    fs_table_cell(table, "%s", a->bound);
}

fs_status fs_report_afd_text(const fs_serving_result *v, fs_style style, fs_out *out, fs_err *err)
{
    static const char *const heading[] = {"attention",  "FFN",   "micro-batches", "waits", "attends",
                                          "on the way", "waits", "FFN",           "back",  "bound by"};
    bool any = false;
    for (uint32_t i = 0; i < v->n_pools; i++)
        any = any || v->pools[i].afd.ffn;
    if (!any)
        return FS_OK;
    fs_table *table = fs_table_new("llrrrrrrrl");
    if (table == NULL)
        return fs_fail_nomem(err);
    fs_out_puts(out, "\n");
    fs_print_bold(out, style, "Attention and FFN apart");
    fs_out_puts(out, " (where an iteration is, parts of its time)\n");
    fs_table_heading(table, heading, sizeof heading / sizeof *heading);
    for (uint32_t i = 0; i < v->n_pools; i++)
        if (v->pools[i].afd.ffn)
            cells(&v->pools[i], table);
    fs_status status = fs_table_print(table, true, style, out, err);
    fs_table_free(table);
    return status;
}

void fs_report_afd_json(const fs_afd_row *a, fs_jsonw *w)
{
    if (!a->ffn) {
        fs_jsonw_null(w, "afd");
        return;
    }
    fs_jsonw_object_inline(w, "afd");
    fs_jsonw_string(w, "ffn", a->ffn);
    fs_jsonw_uint(w, "micro_batches", a->micro_batches);
    fs_jsonw_number(w, "attention_queue", a->attention_queue);
    fs_jsonw_number(w, "attention", a->attention);
    fs_jsonw_number(w, "there", a->there);
    fs_jsonw_number(w, "ffn_queue", a->ffn_queue);
    fs_jsonw_number(w, "ffn_work", a->ffn_work);
    fs_jsonw_number(w, "back", a->back);
    fs_jsonw_string(w, "bound", a->bound);
    fs_jsonw_end(w);
}
