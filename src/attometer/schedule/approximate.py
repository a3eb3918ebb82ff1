"""Schedules of attention mechanisms that replace the score matrix: Linformer, linear attention, Performer.

They compute other functions than softmax attention, so that its lower bounds do not hold for them.
"""

from attometer.schedule.flash import (
    AXES,
    INPUTS,
    MAXIMUM,
    OUTPUT,
    TOTAL,
    B_c,
    B_d,
    B_e,
    B_r,
    K,
    O,
    P,
    Q,
    V,
    fresh_rows,
    heads,
)
from attometer.schedule.nest import ONE, Free, Load, Loop, New, Schedule, Store, Tensor, Tile
from attometer.schedule.steps import (
    contract,
    divide,
    elu_feature,
    exponential_feature,
    online,
    row_sum,
    score,
)
from attometer.sizes import size

A_x, A_o, B_f, B_i, B_j, B_y = (size(name) for name in ("A_x", "A_o", "B_f", "B_i", "B_j", "B_y"))
N = Tile("N", ("i",))


def _projection(out: Tile, weights: Tile, values: Tile, tile: str) -> Loop:
    """out[j] = sum over y of weights[j,y] values[y], as a sum of outer products."""
    word = Loop("j", ONE, (Load(weights), contract(out, weights, values)), parallel=True)
    return heads(Loop("j", size(tile), (New(out), Loop("y", ONE, (Load(values), word)), Store(out)), parallel=True))


def linformer() -> Schedule:
    """Keys and values projected to k rows, then FlashAttention 2 over those."""
    K_all, V_all = Tile("K", ("y", "c")), Tile("V", ("y", "x"))
    A, B = Tile("A", ("j", "c")), Tile("B", ("j", "x"))
    E, F = Tile("E", ("j", "y")), Tile("F", ("j", "y"))
    scores = (New(P), Loop("c", B_d, (Load(A), contract(P, Q, A), Free(A))), score(P))
    step = (*scores, online(P, MAXIMUM, TOTAL, O), Loop("x", B_e, (Load(B), contract(O, P, B)), parallel=True))
    rows = (Load(Q), *fresh_rows(), Loop("j", B_c, step), divide(O, TOTAL), Store(O))
    return Schedule(
        "linformer",
        "keys and values projected to k rows, then queries outside",
        "Wang et al. 2020, arXiv 2006.04768",
        (("z", size("z")), ("i", size("n")), ("y", size("m")), ("j", size("k")), ("c", size("d")), ("x", size("e"))),
        (
            ("Q", Tensor(("z", "i", "c"), "input")),
            ("K", Tensor(("z", "y", "c"), "input")),
            ("V", Tensor(("z", "y", "x"), "input")),
            ("E", Tensor(("j", "y"), "input")),
            ("F", Tensor(("j", "y"), "input")),
            OUTPUT,
            ("A", Tensor(("z", "j", "c"), "scratch")),
            ("B", Tensor(("z", "j", "x"), "scratch")),
        ),
        (
            _projection(A, E, K_all, "B_j"),
            _projection(B, F, V_all, "B_y"),
            heads(Loop("i", B_r, rows, parallel=True)),
        ),
        ((B_j, "j"), (B_y, "j"), (B_r, "i"), (B_c, "j"), (B_d, "c"), (B_e, "x")),
    )


def linear() -> Schedule:
    """Features elu(x) + 1: the d × e state is summed over the keys in column panels, then applied to every query."""
    C, Z = Tile("C", ("c", "x")), Tile("Z", ("c",))
    summed = Loop("j", ONE, (Load(K), elu_feature(K), Load(V), contract(C, K, V), row_sum(Z, K)))
    row = (Load(Q), elu_feature(Q), New(O), New(N), contract(O, Q, C), contract(N, Q, Z), divide(O, N), Store(O))
    return Schedule(
        "linear",
        "state of d × e summed over the keys in column panels, then applied to the queries",
        "Katharopoulos et al. 2020, arXiv 2006.16236",
        AXES,
        (*INPUTS, OUTPUT, ("C", Tensor(("z", "c", "x"), "scratch")), ("Z", Tensor(("z", "c"), "scratch"))),
        (
            heads(Loop("x", A_x, (New(C), New(Z), summed, Store(C), Store(Z)), parallel=True)),
            heads(Loop("x", A_o, (Load(C), Load(Z), Loop("i", ONE, row, parallel=True)), parallel=True)),
        ),
        ((A_x, "x"), (A_o, "x")),
    )


def performer() -> Schedule:
    """f positive random features: their sums over the keys for a tile of features at a time, then queries outside."""
    W, C, Z = Tile("W", ("f", "c")), Tile("C", ("f", "x")), Tile("Z", ("f",))
    G, F = Tile("G", ("j", "f")), Tile("F", ("i", "f"))
    H, H2 = Tile("H", ("j",)), Tile("H2", ("i",))
    key = (Load(K), New(H), contract(H, K, K), New(G), contract(G, K, W), exponential_feature(G, H))
    summed = Loop("j", ONE, (*key, Load(V), contract(C, G, V), row_sum(Z, G)))
    feature = (Load(W), New(F), contract(F, Q, W), exponential_feature(F, H2), Free(W))
    step = (*feature, Load(C), contract(O, F, C), Load(Z), contract(N, F, Z))
    rows = (Load(Q), New(H2), contract(H2, Q, Q), New(O), New(N), Loop("f", ONE, step), divide(O, N), Store(O))
    return Schedule(
        "performer",
        "sums of f random features over the keys, a tile of features at a time, then queries outside",
        "Choromanski et al. 2020, arXiv 2009.14794",
        (*AXES, ("f", size("f"))),
        (
            *INPUTS,
            ("W", Tensor(("f", "c"), "input")),
            OUTPUT,
            ("C", Tensor(("z", "f", "x"), "scratch")),
            ("Z", Tensor(("z", "f"), "scratch")),
        ),
        (
            heads(Loop("f", B_f, (Load(W), New(C), New(Z), summed, Store(C), Store(Z)), parallel=True)),
            heads(Loop("i", B_i, rows, parallel=True)),
        ),
        ((B_f, "f"), (B_i, "i")),
    )
