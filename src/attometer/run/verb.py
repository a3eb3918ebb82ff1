"""`run`: a Program or mechanism and arrays → results, by what the arrays are and whether a schedule is named."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from attometer.errors import AttometerError
from attometer.mechanisms import Mechanism, mechanism
from attometer.program import Mask, Program, size
from attometer.schedule import Schedule
from attometer.schedule import schedule as schedule_of
from attometer.view.printed import Printed


@dataclass(frozen=True)
class Results(Printed):
    """What a run gave: `outputs` by tensor name, how it ran in words, and what a simulated fast memory counted.

    `execution` (words read and written per tensor, most words held, operations, depth) is None without a schedule.
    """

    outputs: Mapping[str, Any]
    how: str
    execution: Any = None

    def __getitem__(self, name: str) -> Any:
        if name not in self.outputs:
            raise AttometerError(f'no result is called "{name}"; known: {", ".join(self.outputs)}')
        return self.outputs[name]

    def to_dict(self) -> dict[str, Any]:
        """Return how it ran, the shape of each result, and the words counted, ready for JSON."""
        done = self.execution
        counted = {} if done is None else {k: getattr(done, k) for k in ("words", "peak", "operations", "depth")}
        return {"how": self.how, "outputs": {k: list(v.shape) for k, v in self.outputs.items()}, **counted}

    def __str__(self) -> str:
        shapes = ", ".join(f"{name}{list(array.shape)}" for name, array in self.outputs.items())
        done = self.execution
        moved = "" if done is None else f"; {done.words:,} words moved, at most {done.peak:,} held"
        return f"{shapes}: {self.how}{moved}"


def run(
    subject: Program | Mechanism | str,
    schedule: Schedule | str | None = None,
    *,
    M: int | None = None,
    impl: str = "auto",
    **inputs: Any,
) -> Results:
    """Run `subject` on arrays and return its results.

    NumPy arrays and lists are interpreted in float64, the reference; torch tensors run as fast attention, for programs
    that are softmax attention over any mask; with a schedule, arrays go through a simulated fast memory of M words.

    Args:
        subject: a Program, a mechanism, or a mechanism's name.
        schedule: a loop nest, or its name; needs `M`, its tiles by name (as in `B_r=2`), and inputs [z, rows, columns].
        M: words of the simulated fast memory.
        impl: for tensors, an implementation of `attometer.run.attention`, which runs or raises.
        **inputs: one array per input of the program, by name, with its shape; integers are sizes (or tiles).

    Returns the Results. Raises AttometerError for an input that is missing, misshapen or of another kind, for tensors
    on a program that is not softmax attention, and for a tile that does not fit.

    >>> from attometer.program import parse
    >>> run(parse("Y[i] = A[i,j] * X[j]"), A=[[1, 2]], X=[3, 4])["Y"]
    array([11.])
    >>> q = [[[1.0], [2.0]]]
    >>> print(run("softmax", "flash2", M=20, Q=q, K=q, V=q, B_r=1, B_c=1, B_d=1, B_e=1))
    O[1, 2, 1], L[1, 2]: simulated under flash2 on 20 words; 14 words moved, at most 6 held
    """
    source = mechanism(subject) if isinstance(subject, str) else subject
    program = getattr(source, "program", source)
    if not isinstance(program, Program):
        raise AttometerError(f"run takes a Program, a mechanism or its name, got {type(subject).__name__}")
    arrays = {name: value for name, value in inputs.items() if isinstance(value, bool) or not isinstance(value, int)}
    # A default fills in only what no input's shape tells, such as a window.
    told = {str(s) for tensor in program.inputs for extent in tensor.extents for s in extent.free_symbols}
    left = {str(s) for s in program.symbols} - told
    own = {name: value for name, value in getattr(source, "defaults", {}).items() if name in left}
    numbers = own | {name: value for name, value in inputs.items() if name not in arrays}
    if schedule is not None:
        return _simulated(program, schedule, M, arrays, numbers)
    if M is not None:
        raise AttometerError(f"M = {M} is the fast memory of a schedule; name one, as in schedule='flash2'")
    if any(type(value).__module__.partition(".")[0] == "torch" for value in arrays.values()):
        return _fast(program, impl, arrays, numbers)
    if impl != "auto":
        raise AttometerError(f'impl "{impl}" runs torch tensors; arrays are interpreted in float64')
    from attometer.simulate.interpreter import interpret

    outputs = interpret(program, arrays, numbers)
    wanted = {t.name for t in program.outputs}
    return Results({k: v for k, v in outputs.items() if k in wanted}, "interpreted in float64")


def _simulated(
    program: Program, schedule: Schedule | str, M: int | None, arrays: dict[str, Any], numbers: dict[str, int]
) -> Results:
    import numpy as np

    from attometer.simulate.scratchpad.two_level import TwoLevel

    mask, tiles = _attention_mask(program, numbers)
    how = schedule_of(schedule) if isinstance(schedule, str) else schedule
    if M is None:
        raise AttometerError(f'schedule "{how.name}" needs M, the words of fast memory')
    floats = {name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()}
    done = TwoLevel(M).run(how, floats, tiles, mask)
    return Results(done.outputs, f"simulated under {how.name} on {M:,} words", done)


def _fast(program: Program, impl: str, arrays: dict[str, Any], numbers: dict[str, int]) -> Results:
    from attometer.run.attention import attention, explain_choice

    mask, extra = _attention_mask(program, numbers)
    if extra or set(arrays) != {"Q", "K", "V"}:
        raise AttometerError(f"attention on tensors takes Q, K and V alone, got {', '.join([*arrays, *extra])}")
    qkv = tuple(arrays[name] for name in "QKV")
    taken = explain_choice(*qkv, mask=mask).impl if impl == "auto" else impl
    return Results({"O": attention(*qkv, mask=mask, impl=impl)}, f"attometer.run.attention, {taken}")


def _attention_mask(program: Program, numbers: Mapping[str, int]) -> tuple[Mask | None, dict[str, int]]:
    """Return the mask, at its sizes, of a program that is the catalogue's softmax attention but for it, and numbers left."""
    bare = _unmasked(program)
    if bare not in [mechanism(name).program for name in ("softmax", "gqa")] and bare not in [
        _unmasked(mechanism(name, e=size("d"), m=size("n")).program) for name in ("softmax", "gqa")
    ]:
        raise AttometerError(
            "a schedule, or torch tensors, run softmax attention as the catalogue writes it (softmax, gqa and what masks "
            "them); any other program is interpreted from NumPy arrays without a schedule"
        )
    own = {str(s) for s in program.symbols} - {str(s) for s in bare.symbols}
    chosen = program.substitute({name: value for name, value in numbers.items() if name in own})
    mask = next((s.where.mask for s in chosen.statements if s.where is not None), None)
    return mask, {name: value for name, value in numbers.items() if name not in own}


def _unmasked(program: Program) -> Program:
    return replace(program, statements=tuple(replace(s, where=None) for s in program.statements))
