#!/usr/bin/env python3
"""Holds a timeline to the "Trace Event Format", read independently of the code that writes it.

  timeline.py FILE.json|FILE.json.gz

Every event has the members that its kind requires; slices of a thread nest; an arrow leaves and arrives inside a send and
its receive, on their thread, forwards in time; each tier is a process of its own with one counter in percent that says
nothing before the start and ends with the run. Prints what it has seen: slices, arrows, counters."""
import gzip
import json
import sys

REQUIRED = {  # beside ph, pid, tid, name
    "M": ["args"],
    "X": ["ts", "dur", "cat", "args"],
    "s": ["ts", "id", "cat"],
    "f": ["ts", "id", "cat", "bp"],
    "C": ["ts", "args"],
}
OPTIONAL_ARGS = {"wait", "move"}  # slices inside an op, which carries the arguments


def check(condition, what, event):
    if not condition:
        sys.exit(f"{what}: {event}")


def ns(event, key):
    """Whole nanoseconds, so that no comparison below needs a tolerance."""
    value = event[key]
    check(isinstance(value, (int, float)) and value >= 0, f"{key} is no time", event)
    return round(value * 1000)


def check_members(event):
    check(event.get("ph") in REQUIRED, "unknown kind", event)
    for key in ["pid", "tid"]:
        check(isinstance(event.get(key), int) and event[key] >= 0, f"{key} is no number", event)
    check(isinstance(event.get("name"), str) and event["name"], "no name", event)
    for key in REQUIRED[event["ph"]]:
        check(key in event or key == "args" and event["name"] in OPTIONAL_ARGS, f"no {key}", event)
    check(event["pid"] > 0, "pid 0 is the idle task", event)


def metadata(events):
    """{pid: name}, {(pid, tid): name}; all sort indices are there and differ."""
    found = {"process_name": {}, "process_sort_index": {}, "thread_name": {}, "thread_sort_index": {}}
    for event in (e for e in events if e["ph"] == "M"):
        check(event["name"] in found, "unknown metadata", event)
        key = event["pid"] if event["name"].startswith("process") else (event["pid"], event["tid"])
        kind = str if event["name"].endswith("name") else int
        value = event["args"].get("name" if kind is str else "sort_index")
        check(isinstance(value, kind) and value != "", "no value", event)
        check(key not in found[event["name"]], "said twice", event)
        found[event["name"]][key] = value
    processes, threads = found["process_name"], found["thread_name"]
    check(found["process_sort_index"].keys() == processes.keys(), "sort index and name", "processes")
    check(len(set(found["process_sort_index"].values())) == len(processes), "sort index twice", "processes")
    check(found["thread_sort_index"].keys() == threads.keys(), "sort index and name", "threads")
    check(len({tid for _, tid in threads}) == len(threads), "a thread id in two processes", "threads")
    check(not processes.keys() & {tid for _, tid in threads}, "a thread is numbered as a process", "threads")
    return processes, threads


def check_nesting(slices):
    """Of one thread, as written: a parent before its children. Each lies inside the one that is open, or after it."""
    open_ends = []
    for event in sorted(slices, key=lambda e: (ns(e, "ts"), -ns(e, "dur"))):
        begin, end = ns(event, "ts"), ns(event, "ts") + ns(event, "dur")
        while open_ends and open_ends[-1] <= begin:
            open_ends.pop()
        check(not open_ends or end <= open_ends[-1], "sticks out of the slice around it", event)
        open_ends.append(end)


def check_arrows(events, by_thread):
    ends = {"s": {}, "f": {}}
    for event in (e for e in events if e["ph"] in "sf"):
        check(event["id"] not in ends[event["ph"]], "an arrow with two ends alike", event)
        ends[event["ph"]][event["id"]] = event
        role = "send" if event["ph"] == "s" else "recv"
        inside = [x for x in by_thread.get((event["pid"], event["tid"]), [])
                  if ns(x, "ts") <= ns(event, "ts") <= ns(x, "ts") + ns(x, "dur") and x["cat"] == role]
        check(inside, f"no {role} at this end of the arrow", event)
        check(event["ph"] == "s" or event["bp"] == "e", "binds to the next slice", event)
    check(ends["s"].keys() == ends["f"].keys(), "arrows with one end", "all")
    for key, leaves in ends["s"].items():
        arrives = ends["f"][key]
        check(ns(leaves, "ts") <= ns(arrives, "ts"), "goes back in time", leaves)
        check((leaves["name"], leaves["cat"]) == (arrives["name"], arrives["cat"]), "two arrows in one", leaves)
    return len(ends["s"])


def check_counters(events, processes, end):
    last = {}
    for event in (e for e in events if e["ph"] == "C"):
        tier = processes.get(event["pid"], "")
        check(tier.startswith("tier "), "a counter of no tier", event)
        check(event["name"] == "load %" and list(event["args"]) == [tier[5:]], "not the tier's load", event)
        check(0 <= event["args"][tier[5:]] <= 100.001, "no percentage", event)
        check(ns(event, "ts") > last.get(event["pid"], -1), "time goes back", event)
        check(event["pid"] in last or ns(event, "ts") == 0, "starts late", event)
        last[event["pid"]] = ns(event, "ts")
    check(last.keys() == {pid for pid, name in processes.items() if name.startswith("tier ")}, "tiers", last)
    check(all(t >= end for t in last.values()), "a counter ends before the run", last)
    return len(last)


def main(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        document = json.load(file)
    check(document.get("displayTimeUnit") in ("ms", "ns"), "displayTimeUnit", document.keys())
    events = document["traceEvents"]
    for event in events:
        check_members(event)
    processes, threads = metadata(events)
    by_thread = {}
    for event in (e for e in events if e["ph"] == "X"):
        by_thread.setdefault((event["pid"], event["tid"]), []).append(event)
    check(by_thread.keys() <= threads.keys(), "slices on a thread without a name", by_thread.keys() - threads.keys())
    check(all(processes[pid].startswith("gpu") for pid, _ in by_thread), "slices outside of a GPU", processes)
    for slices in by_thread.values():
        check_nesting(slices)
    arrows = check_arrows(events, by_thread)
    end = max(ns(e, "ts") + ns(e, "dur") for slices in by_thread.values() for e in slices)
    counters = check_counters(events, processes, end)
    print(f"{sum(map(len, by_thread.values()))} slices, {arrows} arrows, {counters} counters")


main(sys.argv[1])
