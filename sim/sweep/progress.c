/* progress.c - see progress.h. */
#include "sweep/progress.h"

#include "base/clock.h"
#include "base/num.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_MAX = 40, BAR_MIN = 8, WIDTH_DEFAULT = 80 };
static const double redraw_s = 0.1, log_s = 60;

fs_progress fs_progress_start(FILE *file, uint32_t total)
{
    double now_s = fs_clock_s();
    return (fs_progress){
        .file = file, .terminal = file && isatty(fileno(file)), .total = total, .start_s = now_s, .shown_s = now_s};
}

void fs_progress_count(fs_progress *p, bool failed)
{
    p->done++;
    p->failed += failed;
}

/* "45 s", "3 min 20 s", "5 h 10 min": nobody needs the seconds of hours. */
static void format_left(double seconds, char *text, size_t size)
{
    uint64_t s = seconds < 1e9 ? (uint64_t)(seconds + 0.5) : (uint64_t)1e9;
    if (s < 60)
        snprintf(text, size, "%u s", (unsigned)s);
    else if (s < 3600)
        snprintf(text, size, "%u min %u s", (unsigned)(s / 60), (unsigned)(s % 60));
    else
        snprintf(text, size, "%u h %u min", (unsigned)(s / 3600), (unsigned)(s % 3600 / 60));
}

void fs_progress_format(const fs_progress *p, double elapsed_s, uint32_t width, char *text, size_t size)
{
    char done[32], total[32], left[32] = "", rate[32] = "", words[192];
    double per_s = elapsed_s > 0 ? p->done / elapsed_s : 0;
    if (per_s > 0)
        fs_snprintf(rate, sizeof rate, per_s < 10 ? "  %.2f /s" : "  %.0f /s", per_s);
    if (per_s > 0 && p->done < p->total)
        format_left((p->total - p->done) / per_s, left, sizeof left);
    fs_snprintf(words, sizeof words, "%s of %s done, %u failed%s%s%s", fs_format_count(p->done, done, sizeof done),
                fs_format_count(p->total, total, sizeof total), p->failed, rate, left[0] ? "  " : "", left);
    if (left[0])
        strcat(words, " left");
    size_t used = strlen(words);
    uint32_t room =
        p->terminal && width > used + 4 ? width - (uint32_t)used - 4 : 0; /* brackets, a blank, the margin */
    uint32_t bar = room < BAR_MAX ? room : BAR_MAX;
    if (bar < BAR_MIN || p->total == 0) {
        snprintf(text, size, "%.*s", (int)width, words);
        return;
    }
    uint32_t full = (uint32_t)((uint64_t)bar * p->done / p->total);
    char line[BAR_MAX + 1];
    memset(line, '.', bar);
    memset(line, '#', full);
    line[bar] = '\0';
    snprintf(text, size, "[%s] %s", line, words);
}

static uint32_t terminal_width(const fs_progress *p)
{
    struct winsize window;
    return ioctl(fileno(p->file), TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : WIDTH_DEFAULT;
}

static void write_line(fs_progress *p, double now_s)
{
    char text[256];
    uint32_t width = p->terminal ? terminal_width(p) - 1 : sizeof text - 1;
    fs_progress_format(p, now_s - p->start_s, width, text, sizeof text);
    fprintf(p->file, p->terminal ? "\r%s\033[K" : "%s\n", text);
    fflush(p->file);
    p->shown_s = now_s;
    p->shown_tenths = p->total ? (uint32_t)((uint64_t)10 * p->done / p->total) : 0;
}

void fs_progress_show(fs_progress *p)
{
    if (!p->file || p->total == 0)
        return;
    double now_s = fs_clock_s();
    uint32_t tenths = (uint32_t)((uint64_t)10 * p->done / p->total);
    bool due = p->terminal ? now_s - p->shown_s >= redraw_s
                           : (tenths > p->shown_tenths && now_s - p->shown_s >= 1) || now_s - p->shown_s >= log_s;
    if (due)
        write_line(p, now_s);
}

void fs_progress_stop(fs_progress *p)
{
    if (!p->file || p->total == 0)
        return;
    if (p->terminal) {
        fputs("\r\033[K", p->file);
        fflush(p->file);
    } else {
        write_line(p, fs_clock_s());
    }
}
