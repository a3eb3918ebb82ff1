"""The app that the commands join, how they read what is typed, and how they print and fail."""

import gc
import json
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from attometer.errors import EXTRAS, AttometerError, nearest, needs, positive_int, printable
from attometer.view.terminal import line_width, patient_streams

SAID = (
    ("context", "max-model-len", "context-length", "ctx-size", "max-seq-len", "sequence-len", "max-seq-length", "num-ctx", "ctx",
     "max-model-length", "model-max-length", "max-length"),
    ("batch", "batch-size"),
    ("on", "gpu", "machine", "hardware", "device"),
    ("tp", "tensor-parallel-size", "tp-size"), ("pp", "pipeline-parallel-size", "pp-size"),
    ("dp", "data-parallel-size", "dp-size"), ("ep", "expert-parallel-size", "ep-size"),
    ("kv-dtype", "kv-cache-dtype"), ("weights-dtype", "quantization", "quant"),
    ("batched-tokens", "chunked-prefill-size", "ubatch-size"), ("max-requests", "max-running-requests"),
    ("enforce-eager", "disable-cuda-graph"), ("micro-batch", "micro-batch-size", "per-device-train-batch-size",
     "per-device-batch-size"),
    ("checkpoint", "gradient-checkpointing"), ("n-gpu-layers", "gpu-layers", "gpulayers", "num-gpu"),
    ("parallel", "num-parallel", "n-parallel"), ("at", "sizes", "set"), ("heads", "num-heads"),
)  # fmt: skip
"""Options in the words of engines, trainers, launchers and other commands: a command takes whichever of them it has as any."""


def _spelled(own: Iterable[str]) -> Callable[[str], str]:
    """Return what finds the option of a command, of those that are its own, that a name stands for."""
    known = set(own)

    def found(name: str) -> str:
        near = next((group for group in SAID if name in group), ())
        return name if name in known else next((one for one in near if one in known), name)

    return found


def _in_full(args: list[str]) -> list[str]:
    """Return arguments in which llama.cpp's `-fa` has the value that older builds left out."""
    bare = [k for k, (a, b) in enumerate(zip(args, [*args[1:], "-"], strict=True)) if a in FLASH and b[:1] in "-"]
    return [word for k, a in enumerate(args) for word in ([a, "on"] if k in bare else [a])]


FLASH = ("-fa", "--flash-attn")


class _Panels(typer.core.TyperGroup):
    """The commands by panel, as plain text: Rich's help takes half of the time that `--help` may take."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each panel."""
        longest = max(map(len, self.commands))
        for panel in (ASK, PROVE, MEASURE, DRAW):
            of_panel = [c for c in self.commands.values() if getattr(c, "rich_help_panel", None) == panel]
            # What most people come for stands first.
            listed = sorted(of_panel, key=lambda command: command.name != "plan")
            with formatter.section(panel):
                formatter.write_dl([(f"{c.name:{longest}}", c.get_short_help_str(200)) for c in listed])

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is called; of what it lacks say what that is, in the words of its help."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if error.message or error.param is None:
                raise
            lacks = error.param
            raise AttometerError(f"{ctx.invoked_subcommand} needs {lacks.opts[0]}: {lacks.help}") from None  # type: ignore[attr-defined]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called; of an unknown one say the nearest, or all where none is near."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            hint = _ELSEWHERE.get(args[0]) or nearest(args[0], self.commands, 0.7)
            raise AttometerError(f'unknown command "{args[0]}"{hint}')
        name, command, rest = super().resolve_command(ctx, _in_full(args))
        if command is not None:
            own = (option.lstrip("-") for param in command.params for option in param.opts)
            command.context_settings = {**command.context_settings, "token_normalize_func": _spelled(own)}
        return name, command, rest


_ELSEWHERE = {
    "explain": "; plan --explain says where each number comes from",
    "help": "; attometer --help",
    "version": "; attometer --version",
    "compile": "; in Python, am.compile(text) makes notation a function of torch",
} | {
    kind: f"; attometer list {kind}"
    for kind in ("models", "machines", "mechanisms", "masks", "schedules", "engines", "recipes")
}
"""What people type as a command, and where it is."""


app = typer.Typer(
    name="attometer",
    cls=_Panels,
    help="What attention costs: counted exactly, bounded from below, executed, priced, planned.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ASK, PROVE, MEASURE, DRAW = "ask", "prove", "measure", "draw"

SCHEMA = 1
"""Version of what `--json` prints: it grows when a key changes its meaning or goes away, not when one is added."""

Json = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="a parameter of the mechanism, as in --set w=256"),
]


def main() -> None:
    """Run the command line; bad input is one clear line and exit code 2, a fault of Attometer's own a traceback and 70."""
    # what a command imports and makes stays: looking for garbage among it takes a tenth of its time
    gc.set_threshold(200_000, 20, 20)
    with patient_streams():
        try:
            app()
        except AttometerError as error:
            _fail(str(error))
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in EXTRAS:
                _crash()
            _fail(needs("this needs", missing, EXTRAS[missing]))
        except OSError as error:
            _fail(printable(f"{error.filename}: {error.strerror}" if error.filename else str(error)))
        except Exception:
            _crash()
        finally:
            gc.freeze()  # else the interpreter looks for garbage once more as it ends: a fifth of the time of a plan


def _crash() -> NoReturn:
    # sysexits.h calls 70 a software error; Python's own 1 is what `plan` says when a model does not fit.
    traceback.print_exc()
    sys.exit(70)


def _fail(message: str) -> NoReturn:
    print(f"attometer: {message}", file=sys.stderr)
    sys.exit(2)


def show_result(result: Any, as_json: bool, **more: Any) -> None:
    """Print a result: its page at the terminal's width, or JSON; `more` goes to its `to_dict`."""
    if as_json:
        print(json.dumps({"schema": SCHEMA, **result.to_dict(**more)}, indent=2, allow_nan=False))
    else:
        from attometer.view.report import Report, rendered

        width = line_width()
        print(result.text(width) if isinstance(result, Report) else rendered([str(result)], width))


def parameters_of(pairs: list[str] | None, flag: str = "--set") -> dict[str, Any]:
    """Read NAME=VALUE pairs: whole numbers, true and false, or words."""
    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name or not value:
            raise AttometerError(f'{flag} take{"s" * flag.startswith("-")} NAME=VALUE, got "{pair}"')
        found[name] = (
            int(value) if value.lstrip("-").isdigit() else {"true": True, "false": False}.get(value.lower(), value)
        )
    return found


def whole(text: str) -> int:
    """Read a whole number as people write it; what it must be is for the command to say."""
    from attometer.view.amounts import amount

    written = str(text)
    if written.removeprefix("-").isdecimal():
        return int(written)
    try:
        return amount(written, "it")
    except AttometerError as error:
        raise typer.BadParameter(str(error)) from None


def sizes_of(text: str) -> dict[str, int]:
    """Read sizes, as in n=8192,d=64."""
    found = parameters_of([part.strip().replace(" ", "=", 1) for part in text.split(",") if part.strip()], "sizes")
    from attometer.view.amounts import amount

    for name, value in found.items():
        # 4k and 1e5 are amounts; a lone minus or word is for the message.
        found[name] = (
            amount(value, f'size "{name}"') if isinstance(value, str) else positive_int(f'size "{name}"', value)
        )
    return found


def words_of(text: str) -> int:
    """Return words of fast memory; an amount in bytes is told how many words it is."""
    from attometer.view.amounts import amount

    bare = str(text).strip().lower()
    if bare.endswith("b"):
        found = amount(bare.removesuffix("b").removesuffix("i"), "-M")
        raise AttometerError(
            f"-M is in words, not bytes: {text} are {found // 2:,} words of 16 bits or {found // 4:,} of 32"
        )
    return amount(str(text), "-M")


def only(call: typer.Context, flag: str, *taken: str) -> None:
    """Raise AttometerError for an option that was given and that a command does not read under `flag`."""
    options = {option.name: option.opts[0] for option in call.command.params}
    for name, option in options.items():
        source = None if name is None else call.get_parameter_source(name)
        if name not in taken and source is not None and not source.name.startswith("DEFAULT"):
            known = ", ".join(options[each] for each in taken[1:])
            raise AttometerError(f"{flag} does not take {option}; it takes {known}")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False) -> None:
    if version:
        from attometer import __version__

        print(__version__)
        raise typer.Exit
