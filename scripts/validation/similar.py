"""What the program says of runs like one: sim/report/measured.csv, the mean error of the measured cases of each class of runs."""
from validation.case import ROOT

TABLE = ROOT / "sim/report/measured.csv"
HEAD = "class;cases;mean error in percent"
errors = {}  # class of the run, as fabsim names it: absolute errors of the cases that nothing was fitted on


def remember(result, case):
    """The class of a run, and the wider one that it is in, get the case's error."""
    if case.fitted:
        return
    parts = result["similar"]["class"].split(", ")
    for name in {", ".join(parts), ", ".join(parts[:2])}:
        errors.setdefault(name, []).append(abs(case.error))


def kind(name):
    return name.split(",")[0].split()[-1]  # training, serving


def write():
    """Lines of kinds that were not simulated now stay as they are."""
    seen = {kind(name) for name in errors}
    lines = [line for line in TABLE.read_text().splitlines()[1:] if kind(line) not in seen]
    lines += [f"{name};{len(found)};{100 * sum(found) / len(found):.1f}" for name, found in errors.items()]
    TABLE.write_text("\n".join([HEAD] + sorted(lines)) + "\n")
