"use strict";
// The other tabs: mechanisms of the catalogue against one another, pebbles, claims; memory.js has the words moved.
const FOLLOWS = { m: "n", e: "d", g: "h", s: "n" };
// What a size is unless it is given: another one; a mask's own are sizes by themselves.
const follows = (m, name) => (m.own && m.own.free.includes(name) ? undefined : FOLLOWS[name]);
const tabState = { one: "sliding_window", two: "softmax", quantity: "flop", sizes: { b: 1, h: 16, n: 16384, d: 128 } };
// What of the tabs goes into the address, and comes back from it.
const tabShared = (tab) => {
  const s = tabState;
  if (tab === "mechanisms") return { ...(s.one === "yours" ? { text: s.text } : {}), one: s.one, two: s.two, quantity: s.quantity, sizes: Object.entries(s.sizes).map((e) => e.join(":")).join(",") };
  if (tab === "claims") return { source: $("l-source").value, verdict: $("l-verdict").value };
  return tab === "io" ? { ...memoryShared(), game: game.which, move: game.at } : {};
};
const tabRead = (q) => {
  const s = tabState, d = AM.data, known = (key, list) => { if (q.has(key) && q.get(key) in list) return q.get(key); return null; };
  if (q.get("text") && $("m-own")) { $("m-own").value = q.get("text"); $("m-own").parentElement.open = true; typed(q.get("text")); }
  s.one = known("one", d.mechanisms) || s.one; s.two = known("two", d.mechanisms) || s.two; s.quantity = known("quantity", QUANTITY) || s.quantity;
  for (const each of (q.get("sizes") || "").split(",")) { const [name, v] = each.split(":"); if (/^[a-zA-Z]\w*$/.test(name) && amount(v) >= 1) s.sizes[name] = amount(v); }
  $("l-source").value = q.get("source") || ""; $("l-verdict").value = q.get("verdict") || "";
  memoryRead(q);
  game.which = +(known("game", d.games) || game.which); game.at = amount(q.get("move")) || game.at;
};
const game = { which: 0, at: 0, timer: 0 };
const whole = (v) => v < 1e15 ? commas(v) : v.toExponential(3);
const sizesOf = (m, n) => {
  const given = { ...tabState.sizes, n }, value = (name) => given[name] ?? (follows(m, name) ? value(follows(m, name)) : m.start[name]);
  return m.sizes.map(value);
};
const costOf = (m, n) => {
  if (m.own) try { const s = Object.fromEntries(m.sizes.map((name, k) => [name, sizesOf(m, n)[k]])); return NOTATION.count(m.own, s); } catch { return null; }
  if (!m.js) return null;
  try { const [work, depth, flop, peak, path] = AM.fn(m.js)(...sizesOf(m, n)); return { work, depth, flop, peak, path }; } catch { return null; }
};
const crossing = (one, two, quantity) => {
  const ahead = (n) => { const a = costOf(one, n), b = costOf(two, n); return a && b ? Math.sign(a[quantity] - b[quantity]) : 0; };
  let low = 2;
  for (let high = 4; high <= 2 ** 24; high *= 2) {
    if (ahead(low) && ahead(high) && ahead(low) !== ahead(high)) {
      const first = ahead(low);
      let a = low, b = high;
      while (b - a > 1) { const mid = Math.floor((a + b) / 2); if (ahead(mid) === first) a = mid; else b = mid; }
      return b;
    }
    low = high;
  }
  return null;
};
const plot = (id, series, { low, high, top, bottom, xName, xText, yText, marks = "", regions = [] }) => {
  const box = size(id), f = frame(box, low, high, bottom, top);
  const line = (points) => points.map(([x, y], k) => `${k ? "L" : "M"}${f.x(x).toFixed(1)} ${f.y(y).toFixed(1)}`).join("");
  const areas = regions.map((r) => `<path class="area" d="${line(r.points)}L${f.x(r.points.at(-1)[0])} ${box.h - box.b}L${f.x(r.points[0][0])} ${box.h - box.b}Z"><title>${esc(r.name)}</title></path>`).join("");
  // Names stand in the picture where there is room for them, else below it.
  const named = box.w < 500 ? "" : regions.filter((r, k) => r.points[0][1] > bottom * 1.5 && (!k || r.points[0][1] < 0.8 * regions[k - 1].points[0][1])).map((r) => `<text x="${box.l + 7}" y="${f.y(r.points[0][1]) + 15}">${esc(r.name)}</text>`).join("");
  const ticks = axis(low, high);
  $(id).innerHTML = `<svg viewBox="0 0 ${box.w} ${box.h}" role="img" aria-label="${esc(xName)}">${areas}${grid(f, ticks, xText, axis(bottom, top), yText, xName)}${series.map((s) => `<path class="c${s.colour}${s.bold ? " bold" : ""}"${s.dash ? ' style="stroke-dasharray:5 4"' : ""} d="${line(s.points)}"/>`).join("")}${named}${marks ? marks(f) : ""}</svg><p class="legend">${series.map((s) => `<span><i class="k${s.colour}${s.dash ? " d" : ""}"></i>${esc(s.name)}</span>`).join("")}${named ? "" : [...regions].reverse().map((r) => `<span>▨ ${esc(r.name)}</span>`).join("")}</p>`;
  const shown = [...series, ...regions], at = shown.map((s) => new Map(s.points));
  twin(id, [xName, ...shown.map((s) => s.name)], () => [...new Set(at.flatMap((points) => [...points.keys()]))].sort((a, b) => a - b).filter((_, k) => k % 4 === 0).map((x) => [commas(x), ...at.map((points) => (points.has(x) ? whole(Math.round(points.get(x))) : ""))]));
};
// Rows are queries, columns keys: a square where the query sees the key.
const maskPicture = (k) => {
  const n = k.rows.length, cells = [];
  k.rows.forEach((row, i) => {
    const bits = [...row].map((c) => parseInt(c, 16).toString(2).padStart(4, "0")).join("");
    for (const run of bits.matchAll(/1+/g)) cells.push(`<rect x="${run.index}" y="${i}" width="${run[0].length}" height="1"/>`);
  });
  return `<svg viewBox="0 0 ${n} ${n}" role="img" aria-label="which keys (columns) each query (row) sees: ${esc(k.shown)}" shape-rendering="crispEdges"><rect width="${n}" height="${n}" class="empty"/>${cells.join("")}</svg>`;
};
const span = (values) => [10 ** Math.floor(log(Math.min(...values))), 10 ** Math.ceil(log(Math.max(...values) * 1.01))];
const EXAMPLE = "axis i: n, j: n, e: d\ninput Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]\nS[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d] / sqrt(d)   where causal(i, j)\nP[b,h,i,j] = sigmoid(S)\nO[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]";
// Masks of what is typed, each once, at sizes that can be seen.
const SHRUNK = { w: 8, l: 6, c: 4, s: 4, p: 6 };
const drawnMasks = (own) => {
  const each = new Map(own.statements.filter((s) => s.mask).map((s) => [s.mask.text, s.mask.mask]));
  return [...each].map(([read, mask]) => {
    const text = read.replace(/\( /g, "(").replace(/ ([),])/g, "$1").replace(/(\w) \(/g, "$1(");
    const sizes = Object.fromEntries(MASKS.names(mask).map((name) => [name, SHRUNK[name] ?? (["n", "m"].includes(name) ? 32 : 3)])), shown = text.replace(/\b[A-Za-z_]\w*\b/g, (word) => sizes[word] ?? word);
    return { text, shown, rows: MASKS.picture(mask, sizes, 32) };
  });
};
// What is typed becomes a mechanism of the list, counted at the sizes asked for.
const typed = (text) => {
  try {
    const own = NOTATION.parse(text), told = "counted by this page at the sizes above", sizes = own.sizes;
    const m = { title: "what is written here", result: "itself", text, citation: "your own", notes: "", formulas: { work: told, depth: told, flop: told, peak: told, path: told }, orders: {}, sizes, start: Object.fromEntries(sizes.map((s) => [s, { b: 1, h: 16, n: 16384, d: 128 }[s] ?? 64])), js: null, own, masks: drawnMasks(own) };
    NOTATION.count(own, m.start);
    AM.data.mechanisms.yours = m;
    for (const id of ["m-one", "m-two"]) if (!$(id).querySelector("option[value=yours]")) $(id).insertAdjacentHTML("afterbegin", '<option value="yours">yours</option>');
    tabState.one = "yours"; tabState.text = text; $("m-said").textContent = "";
    return true;
  } catch (error) { $("m-said").textContent = error.message; return false; }
};
// Sizes with a slider, as powers of two.
const SLID = { n: [4, 24], d: [0, 12], w: [1, 20] };
const stands = (at, q) => at && Number.isFinite(at[q]);
const noValue = (m, q) => (m.own && !m.formulas[q] ? "attometer show mine.att" : !m.own && !m.js ? "rows are counted one by one" : "no closed form");
const drawMechanism = () => {
  const all = AM.data.mechanisms, s = tabState, one = all[s.one], two = all[s.two];
  $("m-one").value = s.one; $("m-two").value = s.two; $("m-quantity").value = s.quantity;
  const shown = [...new Set([one, two].flatMap((m) => m.sizes.filter((n) => !follows(m, n))))];
  put("m-sizes", shown.map((n) => `<span><label>${n}<input data-size="${n}" inputmode="numeric"></label>${SLID[n] ? `<input type="range" data-slide="${n}" min="${SLID[n][0]}" max="${SLID[n][1]}" step="0.125" aria-label="${n}, logarithmic">` : ""}</span>`).join(""));
  for (const at of $("m-sizes").querySelectorAll("input")) {
    const name = at.dataset.size || at.dataset.slide, v = s.sizes[name] ?? one.start[name] ?? two.start[name];
    if (document.activeElement !== at || at.dataset.size) at.value = at.dataset.size ? commas(v) : Math.log2(v);
  }
  const masks = (m) => m.masks.map((k) => `<figure class="mask">${maskPicture(k)}<figcaption>${esc(k.text)}${k.shown === k.text ? "" : `, drawn as ${esc(k.shown)}`} at n = ${k.rows.length}</figcaption></figure>`).join("");
  const words = (c) => c && `<br>words at these sizes: ${HELD.filter((q) => c[q]).map((q) => `${q} ${whole(c[q])}`).join(", ")}; at most ${whole(c.peak)} at once.`;
  const text = (name, m) => `<h3>${esc(name)}: ${esc(m.title)}</h3><pre class="notation">${esc(m.text)}</pre>${masks(m)}<p class="cite">${esc(m.citation)}${m.notes ? `. ${esc(m.notes)}` : ""}<br>${m.result === "itself" ? "computes what it defines" : esc(m.result)}${m.own ? words(costOf(m, s.sizes.n)) || "" : ""}</p>`;
  put("m-text", text(s.one, one) + (s.two === s.one ? "" : text(s.two, two)));
  const n = s.sizes.n, values = [[s.one, one], [s.two, two]].map(([name, m]) => [name, m, costOf(m, n)]);
  $("m-table").innerHTML = table(["mechanism", "quantity", "order", "at these sizes", "formula"], values.flatMap(([name, m, at]) => Object.keys(QUANTITY).map((q) => ["", esc(name), QUANTITY[q][0], esc(m.orders[q] || ""), stands(at, q) ? why(`mechanism:${name}:${q}`, whole(at[q])) : noValue(m, q), `<span class="formula">${esc(m.formulas[q] || "")}</span>`])));
  if (chosen.startsWith("mechanism:") && ![s.one, s.two].includes(chosen.split(":")[1])) chosen = FIRST.mechanisms();
  showWhy();
  const xs = Array.from({ length: 49 }, (_, k) => Math.round(64 * 2 ** ((k / 48) * 15)));
  const series = values.filter(([, m]) => m.js || m.own).map(([name, m], k) => ({ name, colour: k ? 6 : 1, bold: true, points: xs.map((x) => [x, costOf(m, x)]).filter(([, c]) => stands(c, s.quantity) && c[s.quantity] > 0).map(([x, c]) => [x, c[s.quantity]]) })).filter((l) => l.points.length > 1);
  if (!series.length) { $("m-chart").innerHTML = "<p>no closed form to draw</p>"; $("m-cross").textContent = ""; return; }
  const [bottom, top] = span(series.flatMap((l) => l.points.map((p) => p[1])));
  const cross = s.one === s.two || series.length < 2 ? null : crossing(one, two, s.quantity);
  plot("m-chart", series, { low: 64, high: 2 ** 21, bottom, top: Math.max(top, bottom * 10), xName: "n (positions)", xText: short, yText: short,
    marks: (f) => (cross && cross > 64 && cross < 2 ** 21 ? `<circle class="cross" r="5" cx="${f.x(cross)}" cy="${f.y(costOf(one, cross)[s.quantity])}"/>` : "") + (n >= 64 && n <= 2 ** 21 ? `<line class="here" x1="${f.x(n)}" x2="${f.x(n)}" y1="${f.box.t}" y2="${f.box.h - f.box.b}"/>` : "") });
  $("m-cross").textContent = series.length < 2 && s.one !== s.two ? `${QUANTITY[s.quantity][0]}: of one of the two alone` : cross ? `${QUANTITY[s.quantity][0]}: the order of the two changes at n = ${commas(cross)}` : `${QUANTITY[s.quantity][0]}: neither overtakes the other up to n = 16,777,216`;
};
// Where the numbers of these tabs come from.
const HELD = ["inputs", "weights", "cache", "outputs", "matrices"];
const QUANTITY = {
  flop: ["FLOPs", "2 per multiply-accumulate of matrix products, nothing else; pairs that masks allow"], work: ["Work", "every scalar operation is 1: sums, products, exponentials, comparisons"],
  depth: ["Depth", "the longest chain of operations, with balanced trees for sums"], peak: ["Memory", "words alive at once when each operation writes its result and operands die after their last use; of masked matrices the pairs allowed"],
  path: ["Path length", "hops between the two positions farthest apart, layer by layer, of those the masks ever connect"],
};
const TAB_WHY = {
  mechanism: (name, quantity) => {
    const m = AM.data.mechanisms[name] || AM.data.mechanisms[tabState.one], sizes = sizesOf(m, tabState.sizes.n), at = costOf(m, tabState.sizes.n), [title, convention] = QUANTITY[quantity], v = stands(at, quantity) ? at[quantity] : null;
    return {
      title: `${title} of ${name}`, status: "counted", formula: m.formulas[quantity] || "", numbers: m.sizes.map((n, k) => `${n} = ${commas(sizes[k])}`).join(", "), convention, source: `counted from the notation on this page; the mechanism: ${m.citation}`,
      value: v === null ? noValue(m, quantity) : `${commas(v)}${v > 2 ** 53 ? " (to 15 digits)" : ""}, ${m.orders[quantity] || "order: attometer show"}`,
      others: quantity === "flop" && v ? [["in multiply-accumulates", `${whole(v / 2)} MAC`], ["with every scalar operation (work)", whole(at.work)]] : [],
    };
  },
  moved_by: (name) => movedWhy(name), bound: (kind, name) => boundWhy(kind, name),
};
// ---------------------------------------------------------------- the pebble game
// A square is in fast memory, a ring in slow memory, a ring around a square in both, a point in neither.
const stopGame = () => { clearInterval(game.timer); game.timer = 0; $("p-play").textContent = "play"; };
const drawGame = () => {
  const g = AM.data.games[game.which], fast = new Set(), slow = new Set(g.inputs), done = { load: 0, store: 0 };
  game.at = Math.max(0, Math.min(g.moves.length, game.at));
  for (const [action, v] of g.moves.slice(0, game.at)) {
    if (action === "delete") fast.delete(v); else if (action === "store") slow.add(v); else fast.add(v);
    if (action in done) done[action]++;
  }
  const [action, last] = game.at ? g.moves[game.at - 1] : ["start", -1], wide = Math.max(...g.rows.map((r) => r.length)), step = 62, w = Math.max(320, wide * step), h = g.rows.length * 58;
  const node = (v, x, y) => {
    const told = fast.has(v) ? (slow.has(v) ? "in both memories" : "in fast memory") : slow.has(v) ? "in slow memory" : "in neither";
    return `<g class="${v === last ? "now" : ""}"><title>${esc(g.labels[v])}: ${told}</title>${slow.has(v) ? `<circle class="slow" cx="${x}" cy="${y}" r="13"/>` : ""}${fast.has(v) ? `<rect class="fast" x="${x - 7}" y="${y - 7}" width="14" height="14"/>` : `<circle class="none" cx="${x}" cy="${y}" r="2.5"/>`}<text x="${x}" y="${y + 27}" text-anchor="middle">${esc(g.labels[v])}</text></g>`;
  };
  $("p-board").innerHTML = `<svg viewBox="0 0 ${w} ${h}" role="img" aria-label="the board after move ${game.at}">${g.rows.map((row, k) => row.map((v, j) => node(v, (w * (j + 0.5)) / row.length, 22 + k * 58)).join("")).join("")}</svg>`;
  $("p-said").textContent = `move ${game.at} of ${g.moves.length}: ${action}${last < 0 ? "" : ` ${g.labels[last]}`}. Fast memory ${"■".repeat(fast.size)}${"□".repeat(g.M - fast.size)} ${fast.size} of ${g.M}; moved ${done.load + done.store} of ${g.words} words (${done.load} loads, ${done.store} stores); no way moves fewer, any way at least ${g.compulsory}.`;
  $("p-at").max = g.moves.length; $("p-at").value = game.at;
};
const playGame = () => {
  if (game.timer) return stopGame();
  if (game.at >= AM.data.games[game.which].moves.length) game.at = 0;
  $("p-play").textContent = "pause";
  game.timer = setInterval(() => { game.at++; drawGame(); if (game.at >= AM.data.games[game.which].moves.length) stopGame(); }, 1000 / +$("p-speed").value);
};
const startGame = () => {
  $("p-game").innerHTML = AM.data.games.map((g, k) => `<option value="${k}">${esc(g.name)}, ${Object.entries(g.sizes).map(([n, v]) => `${n} = ${v}`).join(", ")}, M = ${g.M}: ${g.words} words</option>`).join("");
  $("p-game").onchange = (e) => { stopGame(); game.which = +e.target.value; game.at = 0; drawGame(); keep(); };
  $("p-play").onclick = playGame;
  $("p-step").onclick = () => { stopGame(); game.at++; drawGame(); };
  $("p-back").onclick = () => { stopGame(); game.at--; drawGame(); };
  $("p-at").oninput = (e) => { stopGame(); game.at = +e.target.value; drawGame(); };
  $("p-speed").onchange = () => { if (game.timer) { stopGame(); playGame(); } };
};
// ---------------------------------------------------------------- claims of documents
const MARKS = { agrees: ["good", "✓ agrees", "agree"], wrong: ["bad", "✗ wrong", "wrong"], convention: ["", "≈ convention", "by another convention"] };
const drawClaims = () => {
  const all = AM.data.claims.claims, source = $("l-source").value, verdict = $("l-verdict").value;
  const shown = all.filter((c) => (!source || c.source === source) && (!verdict || c.verdict === verdict));
  $("l-said").textContent = `${shown.length} of ${all.length} claims: ${Object.entries(MARKS).map(([v, [, , said]]) => `${shown.filter((c) => c.verdict === v).length} ${said}`).join(", ")}`;
  $("l-table").innerHTML = `<table class="claims"><thead><tr><th>claim<th>printed<th>counted<th>verdict</tr></thead><tbody>${shown.map((c) => `<tr><td><small>${esc(c.id)}, ${esc(c.place)}</small><br>${esc(c.statement)}<td>${esc(c.printed)}<td>${esc(c.ours)}${c.otherwise ? `<br><small>${esc(c.otherwise)}</small>` : ""}<td><span class="${MARKS[c.verdict][0]}">${MARKS[c.verdict][1]}</span>${c.why ? `<br><small>${esc(c.why)}</small>` : ""}</tr>`).join("")}</tbody></table>`;
};
const startClaims = () => {
  if (!AM.data.claims) return;
  document.querySelector("[data-tab=claims]").hidden = false;
  $("l-source").innerHTML = '<option value="">all</option>' + AM.data.claims.sources.map((s) => `<option value="${esc(s.id)}">${esc(s.id)}: ${esc(s.author)}, ${esc(s.title)}</option>`).join("");
  for (const id of ["l-source", "l-verdict"]) $(id).onchange = () => { drawClaims(); keep(); };
};
const FIRST = { plan: () => "needed", mechanisms: () => `mechanism:${tabState.one}:${tabState.quantity}`, io: () => `moved_by:${memory.shown.includes("flash2") ? "flash2" : memory.shown[0]}` };
const showTab = (name) => {
  for (const each of ["plan", "mechanisms", "io", "claims"]) { $(`tab-${each}`).hidden = each !== name; document.querySelector(`[data-tab="${each}"]`).setAttribute("aria-current", each === name); }
  if (document.body.dataset.shown !== name && FIRST[name]) { chosen = FIRST[name](); $(`tab-${name}`).append($("why")); }
  document.body.dataset.shown = name;
  if (name === "mechanisms") drawMechanism();
  if (name === "claims") drawClaims();
  if (name === "io") { drawIo(); drawGame(); } else if (game.timer) stopGame();
  if (name === "plan") showWhy();
};
const startTabs = () => {
  if (!AM.data.mechanisms) return;
  const options = Object.entries(AM.data.mechanisms).map(([n, m]) => `<option value="${esc(n)}">${esc(n)}</option>`).join("");
  for (const [id, key] of [["m-one", "one"], ["m-two", "two"]]) { $(id).insertAdjacentHTML("beforeend", options); $(id).onchange = (e) => { tabState[key] = e.target.value; drawMechanism(); keep(); }; }
  $("m-quantity").onchange = (e) => { tabState.quantity = e.target.value; drawMechanism(); keep(); };
  let slid = 0;
  $("m-sizes").oninput = (e) => { const name = e.target.dataset.slide; if (!name) return; tabState.sizes[name] = Math.round(2 ** +e.target.value); cancelAnimationFrame(slid); slid = requestAnimationFrame(() => { drawMechanism(); keep(); }); };
  $("m-sizes").onchange = (e) => { if (!e.target.dataset.size) return; const v = amount(e.target.value); if (v >= 1) tabState.sizes[e.target.dataset.size] = v; drawMechanism(); keep(); };
  if (document.body.dataset.own) tabState.one = document.body.dataset.own;
  startGame(); startClaims();
  $("m-own").value ||= EXAMPLE;
  $("m-count").onclick = () => { if (typed($("m-own").value)) { drawMechanism(); keep(); } };
  startMemory();
  for (const b of document.querySelectorAll("[data-tab]")) b.onclick = () => change({ tab: b.dataset.tab });
};
