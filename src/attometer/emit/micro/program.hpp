// What nests of Programs are written in: tiles of real numbers R, products of tiles, masks by tiles, and functions.
typedef Real R;  // of tiles, and of what is kept between phases
constexpr R INF = std::numeric_limits<R>::infinity();
template <class X> struct Bits;
template <> struct Bits<float> { typedef int32_t Flag; };
template <> struct Bits<double> { typedef int64_t Flag; };
typedef typename Bits<R>::Flag Flag;  // as wide as a real number, so that a loop over both is one vector loop

struct Array {  // a tensor in slow memory, by the axes of its nest
    void* data;
    int64_t stride[8];
};
struct Relation {  // a mask: the sorted intervals of keys that each query sees, [intervals][queries]
    const int32_t *starts, *ends;
    int64_t intervals, queries;
};
struct Problem {
    const Array* arrays;
    const Relation* masks;
    const int64_t *extents, *tiles;
    const double* sizes;
    int64_t array_count, mask_count, extent_count, tile_count, size_count, threads;
};

// --- functions: written out in float, so that loops over them become vector code --------------------------------------
static inline float from_bits(uint32_t x) {
    float made;
    std::memcpy(&made, &x, 4);
    return made;
}
// e^x: x = k ln 2 + f with |f| <= ln 2 / 2, a polynomial of degree 6 (relative error 1.2e-7), and two powers of 2.
static inline float exp_(float x) {
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    const float magic = 12582912.0f, shifted = x * 1.44269504088896341f + magic, k = shifted - magic;
    const float f = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    uint32_t bits;
    std::memcpy(&bits, &shifted, 4);
    const int32_t power = (int32_t)(bits - 0x4B400000u), half = power >> 1;
    return p * from_bits((uint32_t)(half + 127) << 23) * from_bits((uint32_t)(power - half + 127) << 23);
}
static inline double exp_(double x) { return std::exp(x); }
static inline float tanh_(float x) {
    const float a = x < 0 ? -x : x, far = 1.0f - 2.0f / (exp_(2.0f * a) + 1.0f), s = x * x;
    float p = 62.0f / 2835.0f;  // the series, where 1 - 2 / (e^2x + 1) would cancel
    p = p * s - 17.0f / 315.0f;
    p = p * s + 2.0f / 15.0f;
    p = p * s - 1.0f / 3.0f;
    const float near = x + x * s * p;
    return a < 0.25f ? near : x < 0 ? -far : far;
}
static inline double tanh_(double x) { return std::tanh(x); }
static inline R sigmoid_(R x) { return R(1) / (R(1) + exp_(-x)); }
static inline R silu_(R x) { return x / (R(1) + exp_(-x)); }
static inline R log_(R x) { return std::log(x); }
static inline R erf_(R x) { return std::erf(x); }
static inline R gelu_(R x) { return R(0.5) * x * (R(1) + std::erf(x * R(0.70710678118654752))); }
static inline R softplus_(R x) { return (x > 0 ? x : R(0)) + std::log1p(exp_(x > 0 ? -x : x)); }
static inline R sqrt_(R x) { return std::sqrt(x); }
static inline R rsqrt_(R x) { return R(1) / std::sqrt(x); }
static inline R relu_(R x) { return x < 0 ? R(0) : x; }
static inline R cos_(R x) { return std::cos(x); }
static inline R sin_(R x) { return std::sin(x); }
static inline R sign_(R x) { return x > 0 ? R(1) : x < 0 ? R(-1) : x; }
static inline R abs_(R x) { return x < 0 ? -x : x; }
static inline R square_(R x) { return x * x; }
static inline R floor_(R x) { return std::floor(x); }
static inline R maximum_(R a, R b) { return a > b || a != a ? a : b; }
static inline R minimum_(R a, R b) { return a < b || a != a ? a : b; }
static inline R pow_(R a, R b) { return std::pow(a, b); }
static inline R less_(R a, R b) { return a < b ? R(1) : R(0); }
static inline R equal_(R a, R b) { return a == b ? R(1) : R(0); }

// --- tiles ------------------------------------------------------------------------------------------------------------
template <int D> struct Tile {  // the last axis lies in one piece
    R* at;
    int64_t stride[D];
};
template <> struct Tile<0> { R* at; };

template <class E, int D> static void gather(const E* from, const int64_t* step, R* to, const int64_t* stride, const int64_t* size) {
    if constexpr (D == 0) {
        *to = (R)widen(*from);
    } else if constexpr (D == 1) {
        if (step[0] == 1)
            for (int64_t k = 0; k < size[0]; k++) to[k] = (R)widen(from[k]);
        else
            for (int64_t k = 0; k < size[0]; k++) to[k] = (R)widen(from[k * step[0]]);
    } else {
        for (int64_t k = 0; k < size[0]; k++)
            gather<E, D - 1>(from + k * step[0], step + 1, to + k * stride[0], stride + 1, size + 1);
    }
}
template <class E, int D> static void scatter(E* to, const int64_t* step, const R* from, const int64_t* stride, const int64_t* size) {
    if constexpr (D == 0) {
        narrow(*from, to);
    } else if constexpr (D == 1) {
        for (int64_t k = 0; k < size[0]; k++) narrow(from[k], to + k * step[0]);
    } else {
        for (int64_t k = 0; k < size[0]; k++)
            scatter<E, D - 1>(to + k * step[0], step + 1, from + k * stride[0], stride + 1, size + 1);
    }
}
// A tile of a tensor of E: as it lies where its last axis is in one piece and nothing is to be converted, else copied.
template <class E, int D, bool KEPT>
static void load_tile(Tile<D>& tile, const Tile<D>& room, const E* from, const int64_t* step, const int64_t* size) {
    if constexpr (KEPT && std::is_same<E, R>::value) {
        bool lies = true;
        if constexpr (D > 0) lies = step[D - 1] == 1 || size[D - 1] == 1;
        if (lies) {
            tile.at = (R*)from;
            if constexpr (D > 0)
                for (int d = 0; d < D; d++) tile.stride[d] = step[d];
            return;
        }
    }
    tile = room;
    if constexpr (D == 0) gather<E, 0>(from, step, tile.at, step, size);
    else gather<E, D>(from, step, tile.at, tile.stride, size);
}

// --- masks ------------------------------------------------------------------------------------------------------------
enum Seen { NONE, SOME, ALL };
static Seen seen_by(const Relation& mask, Span q, Span k) {
    bool none = true, all = true;
    for (int64_t t = q.start; t < q.stop && (none || all); t++) {
        int64_t here = 0;
        for (int64_t x = 0; x < mask.intervals; x++) {
            const int64_t a = std::max<int64_t>(mask.starts[x * mask.queries + t], k.start);
            const int64_t b = std::min<int64_t>(mask.ends[x * mask.queries + t], k.stop);
            here += std::max<int64_t>(0, b - a);
        }
        none = none && here == 0;
        all = all && here == k.size();
    }
    return none ? NONE : all ? ALL : SOME;
}
// Flags of a tile's pairs: `q` and `k` are the distances of queries and of keys.
static void flags_of(const Relation& mask, Span queries, Span keys, Flag* to, int64_t q, int64_t k) {
    if (k == 1)
        for (int64_t t = 0; t < queries.size(); t++) std::fill_n(to + t * q, keys.size(), 0);
    else
        for (int64_t x = 0; x < keys.size(); x++) std::fill_n(to + x * k, queries.size(), 0);
    for (int64_t t = 0; t < queries.size(); t++) {
        for (int64_t x = 0; x < mask.intervals; x++) {
            const int64_t a = std::max<int64_t>(mask.starts[x * mask.queries + queries.start + t], keys.start);
            const int64_t b = std::min<int64_t>(mask.ends[x * mask.queries + queries.start + t], keys.stop);
            for (int64_t at = a; at < b; at++) to[t * q + (at - keys.start) * k] = 1;
        }
    }
}

static inline bool sees(const Relation& mask, int64_t query, int64_t key) {
    for (int64_t x = 0; x < mask.intervals; x++)
        if (key >= mask.starts[x * mask.queries + query] && key < mask.ends[x * mask.queries + query]) return true;
    return false;
}

// --- places that are computed -----------------------------------------------------------------------------------------
static inline bool inside(int64_t at, int64_t extent) { return at >= 0 && at < extent; }
static inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static inline int64_t floor_mod(int64_t a, int64_t b) { return a % b + (a % b < 0 ? b : 0); }
// Places in the order of their keys, equal ones as they stand and what is no number last.
static void sort_by(const std::vector<R>& keys, std::vector<int64_t>& order, bool largest) {
    for (size_t k = 0; k < order.size(); k++) order[k] = (int64_t)k;
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        if (keys[b] != keys[b]) return keys[a] == keys[a];
        return largest ? keys[a] > keys[b] : keys[a] < keys[b];
    });
}

// --- products ---------------------------------------------------------------------------------------------------------
struct Room {  // packed operands of a product, as large as they were needed so far
    std::vector<R> left, right;
};
struct Matrix {
    const R* at;
    int64_t row, column;
};
// out[rows, columns] += a[rows, depth] b[depth, columns]: b in panels of columns, a in rows that lie in one piece.
static void multiply(R* out, int64_t step, int64_t rows, int64_t columns, Matrix a, Matrix b, int64_t depth, bool fresh, Room& room) {
    if (a.column != 1 && depth > 1) {
        if ((int64_t)room.left.size() < rows * depth) room.left.resize(rows * depth);
        for (int64_t k = 0; k < depth; k++)
            for (int64_t r = 0; r < rows; r++) room.left[r * depth + k] = a.at[r * a.row + k * a.column];
        a = {room.left.data(), depth, 1};
    }
    const int64_t wide = round_up(columns, PANEL) * depth;
    if ((int64_t)room.right.size() < wide) room.right.resize(wide);
    const Right packed(room.right.data(), depth * PANEL);
    if (b.column == 1) pack_right_along<R>(packed, [&](int64_t k) { return b.at + k * b.row; }, Span{0, depth}, columns, 1);
    else pack_right<R>(packed, [&](int64_t c) { return b.at + c * b.column; }, Span{0, columns}, depth, b.row);
    contract({out, rows, columns, step, PANEL}, {(Unit*)a.at, a.row}, packed, depth, fresh, [](int64_t, int64_t, Span k) { return k; });
}

// Numbers too small for their digits are 0 while a phase runs: weights that die out along a row would cost hundreds of cycles.
struct Flushed {
#if defined(__SSE__)
    unsigned before = __builtin_ia32_stmxcsr();
    Flushed() { __builtin_ia32_ldmxcsr(before | 0x8040); }
    ~Flushed() { __builtin_ia32_ldmxcsr(before); }
#elif defined(__aarch64__)
    uint64_t before;
    Flushed() {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" ::"r"(before | (uint64_t)1 << 24));
    }
    ~Flushed() { asm volatile("msr fpcr, %0" ::"r"(before)); }
#else
    Flushed() {}
#endif
};

// --- calls ------------------------------------------------------------------------------------------------------------
static int refused(const Problem& p, const int* bytes, const int64_t* counts) {
    const int64_t found[] = {p.array_count, p.mask_count, p.extent_count, p.tile_count, p.size_count};
    for (int k = 0; k < 5; k++)
        if (found[k] != counts[k]) return BAD_SIZE;
    if (!p.arrays || (p.mask_count && !p.masks) || !p.extents || !p.tiles || (p.size_count && !p.sizes)) return NULL_POINTER;
    const int64_t far = (int64_t)1 << 48;
    if (p.threads < 1 || p.threads > 1 << 16) return BAD_SIZE;
    for (int64_t k = 0; k < p.extent_count; k++)
        if (p.extents[k] < 1 || p.extents[k] >= (int64_t)1 << 31) return BAD_SIZE;
    for (int64_t k = 0; k < p.tile_count; k++)
        if (p.tiles[k] < 1 || p.tiles[k] > 1 << 20) return BAD_SIZE;
    for (int64_t k = 0; k < p.array_count; k++) {
        if (!p.arrays[k].data) return NULL_POINTER;
        if ((uintptr_t)p.arrays[k].data % bytes[k]) return MISALIGNED;
        for (int64_t stride : p.arrays[k].stride)
            if (stride > far || stride < -far) return BAD_SIZE;
    }
    for (int64_t k = 0; k < p.mask_count; k++) {
        if (p.masks[k].intervals < 0 || p.masks[k].queries < 1) return BAD_SIZE;
        if (p.masks[k].intervals && (!p.masks[k].starts || !p.masks[k].ends)) return NULL_POINTER;
    }
    return DONE;
}
