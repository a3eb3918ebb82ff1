"""Write docs/referee.md from a run of the referee: `python docs/make_referee.py` (a few minutes on one core).

The peers that are not installed are left out and named; x-transformers is a `pip install x-transformers` away.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from attometer.errors import AttometerError
from attometer.testing import Report, check_attention, peer
from attometer.view.files import write_atomically

TITLES = {
    "compiled": "attometer `compiled` (machine code)",
    "tiled": "attometer `tiled`",
    "flash1": "attometer `flash1`",
    "two_pass_recompute": "attometer `two_pass_recompute`",
    "split_kv": "attometer `split_kv`",
    "reference": "attometer `reference`",
    "auto": "attometer `auto`",
    "sdpa": "attometer `sdpa` (torch's, chosen by torch)",
    "sdpa_chunked": "attometer `sdpa_chunked` (torch's, on chunks of queries)",
    "torch_math": "torch SDPA, math",
    "torch_flash": "torch SDPA, flash",
    "torch_flex": "torch FlexAttention, not compiled, forward only",
    "x_transformers": "x-transformers, plain",
    "x_transformers_flash": "x-transformers, flash",
}
FORWARD_ONLY = ("torch_flex",)

HEAD = """# What the referee says

`attometer.testing.check_attention(fn)` judges any attention function; `python -m attometer.testing --impl tiled` prints
one score. The truth is dense attention in float64. A function may err by 1.5 times what plain dense attention in the same
type errs (the worst of three orders of summation), plus one rounding. `unsupported` means that the function says, or its
signature says, that it does not do a thing; it is not a failure. This page is written by `docs/make_referee.py` from a run
on {machine}, torch {torch}{others}.

| function | passed | failed | unsupported |
|---|--:|--:|--:|
"""

TAIL = """
## What failed, and why

{failures}

A key or value that a mask hides may hold NaN or inf (padding that was never written). 0 times NaN is NaN, so a function
that multiplies hidden values by weights of 0 leaks them; attometer's own tiles keep them out, and `auto` takes the tiles
when operands under a mask are not finite. x-transformers pairs query head x with key head x mod g, where torch, Hugging
Face and attometer pair it with x // (h / g): a difference of convention. Where `auto` fails, it took torch's function.
"""


def main() -> None:
    """Judge every peer and write the page."""
    torch.set_num_threads(1)
    reports: dict[str, Report] = {}
    missing = []
    for name in TITLES:
        try:
            function = peer(name)
        except AttometerError:
            missing.append(name)
            continue
        reports[name] = check_attention(function, name=name, gradients=name not in FORWARD_ONLY)
        print(name, reports[name].count("passed"), reports[name].count("failed"), flush=True)
    write_atomically(Path(__file__).parent / "referee.md", page(reports, missing))


def page(reports: dict[str, Report], missing: list[str]) -> str:
    """Return the page's text."""
    others = "".join(f", {package} {found}" for package in ("x-transformers",) if (found := _version(package)))
    text = HEAD.format(machine=f"{platform.system()} {platform.machine()}", torch=torch.__version__, others=others)
    for name, report in reports.items():
        passed, failed, apart = (report.count(s) for s in ("passed", "failed", "unsupported"))
        text += f"| {TITLES[name]} | {passed} | {failed} | {apart} |\n"
    if missing:
        text += f"\nNot installed, so not judged: {', '.join(missing)}.\n"
    failures = [
        f"- {TITLES[name]}: {o.check}, {o.case}: {o.detail.replace('|', '/')}"
        for name, report in reports.items()
        for o in report.outcomes
        if o.status == "failed"
    ]
    return text + TAIL.format(failures="\n".join(failures))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
