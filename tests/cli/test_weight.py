"""`import attometer` and `attometer --help` stay light: heavy libraries load only when a command needs them."""

import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "matplotlib", "numba", "scipy", "sympy", "networkx")


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def heavy(modules: set[str]) -> list[str]:
    return sorted(name for name in HEAVY if name in modules)


def test_import_loads_nothing_heavy() -> None:
    assert heavy(modules_after("import attometer; attometer.__all__; dir(attometer)")) == []


def test_help_loads_nothing_heavy() -> None:
    code = "import attometer.cli\ntry:\n  attometer.cli.app(['--help'])\nexcept SystemExit: pass"
    found = modules_after(code)
    assert heavy(found) == []
    assert len(found) < 700, "the command line grew heavy"


@pytest.mark.parametrize("name", ["sympy", "matplotlib"])
def test_the_test_can_fail(name: str) -> None:
    assert heavy(modules_after(f"import attometer; import {name}")) != []


def test_help_takes_little_cpu() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "attometer", "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # CPU time, not wall time, and five times what it takes here: a budget that only a heavy import can break.
    assert used < 0.5


def test_every_public_name_resolves() -> None:
    import attometer

    for name in attometer.__all__:
        assert getattr(attometer, name) is not None


def test_rooms_that_are_verbs_are_callable_whatever_was_imported_first() -> None:
    code = (
        "import attometer.count, attometer.machine\nimport attometer as am\n"
        "assert am.count(am.parse('Y[i] = exp(X[i])')).work == am.size('i')\n"
        "assert am.machine('h100-sxm').id == 'h100-sxm'"
    )
    assert modules_after(code)
