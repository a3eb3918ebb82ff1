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
    bool some(int64_t p) const {  // some row of the tile
        const int64_t last = ceil_div(rows(), ROWS);
        return next_row(0, p, last, true) < last;
    }
    // The first panel from p on, before `last`, in which row block r sees some or sees nothing; and the other way around.
    int64_t next_panel(int64_t r, int64_t p, int64_t last, bool is) const {
        if (!across) return visits.next(row0() + r, panel0() + p, panel0() + last, is) - panel0();
        while (p < last && some(r, p) != is) p++;
        return p;
    }
    int64_t next_row(int64_t r, int64_t p, int64_t last, bool is) const {
        if (across) return visits.next(panel0() + p, row0() + r, row0() + last, is) - row0();
        while (r < last && some(r, p) != is) r++;
        return r;
    }
    int64_t panels() const { return ceil_div((across ? i : j).size(), PANEL); }
    int64_t rows() const { return (across ? j : i).size(); }
    bool any() const { return visits.some(i, j); }
    // The lanes of panel p that row t of the tile sees.
    uint64_t lanes(int64_t t, int64_t p) const {
        const int64_t r = t / ROWS;
        return every(r, p) ? ~0ull : some(r, p) ? lanes_of(r, p)[t % ROWS] : 0;
    }
    const uint64_t* lanes_of(int64_t r, int64_t p) const {
        return across ? visits.lanes(panel0() + p, row0() + r) : visits.lanes(row0() + r, panel0() + p);
    }
    bool all() const {  // whether every query sees every key of a tile whose rows are queries
        for (int64_t r = 0; r * ROWS < rows(); r++)
            for (int64_t p = 0; p < panels(); p++) {
                if (every(r, p)) continue;
                if (!some(r, p)) return false;
                const int64_t keys = std::min<int64_t>(PANEL, j.size() - p * PANEL);
                const uint64_t all = keys < 64 ? (1ull << keys) - 1 : ~0ull;
                for (int64_t t = r * ROWS; t < std::min<int64_t>(rows(), (r + 1) * ROWS); t++)
                    if (all & ~lanes_of(r, p)[t % ROWS]) return false;
            }
        return true;
    }

    // For contract: scores are the result; the left operand; the right operand.
    auto result() const {
        return [this](int64_t r, int64_t p, Span k) { return some(r, p) ? k : Span{0, 0}; };
    }
    auto left() const {
        return [this](int64_t r, int64_t, Span k) {
            return run<PANEL>(k, [&](int64_t p, int64_t last, bool is) { return next_panel(r, p, last, is); });
        };
    }
    auto right() const {
        return [this](int64_t, int64_t p, Span k) {
            return run<ROWS>(k, [&](int64_t r, int64_t last, bool is) { return next_row(r, p, last, is); });
        };
    }
    // The first units of k that lie in seen blocks of so many elements, as far as these follow one another.
    template <int MANY, class Next> static Span run(Span k, Next next) {
        const int64_t last = ceil_div(k.stop * PAIR, MANY), first = next(k.start * PAIR / MANY, last, true);
        const int64_t end = next(first, last, false);
        return {std::max(k.start, first * MANY / PAIR), std::min(k.stop, end * MANY / PAIR)};
    }
};
static inline auto whole() {
    return [](int64_t, int64_t, Span k) { return k; };
}
