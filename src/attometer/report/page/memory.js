"use strict";
// Words moved against M words of fast memory: best tiles of each schedule, and what no schedule of a class can go below.
const IO = (() => {
  const AXES = ["n", "m", "d", "e"], ROUND_UP = 1 + 1e-9;
  const args = (s) => AXES.map((a) => s[a]);
  // ------------------------------------------------ pairs and tiles of a causal mask or a window (w is Infinity for causal)
  const upto = (k, w) => (k <= 0 ? 0 : k <= w ? (k * (k + 1)) / 2 : (w * (w + 1)) / 2 + (k - w) * w);
  const seen = (s) => {
    if (!s.masked) return { pairs: s.n * s.m, rows: s.n, columns: s.m };
    return { pairs: upto(s.m, s.w) - upto(s.m - s.n, s.w), rows: Math.min(s.n, s.m), columns: s.m - Math.max(0, s.m - s.n - s.w + 1) };
  };
  // [rows, columns, scores] of the tiles of `height` queries and `width` keys that are not empty.
  const visits = (s, height, width) => {
    const kept = (s.visited ||= new Map()), key = height * 2 ** 26 + width;
    if (kept.has(key)) return kept.get(key);
    let rows = 0, columns = 0, scores = 0;
    for (let at = 0; at < s.n; at += height) {
      const tall = Math.min(height, s.n - at), first = at + s.m - s.n, low = Math.max(0, first - s.w + 1), high = first + tall;
      if (high <= low) continue;
      const start = Math.floor(low / width), end = Math.ceil(high / width), wide = Math.min(end * width, s.m) - start * width;
      rows += tall * (end - start); columns += wide; scores += tall * wide;
    }
    const found = [rows, columns, scores];
    kept.set(key, found);
    return found;
  };
  // ------------------------------------------------ tiles: as count/traffic/tile_group.py searches them
  const distinct = (extent) => {
    const root = Math.min(Math.floor(Math.sqrt(extent)) + 1, extent), found = new Set();
    for (let k = 1; k <= root; k++) for (const size of [Math.ceil(extent / k), k]) found.add(Math.ceil(extent / Math.ceil(extent / size)));
    return [...found].sort((a, b) => a - b);
  };
  const largest = (fits, top) => { let low = 0, high = top; while (low < high) { const mid = Math.floor((low + high + 1) / 2); if (fits(mid)) low = mid; else high = mid - 1; } return low; };
  const grouped = (schedule, group, s) => {
    const fixed = { t: Math.ceil(s.m / Math.min(8, s.m)) }, extent = (t) => (schedule.tiles[t] ? s[schedule.tiles[t]] : Math.max(...args(s)));
    const values = (free) => group.names.map((t) => free[t] ?? fixed[t] ?? 1), sizes = args(s), masked = s.masked && group.masked;
    const need = (free) => AM.fn(group.held)(...sizes, ...values(free))[0], dense = (free) => AM.fn(group.words)(...sizes, ...values(free))[0];
    const shapes = masked && AM.fn(group.shapes), under = masked && AM.fn(group.masked);
    const words = (free) => {
      if (!masked) return dense(free);
      const tiles = values(free), sides = shapes(...sizes, ...tiles);
      return under(...sizes, ...tiles, ...group.visits.map((k, j) => visits(s, sides[2 * j], sides[2 * j + 1])[k]))[0];
    };
    // What any mask with as many pairs would move at least.
    const floor = (free) => { const tiles = values(free), sides = shapes(...sizes, ...tiles), { pairs } = seen(s); return under(...sizes, ...tiles, ...group.visits.map((k, j) => Math.ceil(pairs / ((k === 0 ? 1 : sides[2 * j]) * (k === 1 ? 1 : sides[2 * j + 1])))))[0]; };
    return { extent, values, need, dense, words, floor, masked };
  };
  // Every other choice of tiles whose floor is below `most`, where there are few enough.
  const FEW = 20000;
  const others = (g, one, two, M, most) => {
    const found = [];
    for (let v = 1; v <= g.extent(one); v++) for (let u = 1; u <= (two ? g.extent(two) : 1); u++) {
      const free = two ? { [one]: v, [two]: u } : { [one]: v };
      if (g.need(free) > M) break;
      const floor = g.floor(free);
      if (floor < most) found.push([floor, free]);
    }
    return found.sort((a, b) => a[0] - b[0]);
  };
  const tilesOf = (schedule, group, s, M) => {
    const g = grouped(schedule, group, s), [one, two] = group.free;
    if (g.need({}) > M) return null;
    const as = (free) => Object.fromEntries(group.names.map((t, k) => [t, g.values(free)[k]]));
    let candidates = [{}];
    if (one && !two) { const most = largest((v) => g.need({ [one]: v }) <= M, g.extent(one)); candidates = g.masked ? [...new Set([...distinct(g.extent(one)).filter((v) => v <= most), most])].map((v) => ({ [one]: v })) : [{ [one]: most }]; }
    if (two) candidates = distinct(g.extent(one)).flatMap((v) => {
      const most = largest((u) => g.need({ [one]: v, [two]: u }) <= M, g.extent(two));
      if (!most) return [];
      const even = Math.ceil(g.extent(two) / Math.ceil(g.extent(two) / most));
      return (g.masked ? [...new Set([most, even, Math.min(even, v)])] : [most]).map((u) => ({ [one]: v, [two]: u }));
    });
    let best = null;
    const tried = (free) => { const words = g.words(free); if (!best || words < best.words) best = { words, free }; };
    candidates.forEach(tried);
    if (g.masked && one && g.extent(one) * (two ? g.extent(two) : 1) <= FEW) others(g, one, two, M, best.words).forEach(([floor, free]) => { if (floor < best.words) tried(free); });
    return { words: best.words, tiles: as(best.free), held: g.need(best.free) };
  };
  // The words of a schedule at its best tiles: the fewest of all without a mask; under one of tiles that divide evenly, where they are many.
  const best = (name, s, M) => {
    const schedule = AM.data.schedules[name], found = schedule.groups.map((group) => tilesOf(schedule, group, s, M));
    if (found.includes(null)) return null;
    return { words: found.reduce((a, f) => a + f.words, 0), tiles: Object.assign({}, ...found.map((f) => f.tiles)), held: Math.max(...found.map((f) => f.held)) };
  };
  // ------------------------------------------------ lower bounds: as count/bounds/attention.py and segments.py compute them
  // Boxes lie side by side: their low corner, then their high one. `upper(x, l, h)` bounds one whose corners are at l and h.
  const certified = (upper, low, high, tolerance, enough) => {
    const dims = low.length, wide = 2 * dims, middle = new Float64Array(wide);
    let boxes = Float64Array.from([...low, ...high]), count = 1, most = 0;
    for (let round = 0; round < 40; round++) {
      const bound = new Float64Array(count);
      let highest = 0;
      for (let k = 0, at = 0; k < count; k++, at += wide) {
        bound[k] = upper(boxes, at, at + dims);
        if (bound[k] > highest) highest = bound[k];
        for (let j = 0; j < dims; j++) middle[j] = middle[dims + j] = (boxes[at + j] + boxes[at + dims + j]) / 2;
        const v = upper(middle, 0, dims);
        if (v > most) most = v;
      }
      if (most >= enough) return most;
      let kept = 0;
      for (let k = 0; k < count; k++) if (bound[k] > most * (1 + tolerance)) boxes.copyWithin(kept++ * wide, k * wide, (k + 1) * wide);
      if (!kept) return most * (1 + tolerance) * ROUND_UP;
      if (kept > 20000) return highest * ROUND_UP;
      const halves = new Float64Array((kept * wide) << dims);
      for (let k = 0, to = 0; k < kept; k++) for (let part = 0; part < 1 << dims; part++, to += wide) for (let j = 0; j < dims; j++) {
        const lo = boxes[k * wide + j], hi = boxes[k * wide + dims + j], mid = (lo + hi) / 2, right = (part >> j) & 1;
        halves[to + j] = right ? mid : lo; halves[to + dims + j] = right ? hi : mid;
      }
      boxes = halves; count = kept << dims;
    }
    let highest = 0;
    for (let k = 0, at = 0; k < count; k++, at += wide) highest = Math.max(highest, upper(boxes, at, at + dims));
    return highest * ROUND_UP;
  };
  const pairOf = (a, t, d, e) => (t * 2 * d <= a * e ? t * (a - (t * d) / e) : (a * a * e) / (4 * d));
  const untouched = (a, u, Y, d, e) => Math.min((a * u * Y) / Math.max(u + Y, 1e-300), Math.min(pairOf(a, u, d, e), pairOf(a, Y, d, e))) / d;
  const scoreProducts = (M, T, d, enough) => certified((x, l, h) => M + T - x[l] + (x[h] / 2) * Math.sqrt(2 * M + T - x[l]) + (x[h] * x[h]) / (4 * d), [0], [M + T], 1e-3, enough);
  const valueProducts = (M, T, d, e, enough) => certified((x, l, h) => {
    const used = x[l] + x[l + 1] + x[l + 2], z = x[h], u = x[h + 1], Y = x[h + 2];
    return used <= 2 * M + T ? z + Math.sqrt(z * u * Y) + untouched(Math.max(2 * M + T - x[l] - x[l + 1] - x[l + 2], 0), u, Y, d, e) : 0;
  }, [0, 0, M], [M + T, M + T, M + T], 1e-2, enough);
  const allProducts = (M, T, d, e, enough) => {
    const budget = 2 * M + T, fixed = (M + T + (budget / 3) ** 1.5) * ROUND_UP;
    return fixed + certified((x, l, h) => {
      const a = Math.max(budget - x[l] - x[l + 1], 0);
      return x[l] + x[l + 1] <= budget ? (a * a) / (4 * d) + untouched(a, x[h], x[h + 1], d, e) : 0;
    }, [0, M], [M + T, M + T], 4e-3, enough - fixed);
  };
  const accumulators = (M, T, d, e) => { const X = M + T; return ((X / 3) ** 1.5 + (e <= d ? (e * X * X) / (4 * (d + e) ** 2) : (X * X) / (16 * d))) * ROUND_UP; };
  const matmul = (M, T) => { const s = Math.max(M, (2 * M + T) / 3); return Math.max(((2 * M + T - s) / 2) * Math.sqrt(s), M + T) * ROUND_UP; };
  // Python rounds halves to even.
  const rounded = (x) => { const low = Math.floor(x); return x - low === 0.5 ? low + (low % 2) : Math.round(x); };
  const segmented = (total, most, M, count) => {
    const ratio = 64 ** (1 / (count - 1)), tried = [...new Set(Array.from({ length: count }, (_, k) => Math.max(1, rounded((M / 8) * ratio ** k))))].sort((a, b) => a - b);
    let found = 0;
    for (const T of tried.sort((a, b) => Math.abs(Math.log(a / M)) - Math.abs(Math.log(b / M)))) {
      const enough = Math.ceil(total / (Math.floor(found / T) + 1));
      found = Math.max(found, T * (Math.ceil(total / Math.max(1, Math.floor(most(T, enough)))) - 1));
    }
    return found;
  };
  // In the order of ATTENTION_BOUNDS.
  const bounds = (s, M) => {
    const { pairs, rows, columns } = seen(s), { d, e } = s;
    if (!pairs) return AM.data.bounds.stated.map(() => 0);
    const root = Math.floor(Math.sqrt(M)), up = root + (root * root < M ? 1 : 0);
    return [
      (rows + columns) * (d + e),
      M >= 8 ? M * (Math.ceil((pairs * d) / (Math.ceil((M * M) / d) + Math.floor(Math.sqrt(2 * M ** 3)) + 1)) - 1) : 0,
      M >= 8 ? Math.floor((Math.SQRT2 - 1) * Math.min((pairs * d * d) / M, (pairs * d) / up)) - M : 0,
      segmented(pairs * d, (T, enough) => scoreProducts(M, T, d, enough), M, 25),
      segmented(pairs * e, (T, enough) => valueProducts(M, T, d, e, enough), M, 7),
      segmented(pairs * (d + e), (T, enough) => allProducts(M, T, d, e, enough), M, 19),
      segmented(pairs * d, (T) => matmul(M, T), M, 25) - pairs,
      segmented(pairs * e, (T) => accumulators(M, T, d, e), M, 97),
      segmented(pairs * (d + e), (T) => accumulators(M, T, d, e), M, 97) - pairs,
      Math.min(Math.floor(pairs / 8), Math.floor((pairs * d * d) / (8 * M))) - M,
      segmented(pairs, (T) => (2 * (M + T) + (M + T) ** 2 / d ** 2) * ROUND_UP, M, 49),
    ].map((v) => Math.max(0, v));
  };
  // Of each class of algorithms the strongest bound that covers it: [words, which].
  const strongest = (s, M) => {
    const { stated, classes } = AM.data.bounds, found = bounds(s, M);
    return Object.fromEntries(classes.map((c, k) => [c, stated.reduce((a, b, j) => (classes.indexOf(b[3]) >= k && (a === null || found[j] > a[0]) ? [found[j], j] : a), null)]));
  };
  return { best, bounds, strongest, visits, seen };
})();
// ---------------------------------------------------------------- the tab
const CLASS_NAMES = { accumulator: "single accumulators", tree: "any summation tree", explicit: "any that forms QKᵀ", any: "inputs and outputs" };
const memory = { n: 4096, m: 0, d: 64, e: 0, mask: "", w: 256, M: 116736, shown: ["naive", "two_pass", "flash1", "flash2", "split_kv"], made: {}, timer: 0 };
const MOST_OF = { n: 2 ** 20, m: 2 ** 20, d: 4096, e: 4096, w: 2 ** 20, M: 2 ** 30 };
const shapeOf = () => {
  const { n, d, mask } = memory, s = { n, m: memory.m || n, d, e: memory.e || d, masked: !!mask, w: mask === "window" ? memory.w : Infinity };
  const said = `n = ${commas(s.n)}, m = ${commas(s.m)}, d = ${s.d}, e = ${s.e}${mask ? `, ${mask}${mask === "window" ? `(${commas(s.w)})` : ""}` : ""}`;
  return (memory.made[said] ||= { ...s, said, at: {} });
};
// Words of every schedule shown and what each class needs at M, each computed once.
const pointOf = (s, M) => {
  const one = (s.at[M] ||= { M, best: {}, least: IO.strongest(s, M) });
  for (const name of memory.shown) if (!(name in one.best)) one.best[name] = IO.best(name, s, M);
  return one;
};
const memoryShared = () => ({ ...Object.fromEntries(["n", "m", "d", "e", "mask", "w", "M"].map((k) => [k, memory[k]]).filter(([, v]) => v)), schedules: memory.shown.join(",") });
const memoryRead = (q) => {
  for (const key of Object.keys(MOST_OF)) if (amount(q.get(key)) >= 1) memory[key] = Math.min(MOST_OF[key], amount(q.get(key)));
  if (q.has("tab") && q.get("tab") === "io") memory.mask = ["causal", "window"].includes(q.get("mask")) ? q.get("mask") : "";
  const asked = (q.get("schedules") || "").split(",").filter((name) => AM.data.schedules[name]);
  if (asked.length) memory.shown = asked;
};
const memoryGrid = (s) => { const low = 4 * s.d, high = Math.max(16 * s.d, 2 * s.n * s.d); return [...new Set(Array.from({ length: 32 }, (_, k) => Math.round(low * (high / low) ** (k / 31))))]; };
// Points of the curves are computed a few at a time, so that the page answers meanwhile.
const drawIo = () => {
  clearTimeout(memory.timer);
  const s = shapeOf(), began = performance.now(), grid = memoryGrid(s), points = [];
  for (const M of grid) { if (points.length && performance.now() - began > 60 && !ready(s, M)) break; points.push(pointOf(s, M)); }
  if (points.length < grid.length) memory.timer = setTimeout(drawIo, 5);
  drawWords(s, grid, points);
};
const ready = (s, M) => s.at[M] && memory.shown.every((name) => name in s.at[M].best);
const drawWords = (s, grid, points) => {
  const here = pointOf(s, memory.M), classes = AM.data.bounds.classes, label = (c) => CLASS_NAMES[c];
  const series = memory.shown.map((name, k) => ({ name, colour: k % 7, dash: k > 6, bold: name === "flash2", points: points.map((p) => [p.M, p.best[name] && p.best[name].words]).filter(([, v]) => v) })).filter((l) => l.points.length > 1);
  const regions = classes.map((c) => ({ name: `out of reach of ${label(c)}`, points: points.map((p) => [p.M, p.least[c][0]]).filter(([, v]) => v) })).filter((r) => r.points.length > 1);
  const drawn = [...series, ...regions].flatMap((l) => l.points.map((p) => p[1]));
  if (drawn.length) {
    const [bottom, top] = span(drawn), low = grid[0], high = grid.at(-1), M = Math.min(high, Math.max(low, memory.M));
    plot("io-chart", series, { low, high, bottom, top, regions, xName: "fast memory M (words)", xText: short, yText: short,
      marks: (f) => `<line class="here" x1="${f.x(M)}" x2="${f.x(M)}" y1="${f.box.t}" y2="${f.box.h - f.box.b}"/><text class="mark" x="${f.x(M) + (f.x(M) > f.box.w / 2 ? -6 : 6)}" y="${f.box.t + 12}" text-anchor="${f.x(M) > f.box.w / 2 ? "end" : "start"}">M = ${commas(memory.M)}${M === memory.M ? "" : ", outside the picture"}</text>` });
  }
  $("io-slide").value = Math.log2(memory.M);
  for (const key of Object.keys(MOST_OF)) if (document.activeElement !== $(`io-${key}`)) $(`io-${key}`).value = memory[key] ? commas(memory[key]) : "";
  $("io-mask").value = memory.mask; $("io-w").parentElement.hidden = memory.mask !== "window";
  for (const box of document.querySelectorAll("#io-schedules input")) box.checked = memory.shown.includes(box.value);
  const over = (words, c, name) => (words && here.least[c][0] ? why(`bound:${c}:${name}`, (words / here.least[c][0]).toFixed(2)) : "");
  $("io-table").innerHTML = `<p>At M = ${commas(memory.M)} words, ${memory.mask ? "the best tiles found of each" : "best tiles of each"}:</p>${table(["schedule", "words moved", ...classes.map((c) => `÷ bound, ${label(c)}`)], [...memory.shown.map((name) => { const b = here.best[name]; return ["", `${name}${b ? `<br><small>${esc(tilesSaid(b.tiles))}</small>` : ""}`, b ? why(`moved_by:${name}`, whole(b.words)) : "does not fit", ...classes.map((c) => over(b && b.words, c, name))]; }), ["needed", "lower bound", "", ...classes.map((c) => why(`bound:${c}`, whole(here.least[c][0])))]])}`;
  $("io-command").textContent = `attometer io softmax -n ${s.n}${s.m === s.n ? "" : ` -m ${s.m}`} -d ${s.d}${s.e === s.d ? "" : ` -e ${s.e}`} -M ${memory.M}${memory.mask ? ` --mask "${memory.mask}${memory.mask === "window" ? `(${s.w})` : ""}"` : ""} --bounds --plot io.png`;
  showWhy();
};
const tilesSaid = (tiles) => Object.entries(tiles).map(([k, v]) => `${k} = ${commas(v)}`).join(", ");
const movedWhy = (name) => {
  const s = shapeOf(), b = pointOf(s, memory.M).best[name], [words, holds] = AM.data.schedules[name].formula;
  return {
    title: `Words moved by ${name}`, status: "counted", formula: `${words}\nheld at once: ${holds} ≤ M`, numbers: `${s.said}, M = ${commas(memory.M)}${b ? `\n${tilesSaid(b.tiles)}` : ""}`,
    value: b ? `${commas(b.words)} words` : "does not fit", convention: `words read and written between slow memory and M words of fast memory, one head; ${memory.mask ? "only tiles that the mask does not empty; of tiles that divide evenly the best: attometer io tries the others too" : "no other tiles move fewer"}`, source: `counted from the schedule's loops: ${AM.data.schedules[name].title}`,
  };
};
const boundWhy = (kind, name) => {
  const s = shapeOf(), here = pointOf(s, memory.M), [least, which] = here.least[kind], [title, statement, source] = AM.data.bounds.stated[which], words = name && here.best[name] && here.best[name].words;
  return {
    title: name ? `${name} over what ${CLASS_NAMES[kind]} needs` : `Least words of ${CLASS_NAMES[kind]}`, status: "theorem", formula: `${name ? `words of ${name} / bound\n` : ""}${title}: ${statement}`, numbers: `${s.said}, M = ${commas(memory.M)}`,
    value: words ? `${commas(words)} / ${commas(least)} = ${(words / least).toFixed(2)}` : `${commas(least)} words`, convention: `holds for algorithms of the class "${CLASS_NAMES[kind]}"; the strongest of ${AM.data.bounds.stated.length} bounds at this M${memory.mask ? "; n m stands for the pairs that the mask allows" : ""}`, source,
  };
};
const startMemory = () => {
  $("io-schedules").insertAdjacentHTML("beforeend", Object.entries(AM.data.schedules).map(([name, one]) => `<label class="check" title="${esc(one.title)}"><input type="checkbox" value="${name}"> ${name}</label>`).join(""));
  $("io-schedules").onchange = () => { const asked = [...document.querySelectorAll("#io-schedules input:checked")].map((box) => box.value); if (asked.length) memory.shown = asked; drawIo(); keep(); };
  for (const key of Object.keys(MOST_OF)) $(`io-${key}`).onchange = (e) => {
    const text = e.target.value.trim(), v = amount(text), own = (key === "m" || key === "e") && !text, right = own || (v >= 1 && v <= MOST_OF[key]);
    e.target.setAttribute("aria-invalid", !right);
    $("io-said").textContent = right ? "" : `${key} is a whole number from 1 to ${commas(MOST_OF[key])}, not ${text || "empty"}${key === "M" ? "; words, not bytes: 228 KB hold 116,736 of 16 bits" : ""}`;
    if (right) { memory[key] = own ? 0 : v; drawIo(); keep(); }
  };
  $("io-mask").onchange = (e) => { memory.mask = e.target.value; drawIo(); keep(); };
  $("io-slide").oninput = (e) => { memory.M = Math.round(2 ** +e.target.value); drawIo(); keep(); };
};
