"use strict";
// What parts cost: the formulas of their texts at their sizes, and what a plan makes of them, as `plan.formulas` does in Python.
const PARTS = (() => {
  const SERVED = { flops: 0, moved: 1, cached: 2, live: 3 }, TRAINED = { saved: 0, outputs: 1, backward_flops: 2, backward_moved: 3, frozen_flops: 4, frozen_moved: 5 };
  // The quantities of one pair of text and sizes; the last ones are kept, since memory and time ask for the same.
  const pair = (model, k, which, b, n, m) => {
    const one = ((model.made ||= [])[k] ||= {}), kept = (one[which] ||= { f: AM.fn(AM.data.texts[model.texts[k][0]][which]), b: 0 });
    if (kept.m !== m || kept.n !== n || kept.b !== b) Object.assign(kept, { b, n, m, found: kept.f(b, n, m, m, ...model.texts[k][1]) });
    return kept.found;
  };
  const at = (model, part, which, b, n, m) => pair(model, part.short && m <= part.short[0] ? part.short[1] : part.pair, which, b, n, m);
  // Elements that exist at once, or that the backward pass needs: where attention is naive its scores and probabilities are among them.
  const heldBy = (model, part, naive, quantity, b, n, m) => {
    const k = part.short && m <= part.short[0] ? part.short[1] : part.pair, saved = quantity === "saved" ? 1 : 0;
    if (naive && AM.data.texts[model.texts[k][0]].naive) return pair(model, k, "naive", b, n, m)[saved];
    return saved ? pair(model, k, "trained", b, n, m)[TRAINED.saved] : pair(model, k, "served", b, n, m)[SERVED.live];
  };
  const read = ([pair, name, kind, copies, routed, rows, parameters, weights, tied, cached, short]) => ({ pair, name, kind, copies, routed, rows, parameters, weights, tied, cached, short });
  const stored = (elements, bits) => Math.ceil((elements * bits) / 64);
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  // Rows of a pass: what stands where, each distinct run of a part once.
  const runsOf = (model, phase) => {
    const rows = model.phases[phase] || model.phases.prefill, runs = [], known = new Map();
    const made = rows.map(([kind, layers, parameters, parts], k) => {
      const end = k === 0 ? "embedding" : k === rows.length - 1 ? "head" : "";
      const indices = parts.map((index) => {
        const key = `${index}/${k}`;
        if (!known.has(key)) { known.set(key, runs.length); runs.push({ ...read(model.parts[index]), row: k, end, times: 0 }); }
        runs[known.get(key)].times += layers;
        return known.get(key);
      });
      return [kind, layers, parameters, indices, k];
    });
    return { rows: made, runs };
  };
  // FLOPs of a prefill by other conventions: logits of all tokens, the whole square, both.
  const square = (model, b, n) => {
    const { runs } = runsOf(model, "prefill"), found = { all: 0, square: 0, both: 0 };
    for (const run of runs) {
      const one = (which, tokens) => {
        const [text, sizes] = model.texts[run.pair], texts = AM.data.texts[text];
        return run.times * run.copies * AM.fn(texts[which === "full" && texts.full ? "full" : "served"])(b, tokens, n, n, ...sizes)[0];
      };
      const last = run.end === "head" ? 1 : n;
      found.all += one("served", n); found.square += one("full", last); found.both += one("full", n);
    }
    return found;
  };
  // What a plan of one device evaluates: `asked` are mode, chunk, layout, bits of caches, activations, states and updates, frozen, again, naive.
  const formulas = (model, asked) => {
    const { mode, chunk, layout, kv, own, state, update, frozen, again, naive } = asked, train = mode === "train";
    const { rows, runs } = runsOf(model, mode === "decode" ? "decode" : "prefill"), caches = AM.fn(model.kv), last = rows.length - 1;
    const tokens = (m) => {
      const fresh = mode === "decode" ? 1 : m, now = mode === "prefill" ? Math.min(m, chunk) : fresh;
      return { fresh, now, chunks: mode === "prefill" ? Math.ceil(m / now) : 1 };
    };
    const keys = (k, held, m, b) => (layout && model.kept[k][2] ? b * m * (AM.data.cacheRows[layout] + (model.kept[k][3] ? model.kept[k][3] + 4 : 0)) : stored(b * held[k], kv));
    const states = (k, b) => stored(b * (model.kept[k][0] - model.kept[k][1]), state) + stored(b * model.kept[k][1], own);
    const inner = rows.slice(1, last);
    const savedOf = (row, b, n, m) => sum(row[3].map((k) => (runs[k].routed ? 1 : runs[k].copies) * heldBy(model, runs[k], naive, "saved", b, n, m)));
    const activations = (m, b) => {
      const { fresh, now } = tokens(m), word = stored(1, own);
      const live = Math.max(0, ...runs.filter((run) => run.end !== "head").map((run) => heldBy(model, run, naive, "live", b, now, m)));
      if (train) {
        const each = inner.map((row) => savedOf(row, b, fresh, m)), stream = b * now * model.width;
        const kept = again ? sum(inner.map((row) => row[1])) * stream + Math.max(0, ...each) : sum(inner.map((row, k) => row[1] * each[k]));
        const logits = sum(rows[last][3].map((k) => at(model, runs[k], "trained", b, fresh, m)[TRAINED.outputs]));
        return word * kept + word * live + 8 * logits;
      }
      const head = Math.max(0, ...rows[last][3].map((k) => heldBy(model, runs[k], naive, "live", b, 1, m)));
      return word * Math.max(b * now * model.width + live, b * model.width + head);
    };
    // Bytes of the cache and of states; of activations.
    const kinds = (m, b) => {
      if (train) return [0, 0, activations(m, b)];
      const held = caches(m);
      const all = layout ? sum(inner.map((row) => row[1] * keys(row[4], held, m, b))) : stored(b * sum(inner.map((row) => row[1] * held[row[4]])), kv);
      return [all, sum(inner.map((row) => row[1] * states(row[4], b))), activations(m, b)];
    };
    const weightsRead = (run, whole, b, fresh, chunks) => {
      const count = b * Math.ceil(fresh / chunks);
      if (run.routed) return Math.floor((whole * run.routed[1]) / run.routed[0]);
      return run.rows === null ? whole : Math.floor((whole * Math.min(count, run.rows)) / run.rows);
    };
    // FLOPs and bytes of one run of each part.
    const passes = (m, b, weighs) => {
      const { fresh: all, chunks } = tokens(m);
      return runs.map((run, k) => {
        const fresh = run.end === "head" && !train ? 1 : all, [once, activity, read] = at(model, run, "served", b, fresh, m), { copies } = run;
        const weights = chunks * weightsRead(run, weighs[k], b, fresh, chunks), cached = stored(Math.floor((copies * read * (chunks + 1)) / 2), kv);
        const flops = copies * once, moved = stored(copies * activity, own) + weights + cached;
        if (!train) return [flops, moved];
        const forward = again && !run.end ? 2 : 1, way = frozen ? "frozen" : "backward", back = at(model, run, "trained", b, fresh, m);
        const extra = forward * moved + stored(copies * back[TRAINED[`${way}_moved`]], own) + (frozen ? 1 : 2) * weights + cached;
        return [forward * flops + copies * back[TRAINED[`${way}_flops`]], extra + (frozen ? 0 : stored(run.parameters, update))];
      });
    };
    const cacheOf = (m, b) => { const held = caches(m); return rows.map((row) => (train ? 0 : keys(row[4], held, m, b) + states(row[4], b))); };
    return { rows, runs, kinds, passes, cacheOf };
  };
  // A rank's elements, `live` or `saved`, of one of its parts: [pair, tokens, copies kept, short].
  const ofRank = (model, [k, tokens, copies, short], quantity, ep, naive, b, n, m) => {
    if (tokens === 1) [b, n] = [b * n, 1];
    if (tokens > 1) [b, n] = [Math.ceil((b * n * (tokens - 1)) / ep), 1];
    return (quantity === "live" ? 1 : copies) * heldBy(model, { pair: k, short }, naive, quantity, b, n, m);
  };
  const rank = (model, cut, ep, phase, naive = false) => {
    const rows = cut.phases[phase] || cut.phases.prefill, kv = AM.fn(cut.kv);
    return {
      kv, live: (b, n, m) => rows.map((row) => Math.max(0, ...row.map((part) => ofRank(model, part, "live", ep, naive, b, n, m)))),
      saved: (b, n, m) => rows.map((row) => sum(row.map((part) => ofRank(model, part, "saved", ep, naive, b, n, m)))),
    };
  };
  // FLOPs in words, and the sizes in it.
  const words = (model, run) => {
    const [text, sizes] = model.texts[run.pair], { formula, sizes: names } = AM.data.texts[text];
    const used = names.map((name, k) => [name, sizes[k]]).filter(([name]) => new RegExp(`\\b${name}\\b`).test(formula));
    return `${run.copies > 1 ? `${run.copies} (${formula})` : formula}${used.length ? `   with ${used.map(([name, v]) => `${name} = ${v}`).join(", ")}` : ""}`;
  };
  return { formulas, square, rank, words };
})();
