"""Measured kernels beside the kernel model's: products, attention, experts. The samples are drawn by scripts/sample_kernels.py;
kernel_data.py says what was fitted on what."""
import pathlib

from validation import kernel_data as data
from validation.case import ROOT, Case

SAMPLES = {"gemm": "gemm", "context_attention": "attention_prefill", "generation_attention": "attention_decode",
           "moe_experts": "moe_experts"}


def klass(table, row):
    if table == "gemm":
        return "GEMM, m >= 128" if int(row["m"]) >= 128 else "GEMM, m < 128"
    if data.is_fallback(row):
        return "attention, fallback kernels"
    return {"context_attention": "attention, prefill", "generation_attention": "attention, decode", "moe_experts": "experts"}[table]


def series(table, row):
    kind = row["dtype"] if "dtype" in row else f"{row['attn_dtype']}, cache {row['kv_dtype']}"
    half = ""
    if row["gpu"] == "A100-SXM-80GB":
        half = ", fitted families" if data.is_fitted(table, row) else ", other families"
    return f"{row['gpu']} {kind}{half}"


def name(table, row):
    keys = [k for k in row if k not in ("gpu", "dtype", "attn_dtype", "kv_dtype", "ms", "fitted", "source")]
    return ", ".join(f"{k} {row[k]}" for k in keys)


def cases_of(folder, files, step=1):
    """Cases of all rows, or each step-th, of tables under a folder."""
    for table, file in files.items():
        rows = data.read(pathlib.Path(folder) / f"{file}.csv")[::step]
        for gpu, part in data.PARTS.items():
            mine = [r for r in rows if r["gpu"] == gpu]
            times = data.price(part, [data.KERNELS[table](r) for r in mine]) if mine else []
            for row, us in zip(mine, times):
                yield Case(klass=klass(table, row), series=series(table, row), name=name(table, row), unit="us",
                           measured=float(row["ms"]) * 1e3, simulated=us, fitted=data.is_fitted(table, row),
                           source=row.get("source", "measured systems data of ai-dynamo/aiconfigurator"))


def cases(subset=False):
    """All rows of the samples; a subset is every fourth."""
    yield from cases_of(ROOT / "tests/validation", SAMPLES, 4 if subset else 1)


def main():
    """python3 -m validation.kernels [DIR]: mean errors by class and series, of the samples or of whole tables."""
    import sys
    errors = {}
    folder, files = (sys.argv[1], {t: t for t in SAMPLES}) if len(sys.argv) > 1 else (ROOT / "tests/validation", SAMPLES)
    for case in cases_of(folder, files):
        for key in ((case.klass, "fitted" if case.fitted else "judged", ""), (case.klass, "series", case.series)):
            errors.setdefault(key, []).append(case.error)
    for (k, kind, s), e in sorted(errors.items()):
        middle = sorted(e)[len(e) // 2]
        print(f"{k:22s} {kind:7s} {s:44s} n {len(e):6d}  mean |error| {sum(map(abs, e)) / len(e):6.1%}  median {middle:+6.1%}  "
              f"max {max(map(abs, e)):6.1%}")


if __name__ == "__main__":
    main()
