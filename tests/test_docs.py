"""README and docs: every command in them runs, every file has its line, generated pages are current."""

import ast
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from eartune.audio import decode
from eartune.cli import main
from eartune.cli.export import build_parser as export_parser
from eartune.config import resolve_config
from eartune.config.refused import refusal
from eartune.config.train_config import BY_NAME
from eartune.manifest import read_manifest
from eartune.verbs.demo import SPEECH
from tests.test_layers import LAYERS
from tests.tiny import TEXTS, write_speech

ROOT = Path(__file__).resolve().parent.parent
OTHER_SCRIPTS = "docs/commands-of-other-scripts.md"
NEMO = "docs/canary-parakeet.md"
WAV2VEC2 = "docs/wav2vec2.md"
WAV2VEC2_MODELS = {"wav2vec2-large-xlsr-53": "layer", "wav2vec2-xls-r-300m": "pretrained", "mms-1b-all": "mms"}
EXPORTING = "docs/exporting.md"
PAGES = ["README.md", "docs/quickstart.md", OTHER_SCRIPTS]
CONFIGS = sorted([*ROOT.glob("configs/*.yaml"), ROOT / "src/eartune/demo_speech/demo.yaml"])
# so that a tiny random model trains and decodes in seconds
QUICK = ["--max-steps", "1", "--generation-max-length", "8", "--num-workers", "0", "--precision", "fp32"]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(page: str) -> list[str]:
    joined = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


@pytest.fixture
def workplace(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the reader of the README has it: recordings, an interview, the configurations."""
    source = tmp_path / "source"
    write_speech(source, count=10)
    for speaker in ("anna", "ivan"):
        (tmp_path / "recordings" / speaker).mkdir(parents=True)
    for number, clip in enumerate(sorted((source / "audio").glob("*.wav"))):
        place = tmp_path / "recordings" / ("anna" if number % 2 else "ivan") / clip.name
        shutil.copy(clip, place)
        place.with_suffix(".txt").write_text(f"{TEXTS[number % len(TEXTS)]} number {number}")
    shutil.copy(source / "audio" / "0.wav", tmp_path / "interview.wav")
    rows = [json.loads(line) for line in (source / "speech.jsonl").read_text().splitlines()]
    listed = [{"audio": f"source/{row['audio_filepath']}", "text": row["text"]} for row in rows]
    (tmp_path / "train.json").write_text(json.dumps(listed[:6]))
    (tmp_path / "eval.json").write_text(json.dumps(listed[6:]))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(tiny_model, tmp_path / "tiny.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("workplace")
def test_every_command_of_the_page_runs_in_its_order(page: str) -> None:
    assert commands(page)
    for command in commands(page):
        words = shlex.split(command.replace("openai/whisper-small", "tiny.pt"))
        assert words.pop(0) == "eartune"
        assert main([*words, *(QUICK if words[0] == "train" else [])]) == 0, command


@pytest.fixture
def nemo_workplace(tiny_nemo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with .nemo files and a corpus; clips long enough for their texts."""
    (tmp_path / "models").mkdir()
    shutil.copy(tiny_nemo["canary"], tmp_path / "models" / "canary-1b-v2.nemo")
    shutil.copy(tiny_nemo["tdt"], tmp_path / "models" / "parakeet-tdt-0.6b-v3.nemo")
    manifest = write_speech(tmp_path / "corpus", duration_s=3.0)
    for name in ("train", "val", "test"):
        shutil.copy(manifest, tmp_path / "corpus" / f"{name}.jsonl")
    shutil.copy(tmp_path / "corpus" / "audio" / "0.wav", tmp_path / "interview.wav")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nemo_workplace")
def test_every_command_for_canary_and_parakeet_runs_in_its_order() -> None:
    assert commands(NEMO)
    for command in commands(NEMO):
        words = shlex.split(command)
        assert words.pop(0) == "eartune"
        assert main([*words, *(QUICK if words[0] == "train" else [])]) == 0, command


@pytest.fixture
def wav2vec2_workplace(tiny_wav2vec2: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with model folders of CTC encoders and a corpus."""
    for name, kind in WAV2VEC2_MODELS.items():
        shutil.copytree(tiny_wav2vec2[kind], tmp_path / "models" / name)
    manifest = write_speech(tmp_path / "corpus", duration_s=3.0, language=None)
    for name in ("train", "val", "test"):
        shutil.copy(manifest, tmp_path / "corpus" / f"{name}.jsonl")
    shutil.copy(tmp_path / "corpus" / "audio" / "0.wav", tmp_path / "interview.wav")
    monkeypatch.chdir(tmp_path)


@pytest.mark.runtimes
@pytest.mark.usefixtures("wav2vec2_workplace")
def test_every_command_for_ctc_encoders_runs_in_its_order() -> None:
    assert commands(WAV2VEC2)
    for command in commands(WAV2VEC2):
        words = shlex.split(command)
        assert words.pop(0) == "eartune"
        assert main([*words, *(QUICK if words[0] == "train" else [])]) == 0, command
    (code,) = blocks(WAV2VEC2, "python")
    shutil.copy("runs/mms-de/best/adapter.deu.safetensors", "models/mms-1b-all")
    exec(compile(code, WAV2VEC2, "exec"), {"__name__": "__main__"})


@pytest.fixture
def exporting_workplace(
    real_tiny_en: Path, tiny_nemo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with a real Whisper and real sentences: what is exported is tried."""
    for name in ("train", "val", "test"):
        utterances = read_manifest([SPEECH / f"{name}.jsonl"]).utterances[:4]
        rows = [{"audio_filepath": str(u.audio), "duration": u.duration_s, "text": u.text} for u in utterances]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    soundfile.write(tmp_path / "interview.wav", decode(utterances[0].audio), 16_000)
    (tmp_path / "models").mkdir()
    shutil.copy(tiny_nemo["tdt"], tmp_path / "models" / "parakeet.nemo")
    shutil.copy(real_tiny_en, tmp_path / "tiny.pt")
    write_speech(tmp_path / "simple", duration_s=3.0)
    monkeypatch.chdir(tmp_path)


@pytest.mark.runtimes
@pytest.mark.usefixtures("exporting_workplace")
def test_every_command_and_snippet_for_exports_runs_in_its_order() -> None:
    for syntax, text in re.findall(r"```(bash|python)\n(.*?)```", (ROOT / EXPORTING).read_text(), flags=re.DOTALL):
        if syntax == "python":
            if "nemo.collections" in text and importlib.util.find_spec("nemo") is None:
                continue
            if "pipeline(" in text and shutil.which("ffmpeg") is None:
                continue
            done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{text}\n{done.stderr}"
            continue
        for command in text.replace("\\\n", " ").splitlines():
            words = shlex.split(command.replace("openai/whisper-small", "tiny.pt"))
            assert words.pop(0) == "eartune"
            # the tiny Parakeet has few letters, and needs more time for them than people take
            simple = "parakeet" in words
            words = ["simple/speech.jsonl" if simple and word.endswith(".jsonl") else word for word in words]
            assert main([*words, *(QUICK if words[0] == "train" else [])]) == 0, command
    assert Path("runs/pumps/export/mimir/whisper-english-ggml.bin").is_file()
    assert Path("runs/parakeet/export/mimir/parakeet_custom.nemo").is_file()


def test_the_push_that_is_shown_is_one_that_is_understood() -> None:
    (command,) = [line for block in blocks(EXPORTING, "sh") for line in block.splitlines() if line[:7] == "eartune"]
    words = shlex.split(command)
    assert words[:2] == ["eartune", "export"]
    assert export_parser().parse_args(words[2:]).push == "you/pumps"


@pytest.mark.usefixtures("workplace")
def test_the_python_page_runs() -> None:
    (code,) = blocks("docs/python.md", "python")
    quick = {"max_steps": 1, "generation_max_length": 8, "dataloader_num_workers": 0, "precision": "fp32"}
    for shown, run in {"openai/whisper-small": "tiny.pt", "options = {": f"options = {quick} | {{"}.items():
        assert code.count(shown) == 1
        code = code.replace(shown, run)
    exec(compile(code, "docs/python.md", "exec"), {"__name__": "__main__"})
    assert json.loads(Path("runs/mine/summary.json").read_text())["steps"] == 1
    assert Path("model/model.safetensors").is_file()


def test_commands_for_make_and_windows_name_what_is_there() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for line in "\n".join(blocks("README.md", "sh") + blocks("CONTRIBUTING.md", "sh")).splitlines():
        if line.startswith("make "):
            assert line.split()[1] in targets
    (windows,) = blocks("README.md", "powershell")
    pinned = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert pinned
    assert f"torch=={pinned[0].removeprefix('torch==')}" in windows


def test_flags_of_other_scripts_are_taken_or_refused_with_advice_as_the_table_says() -> None:
    table = (ROOT / OTHER_SCRIPTS).read_text().partition("## Flags")[2].partition("## Files")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    for there, here, note in rows:
        flags = [name.replace("-", "_") for name in re.findall(r"--([\w-]+)", there)]
        taken = [name in BY_NAME or name == "preset" for name in flags]
        if here.startswith("as "):
            assert all(taken), there
        for name, is_taken in zip(flags, taken, strict=True):
            assert is_taken or refusal(name) is not None, f"--{name} is neither an option nor refused with advice"
        for name in re.findall(r"--([\w-]+)", here + note):
            assert name.replace("-", "_") in {*BY_NAME, "preset"}, f"--{name} is not an option"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_trains(
    path: Path,
    tiny_model: Path,
    tiny_nemo: dict[str, Path],
    tiny_wav2vec2: dict[str, Path],
    tiny_speech: Path,
    tmp_path: Path,
) -> None:
    assert path.read_text().startswith("# eartune "), "a configuration begins with its command"
    config = resolve_config(files=[path], complete=False)
    base = {
        "whisper": tiny_model,
        "canary": tiny_nemo["canary"],
        "parakeet": tiny_nemo["tdt"],
        "wav2vec2": tiny_wav2vec2["mms" if config.partial.unfreeze_language_adapters else "layer"],
    }[config.family]
    # a tiny model has two layers
    fewer = ["--unfreeze-encoder-last", "1"] if (config.partial.unfreeze_encoder_last or 0) > 2 else []
    words = [
        *fewer,
        "--language",
        "en",
        "--base-model",
        str(base),
        "--train",
        str(tiny_speech),
        "--val",
        str(tiny_speech),
    ]
    assert main(["train", "--config", str(path), *words, "--outdir", str(tmp_path / "run"), *QUICK]) == 0


ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
PLACES = re.findall(r"^\| .* \| `([\w/]+\.py)` \| (.*) \|$", ARCHITECTURE, flags=re.MULTILINE)


@pytest.mark.parametrize(("file", "names"), PLACES, ids=lambda value: value.strip("`"))
def test_files_and_names_of_the_architecture_page_exist(file: str, names: str) -> None:
    tree = ast.parse((ROOT / "src/eartune" / file).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    defined |= {ast.unparse(name) for node in tree.body if isinstance(node, ast.Assign) for name in node.targets}
    assert set(re.findall(r"`(\w+)`", names)) <= defined


def test_the_layers_of_the_architecture_page_are_those_that_are_enforced() -> None:
    (table,) = re.findall(r"\| layer \| .*\n\|---\|---\|\n((?:\|.*\n)+)", ARCHITECTURE)
    assert [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in table.splitlines()] == LAYERS


def test_the_map_names_every_source_file_and_no_other() -> None:
    (tree,) = re.findall(r"## Map\n\n```\n(.*?)```", ARCHITECTURE, flags=re.DOTALL)
    named: set[str] = set()
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        folders = folders[: (len(line) - len(line.lstrip())) // 2]
        if name.endswith("/"):
            folders.append(name.rstrip("/"))
        else:
            named.add("/".join([*folders, name]))
    files = [*ROOT.glob("src/eartune/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in files}
    inner = {path for path in found if path.endswith("__init__.py") and path != "src/eartune/__init__.py"}
    assert named == found - inner


def test_generated_pages_are_current() -> None:
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "scripts" / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.pages().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name} is old: make docs"


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    links = [(page, to) for page in pages for to in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text("utf-8"))]
    assert (ROOT / "README.md", "docs/python.md") in links
    assert [f"{page.name}: {to}" for page, to in links if not (page.parent / to).exists()] == []
