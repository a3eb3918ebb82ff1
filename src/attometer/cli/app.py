"""The app that the commands join, how they read what is typed, and how they print and fail."""

import gc
import json
import re
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from attometer.cli.words import no_such_option, own_words
from attometer.errors import AttometerError, extras, nearest, positive_int, printable
from attometer.view.terminal import has_colours, line_width, patient_streams, shaded


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

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read what stands before the command; of an option that is none say what is near."""
        try:
            return super().parse_args(ctx, args)
        except _USAGE as error:
            if not hasattr(error, "possibilities"):
                raise
            hint = _ELSEWHERE.get(error.option_name.lstrip("-"), "; attometer --help")
            raise AttometerError(f"no option {error.option_name} stands before a command{hint}") from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is called; what it lacks, or cannot read, is one line with what is right."""
        try:
            return super().invoke(ctx)
        except _USAGE as error:
            raise AttometerError(self._told(error, ctx.invoked_subcommand)) from None

    def _told(self, error: Any, name: str) -> str:
        """Return what is said of arguments that do not fit a command."""
        param = getattr(error, "param", None)
        if param is not None and not error.message:
            return f"{name} needs {param.opts[0]}: {param.help}"
        if hasattr(error, "possibilities"):
            own = {n: [o for p in c.params for o in p.opts] for n, c in self.commands.items()}
            return no_such_option(name, error.option_name, own)
        if param is not None:
            kind = next((told for said, told in _KINDS.items() if said in error.message), None)
            return f"{param.opts[0]}: {error.message}" if kind is None else f"{param.opts[0]} takes {kind}"
        told = error.format_message().rstrip(".")
        more = "; sizes are joined by commas, as in n=1024,d=64" if "=" in told and "argument" in told else ""
        return f"{name}: {told[:1].lower()}{told[1:]}{more}"

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called; of an unknown one say the nearest, or all where none is near."""
        if args and args[0].replace("_", "-") in self.commands:
            args = [args[0].replace("_", "-"), *args[1:]]
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            hint = _ELSEWHERE.get(args[0]) or nearest(args[0], self.commands, 0.7)
            raise AttometerError(f'unknown command "{args[0]}"{hint}')
        name, command, rest = super().resolve_command(ctx, _in_full(args))
        if command is not None:
            named = [p for p in command.params if p.param_type_name == "option"]
            rest = own_words(rest, [option for param in named for option in param.opts])
            if "model" in (p.name for p in command.params if p not in named):
                rest = _positional(rest)
        return name, command, rest


def _positional(args: list[str]) -> list[str]:
    """Return arguments with the model that engines take after an option in its place."""
    return [a.removeprefix("--model=") for a in args if a not in ("--model", "-m", "--model-path")]


_USAGE: Any = typer.BadParameter.__base__
"""What typer raises for arguments that do not fit, by whichever name its version has."""

_KINDS = {"valid integer": "a whole number, as in 8", "valid number": "a number without a unit, as in 1.5"}
"""What an option takes, where all that is said is that something else cannot be parsed."""

_ELSEWHERE = {
    "explain": "; plan --explain says where each number comes from, explain-tool why another tool prints another",
    "ls": "; attometer list",
    "serve": "; plan MODEL --mode serve",
    "train": "; plan MODEL --mode train",
    "bench": "; measure times mechanisms",
    "benchmark": "; measure times mechanisms",
    "count": "; show counts a mechanism, shares a model's layers",
    "flops": "; show counts a mechanism, shares a model's layers",
    "html": "; attometer page",
    **dict.fromkeys(
        ("memory", "fit", "fits", "estimate", "run", "vram"), "; plan says whether a model fits, and how fast"
    ),
    **dict.fromkeys(("help", "info", "about"), "; attometer --help"),
    **dict.fromkeys(("version", "V", "v"), "; attometer --version"),
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


N = Annotated[int | None, typer.Option("-n", help="size n, as in 4096 or 4k", parser=whole, metavar="INTEGER")]
D = Annotated[int | None, typer.Option("-d", help="size d", parser=whole, metavar="INTEGER")]
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
            with extras("this needs"):
                app()
        except AttometerError as error:
            _fail(str(error))
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
        text = result.text(width) if isinstance(result, Report) else rendered([str(result)], width)
        print(shaded(text) if has_colours() else text)


def parameters_of(pairs: list[str] | None) -> dict[str, Any]:
    """Read NAME=VALUE pairs: whole numbers, true and false, or words."""
    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name or not value:
            raise AttometerError(f'--set takes NAME=VALUE, got "{pair}"')
        found[name] = (
            int(value) if value.lstrip("-").isdigit() else {"true": True, "false": False}.get(value.lower(), value)
        )
    return found


def sizes_of(text: str, **given: int | None) -> dict[str, int]:
    """Read sizes, as in n=8192,d=64, beside those that options of their own have `given`."""
    from attometer.view.amounts import amount

    found: dict[str, int] = {name: positive_int(name, value) for name, value in given.items() if value is not None}
    for part in _SIZES.split(_SAYS.sub("=", text)):
        name, equals, value = part.strip().partition("=")
        if part.strip() and (not equals or not name or not value):
            raise AttometerError(f'sizes take NAME=VALUE, got "{part.strip()}"')
        if name in found:
            raise AttometerError(f'size "{name}" is given twice: {found[name]:,} and {value}')
        if name:
            found[name] = amount(value, f'size "{name}"')
    return found


_SAYS = re.compile(r"\s*[=:]\s*|(?<=[a-zA-Z_])\s+(?=\d)")
"""Between a name and its number."""
_SIZES = re.compile(r"[;\s]+|,(?!\d{3}(?!\d))\s*")
"""Between sizes; a comma before three digits groups those of one number."""


def machines_of(*given: list[str] | None) -> list[str]:
    """Return machines, also those between commas: h100,h200; a comma before three digits groups those of a number."""
    return [
        part.strip() for names in given for name in names or () for part in re.split(r"(?<!\d),|,(?!\d{3}(?!\d))", name)
    ]


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
