"""A rank that dies or hangs ends in an error on the others: never in a hang (the processes themselves have a limit)."""

import socket

import pytest
from distributed_launch import HERE, each_rank

pytestmark = pytest.mark.slow  # ranks that wait for one that is gone


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.parametrize("method", ["ring", pytest.param("ulysses", marks=pytest.mark.slow)])
def test_a_rank_killed_before_backward(method: str) -> None:
    (status, said), (killed, _) = each_rank(2, HERE / "lost_worker.py", "died", method, port=free_port())
    assert killed == -9
    assert status == 3, said
    assert "LostRank: " in said
    assert "rank 0 of 2 lost a rank (" in said
    assert "look for the first error among the other ranks" in said


@pytest.mark.parametrize("method", ["ring", pytest.param("ulysses", marks=pytest.mark.slow)])
def test_a_rank_that_does_not_answer(method: str) -> None:
    (status, said), _ = each_rank(2, HERE / "lost_worker.py", "hung", method, port=free_port())
    assert status == 3, said
    forward, _, barrier = said.strip().partition("LostRank: ")
    assert "agreement on shapes: rank 0 of 2 lost a rank (" in forward
    assert "Timed out" in forward
    assert "barrier: rank 0 of 2 lost a rank (" in barrier
