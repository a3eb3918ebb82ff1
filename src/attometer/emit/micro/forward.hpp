// Runs the nest whose outer loops are parallel: keys and values are packed once, for as many heads as the cache holds.
static int run(const Call& call) {
    const int64_t heads = call.b * call.g, queries = call.h / call.g * call.n;
    const AllVisits visits(call, false);
    const int64_t key_tiles = ceil_div(call.m, call.tile_columns), row_tiles = ceil_div(queries, call.tile_rows);
    const int64_t group = std::max(std::min(call.threads, heads), std::min(heads, call.budget / Packed::bytes(call)));
    for (int64_t first = 0; first < heads; first += group) {
        const int64_t many = std::min(group, heads - first);
        Fast fast;
        std::vector<Packed> packed;
        for (int64_t z = 0; z < many; z++) packed.emplace_back(call, fast);
        parallel(many * key_tiles, call.threads, [&](int64_t item) {
            const Head head(call, first + item / key_tiles);
            const int64_t at = item % key_tiles * call.tile_columns;
            if (at < head.keys()) pack(head, packed[item / key_tiles], {at, std::min(head.keys(), at + call.tile_columns)});
        });
        parallel(many * row_tiles, call.threads, [&](int64_t item) {
            const Head head(call, first + item / row_tiles);
            const int64_t at = (row_tiles - 1 - item % row_tiles) * call.tile_rows;  // under causal masks the longest first
            const Span i{at, std::min(queries, at + call.tile_rows)};
            nest(head, visits(head), packed[item / row_tiles], i);
        });
    }
    return DONE;
}
