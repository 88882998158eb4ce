#!/usr/bin/env python3
"""Holds Perfetto and Kineto timelines to the Chrome one of the same run, read independently of the code that writes them.

  timeline_formats.py perfetto FILE.pftrace[.gz] CHROME.json
  timeline_formats.py kineto FOLDER CHROME.json RANKS

Perfetto: protobuf's wire format, decoded here; numbers of fields from perfetto's .proto files. Kineto: the members that Holistic Trace
Analysis reads (hta/common/trace_parser.py)."""
import gzip
import json
import pathlib
import re
import struct
import sys


def check(holds, *what):
    if not holds:
        sys.exit(" ".join(map(str, what)))


def read(path):
    data = pathlib.Path(path).read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


# ---- protobuf: encoding of messages, protobuf.dev/programming-guides/encoding

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data):
    """Field number -> list of values: int, 8 bytes or bytes."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = data[at:at + 8], at + 8
            check(len(value) == 8, "cut fixed64")
        else:
            check(kind == 2, "wire type", kind)
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
            check(len(value) == length, "cut bytes")
        found.setdefault(key >> 3, []).append(value)
    return found


def perfetto(path):
    """(slices [(process, thread, name, category, start, end)], counters {tier: [(ns, percent)]}, flows)."""
    trace = fields(read(path))
    check(set(trace) == {1}, "fields of the trace", set(trace))
    names, parents, units, open_slices, slices, counters, flows = {}, {}, {}, {}, [], {}, {"from": [], "to": []}
    packets = [fields(p) for p in trace[1]]
    for p in packets:
        check(p[10] == [1], "sequence")
    events = []
    for order, p in enumerate(packets):
        if 60 in p:
            d = fields(p[60][0])
            uuid = d[1][0]
            check(uuid not in names, "a track twice", uuid)
            if 3 in d:
                names[uuid] = fields(d[3][0])[6][0].decode()
            elif 4 in d:
                thread = fields(d[4][0])
                names[uuid], parents[uuid] = thread[5][0].decode(), d[5][0]
                check(thread[1][0] == d[5][0] and d[5][0] in names, "the process of a thread")
            else:
                names[uuid], units[uuid] = d[2][0].decode(), fields(d[8][0])[6][0]
        else:
            events.append((p[8][0], order, fields(p[11][0])))
    for now, _, e in sorted(events, key=lambda x: x[:2]):
        kind, track = e[9][0], e[11][0]
        check(track in names, "an event without a track")
        if kind == 1:
            open_slices.setdefault(track, []).append((now, e))
            flows["from"] += [struct.unpack("<Q", f)[0] for f in e.get(47, [])]
            flows["to"] += [struct.unpack("<Q", f)[0] for f in e.get(48, [])]
        elif kind == 2:
            check(open_slices.get(track), "an end without a begin")
            start, begun = open_slices[track].pop()
            slices.append((names[parents[track]], names[track], begun[23][0].decode(), begun[22][0].decode(), start, now))
        else:
            check(kind == 4 and units[track] == b"%", "kind", kind)
            counters.setdefault(names[track].removeprefix("load of tier "), []).append((now, struct.unpack("<d", e[44][0])[0]))
    check(not any(open_slices.values()), "slices that do not end")
    return slices, counters, flows


def chrome(path):
    events = json.loads(read(path))["traceEvents"]
    process = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    thread = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    ns = lambda x: round(x * 1000)
    slices = [(process[e["pid"]], thread[e["tid"]], e["name"], e["cat"], ns(e["ts"]), ns(e["ts"]) + ns(e["dur"])) for e in events if e["ph"] == "X"]
    counters = {}
    for e in events:
        if e["ph"] == "C":
            for tier, percent in e["args"].items():
                counters.setdefault(tier, []).append((ns(e["ts"]), percent))
    flows = {"from": [e["id"] for e in events if e["ph"] == "s"], "to": [e["id"] for e in events if e["ph"] == "f"]}
    return slices, counters, flows


def check_perfetto(path, other):
    slices, counters, flows = perfetto(path)
    wanted, wanted_counters, wanted_flows = chrome(other)
    check(sorted(slices) == sorted(wanted), "slices differ:", len(slices), len(wanted), set(slices) ^ set(wanted))
    check(counters.keys() == wanted_counters.keys(), "tiers", counters.keys(), wanted_counters.keys())
    for tier, points in counters.items():
        check([p[0] for p in points] == [p[0] for p in wanted_counters[tier]], "times of", tier)
        check(all(abs(a[1] - b[1]) < 0.00051 for a, b in zip(points, wanted_counters[tier])), "loads of", tier)
    check({k: sorted(v) for k, v in flows.items()} == {k: sorted(v) for k, v in wanted_flows.items()}, "flows")
    print(len(slices), "slices", sum(map(len, counters.values())), "counters", len(flows["from"]), "flows")


NCCL = re.compile(r"^nccl.*Kernel")  # hta/utils/utils.py


def check_kineto(folder, other, ranks):
    wanted = chrome(other)[0]
    files = sorted(pathlib.Path(folder).iterdir())
    check(len(files) == len(ranks), "files", files)
    seen = {}
    for path in files:
        data = json.loads(read(path))
        info = data["distributedInfo"]
        check(info["world_size"] >= len(ranks) and path.name == f"rank{info['rank']}.json.gz" and data["schemaVersion"] == 1, "head", info)
        events = [e for e in data["traceEvents"] if e["ph"] == "X"]
        check(len(events) + sum(e["ph"] == "M" for e in data["traceEvents"]) == len(data["traceEvents"]), "kinds of events")
        for e in events:
            check(isinstance(e["name"], str) and e["name"] and isinstance(e["cat"], str), "name and cat", e)
            check(all(isinstance(e[k], (int, float)) and e[k] >= 0 for k in ("ts", "dur")), "times", e)
            check(all(isinstance(e[k], int) for k in ("pid", "tid")), "pid and tid", e)
        kernels = [e for e in events if e["cat"] == "kernel"]
        launches = {e["args"]["correlation"]: e for e in events if e["cat"] == "cuda_runtime"}
        steps = [e for e in events if e["cat"] == "user_annotation"]
        check(len(kernels) + len(launches) + len(steps) == len(events), "categories")
        check([e["name"] for e in steps] == ["ProfilerStep#0"] and steps[0]["pid"] == next(iter(launches.values()))["pid"], "the step", steps)
        check(all(e["ts"] + e["dur"] <= steps[0]["ts"] + steps[0]["dur"] + 0.001 for e in kernels), "kernels end in the step")
        streams = {}
        for k in kernels:
            args = k["args"]
            check(args["stream"] == k["tid"] and isinstance(args["stream"], int) and args["device"] == k["pid"], "stream and device", k)
            launch = launches.pop(args["correlation"])
            check(launch["ts"] <= k["ts"] and launch["args"]["External id"] == args["External id"] and "stream" not in launch["args"], "launch", launch)
            check(bool(NCCL.match(k["name"])) == ("Collective name" in args), "communication is known by its name", k)
            streams.setdefault(k["tid"], []).append((k["ts"], k["ts"] + k["dur"]))
        check(not launches, "launches without kernels")
        for spans in streams.values():
            spans.sort()
            check(all(a[1] <= b[0] + 0.0011 for a, b in zip(spans, spans[1:])), "kernels of a stream follow each other")
        seen[info["rank"]] = sorted((round(k["ts"] * 1000), round(k["ts"] * 1000) + round(k["dur"] * 1000)) for k in kernels)
    check(sorted(seen) == sorted(ranks), "ranks", sorted(seen))
    for rank, kernels in seen.items():
        same = sorted(s[4:] for s in wanted if s[0].startswith(f"gpu{rank} (") and s[2] not in ("wait", "move") and s[3] != "delay")
        check(kernels == same, "kernels of rank", rank, len(kernels), len(same))
    print(len(seen), "ranks", sum(map(len, seen.values())), "kernels")


if sys.argv[1] == "perfetto":
    check_perfetto(*sys.argv[2:])
else:
    check_kineto(sys.argv[2], sys.argv[3], [int(r) for r in sys.argv[4].split(",")])
