/* page_4_fabric.js - links: their load over time by tier, the busiest of them, and the fabric drawn by tiers. */

function drawLoad(parent, r) {
    const load = r.result.load, tiers = r.result.tiers;
    if (!load || !load.tiers.length) return;
    const n = load.tiers[0].length, left = 120, right = WIDTH - 20, row = 26, top = 6, step = r.result.step_time_s;
    const c = figure(parent, "Load of links over time", "Each tier's load in parts of its capacity, all links of it together.", tiers.length * (row + 3) + 72,
        [["from_s", ...tiers.map(t => t.name)], ...Array.from({ length: n }, (_, i) => [i * load.step_s, ...load.tiers.map(t => t[i])])]);
    const { X } = axes(c.svg, { x: left, y: top, w: right - left, h: tiers.length * (row + 3) },
        { low: 0, high: step, label: "", text: format.seconds }, BARE_AXIS);
    tiers.forEach((tier, t) => {
        const y = top + t * (row + 3);
        draw(c.svg, "text", { class: "end", x: left - 8, y: y + 17, text: cut(tier.name, 16) });
        draw(c.svg, "rect", { class: "fe", x: left, y, width: right - left, height: row });
        for (let i = 0, k; i < n; i = k) { /* steps of one colour are one rectangle, without seams */
            for (k = i + 1; k < n && heat(load.tiers[t][k]) === heat(load.tiers[t][i]);) k++;
            if (load.tiers[t][i] > 0) draw(c.svg, "rect", { x: X(i * load.step_s), y, width: Math.min(X(k * load.step_s), right) - X(i * load.step_s), height: row,
                style: `fill:${heat(load.tiers[t][i])}`, "shape-rendering": "crispEdges" });
        }
        for (let i = 0; i < n; i++) {
            const x = X(i * load.step_s), w = Math.min(X((i + 1) * load.step_s), right) - x, v = load.tiers[t][i];
            c.mark(x, y, w, row, tier.name, format.percent(v) + " of " + format.rate(tier.capacity_Bps),
                format.seconds(i * load.step_s) + " to " + format.seconds(Math.min((i + 1) * load.step_s, step)),
                "whole run: mean " + format.percent(tier.mean_utilization) + ", peak " + format.percent(tier.peak_utilization));
        }
    });
    heatLegend(c.svg, left, top + tiers.length * (row + 3) + 34);
}

function drawBusiest(parent, r) {
    const links = r.result.links.slice(0, 12);
    if (!links.length) return;
    const left = 330, right = WIDTH - 150, bar = 18, gap = 7, top = 8;
    const c = figure(parent, "Busiest links", "Mean utilization over the whole run; the thin mark is the peak. Links that carried the same are one row.",
        links.length * (bar + gap) + 62, [["link", "tier", "count", "bytes", "mean_utilization", "peak_utilization", "busy_s"],
            ...r.result.links.map(l => [l.link, l.tier, l.count, l.bytes, l.mean_utilization, l.peak_utilization, l.busy_s])]);
    const { X } = axes(c.svg, { x: left, y: top, w: right - left, h: links.length * (bar + gap) + 4 },
        { low: 0, high: 1, label: "utilization", text: format.percent }, BARE_AXIS);
    links.forEach((l, i) => {
        const y = top + 4 + i * (bar + gap);
        draw(c.svg, "text", { class: "end", x: left - 10, y: y + 13, text: cut(l.link, 44) });
        draw(c.svg, "rect", { class: "fe", x: left, y, width: right - left, height: bar });
        draw(c.svg, "rect", { x: left, y, width: Math.max(1, X(l.mean_utilization) - left), height: bar, style: `fill:${heat(l.mean_utilization)}` });
        draw(c.svg, "path", { class: "curve si", d: `M${X(Math.min(1, l.peak_utilization))} ${y}v${bar}` });
        draw(c.svg, "text", { class: "soft", x: right + 8, y: y + 13, text: cut(l.tier, 14) + (l.count > 1 ? " x " + format.count(l.count) : "") });
        c.mark(left, y, right - left, bar, l.link + (l.count > 1 ? " and " + format.count(l.count - 1) + " alike" : ""), "tier " + l.tier,
            "mean " + format.percent(l.mean_utilization) + ", peak " + format.percent(l.peak_utilization), format.bytes(l.bytes) + ", busy " + format.seconds(l.busy_s));
    });
}

/* ---- topology ---------------------------------------------------------------------------------------------------- */

const kindNames = { gpu: "GPU", nvswitch: "NVSwitch", nic: "NIC", cpu: "CPU", "pcie-switch": "PCIe switch", "net-switch": "switch" };
const kindOrder = ["nic", "cpu", "pcie-switch", "gpu", "nvswitch"];

function nodesOf(fabric) {
    return fabric.nodes.map(([name, kind, level, devices, gpus, boxes], id) => ({ id, name, kind, level, devices, gpus, boxes, inside: [], up: 0, edges: [] }));
}

/* Rows from the top: switches far from the servers first. */
function rowsOf(nodes) {
    const rows = new Map();
    for (const n of nodes) {
        const alone = n.boxes === 0 && n.kind !== "net-switch";
        const key = alone ? 100 + kindOrder.indexOf(n.kind) : n.boxes > 0 ? 99 : 50 - n.level;
        if (!rows.has(key)) rows.set(key, []);
        rows.get(key).push(n);
    }
    return [...rows.entries()].sort((a, b) => a[0] - b[0]).map(e => e[1]);
}

/* Order within rows by the mean place of the neighbours, from the largest row outwards, so that lines cross little. */
function orderRows(rows, nodes) {
    const rowOf = new Map(), place = new Map();
    rows.forEach((row, k) => row.forEach((n, i) => { rowOf.set(n, k); place.set(n, (i + 0.5) / row.length); }));
    const base = rows.findIndex(row => row.some(n => n.kind === "gpu" || n.boxes > 0));
    for (let pass = 0; pass < 3; pass++)
        for (const k of rows.keys()) {
            if (k === base) continue;
            const mean = n => {
                const near = n.edges.map(e => nodes[e.a === n.id ? e.b : e.a]).filter(m => rowOf.get(m) !== k);
                return near.length ? near.reduce((sum, m) => sum + place.get(m), 0) / near.length : place.get(n);
            };
            const weights = new Map(rows[k].map(n => [n, mean(n)]));
            rows[k].sort((a, b) => weights.get(a) - weights.get(b) || a.id - b.id);
            rows[k].forEach((n, i) => place.set(n, (i + 0.5) / rows[k].length));
        }
}

/* Boxes: at most PER_LINE side by side; long rows become a block. Returns the height. */
function placeRows(rows) {
    const PER_LINE = 80, left = 100, width = WIDTH - left - 20;
    let y = 20;
    for (const row of rows) {
        const lines = Math.ceil(row.length / PER_LINE), per = Math.ceil(row.length / lines), pitch = width / per;
        const w = Math.min(pitch - Math.min(5, pitch * 0.18), row.length === 1 && row[0].devices > 1 ? 320 : 84), h = lines > 1 ? 22 : 30;
        row.forEach((n, i) => {
            n.x = left + (i % per + 0.5) * pitch - w / 2;
            n.y = y + Math.floor(i / per) * (h + 5);
            n.w = w;
            n.h = h;
        });
        row.block = { x: left, y, w: width, h: lines * (h + 5), lines };
        y += row.block.h + (row.some(n => n.edges.some(e => e.same)) ? 78 : 56);
    }
    return y;
}

function edgePath(a, b, e) {
    const ax = a.x + a.w / 2, bx = b.x + b.w / 2;
    if (!e.same) {
        const [top, low] = a.y < b.y ? [a, b] : [b, a], tx = top.x + top.w / 2, lx = low.x + low.w / 2, y0 = top.y + top.h, y1 = low.y, middle = (y0 + y1) / 2;
        return `M${tx.toFixed(1)} ${y0}C${tx.toFixed(1)} ${middle} ${lx.toFixed(1)} ${middle} ${lx.toFixed(1)} ${y1}`;
    }
    const deep = Math.min(62, 12 + Math.abs(ax - bx) * 0.09), y = a.y + a.h;
    return `M${ax.toFixed(1)} ${y}C${ax.toFixed(1)} ${y + deep} ${bx.toFixed(1)} ${y + deep} ${bx.toFixed(1)} ${y}`;
}

function nodeText(n, r) {
    const lines = [n.boxes > 1 ? n.name + " and " + format.count(n.boxes - 1) + " more" : n.devices > 1 && n.boxes === 0 ? n.name + " and " + format.count(n.devices - 1) + " more" : n.name];
    if (n.gpus > 1 || n.boxes > 0) lines.push(format.count(n.gpus) + " GPUs, " + format.count(n.devices) + " devices");
    else lines.push(n.devices > 1 ? format.count(n.devices) + " switches" : kindNames[n.kind] || n.kind);
    const links = [...n.inside.map(e => [e, "inside"]), ...n.edges.map(e => [e, "out"])], by = new Map();
    for (const [e, where] of links) {
        const key = r.result.tiers[e.tier].name + (where === "inside" ? " inside" : ""), had = by.get(key) || { links: 0, load: 0, most: 0 };
        had.links += e.links; had.load += e.mean * e.links; had.most = Math.max(had.most, e.most);
        by.set(key, had);
    }
    for (const [key, v] of by) lines.push(`${key}: ${format.count(v.links)} links, mean ${format.percent(v.load / v.links)}, busiest ${format.percent(v.most)}`);
    return lines.slice(0, 12);
}

function rowLabel(row) {
    const n = row[0];
    if (n.boxes > 0) return row.length === 1 && n.boxes === 1 ? "server" : n.boxes > 1 ? "pods" : "servers";
    if (n.kind === "net-switch") return n.level === 1 ? "leaves" : n.level === 2 ? "spines" : n.level === 3 ? "cores" : "level " + n.level;
    return kindNames[n.kind] + (row.length > 1 ? (n.kind === "nvswitch" || n.kind === "pcie-switch" ? "es" : "s") : "");
}

function drawNode(c, n, r) {
    const inside = n.inside.length ? Math.max(...n.inside.map(e => e.most)) : -1, up = n.edges.length ? Math.max(...n.edges.map(e => e.most)) : -1;
    const value = n.boxes > 0 ? inside : up;
    draw(c.svg, "rect", { class: n.boxes > 0 || n.devices > 1 ? "axis" : "axis fc", x: n.x, y: n.y, width: n.w, height: n.h, rx: 3,
        style: (n.boxes > 0 || n.kind === "net-switch") && value >= 0 ? `fill:${heatOrEmpty(value)}` : undefined });
    if (n.boxes > 0 && up >= 0) draw(c.svg, "rect", { x: n.x, y: n.y, width: n.w, height: Math.min(6, n.h / 4), style: `fill:${heatOrEmpty(up)}` });
    const label = n.boxes === 0 && n.devices > 1 ? format.count(n.devices) + " switches" : n.name.split("/").pop(), room = Math.floor(n.w / 6.6);
    if (label.length <= room)
        draw(c.svg, "text", { class: "middle small", x: n.x + n.w / 2, y: n.y + n.h / 2 + 4, text: label,
            style: (n.boxes > 0 || n.kind === "net-switch") && value > 0.35 ? "fill:#15181d" : undefined });
    c.mark(n.x, n.y, n.w, n.h, ...nodeText(n, r));
}

function drawFabric(parent, r) {
    const fabric = r.result.fabric;
    if (!fabric || !fabric.nodes.length) return;
    const nodes = nodesOf(fabric), tiers = r.result.tiers, csv = [["from", "to", "tier", "links", "mean_utilization", "busiest_utilization"]];
    const edges = fabric.edges.map(([a, b, tier, links, mean, most]) => ({ a, b, tier, links, mean, most, same: false }));
    for (const e of edges) {
        csv.push([nodes[e.a].name, nodes[e.b].name, tiers[e.tier].name, e.links, e.mean, e.most]);
        if (e.a === e.b) nodes[e.a].inside.push(e);
        else { nodes[e.a].edges.push(e); nodes[e.b].edges.push(e); }
    }
    const rows = rowsOf(nodes);
    for (const row of rows) for (const n of row) n.row = row;
    for (const e of edges) e.same = e.a !== e.b && nodes[e.a].row === nodes[e.b].row;
    orderRows(rows, nodes);
    const height = placeRows(rows);
    const boxes = nodes.filter(n => n.boxes > 0);
    const one = fabric.stands_for > 1 ? "One copy of the service, which stands for " + format.count(fabric.stands_for) + " alike. " : "";
    const what = one + (fabric.detail === 0 ? "Every device; lines are links, coloured by their busiest." :
        `${format.count(nodes.reduce((sum, n) => sum + n.gpus, 0))} GPUs in ${format.count(boxes.length)} boxes` + (boxes.some(n => n.boxes > 1) ? " of several servers each" : "") +
        "; a box has the colour of its busiest link inside, its upper edge that of its busiest uplink.");
    const c = figure(parent, "Fabric", what, height + 30, csv);
    const seen = new Set();
    for (const e of edges.filter(x => x.a !== x.b).sort((x, y) => x.most - y.most)) {
        let [a, b] = [nodes[e.a], nodes[e.b]];
        if (a.row.block.lines > 1 || b.row.block.lines > 1) { /* a block of many lines: one line to all of it */
            const block = (a.row.block.lines > 1 ? a : b).row.block, other = a.row.block.lines > 1 ? b : a;
            if (other.row.block.lines > 1) continue;
            a = other;
            b = { x: Math.max(block.x, Math.min(block.x + block.w - 2, (other.x + other.w / 2 - WIDTH / 2) * 0.6 + WIDTH / 2)), y: block.y, w: 0, h: block.h };
            if (seen.has(other)) continue;
            seen.add(other);
            e.shown = Math.max(...other.edges.map(x => x.most));
        }
        const most = e.shown === undefined ? e.most : e.shown;
        draw(c.svg, "path", { fill: "none", d: edgePath(a, b, e), "stroke-width": Math.min(5, 0.8 + Math.log2(1 + e.links) * (most > 0 ? 0.55 : 0.2)).toFixed(2),
            style: `stroke:${most > 0 ? heat(most) : "var(--grid)"}`, "stroke-opacity": edges.length > 700 ? 0.55 : 0.9 });
    }
    for (const row of rows) {
        draw(c.svg, "text", { class: "soft", x: 8, y: row.block.y + 19, text: rowLabel(row) });
        for (const n of row) drawNode(c, n, r);
    }
    heatLegend(c.svg, 100, height);
}
