// The portable vector layer: GCC and Clang vector extensions, and three instructions where the processor has them.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif
#ifndef ATTOMETER_BF16
#undef ATTOMETER_AMX  // tile registers multiply bf16
#endif
#ifdef ATTOMETER_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
constexpr int VECTORS = 4;  // a panel of columns is this many vectors: with 6 rows, 24 of 32 registers accumulate
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32;
constexpr int VECTORS = 2;  // 12 of 16 registers
#elif defined(__aarch64__)
constexpr int VECTOR_BYTES = 16;
constexpr int VECTORS = 4;  // 24 of 32 registers
#else
constexpr int VECTOR_BYTES = 16;
constexpr int VECTORS = 2;
#endif
// What sums are formed in, and whole numbers of the same size.
#ifdef ATTOMETER_DOUBLE
typedef double Real;
typedef int64_t Whole;
#else
typedef float Real;
typedef int32_t Whole;
#endif
constexpr int LANES = VECTOR_BYTES / (int)sizeof(Real);
#ifdef ATTOMETER_AMX
constexpr int ROWS = 32;  // rows of a register block: two tiles
constexpr int STEP = 16;  // units that one instruction sums: operands end with zeros to whole steps
#else
constexpr int ROWS = 6;
constexpr int STEP = 1;
#endif
constexpr int PANEL = VECTORS * LANES;  // columns of a register block
constexpr int DEPTH = 256;              // units summed at once: a panel of so many stays in the L1 cache
constexpr int UNROLLED = VECTORS == 2 ? 4 : 1;  // units a register block takes at once: few vectors do not hide the loop
// So many pairs of a block take as long as one by itself (Zen 4: 3 to 6 alike, in float32 and bf16).
#ifdef ATTOMETER_AMX
constexpr int SINGLE = 16;  // a guess: tile registers form a block several times as fast
#else
constexpr int SINGLE = 4;
#endif

typedef Real Floats __attribute__((vector_size(VECTOR_BYTES)));
typedef Whole Ints __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t Words __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t Halves __attribute__((vector_size(VECTOR_BYTES / 2)));

template <class V> static inline V load(const void* from) {
    V made;
    std::memcpy(&made, from, sizeof made);
    return made;
}
template <class V> static inline void store(void* to, V value) { std::memcpy(to, &value, sizeof value); }
static inline Floats all(Real x) { return x - Floats{}; }  // x - 0 is x, also for -0: one broadcast

// How products are formed: a unit is one number of sums or a pair of bf16, and `add` is c += a b of one unit.
#ifdef ATTOMETER_BF16
#ifndef __AVX512BF16__
#error "products in bf16 need the instruction vdpbf16ps"
#endif
typedef uint16_t Element;
typedef uint32_t Unit;
typedef Ints Units;
constexpr int PAIR = 2;
static inline Floats add(Floats c, Unit a, Units b) {
    return (Floats)_mm512_dpbf16_ps((__m512)c, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)b);
}
static inline Floats add(Floats c, Units a, Units b) {
    return (Floats)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
}
static inline Halves rounded(Floats x) { return (Halves)_mm512_cvtneps_pbh((__m512)x); }
static inline void put(Element* to, Floats x) { store(to, rounded(x)); }
#else
typedef Real Element;
typedef Real Unit;
typedef Floats Units;
constexpr int PAIR = 1;
static inline Floats add(Floats c, Unit a, Units b) { return c + all(a) * b; }
static inline Floats add(Floats c, Units a, Units b) { return c + a * b; }
static inline void put(Element* to, Floats x) { store(to, x); }
#endif

// The types of tensors.
struct Bfloat { uint16_t bits; };
static inline Real widen(Real x) { return x; }
static inline float widen(Bfloat x) {
    const uint32_t bits = (uint32_t)x.bits << 16;
    return load<float>(&bits);
}
static inline void narrow(Real x, Real* to) { *to = x; }
static inline void narrow(float x, Bfloat* to) {
    uint32_t bits = load<uint32_t>(&x);
    to->bits = x != x ? 0x7FC0 : (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
#ifdef ATTOMETER_HALF
static inline float widen(_Float16 x) { return (float)x; }
static inline void narrow(float x, _Float16* to) { *to = (_Float16)x; }
#endif
// Codes of caches, whose rows each have a scale; codes are finite, a scale says what is not.
struct E4m3 { uint8_t bits; };  // 1 sign, 4 exponent (bias 7), 3 mantissa
static inline Real widen(int8_t x) { return x; }
static inline Real widen(E4m3 x) {
    const uint32_t size = x.bits & 0x7F, normal = (size << 20) + (120 << 23);  // the exponent's bias is 127 in float
    const float below = (float)(int32_t)size * (1.0f / 512);                    // 2^-6: whole multiples of 2^-9
    const uint32_t small = load<uint32_t>(&below), mask = 0u - (size < 8);
    const uint32_t bits = (small & mask) | (normal & ~mask) | (uint32_t)(x.bits & 0x80) << 24;
    return load<float>(&bits);
}
template <class T> constexpr bool CODED = sizeof(T) == 1;
template <class T> static inline T infinity(T*) {
    T made;
    narrow(std::numeric_limits<Real>::infinity(), &made);
    return made;
}
static inline Element element(Real x) {
#ifdef ATTOMETER_BF16
    Bfloat made;
    narrow(x, &made);
    return made.bits;
#else
    return x;
#endif
}

// The larger; `b` where either is NaN. One instruction that compilers do not find by themselves.
static inline Floats largest(Floats a, Floats b) {
#if defined(__AVX512F__) && !defined(ATTOMETER_DOUBLE)
    return (Floats)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__) && !defined(__AVX512F__) && !defined(ATTOMETER_DOUBLE)
    return (Floats)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return a > b ? a : b;
#endif
}

// 2^x for x at most a little above 0: 0 below -126.5 (with AVX-512 -150), NaN for NaN, exactly 1 for 0. The polynomials'
// relative error is 2e-9 and, where weights are then rounded to bf16 (4e-3), 3e-6: least squares on Chebyshev nodes, of
// [-1/2, 1/2], and with AVX-512, which rounds down and scales in one instruction each, of [0, 1].
static inline Floats power2(Floats x) {
#ifdef ATTOMETER_DOUBLE
    for (int l = 0; l < LANES; l++) x[l] = std::exp2(x[l]);
    return x;
#elif defined(__AVX512F__)
    const Floats f = (Floats)_mm512_reduce_ps((__m512)x, 0x09);  // x less the whole number below it; 0 for -inf
#ifdef ATTOMETER_BF16
    Floats p = all(0.013426684590768024f);
    p = p * f + 0.052242473502258094f;
    p = p * f + 0.24128020526406618f;
    p = p * f + 0.69304484479209516f;
#else
    Floats p = all(0.00021612915327646649f);
    p = p * f + 0.0012467846323315386f;
    p = p * f + 0.0096754515822417304f;
    p = p * f + 0.055485280609730708f;
    p = p * f + 0.2402293055545896f;
    p = p * f + 0.69314704444310749f;
#endif
    p = p * f + 1.0f;
    return (Floats)_mm512_scalef_ps((__m512)p, (__m512)x);
#else
    // Added to a number whose last bit is 1, x is rounded: the sum's low bits are the power.
    const Floats magic = all(12582912.0f);
    x = largest(all(-127.0f), x);
    const Floats power = x + magic, whole = power - magic, f = x - whole;
    Floats p = all(0.00015370704815890812f);
    p = p * f + 0.0013399848290688863f;
    p = p * f + 0.009618373251354465f;
    p = p * f + 0.05550329035153652f;
    p = p * f + 0.2402264846228119f;
    p = p * f + 0.6931472055771f;
    p = p * f + 1.0f;
    return p * (Floats)(((Ints)power << 23) + (127 << 23));  // 2^-127 is 0 here
#endif
}
static inline Real power2(Real x) { return power2(all(x))[0]; }

// One number of all lanes: each round joins a vector with itself, turned by half of the lanes that are left.
template <int BY, int... L> static inline Floats turned(Floats x, std::integer_sequence<int, L...>) {
    return __builtin_shufflevector(x, x, ((L + BY) % LANES)...);
}
template <int BY, class Join> static inline Real joined(Floats x, Join join) {
    if constexpr (BY > 0) return joined<BY / 2>(join(x, turned<BY>(x, std::make_integer_sequence<int, LANES>{})), join);
    return x[0];
}
static inline Real sum(Floats x) {
    return joined<LANES / 2>(x, [](Floats a, Floats b) { return a + b; });
}
static inline Real largest(Floats x) {
    return joined<LANES / 2>(x, [](Floats a, Floats b) { return largest(a, b); });
}

// The sums of LANES vectors, each in the lane of its number: every round joins vectors two by two.
template <int STEP, int... L> static inline Floats joined(Floats a, Floats b, std::integer_sequence<int, L...>) {
    return __builtin_shufflevector(a, b, (L & STEP ? LANES + L - STEP : L)...) +
           __builtin_shufflevector(a, b, (L & STEP ? LANES + L : L + STEP)...);
}
template <int STEP = 1> static inline Floats sums_of(Floats* x) {
    if constexpr (STEP < LANES) {
#pragma GCC unroll 8
        for (int k = 0; k < LANES / (2 * STEP); k++)
            x[k] = joined<STEP>(x[2 * k], x[2 * k + 1], std::make_integer_sequence<int, LANES>{});
        return sums_of<2 * STEP>(x);
    }
    return x[0];
}

// Transpose LANES vectors of units in registers: log2(LANES) rounds of exchanges.
template <int STEP, int... L> static inline void exchange(Units* x, std::integer_sequence<int, L...>) {
#pragma GCC unroll 16
    for (int k = 0; k < LANES; k++)
        if (!(k & STEP)) {
            const Units a = x[k], b = x[k + STEP];
            x[k] = __builtin_shufflevector(a, b, (L & STEP ? LANES + L - STEP : L)...);
            x[k + STEP] = __builtin_shufflevector(a, b, (L & STEP ? LANES + L : L + STEP)...);
        }
}
template <int STEP> static inline void exchange(Units* x) { exchange<STEP>(x, std::make_integer_sequence<int, LANES>{}); }
static inline void transpose(Units* x) {
    exchange<1>(x);
    if (LANES > 2) exchange<(LANES > 2 ? 2 : 1)>(x);
    if (LANES > 4) exchange<(LANES > 4 ? 4 : 1)>(x);
    if (LANES > 8) exchange<(LANES > 8 ? 8 : 1)>(x);
}
