/* plot.c - see plot.h. */
#include "pareto/plot.h"

#include "base/mem.h"
#include "base/num.h"

#include <math.h>
#include <string.h>

enum { LABEL = 9 }; /* columns left of the axis */

typedef struct span {
    double low, high;
} span;

static void widen(span *s, double value)
{
    s->low = value < s->low ? value : s->low;
    s->high = value > s->high ? value : s->high;
}

/* 0 to `cells` - 1. */
static uint32_t cell(const span *s, double value, uint32_t cells)
{
    double part = s->high > s->low ? log(value / s->low) / log(s->high / s->low) : 0.5;
    return (uint32_t)fmin(cells - 1.0, fmax(0, floor(part * (cells - 1) + 0.5)));
}

static double at(const span *s, double part)
{
    return s->low * pow(s->high / s->low, part);
}

static void print_rows(const char *grid, uint32_t columns, uint32_t rows, const span *y, fs_out *out)
{
    for (uint32_t row = 0; row < rows; row++) {
        char label[32] = "";
        if (row == 0 || row == rows - 1 || row == rows / 2)
            fs_snprintf(label, sizeof label, "%.3g", at(y, 1 - (double)row / (rows - 1)));
        uint32_t length = columns;
        while (length > 0 && grid[row * columns + length - 1] == ' ')
            length--;
        fs_out_printf(out, "%*s |%.*s\n", LABEL, label, (int)length, grid + row * columns);
    }
}

static void print_axis(uint32_t columns, const span *x, const char *title, fs_out *out)
{
    char low[32], middle[32], high[32];
    fs_snprintf(low, sizeof low, "%.3g", x->low);
    fs_snprintf(middle, sizeof middle, "%.3g", at(x, 0.5));
    fs_snprintf(high, sizeof high, "%.3g", x->high);
    fs_out_printf(out, "%*s +", LABEL, "");
    for (uint32_t i = 0; i < columns; i++)
        fs_out_puts(out, "-");
    int left = (int)columns / 2 - (int)strlen(low);
    int right = (int)columns - (int)columns / 2 - (int)strlen(high);
    fs_out_printf(out, "\n%*s  %s%*s%*s%s\n%*s  %s\n", LABEL, "", low, left > 0 ? left : 1, middle,
                  right > 0 ? right : 1, "", high, LABEL, "", title);
}

fs_status fs_plot(const fs_plot_point *points, uint32_t n, uint32_t width, uint32_t height, const char *x_title,
                  const char *y_title, fs_out *out, fs_err *err)
{
    uint32_t columns = (width > 30 ? width : 30) - LABEL - 2, rows = height > 6 ? height : 6;
    span x = {INFINITY, 0}, y = {INFINITY, 0};
    if (n == 0)
        return FS_OK;
    char *grid = fs_alloc((size_t)columns * rows, 1);
    if (!grid)
        return fs_fail_nomem(err);
    memset(grid, ' ', (size_t)columns * rows);
    for (uint32_t i = 0; i < n; i++) {
        widen(&x, points[i].x);
        widen(&y, points[i].y);
    }
    for (uint32_t i = 0; i < n; i++) {
        char *mark = &grid[(rows - 1 - cell(&y, points[i].y, rows)) * columns + cell(&x, points[i].x, columns)];
        if (*mark == ' ' || *mark < points[i].mark)
            *mark = points[i].mark;
    }
    fs_out_printf(out, "%s\n", y_title);
    print_rows(grid, columns, rows, &y, out);
    print_axis(columns, &x, x_title, out);
    fs_free(grid);
    return FS_OK;
}
