// The compute steps of schedules on tiles: masks, online softmax, gradients of scores, merging, results.
constexpr float LOG2E = 1.4426950408889634f;
constexpr float INF = std::numeric_limits<float>::infinity();

// Which register blocks of a tile of scores matter. `across`: the rows are keys, as where the loop over keys is outside.
struct Seen {
    const Head& head;
    const Visits& visits;
    Span i, j;
    bool across;
    int64_t row0() const { return (across ? j : i).start / ROWS; }
    int64_t panel0() const { return (across ? i : j).start / PANEL; }
    bool some(int64_t r, int64_t p) const {
        return across ? visits.some(panel0() + p, row0() + r) : visits.some(row0() + r, panel0() + p);
    }
    bool every(int64_t r, int64_t p) const {
        return across ? visits.every(panel0() + p, row0() + r) : visits.every(row0() + r, panel0() + p);
    }
    int64_t panels() const { return ceil_div((across ? i : j).size(), PANEL); }
    int64_t rows() const { return (across ? j : i).size(); }
    bool any() const { return visits.some(i, j); }

    // For contract: scores are the result; the left operand; the right operand.
    auto result() const {
        return [this](int64_t r, int64_t p, Span k) { return some(r, p) ? k : Span{0, 0}; };
    }
    auto left() const {
        return [this](int64_t r, int64_t, Span k) {
            int64_t first = k.start * PAIR / PANEL, last = ceil_div(k.stop * PAIR, PANEL) - 1;
            while (first <= last && !some(r, first)) first++;
            while (last >= first && !some(r, last)) last--;
            return Span{std::max(k.start, first * PANEL / PAIR), std::min(k.stop, (last + 1) * PANEL / PAIR)};
        };
    }
    auto right() const {
        return [this](int64_t, int64_t p, Span k) {
            int64_t first = k.start * PAIR / ROWS, last = ceil_div(k.stop * PAIR, ROWS) - 1;
            while (first <= last && !some(first, p)) first++;
            while (last >= first && !some(last, p)) last--;
            return first > last ? Span{0, 0}
                                : Span{std::max(k.start, first * ROWS / PAIR), std::min(k.stop, (last + 1) * ROWS / PAIR)};
        };
    }
};
static inline auto whole() {
    return [](int64_t, int64_t, Span k) { return k; };
}

// -inf where the mask hides a key from a row of a tile whose rows are queries.
static void score(const Sums& P, const Seen& seen) {
    for (int64_t r = 0; r < P.rows; r += ROWS) {
        bool mixed = false;
        for (int64_t p = 0; p < seen.panels(); p++) mixed |= seen.some(r / ROWS, p) && !seen.every(r / ROWS, p);
        if (!mixed) continue;
        for (int64_t t = r; t < std::min(r + ROWS, P.rows); t++) {
            float* row = P.at + t * P.row;
            int64_t done = 0;
            for (int64_t k = 0; k < seen.head.intervals(); k++) {
                const Span keys = seen.head.interval(seen.i.start + t, k);
                const int64_t start = std::max(keys.start, seen.j.start) - seen.j.start;
                const int64_t stop = std::min(keys.stop, seen.j.stop) - seen.j.start;
                if (start >= stop) continue;
                for (; done < start; done++) row[done] = -INF;
                done = stop;
            }
            for (; done < seen.panels() * PANEL; done++) row[done] = -INF;
        }
    }
}

// Online softmax: P becomes exp(scale (P - m)) as a left operand; `l` and O are rescaled where a row's maximum grew.
static void online(const Sums& P, Left weights, float* mx, float* l, const Sums& O, const Seen& seen, float scale) {
    const float c = scale * LOG2E;
    std::vector<int64_t> held;
    for (int64_t r = 0; r < P.rows; r += ROWS) {
        held.clear();
        for (int64_t p = 0; p < seen.panels(); p++)
            if (seen.some(r / ROWS, p)) held.push_back(p);
        if (held.empty()) continue;
        for (int64_t t = r; t < std::min(r + ROWS, P.rows); t++) {
            const float* row = P.at + t * P.row;
            Element* out = (Element*)(weights.at + t * weights.row);
            Floats most[VECTORS];
            for (int v = 0; v < VECTORS; v++) most[v] = all(-INF);
            for (int64_t p : held)
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) most[v] = largest(load<Floats>(row + p * PANEL + v * LANES), most[v]);
            for (int v = 1; v < VECTORS; v++) most[0] = largest(most[v], most[0]);
            const float found = largest(most[0]), next = found > mx[t] ? found : mx[t];
            const float level = next == -INF ? 0.0f : next;
            Floats total[VECTORS] = {};
            int64_t done = 0;
            for (int64_t p : held) {
                for (; done < p; done++) std::memset(out + done * PANEL, 0, PANEL * sizeof(Element));
                done = p + 1;
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) {
                    const Floats w = exp2((load<Floats>(row + p * PANEL + v * LANES) - level) * c);
                    total[v] += w;
                    put(out + p * PANEL + v * LANES, w);
                }
            }
            for (; done < seen.panels(); done++) std::memset(out + done * PANEL, 0, PANEL * sizeof(Element));
            for (int v = 1; v < VECTORS; v++) total[0] += total[v];
            if (next > mx[t]) {
                const float decay = mx[t] == -INF ? 0.0f : exp2((mx[t] - next) * c);
                l[t] *= decay;
                for (float* o = O.at + t * O.row; o < O.at + (t + 1) * O.row; o += LANES) store(o, load<Floats>(o) * decay);
                mx[t] = next;
            }
            l[t] += sum(total[0]);
        }
    }
}

// O += P V where a value is not finite: only pairs that are seen, so that what is hidden does not leak.
template <class T, class Row>
static void weigh_seen(const Sums& O, Left weights, Row value, int64_t stride, const Seen& seen) {
    for (int64_t t = 0; t < O.rows; t++)
        for (int64_t k = 0; k < seen.head.intervals(); k++) {
            const Span keys = seen.head.interval(seen.i.start + t, k);
            for (int64_t j = std::max(keys.start, seen.j.start); j < std::min(keys.stop, seen.j.stop); j++) {
                const Element held = ((const Element*)(weights.at + t * weights.row))[j - seen.j.start];
#ifdef ATTOMETER_BF16
                const float w = widen(Bfloat{held});
#else
                const float w = held;
#endif
                const T* from = value(j);
                for (int64_t x = 0; x < O.columns; x++) O.at[t * O.row + x] += w * widen(from[x * stride]);
            }
        }
}
template <class T, class Row> static bool finite(Row row, Span t, int64_t width, int64_t stride) {
    typedef std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t> Bits;
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

static void divide(const Sums& O, const float* l) {
    for (int64_t t = 0; t < O.rows; t++) {
        const float total = l[t] == 0.0f ? 1.0f : l[t];  // a row that sees nothing is 0
        for (float* o = O.at + t * O.row; o < O.at + (t + 1) * O.row; o += LANES) store(o, load<Floats>(o) / total);
    }
}
static void log_sum_exp(float* mx, const float* l, int64_t rows, float scale) {
    for (int64_t t = 0; t < rows; t++) mx[t] = l[t] == 0.0f ? -INF : mx[t] * scale + std::log(l[t]);
}
template <class T, class Row> static void store_rows(const Sums& O, Row to, Span t, int64_t stride, float factor) {
    for (int64_t k = 0; k < t.size(); k++)
        for (int64_t x = 0; x < O.columns; x++) narrow(O.at[k * O.row + x] * factor, to(t.start + k) + x * stride);
}

// Merge another partial result of the same rows: maximum, sum and output that is not yet divided.
static void merge(float* mx, float* l, const Sums& O, const float* mx2, const float* l2, const Sums& O2, float scale) {
    const float c = scale * LOG2E;
    for (int64_t t = 0; t < O.rows; t++) {
        const float next = std::max(mx[t], mx2[t]);
        const float a = mx[t] == -INF ? 0.0f : exp2((mx[t] - next) * c), b = mx2[t] == -INF ? 0.0f : exp2((mx2[t] - next) * c);
        l[t] = l[t] * a + l2[t] * b;
        for (int64_t x = 0; x < O.row; x++) O.at[t * O.row + x] = O.at[t * O.row + x] * a + O2.at[t * O2.row + x] * b;
        mx[t] = next;
    }
}

// The lanes of `x` whose bit is set in `seen`; 0 elsewhere.
static inline Floats kept(Floats x, uint64_t seen) {
    Ints bit;
    for (int l = 0; l < LANES; l++) bit[l] = 1 << l;
    const Ints held = ((Ints{} + (int32_t)(seen & ((1u << LANES) - 1))) & bit) != 0;
    return (Floats)((Ints)x & held);
}
// Which queries of panel p see each key of the tile, one bit for each query.
static void seen_bits(std::vector<uint64_t>& bits, const Seen& seen, int64_t p) {
    bits.assign(seen.j.size(), 0);
    for (int64_t q = 0; q < std::min<int64_t>(PANEL, seen.i.size() - p * PANEL); q++)
        for (int64_t k = 0; k < seen.head.intervals(); k++) {
            const Span keys = seen.head.interval(seen.i.start + p * PANEL + q, k);
            for (int64_t j = std::max(keys.start, seen.j.start); j < std::min(keys.stop, seen.j.stop); j++)
                bits[j - seen.j.start] |= 1ull << q;
        }
}

// Of a tile whose rows are keys: P = exp(scale P - L), 0 where hidden, kept and written as a left operand.
static void shifted(const Sums& P, Left weights, const float* L, const Seen& seen, float scale) {
    std::vector<uint64_t> bits;
    for (int64_t p = 0; p < seen.panels(); p++) {
        bits.clear();
        Floats level[VECTORS];
        for (int v = 0; v < VECTORS; v++) level[v] = load<Floats>(L + seen.i.start + p * PANEL + v * LANES);
        for (int64_t j = 0; j < P.rows; j++) {
            Element* out = (Element*)(weights.at + j * weights.row) + p * PANEL;
            float* row = P.block(j, p);
            if (!seen.some(j / ROWS, p)) {
                std::memset(out, 0, PANEL * sizeof(Element));
                continue;
            }
            const bool every = seen.every(j / ROWS, p);
            if (!every && bits.empty()) seen_bits(bits, seen, p);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                Floats w = exp2((load<Floats>(row + v * LANES) * scale - level[v]) * LOG2E);
                if (!every) w = kept(w, bits[j] >> (v * LANES));
                store(row + v * LANES, w);
                put(out + v * LANES, w);
            }
        }
    }
}
// dS = P (dS - D) as a left and as a right operand, 0 in the blocks that the mask leaves out.
static void score_gradient(const Sums& dS, const Sums& P, Left left, Right right, const float* D, const Seen& seen) {
    for (int64_t p = 0; p < seen.panels(); p++) {
        Floats rest[VECTORS];
        for (int v = 0; v < VECTORS; v++) rest[v] = load<Floats>(D + seen.i.start + p * PANEL + v * LANES);
        for (int64_t j = 0; j < dS.rows; j += PAIR) {
            Unit* across = right.at + p * right.panel + j / PAIR * PANEL;
            const int64_t both = std::min<int64_t>(PAIR, dS.rows - j);
            if (!seen.some(j / ROWS, p)) {
                for (int64_t k = 0; k < both; k++)
                    std::memset((Element*)(left.at + (j + k) * left.row) + p * PANEL, 0, PANEL * sizeof(Element));
                std::memset(across, 0, PANEL * sizeof(Unit));
                continue;
            }
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                Floats made[PAIR] = {};
                for (int64_t k = 0; k < both; k++) {
                    const Floats w = load<Floats>(P.block(j + k, p) + v * LANES);
                    const Floats x = w * (load<Floats>(dS.block(j + k, p) + v * LANES) - rest[v]);
                    made[k] = w == 0.0f ? Floats{} : x;
                    put((Element*)(left.at + (j + k) * left.row) + p * PANEL + v * LANES, made[k]);
                }
#ifdef ATTOMETER_BF16
                const Words low = __builtin_convertvector(rounded(made[0]), Words);
                store(across + v * LANES, low | __builtin_convertvector(rounded(made[1]), Words) << 16);
#else
                store(across + v * LANES, made[0]);
#endif
            }
        }
    }
}

// D = rowsum(dO O) less the gradient of the log-sum-exp, and the log-sum-exp L, +inf for rows that see nothing.
template <class T> static void row_dots(const Head& head, Span i, float* L, float* D) {
    const Call& call = head.call;
    for (int64_t t = i.start; t < i.stop; t++) {
        const T *a = head.query<const T>(call.slope, t), *b = head.query<const T>(call.o, t);
        float total = 0;
        for (int64_t x = 0; x < call.e; x++) total += widen(a[x * call.slope.column]) * widen(b[x * call.o.column]);
        const float level = *head.query<const float>(call.lse, t);
        L[t] = level == -INF ? INF : level;
        D[t] = total - (call.lse_slope.data ? *head.query<const float>(call.lse_slope, t) : 0.0f);
    }
}
