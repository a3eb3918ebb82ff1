"""What a shell offers after Tab: names of what is shipped, and files as the shell finds them."""


def models(incomplete: str) -> list[str]:
    """Return the shipped models whose names begin so.

    >>> models("llama-3.1-8")
    ['llama-3.1-8b']
    """
    from attometer.models import shipped

    return [name for name in shipped() if name.startswith(incomplete.lower())]


def machines(incomplete: str) -> list[str]:
    """Return the machines whose names begin so, behind a number of them where one is given.

    >>> machines("h200-s"), machines("8x-h200-s")
    (['h200-sxm'], ['8x-h200-sxm'])
    """
    from attometer.machine import machines as known

    count, several, rest = (
        incomplete.lower().rpartition("x-") if "x-" in incomplete[:5].lower() else ("", "", incomplete)
    )
    before = f"{count}{several}" if count.isdigit() else ""
    wanted = rest if before else incomplete.lower()
    return [before + name for name in known() if name.startswith(wanted)]


def models_and_machines(incomplete: str) -> list[str]:
    """Return models, then machines: `plan` takes either beside the first model."""
    return models(incomplete) + machines(incomplete)


def mechanisms(incomplete: str) -> list[str]:
    """Return the mechanisms whose names begin so.

    >>> mechanisms("sli")
    ['sliding_window']
    """
    from attometer.mechanisms import mechanisms as known

    return [name for name in known() if name.startswith(incomplete.lower())]


def tools(incomplete: str) -> list[str]:
    """Return the tools that `explain-tool` knows whose names begin so."""
    from attometer.report.other_tools import TOOLS

    return [name for name in TOOLS if name.startswith(incomplete.lower())]
