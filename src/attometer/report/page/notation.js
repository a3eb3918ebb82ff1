"use strict";
// Notation typed in the page: work, depth, FLOPs and words held at sizes of products, sums, softmax and maps under masks (masks.js).
// It counts as `attometer count` does, and refuses by name what it does not know; `attometer show mine.att` counts every construct.
const NOTATION = (() => {
  const clog = (k) => { let c = 0; for (let p = 1; p < k; p *= 2) c++; return c; };
  const fail = (text) => { throw new Error(text); };
  const tokens = (text) => {
    const found = text.match(/\/\/|[A-Za-z_]\w*|\d+(?:\.\d+)?(?:e[+-]?\d+)?|[[\](),=+\-*/&:]|\S/g) || [];
    return { found, at: 0, peek: () => found[reader.at] };
  };
  let reader = null;
  const take = (want) => { const t = reader.found[reader.at]; if (want && t !== want) fail(`expected "${want}", found "${t ?? "the end of the line"}"`); reader.at++; return t; };
  const is = (t) => reader.found[reader.at] === t;
  const name = () => { const t = take(); if (!/^[A-Za-z_]/.test(t ?? "")) fail(`expected a name, found "${t ?? "the end of the line"}"`); return t; };
  const indices = () => { const list = []; take("["); while (!is("]")) { list.push(name()); if (!is("]")) { if (!is(",")) fail(`index "${list.at(-1)}${reader.found[reader.at]}…": the page reads plain indices; attometer show reads shifts and shared heads`); take(","); } } take("]"); return list; };
  // Expressions: { op, parts } for chains and functions, { ref, at } for tensors, { value } for constants and sizes.
  const factor = () => {
    if (is("(")) { take("("); const e = sum(); take(")"); return e; }
    if (is("-")) { take("-"); return { op: "neg", parts: [factor()] }; }
    if (/^\d/.test(reader.found[reader.at] ?? "")) { take(); return { value: true }; }
    const t = name();
    if (is("(")) {
      if (!AM.data.functions.includes(t)) fail(`the page does not know the function "${t}"`);
      take("("); const parts = [sum()]; while (is(",")) { take(","); parts.push(sum()); } take(")");
      return { op: t, parts };
    }
    if (!is("[")) return tensors.has(t) ? { ref: t, at: tensors.get(t).indices } : { value: true };
    const at = indices();
    if (is("(")) { take("("); const inner = sum(); take(")"); return { along: t, over: at, inner }; }
    return { ref: t, at };
  };
  const chain = (next, signs) => () => { let e = next(); while (signs.includes(reader.found[reader.at])) { const op = take(); e = { op, parts: [e, next()] }; } return e; };
  const product = chain(factor, ["*", "/"]), sum = chain(product, ["+", "-"]);
  let tensors = new Map(), axes = new Map(), roles = new Map();
  const along = (e) => (e.along ? e.over : (e.parts || []).flatMap(along));
  const refs = (e) => (e.ref ? [e] : e.along ? refs(e.inner) : (e.parts || []).flatMap(refs));
  // Operations of one point by height above the tensors; constants are folded.
  const visit = (e) => {
    if (e.value) return { count: 0, leaves: [] };
    if (e.ref) return { count: 0, leaves: [[e.ref, 0]] };
    if (e.along) fail(`${e.along}[…] stands alone on its line in the page's notation`);
    const flat = (x, op) => (x.op === op ? x.parts.flatMap((p) => flat(p, op)) : [x]);
    const parts = ("+*".includes(e.op) ? flat(e, e.op) : e.parts).map(visit), varying = parts.filter((p) => p.leaves.length), join = (list) => ({ count: list.reduce((a, p) => a + p.count, 1), leaves: list.flatMap((p) => p.leaves.map(([r, h]) => [r, h + 1])) });
    if (!varying.length) return { count: 0, leaves: [] };
    if (!"+*".includes(e.op)) return join(parts);
    let level = varying.length < parts.length ? [...varying, { count: 0, leaves: [] }] : varying;
    while (level.length > 1) level = level.flatMap((p, k) => (k % 2 ? [] : k + 1 < level.length ? [join([p, level[k + 1]])] : [p]));
    return level[0];
  };
  const parse = (text) => {
    tensors = new Map(); axes = new Map(); roles = new Map();
    const statements = [];
    text.split("\n").forEach((line, number) => {
      const bare = line.replace(/#.*/, "").trim();
      if (!bare) return;
      try {
        reader = tokens(bare);
        const first = reader.found[0];
        if (first === "axis") {
          take();
          do { if (is(",")) take(","); const i = name(); take(":"); const size = take(); if (reader.found[reader.at] && !is(",")) fail(`size of axis "${i}": the page reads a name or a number`); axes.set(i, size); } while (is(","));
        } else if (["input", "weight", "cache", "output"].includes(first)) {
          take();
          do { if (is(",")) take(","); const t = name(), at = indices(); roles.set(t, first); if (first !== "output") tensors.set(t, { indices: at, mask: null }); } while (is(","));
        } else {
          const t = name(), at = indices(); take("=");
          const e = sum();
          let mask = null;
          if (is("where")) { take(); mask = MASKS.read(cursor, [...at, ...along(e), ...refs(e).flatMap((r) => r.at), ...axes.keys()], axes); }
          if (reader.at < reader.found.length) fail(`unexpected "${reader.found[reader.at]}"`);
          if (refs(e).some((r) => r.ref === t)) fail(`"${t}" reads itself: the page does not count recurrences`);
          statements.push({ t, at, e, mask, line: number + 1 });
          tensors.set(t, { indices: at });
        }
      } catch (error) { fail(`line ${number + 1}: ${error.message}`); }
    });
    for (const [t, role] of roles) if (role === "output" && !statements.some((s) => s.t === t)) fail(`output "${t}" is never computed`);
    if (!statements.length) fail("no statement yet: write one as O[i,k] = A[i,j] * B[j,k]");
    const used = [...new Set(statements.flatMap((s) => [...s.at, ...refs(s.e).flatMap((r) => r.at), ...(s.e.over || [])]))];
    const own = used.map((i) => axes.get(i) ?? i), masked = statements.flatMap((s) => (s.mask ? MASKS.names(s.mask.mask) : []));
    const sizes = [...new Set([...own, ...masked])].filter((s) => !/^\d/.test(s)).sort();
    // What is read and never computed, at the indices declared or first read.
    const made = new Set(statements.map((s) => s.t)), given = new Map([...tensors].filter(([t]) => !made.has(t)).map(([t, { indices: at }]) => [t, { at, role: roles.get(t) }]));
    for (const r of statements.flatMap((s) => refs(s.e))) if (!made.has(r.ref) && !given.has(r.ref)) given.set(r.ref, { at: r.at, role: "input" });
    const told = [...roles].filter(([, role]) => role === "output").map(([t]) => t), read = new Set(statements.flatMap((s) => refs(s.e).map((r) => r.ref)));
    const outputs = new Set(told.length ? told : [...made].filter((t) => !read.has(t)));
    return { statements, given, outputs, axes: new Map(axes), sizes, free: masked.filter((s) => !own.includes(s)), text };
  };
  // What MASKS reads from.
  const cursor = { peek: (k) => reader.found[reader.at + k], take, at: () => reader.at, to: (k) => { reader.at = k; }, left: () => reader.found.slice(reader.at), since: (k) => reader.found.slice(k, Math.max(reader.at, k + 1) === k + 1 ? undefined : reader.at).join(" ").replace(/([<>=!]) =/g, "$1=") };
  // Words held, as count/memory/footprint.py has them: inputs stay, what is computed dies after its last use.
  const held = (given, outputs, steps, words) => {
    const last = new Map([...given.keys(), ...outputs].map((t) => [t, steps.length])), sum = (names) => names.reduce((a, t) => a + words.get(t), 0);
    steps.forEach((s, at) => s.reads.forEach((t) => last.set(t, Math.max(last.get(t) ?? 0, at))));
    let alive = [...given.keys()], peak = 0;
    steps.forEach((s, at) => { alive.push(s.name); peak = Math.max(peak, sum(alive)); alive = alive.filter((t) => (last.get(t) ?? at) > at); });
    const role = (r) => sum([...given].filter(([, g]) => g.role === r).map(([t]) => t));
    return { peak, inputs: role("input"), weights: role("weight"), cache: role("cache"), outputs: sum([...outputs]) };
  };
  // Hops between the farthest positions, as path_length_formula has them: without a mask, and of bands.
  const path = ({ statements, outputs, axes: own }, sizes) => {
    const position = (i) => ["n", "m"].includes(own.get(i) ?? i);
    const masks = [...new Map(statements.filter((s) => s.mask && position(s.mask.query) && position(s.mask.key)).map((s) => [JSON.stringify(s.mask.mask), s.mask.mask])).values()];
    const sums = (s) => [...refs(s.e).flatMap((r) => r.at).filter((i) => !s.at.includes(i)), ...(s.e.over || [])];
    if (masks.length > 1 || !statements.some((s) => outputs.has(s.t) && s.at.some(position))) return undefined;
    if (!masks.length) return statements.some((s) => sums(s).some(position)) ? 1 : undefined;
    const reach = (MASKS.reach(masks[0], sizes) || []).filter((r) => r > 0);
    return reach.length ? Math.max(...reach.map((r) => (r === Infinity ? 1 : Math.ceil((sizes.n - 1) / r)))) : undefined;
  };
  const count = (program, sizes) => {
    const { statements, given, outputs, axes: own } = program;
    const size = (i) => { const s = own.get(i) ?? i, v = /^\d/.test(s) ? +s : sizes[s]; if (!(v >= 1)) fail(`size of index "${i}" is not given`); return v; };
    const space = (list) => list.reduce((a, i) => a * size(i), 1), ready = new Map(), masks = new Map();
    const seen = (mask, ofKeys) => MASKS.count(mask.mask, sizes, size(mask.query), size(mask.key), ofKeys);
    const points = (list, mask) => {
      if (!mask || !list.includes(mask.query) || !list.includes(mask.key)) return space(list);
      return seen(mask).pairs * space(list.filter((i) => i !== mask.query && i !== mask.key));
    };
    const total = { work: 0, depth: 0, flop: 0, matrices: 0 }, steps = [], words = new Map();
    const keep = (name, at, mask) => {
      const positions = at.filter((i) => ["n", "m"].includes(own.get(i) ?? i)).length;
      words.set(name, points(at, mask));
      if (positions > 1 || (mask && at.includes(mask.query) && at.includes(mask.key))) total.matrices = Math.max(total.matrices, words.get(name));
    };
    for (const [t, g] of given) keep(t, g.at, null);
    const inherited = (s) => {
      const found = s.mask ? [s.mask] : refs(s.e).flatMap((r) => { const m = masks.get(r.ref); if (!m) return []; const to = (i) => r.at[m.names.indexOf(i)]; return [{ ...m.mask, query: to(m.mask.query), key: to(m.mask.key) }]; });
      const told = (m) => JSON.stringify([m.query, m.key, m.mask]);
      if (found.some((m) => told(m) !== told(found[0]))) fail(`line ${s.line}: tensors of different masks meet: say which with where`);
      return found[0] || null;
    };
    for (const s of statements) {
      const inside = [...new Set([...refs(s.e).flatMap((r) => r.at), ...(s.e.over || [])])], missing = s.at.filter((i) => !inside.includes(i));
      if (missing.length) fail(`line ${s.line}: index "${missing[0]}" is not on the right`);
      const mask = inherited(s), summed = inside.filter((i) => !s.at.includes(i)), all = points(inside, mask);
      const rows = (list) => {
        const own = mask ? [mask.query, mask.key].filter((i) => list.includes(i)) : [];
        return own.length === 1 ? seen(mask, own[0] === mask.key).rows * space(list.filter((i) => i !== own[0])) : points(list, mask);
      };
      const fold = (along) => along.reduce((a, i) => a * (mask && (i === mask.key || i === mask.query) ? seen(mask, i === mask.query).longest : size(i)), 1);
      const step = (part, at, reads) => { const name = part ? `${s.t}.${part}` : s.t; keep(name, at, mask); steps.push({ name, reads }); return name; };
      const read = refs(s.e).map((r) => r.ref);
      const start = Math.max(0, ...refs(s.e).map((r) => ready.get(r.ref) || 0));
      let end = null;
      const both = s.e.along ? s.e.over : summed;
      if (mask && both.includes(mask.query) && both.includes(mask.key)) fail(`line ${s.line}: a sum over both indices of a mask is counted by attometer show`);
      let depth = 0, work = 0;
      if (s.e.along) {
        const over = s.e.over, rest = inside.filter((i) => !over.includes(i));
        if (!s.e.inner.ref) fail(`line ${s.line}: ${s.e.along}[…] takes one tensor here`);
        const folds = all - rows(rest), levels = clog(fold(over));
        if (s.e.along === "softmax") {
          if (summed.length) fail(`line ${s.line}: softmax keeps its indices`);
          work = 2 * folds + 3 * all; depth = 2 * levels + 3;
          const shift = step("shift", inside, [...read, step("max", rest, read)]), exp = step("exp", inside, [shift]);
          step("", s.at, [exp, step("sum", rest, [exp])]);
        } else if (["sum", "max", "min", "prod"].includes(s.e.along)) {
          if (summed.some((i) => !over.includes(i))) fail(`line ${s.line}: ${s.e.along}[…] names every index that it removes, in the page's notation`);
          work = folds; depth = levels; step("", s.at, read);
        }
        else fail(`line ${s.line}: the page does not know ${s.e.along}[…]`);
      } else if (summed.length) {
        // One product of two tensors, or one tensor, perhaps with one constant factor that is applied after the sum.
        const flat = (x) => (x.op === "*" ? x.parts.flatMap(flat) : x.op === "/" && x.parts[1].value ? [...flat(x.parts[0]), x.parts[1]] : x.op === "/" && !visit(x.parts[1]).leaves.length ? [...flat(x.parts[0]), { value: true }] : [x]);
        const factors = flat(s.e), two = factors.filter((f) => f.ref), constants = factors.length - two.length;
        if (two.length > 2 || !two.length || constants > 1 || factors.some((f) => !f.ref && visit(f).leaves.length)) fail(`line ${s.line}: a sum is over one product of two tensors and a constant in the page's notation`);
        const beside = two.find((f) => !f.at.some((i) => summed.includes(i)));
        if (beside) fail(`line ${s.line}: "${beside.ref}" multiplies the sum; give the sum a name first, in the page's notation`);
        const results = rows(s.at);
        work = all * (two.length - 1) + (all - results) + constants * results;
        depth = two.length - 1 + clog(fold(summed)) + constants;
        if (two.length === 2) total.flop += 2 * all;
        if (constants) step("", s.at, [step("product", s.at, read)]); else step("", s.at, read);
      } else {
        const v = visit(s.e);
        step("", s.at, read);
        work = v.count * all; end = Math.max(0, ...v.leaves.map(([r, h]) => (ready.get(r) || 0) + h));
      }
      total.work += work;
      ready.set(s.t, end ?? start + depth); total.depth = Math.max(total.depth, end ?? start + depth);
      if (mask && s.at.includes(mask.query) && s.at.includes(mask.key)) masks.set(s.t, { mask, names: s.at });
    }
    return { ...total, ...held(given, outputs, steps, words), path: path(program, sizes) };
  };
  return { parse, count };
})();
