// Products with rows of keys or values that are read once, one after another, as they lie: nothing is packed.
constexpr int64_t CHUNK = PANEL < 32 ? PANEL : 32;  // rows of which a product is formed at once: they stay in the L1 cache
constexpr int FEW = 4;         // rows of the result that a block has
// With short vectors lines of any width go two by two, so that a row of the left operand is read half as often, and rows to
// come are asked for (Zen 3, bf16: 1.15 times as fast; not timed with AVX-512, whose processors see by themselves what comes).
constexpr int LINES = VECTOR_BYTES < 64 ? 2 : 1;

// What lines hold: elements, or bf16 as it lies, which two instructions widen where it is multiplied.
template <class T> constexpr bool SHORT = std::is_same_v<T, Bfloat> && PAIR == 1;
template <class T> using LineOf = std::conditional_t<SHORT<T>, Bfloat, Element>;
static inline Units line(const Element* from) { return load<Units>(from); }
#ifndef ATTOMETER_DOUBLE
static inline Floats line(const Bfloat* from) {
#if defined(__AVX2__) && !defined(__AVX512F__)  // compilers widen halves of a vector
    return (Floats)((Ints)_mm256_cvtepu16_epi32(load<__m128i>(from)) << 16);
#else
    return (Floats)(__builtin_convertvector(load<Halves>(from), Words) << 16);
#endif
}
#endif

// Rows of x as whole vectors: where they lie, or copied where they are strided, of another type, or end early.
template <class T> class Lines {
    typedef LineOf<T> Held;
    const Operand &x, &scale;
    int64_t width, wide;
    bool lies;
    std::vector<Held> room, zeros;
    void copied(const Head& head, Held* to, const T* from, int64_t row) {
        if constexpr (CODED<T>) {
            const Real factor = *head.key<const float>(scale, row);
            if (x.column == 1)  // compilers make vectors of it
                for (int64_t k = 0; k < width; k++) to[k] = element(widen(from[k]) * factor);
            else
                for (int64_t k = 0; k < width; k++) to[k] = element(widen(from[k * x.column]) * factor);
        } else if constexpr (SHORT<T>) {
            for (int64_t k = 0; k < width; k++) to[k] = from[k * x.column];  // zeros stay behind it
        } else copy<T>((Unit*)to, from, x.column, width);
    }

  public:
    const Held* at[CHUNK];
    Lines(const Operand& x_, const Operand& scale_, int64_t w, int64_t whole)
        : x(x_), scale(scale_), width(w), wide(round_up(w, whole)), lies(x.column == 1 && sizeof(T) == sizeof(Held) && w == wide),
          room(lies ? 0 : CHUNK * wide), zeros(wide) {}
    // Row `keys[k]` for each of at most CHUNK keys.
    void take(const Head& head, const int32_t* keys, int64_t many) {
        for (int64_t k = 0; k < CHUNK; k++) {
            const T* from = k < many ? head.key<T>(x, keys[k]) : nullptr;
            at[k] = !from ? zeros.data() : lies ? (const Held*)from : &room[k * wide];
            if (from && !lies) copied(head, &room[k * wide], from, keys[k]);
        }
    }
    // Zeros for what a bias of -inf hides from a query: it may hold NaN.
    void leave_hidden(const Head& head, int64_t row, const int32_t* keys, int64_t many) {
        for (int64_t k = 0; k < many && head.call.bias.data; k++)
            if (hidden(head, row, keys[k])) at[k] = zeros.data();
    }
    void take(const Head& head, Span t) {
        int64_t k = 0;
        for (int64_t stop = std::min(CHUNK, t.size()); k < stop;) {
            const T* from = head.key<T>(x, t.start + k);
            for (int64_t last = std::min(stop, k + head.together(t.start + k)); k < last; k++, from += x.row) {
                at[k] = lies ? (const Held*)from : &room[k * wide];
                if (!lies) copied(head, &room[k * wide], from, t.start + k);
                for (int64_t u = 0; LINES > 1 && u < width; u += 64 / (int64_t)sizeof(T))
                    __builtin_prefetch(from + AHEAD * x.row + u * x.column);
            }
        }
        for (; k < CHUNK; k++) at[k] = zeros.data();
    }
};

// M rows of a times LANES lines of W vectors each, or of `wide` units where W is 0.
template <int M, int W, class E>
static void dots(Real* out, int64_t row, const Unit* a, int64_t left, const E* const* lines, int64_t wide) {
    constexpr int HELD = W > 0 ? W : 1;
    Units held[M][HELD];
    if (W > 0)
        for (int i = 0; i < M; i++)
            for (int w = 0; w < W; w++) held[i][w] = load<Units>(a + i * left + w * LANES);
    Floats x[M][LANES];
    constexpr int MANY = W > 0 ? 1 : LINES;
#pragma GCC unroll 16
    for (int t = 0; t < LANES; t += MANY) {
        Floats total[MANY][M] = {};
        if constexpr (W > 0) {
#pragma GCC unroll 4
            for (int w = 0; w < W; w++) {
                const Units y = line(lines[t] + w * LANES * PAIR);
#pragma GCC unroll 4
                for (int i = 0; i < M; i++) total[0][i] = add(total[0][i], held[i][w], y);
            }
        } else {
            for (int64_t u = 0; u < wide; u += LANES) {
                Units y[MANY];
#pragma GCC unroll 2
                for (int k = 0; k < MANY; k++) y[k] = line(lines[t + k] + u * PAIR);
#pragma GCC unroll 4
                for (int i = 0; i < M; i++)
#pragma GCC unroll 2
                    for (int k = 0; k < MANY; k++) total[k][i] = add(total[k][i], load<Units>(a + i * left + u), y[k]);
            }
        }
#pragma GCC unroll 4
        for (int i = 0; i < M; i++)
#pragma GCC unroll 2
            for (int k = 0; k < MANY; k++) x[i][t + k] = total[k][i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < M; i++) store(out + i * row, sums_of(x[i]));
}
template <class E> using Dots = void (*)(Real*, int64_t, const Unit*, int64_t, const E* const*, int64_t);
template <int M, class E> static Dots<E> of_length(int64_t wide) {
    return wide == 2 * LANES ? dots<M, 2, E> : wide == 4 * LANES ? dots<M, 4, E> : dots<M, 0, E>;
}
// M rows of O, N vectors wide, plus the weights of `many` lines times these. Where products are of pairs, two lines are
// interleaved within every 128 bits, one instruction each, and O's columns are in that order meanwhile.
#ifdef ATTOMETER_BF16
typedef uint16_t Line __attribute__((vector_size(VECTOR_BYTES)));
template <int HALF, int... L> static inline Units paired(Line a, Line b, std::integer_sequence<int, L...>) {
    return (Units)__builtin_shufflevector(a, b, (L / 8 * 8 + L % 8 / 2 + HALF * 4 + L % 2 * 2 * LANES)...);
}
template <int HALF> static inline Units paired(Line a, Line b) {
    return paired<HALF>(a, b, std::make_integer_sequence<int, 2 * LANES>{});
}
template <int HALF, int... L> static inline Floats apart(Floats a, Floats b, std::integer_sequence<int, L...>) {
    return __builtin_shufflevector(a, b, (L / 4 * 8 + L % 4 + HALF * 4)...);
}
template <int HALF, int... L> static inline Floats together(Floats a, Floats b, std::integer_sequence<int, L...>) {
    return __builtin_shufflevector(a, b, ((L / 8 + HALF * LANES / 8) * 4 + L % 4 + L / 4 % 2 * LANES)...);
}
#endif
template <int M, int N, class E>
static void weigh(
    Real* out, int64_t row, const Unit* weights, int64_t left, const E* const* lines, int64_t column, int64_t many) {
    Floats x[M][N];
#ifdef ATTOMETER_BF16
    constexpr auto lanes = std::make_integer_sequence<int, LANES>{};
#endif
#pragma GCC unroll 4
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j += PAIR) {
            x[i][j] = load<Floats>(out + i * row + j * LANES);
#ifdef ATTOMETER_BF16
            const Floats a = x[i][j], b = load<Floats>(out + i * row + (j + 1) * LANES);
            x[i][j] = apart<0>(a, b, lanes), x[i][j + 1] = apart<1>(a, b, lanes);
#endif
        }
    for (int64_t k = 0; k < many; k += PAIR) {
        Units y[N];
#pragma GCC unroll 4
        for (int j = 0; j < N; j += PAIR) {
#ifdef ATTOMETER_BF16
            const Line a = load<Line>(lines[k] + column + j * LANES), b = load<Line>(lines[k + 1] + column + j * LANES);
            y[j] = paired<0>(a, b), y[j + 1] = paired<1>(a, b);
#else
            y[j] = line(lines[k] + column + j * LANES);
#endif
        }
#pragma GCC unroll 4
        for (int i = 0; i < M; i++) {
            const Unit held = weights[i * left + k / PAIR];
#pragma GCC unroll 4
            for (int j = 0; j < N; j++) x[i][j] = add(x[i][j], held, y[j]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j += PAIR) {
#ifdef ATTOMETER_BF16
            const Floats a = x[i][j], b = x[i][j + 1];
            x[i][j] = together<0>(a, b, lanes), x[i][j + 1] = together<1>(a, b, lanes);
            store(out + i * row + (j + 1) * LANES, x[i][j + 1]);
#endif
            store(out + i * row + j * LANES, x[i][j]);
        }
}

// out = a x^T
template <class T>
static void contract_rows(const Sums& out, Left a, const Operand& x, const Operand& scale, int64_t width, const Seen& seen) {
    const Span t = seen.j;
    const int64_t wide = round_up(units(width), LANES);
    typedef LineOf<T> E;
    const Dots<E> made[] = {of_length<1, E>(wide), of_length<2, E>(wide), of_length<3, E>(wide), of_length<4, E>(wide)};
    Lines<T> lines(x, scale, width, LANES * PAIR);
    std::vector<Unit> whole((size_t)(out.rows * wide));
    for (int64_t r = 0; r < out.rows; r++) std::copy_n(a.at + r * a.row, units(width), &whole[r * wide]);
    for (int64_t at = 0; at < t.size(); at += CHUNK) {
        if (!seen.some(at / PANEL)) continue;
        lines.take(seen.head, {t.start + at, t.stop});
        for (int64_t k = 0; k < CHUNK; k += LANES)
            for (int64_t r = 0; r < out.rows; r += FEW)
                made[std::min<int64_t>(FEW, out.rows - r) - 1](
                    out.at + r * out.row + at + k, out.row, &whole[r * wide], wide, lines.at + k, wide);
    }
}
constexpr int64_t BLOCK = 2 * LANES;  // columns of a product with lines come in so many
// out += a x for `many` lines, all columns
template <int N, class E>
static void weigh_rows(const Sums& out, Left a, const E* const* lines, int64_t column, int64_t many) {
    constexpr decltype(&weigh<1, N, E>) made[] = {weigh<1, N, E>, weigh<2, N, E>, weigh<3, N, E>, weigh<4, N, E>};
    for (int64_t r = 0; r < out.rows; r += FEW)
        made[std::min<int64_t>(FEW, out.rows - r) - 1](
            out.at + r * out.row + column, out.row, a.at + r * a.row, a.row, lines, column, many);
}
template <class E> static void weigh_rows(const Sums& out, Left a, const E* const* lines, int64_t many) {
    const int64_t wide = round_up(out.columns, BLOCK);
    for (int64_t column = 0; column < wide; column += 2 * BLOCK)
        (wide - column >= 2 * BLOCK ? weigh_rows<4, E> : weigh_rows<2, E>)(out, a, lines, column, many);
}
template <class T>
static void contract_along(const Sums& out, Left a, const Operand& x, const Operand& scale, int64_t width, const Seen& seen) {
    const Span t = seen.j;
    Lines<T> lines(x, scale, width, BLOCK);
    for (int64_t r = 0; r < out.rows; r += ROWS)  // blocks that see nothing were left without weights
        for (int64_t p = -1, last = seen.panels(); (p = seen.next_panel(r / ROWS, p + 1, last, false)) < last;)
            for (int64_t k = r; k < std::min<int64_t>(out.rows, r + ROWS); k++)
                std::fill_n(a.at + k * a.row + p * (PANEL / PAIR), PANEL / PAIR, Unit{});
    for (int64_t at = 0; at < t.size(); at += CHUNK) {
        if (!seen.some(at / PANEL)) continue;
        lines.take(seen.head, {t.start + at, t.stop});
        weigh_rows(out, {a.at + at / PAIR, a.row}, lines.at, CHUNK);
    }
}
// Whether all values are finite that a tile's keys have.
template <class T> static bool finite_values(const Head& head, Span j) {
    const Call& call = head.call;
    if constexpr (CODED<T>) {
        for (int64_t t = j.start; t < j.stop; t++)
            if (!std::isfinite(*head.key<const float>(call.v_scale, t))) return false;
        return true;
    } else return finite<T>([&](int64_t t) { return head.key<T>(call.v, t); }, j, call.e, call.v.column);
}
