"use strict";
// Bytes of weights: elements of the texts at their sizes, in the format that each part of each layer is stored in.
const WEIGHTS = (() => {
  const stored = (elements, name) => Math.ceil((elements * AM.data.formats[name][0]) / 64);
  const elements = (model, pair, copies) => { const [text, sizes] = model.texts[pair]; return AM.fn(AM.data.texts[text].weights)(...sizes).map((v) => v * copies); };
  // How a format is asked of a model: its name, what is no matrix, and the format of a name in a row, as runs of layers.
  const form = (model, key) => {
    const w = model.weights, [name, rest, pattern, whole] = w.as[key], rows = w.patterns[pattern];
    const of = (row, part) => { const found = rows[row][w.names[row].indexOf(part)]; return (Array.isArray(found) ? found : [[found, 1]]).map(([own, times]) => [own || name, times]); };
    return { name, rest, whole, of };
  };
  const tied = (f) => f.of(0, "embedding");
  const kept = (model, name, make) => ((model.memo ||= {})[name] ||= make());
  const layersOf = (model) => model.phases.prefill.map((row) => row[1]);
  // Every weight once, by the format it is in.
  const held = (model, key) => kept(model, `held ${key}`, () => {
    const f = form(model, key), formats = {}, add = (name, times, count) => { if (count) formats[name] = (formats[name] || 0) + times * stored(count, name); };
    model.stored.forEach((row, k) => row.forEach(([index, isTied]) => {
      const [pair, name, , copies] = model.parts[index], [matrices, rest] = isTied ? [0, 0] : elements(model, pair, copies), forms = f.of(k, name);
      for (const [own, times] of forms) add(own, forms.length > 1 ? times : layersOf(model)[k], matrices);
      add(f.rest, layersOf(model)[k], rest);
    }));
    const tower = f.whole ? model.tower : 0, total = Object.values(formats).reduce((a, b) => a + b, 0) + tower;
    return { name: f.name, total, tower, formats };
  });
  // What a part reads of its own weights in one layer of a row, the mean of its layers, and the rates that its formats name.
  const read = (model, key, row, part) => {
    const f = form(model, key), [matrices, rest] = elements(model, part.pair, part.copies), forms = part.tied ? tied(f) : f.of(row, part.name);
    const layers = forms.reduce((sum, [, times]) => sum + times, 0);
    const bytes = matrices ? Math.floor(forms.reduce((sum, [own, times]) => sum + times * stored(matrices, own), 0) / layers) : 0;
    return { bytes: bytes + stored(rest, f.rest), rates: [...new Set((matrices ? forms.map(([own]) => own) : [f.rest]).map((own) => AM.data.formats[own][1]))] };
  };
  // Bytes of a rank: of the embedding, of each layer, of the head beside the embedding and on a stage of its own.
  const ofRank = (model, cut, degrees, key) => kept(model, `rank ${degrees} ${key}`, () => {
    const f = form(model, key), last = model.stored.length - 1;
    const row = (k, layer, apart) => cut.stored[k].reduce((sum, [pair, copies], j) => {
      const [index, isTied] = model.stored[k][j];
      if (isTied && !apart) return sum;
      const [matrices, rest] = elements(model, pair, copies), runs = isTied ? tied(f) : f.of(k, model.parts[index][1]);
      let left = layer, own = runs[0][0];
      if (runs.length > 1) for (const [name, times] of runs) { own = name; if (left < times) break; left -= times; }
      return sum + stored(matrices, own) + stored(rest, f.rest);
    }, 0);
    const seen = model.stored.map(() => 0), known = {};
    const layers = model.stacks.map((k) => {
      const n = seen[k]++, several = model.weights.patterns[model.weights.as[key][2]][k].some(Array.isArray);
      return several ? row(k, n, false) : (known[k] ??= row(k, n, false));
    });
    return { first: row(0, 0, false), layers, last: row(last, 0, false), apart: row(last, 0, true) };
  });
  return { held, read, ofRank, elements };
})();
