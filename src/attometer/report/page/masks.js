"use strict";
// Masks typed in the page: read as `program/mask_reader.py` and `program/comparisons.py` read them, counted row by row where rows are
// unlike, and by whole periods where they are alike.
const MASKS = (() => {
  const fail = (text) => { throw new Error(text); };
  const OTHER = "the page counts masks of i - j, j, (i - j) % s and chunks; attometer show counts every mask";
  const FLIPPED = { "<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!=" };
  const MOST_ROWS = 2 ** 16;
  // ------------------------------------------------ sizes: sums of names and numbers, numbers under "1"
  const plus = (a, b, times = 1) => {
    const found = { ...a };
    for (const [key, v] of Object.entries(b)) found[key] = (found[key] || 0) + times * v;
    return Object.fromEntries(Object.entries(found).filter(([, v]) => v).sort());
  };
  const number = (v) => plus({}, { 1: v }), constant = (form) => (Object.keys(form).every((k) => k === "1") ? form["1"] || 0 : null);
  // Whether a sum is never negative; sizes are at least 1.
  const never = (form) => Object.entries(form).every(([k, v]) => k === "1" || v > 0) && Object.values(form).reduce((a, b) => a + b, 0) >= 0;
  const valueOf = (form, sizes) => Object.entries(form).reduce((sum, [k, v]) => sum + v * (k === "1" ? 1 : sizes[k] ?? NaN), 0);
  // ------------------------------------------------ reading
  const and = (...parts) => ({ op: "and", parts }), or = (...parts) => ({ op: "or", parts });
  const band = (left, right) => ({ op: "band", left, right });
  const inverse = (m) => (m.op === "not" ? m.part : { op: "not", part: m });
  // Of a comparison: what is not at most at the query comes before it.
  const not = (m) => (m.op === "band" && m.right === null && m.left && constant(m.left) === 0 ? { op: "strict" } : inverse(m));
  const atLeastOne = (name, form) => { const v = constant(form); if (v !== null && v < 1) fail(`${name} is at least 1, got ${v}`); return form; };
  const NAMED = {
    causal: [0, () => band(null, {})], strict: [0, () => ({ op: "strict" })], window: [1, (w) => band(plus(atLeastOne("a window", w), number(-1)), {})], band: [2, band],
    block_causal: [1, (c) => ({ op: "block_causal", c: atLeastOne("a chunk", c) })], chunked: [1, (c) => ({ op: "chunked", c: atLeastOne("a chunk", c) })],
    prefix: [1, (p) => ({ op: "prefix", p: atLeastOne("a prefix", p) })], strided: [1, (s) => ({ op: "strided", s: atLeastOne("a stride", s) })], global: [1, (g) => ({ op: "global", g: atLeastOne("a global count", g) })],
  };
  const looksBack = (m) => (m.parts ? m.parts.some(looksBack) : m.op === "strict" || (m.op === "band" && m.right !== null && constant(m.right) === 0));
  // One line's mask over the indices in `order`, sizes of axes as text in `axes`; `reader` has peek(k), take(want) and rest().
  const read = (reader, order, axes) => {
    const sizeOf = (name) => { const s = axes.get(name) ?? name; return /^\d/.test(s) ? number(+s) : { [s]: 1 }; };
    const from = reader.at(), refuse = () => fail(`mask "${reader.since(from)}": ${OTHER}`), rest = reader.left();
    const named = rest.flatMap((t, k) => (/^[a-z_]\w*$/i.test(t) && t !== "abs" && t !== "pos" && rest[k + 1] === "(" && rest[k + 3] === "," ? [[rest[k + 2], rest[k + 4]]] : []));
    const own = named[0] || [...new Set(order)].filter((i) => rest.includes(i));
    if (own.length !== 2) fail(`a mask is over two indices of the statement, got ${own.join(", ") || "none"}`);
    if (named.some(([q, k]) => q !== own[0] || k !== own[1])) fail("masks of one line stand over the same two indices");
    const is = (t, k = 0) => reader.peek(k) === t, skip = (t) => is(t) && (reader.take(t), true);
    const value = () => {
      let t = reader.take();
      if (t === "(") { const e = sum(); reader.take(")"); return e; }
      if (t === "-") return { op: "-", l: { n: 0 }, r: value() };
      if (/^\d+$/.test(t ?? "")) return { n: +t };
      if (!/^[A-Za-z_]/.test(t ?? "") || is("[")) return refuse();
      if (!is("(")) return { v: t };
      if (!["abs", "pos"].includes(t)) return refuse();
      reader.take("("); const e = sum(); reader.take(")");
      return t === "abs" ? { abs: e } : e;
    };
    const chain = (next, signs) => () => { let e = next(); while (signs.includes(reader.peek(0))) e = { op: reader.take(), l: e, r: next() }; return e; };
    const product = chain(value, ["*", "//", "%"]), sum = chain(product, ["+", "-"]);
    const linear = (e) => {
      if (e.n !== undefined) return number(e.n);
      if (e.v) return own.includes(e.v) ? { [`@${e.v}`]: 1 } : sizeOf(e.v);
      const [a, b] = [e.l && linear(e.l), e.r && linear(e.r)];
      if (!a || !b) return null;
      if (e.op === "+" || e.op === "-") return plus(a, b, e.op === "+" ? 1 : -1);
      if (e.op !== "*") return null;
      const [k, other] = constant(a) !== null ? [constant(a), b] : [constant(b), a];
      return k === null ? null : plus({}, other, k);
    };
    const size = () => linear(sum()) || refuse();
    // Comparisons over a query and a key.
    const over = ([query, key]) => {
      const ahead = plus(sizeOf(key), sizeOf(query), -1);
      const parts = (e) => {
        const found = linear(e);
        if (!found) return null;
        const { [`@${query}`]: one = 0, [`@${key}`]: other = 0, ...others } = found;
        return [one, other, plus(others, ahead, -one)];
      };
      const atMost = (d) => {
        if (never(d)) return band(d, null);
        const before = plus(number(-1), d, -1);
        return never(before) ? not(band(null, before)) : fail(`whether a distance is negative depends on sizes${Object.keys(ahead).length ? `: of unlike sizes causal is ${key} <= ${query} + ${axes.get(key) ?? key} - ${axes.get(query) ?? query}` : ""}`);
      };
      const against = (op, bound, most) => {
        if (op === "==" || op === "!=") { const at = and(most(bound), not(most(plus(bound, number(-1))))); return op === "==" ? at : not(at); }
        const found = most(op === "<=" || op === ">" ? bound : plus(bound, number(-1)));
        return op[0] === "<" ? found : not(found);
      };
      const distance = (op, l, r) => {
        let found = parts({ op: "-", l, r });
        if (!found) return null;
        if ((found[0] === -1 && found[1] === 1) || (!found[0] && found[1] === -1)) { found = [-found[0], -found[1], plus({}, found[2], -1)]; op = FLIPPED[op]; }
        const [one, other, rest] = found, bound = plus({}, rest, -1);
        if (one === 1 && other === -1) return against(op, bound, atMost);
        if (one || other !== 1) return null;
        if (!Object.keys(rest).length) op = { "==": "<=", "!=": ">" }[op] || op;
        return against(op, bound, (last) => ({ op: "prefix", p: atLeastOne("a prefix", plus(last, number(1))) }));
      };
      const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
      const chunks = (op, l, r) => {
        if (l.op !== "//" || r.op !== "//") return null;
        const c = linear(l.r), other = linear(r.r), sides = [parts(l.l), parts(r.l)];
        if (!c || !same(c, other)) return null;
        if (same(sides, [[0, 1, {}], [1, 0, {}]])) op = FLIPPED[op];
        else if (!same(sides, [[1, 0, {}], [0, 1, {}]])) return null;
        const one = NAMED.chunked[1](c), before = NAMED.block_causal[1](c);
        return { "==": one, "!=": not(one), ">=": before, "<": not(before), ">": and(before, not(one)), "<=": or(not(before), one) }[op];
      };
      const stride = (op, l, r) => {
        if (!["==", "!="].includes(op) || r.n !== 0 || l.op !== "%") return null;
        const at = parts(l.l), s = linear(l.r);
        if (!s || !(same(at, [1, -1, {}]) || same(at, [-1, 1, {}]))) return null;
        return op === "==" ? NAMED.strided[1](s) : not(NAMED.strided[1](s));
      };
      const comparison = (op, l, r) => {
        if (r.abs) [op, l, r] = [FLIPPED[op], r, l];
        if (l.abs && op !== "==" && op !== "!=") {
          const below = { "<": "<", "<=": "<=", ">": "<=", ">=": "<" }[op], found = and(comparison(below, l.abs, r), comparison(FLIPPED[below], l.abs, { op: "-", l: { n: 0 }, r }));
          return below === op ? found : not(found);
        }
        return chunks(op, l, r) || stride(op, l, r) || distance(op, l, r) || refuse();
      };
      const compares = () => {
        for (let depth = 0, k = 0; ; k++) {
          const t = reader.peek(k);
          if (t === undefined || (!depth && "&|)".includes(t))) return false;
          if (!depth && "<>=!".includes(t)) return true;
          depth += "([".includes(t) ? 1 : ")]".includes(t) ? -1 : 0;
        }
      };
      const comparisons = () => {
        let left = sum();
        const found = [];
        while ("<>=!".includes(reader.peek(0) ?? " ")) {
          let op = reader.take();
          if (is("=")) op += reader.take();
          if (!FLIPPED[op]) refuse();
          const right = sum();
          found.push(comparison(op, left, right)); left = right;
        }
        return found.length === 1 ? found[0] : and(...found);
      };
      const atom = () => {
        const name = reader.take(), known = NAMED[name];
        if (!/^[A-Za-z_]/.test(name ?? "")) fail(`expected a mask, found "${name ?? "the end of the line"}"`);
        if (!known) fail(`mask "${name}": ${OTHER}`);
        reader.take("("); reader.take(query); reader.take(","); reader.take(key);
        const given = [];
        while (skip(",")) given.push(skip("*") ? null : size());
        reader.take(")");
        if (given.length !== known[0] || (name !== "band" && given.includes(null))) fail(`${name} takes ${known[0]} size${known[0] === 1 ? "" : "s"} after its indices`);
        return known[1](...given);
      };
      const single = () => {
        if (compares()) return comparisons();
        if (skip("~")) return inverse(single());
        if (skip("(")) { const m = any(); reader.take(")"); return m; }
        return atom();
      };
      const joined = (next, sign, join) => () => { const parts = [next()]; while (skip(sign)) parts.push(next()); return parts.length === 1 ? parts[0] : join(...parts); };
      const any = joined(joined(single, "&", and), "|", or);
      return any();
    };
    // With as many queries as keys a relation may be read from either side: as one that looks back, if it is.
    const sides = named.length || Object.keys(plus(sizeOf(own[0]), sizeOf(own[1]), -1)).length ? [own] : [own, [own[1], own[0]]], found = [];
    let wrong = null;
    for (const pair of sides) {
      reader.to(from);
      try { found.push({ query: pair[0], key: pair[1], mask: over(pair), end: reader.at() }); } catch (error) { wrong ||= error; }
    }
    if (!found.length) throw wrong;
    const one = found.find((f) => looksBack(f.mask)) || found[0];
    reader.to(one.end);
    return { query: one.query, key: one.key, mask: one.mask, text: reader.since(from) };
  };
  // ------------------------------------------------ counting
  const atoms = (m) => (m.parts ? m.parts.flatMap(atoms) : m.op === "not" ? atoms(m.part) : [m]);
  const names = (m) => [...new Set(atoms(m).flatMap((a) => Object.values(a).flatMap((f) => (f && typeof f === "object" ? Object.keys(f) : []))).filter((k) => k !== "1"))];
  const at = (m, sizes) => {
    if (m.parts) return { op: m.op, parts: m.parts.map((p) => at(p, sizes)) };
    if (m.op === "not") return { op: "not", part: at(m.part, sizes) };
    return Object.fromEntries(Object.entries(m).map(([k, f]) => [k, k === "op" ? f : f === null ? Infinity : valueOf(f, sizes)]));
  };
  const common = (a, b) => { let [x, y] = [a, b]; while (y) [x, y] = [y, x % y]; return (a / x) * b; };
  // Whether the query at position p sees key j; of strides only those in `met` divide the distance.
  const sees = (m, p, j, met) => {
    switch (m.op) {
      case "and": return m.parts.every((x) => sees(x, p, j, met));
      case "or": return m.parts.some((x) => sees(x, p, j, met));
      case "not": return !sees(m.part, p, j, met);
      case "band": return p - j <= m.left && j - p <= m.right;
      case "strict": return j < p;
      case "block_causal": return Math.floor(p / m.c) >= Math.floor(j / m.c);
      case "chunked": return Math.floor(p / m.c) === Math.floor(j / m.c);
      case "prefix": return j < m.p;
      case "global": return p < m.g || j < m.g;
      case "early": return p < m.g;
      case "strided": return met.includes(m.s);
    }
  };
  // Where what a row sees changes: keys that stand still, and how far keys that move with the query are from it at least and at most.
  const EDGES = {
    band: (a) => [[], [[-a.left, -a.left], [a.right + 1, a.right + 1]]], strict: () => [[], [[0, 0]]], block_causal: (a) => [[], [[1, a.c]]], chunked: (a) => [[], [[1 - a.c, 0], [1, a.c]]],
    prefix: (a) => [[a.p], []], global: (a) => [[a.g], [[0, 0]]], early: (a) => [[a.g], [[0, 0]]], strided: () => [[], []],
  };
  // The same pairs, of which the keys are the rows.
  const TURNED = {
    band: (a) => ({ op: "band", left: a.right, right: a.left }), strict: () => ({ op: "not", part: { op: "band", left: Infinity, right: 0 } }), prefix: (a) => ({ op: "early", g: a.p }),
    block_causal: (a) => ({ op: "or", parts: [{ op: "not", part: a }, { op: "chunked", c: a.c }] }), chunked: (a) => a, strided: (a) => a, global: (a) => a,
  };
  const turned = (m) => (m.parts ? { op: m.op, parts: m.parts.map(turned) } : m.op === "not" ? { op: "not", part: turned(m.part) } : TURNED[m.op](m));
  const subsets = (list) => list.reduce((all, x) => [...all, ...all.map((s) => [...s, x])], [[]]);
  const counts = new Map();
  // Pairs, rows that have one, and the most that a row has, of n queries and m keys; a row is a query's, or a key's.
  const count = (mask, sizes, n, m, ofKeys = false) => {
    const one = at(mask, sizes), key = `${JSON.stringify(one)}/${n}/${m}/${ofKeys}`;
    if (!counts.has(key)) counts.set(key, ofKeys ? counted(turned(one), [0, m], [m - n, m]) : counted(one, [m - n, m], [0, m]));
    return counts.get(key);
  };
  const counted = (mask, [first, last], [from, to]) => {
    const all = atoms(mask), strides = [...new Set(all.filter((a) => a.op === "strided").map((a) => a.s))], met = subsets(strides).map((set) => [set, set.reduce(common, 1)]);
    const period = all.map((a) => a.c || a.s || 1).reduce(common, 1);
    const still = [from, to, ...all.flatMap((a) => EDGES[a.op](a)[0])], moving = all.flatMap((a) => EDGES[a.op](a)[1]).filter(([o]) => Number.isFinite(o));
    const keysIn = (p, low, high, step) => { const r = ((p % step) + step) % step; return Math.floor((high - 1 - r) / step) - Math.floor((low - 1 - r) / step); };
    const row = (p) => {
      const cuts = [from, to];
      const cut = (v) => { if (v > from && v < to) cuts.push(v); };
      for (const a of all) {
        if (a.op === "band") { cut(p - a.left); cut(p + a.right + 1); } else if (a.op === "strict") cut(p);
        else if (a.c) { const first = Math.floor(p / a.c) * a.c; cut(first); cut(first + a.c); } else cut(a.p ?? a.g ?? from);
      }
      cuts.sort((x, y) => x - y);
      let keys = 0;
      for (let k = 1; k < cuts.length; k++) {
        const low = cuts[k - 1], high = cuts[k];
        if (low === high) continue;
        for (const [set] of met) {
          if (!sees(mask, p, low, set)) continue;
          // Keys at distances that these strides divide, and no other.
          for (const [more, step] of met) if (set.every((s) => more.includes(s))) keys += ((more.length - set.length) % 2 ? -1 : 1) * keysIn(p, low, high, step);
        }
      }
      return keys;
    };
    let pairs = 0, empty = 0, longest = 0;
    const edges = [...new Set([first, last, ...still.flatMap((v) => [v, ...moving.flatMap(([least, most]) => [v - most, v - least + 1])])].filter((p) => p >= first && p <= last))].sort((a, b) => a - b);
    if (edges.slice(1).reduce((sum, p, k) => sum + Math.min(p - edges[k], 2 * period), 0) > MOST_ROWS) fail("these sizes repeat too late to be counted here; attometer show counts them");
    for (let k = 1; k < edges.length; k++) {
      const low = edges[k - 1], rows = edges[k] - low;
      if (rows <= 2 * period) { for (let p = low; p < edges[k]; p++) { const c = row(p); pairs += c; empty += !c; longest = Math.max(longest, c); } continue; }
      for (let t = 0; t < period; t++) {
        // A row sees each period as many keys more as the one before it.
        const c = row(low + t), more = row(low + t + period) - c, times = Math.floor((rows - 1 - t) / period) + 1;
        pairs += times * c + (more * times * (times - 1)) / 2; longest = Math.max(longest, c, c + more * (times - 1));
        empty += more ? +(Number.isInteger(-c / more) && -c / more >= 0 && -c / more < times) : c ? 0 : times;
      }
    }
    return { pairs, rows: last - first - empty, longest };
  };
  // Rows of a picture of n queries, four keys a digit.
  const picture = (mask, sizes, n) => {
    const m = at(mask, sizes), strides = atoms(m).filter((a) => a.op === "strided").map((a) => a.s);
    const bits = (i) => Array.from({ length: n }, (_, j) => (sees(m, i, j, strides.filter((s) => (i - j) % s === 0)) ? 1 : 0));
    return Array.from({ length: n }, (_, i) => { const b = bits(i).join(""); return b.match(/.{4}/g).map((four) => parseInt(four, 2).toString(16)).join(""); });
  };
  // How far a band reaches back and forward, or null; bands meet in a band.
  const reach = (mask, sizes) => {
    const of = (m) => {
      if (m.op === "band") return [m.left, m.right];
      const parts = m.op === "and" ? m.parts.map(of) : [null];
      return parts.includes(null) ? null : [Math.min(...parts.map((r) => r[0])), Math.min(...parts.map((r) => r[1]))];
    };
    return of(at(mask, sizes));
  };
  return { read, count, names, picture, reach };
})();
