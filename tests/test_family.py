"""Families are declared in their own folder: what is outside knows them by their declaration only."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import eartune
from eartune import families as package
from eartune.cli.main import main
from eartune.config import resolve_config
from eartune.config.presets import PRESETS
from eartune.config.resolve import override
from eartune.config.train_config import BY_NAME
from eartune.errors import InputError
from eartune.families.registry import exports_of, family_of
from eartune.family import families, family_by_words, family_named

ROOT = Path(eartune.__file__).parent
# files that name a program, a published normaliser, a key of another tool or a base model that bears a family's name
NAMESAKES = {
    "cli/main.py": "whisper.cpp",
    "config/sections.py": "whisper_pretrained",
    "export/card.py": "whisper.cpp",
    "export/record.py": "whisper",
    "runtimes/faster_whisper.py": "whisper",
    "runtimes/openai_whisper.py": "whisper",
    "runtimes/sherpa_onnx_worker.py": "canary",
    "runtimes/whisper_cpp.py": "whisper",
    "runtimes/whisper_cpp_worker.py": "whisper",
    "text/basic.py": "whisper",
    "text/normalizers.py": "whisper",
    "text/symbols.py": "whisper",
    "verbs/demo.py": "whisper",
}
TOY = """
from eartune.family import Family, Format

FAMILY = Family(
    name="toy",
    title="Toy",
    model_types=("toy",),
    words=("toy", "whisper-toy"),
    hub_owner="nobody",
    example="nobody/toy",
    max_duration_s=7.0,
    formats={"tin": Format("a tin box", ("small", "large"), "nowhere:Nothing", lambda _exported: ())},
    defaults={"window": "short", "eval_window": "short"},
    refused={"generation_num_beams": "{title} has no beams"},
    presets={"cpu": {"per_device_train_batch_size": 1}},
)
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").write_text(TOY)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    families.cache_clear()
    yield
    families.cache_clear()
    sys.modules.pop("eartune.families.toy")


def test_the_families_are_those_of_the_folders() -> None:
    folders = {path.parent.name for path in (ROOT / "families").glob("*/__init__.py")}
    assert set(families()) == {name for name in folders if not name.startswith("_")}
    assert next(iter(families().values())).is_assumed
    assert sum(family.is_assumed for family in families().values()) == 1


@pytest.mark.parametrize("name", families())
def test_what_is_declared_is_there(name: str) -> None:
    family = family_named(name)
    assert family.name == name
    assert family_by_words(family.example) is family
    assert all(family_by_words(model_type) is family for model_type in family.model_types)
    assert {*family.defaults, *family.refused} <= set(BY_NAME)
    assert set(family.presets) <= set(PRESETS)
    assert list(exports_of(name).formats) == list(family.formats)
    for declared in family.formats.values():
        module, _, opener = declared.runtime.partition(":")
        assert callable(getattr(importlib.import_module(module), opener))
    if not family.refused.get("extend_vocabulary"):
        importlib.import_module(f"eartune.families.{name}.vocabulary")


def test_declarations_import_no_torch() -> None:
    code = "import sys; from eartune.family import families; families(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def named_in(path: Path) -> list[str]:
    """Return the words of a file's code, docstrings and comments left out, that name a family."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _has_doc(node)}
    found = []
    for node in ast.walk(tree):
        words = {
            ast.Name: lambda n: n.id,
            ast.Attribute: lambda n: n.attr,
            ast.ImportFrom: lambda n: n.module or "",
            ast.FunctionDef: lambda n: n.name,
            ast.ClassDef: lambda n: n.name,
            ast.arg: lambda n: n.arg,
            ast.Constant: lambda n: n.value if isinstance(n.value, str) and id(n) not in docstrings else "",
        }.get(type(node), lambda _: "")(node)
        found += re.findall("|".join(families()), words.lower())
    return found


def _has_doc(node: ast.AST) -> bool:
    return ast.get_docstring(node, clean=False) is not None  # type: ignore[arg-type]


OUTSIDE = [path for path in sorted(ROOT.rglob("*.py")) if "families" not in path.relative_to(ROOT).parts]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_outside_names_a_family(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert bool(named_in(path)) == (name in NAMESAKES), "list it only if a program or a key bears the name"


@pytest.mark.usefixtures("toy")
def test_a_folder_more_is_a_family_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert "toy" in families()
    config = resolve_config("toy", overrides=[override("preset", "cpu")], complete=False)
    assert (config.window.window, config.optimizer.per_device_train_batch_size) == ("short", 1)
    assert config.provenance["window"] == "default of toy"
    given = {"train": ["t.jsonl"], "base_model": "nobody/toy", "generation_num_beams": 2}
    with pytest.raises(InputError, match="generation_num_beams: Toy has no beams: remove it"):
        resolve_config("toy", overrides=[override(name, value) for name, value in given.items()])
    assert family_of("me/my-toy-2") == "toy"
    assert family_of("me/whisper-toy") == "toy", "the longest word tells"
    assert main(["export", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "tin: a tin box" in shown
    assert "tin: small (default), large" in shown
