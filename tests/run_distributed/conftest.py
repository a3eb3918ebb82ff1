"""The comparison is run once for all tests on 2 processes, and once on 4 for the slow ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from distributed_launch import HERE, torchrun


def _compared(tmp_path_factory: pytest.TempPathFactory, ranks: int, *arguments: str) -> Any:
    target: Path = tmp_path_factory.mktemp("compared") / "results.json"
    torchrun(ranks, HERE / "compare_worker.py", str(target), *arguments)
    return json.loads(target.read_text())


@pytest.fixture(scope="session")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _compared(tmp_path_factory, 2)


@pytest.fixture(scope="session")
def on_four(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _compared(tmp_path_factory, 4)


@pytest.fixture(scope="session")
def large_on_four(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _compared(tmp_path_factory, 4, "large")
