"""What exists is listed, and what people call it is understood or told."""

import pytest

from attometer.errors import AttometerError
from attometer.machine import machines
from attometer.mechanisms import mechanism, mechanisms
from attometer.report.listing import KINDS, listing


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "models"])
def test_every_kind_lists_rows_of_its_columns(kind: str) -> None:
    table = listing(kind)
    assert len(table.rows) >= 5
    assert all(row[0] and len(row) == len(table.columns) for row in table.rows)
    assert len({row[0] for row in table.rows}) == len(table.rows)


def test_the_lists_hold_every_name() -> None:
    assert [row[0] for row in listing("machines").rows] == list(machines())
    assert [row[0] for row in listing("mechanisms").rows] == list(mechanisms())


def test_lists_are_filtered_by_words_and_by_column() -> None:
    assert [row[0] for row in listing("machines", ("4090",)).rows] == ["rtx-4090", "rtx-4090-d", "rtx-4090-laptop"]
    vendors = {row[1] for row in listing("machines", vendor="nvidia").rows}
    assert vendors == {"NVIDIA"}
    assert listing("machines", ("no such thing",)).notes == ("none of them match",)


def test_an_unknown_list_or_column_is_refused_in_words() -> None:
    with pytest.raises(AttometerError, match=r'^unknown list "mdels"; did you mean "models"\?$'):
        listing("mdels")
    assert listing("Mask").rows == listing("masks").rows
    with pytest.raises(AttometerError, match=r"^masks have no vendor; columns: mask, which keys a query sees$"):
        listing("masks", vendor="nvidia")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("self-attention", "softmax"),
        ("MHA", "softmax"),
        ("Sliding Window", "sliding_window"),
        ("grouped-query attention", "gqa"),
    ],
)
def test_what_people_call_a_mechanism_is_understood(said: str, meant: str) -> None:
    assert mechanism(said).name == meant


@pytest.mark.parametrize("said", ["flashattention", "FlashAttention-2", "flash"])
def test_flash_attention_is_told_to_be_a_schedule(said: str) -> None:
    with pytest.raises(AttometerError, match=r"is a schedule of softmax attention, which it computes exactly"):
        mechanism(said)
