/* page_8_sweep.js - sweeps: all points as lines over parallel axes, which setting matters how much, and any two columns against
 * each other. */

const wanted = ["output_tokens_per_s_per_gpu", "tokens_per_s_per_gpu", "mfu", "tokens_per_s", "step_s"];

function isNumber(v) { return typeof v === "number"; }
function distinct(sweep, column) { return [...new Set(sweep.rows.map(r => r[column]).filter(v => v !== null))]; }
function columnText(name, v) {
    if (v === null || v === undefined) return "-";
    if (!isNumber(v)) return String(v).replace(/^.*\/(.*)\.(xml|json)$/, "$1");
    if (/_bytes$/.test(name)) return format.memory(v);
    if (/_Bps$/.test(name)) return format.rate(v);
    if (/_s$/.test(name) && !/per_s$/.test(name)) return format.seconds(v);
    if (/^(mfu|hfu|busiest_utilization)$/.test(name)) return format.percent(v);
    return Math.abs(v) >= 1e5 ? format.many(v) : digits(v, 4);
}

/* Columns that vary: settings, and figures that are numbers. */
function prepareSweep(item) {
    const at = new Map(item.columns.map((name, i) => [name, i]));
    const sweep = { columns: item.columns, rows: item.rows.filter(r => r[at.get("status")] === "ok"), all: item.rows, at };
    const inputs = ["topology", "trace", ...item.settings].filter(name => at.has(name));
    sweep.settings = inputs.filter(name => distinct(sweep, at.get(name)).length > 1);
    const none = new Set(["sweep", "number", "baseline", "status", "message", "hash", "memory_fits", "busiest_tier", ...inputs]);
    sweep.figures = item.columns.filter(name => !none.has(name) && sweep.rows.some(r => isNumber(r[at.get(name)])));
    sweep.metric = wanted.find(name => sweep.figures.includes(name)) || sweep.figures[0];
    sweep.value = (row, name) => row[at.get(name)];
    sweep.best = rows => rows.reduce((a, b) => (a === null || better(sweep.metric, sweep.value(b, sweep.metric), sweep.value(a, sweep.metric)) ? b : a), null);
    return sweep;
}
function less(metric) { return (/_s$/.test(metric) && !/per_s$/.test(metric)) || /(_bytes|energy_j)$/.test(metric); }
function better(metric, a, b) { return isNumber(a) && (!isNumber(b) || (less(metric) ? a < b : a > b)); }

function rowLines(sweep, row, extra) {
    const names = [...sweep.settings, ...new Set([sweep.metric, ...(extra || [])])];
    return ["point " + sweep.value(row, "number"), ...names.map(name => name + ": " + columnText(name, sweep.value(row, name)))];
}

/* A place along an axis for numbers (from least to most) or for words (one after the other). */
function axisOf(sweep, name, from, to) {
    const values = distinct(sweep, sweep.at.get(name)), numbers = values.every(isNumber);
    if (!numbers || values.length <= 8) {
        const list = numbers ? values.sort((a, b) => a - b) : values.map(String).sort();
        const place = new Map(list.map((v, i) => [v, list.length > 1 ? from + (to - from) * i / (list.length - 1) : (from + to) / 2]));
        return { place: v => place.get(numbers ? v : String(v)), ticks: list.filter((_, i) => list.length <= 12 || i % Math.ceil(list.length / 12) === 0) };
    }
    const low = Math.min(...values), high = Math.max(...values), scale = scaleOf({ low, high, log: 0 }, from, to);
    return { place: scale, ticks: niceTicks(low, high) };
}

function drawParallel(c, sweep) {
    const names = [...sweep.settings.slice(0, 9), sweep.metric], right = WIDTH - 110, top = 34, bottom = c.height - 40;
    const rows = sweep.rows.filter(r => isNumber(sweep.value(r, sweep.metric))), tickText = (name, v) => cut(columnText(name, v), 18);
    const axesOf = names.map(name => axisOf(sweep, name, bottom, top)), characters = Math.max(cut(names[0], 24).length / 2, ...axesOf[0].ticks.map(v => tickText(names[0], v).length));
    const left = Math.max(80, 14 + 6.2 * characters); // what is written left of the first axis
    const X = i => left + (right - left) * i / Math.max(1, names.length - 1), values = rows.map(r => sweep.value(r, sweep.metric));
    const low = Math.min(...values), high = Math.max(...values), best = sweep.best(rows);
    c.rows = [names, ...rows.map(r => names.map(name => sweep.value(r, name)))];
    names.forEach((name, i) => {
        draw(c.svg, "path", { class: "axis", d: `M${X(i)} ${top}V${bottom}` });
        draw(c.svg, "text", { class: "middle bold small", x: X(i), y: top - 14 - (i % 2) * 10, text: cut(name, 24) });
    });
    const shades = Array.from({ length: 12 }, () => []), lineOf = r => pathOf(names.map((name, i) => [X(i), axesOf[i].place(sweep.value(r, name))]).filter(p => p[1] !== undefined));
    for (const r of rows) {
        const part = high > low ? (sweep.value(r, sweep.metric) - low) / (high - low) : 1;
        shades[Math.min(11, Math.floor((less(sweep.metric) ? 1 - part : part) * 12))].push(lineOf(r));
    }
    shades.forEach((d, i) => draw(c.svg, "path", { fill: "none", "stroke-width": 1, "stroke-opacity": rows.length > 400 ? 0.3 : 0.75, style: `stroke:${heat(0.1 + 0.8 * i / 11)}`, d: d.join("") }));
    if (best) draw(c.svg, "path", { class: "curve si", d: lineOf(best) });
    names.forEach((name, i) => axesOf[i].ticks.forEach(v => {
        const y = axesOf[i].place(v), last = i === names.length - 1, text = tickText(name, v);
        draw(c.svg, "circle", { class: "fi", cx: X(i), cy: y, r: 2 });
        draw(c.svg, "text", { class: last ? "small" : "small end", x: X(i) + (last ? 7 : -6), y: y + 4, text, style: "paint-order:stroke;stroke:var(--card);stroke-width:3px" });
    }));
    for (const r of rows) c.mark(X(names.length - 1) - 3, axesOf[names.length - 1].place(sweep.value(r, sweep.metric)) - 2, 6, 4, ...rowLines(sweep, r));
    draw(c.svg, "text", { class: "soft small", x: 20, y: c.height - 10, text: "Dark line: the best point. Warm: better. " + (best ? "Best " + sweep.metric + ": " + columnText(sweep.metric, sweep.value(best, sweep.metric)) : "") });
}

/* Means of the metric for each value of each setting, over all else; the widest first. */
function effects(sweep) {
    const mean = list => list.reduce((a, b) => a + b, 0) / list.length;
    return sweep.settings.map(name => {
        const groups = new Map();
        for (const r of sweep.rows) {
            const v = sweep.value(r, sweep.metric), key = sweep.value(r, name);
            if (!isNumber(v)) continue;
            if (!groups.has(key)) groups.set(key, []);
            groups.get(key).push(v);
        }
        const means = [...groups].map(([key, list]) => ({ key, mean: mean(list), n: list.length })).sort((a, b) => a.mean - b.mean);
        return { name, low: means[0], high: means[means.length - 1], means };
    }).filter(e => e.means.length > 1).sort((a, b) => (b.high.mean - b.low.mean) - (a.high.mean - a.low.mean));
}

function drawTornado(c, sweep) {
    const list = effects(sweep).slice(0, 12), left = 250, right = WIDTH - 150, bar = 20, gap = 10, top = 8;
    const values = sweep.rows.map(r => sweep.value(r, sweep.metric)).filter(isNumber), middle = values.reduce((a, b) => a + b, 0) / values.length;
    c.rows = [["setting", "value", "points", "mean_" + sweep.metric], ...list.flatMap(e => e.means.map(m => [e.name, m.key, m.n, m.mean]))];
    if (!list.length) { draw(c.svg, "text", { class: "soft", x: 20, y: 30, text: "No setting varies." }); return; }
    const low = Math.min(...list.map(e => e.low.mean)), high = Math.max(...list.map(e => e.high.mean)), pad = (high - low) * 0.06 || 1;
    const { X } = axes(c.svg, { x: left, y: top, w: right - left, h: list.length * (bar + gap) + 4 }, { low: low - pad, high: high + pad, label: "mean " + sweep.metric, text: v => columnText(sweep.metric, v) },
        BARE_AXIS);
    list.forEach((e, i) => {
        const y = top + 6 + i * (bar + gap), x0 = X(e.low.mean), x1 = X(e.high.mean), m = Math.max(x0, Math.min(x1, X(middle)));
        draw(c.svg, "text", { class: "end", x: left - 10, y: y + 14, text: cut(e.name, 34) });
        draw(c.svg, "rect", { class: "f1", x: x0, y, width: Math.max(0.5, m - x0), height: bar });
        draw(c.svg, "rect", { class: "f0", x: m, y, width: Math.max(0.5, x1 - m), height: bar });
        draw(c.svg, "text", { class: "small end", x: x0 - 4, y: y + 14, text: cut(columnText(e.name, e.low.key), 20) });
        draw(c.svg, "text", { class: "small", x: x1 + 4, y: y + 14, text: cut(columnText(e.name, e.high.key), 20) });
        for (const v of e.means) {
            draw(c.svg, "circle", { class: "fc si", cx: X(v.mean), cy: y + bar / 2, r: 3 });
            c.mark(X(v.mean) - 5, y, 10, bar, e.name + " = " + columnText(e.name, v.key), "mean " + sweep.metric + ": " + columnText(sweep.metric, v.mean), "over " + v.n + " points");
        }
    });
    draw(c.svg, "path", { class: "ideal", d: `M${X(middle)} ${top}v${list.length * (bar + gap) + 4}` });
}

function drawScatter(c, sweep, x, y) {
    const rows = sweep.rows.filter(r => sweep.value(r, x) !== null && isNumber(sweep.value(r, y))), box = { x: 80, y: 30, w: WIDTH - 130, h: c.height - 110 };
    c.rows = [[...sweep.settings, x, y], ...rows.map(r => [...sweep.settings, x, y].map(name => sweep.value(r, name)))];
    if (!rows.length) return;
    const ys = rows.map(r => sweep.value(r, y)), low = Math.min(...ys), high = Math.max(...ys), xs = axisOf(sweep, x, box.x + 14, box.x + box.w - 14);
    const { Y } = axes(c.svg, box, { ...BARE_AXIS, label: x }, { low: low > 0 && low < high / 2 ? 0 : low - (high - low) * 0.05, high: high + (high - low) * 0.05 || 1, label: y, text: v => columnText(y, v) });
    for (const v of xs.ticks) draw(c.svg, "text", { class: "soft middle", x: xs.place(v), y: box.y + box.h + 16, text: cut(columnText(x, v), 16) });
    const by = sweep.settings.find(name => name !== x && name !== y && distinct(sweep, sweep.at.get(name)).length <= 9), groups = by ? distinct(sweep, sweep.at.get(by)).sort((a, b) => a < b ? -1 : 1) : [];
    for (const r of rows) {
        const px = xs.place(sweep.value(r, x)), py = Y(sweep.value(r, y)), colour = by ? seriesColour(groups.indexOf(sweep.value(r, by))) : "0";
        draw(c.svg, "circle", { class: "f" + colour, cx: px, cy: py, r: rows.length > 500 ? 2.5 : 4, "fill-opacity": 0.75 });
        c.mark(px - 4, py - 4, 8, 8, ...rowLines(sweep, r, [x, y]));
    }
    if (by) legend(c.svg, groups.map((v, i) => ({ name: by + " " + columnText(by, v), colour: seriesColour(i) })), box.x, c.height - 22);
}

function choose(c, text, names, value, change) {
    const label = el(c.caption, "label", { text: text + " " }), select = el(label, "select");
    for (const name of names) el(select, "option", { value: name, text: name });
    select.value = value;
    select.addEventListener("change", () => change(select.value));
    return select;
}

function drawSweep(parent, item) {
    const sweep = prepareSweep(item), failed = sweep.all.length - sweep.rows.length;
    el(parent, "p", { text: format.count(sweep.all.length) + " points" + (item.total > sweep.all.length ? ", the first of " + format.count(item.total) : "") + (failed ? ", of which " + format.count(failed) + " failed or are pending" : "") + ". " + item.file });
    if (!sweep.rows.length || !sweep.metric) { el(parent, "p", { text: "Nothing to draw: no point has a result." }); return; }
    const a = figure(parent, "All points", "Each line is a point; settings that vary, and a figure.", 420, []);
    const b = figure(parent, "Sensitivity", "Mean of the figure for each value of a setting, over all other settings; dashed: over all points.", Math.min(12, sweep.settings.length) * 30 + 70, []);
    const c = figure(parent, "Two columns", "", 430, []);
    const redraw = () => { a.clear(); drawParallel(a, sweep); b.clear(); drawTornado(b, sweep); };
    const first = choose(a, "figure", sweep.figures, sweep.metric, name => { sweep.metric = second.value = name; redraw(); });
    const second = choose(b, "figure", sweep.figures, sweep.metric, name => { sweep.metric = first.value = name; redraw(); });
    const columns = [...sweep.settings, ...sweep.figures];
    const axesChosen = { x: sweep.settings[0] || sweep.figures[0], y: sweep.metric };
    const scatter = () => { c.clear(); drawScatter(c, sweep, axesChosen.x, axesChosen.y); };
    choose(c, "across", columns, axesChosen.x, name => { axesChosen.x = name; scatter(); });
    choose(c, "up", sweep.figures, axesChosen.y, name => { axesChosen.y = name; scatter(); });
    redraw();
    scatter();
}
