/* page_6_serving.js - inference: distributions of latencies, pools. */

const latencies = [["ttft_s", "first token (TTFT)"], ["tpot_s", "token after token (TPOT)"], ["itl_s", "between two steps (ITL)"], ["e2e_s", "end to end"]];

function drawLatencies(parent, runs) {
    const shown = runs.filter(r => r.result.serving);
    if (!shown.length) return;
    const csv = [["result", "latency", "part", "seconds"]], box = { w: 400, h: 150 };
    const c = figure(parent, "Latency", "Part of the requests (of the steps: ITL) that take at most so long. Dots: median, p90, p99.", 2 * (box.h + 84) + (shown.length > 1 ? 16 : -24), csv);
    latencies.forEach(([key, name], k) => {
        const lists = shown.map(r => r.result.serving[key] && r.result.serving[key].quantiles).map(q => q || []);
        const all = lists.flat(), place = { ...box, x: 70 + (k % 2) * 520, y: 30 + Math.floor(k / 2) * (box.h + 84) };
        if (!all.length) return;
        const wide = Math.max(...all) > 20 * Math.max(1e-9, Math.min(...all)), low = wide ? Math.max(1e-9, Math.min(...all)) : Math.min(...all) * 0.95;
        const { X, Y } = axes(c.svg, place, { low, high: Math.max(...all) * 1.02 || 1, log: wide ? 10 : 0, label: "", text: format.seconds },
            { low: 0, high: 1, label: "", text: format.percent });
        draw(c.svg, "text", { class: "bold", x: place.x, y: place.y - 10, text: name });
        shown.forEach((r, i) => {
            const q = lists[i], s = r.result.serving[key], colour = seriesColour(i);
            if (!q.length) return;
            draw(c.svg, "path", { class: "curve s" + colour, d: pathOf(q.map((v, at) => [X(Math.max(v, low)), Y(at / (q.length - 1))])) });
            q.forEach((v, at) => {
                csv.push([r.label, key, at / (q.length - 1), v]);
                c.mark(X(Math.max(v, low)) - 3, Y(at / (q.length - 1)) - 3, 6, 6, name, format.percent(at / (q.length - 1)) + " within " + format.seconds(v),
                    "mean " + format.seconds(s.mean) + ", p99 " + format.seconds(s.p99), r.label);
            });
            for (const [part, v] of [[0.5, s.p50], [0.9, s.p90], [0.99, s.p99]])
                draw(c.svg, "circle", { class: "f" + colour, cx: X(Math.max(v, low)), cy: Y(part), r: 3.5 });
        });
    });
    if (shown.length > 1) legend(c.svg, shown.map((r, i) => ({ name: r.label, colour: seriesColour(i) })), 70, 2 * (box.h + 84) + 8);
}

/* Attention and FFN apart: where iterations are. */
const afdParts = ["attention_queue", "attention", "there", "ffn_queue", "ffn_work", "back", "bound"];

function afdLines(p) {
    const a = p.afd;
    if (!a) return [];
    return ["attends " + format.percent(a.attention) + ", waits for it " + format.percent(a.attention_queue),
        "to " + a.ffn + " and back " + format.percent(a.there + a.back) + ", there " + format.percent(a.ffn_work) + ", waits there " + format.percent(a.ffn_queue), "bound by " + a.bound];
}

function drawPools(parent, r) {
    const pools = r.result.serving ? r.result.serving.pools : [];
    if (!pools.length) return;
    const left = 190, right = WIDTH - 70, bar = 15, group = 3 * (bar + 2) + 14, csv = [["pool", "role", "part", "replicas", "gpus", "busy", "compute", "kv_mean", "kv_peak", "mean_batch", ...afdParts]];
    const c = figure(parent, "Pools", "Parts of the time that a pool is in an iteration and in its kernels; KV blocks in use, mean and peak.", pools.length * group + 86, csv);
    const { X } = axes(c.svg, { x: left, y: 8, w: right - left, h: pools.length * group }, { low: 0, high: 1, label: "", text: format.percent },
        BARE_AXIS);
    pools.forEach((p, k) => {
        csv.push([p.name, p.role, p.part, p.replicas, p.gpus, p.busy, p.compute, p.kv_mean, p.kv_peak, p.mean_batch, ...afdParts.map(k => p.afd ? p.afd[k] : "")]);
        const rows = [["in an iteration", "7", p.busy], ["in kernels", "0", p.compute], ["KV blocks", "2", p.kv_mean, p.kv_peak]];
        draw(c.svg, "text", { class: "end", x: left - 10, y: 8 + k * group + 26, text: cut(p.name, 24) });
        draw(c.svg, "text", { class: "end soft small", x: left - 10, y: 8 + k * group + 41, text: p.replicas + " x " + format.count(p.gpus) + (p.lpu ? " LPUs" : " GPUs") });
        rows.forEach(([what, colour, value, peak], i) => {
            const y = 8 + 7 + k * group + i * (bar + 2), w = Math.max(1, X(value) - left);
            draw(c.svg, "rect", { class: "f" + colour, x: left, y, width: w, height: bar });
            if (peak !== undefined) draw(c.svg, "path", { class: "curve si", d: `M${X(peak)} ${y}v${bar}` });
            c.mark(left, y, Math.max(w, 30), bar, p.name + ": " + what, format.percent(value) + (peak !== undefined ? ", peak " + format.percent(peak) : ""),
                p.mean_batch > 0 ? digits(p.mean_batch, 4) + " sequences decode in an iteration" : p.role, ...afdLines(p));
        });
    });
    legend(c.svg, [{ name: "in an iteration", colour: "7" }, { name: "in kernels", colour: "0" }, { name: "KV blocks in use", colour: "2" }], left, pools.length * group + 62);
}

/* ---- the frontier of a search ------------------------------------------------------------------------------------- */

const paretoColumns = ["state", "frontier", "tp", "dp", "pp", "ep", "prefill_replicas", "prefill_tp", "prefill_dp", "prefill_pp", "prefill_ep", "gpus", "concurrency", "tokens_per_s_per_user", "tokens_per_s_per_gpu",
    "tokens_per_s_per_mw", "tokens_per_s", "ttft_p90_s", "tpot_p90_s"];

/* prefix "prefill_": of the replicas that compute prompts */
function paretoLayout(p, prefix) {
    return ["tp", "dp", "pp", "ep"].filter(k => p[prefix + k] > 1).map(k => k.toUpperCase() + " " + p[prefix + k]).join(", ") || "1 GPU";
}

function drawPareto(parent, item) {
    const v = item.result, y = v.by === "mw" || v.by === "per-mw" ? "tokens_per_s_per_mw" : "tokens_per_s_per_gpu", x = "tokens_per_s_per_user";
    const points = v.points.filter(p => p[x] > 0 && p[y] > 0), front = points.filter(p => p.frontier).sort((a, b) => a[x] - b[x]);
    if (!points.length) { el(parent, "p", { text: "No layout of the search can serve." }); return; }
    const xs = points.map(p => p[x]), ys = points.map(p => p[y]), layouts = [...new Set(points.map(p => p.gpus))].sort((a, b) => a - b), few = layouts.length <= 9;
    const c = figure(parent, "Frontier", "Each point is a layout under a load; the line joins those that no other beats in both.", 500, [paretoColumns, ...v.points.map(p => paretoColumns.map(k => p[k]))]);
    const { X, Y } = axes(c.svg, { x: 80, y: 30, w: WIDTH - 130, h: 360 }, { low: 0, high: Math.max(...xs) * 1.05, label: "tokens/s for a user", text: format.many },
        { low: 0, high: Math.max(...ys) * 1.06, label: y.endsWith("mw") ? "tokens/s per MW" : "tokens/s per GPU", text: format.many });
    draw(c.svg, "path", { class: "curve si", d: pathOf(front.map(p => [X(p[x]), Y(p[y])])) });
    for (const p of points) {
        const colour = few ? seriesColour(layouts.indexOf(p.gpus)) : "0";
        draw(c.svg, "circle", { class: "f" + colour, cx: X(p[x]), cy: Y(p[y]), r: p.frontier ? 5 : 3, "fill-opacity": p.frontier ? 1 : 0.45 });
        c.mark(X(p[x]) - 5, Y(p[y]) - 5, 10, 10, paretoLayout(p, "") + (p.prefill_replicas ? "; for prompts " + p.prefill_replicas + " x " + paretoLayout(p, "prefill_") : ""), format.count(p.gpus) + " GPUs, " + format.count(p.concurrency) + " requests at a time",
            digits(p[x], 4) + " tokens/s for a user", format.number(p.tokens_per_s_per_gpu) + " per GPU", "TTFT p90 " + format.seconds(p.ttft_p90_s) + ", TPOT p90 " + format.seconds(p.tpot_p90_s), p.frontier ? "on the frontier" : p.state);
    }
    if (few) legend(c.svg, layouts.map((g, i) => ({ name: format.count(g) + " GPUs", colour: seriesColour(i) })), 80, 458);
}
