from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client

from tests.fake_engine import FakeEngine
from tests.served import connected, served


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeEngine]:
    engine = FakeEngine(tmp_path_factory.mktemp("pictures"), step_seconds=0.01)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def address(engine: FakeEngine) -> Iterator[str]:
    with served(engine, engine.folder) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return connected(address, tmp_path_factory.mktemp("downloads"))


@pytest.fixture
def pictures(engine: FakeEngine) -> Path:
    return engine.folder
