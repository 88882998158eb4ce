/* page_7_coll.js - bus bandwidth against size of one or more tables of `fabsim coll`, with what was measured on such machines. */

function drawBusbw(parent, tables) {
    for (const op of new Set(tables.map(t => t.result.op))) drawBusbwOf(parent, tables.filter(t => t.result.op === op), op);
}

function drawBusbwOf(parent, tables, op) {
    const csv = [["series", "measured", "size_bytes", "time_us", "busbw_GBps", "source"]];
    /* Tables of one machine have the same measurements: once is enough. */
    const machines = new Set(), once = t => { const key = t.result.file + " " + t.result.ranks, first = !machines.has(key); machines.add(key); return first; };
    for (const t of tables) t.shown = once(t) ? t.measured || [] : [];
    const measured = tables.flatMap(t => t.shown), points = [...tables.flatMap(t => t.result.rows), ...measured];
    if (!points.length) return;
    const sizes = points.map(p => p.size_bytes), rates = points.map(p => p.busbw_GBps).filter(v => v > 0);
    const c = figure(parent, "Bus bandwidth: " + op, "As nccl-tests count it." + (measured.length ? " Open marks: measured." : ""), 470, csv);
    const { X, Y } = axes(c.svg, { x: 70, y: 30, w: WIDTH - 110, h: 330 }, { low: Math.min(...sizes), high: Math.max(...sizes) * 1.1, log: 2, label: "size", text: format.bytes },
        { low: 0, high: Math.max(...rates) * 1.06, label: "busbw, GB/s", text: v => digits(v) });
    const items = [];
    tables.forEach((t, k) => {
        const colour = seriesColour(k), name = t.result.topology + ", " + t.result.ranks + " GPUs" + (t.label !== t.name ? " (" + t.label + ")" : "");
        items.push({ name, colour });
        draw(c.svg, "path", { class: "curve s" + colour, d: pathOf(t.result.rows.map(p => [X(p.size_bytes), Y(p.busbw_GBps)])) });
        for (const p of t.result.rows) {
            csv.push([name, "no", p.size_bytes, p.time_us, p.busbw_GBps, ""]);
            draw(c.svg, "circle", { class: "f" + colour, cx: X(p.size_bytes), cy: Y(p.busbw_GBps), r: 3 });
            c.mark(X(p.size_bytes) - 5, Y(p.busbw_GBps) - 5, 10, 10, name, format.bytes(p.size_bytes) + ": " + digits(p.busbw_GBps, 4) + " GB/s", digits(p.time_us, 4) + " us, " + p.algo + ", " + p.protocol + ", " + p.channels + " channels");
        }
        for (const p of t.shown) {
            csv.push([p.series, "yes", p.size_bytes, p.time_us, p.busbw_GBps, p.source]);
            draw(c.svg, "circle", { class: "curve s" + colour, cx: X(p.size_bytes), cy: Y(p.busbw_GBps), r: 4.5, fill: "none" });
            c.mark(X(p.size_bytes) - 5, Y(p.busbw_GBps) - 5, 10, 10, "measured: " + p.series, format.bytes(p.size_bytes) + ": " + digits(p.busbw_GBps, 4) + " GB/s", p.fitted ? "constants were fitted on this series" : "not used for fits", p.source);
        }
    });
    legend(c.svg, items, 70, 428);
}
