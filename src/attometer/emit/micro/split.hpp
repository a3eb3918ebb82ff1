// Runs the nest that splits the keys: each part by itself, then the parts of each head joined.
static int run(const Call& call) {
    const int64_t heads = call.b * call.g, queries = call.h / call.g * call.n;
    const AllVisits visits(call, false);
    const int64_t chunk = round_up(ceil_div(call.m, call.splits), call.tile_columns), splits = ceil_div(call.m, chunk);
    Fast fast;
    std::vector<Partial> partial;
    for (int64_t k = 0; k < heads * splits; k++) partial.emplace_back(fast, queries, call.e);
    const Span i{0, queries};
    parallel(heads * splits, call.threads, [&](int64_t item) {
        const Head head(call, item / splits);
        const int64_t at = item % splits * chunk;
        const Span part{std::min(at, head.keys()), std::min(at + chunk, head.keys())};
        nest(head, visits(head), i, part, partial[item]);
    });
    parallel(heads, call.threads, [&](int64_t z) { join(Head(call, z), i, &partial[z * splits], splits); });
    return DONE;
}
