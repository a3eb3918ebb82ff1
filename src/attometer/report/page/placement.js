"use strict";
// One model over several devices: the fullest rank, from the formulas of its layers as they are cut.
const PLACE = (() => {
  // Layers of each stage: what is left over goes to the stages before the last one, as in `pipeline_stages`.
  const stages = (layers, pp) => {
    const each = Math.floor(layers / pp), more = layers % pp, counts = Array.from({ length: pp }, (_, k) => each + (k >= pp - 1 - more && k < pp - 1 ? 1 : 0));
    let start = 0;
    return counts.map((count) => { start += count; return [start - count, start]; });
  };
  const said = (s) => ["tp", "pp", "ep", "dp", "zero"].filter((k) => s[k] > (k === "zero" ? 0 : 1)).map((k) => `${k} ${s[k]}`).join(" ");
  const count = (s) => s.tp * s.pp * s.dp;
  // The cut of a model that a state asks for, or why there is none.
  const cutOf = (s, model) => {
    const cut = model.ranks[`${s.tp}/${s.ep}`];
    if (cut === undefined) throw new Error(`ep ${s.ep} does not divide the experts of ${s.model} beside tp ${s.tp}`);
    if (typeof cut === "string") throw new Error(cut);
    if (s.pp > model.depth) throw new Error(`pp ${s.pp} needs at least ${s.pp} layers, the model has ${model.depth}`);
    return cut;
  };
  // How often each row of a model stands on each stage.
  const heldBy = (s, model) => stages(model.depth, s.pp).map(([from, to], k) => {
    const rows = model.stored.length, times = Array(rows).fill(0);
    for (let n = from; n < to; n++) times[model.stacks[n]]++;
    times[0] = k === 0 ? 1 : 0; times[rows - 1] = k === s.pp - 1 ? 1 : 0;
    return { from, to, times };
  });
  const spread = (s, p) => {
    const { model } = p, cut = cutOf(s, model), whole = model.ranks["1/1"];
    const phase = s.mode === "decode" ? "decode" : "prefill";
    const f = PARTS.rank(model, cut, s.ep, phase, s.schedule === "naive"), one = AM.fn(whole.kv);
    const { first, layers: bytes, last, apart } = WEIGHTS.ofRank(model, cut, `${s.tp}/${s.ep}`, s.weights || "stored"), rows = cut.state.length;
    const word = AM.data.formats[model.own][0] / 64;
    const held = heldBy(s, model).map(({ from, to, times }, k) => {
      let weights = bytes.slice(from, to).reduce((a, b) => a + b, 0) + (k === 0 ? first + p.held.tower : 0);
      if (k === s.pp - 1) weights += s.pp > 1 ? apart : last;
      return { times, weights };
    });
    const all = Array(rows).fill(0);
    for (const row of model.stacks) all[row]++;
    const sum = (times, values) => times.reduce((total, t, k) => total + t * values[k], 0);
    const stateOf = (times, each) => sum(times, each.state), allState = stateOf(all, whole);
    const memory = (m, batch) => {
      const b = Math.ceil(batch / s.dp), fresh = s.mode === "decode" ? 1 : Math.min(m, (s.mode === "prefill" && s.chunk) || m);
      const now = f.live(b, fresh, m), end = f.live(b, 1, m), kv = f.kv(m), wholeKv = sum(all, one(m)), device = p.kinds(m, 1);
      return held.map(({ times, weights }) => {
        const live = Math.max(0, ...now.slice(0, rows - 1).filter((_, k) => times[k]));
        const inside = b * fresh * model.width + live, head = times[rows - 1] ? b * model.width + end[rows - 1] : 0;
        const kvShare = wholeKv ? sum(times, kv) / wholeKv : 0, stateShare = allState ? stateOf(times, cut) / allState : 0;
        return [weights, Math.ceil(b * kvShare * device[1]), Math.ceil(b * stateShare * device[2]), Math.ceil(word * Math.ceil(Math.max(inside, head))), 0, 0];
      }).reduce((a, v) => (v.reduce((x, y) => x + y) > a.reduce((x, y) => x + y) ? v : a));
    };
    const total = (m, b) => memory(m, b).reduce((x, y) => x + y);
    const largest = (b) => {
      let low = 0, high = 1;
      while (high < AM.MOST && total(high, b) <= p.room) { low = high; high *= 2; }
      while (high - low > Math.max(1, Math.floor(low / 4096))) { const mid = Math.floor((low + high) / 2); if (total(mid, b) <= p.room) low = mid; else high = mid; }
      return low;
    };
    return { memory, total, largest, weights: Math.max(...held.map((h) => h.weights)), times: held.map((h) => h.times) };
  };
  return { spread, cutOf, heldBy, count, said };
})();
