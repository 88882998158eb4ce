/* page_2_chart.js - what all charts share: a figure with a title, marks that show their values to the pointer and to the keyboard,
 * the data as CSV, axes and legends. A mark is a box with text; charts draw as few elements as they like. */

const WIDTH = 1040;
const BARE_AXIS = { low: 0, high: 1, ticks: [], label: "", text: () => "" }; // nothing to read along it
const charts = [];
const tip = { node: null };

function showTip(text, x, y) {
    tip.node.textContent = text;
    tip.node.hidden = false;
    const width = tip.node.offsetWidth, height = tip.node.offsetHeight;
    tip.node.style.left = Math.max(4, Math.min(x + 14, window.scrollX + document.documentElement.clientWidth - width - 8)) + "px";
    tip.node.style.top = (y - window.scrollY > height + 24 ? y - height - 12 : y + 18) + "px";
}
function hideTip() { tip.node.hidden = true; }

function csvField(value) {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

/* A figure. rows: the data, a header first. Returns the chart; c.svg is to be drawn into, c.mark() says what is where. */
function figure(parent, title, note, height, rows) {
    const fig = el(parent, "figure"), caption = el(fig, "figcaption");
    el(caption, "h3", { text: title });
    el(caption, "p", { text: note || "" });
    const name = "fabsim-" + (charts.length + 1) + ".csv";
    const link = el(caption, "a", { text: "CSV", href: "#", download: name, "aria-label": "data of " + title + " as CSV" });
    const svg = draw(fig, "svg", { viewBox: `0 0 ${WIDTH} ${height}`, tabindex: 0, role: "img",
        "aria-label": title + ". " + (note || "") + " Arrow keys step through the values." });
    const c = { fig, caption, svg, height, marks: [], at: -1, title, rows, name };
    c.csv = () => c.rows.map(row => row.map(csvField).join(",")).join("\r\n") + "\r\n";
    c.mark = (x, y, w, h, ...lines) => c.marks.push({ x, y, w, h, text: lines.join("\n") });
    c.clear = () => { svg.replaceChildren(); c.marks = []; c.at = -1; c.active = null; };
    link.addEventListener("click", () => {
        if (c.url) URL.revokeObjectURL(c.url);
        link.href = c.url = URL.createObjectURL(new Blob([c.csv()], { type: "text/csv" }));
    });
    listen(c);
    charts.push(c);
    return c;
}

/* The smallest mark under the point, or the nearest one within a few pixels. */
function markAt(c, x, y) {
    let best = -1, least = 14;
    for (let i = 0; i < c.marks.length; i++) {
        const m = c.marks[i];
        const dx = Math.max(m.x - x, 0, x - m.x - m.w), dy = Math.max(m.y - y, 0, y - m.y - m.h);
        const far = dx === 0 && dy === 0 ? Math.min(m.w * m.h, 1e9) * 1e-10 : Math.hypot(dx, dy);
        if (far < least) { least = far; best = i; }
    }
    return best;
}

function activate(c, i, event) {
    if (i < 0) { leave(c); return; }
    const m = c.marks[i], box = c.svg.getBoundingClientRect(), scale = box.width / WIDTH;
    c.at = i;
    if (!c.active || !c.active.isConnected) c.active = draw(c.svg, "rect", { class: "active", rx: 2 });
    set(c.active, { x: m.x - 1, y: m.y - 1, width: m.w + 2, height: m.h + 2, visibility: "visible" });
    const x = event ? event.pageX : window.scrollX + box.left + (m.x + m.w / 2) * scale;
    const y = event ? event.pageY : window.scrollY + box.top + m.y * scale;
    showTip(m.text, x, y);
}
function leave(c) {
    c.at = -1;
    if (c.active) c.active.setAttribute("visibility", "hidden");
    hideTip();
}

function listen(c) {
    c.svg.addEventListener("pointermove", event => {
        const box = c.svg.getBoundingClientRect(), scale = WIDTH / box.width;
        activate(c, markAt(c, (event.clientX - box.left) * scale, (event.clientY - box.top) * scale), event);
    });
    c.svg.addEventListener("pointerleave", () => leave(c));
    c.svg.addEventListener("blur", () => leave(c));
    c.svg.addEventListener("keydown", event => {
        const n = c.marks.length, step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
        if (event.key === "Escape") leave(c);
        else if (n && step) activate(c, Math.max(0, Math.min(n - 1, c.at + step)));
        else if (n && event.key === "Home") activate(c, 0);
        else if (n && event.key === "End") activate(c, n - 1);
        else return;
        event.preventDefault();
    });
}

/* ---- axes -------------------------------------------------------------------------------------------------------- */

function niceTicks(low, high, count = 5) {
    const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map(k => k * power).find(k => k >= raw * 0.999);
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
    return ticks;
}
function logTicks(low, high, base, most) {
    const from = Math.ceil(Math.log(low) / Math.log(base) - 1e-9), to = Math.floor(Math.log(high) / Math.log(base) + 1e-9);
    const every = Math.max(1, Math.ceil((to - from + 1) / most)), ticks = [];
    for (let i = from; i <= to; i += every) ticks.push(base ** i);
    return ticks;
}
/* axis: {low, high, log: base or 0, label, text: value => string, ticks} */
function scaleOf(axis, from, to) {
    const f = axis.log ? Math.log : v => v, low = f(axis.low), span = f(axis.high) - low || 1;
    return v => from + (f(v) - low) / span * (to - from);
}
/* A frame at box {x, y, w, h} with grid and axes; returns {X, Y}. */
function axes(svg, box, x, y) {
    const X = scaleOf(x, box.x, box.x + box.w), Y = scaleOf(y, box.y + box.h, box.y);
    const most = Math.max(2, Math.floor(box.w / 70));
    for (const t of x.ticks || (x.log ? logTicks(x.low, x.high, x.log, most) : niceTicks(x.low, x.high, Math.min(8, most)))) {
        draw(svg, "path", { class: "grid", d: `M${X(t)} ${box.y}v${box.h}` });
        draw(svg, "text", { class: "soft middle", x: X(t), y: box.y + box.h + 16, text: x.text(t) });
    }
    for (const t of y.ticks || (y.log ? logTicks(y.low, y.high, y.log, 7) : niceTicks(y.low, y.high))) {
        draw(svg, "path", { class: "grid", d: `M${box.x} ${Y(t)}h${box.w}` });
        draw(svg, "text", { class: "soft end", x: box.x - 7, y: Y(t) + 4, text: y.text(t) });
    }
    draw(svg, "path", { class: "axis", d: `M${box.x} ${box.y}v${box.h}h${box.w}` });
    draw(svg, "text", { class: "soft middle", x: box.x + box.w / 2, y: box.y + box.h + 34, text: x.label });
    draw(svg, "text", { class: "soft", x: box.x - 50, y: box.y - 9, text: y.label });
    return { X, Y };
}

/* [{name, colour}] in a row that wraps; returns the height. */
function legend(svg, items, x, y) {
    let at = x, row = y;
    for (const item of items) {
        const width = 22 + item.name.length * 6.9;
        if (at > x && at + width > WIDTH - 8) { at = x; row += 19; }
        draw(svg, "rect", { class: "f" + item.colour, x: at, y: row - 10, width: 12, height: 12, rx: 2 });
        draw(svg, "text", { x: at + 17, y: row, text: item.name });
        at += width + 12;
    }
    return row - y + 19;
}
function heatLegend(svg, x, y) {
    const steps = 40, width = 160;
    for (let i = 0; i < steps; i++)
        draw(svg, "rect", { x: x + i * width / steps, y, width: width / steps + 0.5, height: 9, style: `fill:${heat(i / (steps - 1))}` });
    draw(svg, "text", { class: "soft small", x, y: y + 21, text: "0 %" });
    draw(svg, "text", { class: "soft small middle", x: x + width / 2, y: y + 21, text: "of capacity" });
    draw(svg, "text", { class: "soft small end", x: x + width, y: y + 21, text: "100 %" });
}
/* The class of the k-th series' colour (page.css), in an order that keeps the first few far apart. */
function seriesColour(k) { return "0134256789"[k % 10]; }
function cut(text, most) { return text.length > most ? text.slice(0, most - 1) + "\u2026" : text; }
function pathOf(points) { return points.map((p, i) => (i ? "L" : "M") + p[0].toFixed(1) + " " + p[1].toFixed(1)).join(""); }

/* Horizontal stacked bars: bars [{name, parts: [{name, value, lines}], limit}]; text formats values. */
function stackedBars(c, bars, text, axisLabel) {
    const left = 190, right = WIDTH - 70, top = 10, bar = 26, gap = 12;
    const most = Math.max(...bars.map(b => Math.max(b.limit || 0, b.parts.reduce((sum, p) => sum + p.value, 0)))) || 1;
    const names = [...new Set(bars.flatMap(b => b.parts.map(p => p.name)))];
    const box = { x: left, y: top, w: right - left, h: bars.length * (bar + gap) + gap };
    const { X } = axes(c.svg, box, { low: 0, high: most, label: axisLabel, text }, BARE_AXIS);
    bars.forEach((b, k) => {
        let at = 0;
        const y = top + gap + k * (bar + gap);
        draw(c.svg, "text", { class: "end", x: left - 10, y: y + bar / 2 + 4, text: cut(b.name, 26) });
        for (const p of b.parts) {
            if (!(p.value > 0)) continue;
            const x = X(at), w = X(at + p.value) - x;
            draw(c.svg, "rect", { class: "f" + colourOf(p.name, names.indexOf(p.name)), x, y, width: Math.max(w, 0.5), height: bar });
            if (w > 46 && p.short) draw(c.svg, "text", { class: "middle small fc", x: x + w / 2, y: y + bar / 2 + 4, text: p.short });
            c.mark(x, y, Math.max(w, 1), bar, ...p.lines);
            at += p.value;
        }
        draw(c.svg, "text", { class: "soft", x: X(at) + 6, y: y + bar / 2 + 4, text: text(at) });
        if (b.limit) {
            draw(c.svg, "path", { class: "curve s4", d: `M${X(b.limit)} ${y - 5}v${bar + 10}` });
            c.mark(X(b.limit) - 3, y - 5, 6, bar + 10, ...b.limitLines);
        }
    });
    legend(c.svg, names.map((name, i) => ({ name: name.replaceAll("_", " "), colour: colourOf(name, i) })), left, box.y + box.h + 60);
    return box;
}
function stackedHeight(n, names) { return 12 + n * 38 + 12 + 64 + Math.ceil(names / 7) * 19; }
