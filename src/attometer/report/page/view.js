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
const DEFAULTS = { model: "llama-3.1-8b", machine: "h100-sxm", context: 131072, batch: 1, mode: "prefill", weights: "", kv: "", chunk: 0, checkpoint: false, engine: "", utilization: 0, recipe: "", tp: 1, pp: 1, dp: 1, ep: 1, zero: 0, tab: "plan" };
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
  for (const key of ["model", "machine", "mode", "weights", "kv", "engine", "recipe", "tab"]) if (q.has(key)) s[key] = q.get(key);
  for (const key of ["context", "batch", "chunk", ...DEGREES, "zero"]) if (q.has(key)) s[key] = amount(q.get(key));
  if (q.has("config")) try { s.model = CONFIG.give(q.get("config"), s.model); } catch (error) { $("read-said").textContent = error.message; $("given").open = true; }
  s.checkpoint = q.get("checkpoint") === "1"; s.utilization = Number(q.get("utilization")) || 0;
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
    `memory is mostly ${p.mostly}, time is bound by ${p.binds}.${beyond}`;
};
const why = (id, text, label = "") => `<button class="n${id === chosen ? " on" : ""}" data-why="${id}"${label ? ` aria-label="${esc(label)}"` : ""}>${text}</button>`;

// A table; one of many columns becomes cards where it is narrow. A row is its class and its cells.
const table = (head, rows) => `<table class="${head.length > 4 ? "cards" : ""}"><thead><tr>${head.map((h) => `<th>${h}`).join("")}</tr></thead><tbody>${rows.map(([cls, ...cells]) => `<tr class="${cls}">${cells.map((c, k) => `<td data-l="${esc(head[k].replace(/<[^>]*>/g, " "))}">${c}`).join("")}</tr>`).join("")}</tbody></table>`;

// ---------------------------------------------------------------- what each number is
const PASS = { prefill: "prefill", decode: "decode step", train: "training step" };
const explanation = (id, p) => {
  const [kind, ...of] = id.split(":");
  if (TAB_WHY[kind]) return TAB_WHY[kind](...of);
  const s = p.state, o = { id };
  const sizes = `b = ${s.batch}, n = ${commas(s.mode === "decode" ? 1 : s.context)}, m = ${commas(s.context)}`;
  const figure = (path) => p.place.figures[path] ? `${path} = ${p.place.figures[path][0]}` : path;
  const source = (...paths) => [...new Set(paths.map((q) => p.place.figures[q]).filter(Boolean).map((f) => p.place.sources[f[1]]))].join("; ");
  const bitsOf = (name) => AM.data.rows[name] !== undefined ? "rows of its own layout" : `${AM.data.formats[name][0] / 8} bits`;
  const held = Object.entries(p.held.formats).map(([name, v]) => `${name}: ${commas(v)} bytes`).join(", ");
  switch (kind) {
    case "was": { const e = pinned ? explanation(of.join(":"), AM.plan(pinned)) : explanation("needed", p); return { ...e, title: pinned ? `compared: ${e.title}` : e.title }; }
    case "difference": {
      const row = pinned && compared(AM.plan(pinned), p).find((r) => r[0] === of[0]);
      if (!row) return explanation("needed", p);
      return { title: `${row[1]}: difference`, status: "counted", formula: "(second − first) / first", numbers: `(${row[4](row[3])} − ${row[4](row[2])}) / ${row[4](row[2])}`, value: percent(row[2], row[3]), convention: "of the first column", source: "the two plans: click either number" };
    }
    case "needed": return { title: "Memory needed", status: "counted", formula: p.kinds.filter((k) => p.bytes[k]).map((k) => NAMES[k]).join(" + "), numbers: p.kinds.filter((k) => p.bytes[k]).map((k) => commas(p.bytes[k])).join(" + "), value: `${commas(p.needed)} bytes = ${gigabytes(p.needed)} = ${gib(p.needed)}`, convention: `${p.devices > 1 ? `of the fullest of ${p.devices} devices; ` : ""}${p.served || p.trained ? "what the engine or the recipe takes beside the model is fitted or from its source" : "runtime, allocator and fragmentation are not counted: choose an engine, or a recipe of training, and they are"}`, source: p.served || p.trained ? "counted, and the figures of each term" : "counted from the layers' programs",
      others: [["calculators that add 12 %", gigabytes(1.12 * p.needed)], ["weights × 1.2 (rule of thumb)", gigabytes(1.2 * p.bytes.weights)]] };
    case "weights": return { title: "Weights", status: "counted", formula: "sum over modules of elements × bits / 8", numbers: `${commas(p.model.parameters)} parameters in ${said(p)}: ${held}${p.held.tower ? `; ${gigabytes(p.held.tower)} of ${p.model.towers.join(" and ")}` : ""}`, value: `${commas(p.bytes.weights)} bytes${p.devices > 1 ? ` on the fullest of ${p.devices} devices (${PLACE.said(s)})` : ""}`, convention: "every weight once, tied ones too; scales and zero points counted, norms and lookups kept at 16 bits as quantisers do", source: AM.data.formats[p.held.name] ? AM.data.formats[p.held.name][2] : "the format of each module",
      others: [["parameters × 2 bytes", gigabytes(2 * p.model.parameters)], ["parameters × 1.2 × bits / 8", gigabytes(1.2 * p.model.parameters * p.bits / 8)]] };
    case "kv": {
      const terms = p.model.cache.filter((c) => c[1] !== "0").map(([count, text, kind]) => `${count} × (${text}) [${kind}]`).join(" + ") || "0";
      const full = p.model.cache.filter((c) => c[2] === "full")[0], all = p.model.cache.reduce((sum, c) => sum + c[0], 0);
      const every = full && p.model.cache.length > 1 ? all / full[0] : 0;
      return { title: "KV cache", status: "counted", formula: `batch × (${terms}) elements × bits / 8${p.devices > 1 ? ", shared by ranks as their heads and layers are" : ""}`, numbers: `batch = ${s.batch}, m = ${commas(s.context)}, ${p.kv}: ${bitsOf(p.kv)}`, value: `${commas(p.bytes.kv)} bytes = ${gib(p.bytes.kv)}`, convention: "a window of w keeps w tokens, a latent what is cached of it; pages of an engine round up", source: "counted from each layer type's cache", others: every ? [["tools that count every layer as full", "too much: windows and states do not grow"]] : [] };
    }
    case "state": return { title: "Recurrent state", status: "counted", formula: `batch × (${p.model.cache.filter((c) => c[3]).map((c) => `${c[0]} × ${commas(c[3])} [${c[2]}]`).join(" + ") || 0}) elements`, numbers: `batch = ${s.batch}, ${p.model.state}`, value: `${commas(p.bytes.state)} bytes`, convention: "does not grow with the context", source: "counted" };
    case "activations": return { title: "Activations", status: "counted", formula: s.mode === "train" ? "what the backward pass reads of every layer, and the logits in fp32" : "the residual stream b·n·width + the largest part's live tensors", numbers: `${sizes}, ${p.model.own}${s.chunk ? `, ${commas(s.chunk)} tokens at a time` : ""}`, value: `${commas(p.bytes.activations)} bytes`, convention: "attention as one kernel: its scores stay on the chip", source: "counted" };
    case "gradients": return { title: "Gradients", status: "counted", formula: "parameters trained × bytes", numbers: p.trained ? `${p.trained.how.r.gradients} bytes each, those alive at the peak` : `${commas(p.model.parameters)} × 2`, value: `${commas(p.bytes.gradients)} bytes`, convention: "in the type of the weights", source: "counted" };
    case "optimizer": return { title: "Optimizer states", status: "counted", formula: "parameters trained × bytes of state", numbers: p.trained ? `${p.trained.how.r.states} bytes each` : `${commas(p.model.parameters)} × ${AM.data.optimizer}`, value: `${commas(p.bytes.optimizer)} bytes`, convention: p.trained ? p.state.recipe : "mixed-precision AdamW: fp32 copy and two fp32 moments", source: p.trained ? p.trained.how.r.source : "Micikevicius et al. 2018; Rajbhandari et al. 2020" };
    case "runtime": case "communication": case "graphs": case "slack": case "gathered": case "scratch": case "logits": case "master": return extra(id, p);
    case "room": if (p.served) return { title: "What the engine may take", status: "fitted", formula: "utilisation × memory that its runtime sees", numbers: `${p.served.pool.fraction} × ${commas(p.served.pool.seen)} bytes of ${commas(p.place.usable)}`, value: `${commas(p.room)} bytes = ${gigabytes(p.room)}; ${gigabytes(p.served.left)} are left for the cache`, convention: "the engine's default utilisation unless given", source: p.served.engine.sources.fraction }; else { const path = p.place.figures["memory.usable"] ? "memory.usable" : "memory.capacity"; return { title: "Usable memory", status: p.place.status, formula: "what the driver hands out, the printed capacity where that is not known", numbers: figure(path), value: `${commas(p.room)} bytes = ${gigabytes(p.room)} = ${gib(p.room)}`, convention: "GB = 10^9 bytes, GiB = 2^30 bytes", source: source(path) }; }
    case "largest": return { title: "Largest context", status: "counted", formula: "the largest m with memory(m) ≤ usable; memory never falls as m grows, so a search is exact", numbers: `memory(${commas(p.largest)}) = ${p.largest && p.largest < AM.MOST ? commas(p.total(p.largest, s.batch)) : "…"} ≤ ${commas(p.room)} bytes`, value: `${commas(p.largest)} tokens`, convention: "per sequence, at this batch", source: "counted" };
    case "requests": if (p.served) return { title: "Requests at once", status: "counted", formula: "cache left / bytes of one sequence, whole pages", numbers: `${commas(p.served.left)} / ${commas(p.served.layout.request(s.context))}`, value: `${commas(p.served.requests)} of ${commas(s.context)} tokens; ${commas(p.served.tokens)} tokens of cache, as the engine's log counts them`, convention: `pages of ${commas(p.served.layout.block)} tokens; a token takes ${commas(p.served.layout.perToken)} bytes of each rank`, source: p.served.engine.sources.block }; return explanation("needed", p);
    case "seconds": return { title: `Time of one ${PASS[s.mode]}`, status: `${p.place.status} roofline`, formula: `sum over parts of max(FLOPs / peak rate, bytes / bandwidth)${p.devices > 1 ? ` / ${p.devices} devices` : ""}`, numbers: `${[...new Set(p.rate)].map((r) => figure(`peak.${r}`)).join(", ")}, ${figure("memory.bandwidth")}`, value: `${time(p.seconds)}; alone, computing takes ${time(p.compute)} and moving ${time(p.memory)}`, convention: `a lower bound: every part at peak, one after the other${p.devices > 1 ? "; shared evenly, links and waiting left out" : ""}`, source: source("memory.bandwidth", ...p.rate.map((r) => `peak.${r}`)), others: [["one roofline for the whole model", time(Math.max(p.compute, p.memory))]] };
    case "speed": return { title: "Tokens per second", status: `${p.place.status} roofline`, formula: "batch × new tokens / seconds", numbers: `${sizes}, ${p.seconds.toPrecision(6)} s`, value: `${commas(p.speed, s.mode === "decode" ? 1 : 0)} tokens/s at most`, convention: "an upper bound, since the time is a lower one", source: "counted work over datasheet rates" };
    case "flops": {
      const full = PARTS.square(p.model, s.batch, s.context).both;
      return { title: "FLOPs", status: "counted", formula: [...new Set(p.each.filter((x) => x.kind === "attention").map((x) => PARTS.words(p.model, x.run)))].slice(0, 3).map((f) => `attention: ${f}`).join("\n") + "\n+ the other parts", numbers: sizes, value: `${commas(p.flops)} = ${scaled(p.flops, "FLOP")}`, convention: `2 per multiply-accumulate, pairs that masks allow, logits of ${s.mode === "train" ? "all tokens" : "the last token"}`, source: "counted from the layers' programs",
        others: s.mode === "prefill" ? [["FlopCounterMode, eager attention: whole square, all logits", scaled(full, "FLOP")], ["the same in multiply-accumulates", scaled(full / 2, "MAC")], ["2 × parameters × tokens", scaled(2 * p.model.active * s.batch * s.context, "FLOP")]] : s.mode === "train" ? [["6 × parameters × tokens", scaled(6 * p.model.active * s.batch * s.context, "FLOP")]] : [["2 × parameters per token", scaled(2 * p.model.active * s.batch, "FLOP")]] };
    }
    case "moved": return { title: "Bytes moved", status: "counted", formula: "sum over parts of inputs, outputs, weights and cache read or written once", numbers: sizes, value: `${commas(p.moved)} bytes`, convention: "each part one kernel; of the experts those of one token, which no routing can undercut", source: "counted" };
    case "part": {
      const [, kind, name] = id.split(":"), row = p.mode.rows.find((r) => r[0] === kind), x = row && row[3].map((k) => p.each[k]).find((q) => q.name === name);
      if (!x) return explanation("seconds", p);
      return { title: `${kind}, ${name}`, status: `${p.place.status} roofline`, formula: `max(FLOPs / ${x.rate} rate, bytes / bandwidth)\nFLOPs = ${PARTS.words(p.model, x.run)}`, numbers: `${sizes}\n${commas(x.flops)} FLOP / ${figure(`peak.${x.rate}`)}\n${commas(x.bytes)} bytes / ${figure("memory.bandwidth")}`, value: `${time(x.seconds)} in each of ${row[1]} layer${row[1] > 1 ? "s" : ""}: computing ${time(x.compute)}, moving ${time(x.memory)}`, convention: "one kernel: inputs, weights and outputs move once", source: source("memory.bandwidth", `peak.${x.rate}`) };
    }
    case "lever": {
      const l = AM.levers(s, p)[+id.slice(6)];
      if (!l) return explanation("needed", p);
      const then = AM.plan({ ...s, ...l.change }, l.widened);
      return { title: l.name, status: "counted", formula: "the same plan, asked with the change", numbers: `memory: ${commas(p.needed)} − ${commas(then.needed)} bytes\ntime: ${time(p.seconds)} and ${time(then.seconds)}`, value: `saves ${gigabytes(p.needed - then.needed)}; ${time(Math.abs(p.seconds - then.seconds))} ${p.seconds >= then.seconds ? "less" : "more"}; then ${then.fits ? "it fits" : "it is too large"}, largest context ${commas(then.largest)}`, convention: l.note, source: "counted" };
    }
    case "spare": return { title: p.fits ? "To spare" : "Too much", status: "counted", formula: p.fits ? "usable − needed" : "needed − usable", numbers: `${commas(Math.max(p.room, p.needed))} − ${commas(Math.min(p.room, p.needed))}`, value: `${commas(Math.abs(p.room - p.needed))} bytes = ${gigabytes(Math.abs(p.room - p.needed))}`, convention: "GB = 10^9 bytes", source: "counted; usable memory is the machine's" };
    case "layer": {
      const kind = id.split(":")[1], row = p.table.find((r) => r.kind === kind);
      const at = p.mode.rows.find((r) => r[0] === kind);
      if (!row || !at) return explanation("seconds", p);
      const lines = at[3].map((k) => p.each[k]).map((x) => `${x.name}: ${PARTS.words(p.model, x.run)}`);
      return { title: `${kind}: ${row.layers} layer${row.layers > 1 ? "s" : ""}`, status: "counted", formula: lines.join("\n"), numbers: sizes, value: `${scaled(row.flops, "FLOP")}, ${gigabytes(row.bytes)} moved, ${time(row.seconds)}: ${row.compute >= row.memory ? "compute" : "memory"} binds`, convention: "FLOPs of each part of one layer; 2 per multiply-accumulate", source: "counted" };
    }
  }
  return explanation("needed", p);
};
// Terms that an engine or a recipe adds to what is counted.
const extra = (id, p) => {
  const v = p.served, r = p.trained && p.trained.how.r, value = `${commas(p.bytes[id])} bytes = ${gib(p.bytes[id])}`;
  const told = {
    runtime: ["of one process: context, libraries, buffers", "", v ? v.engine.sources.runtime : "fitted on logs of training"],
    communication: ["buffers of a tensor-parallel group", `tp = ${p.state.tp}`, v && v.engine.sources.communication],
    graphs: ["captured graphs: a fixed part and one per 1,024 requests at once", "", v && v.engine.sources.graphs],
    gathered: ["weights that FSDP has gathered: of two layers, or of a pipeline's stage", `ZeRO stage ${p.state.zero} over ${p.state.dp} replicas`, "Rajbhandari et al. 2020; Zhao et al. 2023"],
    scratch: ["parameters trained × bytes that the step needs", "", r && r.source],
    slack: ["share of what the allocator hands out", r && `${r.slack} × the terms above`, "fitted on logs of training"],
    logits: ["b·n × vocabulary × bytes alive under the loss", r && `${p.model.serving.vocabulary} × ${p.state.batch} × ${commas(p.state.context)} × ${r.logit} bytes, loss ${r.loss}`, r && r.source],
    master: ["parameters trained × bytes", r && `${r.master} bytes each`, r && r.source],
  }[id];
  return { title: NAMES[id], status: ["logits", "master", "gathered", "scratch"].includes(id) ? "counted" : "fitted", formula: told[0], numbers: told[1], value, convention: "GiB = 2^30 bytes", source: told[2] };
};
const showWhy = () => {
  if (!now && !TAB_WHY[chosen.split(":")[0]]) { $("why").innerHTML = ""; return; }
  const e = explanation(chosen, now), row = (name, text, cls = "") => text ? `<dt>${name}</dt><dd class="${cls}">${esc(text)}</dd>` : "";
  $("why").innerHTML = `<button class="close" data-close aria-label="close">✕</button><h2>${esc(e.title)} <span class="tag">${esc(e.status)}</span></h2><dl>${row("formula", e.formula, "f")}${row("with numbers", e.numbers, "f")}${row("value", e.value, "v")}${row("convention", e.convention)}${row("source", e.source)}</dl>` +
    (e.others && e.others.length ? `<h3>other tools print</h3><table>${e.others.map(([a, b]) => `<tr><td>${esc(a)}</td><td>${esc(b)}</td></tr>`).join("")}</table>` : "");
  for (const b of document.querySelectorAll("[data-why]")) b.classList.toggle("on", b.dataset.why === chosen);
};

// ---------------------------------------------------------------- charts
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
};

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
  for (const key of ["model", "machine", "mode", "weights", "kv", "engine"]) $(key).value = s[key];
  const r = p.trained && p.trained.how.r;
  $("recipe").value = r ? r.name : ""; $("for-parts").hidden = !r;
  if (r) { for (const key of ["optimizer", "recompute", "loss"]) $(`r-${key}`).value = r[key]; $("r-compiled").checked = r.compiled; $("r-rank").value = r.rank; $("r-rank").parentElement.hidden = !r.rank; }
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
  put("notes", [`weights ${said(now)}, cache ${now.kv}, activations ${now.model.own}, attention as one kernel (flash)`, "FLOPs are 2 per multiply-accumulate of matrix products, over the pairs each mask allows", `time is a ${now.place.status} roofline: every part at peak rate or peak bandwidth, one after the other; a lower bound for kernels that do not overlap`, ...(state.recipe ? [now.trained.how.r.source] : state.mode === "train" ? ["AdamW in mixed precision: 12 bytes of optimizer state per parameter; backward is twice forward"] : ["logits of the last token only", now.served ? `${now.served.engine.title}: prompts are computed ${commas(now.served.pool.tokens)} tokens at a time` : "runtime and allocator overhead are not counted: choose an engine and they are"]), ...now.model.notes].map((n) => `<li>${esc(n)}</li>`).join(""));
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

// ---------------------------------------------------------------- copies
const flags = (s) => [["--context", s.context], ["--batch", s.batch], ["--mode", s.mode], ["--weights-dtype", s.weights], ["--kv-dtype", s.mode === "train" ? "" : s.kv], ["--chunk", s.mode === "prefill" ? s.chunk : ""], ["--engine", s.engine], ["--utilization", s.utilization], ["--recipe", s.recipe]].filter(([, v]) => v);
const degrees = (s) => (PLACE.count(s) > 1 ? [...DEGREES, "zero"].filter((k) => s[k] > (k === "zero" ? 0 : 1) || k === "tp").map((k) => [k, s[k]]) : []);
const onDevices = (s) => (PLACE.count(s) > 1 ? `${PLACE.count(s)}x-` : "") + s.machine;
const COPIES = {
  command: () => `attometer plan ${now.model.text ? "config.json" : state.model} --on ${state.machine === "own" ? "my-machine.toml" : onDevices(state)} ${degrees(state).map(([k, v]) => `--${k} ${v} `).join("")}${flags(state).map((f) => f.join(" ")).join(" ")}${state.mode === "train" && state.checkpoint ? " --checkpoint" : ""}`,
  Python: () => `import attometer as am\n\nprint(am.plan("${now.model.text ? "config.json" : state.model}", "${onDevices(state)}", ${degrees(state).length ? `placement={${degrees(state).map(([k, v]) => `"${k}": ${v}`).join(", ")}}, ` : ""}${flags(state).map(([k, v]) => `${k.slice(2).replaceAll("-", "_")}=${typeof v === "number" ? v : `"${v}"`}`).join(", ")}${state.mode === "train" && state.checkpoint ? ", checkpoint=True" : ""}))`,
  JSON: () => JSON.stringify({ model: state.model, machine: state.machine, devices: now.devices, placement: Object.fromEntries(degrees(state)), options: { context: state.context, batch: state.batch, mode: state.mode, engine: state.engine || null, recipe: state.recipe || null, weights: now.held.name, kv: now.kv, chunk: state.chunk || null, checkpoint: state.checkpoint }, fits: now.fits, headline: headline(now), parameters: now.model.parameters, bytes: { ...now.bytes, total: now.needed }, memory_bytes: now.room, largest_context: now.largest < AM.MOST ? now.largest : null, flops: now.flops, bytes_moved: now.moved, seconds: now.seconds, tokens_per_second: now.speed, layers: now.table.map((r) => ({ kind: r.kind, layers: r.layers, parameters: r.parameters, kv_bytes: r.kv, flops: r.flops, bytes_moved: r.bytes, seconds: r.seconds })) }, null, 2),
  Markdown: () => `${headline(now)}\n\n| memory | GB | GiB |\n|---|---:|---:|\n${[...now.kinds.filter((k) => now.bytes[k]).map((k) => [NAMES[k], now.bytes[k]]), ["total", now.needed], ["usable", now.room]].map(([n, v]) => `| ${n} | ${commas(v / 1e9, 2)} | ${commas(v / 2 ** 30, 2)} |`).join("\n")}\n\n| layer type | layers | TFLOP | GB moved | ms |\n|---|---:|---:|---:|---:|\n${now.table.map((r) => `| ${r.kind} | ${r.layers} | ${commas(r.flops / 1e12, 3)} | ${commas(r.bytes / 1e9, 3)} | ${commas(r.seconds * 1e3, 3)} |`).join("\n")}`,
  link: address,
};
const copy = async (name) => {
  const text = COPIES[name](), out = $("copied");
  try { await navigator.clipboard.writeText(text); $("said").textContent = `${name} copied`; } catch { $("said").textContent = `${name}: select and copy`; }
  out.hidden = false; out.value = text; out.rows = Math.min(12, text.split("\n").length + 1);
};

// ---------------------------------------------------------------- pictures
const KEPT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "font-family", "font-size", "font-weight", "paint-order"];
const picture = (id) => {
  const svg = $(id).querySelector("svg"), made = svg.cloneNode(true), { width, height } = svg.viewBox.baseVal;
  const from = svg.querySelectorAll("*");
  made.querySelectorAll("*").forEach((to, k) => { const style = getComputedStyle(from[k]); to.setAttribute("style", KEPT.map((n) => `${n}:${style.getPropertyValue(n)}`).join(";")); });
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  ground.setAttribute("width", width); ground.setAttribute("height", height); ground.setAttribute("fill", getComputedStyle(document.body).getPropertyValue("--card"));
  made.prepend(ground);
  for (const [name, value] of [["xmlns", "http://www.w3.org/2000/svg"], ["width", width], ["height", height]]) made.setAttribute(name, value);
  return { text: new XMLSerializer().serializeToString(made), width, height };
};
const download = (url, name) => { const a = document.createElement("a"); a.href = url; a.download = name; a.click(); };
const save = (id, kind) => {
  const { text, width, height } = picture(id), url = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`, name = `attometer-${state.tab === "plan" ? state.model : state.tab}-${id}`;
  if (kind === "SVG") return download(url, `${name}.svg`);
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas"); canvas.width = 2 * width; canvas.height = 2 * height;
    const pen = canvas.getContext("2d"); pen.scale(2, 2); pen.drawImage(image, 0, 0);
    download(canvas.toDataURL("image/png"), `${name}.png`);
  };
  image.src = url;
};

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
  for (const key of ["model", "machine", "mode", "weights", "kv", "engine", "recipe"]) $(key).onchange = (e) => {
    state = legal({ ...state, [key]: e.target.value });
    if (key === "model") weights();
    redraw();
  };
  for (const key of ["context", "batch", "chunk"]) $(key).onchange = (e) => { const v = amount(e.target.value); e.target.setAttribute("aria-invalid", !(v >= 1 || (key === "chunk" && !e.target.value.trim()))); if (v >= 1 || key === "chunk") change({ [key]: v || 0 }); };
  for (const id of ["c-unit", "c-pairs", "c-logits"]) $(id).onchange = () => drawConvention(now);
  $("precision").onchange = () => drawRoofline(now);
  for (const d of document.querySelectorAll("details[data-twin]")) d.ontoggle = () => d.open && showTwin(d);
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
