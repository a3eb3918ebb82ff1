"""The translation unit of a schedule for one type of tensors: micro-kernels, the nest, and what runs it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from attometer.emit.forms import Form
from attometer.emit.nest import Nest, _name, _packing, body, score_rooms
from attometer.errors import AttometerError, unknown
from attometer.schedule import schedule
from attometer.schedule.nest import Loop, Node, Tile

MICRO = Path(__file__).parent / "micro"
TYPES = {"float32": "float", "bfloat16": "Bfloat", "float16": "_Float16", "float64": "double"}
CODES = {"int8": "int8_t", "float8_e4m3fn": "E4m3"}
KERNELS = {"flash2": "i", "split_kv": "i", "flash_backward_fused": "j"}
"""The schedules that become machine code, each with the axis of its outer loop."""
_EXTENT = {"c": "call.d", "x": "call.e", "i": "call.h / call.g * call.n", "j": "call.m"}


@dataclass(frozen=True)
class Unit:
    """What is compiled at once: a schedule, the tensors' type, and whether products are formed in bf16."""

    schedule: str
    dtype: str
    bf16: bool
    flags: tuple[str, ...] = ()
    stored: str = ""
    """The type of the codes that keys and values are, each row with a scale; "" where they are of `dtype`."""

    def text(self) -> str:
        """Return its C++."""
        return source(self)


@lru_cache(maxsize=32)
def source(unit: Unit) -> str:
    """Return the C++ of a unit.

    Raises AttometerError for a schedule or type that has no machine code.

    >>> "// P[i,j] += Q[i,c] K[j,c]" in source(Unit("flash2", "float32", False))
    True
    """
    if unit.schedule not in KERNELS:
        raise unknown("compiled schedule", unit.schedule, KERNELS)
    if unit.dtype not in TYPES:
        raise unknown("compiled type", unit.dtype, TYPES)
    if unit.stored and (unit.stored not in CODES or unit.schedule != "split_kv"):
        raise AttometerError(f"codes of type {unit.stored} are read by split_kv, of the types {', '.join(CODES)}")
    held = schedule(unit.schedule)
    nest = Nest.of(held, KERNELS[unit.schedule], packed=unit.schedule != "split_kv")
    backward = nest.outer == "j"
    driver = {"flash2": "forward", "split_kv": "split"}.get(unit.schedule, "backward")
    lines = [
        *(["#define ATTOMETER_BF16"] if unit.bf16 else []),
        *(["#define ATTOMETER_HALF"] if unit.dtype == "float16" else []),
        *(["#define ATTOMETER_DOUBLE"] if unit.dtype == "float64" else []),
        *(micro(name) for name in ("vectors", "call", "tiles", "seen", "bias", "steps", "stream", "singles")),
        f"typedef {TYPES[unit.dtype]} T;",
        f"typedef {CODES.get(unit.stored, 'T')} Stored;  // keys and values",
        f"constexpr bool BACKWARD = {'true' if backward else 'false'};",
        *(f"// {line}" for line in str(held).splitlines()),
        *(_split(nest) if driver == "split" else _packed(nest)),
        *(_keys_outside(nest) if backward else _queries_outside(nest) if driver == "forward" else ()),
        micro(driver),
        micro("entry"),
    ]
    return "\n".join(lines)


def micro(name: str) -> str:
    """Return the text of a file of `micro/`."""
    return (MICRO / f"{name}.hpp").read_text()


def _main(nest: Nest) -> tuple[Node, ...]:
    """Return the nest below the loop over heads: of the only phase, or of the last."""
    return nest.schedule.phases[-1 if nest.outer == "j" else 0].body


def _packed_forms(nest: Nest) -> Iterator[tuple[Tile, Form]]:
    axes = {"Q": ("i", "c"), "K": ("j", "c"), "V": ("j", "x"), "dO": ("i", "x")}
    for name in axes:
        if name in nest.packed:
            yield from ((Tile(name, axes[name]), form) for form in nest.forms[name])


def _packed(nest: Nest) -> Iterator[str]:
    """Yield what is packed once for each head, its size, and how a tile of it is packed."""
    held, forward = list(_packed_forms(nest)), nest.outer == "i"
    tile = "call.tile_columns" if forward else "call.tile_rows"
    rows = "call.h / call.g * call.n"
    yield "struct Packed {"
    yield f"    Right {', '.join(_name(t.name, form) for t, form in held)};"
    if forward:
        yield "    char* V_finite;"
    else:
        yield "    Real *L, *D;"
    yield "    Packed(const Call& call, Fast& fast)"
    made = [f"{_name(t.name, form)}(right(fast, {_EXTENT[form.outer]}, {_padded(form)}))" for t, form in held]
    yield f"        : {', '.join(made)} {{"
    if forward:
        yield f"        V_finite = fast.of<char>(ceil_div(call.m, {tile}));"
        yield "        V_xj.finite = V_finite;"
    else:
        yield f"        const int64_t padded = round_up({rows}, PANEL);"
        yield "        L = fast.of<Real>(padded), D = fast.of<Real>(padded);"
        yield "        std::fill_n(L, padded, INF), std::fill_n(D, padded, 0.0f);"
    yield "    }"
    sizes = [f"round_up({_EXTENT[form.outer]}, PANEL) * units({_padded(form)})" for _, form in held]
    yield "    static int64_t bytes(const Call& call) {"
    yield f"        return (int64_t)sizeof(Unit) * ({' + '.join(sizes)});"
    yield "    }"
    yield "};"
    yield f"static void pack(const Head& head, const Packed& to, Span {nest.inner}) {{"
    yield "    const Call& call = head.call;"
    for t, form in held:
        name = _name(t.name, form)
        part = (
            f"columns_from(to.{name}, {nest.inner})"
            if form.outer == nest.inner
            else f"units_from(to.{name}, {nest.inner}, {tile})"
        )
        yield from (f"    {line}" for line in _packing(nest, t, form, part))
    if forward:
        yield "    to.V_finite[j.start / call.tile_columns] ="
        yield "        finite<T>([&](int64_t t) { return head.key<T>(call.v, t); }, j, call.e, call.v.column);"
    else:
        yield "    row_dots<T>(head, i, to.L, to.D);  // pass 1: D[i] += dO[i,x] O[i,x]"
    yield "}"


def _padded(form: Form) -> str:
    # A summed axis of positions ends where the last tile's panel does.
    return _EXTENT[form.inner] if form.inner in "cx" else f"round_up({_EXTENT[form.inner]}, PANEL)"


def _outer_loop(nest: Nest) -> Loop:
    return next(node for node in _main(nest) if isinstance(node, Loop))


def _queries_outside(nest: Nest) -> Iterator[str]:
    yield "static void nest(const Head& head, const Visits& visits, const Packed& packed, Span i) {"
    yield "    const Call& call = head.call;"
    yield "    const Real scale = score_scale(call);"
    yield "    const Span part{0, head.keys()};"
    yield "    Fast fast;"
    yield from (f"    {line}" for line in score_rooms(nest))
    inner = _outer_loop(nest)
    yield from body(nest, inner.body, 1)
    yield "}"


def _keys_outside(nest: Nest) -> Iterator[str]:
    yield "static void nest(const Head& head, const Visits& visits, const Packed& packed, Span part, Real* dQ_sums) {"
    yield "    const Call& call = head.call;"
    yield "    const Real scale = score_scale(call);"
    yield "    Fast fast;"
    yield from (f"    {line}" for line in score_rooms(nest))
    yield "    const Sums dQ_singles = sums(fast, visits.lists() ? head.queries() : 1, call.d);"
    yield "    fill(dQ_singles, 0);"
    yield from body(nest, (_outer_loop(nest),), 1)
    yield "    for (int64_t t = 0; t < head.queries() && visits.lists(); t++)"
    yield "        for (int64_t c = 0; c < call.d; c++)"
    yield "            dQ_sums[(t / PANEL * call.d + c) * PANEL + t % PANEL] += dQ_singles.at[t * dQ_singles.row + c];"
    yield "}"


def _split(nest: Nest) -> Iterator[str]:
    parts, joined = (phase.body[0] for phase in nest.schedule.phases)
    assert isinstance(parts, Loop)
    assert isinstance(joined, Loop)
    chunk = next(node for node in parts.body if isinstance(node, Loop))
    yield "struct Partial {"
    yield "    Sums O;"
    yield "    Real *m, *l;"
    yield "    Partial(Fast& fast, int64_t rows, int64_t columns)"
    yield "        : O(sums(fast, rows, columns)), m(fast.of<Real>(rows)), l(fast.of<Real>(rows)) {}"
    yield "};"
    yield "static void nest(const Head& head, const Visits& visits, Span i, Span part, const Partial& partial) {"
    yield "    const Call& call = head.call;"
    yield "    const Real scale = score_scale(call);"
    yield "    Fast fast;"
    yield from (f"    {line}" for line in score_rooms(nest))
    yield from body(nest, chunk.body, 1)
    yield "}"
    yield "static void join(const Head& head, Span i, const Partial* parts, int64_t splits) {"
    yield "    const Call& call = head.call;"
    yield "    const Real scale = score_scale(call);"
    yield "    Fast fast;"
    yield from body(nest, joined.body, 1)
    yield "    log_sum_exp(mx, l, i.size(), scale);  // decoding asks for it too"
    yield "    for (int64_t t = 0; t < i.size(); t++) *head.query<Real>(call.lse, i.start + t) = mx[t];"
    yield "}"
