"""One thread, one seed for each test, and reproducible examples.

HYPOTHESIS_PROFILE=nightly draws fresh examples, and many; `mutation` draws few, for a first look
at thousands of changes. The default profile draws what a landing can wait for.

To trace which lines run takes longer than to run them. What takes long, and runs no line that a
quicker test does not, is marked `no_cover`.
"""

import gc
import os

import hypothesis
import pytest
import torch

torch.set_num_threads(1)

hypothesis.settings.register_profile(
    "default",
    max_examples=80,
    derandomize=True,
    deadline=None,  # the machine may be busy
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # the same
)
hypothesis.settings.register_profile(
    "nightly",
    hypothesis.settings.get_profile("default"),
    max_examples=20_000,
    derandomize=False,
    print_blob=True,
)
hypothesis.settings.register_profile(
    "mutation", hypothesis.settings.get_profile("default"), max_examples=40
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop what pytest-cov has begun in a process of pytest-xdist: it begins a second time.

    Two would nest, and where a test pauses the second, the first would go on tracing.
    """
    plugin = session.config.pluginmanager.getplugin("_cov")
    if plugin and hasattr(session.config, "workerinput"):
        plugin.cov_controller.cov.stop()


def pytest_collection_finish() -> None:
    """Keep what every test needs, PyTorch above all, from being searched for garbage."""
    torch.manual_seed(0)  # which imports another half of PyTorch
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Draw the same numbers whichever tests ran before in this process."""
    torch.manual_seed(0)
