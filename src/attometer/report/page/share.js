"use strict";
// What leaves the page: the plan as command, Python, JSON, Markdown, and charts as pictures.
const flags = (s) => [["--context", s.context], ["--batch", s.batch], ["--mode", s.mode], ["--weights-dtype", s.weights], ["--kv-dtype", s.mode === "train" ? "" : s.kv], ["--chunk", s.mode === "prefill" ? s.chunk : ""], ["--engine", s.engine], ["--utilization", s.utilization], ["--recipe", s.recipe], ["--schedule", s.schedule === "naive" ? "naive" : ""], ["--reserve-gib", s.reserve_gib]].filter(([, v]) => v);
const degrees = (s) => (PLACE.count(s) > 1 ? [...DEGREES, "zero"].filter((k) => s[k] > (k === "zero" ? 0 : 1) || k === "tp").map((k) => [k, s[k]]) : []);
const onDevices = (s) => (PLACE.count(s) > 1 ? `${PLACE.count(s)}x-` : "") + s.machine;
const COPIES = {
  command: () => `attometer plan ${now.model.text ? "config.json" : state.model} --on ${state.machine === "own" ? "my-machine.toml" : onDevices(state)} ${degrees(state).map(([k, v]) => `--${k} ${v} `).join("")}${flags(state).map((f) => f.join(" ")).join(" ")}${state.mode === "train" && state.checkpoint ? " --checkpoint" : ""}`,
  Python: () => `import attometer as am\n\nprint(am.plan("${now.model.text ? "config.json" : state.model}", "${onDevices(state)}", ${degrees(state).length ? `placement={${degrees(state).map(([k, v]) => `"${k}": ${v}`).join(", ")}}, ` : ""}${flags(state).map(([k, v]) => `${k.slice(2).replaceAll("-", "_")}=${typeof v === "number" ? v : `"${v}"`}`).join(", ")}${state.mode === "train" && state.checkpoint ? ", checkpoint=True" : ""}))`,
  JSON: () => JSON.stringify({ model: state.model, machine: state.machine, devices: now.devices, placement: Object.fromEntries(degrees(state)), options: { context: state.context, batch: state.batch, mode: state.mode, engine: state.engine || null, recipe: state.recipe || null, weights: now.held.name, kv: now.kv, chunk: state.chunk || null, schedule: state.schedule, reserve_gib: state.reserve_gib, checkpoint: state.checkpoint }, fits: now.fits, headline: headline(now), parameters: now.model.parameters, bytes: { ...now.bytes, total: now.needed }, memory_bytes: now.room, largest_context: now.largest < AM.MOST ? now.largest : null, flops: now.flops, bytes_moved: now.moved, seconds: now.seconds, tokens_per_second: now.speed, layers: now.table.map((r) => ({ kind: r.kind, layers: r.layers, parameters: r.parameters, kv_bytes: r.kv, flops: r.flops, bytes_moved: r.bytes, seconds: r.seconds })) }, null, 2),
  Markdown: () => `${headline(now)}\n\n| memory | GB | GiB |\n|---|---:|---:|\n${[...now.kinds.filter((k) => now.bytes[k]).map((k) => [NAMES[k], now.bytes[k]]), ["total", now.needed], ["usable", now.room]].map(([n, v]) => `| ${n} | ${commas(v / 1e9, 2)} | ${commas(v / 2 ** 30, 2)} |`).join("\n")}\n\n| layer type | layers | TFLOP | GB moved | ms |\n|---|---:|---:|---:|---:|\n${now.table.map((r) => `| ${r.kind} | ${r.layers} | ${commas(r.flops / 1e12, 3)} | ${commas(r.bytes / 1e9, 3)} | ${commas(r.seconds * 1e3, 3)} |`).join("\n")}`,
  link: address,
};
const copy = async (name) => {
  const text = COPIES[name](), out = $("copied");
  try { await navigator.clipboard.writeText(text); $("said").textContent = `${name} copied`; } catch { $("said").textContent = `${name}: select and copy`; }
  out.hidden = false; out.value = text; out.rows = Math.min(12, text.split("\n").length + 1);
};

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
