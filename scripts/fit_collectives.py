#!/usr/bin/env python3
"""Fit what collectives take (topologies/costs/nccl.xml) to the series that tests/validation/collectives.csv and expert_parallel.csv mark as
fitted.

    scripts/fit_collectives.py [--data DIR] [--only WORD ...] [--write | --check]

--data: all sizes of these series from DIR/validation/nccl_collectives.csv instead of the sample. --only: rows whose name holds a WORD.
--write: put the figures into the file; else they are printed. --check: fail if a row's loss can be made more than TOLERANCE smaller than
that of the figures in the file (the loss is what is compared: some figures hardly matter, and move freely). The order is that of STAGES:
later stages use earlier figures.

NCCL chooses by constants that are not fitted, so which cases belong to which row does not depend on what is fitted. Each stage minimises
the sum of |log(simulated / measured)|^1.5 (between least squares and least deviations, as nccl-tests runs have outliers) with Nelder and Mead's
simplex (Computer Journal 7, 1965) over the logarithms of the figures."""
import argparse
import csv
import math
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from concurrent.futures import ThreadPoolExecutor

from validation import collectives, expert_parallel
from validation.case import ROOT

# Its links' rate was set by its largest size, and nothing else: GPUDirect-TCPX behaves like no other network here.
LEFT_OUT = {"A14_A3High_H100_2n_AG"}
TABLE = ROOT / "topologies/costs/nccl.xml"
US, GBPS, NONE = "us", "GB/s", ""
# Row of the table -> figures fitted: unit, least, most. A row is fitted to the cases that run by it; "with": to those of other rows, too.
LAUNCH, HOP, FILL, WINDOW, EFFICIENCY, CAP, OVERLAP = ((US, 0.5, 60), (US, 0.1, 40), (NONE, 0.05, 10), (US, 1, 5000), (NONE, 0.3, 1),
                                                       (GBPS, 5, 900), (NONE, 1, 4))
PART, DRIFT = (NONE, 0.001, 3), (US, 200, 50000)
# Ampere: its NVLinks limit LL, and slices hide no latency of Simple. Hopper: drift hardly matters up to 512 MiB, and is as Blackwell's.
# Blackwell: no copy shows. The launch of Simple is LL's, but for Ampere, where that makes the loss a third larger.
LL_MORE = {"ampere": {}, "hopper": {"cap": CAP}, "blackwell": {"cap": CAP}}
SIMPLE_MORE = {"ampere": {"launch": LAUNCH, "copy": PART, "drift": DRIFT}, "hopper": {"copy": PART, "overlap": OVERLAP},
               "blackwell": {"overlap": OVERLAP, "drift": DRIFT}}
TOLERANCE = 0.02
STAGES = []
for arch in ("ampere", "blackwell", "hopper"):
    STAGES += [(f"{arch}-ring-LL", {"launch": LAUNCH, "hop": HOP, "crowd": PART, "drain": PART, "overlap": OVERLAP, **LL_MORE[arch]}),
               (f"{arch}-ring-Simple", {"hop": HOP, "efficiency": EFFICIENCY, "fill": FILL, "window": WINDOW, "drain": PART,
                                        **SIMPLE_MORE[arch]}),
               (f"{arch}-direct-LL", {"launch": LAUNCH, "hop": HOP, "cap": CAP}),
               (f"{arch}-direct-Simple", {"launch": LAUNCH, "efficiency": EFFICIENCY, "fill": FILL, "copy": FILL, "window": WINDOW})]
    if arch != "ampere":
        STAGES += [(f"{arch}-oneshot-Simple", {"launch": LAUNCH, "hop": (US, 0.02, 10), "efficiency": EFFICIENCY}),
                   (f"{arch}-twoshot-Simple", {"launch": LAUNCH, "efficiency": EFFICIENCY})]
STAGES += [("ampere-ring-LL128", {"launch": LAUNCH, "hop": HOP, "efficiency": EFFICIENCY}),
           ("hopper-ring-LL128", {"launch": LAUNCH, "hop": HOP, "efficiency": EFFICIENCY}),
           ("ampere-tree-Simple", {"window": WINDOW, "flight": (NONE, 1, 1000)}),
           ("hopper-nvls-Simple", {"launch": LAUNCH, "efficiency": EFFICIENCY, "fill": FILL, "window": WINDOW}),
           ("blackwell-nvls-Simple", {"launch": LAUNCH, "cap": CAP, "fill": FILL, "window": WINDOW}),
           ("hopper-forwarded-Simple", {"launch": LAUNCH, "hop": HOP, "net-hop": HOP, "cap": CAP}),
           ("blackwell-forwarded-Simple", {"launch": LAUNCH, "cap": CAP}),
           ("hopper-lowlatency-Simple", {"launch": LAUNCH, "hop": (US, 0.01, 10), "net-hop": HOP, "efficiency": EFFICIENCY}),
           ("blackwell-lowlatency-Simple", {"launch": LAUNCH, "efficiency": EFFICIENCY}),
           ("ampere-direct-Simple", {"net-efficiency": EFFICIENCY}),
           ("hopper-nvlstree-Simple", {"net-hop": HOP, "efficiency": EFFICIENCY, "fill": FILL, "window": WINDOW})]
# Rows that have figures of another row, put there before they are fitted.
LL_FIGURES, DOMAIN_FIGURES = ("launch", "hop", "cap", "crowd"), ("launch", "hop")
COPIES = [*((f"{arch}-direct-Simple", f"{arch}-direct-LL", ("hop",)) for arch in ("ampere", "blackwell", "hopper")),
          ("ampere-tree-LL", "ampere-ring-LL", ("launch", "hop", "crowd")), ("hopper-tree-LL", "hopper-ring-LL", LL_FIGURES),
          ("blackwell-tree-LL", "blackwell-ring-LL", LL_FIGURES), ("hopper-ring-Simple", "hopper-ring-LL", ("launch",)),
          ("blackwell-ring-Simple", "blackwell-ring-LL", ("launch",)),
          ("hopper-ring-Simple", "blackwell-ring-Simple", ("drift",)),
          ("hopper-nvlstree-Simple", "hopper-nvls-Simple", DOMAIN_FIGURES),
          ("blackwell-nvlstree-Simple", "blackwell-nvls-Simple", DOMAIN_FIGURES)]


def simplex(f, start, least, most, steps, size):
    """Nelder-Mead within bounds; size: of the first simplex."""
    n = len(start)
    clip = lambda x: [min(max(v, a), b) for v, a, b in zip(x, least, most)]
    points = [clip(start)] + [clip([v + (size if i == k else 0) for i, v in enumerate(start)]) for k in range(n)]
    points = [(f(x), x) for x in points]
    for _ in range(steps):
        points.sort()
        (best, _), (worst, last) = points[0], points[-1]
        if worst - best < 1e-3 * best:
            break
        middle = [sum(x[k] for _, x in points[:-1]) / n for k in range(n)]
        towards = lambda t: clip([m + t * (w - m) for m, w in zip(middle, last)])
        new = towards(-1)
        value = f(new)
        if value < best:
            far = towards(-2)
            further = f(far)
            points[-1] = (further, far) if further < value else (value, new)
        elif value < points[-2][0]:
            points[-1] = (value, new)
        else:
            new = towards(0.5)
            value = f(new)
            if value < worst:
                points[-1] = (value, new)
            else:
                points = [points[0]] + [(f(x), x) for x in ([(a + b) / 2 for a, b in zip(points[0][1], x)] for _, x in points[1:])]
    return min(points)


def all_sizes(folder, sample):
    """The measured rows of the sample's series, out of place where there are both."""
    known = {row["series"]: row for row in sample}
    with open(pathlib.Path(folder) / "validation/nccl_collectives.csv", newline="") as file:
        found = [row for row in csv.DictReader(file) if row["case_id"] in known and row["size_bytes"] and row["time_us"]]
    both = {row["case_id"] for row in found if row["placement"] == "out-of-place"}
    for row in found:
        if row["case_id"] in both and row["placement"] != "out-of-place":
            continue
        if "customAR" not in row["case_id"]: # which of its algorithms ran is not known of all sizes
            yield {**known[row["case_id"]], "size_bytes": str(round(float(row["size_bytes"]))), "time_us": row["time_us"]}
    elsewhere = set(known) - {row["case_id"] for row in found} # published after that file was made
    yield from (row for row in sample if "customAR" in row["series"] or row["series"] in elsewhere)


def figure(text, row, attribute):
    found = re.search(rf'<takes name="{row}"[^>]*?\b(?<!-){attribute}="([0-9.e+-]+)', text)
    return float(found[1]) if found else None


def replace(text, row, attribute, value):
    pattern = rf'(<takes name="{row}"[^>]*?[ \n]{attribute}=")[0-9.e+-]+'
    new, count = re.subn(pattern, lambda m: f"{m[1]}{float(f'{value:.3g}'):g}", text)
    if count != 1:
        raise SystemExit(f"{TABLE}: {row} has no {attribute}")
    return new


class Fit:
    def __init__(self, rows, text):
        self.text = text
        self.better = [] # rows of which the loss fell by more than the tolerance
        self.batches = list(collectives.batches(rows).items())
        self.pool = ThreadPoolExecutor(2)
        self.row_of = {}
        for (key, members), result in zip(self.batches, self.pool.map(collectives.run, self.batches)):
            arch = self.arch_of(key[1])
            for size, got in result.items():
                self.row_of[key, size] = f"{arch}-{got['algo']}-{got['protocol']}"

    @staticmethod
    def arch_of(system):
        """By the GPU part that the system's file, or its board's, names."""
        text = pathlib.Path(collectives.topology(system)).read_text()
        for include in re.findall(r'href="([^"]*boards/[^"]*)"', text):
            text += (pathlib.Path(collectives.topology(system)).parent / include).read_text()
        for board in re.findall(r'board="(gb200-tray)"', text):
            text += (ROOT / f"topologies/boards/{board}.xml").read_text()
        return "ampere" if "a100" in text.split("<board")[-1] or 'part="a100' in text else \
            "blackwell" if 'part="b200' in text or 'part="gb200' in text else "hopper"

    def stage(self, row, figures):
        mine = [(key, [m for m in members if self.row_of[key, int(m["size_bytes"])] == row]) for key, members in self.batches]
        mine = [(key, members) for key, members in mine if members]
        count = sum(len(members) for _, members in mine)
        if count == 0:
            print(f"{row}: no case")
            return
        names = list(figures)
        start = [math.log(figure(self.text, row, name)) for name in names]

        def errors(x):
            sets = [word for name, value in zip(names, x)
                    for word in ("--set", f"nccl:{row}.{name}={math.exp(value):.9g}{figures[name][0]}")]
            for (key, members), result in zip(mine, self.pool.map(lambda batch: collectives.run(batch, (*self.kept, *sets)), mine)):
                for member in members:
                    yield math.log(result[int(member["size_bytes"])]["time_us"] / float(member["time_us"]))

        loss = lambda x: sum(abs(error) ** 1.5 for error in errors(x))
        least, most = ([math.log(bounds[i]) for bounds in figures.values()] for i in (1, 2))
        x, before = start, loss(start)
        for steps, size in ((60 * len(names), 0.3), (30 * len(names), 0.05)):
            after, x = simplex(loss, x, least, most, steps, size)
        if after < (1 - TOLERANCE) * before:
            self.better.append(row)
        for name, value in zip(names, x):
            self.text = replace(self.text, row, name, math.exp(value))
        mean = sum(abs(math.expm1(error)) for error in errors(x)) / count
        print(f"{row}: n {count}, loss {before:.4g} -> {after:.4g}, mean error {100 * mean:.1f} %, " +
              ", ".join(f"{name} {math.exp(value):.3g}{figures[name][0]}" for name, value in zip(names, x)), flush=True)

    def copy(self):
        """What one row has of another; the program still holds the file's, so these go along as settings."""
        sets = []
        for row, source, names in COPIES:
            for name in names:
                value = figure(self.text, source, name)
                self.text = replace(self.text, row, name, value)
                unit = re.search(rf'<takes name="{source}"[^>]*?[ \n]{name}="[0-9.e+-]+([^"]*)', self.text)[1]
                sets += ["--set", f"nccl:{row}.{name}={value:.9g}{unit}"]
        self.kept = tuple(sets)


def main():
    parser = argparse.ArgumentParser(description="fit the costs of collectives")
    parser.add_argument("--data")
    parser.add_argument("--only", nargs="*", default=[""])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = [row for row in collectives.rows() if row["fitted"] == "yes" and row["series"] not in LEFT_OUT]
    if options.data:
        rows = list(all_sizes(options.data, rows))
    rows += [expert_parallel.as_collective(row) for row in expert_parallel.rows() if row["fitted"] == "yes"]
    fit = Fit(rows, TABLE.read_text())
    for row, figures in STAGES:
        if any(word in row for word in options.only):
            fit.copy()
            fit.stage(row, figures)
            if options.write:
                fit.copy()
                TABLE.write_text(fit.text)
    if options.check and fit.better:
        raise SystemExit(f"{TABLE}: not what a fit gives: {', '.join(fit.better)}")


if __name__ == "__main__":
    main()
