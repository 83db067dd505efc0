"""The launcher: what it checks, installs and starts on machines made of fakes, and one real start on this CPU."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="for Linux")
ROOT = Path(__file__).resolve().parent.parent
TOOLS = ["bash", "cat", "cp", "dirname", "env", "grep", "mkdir", "nohup", "sed", "setsid", "sleep", "tee", "touch"]
FAKE_GPU = '#!/bin/bash\necho "NVIDIA RTX A6000, 49140 MiB, 580.82.07"\n'
# notes each call, and answers as a Python of that version with that torch would
FAKE_PYTHON = r"""#!/bin/bash
printf '%s\n' "$0 $*" >> "$CALLS"
case "$*" in
*version_info*) exit "$TOO_OLD" ;;
*python_version*) echo 3.12.3 ;;
*ensurepip*) exit 0 ;;
*is_available*sys.exit*) if [ "$TORCH_CUDA" = yes ]; then echo 2.13.0 12.4; else exit 1; fi ;;
*"import eartune"*) exit "${NO_EARTUNE:-0}" ;;
*"import torch"*) echo "torch 2.13.0 CUDA 12.4" ;;
*"-m venv"*) folder="${!#}"; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
*--print-config*)
    while [ "$1" != --output-dir ]; do shift; done
    echo "output_dir                 $2   # command line (as output-dir)" ;;
*"-m eartune train"*) shift 3; printf '<%s>' "$@"; echo; exit "${TRAIN_EXIT:-0}" ;;
esac
"""


@dataclass
class Machine:
    """A machine with a copy of the checkout's files, and only the given programs on its PATH."""

    root: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def checkout(self) -> Path:
        return self.root / "check out"

    def add(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def launch(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.root / "bin"), "CALLS": str(self.root / "calls"), **self.settings}
        script = str(self.checkout / "scripts" / "launch_linux_gpu.sh")
        return subprocess.run(
            ["/bin/bash", script, *words], env=environment, cwd=self.root, capture_output=True, text=True, timeout=600
        )

    def calls(self, containing: str) -> list[str]:
        return [line for line in (self.root / "calls").read_text().splitlines() if containing in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path, {"TOO_OLD": "0", "TORCH_CUDA": "yes"})
    (tmp_path / "bin").mkdir()
    (made.checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "launch_linux_gpu.sh", made.checkout / "scripts")
    for name in ("constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, made.checkout)
        os.utime(made.checkout / name, (1, 1))
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    made.add("python3", FAKE_PYTHON)
    made.add("nvidia-smi", FAKE_GPU)
    return made


def started(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_a_fresh_machine_is_checked_installed_and_started_with_the_large_preset(machine: Machine) -> None:
    run = str(machine.root / "my runs" / "one")
    done = machine.launch("whisper", "--train", "a file.jsonl", "--output-dir", run)
    assert started(done) == f"<whisper><--train><a file.jsonl><--output-dir><{run}><--preset><a6000-max>"
    assert "3.12.3" in done.stdout
    assert "NVIDIA RTX A6000, 49140 MiB, 580.82.07" in done.stdout
    assert "torch 2.13.0 CUDA 12.4" in done.stdout
    assert "--background" in done.stdout
    assert Path(run, "launch.log").read_text() == started(done) + "\n"


def test_a_torch_that_computes_on_the_gpu_is_used_and_another_one_is_not(machine: Machine) -> None:
    machine.launch("--output-dir", str(machine.root / "run"))
    assert machine.calls("-m venv --system-site-packages")
    assert len(machine.calls("-m pip")) == 1
    assert "torch==" not in (machine.checkout / ".venv" / "constraints.txt").read_text()
    shutil.rmtree(machine.checkout / ".venv")
    machine.settings["TORCH_CUDA"] = "no"
    done = machine.launch("--output-dir", str(machine.root / "run"))
    assert [call.split()[-1] for call in machine.calls("-m pip")][-2] == "torch"
    assert done.returncode == 2
    assert "error: torch does not see the GPU" in done.stderr
    assert "driver" in done.stderr


def test_the_second_start_installs_nothing(machine: Machine) -> None:
    for _ in range(2):
        assert machine.launch("--output-dir", str(machine.root / "run")).returncode == 0
    assert len(machine.calls("-m venv")) == 1
    assert len(machine.calls("-m pip")) == 1
    (machine.checkout / "pyproject.toml").touch()
    os.utime(machine.checkout / "pyproject.toml", (time.time() + 60,) * 2)
    assert machine.launch("--output-dir", str(machine.root / "run")).returncode == 0
    assert len(machine.calls("-m pip")) == 2


def test_without_a_gpu_it_stops_before_anything_is_installed(machine: Machine) -> None:
    machine.add("nvidia-smi", "#!/bin/bash\nexit 9\n")
    done = machine.launch("--output-dir", str(machine.root / "run"))
    assert done.returncode == 2
    assert done.stderr == ("error: nvidia-smi finds no GPU here: start a machine that has one, or give --allow-cpu\n")
    assert not machine.calls("-m")
    done = machine.launch("--allow-cpu", "--output-dir", str(machine.root / "run"))
    assert started(done).endswith("<--preset><cpu>")


def test_an_old_python_is_refused(machine: Machine) -> None:
    machine.settings["TOO_OLD"] = "1"
    done = machine.launch("--output-dir", "run")
    assert done.returncode == 2
    assert done.stderr.startswith("error: eartune needs Python 3.11 or newer, and none is here")


def test_an_environment_without_eartune_is_named_and_nothing_is_installed(machine: Machine) -> None:
    machine.settings["NO_EARTUNE"] = "1"
    done = machine.launch("--no-install", "--output-dir", "run")
    assert done.returncode == 2
    assert "python3 has no eartune: leave --no-install out" in done.stderr
    assert not machine.calls("-m venv") + machine.calls("-m pip")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--preset", "4090"], ""),
        (["--preset=4090"], ""),
        (["--config", "other.yaml", "my config.yaml"], "lr: 1\npreset: 4090\n"),
        (["--config=my config.yaml"], '{"preset": "4090"}'),
    ],
)
def test_a_preset_of_the_user_stays_alone(words: list[str], text: str, machine: Machine) -> None:
    (machine.root / "my config.yaml").write_text(text)
    assert "a6000-max" not in started(machine.launch("--output-dir", str(machine.root / "run"), *words))


def test_a_config_without_a_preset_gets_one(machine: Machine) -> None:
    (machine.root / "c.yaml").write_text("# preset: 4090\nlr: 1\n")
    words = ["--output-dir", str(machine.root / "run"), "--config", "c.yaml"]
    assert started(machine.launch(*words)).endswith("<--preset><a6000-max>")


def test_the_exit_code_of_training_is_that_of_the_launcher(machine: Machine) -> None:
    machine.settings["TRAIN_EXIT"] = "130"
    assert machine.launch("--output-dir", str(machine.root / "run")).returncode == 130


def test_in_the_background_it_says_how_to_watch_and_stop(machine: Machine) -> None:
    run = machine.root / "my run"
    done = machine.launch("--background", "--output-dir", str(run))
    assert done.returncode == 0
    assert f"tail -f {str(run / 'launch.log').replace(' ', chr(92) + ' ')}" in done.stdout
    log = run / "launch.log"
    wait_for(lambda: log.exists() and "<--preset><a6000-max>" in log.read_text())


def wait_for(condition: Callable[[], bool], *, limit_s: float = 300) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_real_start_on_this_cpu_trains_and_keeps_its_log(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    run = tmp_path / "a run"
    words = ["--base-model", str(tiny_model), "--train", str(tiny_speech), "--val", str(tiny_speech)]
    words += ["--output-dir", str(run), "--max-steps", "1", "--generation-max-length", "4", "--num-workers", "0"]
    # its GPUs hidden, if this machine has any
    settings = os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    settings["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    command = ["bash", str(ROOT / "scripts" / "launch_linux_gpu.sh"), "--allow-cpu", "--no-install", "whisper", *words]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    assert (run / "best" / "adapter_model.safetensors").is_file()
    assert "GPU: none" in done.stdout
    assert "trained 1 steps" in (run / "launch.log").read_text()
