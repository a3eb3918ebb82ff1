// What is done to scores before the softmax: soft cap, then additive biases and ALiBi; and dropout of weights after it.
constexpr Real LOG2E = (Real)1.4426950408889634;
constexpr Real INF = std::numeric_limits<Real>::infinity();

// Whether scores are more than scaled products: then they are bent in place, and the steps that follow take them as they are.
static inline bool bent(const Call& call) { return call.cap > 0 || call.slopes || call.bias.data || call.sinks; }
static inline Real score_scale(const Call& call) { return bent(call) ? (Real)1 : (Real)call.scale; }

// tanh: by its series where 1 - e^(-2|x|) would cancel. Relative error below 2e-7.
static inline Floats tanh_of(Floats x) {
#ifdef ATTOMETER_DOUBLE
    for (int l = 0; l < LANES; l++) x[l] = std::tanh(x[l]);
    return x;
#else
    const Floats size = x < 0.0f ? -x : x, e = power2(size * (-2 * LOG2E)), far = (1.0f - e) / (1.0f + e), s = x * x;
    const Floats near = ((((s * 0.021869488f - 0.053968254f) * s + 0.13333333f) * s - 0.33333333f) * s + 1.0f) * x;
    return size < 0.3f ? near : x < 0.0f ? -far : far;
#endif
}
// cap tanh(x / cap), and its slope 1 - tanh^2.
static inline Floats capped(Floats x, Real cap, Floats* slope) {
    const Floats t = tanh_of(x / cap);
    *slope = 1.0f - t * t;
    return t * cap;
}

// The additive bias of a query, by its row in memory.
static inline const Real* bias_row(const Head& head, int64_t row) {
    const Operand& x = head.call.bias;
    return (const Real*)x.data + head.batch * x.batch + head.query_head(row) * x.head + row % head.call.n * x.row;
}
static inline bool hidden(const Head& head, int64_t row, int64_t j) {
    return head.call.bias.data && bias_row(head, row)[j * head.call.bias.column] == -INF;
}
// The position of a query among the keys: queries stand at the last n of them.
static inline int64_t position(const Head& head, int64_t row) { return row % head.call.n + head.keys() - head.call.n; }

// A key that is hidden by -inf may hold NaN.
static inline Floats plus(Floats x, Floats b) { return b == -INF ? b : x + b; }

// Scores of one query with the keys key(0), key(1), ..., of which `many` exist; `bow` takes the soft cap's slopes.
template <class Key> static inline Floats bend(Floats x, const Head& head, int64_t row, int64_t many, Key key, Floats* bow) {
    const Call& call = head.call;
    const Real slope = call.slopes ? call.slopes[head.query_head(row)] : 0;
    x *= (Real)call.scale;
    if (call.cap > 0) x = capped(x, (Real)call.cap, bow);
    if (slope != 0) {
        Floats far = {};
        for (int64_t l = 0; l < std::min<int64_t>(LANES, many); l++) far[l] = (Real)std::abs(position(head, row) - key(l));
        x -= far * slope;
    }
    if (call.bias.data && many > 0) {
        const Real* added = bias_row(head, row);
        Floats b = {};
        for (int64_t l = 0; l < std::min<int64_t>(LANES, many); l++) b[l] = added[key(l) * call.bias.column];
        x = plus(x, b);
    }
    return x;
}
// Scores of a tile whose rows are queries.
static void bend(const Sums& P, const Seen& seen) {
    const Head& head = seen.head;
    Floats unused;
    for (int64_t t = 0; t < P.rows; t++)
        for (int64_t p = 0; p < seen.panels(); p++) {
            if (!seen.some(t / ROWS, p)) continue;
            for (int64_t k = p * PANEL; k < (p + 1) * PANEL; k += LANES) {
                const int64_t j = seen.j.start + k;
                Real* at = P.at + t * P.row + k;
                store(at, bend(load<Floats>(at), head, seen.i.start + t, head.keys() - j, [&](int64_t l) { return j + l; }, &unused));
            }
        }
}
// Scores of a tile whose rows are keys; `slopes` takes the soft cap's.
static void bend_across(const Sums& P, const Seen& seen, const Sums& slopes) {
    const Head& head = seen.head;
    const Call& call = head.call;
    for (int64_t p = 0; p < seen.panels(); p++) {
        const Real* added[PANEL] = {};
        Real slope[PANEL] = {}, at[PANEL] = {};
        for (int64_t q = 0; q < std::min<int64_t>(PANEL, seen.i.size() - p * PANEL); q++) {
            const int64_t row = seen.i.start + p * PANEL + q;
            if (call.bias.data) added[q] = bias_row(head, row);
            if (call.slopes) slope[q] = call.slopes[head.query_head(row)];
            at[q] = (Real)position(head, row);
        }
        for (int64_t j = 0; j < P.rows; j++) {
            if (!seen.some(j / ROWS, p)) continue;
            for (int64_t k = 0; k < PANEL; k += LANES) {
                Floats x = load<Floats>(P.block(j, p) + k) * (Real)call.scale, bow;
                if (call.cap > 0) {
                    x = capped(x, (Real)call.cap, &bow);
                    store(slopes.block(j, p) + k, bow);
                }
                if (call.slopes) {
                    const Floats far = load<Floats>(at + k) - (Real)(seen.j.start + j);
                    x -= (far < 0.0f ? -far : far) * load<Floats>(slope + k);
                }
                if (call.bias.data) {
                    Floats b = {};
                    for (int64_t l = 0; l < LANES; l++)
                        if (added[k + l]) b[l] = added[k + l][(seen.j.start + j) * call.bias.column];
                    x = plus(x, b);
                }
                store(P.block(j, p) + k, x);
            }
        }
    }
}

// Dropout by counters: whether a weight is kept depends on the seed, its batch entry, head, query and key alone, so that
// tiles in any order, and the backward pass, find the same. The mixing is Chris Wellons' lowbias32.
static inline uint32_t mixed(uint32_t x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}
static inline uint32_t row_key(const Head& head, int64_t row) {
    const Call& call = head.call;
    const uint64_t id = (uint64_t)((head.batch * call.h + head.query_head(row)) * call.n + row % call.n);
    return mixed((uint32_t)id ^ mixed((uint32_t)(id >> 32) ^ mixed((uint32_t)call.seed ^ mixed((uint32_t)(call.seed >> 32)))));
}
template <class At> static inline Floats drawn(const Call& call, At at) {
    const uint32_t below = (uint32_t)(call.dropout * 4294967296.0);
    const Real kept = (Real)(1 / (1 - call.dropout));
    Floats x;
    for (int64_t l = 0; l < LANES; l++) x[l] = mixed(at(l)) >= below ? kept : (Real)0;
    return x;
}
// Of one query and the keys key(0), key(1), ...; of the queries that `rows` are the keys of, and one key.
template <class Key> static inline Floats dropped(const Call& call, uint32_t row, Key key) {
    return drawn(call, [&](int64_t l) { return row ^ (uint32_t)key(l) * 0x9E3779B1u; });
}
static inline Floats dropped(const Call& call, const uint32_t* rows, int64_t j) {
    return drawn(call, [&](int64_t l) { return rows[l] ^ (uint32_t)j * 0x9E3779B1u; });
}
static void row_keys(std::vector<uint32_t>& keys, const Seen& seen, int64_t p) {
    keys.assign(PANEL, 0);
    for (int64_t q = 0; q < std::min<int64_t>(PANEL, seen.i.size() - p * PANEL); q++)
        keys[q] = row_key(seen.head, seen.i.start + p * PANEL + q);
}
