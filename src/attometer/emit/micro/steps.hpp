// The compute steps of schedules on tiles: masks, online softmax, gradients of scores, merging, results.
// The lanes of `x` whose bit is set in `seen`; `other` elsewhere.
static inline Floats kept(Floats x, uint64_t seen, Real other) {
    Ints bit;
    for (int l = 0; l < LANES; l++) bit[l] = 1 << l;
    const Ints held = ((Ints{} + (Whole)(seen & ((1u << LANES) - 1))) & bit) != 0;
    return held ? x : all(other);
}
// -inf where the mask hides a key from a row of a tile whose rows are queries.
static void score(const Sums& P, const Seen& seen) {
    if (bent(seen.head.call)) bend(P, seen);
    for (int64_t r = 0; r < P.rows; r += ROWS)
        for (int64_t p = -1, last = seen.panels(); (p = seen.next_panel(r / ROWS, p + 1, last, true)) < last;) {
            if (seen.every(r / ROWS, p)) continue;
            const uint64_t* lanes = seen.lanes_of(r / ROWS, p);
            for (int64_t t = r; t < std::min(r + ROWS, P.rows); t++)
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) {
                    Real* at = P.block(t, p) + v * LANES;
                    store(at, kept(load<Floats>(at), lanes[t - r] >> (v * LANES), -INF));
                }
        }
}

// Online softmax: P becomes exp(scale (P - m)) as a left operand, in the blocks that are seen; `l` and O are rescaled where a row's maximum grew.
constexpr int64_t AT_ONCE = LANES < 8 ? LANES : 8;
template <bool DROPS>
static void online(const Sums& P, Left weights, Real* mx, Real* l, const Sums& O, const Seen& seen, Real scale) {
    const Real c = scale * LOG2E;
    std::vector<int64_t> held;
    for (int64_t r = 0; r < P.rows; r += ROWS) {
        held.clear();
        for (int64_t p = -1, last = seen.panels(); (p = seen.next_panel(r / ROWS, p + 1, last, true)) < last;) held.push_back(p);
        if (held.empty()) continue;
        const int64_t end = std::min(r + ROWS, P.rows);
        for (int64_t first = r, last; first < end; first = last) {  // few rows, which stay in the L1 cache
            last = std::min(first + AT_ONCE, end);
            Real level[LANES] = {}, decay[LANES] = {};  // the largest score, and what sums so far are worth then
            for (int64_t t = first; t < last; t++) {
                Floats most[VECTORS];
                for (int v = 0; v < VECTORS; v++) most[v] = all(-INF);
                for (int64_t p : held)
#pragma GCC unroll 4
                    for (int v = 0; v < VECTORS; v++)
                        most[v] = largest(load<Floats>(P.at + t * P.row + p * PANEL + v * LANES), most[v]);
                for (int v = 1; v < VECTORS; v++) most[0] = largest(most[v], most[0]);
                const Real found = largest(most[0]), next = found > mx[t] ? found : mx[t];
                level[t - first] = next == -INF ? 0.0f : next;
                decay[t - first] = mx[t] == next ? 0.0f : (mx[t] - next) * c;
                mx[t] = next;
            }
            store(decay, power2(load<Floats>(decay)));
            for (int64_t t = first; t < last; t++) {
                const Real* row = P.at + t * P.row;
                Element* out = (Element*)(weights.at + t * weights.row);
                Floats total[VECTORS] = {};
                const uint32_t key = DROPS ? row_key(seen.head, seen.i.start + t) : 0;
                for (int64_t p : held)
#pragma GCC unroll 4
                    for (int v = 0; v < VECTORS; v++) {
                        const int64_t k = p * PANEL + v * LANES;
                        const Floats w = power2((load<Floats>(row + k) - level[t - first]) * c);  // large scores cancel first
                        total[v] += w;
                        if constexpr (DROPS)
                            put(out + k, w * dropped(seen.head.call, key, [&](int64_t l) { return seen.j.start + k + l; }));
                        else put(out + k, w);
                    }
                for (int v = 1; v < VECTORS; v++) total[0] += total[v];
                const Real factor = decay[t - first];
                l[t] = l[t] * factor + sum(total[0]);
                if (factor != 1.0f)
                    for (Real* o = O.at + t * O.row; o < O.at + (t + 1) * O.row; o += LANES) store(o, load<Floats>(o) * factor);
            }
        }
    }
}
static void online(const Sums& P, Left weights, Real* mx, Real* l, const Sums& O, const Seen& seen, Real scale) {
    (seen.head.call.dropout > 0 ? online<true> : online<false>)(P, weights, mx, l, O, seen, scale);
}

// O += P V where a value is not finite: only pairs that are seen, so that what is hidden does not leak.
template <class T> static void weigh_seen(const Sums& O, Left weights, const Seen& seen) {
    const Call& call = seen.head.call;
    for (int64_t t = 0; t < O.rows; t++)
        for (int64_t p = 0; p < seen.panels(); p++)
            for (uint64_t left = seen.lanes(t, p); left; left &= left - 1) {
                const int64_t k = p * PANEL + __builtin_ctzll(left), j = seen.j.start + k;
                if (k >= std::min<int64_t>(seen.j.size(), (p + 1) * PANEL)) break;
                const Element held = ((const Element*)(weights.at + t * weights.row))[k];
#ifdef ATTOMETER_BF16
                const Real w = widen(Bfloat{held});
#else
                const Real w = held;
#endif
                if (w == 0 && hidden(seen.head, seen.i.start + t, j)) continue;
                const T* from = seen.head.key<T>(call.v, j);
                const Real factor = CODED<T> ? w * *seen.head.key<const float>(call.v_scale, j) : w;
                for (int64_t x = 0; x < O.columns; x++) O.at[t * O.row + x] += factor * widen(from[x * call.v.column]);
            }
}
template <class T, class Row> static bool finite(Row row, Span t, int64_t width, int64_t stride) {
    typedef std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>> Bits;
    const T infinite = infinity((T*)nullptr);
    const Bits exponent = load<Bits>(&infinite);  // NaN and infinities have all bits of the exponent
    for (int64_t k = t.start; k < t.stop; k++) {
        const T* from = row(k);
        ask<T>(row, t, k, width, stride);
        Bits bad = 0;
        if (stride == 1)
            for (int64_t x = 0; x < width; x++) bad |= (load<Bits>(from + x) & exponent) == exponent;
        else
            for (int64_t x = 0; x < width; x++) bad |= (load<Bits>(from + x * stride) & exponent) == exponent;
        if (bad) return false;
    }
    return true;
}

static void divide(const Sums& O, const Real* l) {
    for (int64_t t = 0; t < O.rows; t++) {
        const Real total = l[t] == 0.0f ? 1.0f : l[t];  // a row that sees nothing is 0
        for (Real* o = O.at + t * O.row; o < O.at + (t + 1) * O.row; o += LANES) store(o, load<Floats>(o) / total);
    }
}
// The logit of each row's head takes part in the sum, and carries no value.
static void sink(Real* mx, Real* l, const Sums& O, const Head& head, Span i) {
    if (!head.call.sinks) return;
    for (int64_t t = 0; t < O.rows; t++) {
        const Real s = head.call.sinks[head.query_head(i.start + t)];
        if (s == -INF) continue;
        const Real next = std::max(mx[t], s), decay = mx[t] == -INF ? 0.0f : power2((mx[t] - next) * LOG2E);
        l[t] = l[t] * decay + power2((s - next) * LOG2E);
        for (Real* o = O.at + t * O.row; o < O.at + (t + 1) * O.row; o += LANES) store(o, load<Floats>(o) * decay);
        mx[t] = next;
    }
}
static void log_sum_exp(Real* mx, const Real* l, int64_t rows, Real scale) {
    for (int64_t t = 0; t < rows; t++) mx[t] = l[t] == 0.0f ? -INF : mx[t] * scale + std::log(l[t]);
}
template <class T> static inline void store_row(const Real* from, T* to, int64_t width, int64_t stride, Real factor) {
    if (stride == 1)
        for (int64_t x = 0; x < width; x++) narrow(from[x] * factor, to + x);
    else
        for (int64_t x = 0; x < width; x++) narrow(from[x] * factor, to + x * stride);
}
template <class T, class Row> static void store_rows(const Sums& O, Row to, Span t, int64_t stride, Real factor) {
    for (int64_t k = 0; k < t.size(); k++) store_row<T>(O.at + k * O.row, to(t.start + k), O.columns, stride, factor);
}

// What rounding to T takes from O, rounded too.
template <class T> static void store_rest(const Sums& O, const Head& head, Span i) {
    for (int64_t k = 0; k < i.size() && head.call.rest.data; k++) {
        T* to = head.query<T>(head.call.rest, i.start + k);
        for (int64_t x = 0; x < O.columns; x++) {
            const Real whole = O.at[k * O.row + x];
            T held;
            narrow(whole, &held);
            narrow(whole - widen(held), to + x * head.call.rest.column);
        }
    }
}

// Merge another partial result of the same rows: maximum, sum and output that is not yet divided.
static void merge(Real* mx, Real* l, const Sums& O, const Real* mx2, const Real* l2, const Sums& O2, Real scale) {
    const Real c = scale * LOG2E;
    for (int64_t t = 0; t < O.rows; t++) {
        const Real next = std::max(mx[t], mx2[t]);
        const Real a = mx[t] == -INF ? 0.0f : power2((mx[t] - next) * c), b = mx2[t] == -INF ? 0.0f : power2((mx2[t] - next) * c);
        l[t] = l[t] * a + l2[t] * b;
        for (int64_t x = 0; x < O.row; x++) O.at[t * O.row + x] = O.at[t * O.row + x] * a + O2.at[t * O2.row + x] * b;
        mx[t] = next;
    }
}

// Of a tile whose rows are keys: P = exp(scale P - L), 0 where hidden, in the blocks that are seen, kept and written as a left operand.
static void shifted(const Sums& P, Left weights, const Real* L, const Seen& seen, Real scale, const Sums& slopes) {
    std::vector<uint32_t> keys;
    const bool drops = seen.head.call.dropout > 0;
    if (bent(seen.head.call)) bend_across(P, seen, slopes);
    for (int64_t p = 0; p < seen.panels(); p++) {
        keys.clear();
        Floats level[VECTORS];
        for (int v = 0; v < VECTORS; v++) level[v] = load<Floats>(L + seen.i.start + p * PANEL + v * LANES);
        for (int64_t j = 0; j < P.rows; j++) {
            Element* out = (Element*)(weights.at + j * weights.row) + p * PANEL;
            Real* row = P.block(j, p);
            if (!seen.some(j / ROWS, p)) continue;
            const bool every = seen.every(j / ROWS, p);
            const uint64_t lanes = seen.lanes(j, p);
            if (drops && keys.empty()) row_keys(keys, seen, p);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                Floats w = power2((load<Floats>(row + v * LANES) * scale - level[v]) * LOG2E);
                if (!every) w = kept(w, lanes >> (v * LANES), 0);
                store(row + v * LANES, w);
                put(out + v * LANES, drops ? w * dropped(seen.head.call, &keys[v * LANES], seen.j.start + j) : w);
            }
        }
    }
}
// dS = P (dS - D) as a left and as a right operand, in the blocks that are seen.
template <bool BENDS>
static void score_gradient(
    const Sums& dS, const Sums& P, Left left, Right right, const Real* D, const Seen& seen, const Sums& slopes) {
    const bool drops = BENDS && seen.head.call.dropout > 0, capped = BENDS && seen.head.call.cap > 0;
    std::vector<uint32_t> keys;
    for (int64_t p = 0; p < seen.panels(); p++) {
        Floats rest[VECTORS];
        for (int v = 0; v < VECTORS; v++) rest[v] = load<Floats>(D + seen.i.start + p * PANEL + v * LANES);
        if (drops) row_keys(keys, seen, p);
        // Row j of the left operand.
        auto made = [&](int64_t j, int v) {
            const Floats w = load<Floats>(P.block(j, p) + v * LANES);
            Floats above = load<Floats>(dS.block(j, p) + v * LANES);
            if (drops) above = above * dropped(seen.head.call, &keys[v * LANES], seen.j.start + j);
            Floats x = w * (above - rest[v]);
            if (capped) x = x * load<Floats>(slopes.block(j, p) + v * LANES);
            x = w == 0.0f ? Floats{} : x;
            put((Element*)(left.at + j * left.row) + p * PANEL + v * LANES, x);
            return x;
        };
        for (int64_t first = 0; first < units(dS.rows) * PAIR; first += ROWS) {
            const int64_t last = std::min(first + ROWS, units(dS.rows) * PAIR);
            if (!seen.some(first / ROWS, p)) continue;
            for (int64_t j = first; j < last; j += PAIR) {
                Unit* across = right.at + p * right.panel + j / PAIR * PANEL;
                const int64_t both = std::min<int64_t>(PAIR, dS.rows - j);  // none in the zeros that end a step
                if (both <= 0) {
                    std::memset(across, 0, PANEL * sizeof(Unit));
                    continue;
                }
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) {
                    const Floats x = made(j, v);
#ifdef ATTOMETER_BF16
                    const Words low = __builtin_convertvector(rounded(x), Words);
                    const Floats y = both == PAIR ? made(j + 1, v) : Floats{};
                    store(across + v * LANES, low | __builtin_convertvector(rounded(y), Words) << 16);
#else
                    store(across + v * LANES, x);
#endif
                }
            }
        }
    }
}
static void score_gradient(
    const Sums& dS, const Sums& P, Left left, Right right, const Real* D, const Seen& seen, const Sums& slopes) {
    const bool bends = seen.head.call.dropout > 0 || seen.head.call.cap > 0;
    (bends ? score_gradient<true> : score_gradient<false>)(dS, P, left, right, D, seen, slopes);
}

// D = rowsum(dO O) less the gradient of the log-sum-exp, and the log-sum-exp L, +inf for rows that see nothing.
template <class T> static void row_dots(const Head& head, Span i, Real* L, Real* D) {
    const Call& call = head.call;
    for (int64_t t = i.start; t < i.stop; t++) {
        const T* a = head.query<const T>(call.grad, t);
        double some[4] = {};  // it cancels against dO V; sums of their own do not wait for one another
        for (const Operand* part : {&call.o, &call.rest}) {
            const T* b = part->data ? head.query<const T>(*part, t) : nullptr;
            for (int64_t x = 0; b && x < call.e; x++)
                some[x % 4] += (double)widen(a[x * call.grad.column]) * widen(b[x * part->column]);
        }
        const double total = some[0] + some[1] + (some[2] + some[3]);
        const Real level = *head.query<const Real>(call.lse, t);
        L[t] = level == -INF ? INF : level;
        D[t] = (Real)(total - (call.lse_grad.data ? *head.query<const Real>(call.lse_grad, t) : 0.0f));
    }
}
