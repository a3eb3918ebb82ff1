"""The sentence that a person forwards: how many of which device, which format and engine, whether it fits, what binds."""

from typing import TYPE_CHECKING

from attometer.plan.options import MOST_TOKENS, PASSES
from attometer.view.numbers import seconds

if TYPE_CHECKING:
    from attometer.plan.predicted import Expected
    from attometer.plan.result import Plan
    from attometer.plan.serving import Served


def headline(plan: "Plan") -> str:
    """Return the verdict on a plan, and how fast it is predicted to be."""
    return verdict(plan) + _speed(plan)


def verdict(plan: "Plan") -> str:
    """Return what is counted, and by the datasheet: whether it fits, by how much, and what binds."""
    if plan.served is not None:
        return _opening(plan) + _served(plan, plan.served) + beyond(plan)
    limit = _training(plan) if plan.trained is not None else _limit(plan)
    binds = f"memory is mostly {_mostly(plan)}, time is bound by {plan.time.binds}."
    return f"{_opening(plan)}{_needs(plan)}; {limit}{_fewest(plan)}; {binds}{beyond(plan)}"


def _opening(plan: "Plan") -> str:
    o = plan.options
    how = f" under {plan.served}" if plan.served is not None else ""
    how = f" with {plan.trained.recipe.name}" if plan.trained is not None else how
    verdict = "fits" if plan.fits else "does not fit"
    asked = f"{o.context:,} tokens, batch {o.batch}, {o.mode}" if plan.load is None else plan.load.asked
    return f"{plan.model.name} in {plan.weights_said} {verdict} on {plan.devices}{how} at {asked}: "


def _needs(plan: "Plan") -> str:
    room, need = plan.planner.room, plan.needed
    spare = f"{gigabytes(abs(room - need))} {'to spare' if plan.fits else 'too much'}"
    each = " on the fullest device" if plan.at is not None and plan.at.devices.count > 1 else ""
    return f"needs {gigabytes(need)} of {gigabytes(room)} usable{each}, {spare}"


def _limit(plan: "Plan") -> str:
    if not plan.largest_context:
        own = plan.memory.weights + plan.memory.gradients + plan.memory.optimizer
        what = "weights" if own == plan.memory.weights else "weights, gradients and optimizer"
        return f"no context fits: {what} alone need {gigabytes(own)}"
    most = f"{plan.largest_context:,} tokens" if plan.largest_context < MOST_TOKENS else "any"
    return f"largest context that fits: {most}"


def _training(plan: "Plan") -> str:
    trained = plan.trained
    assert trained is not None
    parts = ", ".join(f"{name} {gigabytes(size)}" for name, size in trained.terms.items() if size)
    return parts


def _mostly(plan: "Plan") -> str:
    if plan.trained is None:
        return plan.memory.largest
    return max(plan.trained.terms, key=plan.trained.terms.__getitem__)


def _fewest(plan: "Plan") -> str:
    if plan.fewest is None or plan.fits:
        return ""
    said = "would do" if plan.trained is not None else "are needed at least"
    return f"; {plan.fewest} × {plan.machine.name} {said}"


def _speed(plan: "Plan") -> str:
    """Return the bound and the predicted time by their labels, and which figure of the machine is worth most."""
    found, load = plan.predicted, plan.load
    if load is not None and load.workload.prefills:
        return f" {load.said}{_worth(found)}."
    if found is None:
        return ""
    each = PASSES[plan.options.mode] if plan.speculation is None else "token with the draft"
    bound, told = seconds(plan.seconds), seconds(found.seconds)
    return f" A {each} takes {bound} by datasheet at least, predicted {told} under {found.engine}{_worth(found)}."


def _worth(found: "Expected | None") -> str:
    return f"; {found.sensitivity}" if found is not None and found.sensitivity else ""


def _served(plan: "Plan", served: "Served") -> str:
    o = plan.options
    each = "each device" if served.at.devices.count > 1 else "it"
    taken = f"{each} holds {gigabytes(served.weights)} ({served.weights / 2**30:.2f} GiB) of weights"
    if served.left <= 0:
        return f"{taken}, which with the engine's own memory is {gigabytes(-served.left)} more than it may take{_way_out(plan, served)}."
    holds = f"{gigabytes(served.left)} ({served.left / 2**30:.2f} GiB) are left for the cache: {served.tokens:,} tokens"
    if served.fits:
        return (
            f"{taken}, {holds}, {served.requests:,} requests of {o.context:,} at once; largest context that fits: "
            f"{served.largest:,} tokens; time is bound by {plan.time.binds}."
        )
    return f"{taken}, {holds}; {o.batch} × {o.context:,} tokens need {gigabytes(served.cache)}{_way_out(plan, served)}."


def _way_out(plan: "Plan", served: "Served") -> str:
    ways = []
    if served.reachable:
        ways.append(f"a utilisation of {served.needed:.3f} would do, if nothing else uses the device")
    if 0 < served.largest < plan.options.context:
        ways.append(f"the largest context that fits is {served.largest:,} tokens")
    if plan.fewest is not None:
        ways.append(f"{plan.fewest} × {plan.machine.name} are needed at least")
    return f"; {', '.join(ways)}" if ways else ""


def beyond(plan: "Plan") -> str:
    """Return a sentence where the context passes what the model was trained for."""
    trained = plan.model.context
    if not trained or plan.options.context <= trained:
        return ""
    return f" It was trained for {trained:,} positions: {plan.options.context:,} are beyond that."


def gigabytes(count: int) -> str:
    """Return bytes as GB (10^9), said.

    >>> gigabytes(17179869184)
    '17.18 GB'
    """
    if count < 10**6:
        return f"{count:,} bytes"
    return f"{count / 1e9:,.2f} GB" if count >= 10**8 else f"{count / 1e6:,.2f} MB"
