#!/usr/bin/env python3
"""Charts of results for papers: SVG, PDF or PNG through gnuplot (scripts/install-deps.sh plot).

  scripts/plot.py breakdown RESULT.json... -o steps.svg      where the step goes, a bar for each result
  scripts/plot.py scaling   RESULT.json... -o scaling.svg    efficiency and the ideal line: --scale results, several results of
                                                             one trace, or a sweep's database
  scripts/plot.py load      RESULT.json    -o load.png       load of each tier over time
  scripts/plot.py busbw     COLL.json...   -o busbw.pdf      bus bandwidth against size, from fabsim coll --json
  scripts/plot.py latency   RESULT.json... -o latency.svg    distribution of a latency (--column ttft_s tpot_s itl_s e2e_s)
  scripts/plot.py memory    RESULT.json... -o memory.svg     what fills a GPU
  scripts/plot.py scatter   results.db     -o points.svg     two columns of a sweep (--x, --y; a colour for each value of --by)
  scripts/plot.py tornado   results.db     -o tornado.svg    which setting matters how much for --y

The form follows the name of the output. Python's standard library is enough; numbers go to gnuplot as they are in the results."""
import argparse
import gzip
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys

COLOURS = ["#3b6fb5", "#e07b39", "#3d9a6a", "#8f62b5", "#c94f5d", "#8a6d4e", "#d18fb8", "#2f9aa6", "#b3a03a", "#6b7785"]
TERMINALS = {".svg": "svg noenhanced font 'Helvetica,13' background '#ffffff' size {w},{h}",
             ".pdf": "pdfcairo noenhanced font 'Helvetica,11' size {wi},{hi}",
             ".png": "pngcairo noenhanced font 'Helvetica,20' size {w2},{h2}"}


def fail(text):
    sys.exit("plot.py: " + text)


def quoted(text):
    """A string of gnuplot's: single quotes doubled, nothing else means anything; one line."""
    return "'" + str(text).replace("'", "''").replace("\n", " ").replace("\r", " ") + "'"


def datum(value):
    """A field of a data block."""
    if isinstance(value, (int, float)):
        return repr(value)
    return '"' + str(value).replace("\\", "/").replace('"', "'").replace("\n", " ") + '"'


class Plot:
    """A gnuplot script in the making: data blocks, settings, curves."""

    def __init__(self, output, width=860, height=440):
        self.output, self.lines, self.curves, self.blocks = pathlib.Path(output), [], [], 0
        kind = self.output.suffix
        if kind not in TERMINALS:
            fail(f"{output}: expected a name that ends in {', '.join(TERMINALS)}")
        terminal = TERMINALS[kind].format(w=width, h=height, wi=width / 110, hi=height / 110, w2=2 * width, h2=2 * height)
        self.set(f"terminal {terminal}", f"output {quoted(output)}", "border 3 lc rgb '#888888'", "tics nomirror textcolor rgb '#222222'",
                 "grid lc rgb '#dddddd'", "key outside below textcolor rgb '#222222'", "datafile missing '-'")

    def set(self, *settings):
        self.lines += ["set " + s for s in settings]

    def data(self, rows):
        self.blocks += 1
        name = f"$d{self.blocks}"
        self.lines += [f"{name} << END_OF_DATA", *(" ".join(map(datum, row)) for row in rows), "END_OF_DATA"]
        return name

    def curve(self, rows, using, style, title=None):
        self.curves.append(f"{self.data(rows)} using {using} with {style} " + (f"title {quoted(title)}" if title else "notitle"))

    def write(self):
        if not shutil.which("gnuplot"):
            fail("gnuplot is missing: scripts/install-deps.sh plot installs it")
        script = "\n".join([*self.lines, "plot " + ", ".join(self.curves), ""])
        done = subprocess.run(["gnuplot", "-d"], input=script, text=True, stderr=subprocess.PIPE)
        if done.returncode:
            fail("gnuplot: " + done.stderr.strip())


# ---- what is read

def is_database(path):
    with open(path, "rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def read_result(path):
    try:
        data = pathlib.Path(path).read_bytes()
        result = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")
    if not isinstance(result, dict) or not ("schema_version" in result or "rows" in result):
        fail(f"{path}: no result of fabsim")
    result["label"] = result["trace"]["name"] if "trace" in result else f"{result['topology']}, {result['ranks']} GPUs"
    return result


def read_results(paths, member):
    results = [read_result(p) for p in paths]
    for path, result in zip(paths, results):
        if not result.get(member):
            fail(f"{path}: has no {member}")
        if sum(r["label"] == result["label"] for r in results) > 1:
            result["name"] = pathlib.Path(path).name.split(".")[0]
    return [(r.get("name", r["label"]), r) for r in results]


def read_sweep(paths):
    if len(paths) != 1 or not is_database(paths[0]):
        fail("expected one database of a sweep")
    rows = sqlite3.connect(f"file:{paths[0]}?mode=ro", uri=True)
    rows.row_factory = sqlite3.Row
    found = [dict(r) for r in rows.execute("SELECT * FROM results WHERE status = 'ok' ORDER BY sweep, number")]
    settings = [r[0] for r in rows.execute("SELECT name FROM setting_names ORDER BY name")]
    if not found:
        fail(f"{paths[0]}: no point has a result")
    return found, [s for s in settings if len({r[s] for r in found}) > 1]


def column(rows, name, wanted):
    """The column asked for, or the first of `wanted` that has values."""
    names = [name] if name else wanted
    for n in names:
        if n in rows[0] and any(r[n] is not None for r in rows):
            return n
    fail(f"no column {' or '.join(names)}; there are: {', '.join(rows[0])}")


METRICS = ["output_tokens_per_s_per_gpu", "tokens_per_s_per_gpu", "mfu", "step_s"]


# ---- charts

def stacked(plot, results, parts_of, label):
    names = list(dict.fromkeys(name for _, r in results for name, value in parts_of(r) if value > 0))
    plot.set("style data histograms", "style histogram rowstacked", "style fill solid 0.95 noborder", "boxwidth 0.6", f"ylabel {quoted(label)}", "xtics rotate by -15", "yrange [0:*]")
    rows = [[name, *(dict(parts_of(r)).get(n, 0) for n in names)] for name, r in results]
    for i, n in enumerate(names):
        plot.curve(rows, f"{i + 2}:xtic(1)", f"histograms lc rgb '{COLOURS[i % 10]}'", n)


def breakdown(plot, a):
    stacked(plot, read_results(a.files, "breakdown"), lambda r: [(b["name"], b["seconds"]) for b in r["breakdown"]], "seconds of the step, mean over ranks")


def memory(plot, a):
    parts = ["weights", "gradients", "optimizer", "activations"]
    stacked(plot, read_results(a.files, "memory"), lambda r: [(p, r["memory"][p + "_bytes"] / 1e9) for p in parts], "GB on the fullest GPU")


def scaling_curves(a):
    if len(a.files) == 1 and is_database(a.files[0]):
        rows, _ = read_sweep(a.files)
        metric, groups = column(rows, a.y, ["tokens_per_s", "output_tokens_per_s"]), {}
        by = column(rows, a.by, []) if a.by else None
        for r in rows:
            if r["gpus"] and r[metric]:
                groups.setdefault(str(r[by]) if by else "best of each size", {}).setdefault(r["gpus"], []).append(r[metric])
        return {name: sorted((gpus, max(v)) for gpus, v in sizes.items()) for name, sizes in groups.items()}
    curves, alone = {}, {}
    for name, r in read_results(a.files, "step_time_s"):
        if len(r.get("scaling", [])) > 1:
            curves[name] = [(p["gpus"], p["tokens_per_s"] or p["gpus"] / p["step_time_s"]) for p in r["scaling"]]
        else:
            alone.setdefault(r["label"], []).append((r["trace"]["ranks"], r["tokens_per_s"] or 1 / r["step_time_s"]))
    return curves | {name: sorted(points) for name, points in alone.items()}


def scaling(plot, a):
    curves = {name: points for name, points in scaling_curves(a).items() if len(points) > 1}
    if not curves:
        fail("a curve needs two sizes: a --scale result, several results of one trace, or a sweep over sizes")
    sizes = sorted({gpus for points in curves.values() for gpus, _ in points})
    tics = ", ".join(f"'{g:,}' {g}" for g in sizes)
    plot.set("logscale x 2", f"xtics ({tics})", "xlabel 'GPUs'", "ylabel 'scaling efficiency, %'", f"xrange [{sizes[0] / 1.1}:{sizes[-1] * 1.1}]")
    lowest = 100
    plot.curve([(g, 100) for g in sizes], "1:2", "lines dt 2 lw 1.5 lc rgb '#777777'", "ideal")
    for i, (name, points) in enumerate(curves.items()):
        first = points[0][1] / points[0][0]
        rows = [(gpus, 100 * rate / gpus / first) for gpus, rate in points]
        lowest = min([lowest, *(e for _, e in rows)])
        plot.curve(rows, "1:2", f"linespoints pt 7 ps 0.8 lw 2.5 lc rgb '{COLOURS[i % 10]}'", name)
    plot.set(f"yrange [{0 if lowest < 50 else 50 if lowest < 85 else 80}:105]")


def load(plot, a):
    name, r = read_results(a.files[:1], "load")[0]
    step = r["load"]["step_s"]
    tiers = [(t["name"], values) for t, values in zip(r["tiers"], r["load"]["tiers"]) if max(values, default=0) > 0]
    if not tiers:
        fail(f"{a.files[0]}: no link carried anything")
    plot.set("xlabel 'seconds'", "ylabel 'load of the tier, % of its capacity'", "yrange [0:*]", f"title {quoted(name)}")
    for i, (tier, values) in enumerate(tiers):
        plot.curve([(k * step, 100 * v) for k, v in enumerate(values)], "1:2", f"steps lw 1.5 lc rgb '{COLOURS[i % 10]}'", tier)


def busbw(plot, a):
    plot.set("logscale x 2", "xlabel 'size'", "ylabel 'bus bandwidth, GB/s'", "yrange [0:*]", "format x '%.0b %BB'")
    for i, (name, r) in enumerate(read_results(a.files, "rows")):
        plot.curve([(p["size_bytes"], p["busbw_GBps"]) for p in r["rows"]], "1:2", f"linespoints pt 7 ps 0.6 lw 2 lc rgb '{COLOURS[i % 10]}'", f"{r['op']}, {name}")


def latency(plot, a):
    what = a.column or "tpot_s"
    plot.set(f"xlabel {quoted(what.replace('_s', '') + ', ms')}", "ylabel 'requests within, %'", "yrange [0:100]")
    for i, (name, r) in enumerate(read_results(a.files, "serving")):
        q = (r["serving"].get(what) or {}).get("quantiles") or fail(f"{a.files[i]}: has no {what}")
        plot.curve([(1e3 * v, 100 * k / (len(q) - 1)) for k, v in enumerate(q)], "1:2", f"lines lw 2.5 lc rgb '{COLOURS[i % 10]}'", name)


def scatter(plot, a):
    rows, settings = read_sweep(a.files)
    x = column(rows, a.x, settings + ["gpus"])
    y = column(rows, a.y, METRICS)
    by = column(rows, a.by, []) if a.by else None
    groups, words = {}, sorted({str(r[x]) for r in rows}) if any(isinstance(r[x], str) for r in rows) else []
    for r in rows:
        if r[x] is not None and r[y] is not None:
            groups.setdefault(str(r[by]) if by else "", []).append((words.index(str(r[x])) if words else r[x], r[y]))
    plot.set(f"xlabel {quoted(x)}", f"ylabel {quoted(y)}", "offsets graph 0.05, graph 0.05, graph 0.05, graph 0.05")
    if words:
        plot.set("xtics (" + ", ".join(f"{quoted(pathlib.PurePath(w).stem if w.endswith(('.xml', '.json')) else w)} {i}" for i, w in enumerate(words)) + ")")
    for i, (name, points) in enumerate(sorted(groups.items())):
        plot.curve(points, "1:2", f"points pt 7 ps 0.8 lc rgb '{COLOURS[i % 10]}'", f"{a.by} {name}" if a.by else None)


def tornado(plot, a):
    rows, settings = read_sweep(a.files)
    y = column(rows, a.y, METRICS)
    mean = lambda values: sum(values) / len(values)
    spans = []
    for s in settings:
        groups = {}
        for r in rows:
            if r[y] is not None:
                groups.setdefault(r[s], []).append(r[y])
        means = sorted((mean(v), str(k)) for k, v in groups.items())
        spans.append((means[-1][0] - means[0][0], s, means[0], means[-1]))
    spans.sort()
    middle = mean([r[y] for r in rows if r[y] is not None])
    plot.set(f"xlabel {quoted('mean ' + y + ' over all other settings')}", "style fill solid 0.95 noborder", f"yrange [-0.7:{len(spans) - 0.3}]", "key off",
             "ytics (" + ", ".join(f"{quoted(s)} {i}" for i, (_, s, _, _) in enumerate(spans)) + ")", "offsets graph 0.1, graph 0.1, 0, 0")
    for side, colour in ((2, COLOURS[1]), (3, COLOURS[0])):
        plot.curve([(middle, i, min(middle, span[side][0]), max(middle, span[side][0]), i - 0.3, i + 0.3) for i, span in enumerate(spans)], "1:2:3:4:5:6",
                   f"boxxyerror lc rgb '{colour}'")
    for side, place in ((2, "right offset -0.5,0"), (3, "left offset 0.5,0")):
        plot.curve([(span[side][0], i, span[side][1]) for i, span in enumerate(spans)], "1:2:3", f"labels {place} textcolor rgb '#222222'")


CHARTS = {f.__name__: f for f in (breakdown, scaling, load, busbw, latency, memory, scatter, tornado)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chart", choices=CHARTS)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("-o", "--output", required=True, help="FILE.svg, .pdf or .png")
    parser.add_argument("--x", help="column of a sweep, across")
    parser.add_argument("--y", help="column of a sweep, up")
    parser.add_argument("--by", help="column of a sweep: a colour for each of its values")
    parser.add_argument("--column", choices=["ttft_s", "queue_s", "tpot_s", "itl_s", "e2e_s"], help="which latency")
    a = parser.parse_args()
    for file in a.files:
        if not pathlib.Path(file).is_file():
            fail(f"{file}: no such file")
    plot = Plot(a.output)
    CHARTS[a.chart](plot, a)
    plot.write()


main()
