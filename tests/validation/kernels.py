#!/usr/bin/env python3
"""Mean errors of the kernel model on the samples that nothing was fitted on, as TAP. LIMITS are what it reached, and a little:
they may shrink and must not grow. The samples say themselves what was fitted; that must be the rule's word."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"))
from validation import kernel_data as data  # noqa: E402
from validation import kernels  # noqa: E402

# (class, part of the series' name) -> mean |error|
LIMITS = {("GEMM, m >= 128", "H200-SXM bf16"): 0.06, ("GEMM, m >= 128", "A100-SXM-80GB bf16, other"): 0.09,
          ("GEMM, m >= 128", ""): 0.08, ("GEMM, m < 128", ""): 0.095, ("attention, prefill", ""): 0.13,
          ("attention, decode", ""): 0.105, ("experts", "nvfp4"): 0.215, ("experts", ""): 0.205}


def main():
    cases = list(kernels.cases())
    print(f"1..{len(LIMITS) + 1}")
    for i, ((klass, series), limit) in enumerate(LIMITS.items(), 1):
        errors = [abs(c.error) for c in cases if c.klass == klass and series in c.series and not c.fitted]
        mean = sum(errors) / len(errors)
        print(f"{'ok' if mean <= limit else 'not ok'} {i} - {klass} {series}: mean {mean:.1%} of {len(errors)}, at most {limit:.1%}")
    wrong = [f"{file}: {row}" for table, file in kernels.SAMPLES.items()
             for row in data.read(data.ROOT / f"tests/validation/{file}.csv")
             if (row["fitted"] == "yes") != data.is_fitted(table, row)]
    print(f"{'not ok' if wrong else 'ok'} {len(LIMITS) + 1} - samples say what was fitted")
    for line in wrong[:5]:
        print("# " + line)


if __name__ == "__main__":
    main()
