"use strict";
// A configuration given to the page: the texts of a shipped model of its form, at the sizes that its keys say. Which forms
// there are, and how sizes follow from keys, was found by asking Python's readers (data.forms).
const CONFIG = (() => {
  const LAYERS = "layer_types", NAMES_OF = ["model_type", "architectures", "torch_dtype", "dtype"], FAR = 2 ** 30;
  const refuse = (why) => { throw new Error(`${why}; the command reads it: attometer plan config.json, or attometer page config.json for a page that has it`); };
  const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
  const short = (v) => JSON.stringify(v ?? null).slice(0, 40);
  const whole = (v, key) => { if (!Number.isInteger(v) || v < 1 || v > 2 ** 31) refuse(`$.${key} is no positive whole number`); return v; };
  // `2*a*b/c` or `a+2` of the values of keys.
  const product = (text, of) => {
    const value = (name) => (/^-?\d+$/.test(name) ? Number(name) : of(name));
    if (String(text).includes("+")) return text.split("+").reduce((sum, name) => sum + value(name), 0);
    const [above, ...below] = String(text).split("/"), found = below.reduce((v, name) => v / value(name), above.split("*").reduce((v, name) => v * value(name), 1));
    if (!Number.isInteger(found)) refuse(`${text.replace(/[a-z_]\w*/gi, (name) => `$.${name}`)} is no whole number`);
    return found;
  };
  const reader = (c, form) => {
    const at = {};
    const of = (key) => (at[key] ??= c[key] !== undefined && c[key] !== null ? whole(c[key], key) : form.sizes[key] ? product(form.sizes[key], of) : refuse(`$.${key} is missing`));
    return of;
  };
  const head = (c) => ((c.architectures || [])[0] || "").match(/(For|LMHead)\w+$|Model$|$/)[0];
  // Why a configuration is not of a form, in the order in which it is said; none where it is.
  const unlike = (c, form) => {
    const found = [], known = (key) => key in form.sizes || key in form.fixed || key === LAYERS || NAMES_OF.includes(key) || form.free.includes(key) || AM.data.free.includes(key);
    for (const key of Object.keys(c)) if (!known(key) && c[key] !== null && c[key] !== false) found.push(`$.${key} is not read by this page`);
    for (const [key, [value, optional]] of Object.entries(form.fixed)) if (!same(c[key], value) && !(optional && (c[key] ?? null) === null)) found.push(c[key] === undefined ? `$.${key} is missing` : `$.${key} is ${short(c[key])}`);
    for (const key of ["quantization_config", "compression_config"]) if (c[key]) found.push(`$.${key} is ${short(c[key])}`);
    if (c.architectures && head(c) !== form.head) found.push(`$.architectures is ${c.architectures[0]}`);
    for (const [key, stands] of Object.entries(form.sizes)) if (c[key] === null && /^\d+$/.test(stands ?? "")) found.push(`$.${key} is null`);
    const of = reader(c, form);
    try { for (const key of Object.keys(form.sizes)) of(key); } catch (error) { found.push(error.message.split(";")[0]); return found; }
    for (const [a, b, equal] of form.same) if ((of(a) === of(b)) !== !!equal) found.push(`no shipped ${c.model_type} has this form: $.${a} and $.${b} are ${equal ? "two numbers" : "one number"}`);
      else if (of(a) % of(b)) found.push(`$.${a} is ${of(a)}, which is not a multiple of $.${b} = ${of(b)}`);
    return found;
  };
  const chosen = (c) => {
    if (!c || typeof c !== "object" || Array.isArray(c)) refuse("a configuration is an object in JSON");
    const offered = AM.data.forms.filter((form) => AM.data.models[form.model]), types = [...new Set(offered.map((form) => form.type))].sort();
    if (!types.includes(c.model_type)) refuse(`$.model_type is ${short(c.model_type)}: this page reads ${types.join(", ") || "none, since it was made for few models"}`);
    const judged = offered.filter((form) => form.type === c.model_type).map((form) => [form, unlike(c, form)]).sort((a, b) => a[1].length - b[1].length);
    if (judged[0][1].length) refuse(judged[0][1][0]);
    return judged[0][0];
  };
  // How many layers each row has, and which row each layer is of.
  const stacked = (c, form, from, of) => {
    const listed = c[LAYERS], inner = form.rows.slice(1, -1), depth = (rows) => rows.reduce((a, b) => a + b, 0);
    if (form.types) {
      if (!Array.isArray(listed)) refuse(`$.${LAYERS} is missing`);
      const stacks = listed.map((type) => form.types.indexOf(type) + 1);
      if (stacks.includes(0)) refuse(`$.${LAYERS} holds ${short(listed[stacks.indexOf(0)])}`);
      if ("num_hidden_layers" in form.sizes && of("num_hidden_layers") !== stacks.length) refuse(`$.${LAYERS} names ${stacks.length} layers`);
      return { layers: inner.map((_, k) => stacks.filter((s) => s === k + 1).length), stacks };
    }
    const layers = inner.map(([count]) => product(count, of)), L = depth(layers);
    const stacks = form.order === "runs" ? layers.flatMap((count, k) => Array(count).fill(k + 1)) : Array.from({ length: L }, (_, k) => from.stacks[k % from.stacks.length]);
    const type = (k) => (inner[stacks[k] - 1][2] === null ? "full_attention" : "sliding_attention");
    if (listed) for (let k = 0; k < Math.max(L, listed.length); k++) if (listed[k] !== type(k)) refuse(`$.${LAYERS} holds ${short(listed[k])}`);
    return { layers, stacks };
  };
  const caches = (rows) => `const f = (m) => [${rows.map(([kept, w]) => (kept ? `${kept}*${w === null ? "m" : `Math.min(m, ${w})`}` : 0)).join(", ")}];`;
  const read = (text) => {
    let c;
    try { c = JSON.parse(text); } catch { refuse("this is not JSON, or is cut off"); }
    return finished(c, chosen(c));
  };
  // The model as Python would put it on the page.
  const finished = (c, form) => {
    const from = AM.data.models[form.model], of = reader(c, form), { layers: inner, stacks } = stacked(c, form, from, of), layers = [1, ...inner, 1];
    const type = String(c.dtype ?? c.torch_dtype ?? "bfloat16").replace("torch.", ""), own = type === "float16" ? "fp16" : "bf16";
    if (!["bfloat16", "float16", "float32"].includes(type)) refuse(`$.torch_dtype is ${type}`);
    const made = { ...from, given: true, memo: {}, made: [], texts: [], own, state: own, depth: stacks.length, width: product(form.width, of), context: form.context && product(form.context, of), vocabulary: product(form.vocabulary, of) };
    const add = (text, sizes) => made.texts.push([text, sizes]) - 1, sizesOf = {};
    let at = 0;
    // The same part of two rows is one; it must be so here, too.
    for (const row of from.stored) for (const [index] of row) {
      const [sizes, copies, routed, rows] = form.parts[at++], [text] = from.texts[from.parts[index][0]], names = AM.data.texts[text].sizes;
      const found = { sizes: sizes.map((e) => product(e, of)), copies: product(copies, of), routed: routed && routed.map((e) => product(e, of)), rows: rows === null ? null : product(rows, of) };
      found.sizes.forEach((v, k) => { if (v <= 4 && !/^\d+$/.test(sizes[k]) && !"ghkx".includes(names[k])) refuse(`a size of ${v} for ${sizes[k]}`); });
      if (sizesOf[index] && !same(sizesOf[index], found)) refuse("rows that are alike in the shipped model differ");
      sizesOf[index] = found;
    }
    made.parts = from.parts.map((p, k) => {
      const found = sizesOf[k], part = [...p];
      if (!found) refuse(`part ${p[1]} is not read by this page`);
      part[0] = add(from.texts[p[0]][0], found.sizes); part[3] = found.copies; part[4] = found.routed; part[5] = found.rows;
      part[6] = part[8] ? 0 : part[3] * elements(made, part[0]);
      return part;
    });
    const held = from.stored.map((row) => row.reduce((sum, [k]) => sum + made.parts[k][6], 0)), over = (values) => values.reduce((sum, v, k) => sum + layers[k] * v, 0);
    const unused = from.stored.map((row) => row.reduce((sum, [k]) => { const [, , , , routed, , count] = made.parts[k]; return sum + (routed ? (count / routed[0]) * (routed[0] - routed[1]) : 0); }, 0));
    made.phases = { prefill: from.phases.prefill.map(([kind, , , parts], k) => [kind, layers[k], held[k], parts]) };
    made.parameters = over(held); made.active = made.parameters - over(unused);
    const rows = form.rows.map(([, kept, w]) => [product(kept, of), w === null ? null : product(w, of)]);
    Object.assign(made, { notes: [`read on this page, as the shipped ${form.model} is`], stacks, kv: caches(rows) });
    made.cache = rows.slice(1, -1).map(([kept, w], k) => [inner[k], kept ? (w === null ? `${kept} m` : `${kept} min(${w}, m)`) : "0", from.cache[k][2], 0]);
    const { names, as, patterns } = from.weights, plain = Object.entries(as).filter(([, [, , k, all]]) => all && !patterns[k].flat().some(Array.isArray));
    made.weights = { names, patterns, as: { ...Object.fromEntries(plain), stored: [own, own, as[own][2], 1] } };
    made.ranks = Object.fromEntries(Object.entries(from.ranks).map(([key, cut]) => [key, ranked(from, made, cut, key, rows, add)]));
    made.serving = serving(from, made, layers, rows, c);
    return made;
  };
  const elements = (made, pair) => { const [text, sizes] = made.texts[pair]; return AM.fn(AM.data.texts[text].weights)(...sizes).reduce((a, b) => a + b, 0); };
  const sentOne = (from, index, pair) => { const names = AM.data.texts[from.texts[pair][0]].sizes, k = names.indexOf("k"); return k >= 0 && from.texts[pair][1][k] === 1 && from.texts[from.parts[index][0]][1][k] > 1; };
  // A cut divides the sizes of this model as it divides those of the shipped one; rows of a table are rounded up.
  const ranked = (from, made, cut, key, rows, add) => {
    const tp = +key.split("/")[0];
    if (typeof cut === "string") return `${tp} ranks are not cut on this page for this form: the command does`;
    let failed = "";
    // A token that is sent to an expert has one there: k is 1.
    const local = (index, pair, sent) => {
      const name = from.parts[index][1], [text, part] = from.texts[pair], [, whole] = from.texts[from.parts[index][0]], axes = AM.data.texts[text].sizes, now = made.texts[made.parts[index][0]][1];
      return add(text, axes.map((axis, k) => {
        const pieces = sent && axis === "k" ? now[k] : axis === "v" || axis === "o" ? Math.round(whole[k] / part[k]) : whole[k] / part[k], exact = now[k] / pieces;
        // Heads that this form copies to several ranks may be divided elsewhere.
        if ((!Number.isInteger(exact) && axis !== "v" && axis !== "o") || ("gh".includes(axis) && pieces < tp && now[k] !== whole[k])) failed = `part "${name}": ${axis} ${now[k]} is not shared by ${tp} ranks on this page: the command says how it is`;
        return Math.ceil(exact);
      }));
    };
    const running = cut.phases.prefill.map((row, k) => row.map(([pair, tokens, copies], j) => { const index = from.phases.prefill[k][3][j], routed = tokens > 1 && from.phases.prefill[k][3].map((i) => made.parts[i][4]).find(Boolean); return [local(index, pair, sentOne(from, index, pair)), routed ? routed[1] + 1 : tokens, copies === 1 ? 1 : (copies * made.parts[index][3]) / from.parts[index][3]]; }));
    const stored = cut.stored.map((row, k) => row.map(([pair, copies], j) => { const index = from.stored[k][j][0], here = (copies * made.parts[index][3]) / from.parts[index][3]; if (!Number.isInteger(here)) failed = `experts are not shared by ${key.split("/")[1]} ranks`; return [local(index, pair, sentOne(from, index, pair)), here]; }));
    const all = AM.fn(from.kv)(FAR), each = AM.fn(cut.kv)(FAR);
    return failed || { phases: { prefill: running }, stored, kv: caches(rows.map(([kept, w], k) => [kept && (kept * each[k]) / all[k], w])), state: cut.state };
  };
  // Bytes of cosines and sines, as engines/positions.py has them.
  const tables = (c, context, width) => {
    const object = (v) => v && v.constructor === Object, positive = (values, name, otherwise) => (typeof values[name] === "number" && values[name] > 0 ? values[name] : otherwise);
    const said = [c.rope_parameters || c.rope_scaling].find(object) || {}, kinds = Object.entries(said).filter(([, turn]) => object(turn));
    const turns = kinds.length ? kinds : [["", said], ...(c.rope_local_base_freq ? [["", {}]] : [])], starts = (names) => names.some((name) => String(c.model_type || "").startsWith(name));
    const first = "original_max_position_embeddings", share = "partial_rotary_factor";
    return turns.reduce((sum, [kind, turn]) => {
      const how = turn.rope_type ?? turn.type, factor = positive(turn, "factor", 1);
      const reach = how === "linear" || how === "dynamic" ? Math.trunc(context * factor) : how === "yarn" ? Math.trunc(positive(turn, first, positive(c, first, context)) * factor) : context;
      const whole = positive(c, "head_dim", Math.floor(width / positive(c, "num_attention_heads", width))), head = kind === "full_attention" ? positive(c, "global_head_dim", whole) : whole;
      const part = head * positive(turn, share, positive(c, share, positive(c, "rotary_pct", starts(["qwen3_5", "qwen3_next"]) ? 0.25 : 1)));
      return sum + 2 * reach * ("mrope_section" in turn || starts(["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"]) ? 4 : 1) * Math.trunc(positive(c, "qk_rope_head_dim", positive(c, "rotary_dim", part)));
    }, 0);
  };
  const serving = (from, made, layers, rows, c) => {
    const step = {}, s = from.serving, inner = [...new Set(made.phases.prefill.slice(1, -1).flatMap(([, , , parts]) => parts))];
    const live = (index, t) => { const [text, sizes] = made.texts[made.parts[index][0]]; return AM.fn(AM.data.texts[text].served)(1, t, t, t, ...sizes)[3]; };
    for (const t of Object.keys(s.step)) step[t] = Math.max(...inner.map((index) => live(index, +t)));
    const held = Object.fromEntries(Object.keys(s.held).filter((name) => made.weights.as[name]).map((name) => [name, WEIGHTS.held(made, name).total]));
    const routed = made.phases.prefill.reduce((sum, [, , , parts], k) => sum + layers[k] * parts.reduce((a, index) => a + (made.parts[index][4] ? made.parts[index][6] : 0), 0), 0);
    return { vocabulary: made.vocabulary, experts: s.experts, routed, images: false, step, buffer: {}, cache: rows.slice(1, -1).map(([, w]) => [0, w, 0]), pad: Object.fromEntries(Object.keys(s.pad).map((key) => [key, null])), items: s.items, whole: s.whole, tables: s.tables && tables(c, made.context || 0, made.width), adapters: {}, held };
  };
  // Puts a configuration into the list of models under a name, and returns the name.
  const give = (text, name) => {
    const made = read(text);
    AM.data.models[name] = made;
    made.text = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(text)).filter(([key]) => NAMES_OF.includes(key) || !AM.data.free.includes(key))));
    return name;
  };
  return { read, give };
})();
