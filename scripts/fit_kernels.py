#!/usr/bin/env python3
"""Fit the constants of <kernels>, <attention> and <peak> in topologies/parts/gpus.xml to measured kernels.

fit_kernels.py --data DIR [--gpu NAME] [--products] prints the elements for each fitted part, with the mean error that is left. DIR has gemm.csv,
context_attention.csv, generation_attention.csv and moe_experts.csv; validation/kernel_data.py says which rows are fitted. What is minimised is the mean
of |log(simulated / measured)|, cut at 0.5 so that rows where another kernel ran do not pull; by a search along the
coordinates, from the values that the part has, else from those in START. Takes about ten minutes; with --products, which leaves
attention as it is, half of it."""
import argparse
import concurrent.futures
import itertools
import math
import os
import pathlib
import random
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from validation import kernel_data as data  # noqa: E402

SEED, SAMPLE, CUT = 4, 700, 0.5
FITTED = {"A100-SXM-80GB": ["bf16"], "H100-SXM": ["bf16", "fp8"], "B200": ["bf16", "fp8", "nvfp4"]}

# Of the architecture, known and not fitted: SMs; how finely tiles differ (0: powers of two); numbers of the largest tile (on
# Blackwell two SMs share one); queries that an SM works on at once. A100 was measured with one width of head, which does not tell
# products and exponentials apart: its score is Hopper's by their clocks (1.755 and 1.41 GHz).
FIXED = {"A100-SXM-80GB": {"sms": 108, "tile-step": 0, "tile-max": 32768, "query-block": 128,
                           "score": 3.7e-11},
         "H100-SXM": {"sms": 132, "tile-step": 32, "tile-max": 32768, "query-block": 128},
         "B200": {"sms": 148, "tile-step": 32, "tile-max": 65536, "query-block": 256}}

# Which kernels the library has for a format, seen in which shapes are slow: sums over k are not split; a tile is emptied beside the next
# one's sums; the smallest tile.
STRUCTURE = {"A100-SXM-80GB": {}, "H100-SXM": {"fp8": {"tile-min": 16384, "whole": "yes"}},
             "B200": {"bf16": {"overlap": "yes"}, "fp8": {"tile-min": 4096, "whole": "yes", "overlap": "yes"},
                      "fp4": {"tile-min": 8192, "whole": "yes"}}}

# Where the search begins, and the first step of its logarithm. Seconds, B/s.
START_GEMM = {"l2-bandwidth": (None, .3), "operand-efficiency": (.8, .1), "sustained": (.9, .1)}
START_DTYPE = {"efficiency": (.8, .1), "tile": (1e-6, .5), "floor": (2.3e-6, .3)}
START_ROW = {"quantise-row": (3e-9, .3), "quantise-pass": (4e-9, .3)}  # narrow formats
START_DEPTH = {"depth": (6e-10, .3)}  # fp4: the others reach their least tiles first
START_ATTENTION = {"append": (None, .3), "append-fp8": (None, .3), "efficiency": (.8, .1), "score": (2e-11, .3),
                   "block": (1e-6, .4), "prefill-floor": (7e-6, .2), "decode-floor": (7e-6, .2), "piece": (1.5e-6, .4),
                   "join": (1.5e-6, .4), "sm-bandwidth": (None, .3), "fp8-read": (1.1, .1), "read-efficiency": (.87, .05)}
FRACTIONS = {"operand-efficiency", "sustained", "efficiency", "read-efficiency"}
UNITS = {"l2-bandwidth": "B/s", "append": "B/s", "append-fp8": "B/s", "sm-bandwidth": "B/s", "tile": "s", "floor": "s",
         "quantise-row": "s", "quantise-pass": "s", "depth": "s", "score": "s", "block": "s", "prefill-floor": "s", "decode-floor": "s", "piece": "s",
         "join": "s"}
GROUPED = (1, .9, .8, .7, .6, .5, .45, .4, .35, .3, .25, .2, .15, .1)  # tried for the rate of grouped products
GROUPED_READ = (1, .9, .8, .7, .6, .5)  # and for that at which they read
KERNELS = ["sms", "floor", "l2-bandwidth", "operand-efficiency", "sustained", "tile-step", "tile-max", "append", "append-fp8"]
ATTENTION = ["efficiency", "backward", "score", "query-block", "block", "prefill-floor", "decode-floor", "piece", "join",
             "read-efficiency", "sm-bandwidth", "fp8-read"]

# FLOP/s of the backward pass as a part of the forward pass's, heads of 128: FlashAttention-2 on A100 (Dao 2023: up to 196 and
# 230 TFLOP/s), FlashAttention-3 on H100 (Shah et al. 2024: up to 561 and 740); Blackwell as Hopper.
BACKWARD = {"A100-SXM-80GB": 196 / 230, "H100-SXM": 561 / 740, "B200": 561 / 740}


SCALES = {"s": ((1e-6, "us"), (1e-9, "ns"), (1, "s")), "B/s": ((1e12, "TB/s"), (1e9, "GB/s"))}
SI = {unit: scale for scales in SCALES.values() for scale, unit in scales}


def text(name, value):
    """In the first unit that leaves a number above 0.1; counts are whole."""
    if name not in UNITS:
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    scales = SCALES[UNITS[name]]
    scale, unit = next((s for s in scales if value >= 0.1 * s[0]), scales[1])
    return f"{value / scale:.4g}{unit}"


def number(written):
    """The other way."""
    value, unit = re.fullmatch(r"([\d.e+-]+?)([a-zA-Z/]*)", written).groups()
    return float(value) * SI.get(unit, 1)


def attributes(names, values):
    return " ".join(f'{n}="{text(n, values[n])}"' for n in names)


class Part:
    """A shipped GPU part with other constants, as a topology of its own."""

    def __init__(self, gpu):
        self.name = data.PARTS[gpu]
        text = (data.ROOT / "topologies/parts/gpus.xml").read_text()
        element = re.search(rf'<gpu name="{self.name}".*?</gpu>', text, re.S).group(0)
        self.head = re.match(r"<gpu.*?>", element, re.S).group(0)
        self.peaks = dict(re.findall(r'<peak dtype="(\w+)" flops="([^"]+)"', element))
        self.peak = float(self.peaks["bf16"].removesuffix("TFLOP/s")) * 1e12
        named = re.findall(r"<(peak|kernels|attention)\b([^>]*)/>", element)
        self.shipped = {}  # (element, or format of a peak; attribute): text
        for kind, rest in named:
            values = dict(re.findall(r'([\w-]+)="([^"]*)"', rest))
            self.shipped.update({(values.get("dtype", kind), name): value for name, value in values.items()})
        self.bandwidth = float(re.search(r'memory-bandwidth="(\d+)GB/s"', element).group(1)) * 1e9

    def elements(self, kernels, attention, products):
        lines = []
        for dtype, flops in self.peaks.items():
            product = products.get(dtype)
            figures = " " + attributes(list(product), product) if product else ""
            lines.append(f'<peak dtype="{dtype}" flops="{flops}"{figures}/>')
        return lines + [f"<kernels {attributes(KERNELS, kernels)}/>", f"<attention {attributes(ATTENTION, attention)}/>"]

    def topology(self, *constants):
        elements = "".join(self.elements(*constants))
        return (f'<fabsim version="topology/1" name="fit"><parts>{self.head}{elements}</gpu></parts>'
                f'<board name="one"><device name="gpu0" part="{self.name}"/></board></fabsim>')


class Fit:
    def __init__(self, gpu, folder):
        self.gpu, self.part, self.fixed = gpu, Part(gpu), FIXED[gpu]
        self.rows = {}
        for table in ("gemm", "context_attention", "generation_attention", "moe_experts"):
            rows = [r for r in data.read(folder / f"{table}.csv") if r["gpu"] == gpu and data.is_fitted(table, r)
                    and not data.is_fallback(r)]
            for dtype in FITTED[gpu] if table in ("gemm", "moe_experts") else [None]:
                some = [r for r in rows if dtype is None or data.DTYPES[r["dtype"]] == data.DTYPES[dtype]]
                random.Random(SEED).shuffle(some)
                usual = [r for r in some if not data.is_other_kernel(r)]
                self.rows[table, dtype] = usual[:SAMPLE if dtype else 2 * SAMPLE]
                if len(usual) < len(some):
                    self.rows["other", dtype] = [r for r in some if data.is_other_kernel(r)][:SAMPLE]
        self.file = tempfile.NamedTemporaryFile("w", suffix=".xml")
        self.x = {}
        share = self.part.bandwidth / self.fixed["sms"]
        for n, (v, _) in START_GEMM.items():
            self.x["gemm", n] = v or 4 * self.part.bandwidth
        for dtype in FITTED[gpu]:
            for n, (v, _) in START_DTYPE.items():
                self.x[dtype, n] = v
            self.x[dtype, "grouped"] = self.x[dtype, "grouped-read"] = 1
            if ("other", dtype) in self.rows:
                self.x[dtype, self.other(dtype)] = 1
            for n, (v, _) in self.narrow(dtype).items():
                self.x[dtype, n] = v
        default = {"append": self.part.bandwidth / 2, "append-fp8": self.part.bandwidth / 3, "sm-bandwidth": 1.5 * share}
        for n, (v, _) in START_ATTENTION.items():
            self.x["attention", n] = v or default[n]
        for element, name in self.x:
            there = self.part.shipped.get(({"gemm": "kernels"}.get(element, data.DTYPES.get(element, element)), name))
            there = there or self.part.shipped.get(("kernels", name))
            self.x[element, name] = number(there) if there else self.x[element, name]

    @staticmethod
    def narrow(dtype):
        """What formats of less than 16 bits have beside the others' constants."""
        return {**(START_ROW if dtype != "bf16" else {}), **(START_DEPTH if dtype == "nvfp4" else {})}

    def other(self, dtype):
        """The figure of a format's other kernels."""
        row = self.rows["other", dtype][0]
        return data.OTHER_KERNELS[row["gpu"], row["dtype"]]

    def constants(self):
        x = self.x
        kernels = {**self.fixed, "floor": x["bf16", "floor"], "append": x["attention", "append"],
                   "append-fp8": x["attention", "append-fp8"]}
        kernels.update({n: x["gemm", n] for n in START_GEMM})
        attention = {**{n: x["attention", n] for n in START_ATTENTION}, **self.fixed}
        rate = self.part.peak / self.fixed["sms"]  # FLOP/s of an SM; four products' worth of 128 a score, and ten
        forward = 512 / (rate * attention["efficiency"]) + attention["score"]
        backward = 2.5 * forward / BACKWARD[self.gpu] - attention["score"]
        attention["backward"] = 1280 / (rate * backward)
        products = {data.DTYPES[d]: {n: v for (e, n), v in x.items() if e == d} for d in FITTED[self.gpu]}
        for dtype, structure in STRUCTURE[self.gpu].items():
            products[dtype].update(structure)
        products["fp16"] = products["bf16"]
        return kernels, attention, products

    def errors(self, tables):
        self.file.seek(0)
        self.file.truncate()
        self.file.write(self.part.topology(*self.constants()))
        self.file.flush()
        lists, measured, weights = [], [], []
        for (table, dtype), rows in self.rows.items():
            if table in tables:
                lists += [data.KERNELS["moe_experts" if table == "other" else table](r) for r in rows]
                measured += [float(r["ms"]) * 1e3 for r in rows]
                weights += [0.5 if table == "gemm" and int(r["m"]) < 128 else 1 for r in rows]
        times = data.price(self.part.name, lists, self.file.name)
        return [abs(math.log(t / m)) for t, m in zip(times, measured)], weights

    def loss(self, tables):
        if any(v > 1 for (_, n), v in self.x.items() if n in FRACTIONS) or self.x["attention", "fp8-read"] < 1:
            return math.inf
        errors, weights = self.errors(tables)
        return sum(min(e, CUT) * w for e, w in zip(errors, weights)) / sum(weights)

    def search(self, keys, step, tables):
        best = self.loss(tables)
        while max(step.values()) > 0.01:
            better = False
            for key in keys:
                for sign in (1, -1):
                    old = self.x[key]
                    self.x[key] = old * math.exp(sign * step[key])
                    now = self.loss(tables)
                    if now < best - 1e-5:
                        best, better = now, True
                        break
                    self.x[key] = old
            if not better:
                step = {k: s / 2 for k, s in step.items()}
        return best

    def scan(self, dtype):
        """The best of GROUPED and GROUPED_READ for a number format."""
        def choose(table, choices):
            def loss(values):
                self.x.update(((dtype, name), value) for name, value in zip(choices, values))
                return self.loss([table])
            loss(min(itertools.product(*choices.values()), key=loss))
        choose("moe_experts", {"grouped": GROUPED, "grouped-read": GROUPED_READ})
        if ("other", dtype) in self.rows:
            choose("other", {self.other(dtype): GROUPED})

    def run(self, products):
        step = {("gemm", n): s for n, (_, s) in START_GEMM.items()}
        step.update({(d, n): s for d in FITTED[self.gpu] for n, (_, s) in START_DTYPE.items()})
        step.update({(d, n): s for d in FITTED[self.gpu] for n, (_, s) in self.narrow(d).items()})
        gemm = self.search(list(step), step, ["gemm"])
        step = {("attention", n): s for n, (_, s) in START_ATTENTION.items()
                if n not in self.fixed and (self.gpu != "A100-SXM-80GB" or "fp8" not in n)}
        attention = 0 if products else self.search(list(step), step, ["context_attention", "generation_attention"])
        for dtype in FITTED[self.gpu]:
            self.scan(dtype)
        return self.part.elements(*self.constants()), gemm, attention


def fit(gpu, folder, products):
    elements, gemm, attention = Fit(gpu, folder).run(products)
    head = f"{data.PARTS[gpu]}: mean |log error| of products {gemm:.3f}, of attention {attention:.3f}"
    return "\n".join([head] + ["    " + e for e in elements])


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--data", required=True, type=pathlib.Path, help="folder of the measured kernels")
    options.add_argument("--gpu", choices=list(FITTED), help="only this one")
    options.add_argument("--products", action="store_true", help="only matrix products")
    arguments = options.parse_args()
    gpus = [arguments.gpu] if arguments.gpu else list(FITTED)
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for text in pool.map(fit, gpus, [arguments.data] * len(gpus), [arguments.products] * len(gpus)):
            print(text, flush=True)


if __name__ == "__main__":
    main()
