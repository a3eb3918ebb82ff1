"use strict";
// Numbers: the formulas that Python compiled, evaluated at the state of the page. Nothing here knows what a model costs.
const AM = (() => {
  let data = null;
  const MOST = 2 ** 40, KINDS = ["weights", "kv", "state", "activations", "gradients", "optimizer"], UPDATE = 28;
  const made = new Map();
  const fn = (text) => {
    if (!made.has(text)) made.set(text, new Function(`${text}\nreturn f;`)());
    return made.get(text);
  };
  // Five characters are four bytes (RFC 1924); the last ones are cut off as Python's encoder does.
  const base85 = (text) => {
    const digits = new Uint8Array(128), out = new Uint8Array(4 * Math.ceil(text.length / 5));
    [..."0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"].forEach((c, k) => { digits[c.charCodeAt(0)] = k; });
    for (let k = 0, at = 0; k < text.length; k += 5, at += 4) {
      let v = 0;
      for (let j = 0; j < 5; j++) v = v * 85 + (k + j < text.length ? digits[text.charCodeAt(k + j)] : 84);
      out[at] = v / 2 ** 24; out[at + 1] = v / 2 ** 16; out[at + 2] = v / 2 ** 8; out[at + 3] = v;
    }
    return out.subarray(0, Math.floor((4 * text.length) / 5));
  };
  // Not by way of a Blob: its bytes would go through the browser's process and back.
  const inflated = async (bytes) => {
    const { readable, writable } = new DecompressionStream("deflate"), source = writable.getWriter(), out = readable.getReader(), decoder = new TextDecoder();
    source.write(bytes); source.close();
    let text = "";
    for (let piece; !(piece = await out.read()).done;) text += decoder.decode(piece.value, { stream: true });
    return text;
  };
  const unpacked = async (text) => {
    const { code, ...found } = JSON.parse(await inflated(base85(text)));
    const { names, at, fields } = found.models, known = data ? data.models : {};
    found.models = Object.fromEntries(names.map((name, k) => [name, known[name] || Object.fromEntries(Object.entries(fields).map(([key, list]) => [key, list[at[k]]]))]));
    for (const one of Object.values(found.models)) Object.setPrototypeOf(one.weights.as, null);
    // An address may name anything, also what every object has.
    for (const list of Object.values(found)) if (list && typeof list === "object" && !Array.isArray(list)) Object.setPrototypeOf(list, null);
    data = { ...data, ...found };
    const script = document.createElement("script");
    script.textContent = code;
    document.head.append(script);
  };
  // "first" is what the plan shown first needs, "rest" all else.
  const loading = {};
  const read = new Promise((done) => document.addEventListener("DOMContentLoaded", done));
  const load = (id) => (loading[id] ||= (id === "first" ? Promise.resolve() : read).then(() => unpacked(document.getElementById(id).textContent)));
  const fastest = (rates, peak) => {
    const wanted = [...new Set([...rates].sort().flatMap((r) => data.holds[r]))];
    let stated = wanted.filter((r) => peak[r] !== undefined);
    if (!stated.length) stated = ["fp32", "fp64"].filter((r) => peak[r] !== undefined);
    if (!stated.length) throw new Error("this machine states no peak rate for bf16, fp16 or fp32");
    return stated.reduce((best, r) => (peak[r] > peak[best] ? r : best));
  };
  const cacheName = (model, state) => {
    const name = state.mode === "train" ? model.own : state.kv || model.own;
    return name === "fp8" && model.indexed ? "fp8_ds_mla" : name;
  };
  const cacheRate = (kv, own) => {
    if (data.rows[kv] !== undefined) return kv.startsWith("fp8") ? "fp8" : "fp4";
    return data.formats[kv][0] < data.formats[own][0] ? data.formats[kv][1] : own;
  };
  // What a state asks, with everything fixed but context and batch.
  const planner = (asked, widened = false) => {
    const how = asked.mode === "train" && asked.recipe ? RECIPE.asked(asked) : null, state = how ? how.state : asked, update = how ? how.update : UPDATE;
    const model = data.models[state.model], place = state.own || data.machines[state.machine], own = model.own;
    const kv = cacheName(model, state);
    const format = state.weights || "stored", held = WEIGHTS.held(model, format);
    const bits = (name) => Math.trunc(data.rows[name] ?? data.formats[name][0]);
    const mode = PARTS.formulas(model, {
      mode: state.mode, chunk: (state.mode === "prefill" && (state.chunk || (state.engine && ENGINE.step(state, place.usable, model)))) || MOST, layout: data.cacheRows[kv] === undefined ? "" : kv,
      kv: bits(kv), own: bits(own), state: bits(model.state), update: 64 * update, frozen: state.frozen, again: state.checkpoint, naive: state.schedule === "naive",
    });
    const trained = state.mode === "train" ? [Math.floor(Math.trunc(data.formats[own][0] / 8) / 8) * model.parameters, data.optimizer * model.parameters] : [0, 0];
    const ownRate = fastest([own], place.peak), attention = fastest([cacheRate(kv, own)], place.peak);
    const read = mode.runs.map((run) => (run.weights ? WEIGHTS.read(model, format, run.row, run) : null)), weighs = read.map((one) => (one ? one.bytes : 0));
    const rate = mode.runs.map((run, k) => !read[k] ? (run.cached ? attention : ownRate) : widened ? ownRate : fastest(read[k].rates, place.peak));
    const kinds = (m, b) => [held.total, ...mode.kinds(m, b), ...trained];
    const at = (m, b) => ({ kinds: kinds(m, b), passes: mode.passes(m, b, weighs), caches: mode.cacheOf(m, b) });
    const total = (m, b) => kinds(m, b).reduce((x, y) => x + y);
    const parts = (values) => mode.runs.map((run, k) => {
      const [flops, bytes] = values.passes[k];
      const compute = flops / place.peak[rate[k]], memory = bytes / place.bandwidth;
      return { times: run.times, flops, bytes, compute, memory, seconds: Math.max(compute, memory), rate: rate[k], name: run.name, kind: run.kind, run };
    });
    const layers = (values, each) => {
      const found = new Map();
      for (const [kind, layers, parameters, indices, kvAt] of mode.rows) {
        const row = found.get(kind) || { kind, layers: 0, parameters: 0, kv: 0, flops: 0, bytes: 0, compute: 0, memory: 0, seconds: 0 };
        row.layers += layers; row.parameters += layers * parameters; row.kv += layers * values.caches[kvAt];
        for (const k of indices) for (const name of ["flops", "bytes", "compute", "memory", "seconds"]) row[name] += layers * each[k][name];
        found.set(kind, row);
      }
      return [...found.values()];
    };
    const kept = state.reserve_gib || 0, room = place.usable - Math.trunc(kept * 2 ** 30);
    if (room <= 0) throw new Error(`${kept} GiB kept for what is not counted leave nothing of the ${(place.usable / 2 ** 30).toFixed(2)} GiB of ${place.name}`);
    const largest = (b) => most(total, b);
    const most = (total, b) => {
      let low = 0, high = 1;
      while (total(high, b) <= room) { low = high; if (high >= MOST) return MOST; high = Math.min(MOST, high * 4); }
      while (high - low > 1) { const mid = Math.floor((low + high) / 2); if (total(mid, b) <= room) low = mid; else high = mid; }
      return low;
    };
    return { model, place, kv, held, mode, rate, at, kinds, total, parts, layers, room, largest, most };
  };
  const plan = (state, widened = false) => {
    const one = planner(state, widened), values = one.at(state.context, state.batch), each = one.parts(values), devices = PLACE.count(state);
    const served = state.mode !== "train" && !!state.engine;
    const over = served || (devices > 1 && state.mode !== "train") ? PLACE.spread(state, one) : null, p = { ...one, ...(devices > 1 ? over : null) }, held = over && devices > 1 ? over.memory(state.context, state.batch) : values.kinds;
    const special = served ? ENGINE.serve(state, { ...p, spreadWeights: over.weights, spreadTimes: over.times }) : state.mode === "train" && state.recipe ? RECIPE.train(state, one.model) : null;
    if (special) Object.assign(p, { total: special.total, room: special.room ?? p.room, largest: special.largest ?? ((b) => one.most(special.total, b)) });
    const bytes = special ? special.bytes : Object.fromEntries(KINDS.map((name, k) => [name, held[k]])), kinds = Object.keys(bytes);
    const needed = kinds.reduce((sum, name) => sum + bytes[name], 0);
    let seconds = 0, compute = 0, memory = 0, flops = 0, moved = 0;
    for (const part of each) {
      seconds += part.times * part.seconds; compute += part.times * part.compute; memory += part.times * part.memory;
      flops += part.times * part.flops; moved += part.times * part.bytes;
    }
    // Several devices share a pass evenly at best.
    const alone = seconds; seconds /= devices;
    let most = null;
    const tokens = state.batch * (state.mode === "decode" ? 1 : state.context);
    return {
      state, ...p, values, each, bytes, kinds, needed, fits: served ? special.fits : needed <= p.room, devices, served: served ? special : null, trained: served ? null : special, alone, seconds, compute, memory, flops, moved,
      binds: compute >= memory ? "compute" : "memory", mostly: kinds.reduce((a, b) => (bytes[b] > bytes[a] ? b : a)),
      get largest() { return (most ??= p.largest(state.batch)); }, table: p.layers(values, each), speed: tokens / seconds,
      bits: (8 * (p.held.total - p.held.tower)) / p.model.parameters,
    };
  };
  // The changes that `attometer plan` tries on one device.
  const candidates = (s, now) => {
    const found = [], other = (name, change, exact, note, widened) => found.push({ name, change, exact, note, widened: !!widened });
    if (s.mode === "train") {
      if (!s.checkpoint) other("gradient checkpointing", { checkpoint: true }, true, "same result; one more forward pass");
    } else {
      if (s.schedule === "naive") other("flash attention", { schedule: "flash" }, true, "same result; scores stay on the chip; the time it saves too: attometer plan --schedule naive");
      if (s.mode === "prefill" && Math.min(s.context, s.chunk || Infinity) > 8192) other("prefill in chunks of 8192", { chunk: 8192 }, true, "same result; weights are read once per chunk");
      if (data.rows[now.kv] === undefined && data.formats[now.kv][0] > 64 && now.model.cache.some((c) => c[1] !== "0")) other("KV cache in fp8", { kv: "fp8" }, false, "rounds keys and values");
      for (const name of ["fp8", "gptq", ...(now.place.peak.fp4 ? ["nvfp4"] : [])]) {
        if (now.bits > data.formats[name][0] / 8 + 1) other(`weights in ${name === "gptq" ? "4 bits" : name}`, { weights: name }, false, `${name === "gptq" ? "GPTQ or AWQ: " : ""}rounds the weights; scales counted`, name === "gptq");
      }
    }
    if (s.batch > 1 && (s.mode !== "train" || Math.floor(s.batch / 2) % s.dp === 0)) other(`batch ${Math.floor(s.batch / 2)}`, { batch: Math.floor(s.batch / 2) }, true, "fewer sequences at once");
    return found;
  };
  const levers = (s, now) => {
    const found = [];
    for (const each of candidates(s, now)) {
      const state = { ...s, ...each.change };
      const then = plan(state, each.widened);
      const saved = now.needed - then.needed, quicker = now.seconds - then.seconds, speed = then.speed / now.speed;
      if (saved > 0 || quicker > 1e-3 * now.seconds || (then.fits && !now.fits) || speed > 1.001)
        found.push({ ...each, saved, quicker, speed, fits: then.fits, rank: Math.max(saved / now.needed, quicker / now.seconds) });
    }
    return found.sort((a, b) => (b.fits && !now.fits) - (a.fits && !now.fits) || b.rank - a.rank);
  };
  return { load, plan, planner, levers, fastest, fn, KINDS, MOST, get data() { return data; } };
})();
