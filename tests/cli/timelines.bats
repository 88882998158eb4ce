load helper

job() { echo "$root/topologies/dgx-h100.xml $root/workloads/overlap.json --quiet --fold off"; }
pipeline() { echo "$root/topologies/dgx-h100-x2.xml $root/workloads/megatron-8.3b-tp8.json --quiet --fold off --set parallel.tp=2 --set parallel.pp=4 --set parallel.dp=1"; }

@test "Perfetto's form says what Chrome's says, plain and compressed" {
    for job in job pipeline; do
        fabsim $($job) --timeline t.json
        fabsim $($job) --timeline t.pftrace
        fabsim $($job) --timeline t.pftrace.gz
        cmp t.pftrace <(gzip -dc t.pftrace.gz)
        "$root/tests/cli/timeline_formats.py" perfetto t.pftrace t.json
        [ "$(stat -c %s t.pftrace)" -lt "$(stat -c %s t.json)" ]
    done
    fabsim $(job) --timeline other.json --timeline-format perfetto
    fabsim $(job) --timeline t.pftrace
    cmp other.json t.pftrace
}

@test "Kineto's form: a file for each rank, with what Holistic Trace Analysis reads" {
    for job in job pipeline; do
        rm -rf k
        fabsim $($job) --timeline t.json
        fabsim $($job) --timeline k --timeline-format kineto
        "$root/tests/cli/timeline_formats.py" kineto k t.json 0,1,2,3,4,5,6,7
    done
    fabsim $(pipeline) --timeline some --timeline-format kineto --timeline-ranks 1,6-7
    "$root/tests/cli/timeline_formats.py" kineto some t.json 1,6,7
    cmp some/rank6.json.gz k/rank6.json.gz
}

@test "--timeline-ranks: those ranks, folded or not" {
    fabsim $(job) --timeline all.json
    fabsim $(job) --timeline some.json --timeline-ranks 2,5-6
    python3 - <<'END'
import json
def slices(path):
    events = json.load(open(path))["traceEvents"]
    names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    found = {}
    for e in events:
        if e["ph"] == "X":
            found.setdefault(names[e["pid"]], []).append((e["ts"], e["dur"], e["name"]))
    return found
all_ranks, some = slices("all.json"), slices("some.json")
assert len(some) == 3 and [n.split()[0] for n in sorted(some)] == ["gpu2", "gpu5", "gpu6"], some.keys()
assert all(all_ranks[name] == some[name] for name in some)
END
    fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/overlap.json" --quiet --timeline folded.json --timeline-ranks 2,5-6
    python3 - <<'END'
import json
count = lambda path: sum(e["ph"] == "X" for e in json.load(open(path))["traceEvents"])
assert count("folded.json") == count("some.json") > 0
END
}

@test "--timeline-window: what touches that time, and loads within it" {
    fabsim $(pipeline) --timeline all.json
    fabsim $(pipeline) --timeline window.json --timeline-window 0.4s..700ms
    python3 - <<'END'
import json
def read(path):
    events = json.load(open(path))["traceEvents"]
    return ([(e["pid"], e["ts"], e["dur"], e["name"]) for e in events if e["ph"] == "X"],
            [(e["pid"], e["ts"], *e["args"].values()) for e in events if e["ph"] == "C"])
(all_slices, all_loads), (slices, loads) = read("all.json"), read("window.json")
low, high = 400e3, 700e3
ops = lambda slices: {s for s in slices if s[3] not in ("wait", "move")}
assert ops(slices) == {s for s in ops(all_slices) if s[1] + s[2] >= low and s[1] <= high}
assert 0 < len(slices) < len(all_slices)
assert loads and all(low <= ts <= high for _, ts, _ in loads)
inside = lambda loads: {l for l in loads if low < l[1] < high}
assert inside(loads) == inside(all_loads)
END
}
