"""Who imports whom: each layer only those below it, and families never each other."""

import ast
from pathlib import Path

import pytest

import eartune

ROOT = Path(eartune.__file__).parent
# from the top; what stands in one line may import each other
LAYERS = [
    {"cli", "__main__"},
    {"verbs"},
    {"families"},
    {"training", "prepare", "export"},
    {"runtimes"},
    {"long_form"},
    {"model"},
    {"ops"},
    {"run_dir", "origin", "base_model", "speech_checks"},
    {"config", "manifest", "scoring"},
    {"declared_weights", "model_folder"},
    {
        "weights",
        "audio",
        "text",
        "packages",
        "reporting",
        "stopping",
        "files",
        "records",
        "language_tokens",
        "languages",
    },
    {"family"},
    {"parsing"},
    {"errors"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__init__.py" or path.parent != ROOT)


def imported(path: Path) -> set[str]:
    """Return the modules of eartune that a file imports, late imports included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names if node.module == "eartune"}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name.startswith("eartune.")}


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    late = "def late():\n    from eartune import files\n    from eartune.verbs import train\n"
    file.write_text(f"import eartune.errors\nimport json\n{late}")
    assert imported(file) == {"eartune.errors", "eartune.files", "eartune.verbs"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_its_own_layer_and_those_below(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for module in imported(path):
        other = module.split(".")[1]
        if other in RANK:
            same = own == other or LAYERS[RANK[own]] is LAYERS[RANK[other]]
            assert RANK[other] > RANK[own] or same, f"{path}: {own} imports {module}, which is above it"


@pytest.mark.parametrize("path", sorted((ROOT / "families").glob("*/*.py")), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_families_do_not_know_each_other(path: Path) -> None:
    folders = {folder.name for folder in (ROOT / "families").iterdir() if folder.is_dir()}
    # what begins with _ is shared
    others = {name for name in folders if not name.startswith("_")} - {path.parent.name}
    assert not [m for m in imported(path) if any(m.startswith(f"eartune.families.{other}") for other in others)]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "families").rglob("*.py")), ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_families_do_not_know_training(path: Path) -> None:
    assert not [module for module in imported(path) if module.startswith("eartune.training")]


def test_every_module_has_a_layer() -> None:
    modules = {
        path.stem if path.is_file() else path.name for path in ROOT.iterdir() if not path.name.startswith("__py")
    }
    data = {"__init__", "py", "demo_speech"}
    assert modules - data <= set(RANK), modules - data - set(RANK)
