"use strict";
/* page_1_dom.js - elements, numbers, colours. All text of results goes through textContent: nothing of a file is ever HTML. */

const SVG = "http://www.w3.org/2000/svg";

function set(node, attributes) {
    for (const [key, value] of Object.entries(attributes || {}))
        if (key === "text") node.textContent = value;
        else if (value !== undefined && value !== null) node.setAttribute(key, value);
    return node;
}
function el(parent, name, attributes) { return parent.appendChild(set(document.createElement(name), attributes)); }
function draw(parent, name, attributes) { return parent.appendChild(set(document.createElementNS(SVG, name), attributes)); }

/* ---- numbers as people read them --------------------------------------------------------------------------------- */

function digits(value, n = 3) {
    if (value === 0) return "0";
    if (Math.abs(value) >= 10 ** n) return Math.round(value).toLocaleString("en-US");
    if (Math.abs(value) < 1e-4) return value.toExponential(n - 1);
    return String(Number(value.toPrecision(n)));
}
function scaled(value, step, units) {
    let i = 0;
    while (Math.abs(value) >= step * 0.9995 && i + 1 < units.length) { value /= step; i++; }
    return digits(value) + " " + units[i];
}
const format = {
    number: v => v === null || v === undefined ? "not known" : digits(v, 4),
    count: v => Math.round(v).toLocaleString("en-US"),
    percent: v => v === null || v === undefined ? "not known" : digits(100 * v) + " %",
    seconds: v => Math.abs(v) >= 1 || v === 0 ? digits(v) + " s" : Math.abs(v) >= 1e-3 ? digits(v * 1e3) + " ms" : digits(v * 1e6) + " us",
    bytes: v => scaled(v, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]),
    memory: v => digits(v / 1e9) + " GB",
    rate: v => scaled(v, 1000, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s"]),
    many: v => scaled(v, 1000, ["", "k", "M", "G", "T"]).trim(),
};

/* ---- colours ----------------------------------------------------------------------------------------------------- */

/* What is computed is blue, what waits for links warm, what waits for others grey. */
const kinds = {
    compute: "0", forward: "0", backward: "7", recompute: "2", optimizer: "3", idle: "e", bubble: "q", delay: "q",
    all_reduce: "1", reduce_scatter: "4", all_gather: "8", all_to_all: "6", send: "5", recv: "q", broadcast: "9", reduce: "9",
    "exposed tp": "1", "exposed p2p": "5", "exposed pp": "5", "exposed dp": "4", "exposed edp": "9", "exposed ep": "6", "exposed cp": "8",
    weights: "0", gradients: "1", optimizer_state: "3", activations: "2", kv: "7",
};
function colourOf(name, index) { return kinds[name] || "89546"[index % 5]; }

/* Utilization 0 to 1, in steps that are variables of the sheet, so that they follow light and dark: from the colour of nothing over
 * blue and yellow to red. */
const HEAT_STEPS = 48;
const ramps = {
    light: [[0, 232, 238, 245], [0.25, 125, 180, 220], [0.5, 250, 205, 90], [0.75, 240, 130, 60], [1, 190, 30, 45]],
    dark: [[0, 44, 56, 72], [0.25, 60, 120, 180], [0.5, 225, 180, 70], [0.75, 235, 125, 60], [1, 240, 70, 80]],
};
function mix(stops, p) {
    let i = 1;
    while (i < stops.length - 1 && stops[i][0] < p) i++;
    const [a, b] = [stops[i - 1], stops[i]], t = (p - a[0]) / (b[0] - a[0]);
    return `rgb(${[1, 2, 3].map(k => Math.round(a[k] + t * (b[k] - a[k]))).join(",")})`;
}
function defineHeat() {
    const list = stops => Array.from({ length: HEAT_STEPS }, (_, i) => `--h${i}:${mix(stops, i / (HEAT_STEPS - 1))}`).join(";");
    el(document.head, "style", { text: `:root{${list(ramps.light)}}@media screen and (prefers-color-scheme:dark){:root{${list(ramps.dark)}}}` });
}
function heat(part) { return `var(--h${Math.round(Math.min(1, Math.max(0, part)) * (HEAT_STEPS - 1))})`; }
function heatOrEmpty(part) { return part > 0 ? heat(part) : "var(--empty)"; }
