// One call: its tensors, what it refuses, its threads, its fast memory, and which tiles its mask leaves.
struct Operand {
    void* data;
    int64_t batch, head, row, column;  // strides in elements; `batch` is that of a page where the keys are in pages
};

struct Call {
    Operand q, k, v, o, lse, grad, lse_grad, dq, dk, dv;
    Operand rest;                             // what rounding took from o, which gradients need; or null
    Operand k_scale, v_scale;                 // float, [b][g][m], where keys and values are codes
    Operand bias;                             // of Real, added to the scores; strides of 0 broadcast; or null
    const Real *slopes, *sinks;               // [h]: ALiBi's slopes, logits without a value; or null
    int64_t b, h, g, n, m, d, e;
    const int32_t *starts, *ends;             // [batch entries][heads][intervals][n]: each query's intervals of keys, sorted; or null
    int64_t intervals, interval_batch, interval_head;
    const int64_t *pages, *lengths;           // [b][pages of a sequence] and [b], where the keys are in pages; or null
    int64_t page, page_batch;
    int64_t threads, tile_rows, tile_columns, splits, budget;  // budget: bytes of packed operands at once
    uint64_t seed;                            // of dropout
    double scale, cap, dropout;               // cap: of scores, 0 for none; dropout: the share of weights that are dropped
};

enum Status { DONE, NULL_POINTER, BAD_SIZE, MISALIGNED, NO_MEMORY, NOT_PERMITTED };

// Linux hands tile registers only to processes that ask for their state (XTILEDATA, 18) to be kept: ARCH_REQ_XCOMP_PERM.
static bool permitted() {
#ifdef ATTOMETER_AMX
    static const bool given = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
    return given;
#else
    return true;
#endif
}

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

static int refused(const Operand& x, size_t bytes, bool wanted) {
    if (!wanted) return DONE;
    if (!x.data) return NULL_POINTER;
    if ((uintptr_t)x.data % bytes) return MISALIGNED;
    const int64_t far = (int64_t)1 << 48;
    for (int64_t stride : {x.batch, x.head, x.row, x.column})
        if (stride > far || stride < -far) return BAD_SIZE;
    return DONE;
}

static int refused(const Call& call, size_t bytes, size_t stored, bool backward) {
    const int64_t far = (int64_t)1 << 31;
    for (int64_t size : {call.b, call.h, call.g, call.n, call.m, call.d, call.e, call.threads, call.tile_rows,
                         call.tile_columns, call.splits})
        if (size < 1 || size >= far) return BAD_SIZE;
    if (call.h % call.g || call.intervals < 0 || call.intervals >= far || !(std::abs(call.scale) < 1e30)) return BAD_SIZE;
    if (call.h / call.g * call.n >= far || call.d > 65536 || call.e > 65536 || call.tile_rows * call.tile_columns >= far)
        return BAD_SIZE;
    if (call.intervals && (!call.starts || !call.ends)) return NULL_POINTER;
    if (call.pages && (!call.lengths || call.page < 1)) return BAD_SIZE;
    for (const Operand* x : {&call.q, &call.o})
        if (int code = refused(*x, bytes, true)) return code;
    for (const Operand* x : {&call.k, &call.v})
        if (int code = refused(*x, stored, true)) return code;
    for (const Operand* x : {&call.k_scale, &call.v_scale})
        if (int code = refused(*x, sizeof(float), stored == 1)) return code;
    if (!(call.cap >= 0 && call.cap < 1e30) || !(call.dropout >= 0 && call.dropout < 1)) return BAD_SIZE;
    if (int code = refused(call.lse, sizeof(Real), true)) return code;
    if (int code = refused(call.lse_grad, sizeof(Real), call.lse_grad.data)) return code;
    if (int code = refused(call.bias, sizeof(Real), call.bias.data)) return code;
    if ((uintptr_t)call.slopes % sizeof(Real) || (uintptr_t)call.sinks % sizeof(Real)) return MISALIGNED;
    if (int code = refused(call.rest, bytes, call.rest.data)) return code;
    for (const Operand* x : {&call.grad, &call.dq, &call.dk, &call.dv})
        if (int code = refused(*x, bytes, backward)) return code;
    return DONE;
}

// Run f(item) for each item on some threads. Threads live as long as the call: nothing is left for a fork to inherit.
template <class F> static void parallel(int64_t items, int64_t threads, F f) {
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    auto work = [&] {
        try {
            for (int64_t item; (item = next++) < items && !failed;) f(item);
        } catch (...) {
            failed = true;
        }
    };
    std::vector<std::thread> others;
    try {
        for (int64_t k = 1; k < std::min(threads, items); k++) others.emplace_back(work);
    } catch (...) {  // no more threads: those that are here do the work
    }
    work();
    for (auto& t : others) t.join();
    if (failed) throw std::bad_alloc();
}

// Memory for tiles, on a cache line's boundary. What is given back when work ends its thread keeps for the next that asks
// for as much: pages fresh from the system cost more than packing into them.
class Fast {
    struct Piece {
        void* at = nullptr;
        size_t bytes = 0;
    };
    struct Spare {
        static constexpr size_t MANY = 64, MOST = 4 << 20;
        Piece pieces[MANY];
        size_t bytes = 0, next = 0;
        ~Spare() {
            for (const Piece& x : pieces) std::free(x.at);
        }
        Piece taken(size_t wanted) {
            for (Piece& x : pieces)
                if (x.at && x.bytes == wanted) {
                    bytes -= wanted;
                    return std::exchange(x, Piece{});
                }
            return {std::aligned_alloc(64, wanted), wanted};
        }
        void keep(Piece x) {  // in place of what was kept longest ago
            for (size_t k = 0; k < MANY && (bytes + x.bytes > MOST || pieces[next].at); k++, next = (next + 1) % MANY) {
                bytes -= pieces[next].bytes;
                std::free(std::exchange(pieces[next], Piece{}).at);
                if (bytes + x.bytes <= MOST) break;
            }
            if (bytes + x.bytes > MOST) return std::free(x.at);
            bytes += x.bytes;
            pieces[next] = x;
            next = (next + 1) % MANY;
        }
    };
    static Spare& spare() {
        thread_local Spare held;
        return held;
    }
    std::vector<Piece> held;

  public:
    template <class T> T* of(int64_t count) {
        held.emplace_back();
        held.back() = spare().taken((size_t)round_up(std::max<int64_t>(count, 1) * (int64_t)sizeof(T), 64));
        if (!held.back().at) throw std::bad_alloc();
        return (T*)held.back().at;
    }
    Fast() = default;
    Fast(const Fast&) = delete;
    ~Fast() {
        for (const Piece& x : held) spare().keep(x);
    }
};

struct Span {
    int64_t start, stop;
    int64_t size() const { return stop - start; }
};
static inline std::vector<Span> tiles(Span whole, int64_t length) {
    std::vector<Span> made;
    for (int64_t at = whole.start; at < whole.stop; at += length) made.push_back({at, std::min(whole.stop, at + length)});
    return made;
}

// The rows of one key/value head: the queries of all its query heads, one after another, and its keys.
struct Head {
    const Call& call;
    int64_t batch, group;
    Head(const Call& c, int64_t z) : call(c), batch(z / c.g), group(z % c.g) {}
    int64_t shared() const { return call.h / call.g; }
    int64_t queries() const { return shared() * call.n; }
    int64_t query_head(int64_t row) const { return group * shared() + row / call.n; }
    int64_t keys() const { return call.lengths ? call.lengths[batch] : call.m; }
    template <class T> T* query(const Operand& x, int64_t row) const {
        return (T*)x.data + batch * x.batch + query_head(row) * x.head + row % call.n * x.row;
    }
    template <class T> T* key(const Operand& x, int64_t row) const {
        if (!call.pages) return (T*)x.data + batch * x.batch + group * x.head + row * x.row;
        const int64_t page = call.pages[batch * call.page_batch + row / call.page];
        return (T*)x.data + page * x.batch + group * x.head + row % call.page * x.row;
    }
    int64_t together(int64_t row) const { return call.pages ? call.page - row % call.page : call.m; }  // rows in one piece
    int64_t intervals() const { return call.intervals ? call.intervals : 1; }
    Span interval(int64_t row, int64_t k) const {
        if (!call.intervals) return {0, keys()};
        const int64_t first = batch * call.interval_batch + query_head(row) * call.interval_head;
        const int64_t at = first + k * call.n + row % call.n;
        return {std::max<int64_t>(call.starts[at], 0), std::min<int64_t>(call.ends[at], keys())};
    }
};

// Which pairs of queries and keys are seen, by register blocks: those of which no pair is seen are left out, those of which
// some are have a word of lanes for each of their rows. Where a mask leaves many blocks with few pairs (random keys, strides),
// these are listed as single pairs instead, query by query, and their blocks count as unseen.
class Visits {
    static constexpr int64_t SIZE = ROWS * PANEL, SAMPLE = 32, WORTH = 4;
    bool across;  // a row of a block is a key and its lanes are queries
    int64_t queries, keys, words;
    std::vector<uint64_t> some_, every_, lanes_;
    std::vector<int64_t> mixed_;  // how many blocks before those of a word have lanes
    std::vector<int64_t> offsets;
    std::vector<int32_t> listed;

    static uint64_t range(int64_t start, int64_t stop) {
        return (stop - start == 64 ? ~0ull : (1ull << (stop - start)) - 1) << start;
    }
    // Words of lanes, ROWS for each block, and a bit for each block that is more than 0: both are 0 between the lines.
    struct Room {
        std::vector<uint64_t> lanes, touched;
    };
    // Calls f(block, its words, queries) for each block of which the queries from `at` on may see a pair.
    template <class F> void line(const Head& head, int64_t at, Room& room, F f) const {
        const int64_t many = std::min(queries, head.queries() - at);
        uint64_t* const held = room.lanes.data();
        for (int64_t k = 0; k < head.intervals(); k++)
            for (int64_t t = 0; t < many; t++) {
                const Span seen = head.interval(at + t, k);
                if (seen.size() <= 0) continue;
                const int64_t last = across ? seen.stop / keys + 1 : ceil_div(seen.stop, keys);
                for (int64_t b = seen.start / keys, next; b < last; b = next) {
                    next = std::min(last, (b | 63) + 1);
                    room.touched[b >> 6] |= range(b & 63, (b & 63) + next - b);
                }
                if (across) {  // where a query's lane changes
                    held[seen.start] ^= 1ull << t, held[seen.stop] ^= 1ull << t;
                    continue;
                }
                for (int64_t b = seen.start / PANEL; b * PANEL < seen.stop; b++)
                    held[b * ROWS + t] |= range(std::max<int64_t>(seen.start - b * PANEL, 0), std::min<int64_t>(seen.stop - b * PANEL, PANEL));
            }
        uint64_t lanes = 0;  // of the key before; 0 before a block that is not touched
        for (int64_t w = 0; w < words; w++)
            for (uint64_t left = std::exchange(room.touched[w], 0); left; left &= left - 1) {
                const int64_t b = w * 64 + __builtin_ctzll(left);
                uint64_t* const own = held + b * ROWS;
                for (int64_t r = 0; r < ROWS && across; r++) own[r] = lanes ^= own[r];
                f(b, own, many);
                std::fill_n(own, ROWS, 0);
            }
    }
    static int64_t pairs(const uint64_t* held) {
        int64_t total = 0;
        for (int64_t r = 0; r < ROWS; r++) total += __builtin_popcountll(held[r]);
        return total;
    }
    static bool light(int64_t count) { return count * SINGLE < SIZE; }

  public:
    Visits(const Head& head, bool across_) : across(across_), queries(across ? PANEL : ROWS), keys(across ? ROWS : PANEL) {
        const int64_t blocks = ceil_div(head.keys(), keys), lines = ceil_div(head.queries(), queries);
        words = ceil_div(blocks + 1, 64);
        some_.assign(lines * words, 0), every_.assign(lines * words, 0), mixed_.assign(lines * words, 0);
        Room room{std::vector<uint64_t>((blocks + 1) * ROWS), std::vector<uint64_t>(words)};
        int64_t sampled = 0, saved = 0;
        for (int64_t k = 0; k < std::min(SAMPLE, lines) && head.call.intervals; k++)
            line(head, k * lines / std::min(SAMPLE, lines) * queries, room, [&](int64_t, const uint64_t* held, int64_t) {
                const int64_t count = pairs(held);
                sampled += SIZE * (count > 0), saved += light(count) * (count > 0) * (SIZE - count * SINGLE);
            });
        const bool lists = saved * WORTH > sampled;
        std::vector<std::vector<int32_t>> own(lists ? queries : 0);
        if (lists) offsets.push_back(0);
        for (int64_t a = 0; a < lines; a++) {
            int64_t word = 0;
            mixed_[a * words] = (int64_t)lanes_.size() / ROWS;
            line(head, a * queries, room, [&](int64_t b, const uint64_t* held, int64_t many) {
                const int64_t count = pairs(held);
                if (!count) return;
                if (lists && light(count)) {
                    for (int64_t r = 0; r < ROWS; r++)
                        for (uint64_t left = held[r]; left; left &= left - 1) {
                            const int64_t lane = __builtin_ctzll(left);
                            own[across ? lane : r].push_back((int32_t)(across ? b * ROWS + r : b * PANEL + lane));
                        }
                    return;
                }
                for (; word < b >> 6; word++) mixed_[a * words + word + 1] = (int64_t)lanes_.size() / ROWS;
                some_[a * words + word] |= 1ull << (b & 63);
                if (count == (across ? ROWS : many) * (across ? many : PANEL)) every_[a * words + word] |= 1ull << (b & 63);
                else lanes_.insert(lanes_.end(), held, held + ROWS);
            });
            for (int64_t t = 0; lists && t < std::min(queries, head.queries() - a * queries); t++) {
                listed.insert(listed.end(), own[t].begin(), own[t].end());
                offsets.push_back((int64_t)listed.size());
                own[t].clear();
            }
        }
    }
    bool some(int64_t q, int64_t k) const { return some_[q * words + (k >> 6)] >> (k & 63) & 1; }
    bool every(int64_t q, int64_t k) const { return every_[q * words + (k >> 6)] >> (k & 63) & 1; }
    bool some(Span q, Span k) const {
        const int64_t last = ceil_div(k.stop, keys);
        for (int64_t a = q.start / queries; a * queries < q.stop; a++)
            if (next(a, k.start / keys, last, true) < last) return true;
        return false;
    }
    // The first block of keys from k on, before `last`, that is seen or is not; else `last`. A word at a time.
    int64_t next(int64_t q, int64_t k, int64_t last, bool seen) const {
        for (; k < last; k = (k | 63) + 1)
            if (const uint64_t left = (seen ? some_[q * words + (k >> 6)] : ~some_[q * words + (k >> 6)]) >> (k & 63))
                return std::min(last, k + __builtin_ctzll(left));
        return last;
    }
    // The lanes that each row of a block sees, of which some are seen but not all.
    const uint64_t* lanes(int64_t q, int64_t k) const {
        const int64_t at = q * words + (k >> 6);
        const uint64_t before = some_[at] & ~every_[at] & ((1ull << (k & 63)) - 1);
        return &lanes_[(mixed_[at] + __builtin_popcountll(before)) * ROWS];
    }
    // The single keys among `within` that a query sees, ascending.
    struct Keys {
        const int32_t* at;
        int64_t many;
    };
    bool lists() const { return !offsets.empty(); }
    Keys singles(int64_t row, Span within) const {
        const int32_t *first = &listed[0] + offsets[row], *last = &listed[0] + offsets[row + 1];
        first = std::lower_bound(first, last, within.start), last = std::lower_bound(first, last, within.stop);
        return {first, last - first};
    }
};

// The visits of every head: those that see alike share theirs.
class AllVisits {
    bool batches, groups;
    std::vector<Visits> held;

  public:
    AllVisits(const Call& call, bool across)
        : batches(call.interval_batch || call.lengths), groups(call.interval_head) {
        for (int64_t b = 0; b < (batches ? call.b : 1); b++)
            for (int64_t g = 0; g < (groups ? call.g : 1); g++) held.emplace_back(Head(call, b * call.g + g), across);
    }
    const Visits& operator()(const Head& head) const {
        return held[(batches ? head.batch : 0) * (groups ? head.call.g : 1) + (groups ? head.group : 0)];
    }
};
