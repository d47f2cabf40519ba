"""The real engine on the starter model, shared by all tests that draw."""

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of several processes hold each other up

from pipelines.engine.local import LocalEngine
from presets.settings import Settings


@pytest.fixture(scope="session")
def easel_home(tmp_path_factory):
    """A home of its own for the whole run, so that no test touches the person's."""
    return tmp_path_factory.mktemp("easel-home")


@pytest.fixture(scope="session")
def settings(easel_home):
    return Settings(home=easel_home, threads=1, batch_limit=1)  # most tests compare pixels of jobs that wait together


@pytest.fixture(scope="session")
def real_engine(settings):
    """One engine with its worker process for the whole run."""
    engine = LocalEngine(settings).start()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def real_address(real_engine, settings):
    """A page over the real engine, whose pictures lie in `settings.pictures`."""
    from tests.served import served  # gradio, which most tests do without

    with served(real_engine, settings.pictures) as address:
        yield address


@pytest.fixture(scope="session")
def real_client(real_address, tmp_path_factory):
    """Gradio's Python client of that page."""
    from tests.served import connected

    return connected(real_address, tmp_path_factory.mktemp("real-downloads"))
