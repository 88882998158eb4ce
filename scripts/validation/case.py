"""A measured case beside what fabsim says of it. Each module here that knows a class of measurements (MODULES in
scripts/validate.py) has a function cases(subset) that yields these; scripts/validate.py turns them into pages, plots and error bars."""
import csv
import dataclasses
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FABSIM = os.environ.get("FABSIM", str(ROOT / "build/fabsim"))


def table(name):
    """Rows of a file of tests/validation/."""
    with open(ROOT / "tests/validation" / name, newline="") as file:
        return list(csv.DictReader(file))


def ask(words, what=""):
    """What fabsim says, as JSON, to a command that asks for it; `what`: the case, for whom it fails."""
    run = subprocess.run([FABSIM, *words], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{what}{': ' if what else ''}{' '.join([FABSIM, *words])}\n{run.stderr}")
    return json.loads(run.stdout)


@dataclasses.dataclass(frozen=True)
class Case:
    klass: str        # class of cases whose errors are summed up together: "gemm", "collectives, one node, large"
    series: str       # what was measured in one go, by the same people, machine and software
    name: str         # which of the series: "m 4096, n 12288, k 12288", "256 MiB"
    unit: str         # of the next two: "us", "GB/s", "TFLOP/s"
    measured: float
    simulated: float
    fitted: bool      # whether any constant was fitted on this series
    source: str       # where the measurement was published

    @property
    def error(self):
        """Relative: 0.1 is simulated 10 % above measured. Of percentages the difference: 0.1 is ten points."""
        if self.unit == "%":
            return (self.simulated - self.measured) / 100
        return self.simulated / self.measured - 1
