"""Registers attometer, and the oracle that nothing of attometer is in, with transformers."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tiny_models import always_a_mask, oracle  # noqa: E402

from attometer.integrations.transformers import register  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _registered():
    register()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
    transformers.AttentionInterface.register("oracle", oracle)
    transformers.AttentionMaskInterface.register("oracle", always_a_mask)
    yield
    torch.set_num_threads(threads)
