/* page_3_step.js - where a step's time goes, how a job scales, what fills the memory, which communication takes longest. */

function drawBreakdown(parent, runs) {
    const shown = runs.filter(r => r.result.breakdown.length);
    if (!shown.length) return;
    const rows = [["result", "name", "seconds", "max_s", "max_rank"]];
    const bars = shown.map(r => {
        const step = r.result.step_time_s;
        return { name: r.label, parts: r.result.breakdown.map(b => {
            rows.push([r.label, b.name, b.seconds, b.max_s, b.max_rank]);
            return { name: b.name, value: b.seconds, short: digits(100 * b.seconds / step, 2) + " %",
                lines: [b.name, format.seconds(b.seconds) + ", " + format.percent(step > 0 ? b.seconds / step : 0) + " of the step",
                    "most: " + format.seconds(b.max_s) + " on rank " + b.max_rank] };
        }) };
    });
    const c = figure(parent, "Where the step goes", "Mean over ranks. Communication counts where nothing covers it.", stackedHeight(bars.length, Math.max(...shown.map(r => r.result.breakdown.length))), rows);
    stackedBars(c, bars, format.seconds, "time");
}

function drawMemory(parent, runs) {
    const shown = runs.filter(r => r.result.memory || (r.result.serving && r.result.serving.pools.length));
    if (!shown.length) return;
    const rows = [["result", "name", "bytes", "gpu_bytes"]], bars = [];
    const add = (name, parts, limit) => {
        bars.push({ name, limit, limitLines: ["the GPU has", format.memory(limit)], parts: parts.filter(p => p[1] > 0).map(([what, bytes]) => {
            rows.push([name, what, bytes, limit]);
            return { name: what, value: bytes, short: digits(bytes / 1e9) + " GB",
                lines: [what.replaceAll("_", " "), format.memory(bytes), format.percent(bytes / limit) + " of the GPU"] };
        }) });
    };
    for (const r of shown) {
        const m = r.result.memory;
        if (m) add(r.label, [["weights", m.weights_bytes], ["gradients", m.gradients_bytes], ["optimizer_state", m.optimizer_bytes],
            ["activations", m.activations_bytes]], m.gpu_bytes);
        else for (const p of r.result.serving.pools)
            add((shown.length > 1 ? r.label + " " : "") + p.name, [["weights", p.weight_bytes], ["kv", p.kv_bytes]], p.gpu_bytes);
    }
    const c = figure(parent, "Memory per GPU", "On the fullest GPU; the mark is what it has.", stackedHeight(bars.length, 4), rows);
    stackedBars(c, bars, format.memory, "memory");
}

/* ---- scaling ----------------------------------------------------------------------------------------------------- */

/* Curves [{name, points: [{gpus, tokens, efficiency, ...}]}]: each scaling study; and several plain results of one trace. */
function scalingCurves(runs) {
    const curves = runs.filter(r => r.result.scaling.length > 1).map(r => ({ name: r.label + " (" + (r.result.options.scaling || "weak") + ")",
        points: r.result.scaling }));
    const alone = new Map();
    for (const r of runs) {
        const rate = r.result.tokens_per_s;
        if (r.result.scaling.length || !rate) continue;
        if (!alone.has(r.result.trace.name)) alone.set(r.result.trace.name, []);
        alone.get(r.result.trace.name).push({ gpus: r.result.trace.ranks, tokens_per_s: rate, step_time_s: r.result.step_time_s, mfu: r.result.mfu });
    }
    for (const [name, points] of alone) {
        points.sort((a, b) => a.gpus - b.gpus);
        if (points.length < 2 || points[0].gpus === points[points.length - 1].gpus) continue;
        const per = points[0].tokens_per_s / points[0].gpus;
        for (const p of points) p.efficiency = p.tokens_per_s / p.gpus / per;
        curves.push({ name, points });
    }
    return curves;
}

function scalingLines(curve, p) {
    const lines = [curve.name, format.count(p.gpus) + " GPUs", "efficiency " + format.percent(p.efficiency), "step " + format.seconds(p.step_time_s)];
    if (p.tokens_per_s) lines.push(format.many(p.tokens_per_s) + " tokens/s");
    if (p.mfu) lines.push("MFU " + format.percent(p.mfu));
    if (p.exposed !== undefined) lines.push("exposed " + format.percent(p.exposed) + ", bubble " + format.percent(p.bubble));
    return lines;
}

function drawScaling(parent, runs) {
    const curves = scalingCurves(runs);
    if (!curves.length) return;
    const all = curves.flatMap(c => c.points), gpus = all.map(p => p.gpus), low = Math.min(...gpus), high = Math.max(...gpus);
    const rows = [["curve", "gpus", "step_time_s", "tokens_per_s", "efficiency", "mfu", "exposed", "bubble"]];
    for (const c of curves) for (const p of c.points)
        rows.push([c.name, p.gpus, p.step_time_s, p.tokens_per_s, p.efficiency, p.mfu, p.exposed, p.bubble]);
    const c = figure(parent, "Scaling", "Throughput per GPU relative to the first point, and tokens/s; dashed: ideal.", 400, rows);
    const ticks = [...new Set(gpus)].sort((a, b) => a - b).filter((g, i, list) => i === 0 || i === list.length - 1 || list.length < 7 || i % 2 === 0);
    const x = { low: low / 1.06, high: high * 1.06, log: 2, ticks, label: "GPUs", text: format.count };
    const least = Math.min(1, ...all.map(p => p.efficiency).filter(v => v > 0));
    const floor = least > 0.9 ? 0.8 : least > 0.6 ? 0.5 : 0, over = Math.max(1, ...all.map(p => p.efficiency || 0));
    const left = axes(c.svg, { x: 70, y: 26, w: 400, h: 270 }, x, { low: floor, high: Math.max(1.05, over * 1.04), label: "efficiency", text: format.percent });
    const rates = all.map(p => p.tokens_per_s).filter(v => v > 0);
    const right = rates.length ? axes(c.svg, { x: 590, y: 26, w: 400, h: 270 }, x, { low: Math.min(...rates) / 1.5, high: Math.max(...rates) * 1.5, log: 2,
        label: "tokens/s", text: format.many }) : null;
    draw(c.svg, "path", { class: "ideal", d: pathOf([[left.X(low), left.Y(1)], [left.X(high), left.Y(1)]]) });
    curves.forEach((curve, k) => {
        const points = curve.points.filter(p => p.efficiency > 0), colour = seriesColour(k);
        draw(c.svg, "path", { class: "curve s" + colour, d: pathOf(points.map(p => [left.X(p.gpus), left.Y(p.efficiency)])) });
        const first = points[0];
        if (right && first && first.tokens_per_s) {
            draw(c.svg, "path", { class: "ideal", d: pathOf([first, points[points.length - 1]].map(p =>
                [right.X(p.gpus), right.Y(first.tokens_per_s * p.gpus / first.gpus)])) });
            draw(c.svg, "path", { class: "curve s" + colour, d: pathOf(points.map(p => [right.X(p.gpus), right.Y(p.tokens_per_s)])) });
        }
        for (const p of points) {
            const places = [[left.X(p.gpus), left.Y(p.efficiency)]];
            if (right && p.tokens_per_s) places.push([right.X(p.gpus), right.Y(p.tokens_per_s)]);
            for (const [px, py] of places) {
                draw(c.svg, "circle", { class: "f" + colour, cx: px, cy: py, r: 4 });
                c.mark(px - 5, py - 5, 10, 10, ...scalingLines(curve, p));
            }
        }
    });
    legend(c.svg, curves.map((curve, k) => ({ name: cut(curve.name, 60), colour: seriesColour(k) })), 70, 362);
}

/* ---- communication ----------------------------------------------------------------------------------------------- */

function drawCommunication(parent, r) {
    const list = r.result.communication.map(m => ({ ...m, all: m.count * m.mean_s })).sort((a, b) => b.all - a.all);
    if (!list.length) return;
    const shown = list.slice(0, 12), left = 270, right = WIDTH - 190, bar = 18, gap = 7, top = 8;
    const c = figure(parent, "Communication", "Time of each on the rank that does it most often, covered or not." +
        (list.length > 12 ? " The first 12 of " + list.length + "." : ""), shown.length * (bar + gap) + 62,
    [["group", "operation", "size_bytes", "ranks", "count", "algo", "protocol", "channels", "mean_s", "algbw_Bps", "busbw_Bps"],
        ...list.map(m => [m.group, m.operation, m.size_bytes, m.ranks, m.count, m.algo, m.protocol, m.channels, m.mean_s, m.algbw_Bps, m.busbw_Bps])]);
    const { X } = axes(c.svg, { x: left, y: top, w: right - left, h: shown.length * (bar + gap) + 4 },
        { low: 0, high: shown[0].all || 1, label: "count x time", text: format.seconds }, BARE_AXIS);
    shown.forEach((m, i) => {
        const y = top + 4 + i * (bar + gap), w = Math.max(1, X(m.all) - left);
        draw(c.svg, "text", { class: "end", x: left - 10, y: y + 13, text: cut(m.group + " " + m.operation + " " + format.bytes(m.size_bytes), 38) });
        draw(c.svg, "rect", { class: "f" + colourOf(m.operation, i), x: left, y, width: w, height: bar });
        draw(c.svg, "text", { class: "soft", x: left + w + 6, y: y + 13, text: m.count + " x " + format.seconds(m.mean_s) + ", " + m.algo });
        c.mark(left, y, w, bar, m.group + " " + m.operation + " of " + format.bytes(m.size_bytes), m.count + " times " + format.seconds(m.mean_s) + " = " + format.seconds(m.all),
            m.ranks + " ranks, " + m.algo + ", " + m.protocol + ", " + m.channels + " channels", "busbw " + format.rate(m.busbw_Bps));
    });
}
