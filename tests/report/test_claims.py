"""The ledger of claims: pinned, complete, and able to notice a number that changes."""

import json
from collections import Counter
from pathlib import Path

import pytest
import sympy

from attometer.errors import AttometerError
from attometer.ledger import Claim, Finding, Ledger, judge, ledger
from attometer.ledger.checks import Between, Exactly, Near, Rounded, Row, Says
from attometer.ledger.claim import Otherwise
from attometer.ledger.ledger import SOURCES, all_claims

PINNED = Path(__file__).with_name("ledger.tsv")


@pytest.fixture(scope="module")
def whole() -> Ledger:
    return ledger()


def test_the_ledger_is_as_pinned(whole: Ledger) -> None:
    pinned = [tuple(line.split("\t")) for line in PINNED.read_text().splitlines()]
    found = [(finding.id, finding.verdict, finding.ours) for finding in whole.findings]
    assert found == pinned


# Numbers worked out by hand from the documents' own formulas, before any code: id → (verdict, our value).
AUDIT = {
    "000.sum.work": ("wrong", "2·n"),
    "000.sum.depth": ("wrong", "⌈log2(n)⌉ + 2"),
    "000.matmul.work": ("wrong", "2·n^3 + 3·n^2"),
    "000.attention.depth.rows": ("wrong", "4·⌈log2(d)⌉ + 2·⌈log2(n)⌉ + 4"),
    "000.attention.depth": ("wrong", "4·⌈log2(d)⌉ + 3·⌈log2(n)⌉ + 12"),
    "000.attention.work.rows": ("wrong", "3·b·d^2·n + 2·b·d·n^2 + 2·b·d·n + 2·b·n^2 + 3·d^2"),
    "000.attention.work": ("wrong", "6·b·d^2·n + 4·b·d·n^2 + 2·b·d·n + 6·b·n^2 + 3·d^2"),
    "001.out6.text8192": ("wrong", "103.281 billion"),
    "001.out9.sixteen": ("wrong", "12x"),
    "001.out9.only": ("wrong", "0.07031 GB"),
    "001.out10.impact": ("wrong", "no: ×3.78 for twice the length, ×5.00 for Large"),
    "001.out15.efficiency128": ("wrong", "254"),
    "001.out17.text.rtx-3090": ("wrong", "7.637K"),
    "001.out17.text.a100-80gb-sxm": ("wrong", "13.944K"),
    "001.out19.digits": ("wrong", "131.941 ms"),
    "001.out22.ffn256": ("wrong", "63.158%"),
    "001.out22.attention4096": ("wrong", "47.059%"),
    "001.limits.crossover": ("wrong", "3,072 tokens"),
    "001.out25.text.similar": ("wrong", "128x"),
    "003.n4096": ("convention", "64 MB"),
    "003.cache.token": ("wrong", "O(1)"),
    "004.time": ("convention", "b·d^2·n"),
}


def test_the_audit_by_hand_is_found(whole: Ledger) -> None:
    found = {finding.id: (finding.verdict, finding.ours) for finding in whole.findings}
    assert {name: found[name] for name in AUDIT} == AUDIT


def test_every_row_of_every_table_is_there(whole: Ledger) -> None:
    ids = [finding.id for finding in whole.findings]
    rows = Counter(
        name.split(".")[1]
        for name in ids
        if name.startswith("001.out") and "text" not in name and any(c.isdigit() for c in name.rsplit(".", 1)[-1])
    )
    assert {key: rows[key] for key in ("out6", "out9", "out12", "out15", "out19", "out22")} == {
        "out6": 6, "out9": 6, "out12": 7, "out15": 5 + 1, "out19": 7, "out22": 5 + 4,
    }  # fmt: skip
    assert sum(name.startswith("001.out17.") and "text" not in name for name in ids) == 4
    assert sum(name.startswith("001.out25.") and "text" not in name for name in ids) == 4
    cases = Counter(name.split(".")[1] for name in ids if name.startswith("000."))
    # rows, totals and orders of the six tables
    least = {"map": 8, "sum": 9, "tensor_product": 8, "matmul": 9, "softmax": 11, "attention": 12}
    assert all(cases[case] >= count for case, count in least.items()), cases


def test_ids_are_unique_and_every_wrong_claim_says_why(whole: Ledger) -> None:
    assert len({finding.id for finding in whole.findings}) == len(whole.findings) >= 100
    for finding in whole.findings:
        assert finding.statement
        assert finding.place
        if finding.verdict == "wrong":
            assert finding.why, finding.id
        if finding.verdict == "convention":
            assert finding.otherwise, finding.id


def test_a_claim_is_judged_by_comparing() -> None:
    def claim(printed: int, other: int | None = None) -> Finding:
        otherwise = None if other is None else Otherwise("another way", lambda: other)
        return judge(Claim("999.x", "here", "it is", Exactly(printed), lambda: 4, otherwise))

    assert (claim(4).verdict, claim(5).verdict, claim(4, 4).verdict) == ("agrees", "wrong", "agrees")
    assert (claim(4, 5).verdict, claim(5, 5).verdict) == ("convention", "wrong")
    assert claim(4, 5).otherwise == "5 (another way)"


@pytest.mark.parametrize("claim", all_claims(), ids=lambda claim: claim.id)
def test_no_check_accepts_everything(claim: Claim) -> None:
    """Each check refuses a value that is plainly another, so that no claim agrees by default."""
    absurd = {Row: lambda check: (sympy.Integer(-7),) * len(check.checks), Says: lambda check: (False, "no")}
    value = absurd.get(type(claim.check), lambda check: sympy.Integer(-7))(claim.check)  # type: ignore[no-untyped-call]
    assert not claim.check.holds(value)


def test_printed_digits_decide() -> None:
    assert Rounded("0.12").holds(sympy.Rational(1, 8))
    assert Rounded("0.13").holds(sympy.Rational(1, 8))
    assert not Rounded("0.12").holds(0.1251)
    assert Rounded("1,024").holds(1024)
    assert Near("100", word="nearly").holds(99)
    assert not Near("100", word="nearly").holds(89)
    assert not Near("1.6", word="over").holds(1.8)
    assert Between("ten to twenty", 10, 20).holds(20)


def test_filters_and_their_errors(whole: Ledger) -> None:
    assert {finding.source for finding in ledger(source="3").findings} == {"003"}
    wrong = ledger(verdict="wrong")
    assert wrong.totals == {"agrees": 0, "wrong": whole.totals["wrong"], "convention": 0}
    with pytest.raises(AttometerError, match=r'^unknown document "005"; known: 000, 001, 002, 003, 004, io$'):
        ledger(source="5")
    with pytest.raises(AttometerError, match=r'^unknown verdict "wrnog"; did you mean "wrong"\?$'):
        ledger(verdict="wrnog")


def test_it_prints_and_turns_into_json(whole: Ledger) -> None:
    text = str(whole)
    assert whole.summary in text
    for source in SOURCES.values():
        assert source.author in text
    data = json.loads(json.dumps(whole.to_dict(), allow_nan=False))
    assert sum(data["totals"].values()) == len(data["claims"]) == len(whole.findings)
    assert sum(sum(part.values()) for part in data["totals_by_source"].values()) == len(whole.findings)
    assert data["claims"][0]["verdict"] in data["totals"]
