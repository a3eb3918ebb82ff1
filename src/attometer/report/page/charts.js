"use strict";
// The charts of a plan: memory and time against context, roofline; each is a table too.
const log = Math.log10;
const axis = (low, high) => {
  const found = [];
  for (let k = Math.ceil(log(low) - 1e-9); k <= log(high) + 1e-9; k++) found.push(10 ** k);
  const step = Math.ceil(found.length / 6);
  return found.filter((_, k) => k % step === 0);
};
const frame = (box, low, high, bottom, top) => ({
  x: (v) => box.l + (log(v / low) / log(high / low)) * (box.w - box.l - box.r),
  y: (v) => box.h - box.b - (log(Math.max(v, bottom) / bottom) / log(top / bottom)) * (box.h - box.t - box.b),
  low, high, bottom, top, box,
});
const grid = (f, xs, xText, ys, yText, xName) => {
  const { box: { l, r, t, b, w, h } } = f;
  return ys.map((v) => `<line class="g" x1="${l}" x2="${w - r}" y1="${f.y(v)}" y2="${f.y(v)}"/><text x="${l - 6}" y="${f.y(v) + 4}" text-anchor="end">${yText(v)}</text>`).join("") +
    xs.map((v) => `<line class="g" y1="${t}" y2="${h - b}" x1="${f.x(v)}" x2="${f.x(v)}"/><text x="${f.x(v)}" y="${h - b + 16}" text-anchor="middle">${xText(v)}</text>`).join("") +
    `<text x="${(l + w - r) / 2}" y="${h - 4}" text-anchor="middle" class="name">${xName}</text>`;
};
const POINTS = 61;
const curves = (p) => {
  const s = p.state, high = Math.max(2 ** 20, s.context, p.model.context || 0), low = 512, xs = [];
  for (let k = 0; k < POINTS; k++) xs.push(Math.round(low * (high / low) ** (k / (POINTS - 1))));
  const points = xs.map((m) => {
    const values = p.at(m, s.batch), table = p.layers(values, p.parts(values));
    return { m, total: p.total(m, s.batch), fixed: p.bytes.weights, table, seconds: table.reduce((sum, r) => sum + r.seconds, 0) / p.devices };
  });
  return { low, high, points };
};
const path = (f, points, get) => points.map((q, k) => `${k ? "L" : "M"}${f.x(q.m).toFixed(1)} ${f.y(get(q)).toFixed(1)}`).join("");
// Widths are read once: asking after something was written makes the browser lay out the page again.
const CHARTS = ["memory-chart", "time-chart", "roof-chart", "m-chart", "io-chart"];
let widths = {};
const measured = () => Object.fromEntries(CHARTS.map((id) => [id, $(id).clientWidth]));
const size = (id) => { if (!widths[id]) widths = measured(); const w = Math.max(280, Math.min(1240, widths[id] || 420)); return { w, h: Math.round(Math.min(w > 700 ? 400 : 300, 0.55 * w + 70)), l: 58, r: 18, t: 12, b: 38 }; };
const xTicks = (low, high, wide) => { const all = []; for (let v = 1024; v <= high; v *= 4) all.push(v); return wide > 330 ? all : all.filter((_, k) => k % 2 === 0); };
const twins = {};
const twin = (id, head, rows) => { twins[id] = { head, rows }; const d = document.querySelector(`details[data-twin="${id}"]`); if (d && d.open) showTwin(d); };
const showTwin = (d) => {
  const t = twins[d.dataset.twin];
  if (t) d.querySelector("div").innerHTML = `<table><thead><tr>${t.head.map((h) => `<th>${esc(h)}`).join("")}</tr></thead><tbody>${t.rows().map((r) => `<tr>${r.map((c) => `<td>${esc(c)}`).join("")}</tr>`).join("")}</tbody></table>`;
};
const frames = {};
// The line at the context asked for; out of the picture below its first point.
const moveHere = (id, context) => {
  const line = $(id).querySelector(".here"), f = frames[id], x = context >= f.low ? f.x(context) : -9;
  line.setAttribute("x1", x); line.setAttribute("x2", x);
};
const lines = (id, p, c, series, bottomOf, unit, limit) => {
  const box = size(id), tops = c.points.map((q) => Math.max(...series.map((l) => l.get(q))));
  const top = 10 ** Math.ceil(log(Math.max(...tops, limit || 0) * 1.05));
  const least = Math.min(...series.flatMap((l) => c.points.map(l.get)).filter((v) => v > 0));
  const bottom = 10 ** Math.floor(log(Math.max(least, top / bottomOf)));
  series = series.filter((l) => c.points.some((q) => l.get(q) >= bottom));
  const f = frame(box, c.low, c.high, bottom, top);
  const marks = [];
  if (limit) {
    marks.push(`<line class="limit" x1="${box.l}" x2="${box.w - box.r}" y1="${f.y(limit)}" y2="${f.y(limit)}"/><text class="limit" x="${box.l + 6}" y="${f.y(limit) + (p.largest && box.w > 400 ? -5 : 15)}">usable ${gigabytes(limit)}</text>`);
    if (p.largest >= c.low && p.largest <= c.high) {
      const end = f.x(p.largest) > Math.min(box.l + 220, box.w - box.r - 75) ? "end" : "start";
      marks.push(`<circle class="cross" cx="${f.x(p.largest)}" cy="${f.y(limit)}" r="5"/><text class="mark" text-anchor="${end}" x="${f.x(p.largest) + (end === "end" ? -9 : 9)}" y="${f.y(limit) + (end === "end" ? -6 : 18)}">${commas(p.largest)}</text>`);
    }
  }
  marks.push(`<line class="here" y1="${box.t}" y2="${box.h - box.b}"/>`);
  const drawn = series.map((l, k) => `<path class="c${l.colour ?? k % 7}${l.bold ? " bold" : ""}" style="${l.dash ? "stroke-dasharray:5 4" : ""}" d="${path(f, c.points.filter((q) => l.get(q) >= bottom), l.get)}"/>`).join("");
  $(id).innerHTML = `<svg viewBox="0 0 ${box.w} ${box.h}" role="img" aria-label="${esc($(id).dataset.name)}" data-low="${c.low}" data-high="${c.high}">${grid(f, xTicks(c.low, c.high, box.w), tokens, axis(bottom, top), unit, "context (tokens)")}${drawn}${marks.join("")}<line class="hover" y1="${box.t}" y2="${box.h - box.b}" x1="-9" x2="-9"/></svg>` +
    `<p class="legend">${series.map((l, k) => `<span><i class="k${l.colour ?? k % 7}${l.dash ? " d" : ""}"></i>${esc(l.name)}</span>`).join("")}</p>`;
  frames[id] = f; moveHere(id, p.state.context);
  follow(id, f, c, series);
  const show = unitOf(id);
  twin(id, ["tokens", ...series.map((l) => l.name)], () => c.points.filter((_, k) => k % 5 === 0).map((q) => [commas(q.m), ...series.map((l) => show(l.get(q)))]));
};
const unitOf = (id) => ($(id).dataset.unit === "s" ? time : gigabytes);
const follow = (id, f, c, series) => {
  const svg = $(id).querySelector("svg"), tip = $("tip");
  const at = (event) => {
    const r = svg.getBoundingClientRect(), x = ((event.clientX - r.left) / r.width) * f.box.w;
    const share = (x - f.box.l) / (f.box.w - f.box.l - f.box.r);
    return Math.min(f.high, Math.max(f.low, f.low * (f.high / f.low) ** share));
  };
  svg.onpointermove = (event) => {
    const m = at(event), q = c.points.reduce((a, b) => (Math.abs(log(b.m / m)) < Math.abs(log(a.m / m)) ? b : a));
    const line = svg.querySelector(".hover"); line.setAttribute("x1", f.x(q.m)); line.setAttribute("x2", f.x(q.m));
    tip.innerHTML = `<b>${commas(q.m)} tokens</b><br>${series.map((l) => `${esc(l.name)}: ${unitOf(id)(l.get(q))}`).join("<br>")}`;
    tip.hidden = false; tip.style.left = `${Math.min(event.clientX + 14, innerWidth - 220)}px`; tip.style.top = `${event.clientY + 14 + scrollY}px`;
  };
  svg.onpointerleave = () => { tip.hidden = true; svg.querySelector(".hover").setAttribute("x1", -9); svg.querySelector(".hover").setAttribute("x2", -9); };
  svg.onclick = (event) => { const v = at(event); change({ context: Math.max(1, Math.round(v / 256) * 256) }); };
};
// What the curves depend on: not on the context, unless an engine's step or a recipe does.
const curvesOf = (p) => JSON.stringify([p.model.text, { ...p.state, tab: "", context: p.served || p.trained ? p.state.context : 0 }, Math.max(p.state.context, 2 ** 20), widths, p.room]);
let curved = null;
const drawCurves = (p) => {
  size("memory-chart");
  const key = curvesOf(p);
  if (curved === key) { for (const id of ["memory-chart", "time-chart"]) moveHere(id, p.state.context); return; }
  curved = key;
  const c = curves(p), kinds = p.table.map((r) => r.kind), get = (kind, name) => (q) => (q.table.find((r) => r.kind === kind) || {})[name] || 0;
  const memory = [{ name: "total", get: (q) => q.total, bold: true, colour: 6 }, { name: "weights", get: (q) => q.fixed, colour: 0, dash: true }];
  if (p.devices === 1) kinds.forEach((kind, k) => { if (c.points.some((q) => get(kind, "kv")(q) > 0)) memory.push({ name: `cache, ${kind}`, get: get(kind, "kv"), colour: 1 + (k % 5) }); });
  lines("memory-chart", p, c, memory, 1e4, (v) => v >= 1e12 ? `${v / 1e12} TB` : v >= 1e9 ? `${v / 1e9} GB` : `${v / 1e6} MB`, p.room);
  const seconds = [{ name: "total", get: (q) => q.seconds, bold: true, colour: 6 }];
  kinds.forEach((kind, k) => seconds.push({ name: kind, get: (q) => get(kind, "seconds")(q) / p.devices, colour: 1 + (k % 5), dash: k >= 5 }));
  lines("time-chart", p, c, seconds, 1e7, (v) => time(v).replace(/\.0+(?= )/, "").replace("1.00", "1"));
};
const drawRoofline = (p) => {
  const box = size("roof-chart"), points = [];
  for (const [kind, layers, , indices] of p.mode.rows) for (const k of indices) {
    const x = p.each[k];
    if (x.flops > 0 && x.bytes > 0) points.push({ kind, name: x.name, at: x.flops / x.bytes, rate: x.flops / x.seconds, share: (layers * x.seconds) / p.alone, bound: x.compute >= x.memory ? "compute" : "memory" });
  }
  const merged = [...points.reduce((all, q) => { const key = `${q.kind} ${q.name}`, old = all.get(key); all.set(key, old ? { ...old, share: old.share + q.share } : q); return all; }, new Map()).values()].sort((a, b) => b.share - a.share);
  const used = [...new Set(p.rate)], asked = $("precision").value, rates = p.place.peak[asked] ? [...new Set([...used, asked])] : used, peak = Math.max(...rates.map((r) => p.place.peak[r]));
  const low = Math.min(0.1, ...merged.map((q) => q.at)) / 2, high = Math.max(1e4, ...merged.map((q) => q.at)) * 2;
  const f = frame(box, low, high, 10 ** Math.floor(log(Math.min(...merged.map((q) => q.rate), low * p.place.bandwidth * 10))), 10 ** Math.ceil(log(peak * 2)));
  put("precision", `<option value="">as planned: ${used.join(", ")}</option>` + Object.entries(p.place.peak).sort((a, b) => b[1] - a[1]).map(([r, v]) => `<option value="${r}"${r === asked ? " selected" : ""}>${r}: ${short(v)}FLOP/s</option>`).join(""));
  const roofs = [...rates].sort((a, b) => p.place.peak[b] - p.place.peak[a]).map((r) => {
    const top = p.place.peak[r], knee = top / p.place.bandwidth, start = Math.max(low, f.bottom / p.place.bandwidth);
    // What was measured is dashed, a datasheet's figure is not.
    const told = (p.place.measured || []).includes(`peak.${r}`);
    return `<path class="roof${used.includes(r) ? "" : " other"}${told ? " measured" : ""}" d="M${f.x(start)} ${f.y(start * p.place.bandwidth)}L${f.x(knee)} ${f.y(top)}L${f.x(high)} ${f.y(top)}"/><text ${f.x(knee) < box.l + 190 ? `x="${f.x(knee) + 2}" y="${f.y(top) - 22}"` : `x="${f.x(knee) - 8}" y="${f.y(top) + 4}" text-anchor="end"`}>${r} ${short(top)}FLOP/s${told ? ", measured" : ""}</text>`;
  }).join("");
  const kinds = p.table.map((r) => r.kind);
  const dots = merged.map((q) => `<circle class="dot k${1 + (kinds.indexOf(q.kind) % 5)}" cx="${f.x(q.at)}" cy="${f.y(q.rate)}" r="${3 + 15 * Math.sqrt(q.share)}"><title>${esc(`${q.kind}, ${q.name}: ${per(q.at)} FLOP per byte, ${(100 * q.share).toFixed(1)} % of the time, bound by ${q.bound}`)}</title></circle>`).join("");
  $("roof-chart").innerHTML = `<svg viewBox="0 0 ${box.w} ${box.h}" role="img" aria-label="roofline">${grid(f, axis(low, high), short, axis(f.bottom, f.top), short, "FLOP per byte")}${roofs}${dots}</svg>`;
  $("roof-table").innerHTML = table(["part", "FLOP/byte", "of time", "bound by"], merged.slice(0, 8).map((q) => ["", ...[`${esc(q.kind)}, ${esc(q.name)}`, per(q.at), `${(100 * q.share).toFixed(1)} %`].map((text) => why(`part:${q.kind}:${q.name}`, text)), q.bound]));
  twin("roof-chart", ["part", "FLOP per byte", "reached", "of the time", "bound by"], () => merged.map((q) => [`${q.kind}, ${q.name}`, per(q.at), scaled(q.rate, "FLOP/s"), `${(100 * q.share).toFixed(2)} %`, q.bound]));
};
