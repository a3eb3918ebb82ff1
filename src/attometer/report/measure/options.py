"""What `measure` is asked for, checked before anything runs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attometer.errors import AttometerError, positive_int, unknown
from attometer.view.amounts import amounts

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
DEFAULT = ("softmax", "sliding_window", "linear")


@dataclass(frozen=True)
class Options:
    """Mechanisms, lengths and setting of a measurement; make one with `Options.of`, which checks."""

    mechanisms: tuple[str, ...]
    lengths: tuple[int, ...]
    dtype: str
    heads: int
    d: int
    batch: int
    impl: str
    backward: bool
    repeats: int
    device: str
    threads: int | None

    @staticmethod
    def of(
        mechanisms: Sequence[str] = DEFAULT,
        lengths: str | Sequence[int] = "512,1024,2048",
        *,
        dtype: str = "bf16",
        heads: int = 8,
        d: int = 64,
        batch: int = 1,
        impl: str = "auto",
        backward: bool = False,
        repeats: int = 5,
        device: str = "cpu",
        threads: int | None = None,
    ) -> "Options":
        """Return options that can be run.

        Args:
            mechanisms: names, such as softmax and sliding_window, files of notation or `-`; a name given twice counts once.
            lengths: numbers of tokens, as in "512,1024".
            dtype: bf16, fp16, fp32 or fp64 (or torch's name for it).
            heads: heads.
            d: width of a head.
            batch: sequences.
            impl: implementation of the mechanisms that are softmax attention over a mask, or "auto".
            backward: also compute the gradients.
            repeats: samples of each mechanism at each length.
            device: cpu, cuda or cuda:1.
            threads: of torch; None leaves torch's own number.

        Returns:
            The options, lengths in order.

        Raises:
            AttometerError: whatever does not fit.

        >>> Options.of(["softmax"], "1024,512").lengths
        (512, 1024)
        """
        for name, number in {"heads": heads, "d": d, "batch": batch, "repeats": repeats, "threads": threads}.items():
            if number is not None:
                positive_int(name, number)
        # first what needs no torch, which takes seconds to load
        asked, short = _lengths(lengths), _dtype(dtype)
        _check_device(device)
        made = Options(
            _names(mechanisms, backward),
            asked,
            short,
            heads,
            d,
            batch,
            impl,
            backward,
            repeats,
            device,
            threads,
        )
        made._check()
        return made

    @property
    def torch_dtype(self) -> Any:
        """The type as torch has it."""
        import torch

        return getattr(torch, DTYPES[self.dtype])

    def chooses(self, mechanism: str) -> bool:
        """Return whether `impl` has a say in how a mechanism runs."""
        from attometer.run.bench.cases import CASES

        return mechanism in CASES and CASES[mechanism].chooses

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain values."""
        return {name: list(x) if isinstance(x, tuple) else x for name, x in asdict(self).items()}

    def _check(self) -> None:
        from attometer.report.measure.prediction import flops
        from attometer.run import IMPLEMENTATIONS

        if self.impl != "auto" and self.impl not in IMPLEMENTATIONS:
            raise unknown("impl", self.impl, (*IMPLEMENTATIONS, "auto"))
        if self.impl != "auto" and not any(map(self.chooses, self.mechanisms)):
            raise AttometerError(
                f"--impl {self.impl} says nothing to {', '.join(self.mechanisms)}; leave it out, or add softmax"
            )
        for name in self.mechanisms:
            for n in self.lengths:
                flops(name, b=self.batch, h=self.heads, n=n, d=self.d)  # refuses lengths that the mechanism cannot take


def _names(mechanisms: Sequence[str], backward: bool) -> tuple[str, ...]:
    from attometer.run.bench.own import refuse_unknown

    names = tuple(dict.fromkeys(mechanisms)) or DEFAULT
    for name in names:
        refuse_unknown(name)
    if backward and "decode" in names:
        raise AttometerError("--backward does not go with decode: a decode step has no gradients")
    return names


def _lengths(given: str | Sequence[int]) -> tuple[int, ...]:
    parts = given.split(",") if isinstance(given, str) else [str(x) for x in given]
    if not parts:
        raise AttometerError("-n takes lengths of at least 1 as in 512,1024; got none")
    # A space tells lengths from the groups of one number.
    return tuple(sorted(amounts(", ".join(parts), "-n")))


def _dtype(given: str) -> str:
    short = {long: name for name, long in DTYPES.items()}.get(given, given)
    if short not in DTYPES:
        raise unknown("dtype", given, DTYPES)
    return short


def _check_device(device: str) -> None:
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()) or (kind == "cpu" and number):
        raise AttometerError(f'device must be cpu, cuda or cuda:NUMBER, got "{device}"')
    if kind == "cpu":
        return
    import torch

    if int(number or 0) >= (torch.cuda.device_count() if torch.cuda.is_available() else 0):
        raise AttometerError(f'device "{device}" is not there; torch sees {torch.cuda.device_count()} CUDA devices')
