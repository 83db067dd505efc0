"""Package data: what a wheel holds besides Python files."""

import tomllib
from pathlib import Path

import eartune

PACKAGE = Path(eartune.__file__).parent
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_every_data_file_of_the_package_is_in_its_wheel() -> None:
    patterns = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]["eartune"]
    listed = {path for pattern in patterns for path in PACKAGE.glob(pattern) if path.is_file()}
    found = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert found == listed
