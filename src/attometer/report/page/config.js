"use strict";
// A configuration given to the page: the texts of a shipped model of its family and form, at the sizes that it says.
const CONFIG = (() => {
  const FAMILIES = ["llama", "mistral", "qwen2", "qwen3"];
  const READ = ["model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "tie_word_embeddings", "hidden_act", "sliding_window", "use_sliding_window", "max_window_layers", "layer_types", "attention_bias", "mlp_bias", "architectures", "torch_dtype", "dtype", "quantization_config", "compression_config", "is_encoder_decoder", "add_cross_attention"];
  const refuse = (why) => { throw new Error(`${why}; the command reads it: attometer plan config.json, or attometer page config.json for a page that has it`); };
  // What the layers' sizes follow from; everything else must be known to cost nothing.
  const values = (c) => {
    if (!c || typeof c !== "object" || Array.isArray(c)) refuse("a configuration is an object in JSON");
    if (!FAMILIES.includes(c.model_type)) refuse(`$.model_type is ${JSON.stringify(c.model_type ?? null)}: this page reads ${FAMILIES.join(", ")}`);
    for (const key of Object.keys(c)) if (!READ.includes(key) && !AM.data.free.includes(key)) refuse(`$.${key} is not read by this page`);
    const must = (key, ...allowed) => { if (c[key] !== undefined && c[key] !== null && !allowed.includes(c[key])) refuse(`$.${key} is ${JSON.stringify(c[key]).slice(0, 40)}`); };
    const whole = (key, other) => { const v = c[key] ?? other; if (!Number.isInteger(v) || v < 1 || v > 2 ** 31) refuse(`$.${key} ${c[key] === undefined ? "is missing" : "is no positive whole number"}`); return v; };
    const old = c.model_type === "llama", windowed = c.model_type === "mistral", qwen = c.model_type.startsWith("qwen");
    for (const key of ["attention_bias", "mlp_bias", "use_sliding_window", "is_encoder_decoder", "add_cross_attention"]) must(key, false);
    for (const key of ["quantization_config", "compression_config"]) must(key);
    must("hidden_act", "silu"); must("tie_word_embeddings", true, false);
    for (const one of c.layer_types || []) if (one !== (windowed && c.sliding_window ? "sliding_attention" : "full_attention")) refuse(`$.layer_types holds ${JSON.stringify(one)}`);
    for (const one of c.architectures || []) if (!/ForCausalLM$/.test(one)) refuse(`$.architectures is ${one}`);
    const D = whole("hidden_size"), h = whole("num_attention_heads"), g = whole("num_key_value_heads", old ? h : undefined);
    const d = c.head_dim ? whole("head_dim") : c.model_type === "qwen3" ? 128 : D / h;
    if (!Number.isInteger(d)) refuse(`$.hidden_size ${D} is no multiple of $.num_attention_heads ${h}`);
    if (h % g) refuse(`$.num_attention_heads ${h} is no multiple of $.num_key_value_heads ${g}`);
    const w = windowed ? (c.sliding_window === undefined ? 4096 : c.sliding_window) : null;
    if (w !== null) whole("sliding_window", w);
    if (!windowed && !qwen && c.sliding_window) refuse("$.sliding_window is not read of this family");
    const type = String(c.dtype ?? c.torch_dtype ?? "bfloat16").replace("torch.", "");
    if (!["bfloat16", "float16", "float32"].includes(type)) refuse(`$.torch_dtype is ${type}`);
    return { family: c.model_type, D, F: whole("intermediate_size"), L: whole("num_hidden_layers"), h, g, d, V: whole("vocab_size"), w, tied: !!c.tie_word_embeddings, context: c.max_position_embeddings || null, own: type === "float16" ? "fp16" : "bf16" };
  };
  const namesOf = (model, pair) => AM.data.texts[model.texts[pair][0]].sizes;
  const formOf = (model) => {
    const attention = model.parts.find((p) => p[1] === "attention"), names = attention ? namesOf(model, attention[0]) : [];
    return `${names.includes("g")}/${names.includes("w")}/${model.stored.at(-1).some(([, tied]) => tied)}`;
  };
  const template = (v) => {
    const asked = `${v.h !== v.g}/${v.w !== null}/${v.tied}`;
    const found = Object.entries(AM.data.models).find(([, m]) => m.family === v.family && !m.given && m.cache.length === 1 && !m.towers.length && m.tower === 0 && formOf(m) === asked && m.weights.as.stored[0] === m.own);
    if (!found) refuse(`no shipped ${v.family} has this form (${v.h === v.g ? "a key head for each query head" : "shared key heads"}, ${v.w ? "a window" : "no window"}, ${v.tied ? "tied" : "own"} output weights)`);
    return found[1];
  };
  const sizeOf = (v, name, axis) => {
    const wide = v.d + (v.d % 2), keys = name === "rotary k" || name === "norm k", turned = name.startsWith("rotary");
    const found = { c: v.D, f: v.F, h: keys ? v.g : v.h, g: v.g, d: turned ? wide : v.d, e: v.d, v: v.V, o: v.V, k: wide / 2, w: v.w }[axis];
    if (!found) refuse(`part ${name} has an axis ${axis} that this page does not know`);
    return found;
  };
  const caches = (rows, elements, w) => `const f = (m) => [${rows.map((k) => (k ? `${elements}*${w === null ? "m" : `Math.min(m, ${w})`}` : 0)).join(", ")}];`;
  const read = (text) => {
    let c;
    try { c = JSON.parse(text); } catch { refuse("this is not JSON, or is cut off"); }
    return finished(values(c));
  };
  // The model as Python would put it on the page.
  const finished = (v) => {
    const from = template(v), made = { ...from, given: true, memo: {}, made: [], texts: [], asked: v };
    const add = (text, sizes) => made.texts.push([text, sizes]) - 1;
    made.parts = from.parts.map((p) => {
      const [text] = from.texts[p[0]], part = [...p];
      part[0] = add(text, namesOf(from, p[0]).map((axis) => sizeOf(v, p[1], axis)));
      if (part[5] !== null) part[5] = v.V;
      part[6] = part[8] ? 0 : part[3] * AM.fn(AM.data.texts[text].weights)(...made.texts[part[0]][1]).reduce((a, b) => a + b, 0);
      return part;
    });
    const layers = [1, v.L, 1], held = from.stored.map((row) => row.reduce((sum, [k]) => sum + made.parts[k][6], 0)), kept = 2 * v.g * v.d, rows = [0, 1, 0];
    made.phases = { prefill: from.phases.prefill.map(([kind, , , parts], k) => [kind, layers[k], held[k], parts]) };
    made.parameters = made.active = held.reduce((sum, one, k) => sum + layers[k] * one, 0);
    Object.assign(made, { context: v.context, depth: v.L, width: v.D, own: v.own, state: v.own, notes: [`read on this page, as the shipped ${v.family} models are`], stacks: Array(v.L).fill(1), kv: caches(rows, kept, v.w) });
    made.cache = [[v.L, v.w === null ? `${kept} m` : `${kept} min(${v.w}, m)`, from.cache[0][2], 0]];
    const { names, as, patterns } = from.weights, plain = Object.entries(as).filter(([, [, , k, all]]) => all && !patterns[k].flat().some(Array.isArray));
    made.weights = { names, patterns, as: { ...Object.fromEntries(plain), stored: [v.own, v.own, as[v.own][2], 1] } };
    made.ranks = Object.fromEntries(Object.entries(from.ranks).map(([key, cut]) => [key, ranked(from, made, cut, key, v, add)]));
    made.serving = serving(from, made, v);
    return made;
  };
  // A cut divides the sizes of this model as it divides those of the shipped one; rows of a table are rounded up.
  const ranked = (from, made, cut, key, v, add) => {
    if (typeof cut === "string") return `${key.split("/")[0]} ranks are not cut on this page for this form: the command does`;
    let failed = "", groups = v.g;
    const local = (index, pair) => {
      const name = from.parts[index][1], [, whole] = from.texts[from.parts[index][0]], [text, part] = from.texts[pair], axes = namesOf(from, pair);
      return add(text, axes.map((axis, k) => {
        const pieces = whole[k] / part[k], exact = made.texts[made.parts[index][0]][1][k] / pieces;
        if (!Number.isInteger(exact) && axis !== "v" && axis !== "o") failed = `part "${name}": ${axis} ${exact * pieces} is not shared by ${pieces} ranks on this page: the command says how it is`;
        if (name === "attention" && axis === (v.h === v.g ? "h" : "g")) groups = exact;
        return Math.ceil(exact);
      }));
    };
    const running = cut.phases.prefill.map((row, k) => row.map(([pair, tokens, copies], j) => [local(from.phases.prefill[k][3][j], pair), tokens, copies]));
    const stored = cut.stored.map((row, k) => row.map(([pair, copies], j) => [local(from.stored[k][j][0], pair), copies]));
    return failed || { phases: { prefill: running }, stored, kv: caches([0, 1, 0], 2 * groups * v.d, v.w), state: cut.state };
  };
  const serving = (from, made, v) => {
    const step = {}, rank = PARTS.rank(made, made.ranks["1/1"], 1, "prefill");
    for (const t of Object.keys(from.serving.step)) step[t] = rank.live(1, +t, +t)[1];
    const held = Object.fromEntries(Object.keys(from.serving.held).filter((name) => made.weights.as[name]).map((name) => [name, WEIGHTS.held(made, name).total]));
    return { vocabulary: v.V, experts: false, routed: 0, images: false, step, buffer: {}, cache: [[0, v.w, 0]], pad: {}, adapters: {}, held };
  };
  // Puts a configuration into the list of models under a name, and returns the name.
  const give = (text, name) => {
    const made = read(text);
    AM.data.models[name] = made;
    made.text = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(text)).filter(([key]) => READ.includes(key))));
    return name;
  };
  return { read, give };
})();
