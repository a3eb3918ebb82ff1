"use strict";
// What an engine leaves for the cache, and what a training recipe holds: `serve` and `training` of Python, on the same figures.
const ENGINE = (() => {
  const GIB = 2 ** 30, FAR = 2 ** 24;
  const up = (v, k) => k * Math.ceil(v / k);
  const platform = (state) => { const place = state.own || AM.data.machines[state.machine], key = `${state.engine}/${place.vendor.toLowerCase() === "amd" ? "rocm" : "cuda"}`; return AM.data.engines[key] ? key : `${state.engine}/cuda`; };
  const of = (state) => AM.data.engines[platform(state)];
  const named = (state) => (state.own ? state.own.id || "" : state.machine);
  const seen = (e, usable) => Math.trunc(usable - e.driver[0] * GIB - e.driver[1] * usable);
  const scale = (e, visible, name) => e.scales.find(([gib, , , , but]) => visible >= gib * GIB && !but.some((part) => name.includes(part)));
  const step = (state, usable, model) => { const e = of(state); return Math.max(scale(e, seen(e, usable), named(state))[1], model.serving.items[platform(state)] || 0); };
  const reserved = (r, mib, tokens, requests, ranks) => {
    const held = r.fixed + r.token * Math.max(tokens, r.tokens) + r.request * requests + r.rank * ranks;
    return Math.max(Math.round(1000 * (1 - Math.max(held, mib > r.large * 1024 ? r.least : 0) / mib)) / 1000, 0.01);
  };
  const buffer = ([logits, layer, cell], cells) => Math.max(logits, layer + cell * up(cells, 256));
  const pool = (e, model, state, usable, weights) => {
    const visible = seen(e, usable), [, , few, wide] = scale(e, visible, named(state)), tokens = step(state, usable, model), atOnce = wide !== null && state.tp >= 4 ? wide : few;
    const fraction = state.utilization || (e.reserve ? reserved(e.reserve, usable / 2 ** 20, tokens, atOnce, state.tp * state.pp) : e.fraction);
    const s = model.serving, far = e.pcie !== null && !(state.own || AM.data.machines[state.machine]).close;
    const links = state.tp === 1 || !e.links.length ? 0 : far ? e.pcie : (e.links.find(([d]) => d >= state.tp) || e.links.at(-1))[1];
    const sampler = Math.trunc(e.sampler * atOnce * s.vocabulary * 4);
    const work = (s.experts ? Math.trunc(e.experts * GIB) : 0) + (s.images && e.images !== null ? Math.trunc(e.images * GIB) : 0);
    if (e.graph && s.buffer[tokens] === undefined) throw new Error(`${e.title}: its buffers for a configuration given here are the command's: attometer plan config.json --engine ${state.engine}`);
    const largest = 2 * (2 * model.width * tokens + Math.ceil(s.step[tokens] / state.tp));
    const terms = {
      weights, runtime: Math.trunc(e.runtime * GIB), communication: Math.trunc(links * GIB),
      activations: e.graph ? buffer(s.buffer[tokens], state.context) : Math.max(largest, sampler) + work,
      graphs: Math.trunc((e.graphs[0] + (e.graphs[1] * atOnce) / 1024) * GIB),
    };
    const sum = (names) => names.reduce((total, name) => total + terms[name], 0), free = visible - sum(e.before);
    return { seen: visible, tokens, fraction, terms, bytes: Math.trunc(fraction * free) - sum(e.inside), needed: (cache) => (free > 0 ? (cache + sum(e.inside)) / free : Infinity) };
  };
  // The cache of the rank that has most, page by page; fractions as numerator and denominator.
  const layout = (e, p, state, tokens) => {
    const model = p.model, cut = model.ranks[`${state.tp}/${state.ep}`], f = AM.fn(cut.kv), rows = cut.state.length;
    const kept = (row, m) => f(m)[row], whole = model.serving.whole.includes(platform(state)), states = Math.trunc(AM.data.formats[(model.state === "bf16" && e.states) || model.state][0]);
    const stage = (times) => times.flatMap((layers, row) => {
      if (!layers || !row || row === rows - 1) return [];
      const [conv, edged, index] = model.serving.cache[row - 1], rowBytes = AM.data.cacheRows[p.kv], free = whole && edged !== null, window = free ? null : edged;
      const at = free ? (k, m) => kept(k, 1) * m : kept;
      const [num, den] = rowBytes !== undefined && at(row, 1) ? [rowBytes * 32 + index * 33, 32 * at(row, 1)] : [Math.trunc(AM.data.formats[rowBytes === undefined ? p.kv : model.own][0]), 64];
      const edge = window === null ? FAR : window, held = at(row, edge), tail = Math.ceil(conv / state.tp);
      const fixed = tail * 2 + Math.ceil(((cut.state[row] - tail) * states) / 64);
      return [{ layers, window, state: fixed, grows: held > 0, growing: [num * held, den * edge], at: (m) => Math.ceil((at(row, m) * num) / den) + fixed }];
    });
    const most = (pick) => Math.max(0, ...pick);
    const made = (layers) => {
      const keys = layers.reduce((a, l) => (l.growing[0] / l.growing[1] > a[0] / a[1] ? l.growing : a), [0, 1]), paged = e.pages && keys[0];
      const largest = most(layers.map((l) => l.state));
      const block = paged && largest ? Math.max(e.block, e.block * Math.ceil((largest * keys[1]) / (keys[0] * e.block))) : e.block;
      const page = Math.ceil((keys[0] * block) / keys[1]);
      const held = (l, m) => {
        if (!l.grows) return e.copies * (paged && l.state ? page : l.at(m));
        const kept = l.window === null ? m : Math.min(m, l.window + (e.extra ? tokens : 0)), pages = up(kept, block);
        return l.window === null ? l.at(pages) : Math.ceil((l.growing[0] * pages) / l.growing[1]) + l.state;
      };
      const request = (m) => layers.reduce((sum, l) => sum + l.layers * held(l, m), 0);
      const counts = new Map();
      for (const l of layers) if (l.grows || (l.state && e.pages)) { const key = `${l.grows}/${l.window}`; counts.set(key, (counts.get(key) || 0) + l.layers); }
      const sizes = [...counts.values()], few = Math.min(...sizes), many = Math.max(...sizes), together = many < few * 1.25 ? many : few;
      return {
        block, request, page: sizes.length > 1 ? page * together : layers.reduce((sum, l) => sum + l.layers * Math.ceil((l.growing[0] * block) / l.growing[1]), 0), groups: sizes.reduce((sum, k) => sum + Math.ceil(k / together), 0),
        perToken: layers.reduce((sum, l) => sum + Math.floor((l.layers * (l.at(2 * FAR) - l.at(FAR))) / FAR), 0),
      };
    };
    return p.spreadTimes.map((times) => made(stage(times))).reduce((a, b) => (b.request(FAR) > a.request(FAR) ? b : a));
  };
  const requests = (bytes, l, m) => (l.request(m) ? Math.floor(Math.max(bytes, 0) / l.request(m)) : 0);
  const count = (e, bytes, l, m) => {
    if (bytes <= 0) return 0;
    if (!l.page) return requests(bytes, l, m || FAR) * (m || FAR);
    const pages = Math.floor(bytes / l.page);
    if (l.groups <= 1 || e.by === "groups") return Math.floor(pages / l.groups) * l.block;
    return Number((BigInt(pages * l.page) * BigInt(m || FAR)) / BigInt(l.request(m || FAR)));
  };
  const longest = (fits, most) => {
    let low = 0, high = most;
    while (low < high) { const mid = Math.floor((low + high + 1) / 2); if (fits(mid)) low = mid; else high = mid - 1; }
    return low;
  };
  const serve = (state, p) => {
    const e = of(state), usable = p.place.usable, name = `${state.engine}/${p.place.vendor.toLowerCase() === "amd" ? "rocm" : "cuda"}`;
    const pads = p.model.serving.pad, key = `/${state.tp}/${state.ep}/${state.weights || "stored"}`;
    if (pads[name + key] === null || pads[`${state.engine}/cuda${key}`] === null) throw new Error(`${e.title} pads or leaves with the host weights of a configuration given here: attometer plan config.json --engine ${state.engine}`);
    const padded = p.place.kind === "cpu" ? 0 : pads[name + key] ?? (AM.data.engines[name] ? 0 : pads[`${state.engine}/cuda${key}`]) ?? 0;
    const found = pool(e, p.model, state, usable, p.spreadWeights + Math.floor(padded / (state.tp * state.pp)) + (e.tables ? p.model.serving.tables : 0));
    const l = layout(e, p, state, found.tokens), left = found.bytes, m = state.context;
    const cache = (m, b) => Math.ceil(b / state.dp) * l.request(m);
    const terms = Object.values(found.terms).reduce((a, b) => a + b), total = (m, b) => terms + cache(m, b), taken = cache(m, state.batch);
    const largest = left > 0 ? longest((k) => l.request(k) <= left, FAR) : 0;
    return {
      engine: e, pool: found, layout: l, left, tokens: count(e, left, l, m), requests: requests(left, l, m), alone: largest, cache: taken, total, room: terms + left,
      fits: left >= taken && left > 0, needed: found.needed(taken), bytes: { ...found.terms, kv: taken },
      largest: (b) => (left > 0 ? longest((k) => cache(k, b) <= left, FAR) : 0),
    };
  };
  return { serve, step, of };
})();
const RECIPE = (() => {
  const PARTS_OF = { recompute: ["none", "selective", "full", "offloaded"], loss: ["whole", "chunked", "fused"], compiled: ["false", "true"] };
  // A recipe as the command spells it, `lora,lora_rank=64,optimizer=lion`; null where there is none of the name or no such part.
  const of = (text) => {
    const [name, ...parts] = text.split(","), r = { ...AM.data.recipes[name] };
    if (!r.name) return null;
    const base = r.rank;
    for (const part of parts) {
      const [key, value = "true"] = part.split("=");
      if (key === "lora_rank" && base && /^[1-9]\d{0,3}$/.test(value)) r.rank = +value;
      else if (key === "optimizer" ? AM.data.optimizers[value] : (PARTS_OF[key] || []).includes(value)) r[key] = key === "compiled" ? value === "true" : value;
      else return null;
    }
    const [eager, compiled, selective, adapters] = r.keeps, share = r.compiled ? compiled : eager;
    return { ...r, base, states: AM.data.optimizers[r.optimizer][r.state], kept: (r.rank ? Math.min(share, adapters) : share) * (r.recompute === "selective" ? selective : 1) };
  };
  // What the passes of a recipe are: the formats, what is computed again, bytes moved by the optimizer per parameter.
  const asked = (state) => {
    const r = of(state.recipe);
    const again = state.checkpoint && r.recompute === "none" ? "full" : r.recompute;
    return {
      r, recompute: again, update: Math.trunc(2 * (r.gradients + r.states + r.master)),
      state: { ...state, weights: r.weights === "fp32" ? "" : r.weights, checkpoint: again === "full", frozen: r.rank > 0 },
    };
  };
  // Parameters of a rank by row: dense and routed ones; of a head that stands beside the embedding, and on a stage of its own.
  const parametersOf = (model, cut) => cut.stored.map((row, k) => {
    const found = { dense: 0, routed: 0, apart: 0 };
    row.forEach(([pair, copies], j) => {
      const [index, tied] = model.stored[k][j], count = WEIGHTS.elements(model, pair, copies).reduce((a, b) => a + b);
      found[tied ? "apart" : model.parts[index][4] ? "routed" : "dense"] += count;
    });
    return found;
  });
  const stage = (model, state, { r, recompute }, rows, saved, times, number, m, batch) => {
    const GIB = 2 ** 30, s = model.serving, { tp, pp, dp, zero } = state, stream = batch * m * model.width, last = rows.length - 1;
    const inner = saved.map((v, k) => (k === 0 || k === last ? 0 : v)), all = inner.reduce((sum, v, k) => sum + times[k] * v, 0), layers = times.reduce((a, b) => a + b) - times[0] - times[last];
    const dense = rows.reduce((sum, row, k) => sum + times[k] * (row.dense + (pp > 1 && k === last ? row.apart : 0)), 0), routed = rows.reduce((sum, row, k) => sum + times[k] * row.routed, 0);
    const trained = r.rank ? [Math.ceil((s.adapters[r.name] * r.rank) / r.base / (tp * pp)), 0] : [dense, routed];
    // A pipeline under FSDP leaves weights gathered and adds gradients up whole.
    const whole = zero === 3 && pp > 1 && dp > 1, ends = times[last] > 0;
    // Dense and routed weights are rounded up apart, as ranks hold them apart.
    const divided = (level, counts, each) => counts.reduce((sum, count) => sum + Math.ceil((each * count) / (zero >= level ? dp : 1)), 0);
    const kept = Math.trunc(2 * (recompute === "offloaded" ? 2 * stream : recompute === "full" ? layers * stream : r.kept * all) * Math.min(pp, pp - number));
    const layer = 2 * Math.max(0, ...inner.filter((_, k) => times[k])), each = Math.floor((batch * m * s.vocabulary) / tp);
    const logits = !ends || r.loss === "fused" ? 0 : r.loss === "chunked" ? Math.ceil(each * (2 + 4 / r.chunks)) : Math.trunc(each * r.logit);
    const width = { bf16: 2, fp16: 2, fp32: 4 }[r.weights] || s.held[r.weights] / model.parameters;
    const weights = divided(3, [dense, routed], width) + (r.rank ? 2 * trained[0] : 0);
    const master = divided(1, trained, r.master), optimizer = divided(1, trained, r.states), gradients = divided(whole ? 4 : 2, trained, r.gradients);
    const head = r.rank || !ends ? 0 : Math.ceil((r.gradients * s.vocabulary * model.width) / tp), accumulate = r.accumulate || pp > 1;
    const every = r.fused ? 0 : gradients, early = accumulate ? every : Math.min(head, gradients);
    const loss = logits + (accumulate ? 0 : early) >= layer, begin = kept + early + (loss ? logits : layer);
    const peak = begin >= every + layer ? (loss ? [early, kept, logits] : [early, kept + layer, 0]) : [every, layer, 0];
    const scratch = divided(1, trained, r.scratch), inStep = every + scratch > peak.reduce((a, b) => a + b);
    const [g, activations, printed] = scratch && inStep ? [every, 0, 0] : peak;
    const largest = Math.max(...rows.map((row, k) => (k && k < last && times[k] ? row.dense + row.routed : 0)));
    const gathered = zero === 3 && dp > 1 ? 2 * (whole ? dense + routed : 2 * largest) : 0;
    const found = { weights, master, optimizer, gradients: g, activations, logits: printed, ...(r.scratch ? { scratch: inStep ? scratch : 0 } : {}), gathered };
    const allocated = Object.values(found).reduce((a, b) => a + b);
    return { ...found, slack: Math.trunc(r.slack * allocated), runtime: Math.trunc(r.runtime * GIB) };
  };
  const sum = (found) => Object.values(found).reduce((a, b) => a + b);
  // The fullest rank of a placement, while it trains a micro-batch: of one sequence where there are several devices.
  const train = (state, model) => {
    const how = asked(state), { r } = how, several = PLACE.count(state) > 1, s = model.serving;
    if ((r.rank && s.adapters[r.name] === undefined) || (!["bf16", "fp16", "fp32"].includes(r.weights) && s.held[r.weights] === undefined)) throw new Error(`${r.name} of a configuration given here is the command's: attometer plan config.json --mode train --recipe ${r.name}`);
    if (several && state.batch % state.dp) throw new Error(`batch ${state.batch} is no multiple of micro_batch 1 x dp ${state.dp}`);
    const cut = PLACE.cutOf(state, model), rank = PARTS.rank(model, cut, state.ep, "prefill"), rows = parametersOf(model, cut), held = PLACE.heldBy(state, model);
    const terms = (m, b) => {
      const once = several ? 1 : b, saved = rank.saved(once, m, m);
      return held.map(({ times }, k) => stage(model, state, how, rows, saved, times, k, m, once)).reduce((a, one) => (sum(one) > sum(a) ? one : a));
    };
    return { how, bytes: terms(state.context, state.batch), total: (m, b) => sum(terms(m, b)) };
  };
  return { of, asked, train, PARTS_OF };
})();
