"""The compute steps of attention schedules: what each does to its tiles, its scalar operations and its depth."""

from attometer.schedule.nest import Compute, Tile


def _union(*tiles: Tile) -> tuple[str, ...]:
    return tuple(dict.fromkeys(axis for tile in tiles for axis in tile.axes))


def contract(out: Tile, a: Tile, b: Tile) -> Compute:
    """`out += a b`, summed over the axes that `out` lacks: one multiplication and one addition per term."""
    axes = _union(out, a, b)
    reduced = tuple(axis for axis in axes if axis not in out.axes)
    return Compute("contract", (out,), (a, b), f"{out} += {a} {b}", ((2, axes),), (2, reduced))


def score(S: Tile) -> Compute:
    """Scale the scores by 1/√d and set masked ones to -inf."""
    return Compute("score", (S,), (), f"{S} = {S} / √d, -inf where masked", ((1, S.axes),), (1, ()))


def online(P: Tile, mx: Tile, total: Tile, out: Tile) -> Compute:
    """Online softmax: update the row maximum and row sum, exponentiate the scores in place, rescale the output rows.

    Per score: compare, subtract, exponentiate, add; per row: the factor exp(old - new) and the sum's product.
    """
    text = f"m' = max({mx}, {P}); {P} = exp({P} - m'); {total}, {out} rescaled by exp({mx} - m'); {total} += sum {P}"
    rows = mx.axes
    return Compute(
        "online", (P, mx, total, out), (), text, ((4, P.axes), (3, rows), (1, out.axes)), (4, _columns(P, rows) * 2)
    )


def online_normalised(P: Tile, mx: Tile, total: Tile, out: Tile) -> Compute:
    """Online softmax on an output that is kept normalised: its rows are multiplied by the old row sum as well."""
    text = f"m' = max({mx}, {P}); {P} = exp({P} - m'); {out} *= {total} exp({mx} - m'); {total} updated"
    rows = mx.axes
    return Compute(
        "online_normalised", (P, mx, total, out), (), text,
        ((4, P.axes), (3, rows), (1, out.axes)), (4, _columns(P, rows) * 2),
    )  # fmt: skip


def statistics(S: Tile, mx: Tile, total: Tile) -> Compute:
    """Update the running row maximum and row sum of exponentials; the scores stay as they are."""
    work = ((4, S.axes), (3, mx.axes))
    text = f"m' = max({mx}, {S}); {total} = {total} exp({mx} - m') + sum exp({S} - m')"
    return Compute("statistics", (mx, total), (S,), text, work, (4, _columns(S, mx.axes) * 2))


def exponential(P: Tile) -> Compute:
    """Exponentiate in place, without a row maximum."""
    return Compute("exponential", (P,), (), f"{P} = exp({P})", ((1, P.axes),), (1, ()))


def row_sum(total: Tile, P: Tile) -> Compute:
    """Add a tile to running sums along the axes that they lack."""
    text = f"{total} += sum {P}"
    return Compute("row_sum", (total,), (P,), text, ((1, P.axes),), (1, _columns(P, total.axes)))


def shifted(S: Tile, level: Tile) -> Compute:
    """Exponentiate in place after subtracting a row's level (its maximum, or its log-sum-exp)."""
    return Compute("shifted", (S,), (level,), f"{S} = exp({S} - {level})", ((2, S.axes),), (2, ()))


def normalise(S: Tile, mx: Tile, total: Tile) -> Compute:
    """Turn scores into weights in place: exp(S - m) / l."""
    return Compute("normalise", (S,), (mx, total), f"{S} = exp({S} - {mx}) / {total}", ((3, S.axes),), (3, ()))


def divide(out: Tile, total: Tile) -> Compute:
    """Divide the output rows by the row sums."""
    return Compute("divide", (out,), (total,), f"{out} /= {total}", ((1, out.axes),), (1, ()))


def log_sum_exp(mx: Tile, total: Tile) -> Compute:
    """Turn the row maximum into the row's log-sum-exp, m + log l."""
    return Compute("log_sum_exp", (mx,), (total,), f"{mx} += log {total}", ((2, mx.axes),), (2, ()))


def merge(mx: Tile, total: Tile, out: Tile, mx2: Tile, total2: Tile, out2: Tile) -> Compute:
    """Merge two partial results (maximum, sum, unnormalised output) of the same rows; the operation is associative."""
    text = f"({mx}, {total}, {out}) merged with ({mx2}, {total2}, {out2})"
    work = ((8, mx.axes), (3, out.axes))
    return Compute("merge", (mx, total, out), (mx2, total2, out2), text, work, (5, ()))


def row_dot(D: Tile, a: Tile, b: Tile) -> Compute:
    """Add the inner products of the rows of two tiles."""
    reduced = _columns(a, D.axes)
    return Compute("contract", (D,), (a, b), f"{D} += {a} {b}", ((2, a.axes),), (2, reduced))


def score_gradient(dS: Tile, P: Tile, D: Tile) -> Compute:
    """Turn dP into dS in place: P (dP - D) / √d."""
    return Compute("score_gradient", (dS,), (P, D), f"{dS} = {P} ({dS} - {D}) / √d", ((3, dS.axes),), (3, ()))


def elu_feature(X: Tile) -> Compute:
    """The feature map elu(x) + 1 in place: exp(min(x, 0)) + max(x, 0)."""
    text = f"{X} = exp(min({X}, 0)) + max({X}, 0)"
    return Compute("elu_feature", (X,), (), text, ((4, X.axes),), (3, ()))


def exponential_feature(G: Tile, norm: Tile) -> Compute:
    """Positive random features in place: exp(g / d^(1/4) - |x|^2 / (2 √d)), from g = W x and |x|^2."""
    text = f"{G} = exp({G} / d^(1/4) - {norm} / (2 √d))"
    return Compute("exponential_feature", (G,), (norm,), text, ((3, G.axes), (1, norm.axes)), (3, ()))


def _columns(tile: Tile, rows: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(axis for axis in tile.axes if axis not in rows)
