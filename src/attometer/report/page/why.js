"use strict";
// What each number is: formula, numbers put in, convention, source, and what other tools print.
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
    case "needed": return { title: "Memory needed", status: "counted", formula: p.kinds.filter((k) => p.bytes[k]).map((k) => NAMES[k]).join(" + "), numbers: p.kinds.filter((k) => p.bytes[k]).map((k) => commas(p.bytes[k])).join(" + "), value: `${commas(p.needed)} bytes = ${gigabytes(p.needed)} = ${gib(p.needed)}`, convention: `${p.devices > 1 ? `of the fullest of ${p.devices} devices; ` : ""}${p.served || p.trained ? "what the engine or the recipe takes beside the model is fitted or from its source" : `runtime, allocator and fragmentation are not counted: choose an engine, or a recipe of training, and they are${s.reserve_gib ? `; ${s.reserve_gib} GiB are kept for them` : ""}`}`, source: p.served || p.trained ? "counted, and the figures of each term" : "counted from the layers' programs",
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
    case "activations": return { title: "Activations", status: "counted", formula: s.mode === "train" ? "what the backward pass reads of every layer, and the logits in fp32" : "the residual stream b·n·width + the largest part's live tensors", numbers: `${sizes}, ${p.model.own}${s.chunk ? `, ${commas(s.chunk)} tokens at a time` : ""}`, value: `${commas(p.bytes.activations)} bytes`, convention: s.schedule === "naive" ? "attention operation by operation: its scores and probabilities are in memory" : "attention as one kernel: its scores stay on the chip", source: "counted" };
    case "gradients": return { title: "Gradients", status: "counted", formula: "parameters trained × bytes", numbers: p.trained ? `${p.trained.how.r.gradients} bytes each, those alive at the peak` : `${commas(p.model.parameters)} × 2`, value: `${commas(p.bytes.gradients)} bytes`, convention: "in the type of the weights", source: "counted" };
    case "optimizer": return { title: "Optimizer states", status: "counted", formula: "parameters trained × bytes of state", numbers: p.trained ? `${p.trained.how.r.states} bytes each` : `${commas(p.model.parameters)} × ${AM.data.optimizer}`, value: `${commas(p.bytes.optimizer)} bytes`, convention: p.trained ? p.state.recipe : "mixed-precision AdamW: fp32 copy and two fp32 moments", source: p.trained ? p.trained.how.r.source : "Micikevicius et al. 2018; Rajbhandari et al. 2020" };
    case "runtime": case "communication": case "graphs": case "slack": case "gathered": case "scratch": case "logits": case "master": return extra(id, p);
    case "room": if (p.served) return { title: "What the engine may take", status: "fitted", formula: "utilisation × memory that its runtime sees", numbers: `${p.served.pool.fraction} × ${commas(p.served.pool.seen)} bytes of ${commas(p.place.usable)}`, value: `${commas(p.room)} bytes = ${gigabytes(p.room)}; ${gigabytes(p.served.left)} are left for the cache`, convention: "the engine's default utilisation unless given", source: p.served.engine.sources.fraction }; else { const path = p.place.figures["memory.usable"] ? "memory.usable" : "memory.capacity"; return { title: "Usable memory", status: p.place.status, formula: "what the driver hands out, the printed capacity where that is not known", numbers: `${figure(path)}${s.reserve_gib ? ` − ${s.reserve_gib} GiB kept for what is not counted` : ""}`, value: `${commas(p.room)} bytes = ${gigabytes(p.room)} = ${gib(p.room)}`, convention: "GB = 10^9 bytes, GiB = 2^30 bytes", source: source(path) }; }
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
