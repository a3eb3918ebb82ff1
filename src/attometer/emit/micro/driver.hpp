// A program that runs one kernel of a library on random operands of given sizes, for a simulator to watch:
// LIBRARY FILE RUNS [OUT], where FILE holds the sizes and the mask's intervals. With RUNS 0 all but the kernel happens; OUT
// takes what it wrote. Linked with a kernel (ATTOMETER_LINKED) it runs that one, whatever LIBRARY says.
#ifndef ATTOMETER_LINKED
#include <dlfcn.h>
#endif
#include <cstdio>

static std::vector<float> drawn(int64_t count, uint32_t seed) {
    std::vector<float> made(count);
    for (float& x : made) {
        seed = seed * 1664525u + 1013904223u;
        x = (float)(seed >> 8) / (1 << 24) - 0.5f;
    }
    return made;
}
static Operand operand(std::vector<float>& x, int64_t heads, int64_t rows, int64_t width) {
    return {x.data(), heads * rows * width, rows * width, width, 1};
}

int main(int argc, char** argv) {
    enum { B, H, G, N, M, D, E, ROWS_, COLUMNS_, SPLITS_, INTERVALS, FLUSH, COUNT };
    int64_t s[COUNT];
    FILE* file = argc > 3 ? std::fopen(argv[2], "rb") : nullptr;
    if (!file || std::fread(s, sizeof s, 1, file) != 1) return 2;
    std::vector<int32_t> ends(2 * s[INTERVALS] * s[N]);
    if (!ends.empty() && std::fread(ends.data(), 4, ends.size(), file) != ends.size()) return 2;
#ifdef ATTOMETER_LINKED
    auto kernel = attometer_run;
#else
    void* library = dlopen(argv[1], RTLD_NOW);
    auto kernel = library ? (int (*)(const Call*, int64_t))dlsym(library, "attometer_run") : nullptr;
#endif
    if (!kernel) return 2;
    Call call = {};
    call.b = s[B], call.h = s[H], call.g = s[G], call.n = s[N], call.m = s[M], call.d = s[D], call.e = s[E];
    call.tile_rows = s[ROWS_], call.tile_columns = s[COLUMNS_], call.splits = s[SPLITS_];
    call.threads = 1, call.scale = 1 / std::sqrt((double)s[D]), call.intervals = s[INTERVALS];
    if (s[INTERVALS]) call.starts = ends.data(), call.ends = ends.data() + s[INTERVALS] * s[N];
    const int64_t queries = s[B] * s[H] * s[N], keys = s[B] * s[G] * s[M];
    std::vector<float> q = drawn(queries * s[D], 1), k = drawn(keys * s[D], 2), v = drawn(keys * s[E], 3);
    std::vector<float> o = drawn(queries * s[E], 4), grad = o, dq = q, dk = k, dv = v, lse(queries, 8.0f);
    call.q = operand(q, s[H], s[N], s[D]), call.k = operand(k, s[G], s[M], s[D]), call.v = operand(v, s[G], s[M], s[E]);
    call.o = operand(o, s[H], s[N], s[E]), call.grad = operand(grad, s[H], s[N], s[E]);
    call.lse = operand(lse, s[H], s[N], 1), call.dq = operand(dq, s[H], s[N], s[D]);
    call.dk = operand(dk, s[G], s[M], s[D]), call.dv = operand(dv, s[G], s[M], s[E]);
    std::vector<char> others(2 * s[FLUSH], 1);  // what was drawn last is not in the cache when the kernel starts
    int64_t total = 0;
    for (int64_t at = 0; at < (int64_t)others.size(); at += 64) total += others[at];
    if (total < 0) return 2;
    const int code = std::atoi(argv[3]) ? kernel(&call, sizeof call) : 0;
    if (argc > 4) {
        FILE* out = std::fopen(argv[4], "wb");
        for (const auto* x : {&o, &lse, &dq, &dk, &dv})
            if (!out || std::fwrite(x->data(), 4, x->size(), out) != x->size()) return 2;
        std::fclose(out);
    }
    return code;
}
