// Tiles in fast memory, packing them for products, and the product itself.
struct Sums {  // a tile of sums: rows by panels of columns
    Real* at;
    int64_t rows, columns, row, panel;  // panel: the distance of panels, PANEL where a row lies in one piece
    Real* block(int64_t r, int64_t p) const { return at + r * row + p * panel; }
};
struct Left {  // a left operand: rows of units, the summed axis inside
    Unit* at;
    int64_t row;
};
struct Right {  // a right operand: panels of columns; in a panel, one row of columns for each unit of the summed axis
    Unit* at;
    int64_t panel;
    const char* finite;  // for each tile of its first axis, whether all of it is finite; null where nobody asks
    Right(Unit* a, int64_t p, const char* f = nullptr) : at(a), panel(p), finite(f) {}
};

static inline Sums sums(Fast& fast, int64_t rows, int64_t columns) {
    int64_t row = round_up(columns, PANEL);
    if (row % 256 == 0) row += 2 * LANES;  // rows a power of 2 apart would share few sets of the cache
    return {fast.of<Real>(rows * row), rows, columns, row, PANEL};
}
static inline void fill(const Sums& x, Real value) { std::fill(x.at, x.at + x.rows * x.row, value); }

static inline int64_t units(int64_t elements) { return round_up(ceil_div(elements, PAIR), STEP); }
static inline Left left(Fast& fast, int64_t rows, int64_t summed) {
    return {fast.of<Unit>(rows * units(summed)), units(summed)};
}
static inline Right right(Fast& fast, int64_t columns, int64_t summed) {
    return {fast.of<Unit>(round_up(columns, PANEL) * units(summed)), units(summed) * PANEL};
}
// The part of a packed operand from a tile on: of its columns, or of its summed axis.
static inline Right columns_from(const Right& x, Span t) { return {x.at + t.start / PANEL * x.panel, x.panel}; }
static inline Right units_from(const Right& x, Span t, int64_t tile) {
    return {x.at + t.start / PAIR * PANEL, x.panel, x.finite ? x.finite + t.start / tile : nullptr};
}
// Weights as a left operand, in the scores' own memory unless these are needed again: each is written behind what is read.
static inline Left weights_of(Fast& fast, const Sums& P, bool apart) {
    if (!apart) return {(Unit*)P.at, P.row};
    return {fast.of<Unit>(P.rows * P.row / PAIR), P.row / PAIR};
}

// Whether a row of T is a row of elements without a copy.
template <class T> static inline bool as_it_lies(int64_t stride) { return stride == 1 && sizeof(T) == sizeof(Element); }
// Copy `count` elements, `stride` apart, to a row of units; what lies beyond them in the last step is 0.
template <class T> static inline void copy(Unit* to, const T* from, int64_t stride, int64_t count) {
    Element* out = (Element*)to;
    if (as_it_lies<T>(stride)) {
        std::memcpy(out, from, count * sizeof(T));
    } else if (stride == 1) {
        int64_t k = 0;
#if defined(ATTOMETER_HALF) && defined(__AVX512F__)  // compilers widen halves one by one
        for (; k + LANES <= count; k += LANES) store(out + k, _mm512_cvtph_ps(load<__m256i>(from + k)));
#elif defined(ATTOMETER_HALF) && defined(__F16C__)
        for (; k + LANES <= count; k += LANES) store(out + k, _mm256_cvtph_ps(load<__m128i>(from + k)));
#endif
        for (; k < count; k++) out[k] = element(widen(from[k]));
    } else {
        for (int64_t k = 0; k < count; k++) out[k] = element(widen(from[k * stride]));
    }
    for (int64_t k = count; k < units(count) * PAIR; k++) out[k] = Element{};
}

// Ask for a row that is packed later: rows of a cache come from memory, and few are in flight without asking.
constexpr int64_t AHEAD = 64;
template <class T, class Row> static inline void ask(Row row, Span t, int64_t at, int64_t width, int64_t stride) {
    if (stride != 1 || at + AHEAD >= t.stop) return;
    const T* from = row(at + AHEAD);
    for (int64_t x = 0; x < width; x += 64 / (int64_t)sizeof(T)) __builtin_prefetch(from + x);
}

// rows t of x, units along their width
template <class T, class Row>
static void pack_left(Left to, Row row, Span t, int64_t width, int64_t stride) {
    for (int64_t k = 0; k < t.size(); k++) copy<T>(to.at + k * to.row, row(t.start + k), stride, width);
}
// rows: the columns of x; units along t
template <class T, class Row> static void pack_left_across(Left to, Row row, Span t, int64_t width, int64_t stride) {
    for (int64_t k = 0; k < units(t.size()) * PAIR; k++) {
        const T* from = k < t.size() ? row(t.start + k) : nullptr;
        for (int64_t c = 0; c < width; c++)
            ((Element*)(to.at + c * to.row))[k] = from ? element(widen(from[c * stride])) : Element{};
    }
}
// columns: the rows t of x; units along their width
template <class T, class Row> static void pack_right(Right to, Row row, Span t, int64_t width, int64_t stride) {
    const int64_t deep = units(width), padded = round_up(deep, LANES);
    std::vector<Unit> lines((size_t)(LANES * padded));
    for (int64_t c = 0; c < round_up(t.size(), PANEL); c += LANES) {
        Unit* out = to.at + c / PANEL * to.panel + c % PANEL;
        const Unit* from[LANES];
        for (int64_t k = 0; k < LANES; k++) {
            from[k] = &lines[k * padded];
            ask<T>(row, t, t.start + c + k, width, stride);
            if (c + k >= t.size()) std::fill_n(&lines[k * padded], padded, Unit{});
            else if (as_it_lies<T>(stride) && width % (LANES * PAIR) == 0) from[k] = (const Unit*)row(t.start + c + k);
            else copy<T>(&lines[k * padded], row(t.start + c + k), stride, width);
        }
        for (int64_t u = 0; u < deep; u += LANES) {
            Units x[LANES];
#pragma GCC unroll 16
            for (int k = 0; k < LANES; k++) x[k] = load<Units>((const char*)from[k] + u * sizeof(Unit));
            transpose(x);
            for (int64_t k = 0; k < std::min<int64_t>(LANES, deep - u); k++) store(out + (u + k) * PANEL, x[k]);
        }
    }
}
// columns: the columns of x; units along t
template <class T, class Row> static void pack_right_along(Right to, Row row, Span t, int64_t width, int64_t stride) {
    const int64_t wide = round_up(width, PANEL);
    std::vector<Element> lines((size_t)(PAIR * wide), Element{});
    for (int64_t u = 0; u < units(t.size()); u++) {
        const Element* from[PAIR];
        for (int64_t k = 0; k < PAIR; k++) {
            const int64_t at = u * PAIR + k;
            Element* line = &lines[k * wide];
            from[k] = line;
            ask<T>(row, t, t.start + at, width, stride);
            if (at >= t.size()) std::fill_n(line, width, Element{});
            else if (as_it_lies<T>(stride) && width == wide) from[k] = (const Element*)row(t.start + at);
            else copy<T>((Unit*)line, row(t.start + at), stride, width);
        }
        for (int64_t c = 0; c < wide; c += LANES) {
            Unit* out = to.at + c / PANEL * to.panel + u * PANEL + c % PANEL;
#ifdef ATTOMETER_BF16
            const Words low = __builtin_convertvector(load<Halves>(from[0] + c), Words);
            store(out, low | __builtin_convertvector(load<Halves>(from[1] + c), Words) << 16);
#else
            store(out, load<Floats>(from[0] + c));
#endif
        }
    }
}

// 0 for what is not finite: a key or query that is hidden from another may hold NaN, and 0 times NaN is NaN. Where it is
// seen, its score is NaN too and says so.
static inline void clean(Unit* at, int64_t count) {
#if defined(ATTOMETER_BF16)
    for (int64_t k = 0; k < 2 * count; k++)
        if ((((Element*)at)[k] & 0x7F80) == 0x7F80) ((Element*)at)[k] = 0;
#else
    for (int64_t k = 0; k < count; k++) at[k] = at[k] - at[k] == 0 ? at[k] : 0;
#endif
}
static void clean(Left x, int64_t rows) { clean(x.at, rows * x.row); }
static void clean(Right x, int64_t columns, int64_t summed) {
    for (int64_t p = 0; p < ceil_div(columns, PANEL); p++) clean(x.at + p * x.panel, units(summed) * PANEL);
}

#ifdef ATTOMETER_AMX
// Products in tile registers: 0 to 3 sum 2 by 2 tiles of 16 by 16, 4 and 5 hold the left operand's, 6 and 7 the right one's.
struct alignas(64) TileShapes {
    uint8_t palette = 1, start = 0, unused[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {};
    explicit TileShapes(int64_t wanted) {
        const uint8_t first = (uint8_t)std::min<int64_t>(wanted, 16), second = (uint8_t)std::max<int64_t>(wanted - 16, 1);
        for (int k : {0, 1, 4}) rows[k] = first;
        for (int k : {2, 3, 5}) rows[k] = second;
        for (int k : {6, 7}) rows[k] = STEP;
        std::atomic_signal_fence(std::memory_order_seq_cst);  // compilers do not know all that tile instructions read
        _tile_loadconfig(this);
    }
};
// A register block: c += a b, M tiles of rows by two of columns, over `depth` units.
template <int M>
static void block(Real* c, int64_t row, const Unit* a, int64_t left, const Unit* b, int64_t depth, bool fresh) {
    const int64_t across = row * sizeof(Real), along = left * sizeof(Unit), down = PANEL * sizeof(Unit);
    if (fresh) {
        _tile_zero(0);
        _tile_zero(1);
        if (M > 1) _tile_zero(2);
        if (M > 1) _tile_zero(3);
    } else {
        _tile_loadd(0, c, across);
        _tile_loadd(1, c + 16, across);
        if (M > 1) _tile_loadd(2, c + 16 * row, across);
        if (M > 1) _tile_loadd(3, c + 16 * row + 16, across);
    }
    for (int64_t k = 0; k < depth; k += STEP) {
        _tile_loadd(4, a + k, along);
        _tile_loadd(6, b + k * PANEL, down);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + k * PANEL + 16, down);
        _tile_dpbf16ps(1, 4, 7);
        if (M > 1) _tile_loadd(5, a + 16 * left + k, along);
        if (M > 1) _tile_dpbf16ps(2, 5, 6);
        if (M > 1) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, across);
    _tile_stored(1, c + 16, across);
    if (M > 1) _tile_stored(2, c + 16 * row, across);
    if (M > 1) _tile_stored(3, c + 16 * row + 16, across);
}

// out += a b over `depth` units; `range(row block, panel, units)` says which of the units matter to a register block first.
template <class Range>
static void contract(const Sums& out, Left a, Right b, int64_t depth, bool fresh, Range range) {
    for (int64_t start = 0, stop; start < out.rows; start = stop) {  // whole blocks, then the rest in tiles of fewer rows
        stop = out.rows - start < ROWS ? out.rows : out.rows / ROWS * ROWS;
        const TileShapes held(std::min<int64_t>(stop - start, ROWS));
        const auto made = stop - start > 16 ? block<2> : block<1>;
        for (int64_t p = 0; p * PANEL < out.columns; p++)
            for (int64_t k = 0; k < depth; k += DEPTH)
                for (int64_t r = start; r < stop; r += ROWS)
                    for (Span left{k, std::min(depth, k + DEPTH)}; left.size() > 0;) {
                        const Span seen = range(r / ROWS, p, left);
                        if (seen.size() <= 0) break;
                        left.start = seen.stop;
                        // As wide as a step sums: the product may be the next one's operand.
                        for (int64_t c = 0; c < PANEL && p * PANEL + c < out.columns; c += STEP * PAIR)
                            made(
                                out.block(r, p) + c, out.row, a.at + r * a.row + seen.start, a.row,
                                b.at + p * b.panel + seen.start * PANEL + c, seen.size(), fresh && k == 0);
                    }
    }
    _tile_release();
}
#else
// A register block: c += a b, M rows by N vectors, over `depth` units.
template <int M, int N>
static void block(Real* c, int64_t row, const Unit* a, int64_t left, const Unit* b, int64_t depth, bool fresh) {
    Floats x[M][N];
#pragma GCC unroll 8
    for (int i = 0; i < M; i++)
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) x[i][j] = Floats{};
#pragma GCC unroll UNROLLED
    for (int64_t k = 0; k < depth; k++) {
        Units y[N];
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) y[j] = load<Units>(b + k * PANEL + j * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            const Unit held = a[i * left + k];
#pragma GCC unroll 8
            for (int j = 0; j < N; j++) x[i][j] = add(x[i][j], held, y[j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; i++)
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) {
            // What was there is added last: sums that start at 0 stay in registers.
            Real* to = c + i * row + j * LANES;
            store(to, fresh ? x[i][j] : load<Floats>(to) + x[i][j]);
        }
}
typedef void (*Block)(Real*, int64_t, const Unit*, int64_t, const Unit*, int64_t, bool);
template <int M> static Block of_width(int vectors) {
    if constexpr (VECTORS == 4) {
        static const Block made[] = {block<M, 1>, block<M, 2>, block<M, 3>, block<M, 4>};
        return made[vectors - 1];
    }
    return vectors == 1 ? block<M, 1> : block<M, 2>;
}
static Block of_shape(int64_t rows, int vectors) {
    switch (rows) {
        case 1: return of_width<1>(vectors);
        case 2: return of_width<2>(vectors);
        case 3: return of_width<3>(vectors);
        case 4: return of_width<4>(vectors);
        case 5: return of_width<5>(vectors);
        default: return of_width<ROWS>(vectors);
    }
}

// out += a b over `depth` units; `range(row block, panel, units)` says which of the units matter to a register block first.
template <class Range>
static void contract(const Sums& out, Left a, Right b, int64_t depth, bool fresh, Range range) {
    for (int64_t p = 0; p * PANEL < out.columns; p++) {
        const int vectors = (int)ceil_div(std::min<int64_t>(PANEL, out.columns - p * PANEL), LANES);
        const Block whole = of_shape(ROWS, vectors), rest = of_shape(out.rows % ROWS, vectors);
        for (int64_t k = 0; k < depth; k += DEPTH)
            for (int64_t r = 0; r < out.rows; r += ROWS)
                for (Span left{k, std::min(depth, k + DEPTH)}; left.size() > 0;) {
                    const Span held = range(r / ROWS, p, left);
                    if (held.size() <= 0) break;
                    left.start = held.stop;
                    (r + ROWS <= out.rows ? whole : rest)(
                        out.block(r, p), out.row, a.at + r * a.row + held.start, a.row,
                        b.at + p * b.panel + held.start * PANEL, held.size(), fresh && k == 0);
                }
    }
}
#endif
