"use strict";
// The face: reads the inputs, asks AM, writes the answer.
const $ = (id) => document.getElementById(id);
// Text that stands there already is not laid out again.
const put = (id, html) => { const at = $(id); if (at.was !== html) at.innerHTML = at.was = html; };
const esc = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const written = [];
const commas = (v, digits = 0) => (written[digits] ||= new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })).format(v);
const gigabytes = (v) => v < 1e6 ? `${commas(v)} bytes` : v >= 1e8 ? `${commas(v / 1e9, 2)} GB` : `${commas(v / 1e6, 2)} MB`;
const gib = (v) => `${commas(v / 2 ** 30, 2)} GiB`;
const time = (v) => {
  if (!v) return "0 s";
  const [size, unit] = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]].find(([s]) => v >= s) || [1e-9, "ns"];
  const scaled = v / size;
  return scaled >= 100 ? `${commas(scaled)} ${unit}` : `${scaled.toPrecision(3)} ${unit}`;
};
const scaled = (v, unit, digits = 3) => {
  const [size, letter] = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([s]) => v >= s) || [1, ""];
  return `${(v / size).toPrecision(digits)} ${letter}${unit}`;
};
// A power of ten on an axis.
const short = (v) => { const [size, letter] = [[1e15, " P"], [1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]].find(([s]) => v >= s * 0.999) || [1, ""]; return `${+(v / size).toPrecision(3)}${letter}`; };
const per = (v) => v >= 100 ? commas(v) : v.toPrecision(3);
const tokens = (v) => v >= 2 ** 20 && v % 2 ** 20 === 0 ? `${v / 2 ** 20}M` : v >= 1024 && v % 1024 === 0 ? `${v / 1024}k` : commas(v);
const amount = (text) => {
  const found = /^\s*([\d,._ ]*\d(?:\.\d+)?(?:e\d+)?)\s*([kmg]?)\s*$/i.exec(String(text));
  if (!found) return NaN;
  return Math.round(Number(found[1].replace(/[,_ ]/g, "")) * { "": 1, k: 1024, m: 2 ** 20, g: 2 ** 30 }[found[2].toLowerCase()]);
};
const DEFAULTS = { model: "llama-3.1-8b", machine: "h100-sxm", context: 131072, batch: 1, mode: "prefill", weights: "", kv: "", chunk: 0, checkpoint: false, engine: "", utilization: 0, recipe: "", schedule: "flash", reserve_gib: 0, tp: 1, pp: 1, dp: 1, ep: 1, zero: 0, tab: "plan" };
const DEGREES = ["tp", "pp", "dp", "ep"];
const ROW = [4, 8, 16, 32, 64, 128, 256, 512, 1024].map((k) => k * 1024);
const NAMES = { weights: "weights", kv: "KV cache", state: "state", activations: "activations", gradients: "gradients", optimizer: "optimizer", master: "fp32 copy", logits: "logits", gathered: "gathered weights", scratch: "optimizer's scratch", slack: "allocator's slack", runtime: "runtime", communication: "links", graphs: "graphs" };
let state = { ...DEFAULTS }, pinned = null, chosen = "needed", now = null;

const encode = (s) => {
  const q = new URLSearchParams();
  for (const [key, value] of Object.entries(s)) if (key in DEFAULTS && value !== DEFAULTS[key] && value !== undefined) q.set(key, value === true ? "1" : value);
  if (AM.data.models[s.model].text) q.set("config", AM.data.models[s.model].text);
  if (s.own) q.set("own", [s.own.usable, s.own.bandwidth, s.own.peak.bf16].join(","));
  for (const [key, value] of Object.entries(tabShared(s.tab))) q.set(key, value);
  return q.toString();
};
const decode = (text) => {
  const q = new URLSearchParams(text), s = { ...DEFAULTS };
  for (const key of ["model", "machine", "mode", "weights", "kv", "engine", "recipe", "schedule", "tab"]) if (q.has(key)) s[key] = q.get(key);
  for (const key of ["context", "batch", "chunk", ...DEGREES, "zero"]) if (q.has(key)) s[key] = amount(q.get(key));
  if (q.has("config")) try { s.model = CONFIG.give(q.get("config"), s.model); } catch (error) { $("read-said").textContent = error.message; $("given").open = true; }
  s.checkpoint = q.get("checkpoint") === "1"; s.utilization = Number(q.get("utilization")) || 0; s.reserve_gib = Number(q.get("reserve_gib")) || 0;
  if (q.has("own")) { const [usable, bandwidth, rate] = q.get("own").split(",").map(Number); s.own = ownMachine(usable, bandwidth, rate); }
  if (AM.data.mechanisms) tabRead(q);
  return legal(s);
};
const ownMachine = (usable, bandwidth, rate) => ({
  name: "your machine", vendor: "yours", usable, bandwidth, peak: { bf16: rate, fp16: rate }, status: "given",
  figures: { "memory.usable": [gigabytes(usable), 0], "memory.bandwidth": [`${commas(bandwidth / 1e9)} GB/s`, 0], "peak.bf16": [`${commas(rate / 1e12)} TFLOP/s`, 0] }, sources: ["given on this page"],
});
const legal = (s) => {
  const d = AM.data;
  if (!d.models[s.model]) s.model = d.models[DEFAULTS.model] ? DEFAULTS.model : Object.keys(d.models)[0];
  if (s.machine !== "own" && !d.machines[s.machine]) s.machine = DEFAULTS.machine;
  if (s.machine === "own" && !(s.own && s.own.usable > 0 && s.own.bandwidth > 0 && s.own.peak.bf16 > 0)) s.own = ownMachine(24e9, 1e12, 1e14);
  if (s.machine !== "own") delete s.own;
  if (!["prefill", "decode", "train"].includes(s.mode)) s.mode = "prefill";
  if (!(s.context >= 1)) s.context = DEFAULTS.context;
  if (!(s.batch >= 1)) s.batch = 1;
  s.context = Math.min(2 ** 40, Math.round(s.context)); s.batch = Math.min(2 ** 20, Math.round(s.batch));
  for (const key of DEGREES) s[key] = s[key] >= 1 ? Math.min(1024, Math.round(s[key])) : 1;
  if (![1, 2, 4, 8].includes(s.tp)) s.tp = 1;
  s.zero = s.mode === "train" && [1, 2, 3].includes(s.zero) && s.dp > 1 ? s.zero : 0;
  // Replicas train whole micro-batches of one sequence.
  if (s.mode === "train") { s.ep = 1; s.batch = s.dp * Math.ceil(s.batch / s.dp); }
  if (s.ep > 1) s.ep = d.models[s.model].ranks[`${s.tp}/${s.tp}`] !== undefined ? s.tp : 1;
  s.chunk = s.chunk >= 1 ? Math.round(s.chunk) : 0;
  if (!d.models[s.model].weights.as[s.weights]) s.weights = "";
  if (!d.caches.includes(s.kv)) s.kv = "";
  if (!d.engines[`${s.engine}/cuda`] || s.mode === "train") s.engine = "";
  if (!RECIPE.of(s.recipe) || s.mode !== "train") s.recipe = s.mode === "train" && PLACE.count(s) > 1 ? "adamw" : "";
  if (s.engine || s.recipe || s.schedule !== "naive") s.schedule = "flash";
  if (s.engine || s.recipe || !(s.reserve_gib > 0)) s.reserve_gib = 0;
  if (!(s.utilization > 0 && s.utilization <= 1) || !s.engine) s.utilization = 0;
  if (!["plan", "mechanisms", "io", ...(d.claims ? ["claims"] : [])].includes(s.tab)) s.tab = "plan";
  return s;
};

const said = (p) => p.held.name + (Math.abs(p.bits - 16) > 0.01 ? ` (${p.bits.toFixed(2)} bits per weight)` : "");
const on = (p) => p.devices > 1 ? `${p.devices} × ${p.place.name} (${PLACE.said(p.state)})` : p.place.name;
const wayOut = (p) => {
  const v = p.served, ways = [];
  if (!v.fits && v.needed <= 0.99) ways.push(`a utilisation of ${v.needed.toFixed(3)} would do, if nothing else uses the device`);
  if (v.alone > 0 && v.alone < p.state.context) ways.push(`the largest context that fits is ${commas(v.alone)} tokens`);
  return ways.length ? `; ${ways.join(", ")}` : "";
};
const underEngine = (p) => {
  const v = p.served, w = v.pool.terms.weights, both = (x) => `${gigabytes(x)} (${commas(x / 2 ** 30, 2)} GiB)`;
  const taken = `${p.devices > 1 ? "each device" : "it"} holds ${both(w)} of weights`;
  if (v.left <= 0) return `${taken}, which with the engine's own memory is ${gigabytes(-v.left)} more than it may take${wayOut(p)}.`;
  const holds = `${both(v.left)} are left for the cache: ${commas(v.tokens)} tokens`;
  return v.fits ? `${taken}, ${holds}, ${commas(v.requests)} requests of ${commas(p.state.context)} at once; largest context that fits: ${commas(v.alone)} tokens; time is bound by ${p.binds}.`
    : `${taken}, ${holds}; ${p.state.batch} × ${commas(p.state.context)} tokens need ${gigabytes(v.cache)}${wayOut(p)}.`;
};
const headline = (p) => {
  const s = p.state, most = p.largest < AM.MOST ? `${commas(p.largest)} tokens` : "any";
  const fixed = p.bytes.weights + p.bytes.gradients + p.bytes.optimizer;
  const limit = p.largest ? `largest context that fits: ${most}` : `no context fits: ${fixed === p.bytes.weights ? "weights" : "weights, gradients and optimizer"} alone need ${gigabytes(fixed)}`;
  const beyond = p.model.context && s.context > p.model.context ? ` It was trained for ${commas(p.model.context)} positions: ${commas(s.context)} are beyond that.` : "";
  const how = p.served ? ` under ${p.served.engine.title}` : p.trained ? ` with ${p.trained.how.r.name}` : "";
  const opening = `${s.model} in ${said(p)} ${p.fits ? "fits" : "does not fit"} on ${on(p)}${how} at ${commas(s.context)} tokens, batch ${s.batch}, ${s.mode}: `;
  if (p.served) return opening + underEngine(p) + beyond;
  return opening + `needs ${gigabytes(p.needed)} of ${gigabytes(p.room)} usable${p.devices > 1 ? " on the fullest device" : ""}, ${gigabytes(Math.abs(p.room - p.needed))} ${p.fits ? "to spare" : "too much"}; ${p.trained ? p.kinds.filter((k) => p.bytes[k]).map((k) => `${k} ${gigabytes(p.bytes[k])}`).join(", ") : limit}; ` +
    (s.schedule === "naive" ? `memory is mostly ${p.mostly}; attention is naive, the time shown is that of flash.${beyond}` : `memory is mostly ${p.mostly}, time is bound by ${p.binds}.${beyond}`);
};
const why = (id, text, label = "") => `<button class="n${id === chosen ? " on" : ""}" data-why="${id}"${label ? ` aria-label="${esc(label)}"` : ""}>${text}</button>`;

// A table; one of many columns becomes cards where it is narrow. A row is its class and its cells.
const table = (head, rows) => `<table class="${head.length > 4 ? "cards" : ""}"><thead><tr>${head.map((h) => `<th>${h}`).join("")}</tr></thead><tbody>${rows.map(([cls, ...cells]) => `<tr class="${cls}">${cells.map((c, k) => `<td data-l="${esc(head[k].replace(/<[^>]*>/g, " "))}">${c}`).join("")}</tr>`).join("")}</tbody></table>`;

// ---------------------------------------------------------------- the plan
const drawBar = (p) => {
  const whole = Math.max(p.needed, p.room), kinds = p.kinds.filter((k) => p.bytes[k]);
  $("bar").innerHTML = kinds.map((k) => `<button class="seg m-${k}" data-why="${k}" style="width:${(100 * p.bytes[k]) / whole}%" aria-label="${NAMES[k]} ${gigabytes(p.bytes[k])}"></button>`).join("") + `<span class="edge" style="left:${(100 * p.room) / whole}%" title="usable"></span>`;
  $("memory").innerHTML = `<table><thead><tr><th>memory<th>GB (10⁹)<th>GiB (2³⁰)<th>of device</tr></thead><tbody>${[...kinds.map((k) => [k, NAMES[k], p.bytes[k]]), ["needed", "total", p.needed], ["room", "usable", p.room]].map(([k, name, v]) => `<tr class="${k}"><td><i class="sw m-${k}"></i>${name}<td>${why(k, commas(v / 1e9, 2))}<td>${why(k, commas(v / 2 ** 30, 2))}<td>${why(k, `${((100 * v) / p.room).toFixed(1)} %`)}</tr>`).join("")}</tbody></table>`;
  $("row").innerHTML = ROW.map((m) => { const need = p.total(m, p.state.batch), ok = need <= p.room && (!p.served || p.served.left > 0); return `<button data-context="${m}" class="${ok ? "ok" : "no"}${m === p.state.context ? " on" : ""}" aria-label="${tokens(m)} tokens ${ok ? "fit" : "do not fit"}"><b>${tokens(m)}</b><span>${ok ? "✓ fits" : "✗ no"}</span><small>${commas(need / 1e9, need < 1e11 ? 1 : 0)} GB</small></button>`; }).join("");
};
const drawTable = (p) => {
  const row = (r, total) => {
    const w = (id, text) => why(total ? id : `layer:${r.kind}`, text);
    return [total ? "needed" : "", total ? "total" : w("", esc(r.kind)), r.layers, w("weights", commas(r.parameters)), w("kv", commas(r.kv / 1e9, 3)), w("flops", commas(r.flops / 1e12, 3)), w("moved", commas(r.bytes / 1e9, 3)), w("seconds", commas(r.seconds * 1e3, 3)), r.seconds ? (r.compute >= r.memory ? "compute" : "memory") : ""];
  };
  const total = { layers: p.model.depth, parameters: p.model.parameters, kv: p.table.reduce((s, r) => s + r.kv, 0), flops: p.flops, bytes: p.moved, seconds: p.alone, compute: p.compute, memory: p.memory };
  $("layers").innerHTML = `${p.devices > 1 ? `<p class="cite">The whole model on one device; ${p.devices} devices share it.</p>` : ""}${table(["layer type", "layers", "parameters", "KV GB", "TFLOP", "GB moved", "ms", "bound by"], [...p.table.map((r) => row(r)), row(total, true)])}`;
};
// What others count: pairs, logits and the weight of a multiply-accumulate are chosen; the plan's own count is the first of each.
const PRINTED = { "2/full/all": "torch's FlopCounterMode prints where attention is eager" };
const drawConvention = (p) => {
  const s = p.state, [unit, pairs, logits] = ["c-unit", "c-pairs", "c-logits"].map((id) => $(id).value);
  $("convention").hidden = s.mode !== "prefill";
  if (s.mode !== "prefill") return;
  const other = PARTS.square(p.model, s.batch, s.context);
  const value = { "exact/last": p.flops, "exact/all": other.all, "full/last": other.square, "full/all": other.both }[`${pairs}/${logits}`] / (unit === "1" ? 2 : 1);
  const who = PRINTED[`${unit}/${pairs}/${logits}`];
  $("c-value").innerHTML = `<b>${scaled(value, unit === "1" ? "MAC" : "FLOP", 6)}</b>${value === p.flops ? ": this plan's own count" : `: ${(value / p.flops).toFixed(3)} × this plan's count`}${who ? `; what ${who}` : ""}`;
};
const drawLevers = (p) => {
  const found = AM.levers(p.state, p);
  $("levers").innerHTML = found.length ? table(["change", "saves", "time", "then", "same result", "note"], found.map((l, k) => ["", `<button class="apply" data-lever="${k}">${esc(l.name)}</button>`, why(`lever:${k}`, l.saved ? `${commas(l.saved / 1e9, 2)} GB` : "0"), why(`lever:${k}`, Math.abs(l.quicker) < 1e-9 ? "no change" : `${time(Math.abs(l.quicker))} ${l.quicker > 0 ? "less" : "more"}`), l.fits ? "fits" : "too large", l.exact ? "yes" : "no", esc(l.note)])) : "<p>none of the known changes saves anything here</p>";
  for (const b of $("levers").querySelectorAll("[data-lever]")) b.onclick = () => { const l = found[+b.dataset.lever], before = { ...p.state }; change(l.change); told(l.name, before, p); };
};
// What a change did, and a way back.
const told = (name, before, was) => {
  const sign = (v) => (v > 0 ? "+" : v < 0 ? "−" : "±");
  $("did").innerHTML = `<b>${esc(name)}</b>: memory ${gigabytes(was.needed)} → ${gigabytes(now.needed)} (${sign(now.needed - was.needed)}${gigabytes(Math.abs(now.needed - was.needed))}), time ${time(was.seconds)} → ${time(now.seconds)}, largest context ${commas(was.largest)} → ${commas(now.largest)}, ${was.fits === now.fits ? (now.fits ? "still fits" : "still too large") : now.fits ? "✓ now fits" : "✗ no longer fits"}. <button id="undo">undo</button>`;
  $("did").hidden = false;
  $("undo").onclick = () => { state = legal(before); $("did").hidden = true; redraw(); };
};
const percent = (x, y) => x === y ? "same" : x ? `${y > x ? "+" : "−"}${Math.abs((100 * (y - x)) / x).toFixed(1)} %` : "new";
// What is compared: the number's name, its label, the first plan's and the second's, and how it is written.
const compared = (a, p) => [["needed", "needs", a.needed, p.needed, gigabytes], ["weights", "weights", a.bytes.weights, p.bytes.weights, gigabytes], ["kv", "KV cache", a.bytes.kv || 0, p.bytes.kv || 0, gigabytes], ["room", "usable", a.room, p.room, gigabytes], ["largest", "largest context", a.largest, p.largest, commas], ["seconds", "time", a.seconds, p.seconds, time], ["speed", "tokens/s at most", a.speed, p.speed, (v) => commas(v, v < 1e4 ? 1 : 0)], ["flops", "FLOPs", a.flops, p.flops, (v) => scaled(v, "FLOP")], ["moved", "bytes moved", a.moved, p.moved, gigabytes]];
const drawCompare = (p) => {
  try { if (pinned) AM.plan(pinned); } catch (error) { pinned = null; $("said").textContent = `not compared: ${error.message}`; }
  $("compare").hidden = !pinned;
  $("pin").textContent = pinned ? "stop comparing" : "compare";
  if (!pinned) return;
  const a = AM.plan(pinned);
  const name = (q) => `${esc(q.state.model)}<br><small>${esc(q.place.name)}, ${tokens(q.state.context)}, batch ${q.state.batch}, ${q.state.mode}, ${esc(q.held.name)}/${esc(q.kv)}</small>`;
  const verdict = (q) => (q.fits ? "✓ fits" : "✗ does not fit");
  $("compare-table").innerHTML = table(["", name(a), name(p), "difference"], [["", "verdict", verdict(a), verdict(p), ""], ...compared(a, p).map(([id, label, x, y, show]) => ["", label, why(`was:${id}`, show(x)), why(id, show(y)), why(`difference:${id}`, percent(x, y))])]);
};
const inputs = (p) => {
  const s = p.state;
  for (const key of ["model", "machine", "mode", "weights", "kv", "engine", "schedule"]) $(key).value = s[key];
  const r = p.trained && p.trained.how.r;
  $("recipe").value = r ? r.name : ""; $("for-parts").hidden = !r;
  if (r) { for (const key of ["optimizer", "recompute", "loss"]) $(`r-${key}`).value = r[key]; $("r-compiled").checked = r.compiled; $("r-rank").value = r.rank; $("r-rank").parentElement.hidden = !r.rank; }
  $("for-schedule").hidden = $("for-reserve").hidden = !!(s.engine || s.recipe);
  if (document.activeElement !== $("reserve_gib")) $("reserve_gib").value = s.reserve_gib;
  $("for-engine").hidden = s.mode === "train"; $("for-recipe").hidden = s.mode !== "train"; $("for-utilization").hidden = !s.engine; $("weights").disabled = !!s.recipe;
  if (document.activeElement !== $("utilization")) { $("utilization").value = s.utilization || ""; if (p.served) $("utilization").placeholder = p.served.pool.fraction; }
  for (const key of ["context", "batch"]) if (document.activeElement !== $(key)) $(key).value = commas(s[key]);
  if (document.activeElement !== $("chunk")) $("chunk").value = s.chunk ? commas(s.chunk) : "";
  $("slide").value = Math.log2(s.context);
  $("checkpoint").checked = s.checkpoint;
  $("devices").textContent = p.devices > 1 ? `${p.devices} devices: ${PLACE.said(s)}` : "one device";
  $("tp").value = s.tp; for (const key of ["pp", "dp"]) if (document.activeElement !== $(key)) $(key).value = s[key];
  $("ep").checked = s.ep > 1; $("zero").value = s.zero; $("for-zero").hidden = s.mode !== "train" || s.dp === 1; $("for-ep").hidden = s.mode === "train" || s.tp === 1 || p.model.ranks[`${s.tp}/${s.tp}`] === undefined;
  $("for-prefill").hidden = s.mode !== "prefill"; $("for-train").hidden = s.mode !== "train"; $("for-cache").hidden = s.mode === "train";
  $("own").hidden = s.machine !== "own";
  put("trained", p.model.context ? `trained for ${commas(p.model.context)}` : "");
};
// The first number: the plan, its sentence and its tiles.
const answer = () => {
  now = AM.plan(state);
  document.body.classList.remove("refused");
  document.body.classList.toggle("fits", now.fits);
  $("verdict").textContent = now.fits ? "✓ fits" : "✗ does not fit";
  $("headline").textContent = headline(now);
  $("tiles").innerHTML = [["needed", "needs", gigabytes(now.needed)], ["spare", now.fits ? "to spare" : "too much", gigabytes(Math.abs(now.room - now.needed))], ["largest", "largest context", now.served ? commas(now.served.alone) : now.largest < AM.MOST ? commas(now.largest) : "any"], ...(now.served ? [["requests", "requests at once", commas(now.served.requests)]] : []), ["seconds", `per ${PASS[state.mode]}, at least`, time(now.seconds)], ["speed", "tokens/s at most", commas(now.speed, now.speed < 1e3 ? 1 : 0)]].map(([id, name, v]) => `<div><span>${name}</span>${why(id, v)}</div>`).join("");
};
// A state that has no plan: why, the inputs that led there, and no number of the plan before.
const refused = (reason) => {
  now = null;
  document.body.classList.remove("fits"); document.body.classList.add("refused");
  $("verdict").textContent = "not priced"; $("headline").textContent = reason; $("tiles").innerHTML = "";
  $("places").open ||= PLACE.count(state) > 1;
  inputs({ state, model: AM.data.models[state.model], devices: PLACE.count(state), trained: state.recipe ? { how: { r: RECIPE.of(state.recipe) } } : null });
  showTab(state.tab); keep();
};
// What stands further down is drawn a piece at a time once the top is: the screen does not wait for it, and none starves while a slider moves.
const PIECES = { layers: (p) => { drawTable(p); drawConvention(p); }, levers: (p) => drawLevers(p), roofline: (p) => drawRoofline(p) };
const waiting = new Set();
let next = 0;
const drawNext = () => {
  clearTimeout(next); next = 0;
  const [name] = waiting;
  waiting.delete(name);
  if (now) PIECES[name](now);
  if (waiting.size) next = setTimeout(drawNext);
};
const settle = () => { while (waiting.size) drawNext(); };
const redraw = () => {
  const began = performance.now();
  try { answer(); } catch (error) { refused(error.message); return; }
  inputs(now); drawBar(now); drawCurves(now); drawCompare(now); showTab(state.tab);
  for (const name in PIECES) waiting.add(name);
  next ||= setTimeout(drawNext);
  put("notes", [`weights ${said(now)}, cache ${now.kv}, activations ${now.model.own}, attention ${state.schedule === "naive" ? "naive: its scores go through memory" : "as one kernel (flash)"}`, "FLOPs are 2 per multiply-accumulate of matrix products, over the pairs each mask allows", `time is a ${now.place.status} roofline: every part at peak rate or peak bandwidth, one after the other; a lower bound for kernels that do not overlap`, ...(state.recipe ? [now.trained.how.r.source] : state.mode === "train" ? ["AdamW in mixed precision: 12 bytes of optimizer state per parameter; backward is twice forward"] : ["logits of the last token only", now.served ? `${now.served.engine.title}: prompts are computed ${commas(now.served.pool.tokens)} tokens at a time` : `runtime and allocator overhead are not counted: choose an engine and they are${state.reserve_gib ? `; ${state.reserve_gib} GiB of each device are kept for them` : ""}`]), ...now.model.notes].map((n) => `<li>${esc(n)}</li>`).join(""));
  keep();
  document.documentElement.dataset.redraw = (performance.now() - began).toFixed(2);
};
let kept = 0;
const keep = () => { kept ||= setTimeout(address, 150); };
// The address of the state, written when nothing has moved for a while: a browser takes long over it.
const address = () => {
  clearTimeout(kept); kept = 0;
  const q = encode(state) + (pinned ? `&vs=${encodeURIComponent(encode(pinned))}` : "");
  if (location.hash.slice(1) !== q) history.replaceState(null, "", q ? `#${q}` : location.pathname);
  return location.href;
};
const change = (values) => { state = legal({ ...state, ...values }); redraw(); };

// ---------------------------------------------------------------- start
const start = async () => {
  const read = () => { const q = new URLSearchParams(location.hash.slice(1)); state = decode(location.hash.slice(1) || document.body.dataset.state); pinned = q.has("vs") ? decode(q.get("vs")) : null; };
  const first = () => { read(); try { answer(); } catch { /* redraw says why */ } document.documentElement.dataset.first = performance.now().toFixed(1); };
  // What is drawn waits until the number is seen, or for a tenth of a second where nobody looks; an address may ask for any of the models.
  const seen = () => new Promise((done) => { setTimeout(done, 100); requestAnimationFrame(() => setTimeout(done)); });
  if (!location.hash) { first(); await seen(); }
  await AM.load("rest");
  if (location.hash) { first(); await seen(); }
  const options = (list) => list.map(([value, text]) => `<option value="${esc(value)}">${esc(text)}</option>`).join("");
  const models = () => { $("model").innerHTML = options(Object.keys(AM.data.models).map((m) => [m, m])); };
  const byVendor = {};
  for (const [id, m] of Object.entries(AM.data.machines)) (byVendor[m.vendor] ||= []).push([id, m.name]);
  $("machine").innerHTML = `<option value="own">your own figures …</option>` + Object.entries(byVendor).map(([v, list]) => `<optgroup label="${esc(v)}">${options(list)}</optgroup>`).join("");
  $("kv").innerHTML = options([["", "as the activations"], ...AM.data.caches.map((k) => [k, `${k} (${AM.data.formats[k][0] / 8} bits)`])]);
  $("engine").innerHTML = options([["", "none: what is counted alone"], ...Object.entries(AM.data.engines).filter(([k]) => k.endsWith("/cuda")).map(([k, e]) => [k.split("/")[0], e.title])]);
  $("recipe").innerHTML = options([["", "AdamW, 16 bytes a parameter"], ...Object.entries(AM.data.recipes).map(([k, r]) => [k, `${k}: ${r.weights}${r.rank ? `, adapters of rank ${r.rank}` : ""}`])]);
  const weights = () => { const m = AM.data.models[state.model]; $("weights").innerHTML = options(Object.keys(m.weights.as).map((k) => [k === "stored" ? "" : k, k === "stored" ? `as stored: ${m.weights.as[k][0]}` : `${k}, ${commas(WEIGHTS.held(m, k).total / 1e9, 1)} GB`])); };
  const given = (text, name) => {
    try { change({ model: CONFIG.give(text, name) }); models(); weights(); redraw(); $("read-said").textContent = `${commas(AM.data.models[state.model].parameters)} parameters`; } catch (error) { $("read-said").textContent = error.message; $("given").open = true; }
  };
  startTabs(); read(); models(); weights();
  $("read").onclick = () => given($("config").value, "pasted");
  document.addEventListener("dragover", (e) => e.preventDefault());
  document.addEventListener("drop", async (e) => { const file = e.dataTransfer.files[0]; if (!file) return; e.preventDefault(); given(await file.text(), file.name.replace(/\.json$/, "")); });
  for (const key of ["model", "machine", "mode", "weights", "kv", "engine", "recipe", "schedule"]) $(key).onchange = (e) => {
    state = legal({ ...state, [key]: e.target.value });
    if (key === "model") weights();
    redraw();
  };
  for (const key of ["context", "batch", "chunk"]) $(key).onchange = (e) => { const v = amount(e.target.value); e.target.setAttribute("aria-invalid", !(v >= 1 || (key === "chunk" && !e.target.value.trim()))); if (v >= 1 || key === "chunk") change({ [key]: v || 0 }); };
  for (const id of ["c-unit", "c-pairs", "c-logits"]) $(id).onchange = () => drawConvention(now);
  $("precision").onchange = () => drawRoofline(now);
  for (const d of document.querySelectorAll("details[data-twin]")) d.ontoggle = () => d.open && showTwin(d);
  const plain = AM.data.engines["transformers/cuda"];
  $("reserve-said").textContent = `0 if not given: what is counted alone. A process with its libraries takes about ${plain.runtime} GiB (${plain.sources.runtime}).`;
  $("reserve_gib").onchange = (e) => { const v = Number(e.target.value || 0); e.target.setAttribute("aria-invalid", !(v >= 0)); if (v >= 0) change({ reserve_gib: v }); };
  $("utilization").onchange = (e) => { const v = Number(e.target.value || 0); e.target.setAttribute("aria-invalid", !(v >= 0 && v <= 1)); if (v >= 0 && v <= 1) change({ utilization: v }); };
  // A slider moves more often than the screen is drawn.
  let slid = 0;
  $("slide").oninput = (e) => { const v = Math.round(2 ** +e.target.value); cancelAnimationFrame(slid); slid = requestAnimationFrame(() => change({ context: v })); };
  $("tp").onchange = (e) => change({ tp: +e.target.value, ep: state.ep > 1 ? +e.target.value : 1 });
  for (const [id, list] of [["r-optimizer", Object.keys(AM.data.optimizers)], ["r-recompute", RECIPE.PARTS_OF.recompute], ["r-loss", RECIPE.PARTS_OF.loss]]) $(id).innerHTML = options(list.map((k) => [k, k]));
  $("for-parts").onchange = () => {
    const base = RECIPE.of($("recipe").value), parts = [["optimizer", $("r-optimizer").value], ["recompute", $("r-recompute").value], ["loss", $("r-loss").value], ["compiled", $("r-compiled").checked], ["lora_rank", +$("r-rank").value, "rank"]];
    change({ recipe: [base.name, ...parts.filter(([key, v, own]) => v !== base[own || key] && v !== 0).map(([key, v]) => `${key}=${v}`)].join(",") });
  };
  $("zero").onchange = (e) => change({ zero: +e.target.value });
  $("ep").onchange = (e) => change({ ep: e.target.checked ? state.tp : 1 });
  for (const key of ["pp", "dp"]) $(key).onchange = (e) => { const v = amount(e.target.value); e.target.setAttribute("aria-invalid", !(v >= 1)); if (v >= 1) change({ [key]: v }); };
  $("checkpoint").onchange = (e) => change({ checkpoint: e.target.checked });
  for (const key of ["own-gb", "own-gbs", "own-tflops"]) $(key).onchange = () => change({ own: ownMachine(+$("own-gb").value * 1e9, +$("own-gbs").value * 1e9, +$("own-tflops").value * 1e12) });
  $("pin").onclick = () => { pinned = pinned ? null : { ...state }; redraw(); };
  document.addEventListener("click", (e) => {
    const w = e.target.closest("[data-why]"), c = e.target.closest("[data-context]"), k = e.target.closest("[data-copy]"), f = e.target.closest("[data-save]");
    if (f) save(f.dataset.of, f.dataset.save);
    if (w) { chosen = w.dataset.why; showWhy(); $("why").classList.add("open"); }
    if (e.target.closest("[data-close]")) $("why").classList.remove("open");
    if (c) change({ context: +c.dataset.context });
    if (k) copy(k.dataset.copy);
  });
  addEventListener("hashchange", () => { read(); weights(); redraw(); });
  let wait = 0; addEventListener("resize", () => { cancelAnimationFrame(wait); wait = requestAnimationFrame(() => { widths = {}; redraw(); }); });
  if (state.own) { $("own-gb").value = state.own.usable / 1e9; $("own-gbs").value = state.own.bandwidth / 1e9; $("own-tflops").value = state.own.peak.bf16 / 1e12; }
  addEventListener("beforeprint", settle);
  redraw(); settle();
  document.documentElement.dataset.ready = performance.now().toFixed(1);
};
