"""Cases into pages: tables, sums, and plots of measured against simulated as SVG, the same bytes for the same cases."""
import html
import math
import re

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999933", "#aa4499"]  # Okabe and Ito 2008; Tol 2021


def slug(text):
    for sign, word in ((">=", " from "), ("<=", " to "), (">", " above "), ("<", " below ")):
        text = text.replace(sign, word)
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def grouped(cases, key):
    groups = {}
    for case in cases:
        groups.setdefault(key(case), []).append(case)
    return groups


def number(value):
    """Four significant digits, thousands apart."""
    if value == 0:
        return "0"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 6)}f}"


def unit_of_errors(cases):
    return "points" if cases and cases[0].unit == "%" else "%"


def percent(case):
    return f"{100 * case.error:+.1f} {unit_of_errors([case])}"


def figures(cases):
    """n, mean and maximum of the absolute errors, in percent."""
    errors = [100 * abs(case.error) for case in cases]
    return (len(errors), sum(errors) / len(errors), max(errors)) if errors else (0, 0, 0)


def figures_cells(cases):
    (n, mean, most), unit = figures(cases), unit_of_errors(cases)
    return f"{n} | {mean:.1f} {unit} | {most:.1f} {unit}" if n else "0 | - | -"


def case_line(case):
    measured, simulated = (number(value) for value in (case.measured, case.simulated))
    return f"| {case.name} | {measured} {case.unit} | {simulated} {case.unit} | {percent(case)} |"


def split(cases):
    return [case for case in cases if not case.fitted], [case for case in cases if case.fitted]


def series_table(cases):
    """A line for each series: what is judged by, then what was fitted on."""
    lines = ["| series | fitted on it | cases | bias | mean | max | source |", "|---|---|---|---|---|---|---|"]
    for series, members in sorted(grouped(cases, lambda case: case.series).items()):
        (n, mean, most), unit = figures(members), unit_of_errors(members)
        bias = 100 * sum(case.error for case in members) / n
        fitted = "yes" if members[0].fitted else "no"
        lines.append(f"| {series} | {fitted} | {n} | {bias:+.1f} {unit} | {mean:.1f} {unit} | {most:.1f} {unit} | {members[0].source} |")
    return "\n".join(lines)


def page(klass, cases, aim):
    """All cases of a class: a plot, the sums, a table for each series."""
    judged, fitted = split(cases)
    lines = [f"# {klass[0].upper()}{klass[1:]}", "", "Written by `make validate`; [VALIDATION.md](../VALIDATION.md) says what it means.", "",
             f"![measured against simulated]({slug(klass)}.svg)", "",
             "| | cases | mean absolute error | max |", "|---|---|---|---|",
             f"| nothing fitted on them | {figures_cells(judged)} |", f"| something fitted on their series | {figures_cells(fitted)} |"]
    if aim:
        lines.append(f"| aim, for the first line | | {aim} |")
    lines += ["", series_table(cases)]
    for series, members in sorted(grouped(cases, lambda case: case.series).items()):
        lines += ["", f"## {series}", ""]
        if members[0].fitted:
            lines += ["Something was fitted on this series.", ""]
        lines += ["| case | measured | simulated | error |", "|---|---|---|---|"]
        lines += [case_line(case) for case in members]
    return "\n".join(lines) + "\n"


# ---- plots ------------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP, SIDE = 720, 480, 62, 18, 400


def ticks(low, high, linear):
    """Logarithmic: 1, 2, 5 x 10^n, powers of ten alone where there are many. Linear: every five or ten."""
    if linear:
        step = 5 if high - low < 50 else 10
        return [float(tick) for tick in range(0, math.ceil(high), step) if tick >= low]
    steps = (1, 2, 5) if high / low < 300 else (1,)
    every = max(1, math.ceil(math.log10(high / low) / 8))
    found = [step * 10.0 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1, every) for step in steps]
    return [tick for tick in found if low <= tick <= high]


def tick_text(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def mark(case, x, y, colour):
    """Filled: nothing fitted on it. Hollow: fitted."""
    paint = f'fill="none" stroke="{colour}"' if case.fitted else f'fill="{colour}" fill-opacity="0.75"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" {paint}/>'


def plot(klass, cases):
    """Both axes alike, logarithmic but for percentages; the diagonal is agreement, the band 10 % or 3 points either way."""
    values = [value for case in cases for value in (case.measured, case.simulated) if value > 0]
    unit, linear = cases[0].unit, cases[0].unit == "%"
    low, high = (min(values) - 3, max(values) + 3) if linear else (min(values) / 1.15, max(values) * 1.15)
    scale = (lambda value: value) if linear else math.log
    span = scale(high) - scale(low)

    def along(value):
        return (scale(value) - scale(low)) / span * SIDE

    wide = (3 if linear else math.log(1.1)) / span * SIDE
    corner = TOP + SIDE
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
           'font-family="sans-serif" font-size="11">',
           "<style>.ink{fill:#24292f}.line{stroke:#8c959f}.band{fill:#8c959f;fill-opacity:.18}.paper{fill:#ffffff}"
           "@media(prefers-color-scheme:dark){.ink{fill:#d0d7de}.line{stroke:#6e7681}.paper{fill:#0d1117}}</style>",
           f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
           f'<clipPath id="in"><rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"/></clipPath>',
           f'<polygon class="band" clip-path="url(#in)" points="{LEFT},{corner - wide:.1f} {LEFT + SIDE},{TOP - wide:.1f} '
           f'{LEFT + SIDE},{TOP + wide:.1f} {LEFT},{corner + wide:.1f}"/>',
           f'<path class="line" fill="none" d="M{LEFT},{TOP}V{corner}H{LEFT + SIDE}M{LEFT},{corner}L{LEFT + SIDE},{TOP}"/>']
    for tick in ticks(low, high, linear):
        at = along(tick)
        out.append(f'<path class="line" d="M{LEFT + at:.1f},{corner}v4M{LEFT},{corner - at:.1f}h-4"/>'
                   f'<text class="ink" x="{LEFT + at:.1f}" y="{corner + 16}" text-anchor="middle">{tick_text(tick)}</text>'
                   f'<text class="ink" x="{LEFT - 7}" y="{corner - at + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>')
    out.append(f'<text class="ink" x="{LEFT + SIDE / 2}" y="{corner + 36}" text-anchor="middle">measured, {html.escape(unit)}</text>'
               f'<text class="ink" transform="translate(13,{TOP + SIDE / 2}) rotate(-90)" text-anchor="middle">simulated, {html.escape(unit)}</text>')
    series = sorted(grouped(cases, lambda case: case.series).items())
    for i, (name, members) in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        out += [mark(case, LEFT + along(case.measured), corner - along(case.simulated), colour) for case in members if case.simulated > 0]
        if i < 28:
            text = name if i < 27 or len(series) == 28 else f"and {len(series) - 27} more"
            hollow = members[0]
            out.append(mark(hollow, LEFT + SIDE + 20, TOP + 8 + 15 * i, colour))
            out.append(f'<text class="ink" x="{LEFT + SIDE + 30}" y="{TOP + 12 + 15 * i}">{html.escape(text[:36])}</text>')
    note = f"hollow: fitted on; grey: within {'3 points' if linear else '10 %'}"
    out.append(f'<text class="ink" x="{LEFT + SIDE + 16}" y="{corner + 36}">{note}</text>')
    return "\n".join(out) + "\n</svg>\n"
