// The pairs that `Visits` lists one by one: each query with its own keys, as they lie.

// A row of a tensor as units and as Real, with zeros to whole blocks.
struct Single {
    std::vector<Unit> as_units;
    std::vector<Real> reals;
    explicit Single(int64_t width) : as_units(round_up(width, BLOCK) / PAIR), reals(round_up(width, BLOCK)) {}
    template <class T> void take(const T* from, int64_t stride, int64_t width) {
        copy<T>(as_units.data(), from, stride, width);
        for (int64_t x = 0; x < width; x++) reals[x] = widen(from[x * stride]);
    }
};
// The products of a query with at most CHUNK rows.
template <class E>
static inline void dots_of(Real* to, const std::vector<Unit>& query, const E* const* rows, int64_t many) {
    const Dots<E> made = of_length<1, E>((int64_t)query.size());
    for (int64_t k = 0; k < many; k += LANES) made(to + k, 0, query.data(), 0, rows + k, (int64_t)query.size());
}
static inline void add_row(Real* to, Real factor, const std::vector<Real>& x) {
    for (size_t k = 0; k < x.size(); k += LANES) store(to + k, load<Floats>(to + k) + factor * load<Floats>(&x[k]));
}
// The lanes of the first `many` keys; `other` elsewhere.
static inline Floats only(Floats x, int64_t many, Real other) {
    return many >= LANES ? x : kept(x, (1ull << std::max<int64_t>(many, 0)) - 1, other);
}

// Online softmax over the single keys of each query: the same sums go on.
template <class T, class S = T>
static void singles(const Head& head, const Visits& visits, Real* mx, Real* l, const Sums& O, Span i, Span part, Real scale) {
    if (!visits.lists()) return;
    const Call& call = head.call;
    const Real c = scale * LOG2E;
    Lines<S> K(call.k, call.k_scale, call.d, BLOCK), V(call.v, call.v_scale, call.e, BLOCK);
    Single query(call.d);
    std::vector<Real> scores;
    for (int64_t t = 0; t < i.size(); t++) {
        const int64_t row = i.start + t;
        const auto keys = visits.singles(row, part);
        if (!keys.many) continue;
        query.take(head.query<T>(call.q, row), call.q.column, call.d);
        scores.resize(round_up(keys.many, CHUNK));
        Floats most = all(-INF), total = {}, unused;
        for (int64_t at = 0; at < keys.many; at += CHUNK) {
            const int64_t many = std::min<int64_t>(CHUNK, keys.many - at);
            K.take(head, keys.at + at, many);
            dots_of(&scores[at], query.as_units, K.at, many);
            for (int64_t k = at; k < at + CHUNK; k += LANES) {
                Floats x = load<Floats>(&scores[k]);
                if (bent(call)) x = bend(x, head, row, keys.many - k, [&](int64_t n) { return keys.at[k + n]; }, &unused);
                x = only(x, keys.many - k, -INF);
                store(&scores[k], x);
                most = largest(x, most);
            }
        }
        const Real next = std::max(largest(most), mx[t]), level = next == -INF ? 0 : next;
        const Real decay = mx[t] == next ? 1 : power2((mx[t] - next) * c);
        const uint32_t draws = call.dropout > 0 ? row_key(head, row) : 0;
        mx[t] = next;
        if (decay != 1)
            for (Real* o = O.at + t * O.row; o < O.at + (t + 1) * O.row; o += LANES) store(o, load<Floats>(o) * decay);
        for (int64_t at = 0; at < keys.many; at += CHUNK) {
            alignas(64) Element weights[CHUNK];
            for (int64_t k = at; k < at + CHUNK; k += LANES) {
                Floats w = power2((load<Floats>(&scores[k]) - level) * c);
                total += w;
                if (call.dropout > 0)
                    w *= dropped(call, draws, [&](int64_t n) { return k + n < keys.many ? keys.at[k + n] : 0; });
                put(weights + k - at, w);
            }
            V.take(head, keys.at + at, keys.many - at);
            V.leave_hidden(head, row, keys.at + at, std::min<int64_t>(CHUNK, keys.many - at));
            weigh_rows({O.block(t, 0), 1, O.columns, O.row, PANEL}, {(Unit*)weights, 0}, V.at, CHUNK);
        }
        l[t] = l[t] * decay + sum(total);
    }
}

// Gradients through the single pairs of each query with the keys j.
template <class T>
static void singles(
    const Head& head, const Visits& visits, const Real* L, const Real* D, const Sums& dQ, const Sums& dK, const Sums& dV,
    Span j, Real scale) {
    if (!visits.lists()) return;
    const Call& call = head.call;
    Lines<T> K(call.k, call.k_scale, call.d, BLOCK), V(call.v, call.v_scale, call.e, BLOCK);
    Single query(call.d), grad(call.e);
    for (int64_t row = 0; row < head.queries(); row++) {
        const auto keys = visits.singles(row, j);
        if (!keys.many) continue;
        query.take(head.query<T>(call.q, row), call.q.column, call.d);
        grad.take(head.query<T>(call.grad, row), call.grad.column, call.e);
        const uint32_t draws = call.dropout > 0 ? row_key(head, row) : 0;
        for (int64_t at = 0; at < keys.many; at += CHUNK) {
            const int32_t* const own = keys.at + at;
            const int64_t many = std::min<int64_t>(CHUNK, keys.many - at);
            Real P[CHUNK], dS[CHUNK];
            alignas(64) Element weights[CHUNK] = {};
            K.take(head, own, many);
            V.take(head, own, many);
            dots_of(P, query.as_units, K.at, many);
            dots_of(dS, grad.as_units, V.at, many);
            for (int64_t k = 0; k < many; k += LANES) {
                Floats x = load<Floats>(P + k), above = load<Floats>(dS + k), bow;
                if (bent(call)) x = bend(x, head, row, many - k, [&](int64_t n) { return own[k + n]; }, &bow);
                const Floats w = only(power2((x * scale - L[row]) * LOG2E), many - k, 0);
                const Floats drop = call.dropout > 0
                    ? dropped(call, draws, [&](int64_t n) { return k + n < many ? own[k + n] : 0; }) : all(1);
                Floats made = w * (above * drop - D[row]);
                if (call.cap > 0) made *= bow;
                made = w == 0.0f ? Floats{} : made;
                store(P + k, w * drop);
                store(dS + k, made);
                put(weights + k, made);
            }
            K.leave_hidden(head, row, own, many);
            weigh_rows({dQ.block(row, 0), 1, dQ.columns, dQ.row, PANEL}, {(Unit*)weights, 0}, K.at, round_up(many, PAIR));
            for (int64_t k = 0; k < many; k++) {
                add_row(dV.block(own[k] - j.start, 0), P[k], grad.reals);
                add_row(dK.block(own[k] - j.start, 0), dS[k], query.reals);
            }
        }
    }
}
