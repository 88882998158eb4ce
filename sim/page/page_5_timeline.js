/* page_5_timeline.js - what a few ranks did when, each with its streams. Spans are one path for each category; marks know the values. */

function streamText(stream, span, t) {
    const [start, length, name, category, count] = span, from = start * t.tick_s;
    return [t.names[name] + (count > 1 ? " and " + (count - 1) + " more ops" : ""), (count > 1 ? "mostly " : "") + t.categories[category].replaceAll("_", " ") + " on stream " + stream.name,
        format.seconds(from) + " to " + format.seconds((start + length) * t.tick_s) + ": " + format.seconds(length * t.tick_s)];
}

/* Streams that never overlap share a lane: sends and receives of a pipeline would be four nearly empty ones. */
function lanesOf(row) {
    const lanes = [];
    for (const stream of row.streams) {
        const fits = lanes.find(lane => lane.length && lane[0].name !== "compute" && stream.name !== "compute" && lane.every(s => apart(s.spans, stream.spans)));
        if (fits) fits.push(stream);
        else lanes.push([stream]);
    }
    return lanes;
}
function apart(a, b) {
    for (let i = 0, k = 0; i < a.length && k < b.length;) {
        if (a[i][0] + a[i][1] <= b[k][0]) i++;
        else if (b[k][0] + b[k][1] <= a[i][0]) k++;
        else return false;
    }
    return true;
}

function drawTimeline(parent, r) {
    const t = r.result.timeline;
    if (!t || !t.rows.length) return;
    const left = 150, right = WIDTH - 20, top = 8, lane = 13, gap = 10;
    const rows = t.rows.map(row => ({ ...row, lanes: lanesOf(row) })), lines = rows.reduce((sum, row) => sum + row.lanes.length, 0);
    const height = lines * lane + rows.length * gap, csv = [["rank", "stream", "name", "category", "ops", "start_s", "duration_s"]];
    const c = figure(parent, "Timeline", "Representative ranks; a row for each stream, or for streams that take turns. Ops too short to draw are merged.", height + 74, csv);
    const ticks = 1 / t.tick_s, x = { low: 0, high: r.result.step_time_s, label: "", text: format.seconds };
    const { X } = axes(c.svg, { x: left, y: top, w: right - left, h: height }, x, BARE_AXIS);
    const paths = t.categories.map(() => []);
    let y = top + gap / 2;
    for (const row of rows) {
        draw(c.svg, "text", { class: "end", x: left - 8, y: y + 10, text: "rank " + format.count(row.rank) });
        if (row.lanes.length > 1 && row.count > 1)
            draw(c.svg, "text", { class: "end soft small", x: left - 8, y: y + 23, text: format.count(row.count) + " alike" });
        for (const streams of row.lanes) {
            draw(c.svg, "rect", { class: "fe", x: left, y, width: right - left, height: lane - 2 });
            for (const stream of streams)
                for (const span of stream.spans) {
                    const from = X(span[0] / ticks), w = Math.max(0.4, X((span[0] + span[1]) / ticks) - from);
                    paths[span[3]].push(`M${from.toFixed(1)} ${y}h${w.toFixed(2)}v${lane - 2}h-${w.toFixed(2)}z`);
                    c.mark(from, y, w, lane - 2, ...streamText(stream, span, t), "rank " + row.rank + " (" + row.device + ")" + (row.count > 1 ? " and " + format.count(row.count - 1) + " alike" : ""));
                    csv.push([row.rank, stream.name, t.names[span[2]], t.categories[span[3]], span[4], span[0] * t.tick_s, span[1] * t.tick_s]);
                }
            y += lane;
        }
        y += gap;
    }
    paths.forEach((d, i) => { if (d.length) draw(c.svg, "path", { class: "f" + colourOf(t.categories[i], i), d: d.join("") }); });
    legend(c.svg, t.categories.map((name, i) => ({ name: name.replaceAll("_", " "), colour: colourOf(name, i) })), left, top + height + 46);
}
