"""What several files need and takes seconds to make. All tests that use one of these are in one group of xdist."""

from pathlib import Path

import pytest

from release import build_all
from tests.project.old_waitress import old_environment

EPOCH = "1700000000"


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds wheel and sdist of every package; its group is "wheels"."""
    directory = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOURCE_DATE_EPOCH", EPOCH)
        build_all(directory)
    return directory


@pytest.fixture(scope="session")
def waitress_3_0_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with waitress 3.0.2 only, which no test changes; its group is "waitress-3.0.2"."""
    return old_environment(tmp_path_factory.mktemp("before") / "environment")
