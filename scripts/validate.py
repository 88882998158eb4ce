#!/usr/bin/env python3
"""Simulate what was measured and write what comes out beside it.

    scripts/validate.py            all cases: docs/VALIDATION.md between its markers, docs/validation/, tests/validation/errors.csv
    scripts/validate.py --check    a fast part of the cases, under a minute: exit status 1 where errors grew or a page is out of date
    scripts/validate.py --only training      of the modules in scripts/validation/ this one alone; sums of others stay as they are

Where cases come from: scripts/validation/collectives.py, expert_parallel.py, kernels.py, training.py, inference.py. Each row of data says whether a constant was fitted on
its series; the sums keep the two apart."""
import argparse
import csv
import importlib
import io
import re
import sys

from validation import render
from validation.case import ROOT, ask, table

MODULES = ("collectives", "expert_parallel", "kernels", "training", "inference")
ERRORS = ROOT / "tests/validation/errors.csv"
GROWTH = 0.1  # points by which the mean error of a class may grow before --check fails

AIMS = {  # class: mean | max, of cases that nothing was fitted on; docs/VALIDATION.md names who set them
    "collectives, from 16 MiB, one domain": "5 % | 15 %",
    "collectives, from 16 MiB, InfiniBand and RoCE": "8 % | 20 %",
    "collectives, latency, up to 1 MiB, one domain": "20 % | ",
    "collectives, latency, up to 1 MiB, InfiniBand and RoCE": "20 % | ",
    "GEMM, m >= 128": "8 % | ",
    "attention, prefill": "12 % | ",
    "attention, decode": "12 % | ",
    "Korthikanti et al. 2022, table 5": "3.5 % | 8 %",
    "Narayanan et al. 2021, table 1": "5 % | 12 %",
    "Llama 3 405B and MegaScale 175B": "6 % | ",
    "dense, H100, B200, GB200, GB300": "10 % | ",
    "mixture of experts": "15 % | ",
    "scaling efficiency": "3 points | ",
}


def load(only):
    """The modules that are there; a module may bring aims of its own."""
    found = []
    for name in MODULES:
        if (ROOT / f"scripts/validation/{name}.py").exists() and only in (None, name):
            found.append(importlib.import_module(f"validation.{name}"))
            AIMS.update(getattr(found[-1], "AIMS", {}))
    return found


# ---- tables that compare with something else than a measurement -----------------------------------------------------------


def rails_table():
    """A 1 GiB all-reduce on the fabric of bench/rails.xml: what ASTRA-sim 2 reports, what its own terms add to bytes and latency
    (10 ns at the end of each message, and every reduction read and written at 3350 GB/s: 3 passes), and fabsim without them."""
    reported = {int(row["gpus"]): row for row in table("rails.csv")}
    lines = ["| GPUs | ASTRA-sim reports | CPU s, MB | of it reductions and endpoints | without | fabsim, hierarchical | difference | fabsim, ring |",
             "|---|---|---|---|---|---|---|---|"]
    for gpus in sorted({8, 32768} | set(reported)):
        nodes = gpus // 8
        microseconds = []
        for algo in ("hierarchical", "ring"):
            said = ask(["coll", str(ROOT / "bench/rails.xml"), "--op", "all_reduce", "--algo", algo, "--cost", "ideal",
                        "--min", "1G", "--max", "1G", "--set", f"topo:node.count={nodes}", "--json"])
            microseconds.append(said["rows"][0]["time_us"])
        cells = ["-", "-", "-", "-", "-"]
        if gpus in reported:
            row = reported[gpus]
            total = int(row["reported_ns"]) / 1e3
            near, far = 2**30 / 8, 2**30 / 8 / nodes  # bytes of a message within a node, between nodes
            own = (7 * 3 * near + (nodes - 1) * 3 * far) / 3350e3 + (14 + 2 * (nodes - 1)) * 0.01
            cells = [f"{total:,.1f} us", f"{row['reported_cpu_s']}, {row['reported_peak_MB']}", f"{own:,.1f} us", f"{total - own:,.1f} us",
                     f"{100 * (microseconds[0] / (total - own) - 1):+.2f} %"]
        lines.append(f"| {gpus:,} | {cells[0]} | {cells[1]} | {cells[2]} | {cells[3]} | {microseconds[0]:,.1f} us | {cells[4]} | {microseconds[1]:,.1f} us |")
    return "\n".join(lines)


# ---- sums -----------------------------------------------------------------------------------------------------------------


def beside(old, new, classes, klass_of):
    """What is new where something of its classes was, beside what is old of others."""
    there = [item for item in old if klass_of(item) not in classes]
    at = next((i for i, item in enumerate(old) if klass_of(item) in classes), len(old))
    return there[:at] + new + there[at:]


def classes_table(classes, old):
    """old: the lines of a table whose other classes stay, or none."""
    head = ["| class | aim: mean, max | cases not fitted on | mean | max | cases fitted on | mean | max |", "|---|---|---|---|---|---|---|---|"]
    lines = []
    for klass, cases in classes.items():
        judged, fitted = render.split(cases)
        aim = ", ".join(part for part in AIMS.get(klass, "").split(" | ") if part) or "-"
        lines.append(f"| [{klass}](validation/{render.slug(klass)}.md) | {aim} | {render.figures_cells(judged)} | {render.figures_cells(fitted)} |")
    return "\n".join(head + beside(old, lines, classes, lambda line: re.match(r"\| \[(.*?)\]\(", line)[1]))


def series_title(klass):
    return f"**{klass[0].upper()}{klass[1:]}**"


def all_series_table(classes, old):
    """old: as above, each class's title and table."""
    parts = [f"{series_title(klass)}\n\n{render.series_table(cases)}" for klass, cases in classes.items()]
    return "\n\n".join(beside(old, parts, set(map(series_title, classes)), lambda part: part.split("\n")[0]))


def markers(name):
    return f"<!-- {name} table: scripts/validate.py writes it -->\n", f"\n<!-- end of {name} table -->"


def written(text, name):
    begin, end = markers(name)
    return text.split(begin)[1].split(end)[0]


def rewritten(text, name, made):
    begin, end = markers(name)
    head, rest = text.split(begin)
    return f"{head}{begin}{made}{end}{rest.split(end)[1]}"


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def errors_text(cases, classes, old):
    """old: rows whose other classes stay, or none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["class", "series", "case", "fitted", "error_percent"])
    rows = [[case.klass, case.series, case.name, "yes" if case.fitted else "no", f"{100 * case.error:.3f}"] for case in cases]
    writer.writerows(beside(old, rows, classes, lambda row: row[0]))
    return out.getvalue()


def write_pages(modules, every):
    """every: these are all the modules, and what others said is of no case that there is."""
    everything = [case for module in modules for case in module.cases()]
    classes = render.grouped(everything, lambda case: case.klass)
    for klass, cases in classes.items():
        write(ROOT / f"docs/validation/{render.slug(klass)}.md", render.page(klass, cases, AIMS.get(klass)))
        write(ROOT / f"docs/validation/{render.slug(klass)}.svg", render.plot(klass, cases))
    path = ROOT / "docs/VALIDATION.md"
    text = path.read_text()
    lines, parts, errors = [], [], []
    if not every:
        lines = written(text, "classes").split("\n")[2:]
        parts = re.split(r"\n\n(?=\*\*)", written(text, "series"))
        errors = [list(row.values()) for row in table(ERRORS.name)]
    text = rewritten(text, "classes", classes_table(classes, lines))
    text = rewritten(text, "series", all_series_table(classes, parts))
    tables = {"rails": rails_table}
    for module in modules:
        tables.update(getattr(module, "TABLES", {}))
    for name, make in tables.items():
        text = rewritten(text, name, make())
    path.write_text(text)
    ERRORS.write_text(errors_text([case for module in modules for case in module.cases(subset=True)], classes, errors))
    for module in modules:
        if hasattr(module, "write_more"):  # what a module keeps beside pages
            module.write_more()


# ---- the check ------------------------------------------------------------------------------------------------------------


def recorded():
    return {(row["class"], row["series"], row["case"]): abs(float(row["error_percent"])) for row in table(ERRORS.name)}


def check(modules):
    """What is wrong, line by line."""
    before, problems = recorded(), []
    for klass, cases in render.grouped([case for module in modules for case in module.cases(subset=True)], lambda case: case.klass).items():
        known = [case for case in cases if (case.klass, case.series, case.name) in before]
        if len(known) < len(cases):
            problems.append(f"{klass}: {len(cases) - len(known)} cases are not in {ERRORS.relative_to(ROOT)}")
        if known:
            then = sum(before[case.klass, case.series, case.name] for case in known) / len(known)
            now = render.figures(known)[1]
            if now > then + GROWTH:
                problems.append(f"{klass}: mean error grew from {then:.2f} to {now:.2f} %, {len(known)} cases")
        path = ROOT / f"docs/validation/{render.slug(klass)}.md"
        lines = set(path.read_text().split("\n")) if path.exists() else set()
        stale = [case for case in cases if render.case_line(case) not in lines]
        if stale and klass != "scaling efficiency":  # its base is the first row of what was simulated
            problems.append(f"{path.relative_to(ROOT)}: {len(stale)} of {len(cases)} lines are not what fabsim says today, {stale[0].name} first")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare a fast part of the cases with what stands there")
    parser.add_argument("--only", choices=MODULES, help="this module alone")
    options = parser.parse_args()
    modules = load(options.only)
    if not options.check:
        write_pages(modules, every=options.only is None)
        return
    problems = check(modules)
    sys.exit("\n".join(problems + ["run make validate, and look at what it changed"]) if problems else 0)


if __name__ == "__main__":
    main()
