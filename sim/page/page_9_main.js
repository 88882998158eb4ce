/* page_9_main.js - from the data in the page to its sections. */

function facts(parent, list) {
    const dl = el(parent, "dl", { class: "figures" });
    for (const [name, value, note] of list) {
        if (value === null || value === undefined) continue;
        const div = el(dl, "div");
        el(div, "dt", { text: name });
        const dd = el(div, "dd", { text: value });
        if (note) { dd.append(" "); el(dd, "small", { text: note }); }
    }
}

function runFacts(parent, r) {
    const v = r.result, s = v.serving;
    if (s) facts(parent, [["Throughput", format.many(s.output_tokens_per_s) + " tokens/s", "out"], ["per GPU", format.number(s.output_tokens_per_s_per_gpu), s.lpus > 0 && "of " + format.count(s.gpus) + ", beside " + format.count(s.lpus) + " LPUs"],
        ["per user", format.number(s.output_tokens_per_s_per_user)], ["TTFT p99", s.ttft_s && format.seconds(s.ttft_s.p99)], ["TPOT p99", s.tpot_s && format.seconds(s.tpot_s.p99)],
        ["SLO met", s.slo && format.percent(s.slo.met)]]);
    else facts(parent, [["Step", format.seconds(v.step_time_s)], ["Arithmetic", v.tflops_per_gpu && digits(v.tflops_per_gpu) + " TFLOP/s", "per GPU"],
        ["MFU", v.mfu && format.percent(v.mfu)], ["Throughput", v.tokens_per_s && format.many(v.tokens_per_s) + " tokens/s"],
        ["Memory", v.memory && digits(v.memory.total_bytes / 1e9) + " GB", v.memory && "of " + digits(v.memory.gpu_bytes / 1e9) + (v.memory.fits ? "" : ": DOES NOT FIT")],
        ["Similar measured", v.similar && v.similar.mean_error && format.percent(v.similar.mean_error), "mean error"]]);
}

function section(main, nav, id, title) {
    const part = el(main, "section", { id });
    el(part, "h2", { text: title });
    el(el(nav, "li"), "a", { href: "#" + id, text: cut(title, 60) });
    return part;
}

/* A chart that cannot be drawn says so and keeps the others. */
function attempt(parent, f, ...args) {
    try { f(parent, ...args); } catch (error) {
        el(parent, "p", { text: "A chart could not be drawn: " + error.message });
        console.error(error);
    }
}

/* "name" where names differ, else with what tells the results apart. */
function label(items) {
    const count = name => items.filter(i => i.name === name).length;
    items.forEach((i, k) => { i.label = count(i.name) > 1 ? cut(i.file.split("/").pop().replace(/\.json(\.gz)?$/, ""), 40) + (items.filter(o => o.file === i.file).length > 1 ? " " + (k + 1) : "") : i.name; });
}

function show() {
    const data = JSON.parse(document.getElementById("data").textContent), main = document.querySelector("main"), nav = document.querySelector("nav ul");
    defineHeat();
    tip.node = document.getElementById("tip");
    for (const item of data) item.name = item.kind === "run" ? item.result.trace.name : item.kind === "coll" ? item.result.op : item.kind === "pareto" ? item.result.trace : item.file;
    const of = kind => data.filter(i => i.kind === kind), runs = of("run");
    label(data);
    const title = data.length === 1 && runs.length ? runs[0].result.trace.name + " on " + runs[0].result.topology.name : "fabsim report";
    document.querySelector("h1").textContent = document.title = title;
    if (runs.length > 1) {
        const part = section(main, nav, "together", "Results side by side");
        for (const f of [drawBreakdown, drawScaling, drawMemory, drawLatencies]) attempt(part, f, runs);
    }
    runs.forEach((r, k) => {
        const v = r.result, part = section(main, nav, "result" + k, r.label);
        el(part, "p", { text: `${v.trace.name} on ${v.topology.name}: ${format.count(v.trace.ranks)} ranks, ${format.count(v.topology.gpus)} GPUs. ${v.trace.file}, ${v.topology.file}` + (v.faults && v.faults.length ? ". Faults: " + v.faults.join(", ") : "") });
        runFacts(part, r);
        if (runs.length === 1) for (const f of [drawBreakdown, drawScaling, drawLatencies]) attempt(part, f, runs);
        for (const f of [drawPools, drawTimeline, drawLoad, drawBusiest, drawFabric, drawCommunication]) attempt(part, f, r);
        if (runs.length === 1) attempt(part, drawMemory, runs);
        el(part, "p", { text: "fabsim " + v.fabsim + ": " + v.command });
    });
    if (of("coll").length) attempt(section(main, nav, "coll", "Collectives"), drawBusbw, of("coll"));
    of("pareto").forEach((item, k) => attempt(section(main, nav, "frontier" + k, "Frontier: " + item.result.trace + " on " + item.result.topology), drawPareto, item));
    of("sweep").forEach((item, k) => {
        for (const name of new Set(item.rows.map(row => row[item.columns.indexOf("sweep")])))
            attempt(section(main, nav, "sweep" + k + name, "Sweep " + name), drawSweep, { ...item, rows: item.rows.filter(row => row[item.columns.indexOf("sweep")] === name) });
    });
    document.body.dataset.ready = charts.length;
}

document.addEventListener("DOMContentLoaded", show);
