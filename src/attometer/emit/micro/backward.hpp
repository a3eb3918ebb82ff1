// Runs the nest whose outer loop is over keys, in `splits` parts for each head; each part has its own sums of dQ.
static int run(const Call& call) {
    const int64_t heads = call.b * call.g, queries = call.h / call.g * call.n, wide = round_up(queries, PANEL);
    const AllVisits visits(call, true);
    const int64_t splits = std::min(call.splits, ceil_div(call.m, call.tile_columns));
    const int64_t chunk = round_up(ceil_div(call.m, splits), call.tile_columns);
    const int64_t row_tiles = ceil_div(queries, call.tile_rows);
    const int64_t group = std::max(std::min(call.threads, heads), std::min(heads, call.budget / Packed::bytes(call)));
    for (int64_t first = 0; first < heads; first += group) {
        const int64_t many = std::min(group, heads - first);
        Fast fast;
        std::vector<Packed> packed;
        std::vector<Real*> sums_of_dQ;
        for (int64_t z = 0; z < many; z++) packed.emplace_back(call, fast);
        for (int64_t k = 0; k < many * splits; k++) sums_of_dQ.push_back(fast.of<Real>(wide * call.d));
        parallel(many * row_tiles, call.threads, [&](int64_t item) {
            const int64_t at = item % row_tiles * call.tile_rows;
            pack(Head(call, first + item / row_tiles), packed[item / row_tiles], {at, std::min(queries, at + call.tile_rows)});
        });
        parallel(many * splits, call.threads, [&](int64_t item) {
            const Head head(call, first + item / splits);
            const int64_t at = item % splits * chunk;
            std::fill_n(sums_of_dQ[item], wide * call.d, 0.0f);
            nest(head, visits(head), packed[item / splits],
                 {std::min(at, call.m), std::min(at + chunk, call.m)}, sums_of_dQ[item]);
        });
        parallel(many * row_tiles, call.threads, [&](int64_t item) {
            const Head head(call, first + item / row_tiles);
            const int64_t z = item / row_tiles, start = item % row_tiles * call.tile_rows;
            std::vector<Real> total(call.d);
            for (int64_t t = start; t < std::min(queries, start + call.tile_rows); t++) {
                std::fill(total.begin(), total.end(), 0);
                for (int64_t s = 0; s < splits; s++) {
                    const Real* from = sums_of_dQ[z * splits + s] + t / PANEL * call.d * PANEL + t % PANEL;
                    for (int64_t c = 0; c < call.d; c++) total[c] += from[c * PANEL];
                }
                store_row<T>(total.data(), head.query<T>(call.dq, t), call.d, call.dq.column, (Real)call.scale);
            }
        });
    }
    return DONE;
}
