"""`import attometer` and `attometer --help` stay light: heavy libraries load only when a command needs them."""

import inspect
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


def test_every_public_name_resolves() -> None:
    import attometer

    for name in attometer.__all__:
        assert getattr(attometer, name) is not None


def test_asking_for_any_name_never_raises() -> None:
    import attometer

    assert set(dir(attometer)) == {*attometer.__all__, "list"}  # a star import must leave the builtin
    assert all(hasattr(attometer, name) for name in dir(attometer))
    assert not hasattr(attometer, "nosuch")


@pytest.mark.parametrize("name", ["count", "run", "price", "plan", "machine", "schedule", "models", "mechanisms"])
def test_a_room_shows_the_signature_and_the_docstring_of_its_verb(name: str) -> None:
    import attometer

    room = getattr(attometer, name)
    verb = vars(room)[name]
    assert callable(room)
    assert inspect.signature(room) == inspect.signature(verb)
    assert room.__doc__.startswith(verb.__doc__.splitlines()[0])


def test_without_torch_the_names_resolve_and_run_interprets() -> None:
    code = (
        "import importlib.util, sys\nsys.modules['torch'] = None\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
        "import attometer as am\nassert all(hasattr(am, name) for name in dir(am))\n"
        "assert am.run(am.parse('Y[i] = exp(X[i])'), X=[0])['Y'] == [1]"
    )
    assert modules_after(code)


def test_rooms_that_are_verbs_are_callable_whatever_was_imported_first() -> None:
    code = (
        "import attometer.count, attometer.machine\nimport attometer as am\n"
        "assert am.count(am.parse('Y[i] = exp(X[i])')).work == am.size('i')\n"
        "assert am.machine('h100-sxm').id == 'h100-sxm'"
    )
    assert modules_after(code)
