#!/usr/bin/env python3
"""Report pages in a real browser: every chart is drawn, shows its values to pointer and keyboard, has its data as CSV, follows light and
dark, and the console stays silent. Prints TAP; skips where there is no chromium.
  tests/page/run.py               all of it
  tests/page/run.py --save DIR    and keep the screenshots, to look at them
FABSIM is the program under test."""
import csv
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import driver

ROOT = pathlib.Path(__file__).resolve().parents[2]
FABSIM = os.environ.get("FABSIM", str(ROOT / "build/fabsim"))
SAVE = pathlib.Path(sys.argv[2]) if sys.argv[1:2] == ["--save"] else None
if SAVE:
    SAVE.mkdir(parents=True, exist_ok=True)
count = failed = 0


def check(holds, what):
    global count, failed
    count += 1
    failed += not holds
    print(f"{'ok' if holds else 'not ok'} {count} - {what}", flush=True)


def fabsim(*arguments):
    return subprocess.run([FABSIM, *map(str, arguments)], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout


def simulate(folder, name, *arguments):
    path = folder / (name + ".json")
    fabsim(*arguments, "--quiet", "--json", path)
    return path


def sweep(folder):
    """A sweep of a few points, in its database."""
    plan, database = folder / "sweep.json", folder / "sweep.db"
    plan.write_text(json.dumps({
        "fabsim": "sweep/1", "name": "layouts", "topologies": [str(ROOT / "topologies/dgx2h.xml")], "traces": [str(ROOT / "workloads/megatron-8.3b-tp8.json")],
        "set": {"batch.global": 64}, "zip": {"parallel.tp": [2, 4, 8], "parallel.dp": [4, 2, 1]}, "grid": {"model.seq": [1024, 2048]}}))
    fabsim("sweep", plan, "-o", database, "--quiet")
    return database


# Keys of WebDriver
TAB, RIGHT, END, ESCAPE = "\ue004", "\ue014", "\ue010", "\ue00c"


class Page:
    def __init__(self, browser, path, name):
        self.browser, self.name = browser, name
        start = time.monotonic()
        browser.open(path)
        self.seconds = time.monotonic() - start
        self.charts = browser.run("return charts.map(c => [c.title, c.marks.length, c.rows.length])")

    def check(self, holds, what):
        check(holds, f"{self.name}: {what}")

    def check_drawn(self, wanted):
        titles = [c[0] for c in self.charts]
        self.check(all(w in titles for w in wanted), f"has {', '.join(wanted)} among {titles}")
        self.check(all(marks > 0 and rows > 1 for _, marks, rows in self.charts), "each chart has marks and data")
        self.check(self.seconds < 5, f"opens soon ({self.seconds:.2f} s)")
        overflow = self.browser.run("return document.documentElement.scrollWidth - innerWidth")
        self.check(overflow <= 0, "nothing sticks out to the right")
        numbers = self.browser.run("return [...document.querySelectorAll('svg *')].some(n => [...n.attributes].some(a => /NaN|undefined|Infinity/.test(a.value)) || /NaN|undefined/.test(n.textContent))")
        self.check(not numbers, "no NaN is drawn or written")

    def check_hover(self, chart):
        place = self.browser.run("""
            const c = charts[arguments[0]], m = c.marks[Math.floor(c.marks.length / 2)];
            c.svg.scrollIntoView({block: "center"});
            const box = c.svg.getBoundingClientRect(), scale = box.width / WIDTH;
            return [box.left + (m.x + m.w / 2) * scale, box.top + (m.y + m.h / 2) * scale]""", chart)
        self.browser.hover(*place)
        shown = self.browser.run("const t = document.getElementById('tip'); return t.hidden ? '' : t.textContent")
        texts = self.browser.run("return charts[arguments[0]].marks.map(m => m.text)", chart)
        self.check(shown != "" and shown in texts, f"{self.charts[chart][0]}: the pointer sees a value")
        self.browser.hover(2, 2)
        self.check(self.browser.run("return document.getElementById('tip').hidden"), f"{self.charts[chart][0]}: and nothing when it leaves")

    def check_keyboard(self):
        self.browser.run("document.activeElement.blur(); window.scrollTo(0, 0)")
        reached, steps = set(), 3 * len(self.charts) + 20
        for _ in range(steps):
            if len(reached) == len(self.charts):
                break
            self.browser.press(TAB)
            at = self.browser.run("return charts.findIndex(c => c.svg === document.activeElement)")
            if at >= 0 and at not in reached:
                reached.add(at)
                self.browser.press(RIGHT)
                first = self.browser.run("const t = document.getElementById('tip'); return t.hidden ? '' : t.textContent")
                outline = self.browser.run("return getComputedStyle(document.activeElement).outlineStyle")
                if first != self.browser.run("return charts[arguments[0]].marks[0].text", at) or outline == "none":
                    reached.discard(at)
                    break
        self.check(len(reached) == len(self.charts), f"the keyboard reaches {len(reached)} of {len(self.charts)} charts and their first values")
        self.browser.press(END)
        last = self.browser.run("return document.getElementById('tip').textContent")
        self.check(last in self.browser.run("return charts.map(c => c.marks[c.marks.length - 1].text)"), "End shows the last value")
        self.browser.press(ESCAPE)
        self.check(self.browser.run("return document.getElementById('tip').hidden"), "Escape hides it")

    def check_csv(self):
        good = True
        for i, (title, _, rows) in enumerate(self.charts):
            table = list(csv.reader(io.StringIO(self.browser.run("return charts[arguments[0]].csv()", i))))
            good = good and len(table) == rows and len({len(row) for row in table}) == 1 and all(table[0])
        self.check(good, "the CSV of each chart reads back as a table")
        named = self.browser.run("""
            const a = document.querySelector("figcaption a");
            a.addEventListener("click", e => e.preventDefault());
            a.click();
            return a.download + " " + a.href.slice(0, 5)""")
        self.check(named == "fabsim-1.csv blob:", "the link offers a file")

    def check_schemes(self):
        light = driver.colours(self.browser.screenshot(scale=0.25))
        self.browser.scheme("dark")
        dark = driver.colours(self.browser.screenshot(scale=0.25))
        if SAVE:
            (SAVE / f"{self.name}-dark.png").write_bytes(self.browser.screenshot())
        self.browser.scheme("light")
        if SAVE:
            (SAVE / f"{self.name}.png").write_bytes(self.browser.screenshot())
        brightness = lambda seen: sum(max(seen, key=seen.get))
        self.check(len(light) > 20 and len(dark) > 20, f"the pictures are not blank ({len(light)} and {len(dark)} colours)")
        self.check(brightness(light) > 600 and brightness(dark) < 150, "paper is light, and dark in dark mode")

    def check_silent(self):
        messages = self.browser.messages()
        self.check(not messages, f"the console is silent {messages}")

    def check_all(self, wanted):
        self.check_drawn(wanted)
        for i in range(len(self.charts)):
            self.check_hover(i)
        self.check_keyboard()
        self.check_csv()
        self.check_schemes()
        self.check_silent()


HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(2)> "quoted" \\ <!--'


def hostile(folder, result):
    """A result whose names try to be HTML."""
    data = json.loads(result.read_text())
    data["trace"]["name"] = data["topology"]["name"] = data["links"][0]["link"] = data["tiers"][0]["name"] = HOSTILE
    data["breakdown"][0]["name"] = data["communication"][0]["group"] = HOSTILE
    path = folder / "hostile.json"
    path.write_text(json.dumps(data))
    return path


def test(browser, folder):
    dgx1 = simulate(folder, "dgx1", "topologies/dgx1-v100.xml", "workloads/ring-allreduce.json")
    llama = simulate(folder, "llama", "topologies/h100-16k.xml", "workloads/llama3-405b-16k.json")
    study = simulate(folder, "study", "topologies/colossus-100k.xml", "workloads/moe-1.8t-100k.json", "--scale", "49152,98304")
    serve = simulate(folder, "serve", "topologies/gb200-nvl72.xml", "workloads/deepseek-r1-disagg.json")
    faulty = simulate(folder, "faulty", "topologies/dgx1-v100.xml", "workloads/ring-allreduce.json", "--fault", "link:gpu0-gpu3=0.5")
    coll = folder / "coll.json"
    coll.write_text(fabsim("coll", "topologies/dgx-h100.xml", "--json"))
    cases = [
        ("dgx1", [dgx1], ["Where the step goes", "Timeline", "Load of links over time", "Busiest links", "Fabric", "Communication"]),
        ("llama", [llama], ["Memory per GPU", "Timeline", "Fabric"]),
        ("study", [study], ["Scaling"]),
        ("serve", [serve], ["Latency", "Pools", "Memory per GPU"]),
        ("together", [dgx1, faulty, coll], ["Where the step goes", "Bus bandwidth: all_reduce"]),
        ("sweep", [sweep(folder)], ["All points", "Sensitivity", "Two columns"]),
        ("hostile", [hostile(folder, dgx1)], ["Fabric"]),
    ]
    for name, results, wanted in cases:
        page = folder / (name + ".html")
        fabsim("report", *results, "-o", page)
        Page(browser, page, name).check_all(wanted)
    check(browser.run("return document.querySelector('h1').textContent") == HOSTILE + " on " + HOSTILE, "hostile names are names")
    check(browser.run("return document.querySelectorAll('img').length + document.scripts.length") == 2, "and nothing else")
    text = (folder / "study.html").read_text()
    check(len(text) < 3_000_000, f"the page of 98,304 GPUs is small ({len(text)} bytes)")
    check("http" not in text.split('id="data"')[0] and "src=" not in text.split('id="data"')[0], "the page asks for nothing from elsewhere")
    scripts = sum(f.stat().st_size for f in (ROOT / "sim/page").glob("*.js"))
    check(scripts < 300_000, f"the script is small ({scripts} bytes)")


def main():
    if not driver.available():
        print("1..0 # SKIP no chromium and chromedriver: scripts/install-deps.sh test installs them from Debian")
        return 0
    browser = driver.Browser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            test(browser, pathlib.Path(folder))
    finally:
        browser.close()
    print(f"1..{count}")
    return failed != 0


sys.exit(main())
