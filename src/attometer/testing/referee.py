"""The referee: a conformance suite for attention functions."""

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from attometer.errors import AttometerError, unknown
from attometer.program import Mask, band, causal
from attometer.run.bench.memory import trim
from attometer.testing.calling import Function, Unsupported, call
from attometer.testing.cases import CASES, draw
from attometer.testing.oracle import Answers, Case, answers, distance, named
from attometer.testing.report import Outcome, Report

CALLS = 1000
WARM_UP = 100


def check_attention(
    fn: Function, *, name: str | None = None, checks: tuple[str, ...] | None = None, gradients: bool = True
) -> Report:
    """Judge an attention function: values, gradients, masks, strides, lengths, extremes, NaN, precision, memory.

    The truth is dense attention in float64. An implementation may err by 1.5 times what dense attention in the same type
    errs (the worst of three orders of summation), plus one unit in the last place. Masks are aligned bottom-right, and a
    query that sees nothing gives 0.

    Args:
        fn: `fn(q, k, v, ...)` with q [b, h, n, d], k [b, g, m, d], v [b, g, m, e], returning [b, h, n, e] or a pair with
            the log-sum-exp. It is given those of these keywords that it takes: mask (a mask of the algebra) or attn_mask
            (booleans [n, m]), bias (a tuple), scale, return_lse. A case that needs another is counted as unsupported,
            and so is one for which it raises `Unsupported` or an error that says "support".
        name: how the report calls it.
        checks: names of `CHECKS`; None is all.
        gradients: False judges the forward pass only.

    Returns:
        The report; printing it gives the score table.

    Raises:
        AttometerError: an unknown check.

    >>> def plain(q, k, v):
    ...     return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v
    >>> report = check_attention(plain, checks=("values", "masks"))
    >>> report.count("passed", "values"), report.count("unsupported", "masks")
    (9, 15)
    """
    for check in checks or ():
        if check not in CHECKS:
            raise unknown("check", check, CHECKS)
    title = str(name or getattr(fn, "__name__", type(fn).__name__))
    outcomes = [o for check in checks or CHECKS for o in CHECKS[check](fn, check, gradients)]
    return Report(title, tuple(outcomes))


def _against_truth(fn: Function, check: str, gradients: bool) -> Iterator[Outcome]:
    if gradients or check != "gradients":
        for case in CASES[check]():
            yield judge(fn, check, case if gradients else forward_only(case))


def forward_only(case: Case) -> Case:
    """Return the case without its gradients."""
    q, k, v = (x.detach() for x in (case.q, case.k, case.v))
    return replace(case, q=q, k=k, v=v, gradients=False)


def judge(fn: Function, check: str, case: Case) -> Outcome:
    """Return the outcome of one case against the truth."""
    return _guarded(check, case.name, lambda: _compare(fn, case, answers(case)))


def _guarded(check: str, case: str, verdict: Callable[[], str]) -> Outcome:
    """Run `verdict`, which says what is wrong or nothing, and turn errors into outcomes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = verdict()
    except Exception as problem:
        said = str(problem).splitlines()[0][:160] if str(problem) else ""
        apart = isinstance(problem, Unsupported | NotImplementedError) or "support" in str(problem)
        return Outcome(check, case, "unsupported" if apart else "failed", f"{type(problem).__name__}: {said}")
    return Outcome(check, case, "failed" if wrong else "passed", wrong)


def _compare(fn: Function, case: Case, expected: Answers) -> str:
    output, lse = call(fn, case)
    if output.dtype != case.q.dtype:
        return f"output is {output.dtype}, q is {case.q.dtype}"
    if case.lse and lse is None:
        raise Unsupported("the function returns no log-sum-exp")
    for name, value in named(case, output, lse).items():
        error = distance(value, expected.truth[name])
        if not error <= expected.allowed[name]:
            return f"{name} is off by {error:.2g} in norm, {expected.allowed[name]:.2g} is allowed"
    return ""


def _repeats(fn: Function, check: str, gradients: bool) -> Iterator[Outcome]:
    for dtype in (torch.float32, torch.bfloat16):
        case = draw(str(dtype).removeprefix("torch."), (2, 4, 2, 130, 130, 16, 16), 20, causal(), dtype=dtype)
        yield _guarded(check, case.name, lambda case=case: _same_twice(fn, case, gradients))  # type: ignore[misc]


def _same_twice(fn: Function, case: Case, gradients: bool) -> str:
    runs = []
    for _ in range(3):
        q, k, v = (x.detach().clone().requires_grad_(gradients) for x in (case.q, case.k, case.v))
        fresh = Case(case.name, q, k, v, case.mask, gradients=gradients)
        runs.append(named(fresh, *call(fn, fresh)))
    differing = [k for k in runs[0] if any(not torch.equal(runs[0][k], other[k]) for other in runs[1:])]
    return f"{', '.join(differing)} differ between equal calls" if differing else ""


def _unchanged(fn: Function, check: str, gradients: bool) -> Iterator[Outcome]:
    case = draw("q, k, v", (1, 2, 2, 40, 40, 8, 8), 21, causal())

    def verdict() -> str:
        before = [x.clone() for x in (case.q, case.k, case.v)]
        call(fn, case)
        changed = [n for n, x, y in zip("qkv", before, (case.q, case.k, case.v), strict=True) if not torch.equal(x, y)]
        return f"{', '.join(changed)} was written to" if changed else ""

    yield _guarded(check, case.name, verdict)


def _memory(fn: Function, check: str, gradients: bool) -> Iterator[Outcome]:
    """A call that keeps a tenth of its output is a leak: resident memory after a thousand calls shows it."""
    case = draw(f"{CALLS} calls", (1, 4, 4, 64, 64, 64, 64), 22, causal(), gradients=gradients)
    limit = CALLS * case.q.numel() * case.q.element_size() // 10

    def verdict() -> str:
        for _ in range(WARM_UP):
            named(case, *call(fn, case))
        before = _kept_bytes()
        for _ in range(CALLS):
            named(case, *call(fn, case))
        grown = _kept_bytes() - before
        return f"resident memory grew by {grown} bytes, {limit} are allowed" if grown > limit else ""

    yield _guarded(check, case.name, verdict)


def _kept_bytes() -> int:
    """Return what is resident without pages that the allocator holds but does not use: they would hide a leak, or pass for one."""
    gc.collect()
    trim()
    return resident_bytes()


def resident_bytes() -> int:
    """Return this process's resident memory; Linux only."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        raise Unsupported("resident memory is read from /proc, which this system lacks; not supported here")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _torch_samples(fn: Function, check: str, gradients: bool) -> Iterator[Outcome]:
    """Judge torch's own samples for scaled_dot_product_attention, those without dropout."""
    try:
        from torch.testing._internal.common_methods_invocations import op_db
    except ImportError as problem:
        yield Outcome(check, "all", "unsupported", f"torch's samples need a package: {problem}")
        return
    op = next(o for o in op_db if o.name == "nn.functional.scaled_dot_product_attention")
    for number, sample in enumerate(op.sample_inputs("cpu", torch.float32)):
        if not sample.kwargs.get("dropout_p"):
            yield _guarded(check, str(number), lambda s=sample, n=str(number): _sample(fn, s, n, gradients))  # type: ignore[misc]


def top_left(n: int, m: int) -> Mask:
    """Return torch's is_causal, j <= i whatever the lengths, in the algebra that is aligned to the last key.

    >>> top_left(2, 3).matrix(2, 3).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0]]
    """
    return band(None, n - m) if n >= m else ~band(m - n - 1, None)


def _sample(fn: Function, sample: object, name: str, gradients: bool) -> str:
    from attometer.run.biases import Terms

    q, kwargs = sample.input.detach(), dict(sample.kwargs)  # type: ignore[attr-defined]
    k, v = (x.detach() for x in sample.args)  # type: ignore[attr-defined]
    # Some samples broadcast q over the batch, which torch does in silence; [b, n, d] is one head.
    batch = torch.broadcast_shapes(*(x.shape[:-2] for x in (q, k, v)))
    q, k, v = (x.expand(*batch, *x.shape[-2:]) for x in (q, k, v))
    q, k, v = (x if x.dim() == 4 else x.unsqueeze(1) for x in (q, k, v))
    added = kwargs.get("attn_mask")
    if added is not None:
        added = (
            torch.zeros(added.shape).masked_fill(~added, -torch.inf) if added.dtype == torch.bool else added.detach()
        )
        added = added.to(q.dtype).view((1,) * (4 - added.dim()) + tuple(added.shape))
    mask = top_left(q.shape[2], k.shape[2]) if kwargs.get("is_causal") else None
    q, k, v = (x.clone().requires_grad_(gradients) for x in (q, k, v))
    case = Case(name, q, k, v, mask, Terms(added), kwargs.get("scale"), gradients=gradients)
    return _compare(fn, case, answers(case))


CHECKS: dict[str, Callable[[Function, str, bool], Iterator[Outcome]]] = {
    **dict.fromkeys(CASES, _against_truth),
    "determinism": _repeats,
    "inputs unchanged": _unchanged,
    "memory growth": _memory,
    "torch's samples": _torch_samples,
}
"""The checks by name."""

__all__ = ["CHECKS", "AttometerError", "check_attention", "judge", "resident_bytes"]
