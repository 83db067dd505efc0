#!/usr/bin/env bash
# Train on a fresh Linux machine with an NVIDIA GPU: check it, install what is missing, start `eartune train`.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${EARTUNE_VENV:-$repo/.venv}

usage() {
    cat <<'TEXT'
usage: scripts/launch_linux_gpu.sh [--allow-cpu] [--no-install] [--background] [FAMILY] TRAIN-OPTIONS

Checks Python, driver and GPU, makes a virtual environment with torch and eartune, and starts `eartune train` with all
other options. The second start installs nothing.

  --allow-cpu    go on where there is no GPU
  --no-install   use eartune as PYTHON has it, and install nothing
  --background   train on after this terminal is closed, and say how to watch and stop it
  -h, --help     show this

Without --preset (or a preset in a --config file) it is a6000-max, for 48 GB, or cpu where there is no GPU.
Everything shown is also written to launch.log in the folder of the run. PYTHON names the Python to use, EARTUNE_VENV
where the virtual environment lies (.venv of the checkout).
TEXT
}

fail() {
    echo "error: $*" >&2
    exit 2
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$candidate"
            return
        fi
    done
    fail "eartune needs Python 3.11 or newer, and none is here: install one, or name it: PYTHON=/path/to/python3"
}

# Prints "VERSION CUDA" of a Python's torch, where that computes on the GPU; fails otherwise.
torch_on_gpu() {
    "$1" -c 'import sys, torch
if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6) or not torch.cuda.is_available():
    sys.exit(1)
print(torch.__version__, torch.version.cuda)' 2>/dev/null
}

check_gpu() {
    local found
    if found=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null) &&
        [ -n "$found" ]; then
        has_gpu=yes
        echo "GPU, memory, driver: ${found//$'\n'/; }"
    elif [ "$allow_cpu" = yes ]; then
        has_gpu=no
        echo "GPU: none, going on with the CPU"
    else
        fail "nvidia-smi finds no GPU here: start a machine that has one, or give --allow-cpu"
    fi
}

# The torch of the machine is used where it already computes on the GPU: it fits the driver, and is large.
install() {
    local installed="$venv/.installed" constraints="$repo/constraints.txt" torch
    if [ -e "$installed" ] && [ "$installed" -nt "$repo/pyproject.toml" ] && [ "$installed" -nt "$constraints" ]; then
        echo "virtual environment: $venv, as it is"
        return
    fi
    "$python" -c 'import ensurepip' 2>/dev/null ||
        fail "$python makes no virtual environments: install python3-venv, or give --no-install to use it as it is"
    if [ "$has_gpu" = yes ] && torch=$(torch_on_gpu "$python"); then
        echo "virtual environment: $venv, with this machine's torch $torch"
        "$python" -m venv --system-site-packages "$venv"
        grep -vE '^(torch|triton)==' "$repo/constraints.txt" >"$venv/constraints.txt"
        constraints="$venv/constraints.txt"
    else
        echo "virtual environment: $venv, with torch from the package index"
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip --disable-pip-version-check install --quiet -c "$constraints" torch
    fi
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet -c "$constraints" -e "$repo"
    touch "$venv/.torch" "$installed"
}

check_environment() {
    "$python" -c 'import torch
print("torch", torch.__version__, "CUDA", torch.version.cuda)
if torch.cuda.is_available():
    gpu = torch.cuda.get_device_properties(0)
    print(f"torch sees {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")' ||
        fail "$python has no torch that can be imported: leave --no-install out, or install it there"
    "$python" -c 'import eartune' 2>/dev/null ||
        fail "$python has no eartune: leave --no-install out, or install it there: $python -m pip install -e $repo"
    if [ "$has_gpu" = yes ] && ! torch_on_gpu "$python" >/dev/null; then
        fail "torch does not see the GPU, most likely because its CUDA is newer than the driver: install the build for" \
            "your driver (pytorch.org lists them) with $python -m pip, and start again"
    fi
}

# Whether a preset is given on the command line or in one of the files after --config.
gives_preset() {
    local word in_config=no
    for word in "$@"; do
        case $word in
        --preset | --preset=*) return 0 ;;
        --config=*) in_config=no && names_preset "${word#--config=}" && return 0 ;;
        --config) in_config=yes ;;
        -*) in_config=no ;;
        *) if [ "$in_config" = yes ] && names_preset "$word"; then return 0; fi ;;
        esac
    done
    return 1
}

names_preset() {
    grep -qsE '^[[:space:]{]*"?preset"?[[:space:]]*:' "$1"
}

# Ask eartune itself: the folder may come from any of its names, a file, or a default.
folder_of_run() {
    local listing
    listing=$("$python" -m eartune train "$@" --print-config) || exit 2
    sed -nE 's/^output_dir +(.*[^ ]) +# .*$/\1/p' <<<"$listing"
}

allow_cpu=no no_install=no background=no
options=()
for word in "$@"; do
    case $word in
    --allow-cpu) allow_cpu=yes ;;
    --no-install) no_install=yes ;;
    --background) background=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) options+=("$word") ;;
    esac
done

python=$(find_python)
echo "Python: $python, $("$python" -c 'import platform; print(platform.python_version())')"
check_gpu
if [ "$no_install" = no ]; then
    install
    python="$venv/bin/python"
fi
check_environment
if ! gives_preset "${options[@]}"; then
    preset=a6000-max
    [ "$has_gpu" = yes ] || preset=cpu
    options+=(--preset "$preset")
    echo "preset: $preset"
fi

run=$(folder_of_run "${options[@]}")
[ -n "$run" ] && [ "$run" != null ] || fail "no folder for the run: give --output-dir, or --base-model to name it by"
mkdir -p "$run"
log="$run/launch.log"
if [ "$background" = yes ]; then
    nohup setsid "$python" -m eartune train "${options[@]}" >>"$log" 2>&1 </dev/null &
    echo "training in process $!, which goes on after this terminal is closed"
    echo "  watch it:  tail -f $(printf %q "$log")"
    echo "  stop it:   kill $!     (it saves; the same command goes on from there)"
    exit 0
fi
echo "log: $log; training ends with this terminal: start it in tmux, or with --background, to leave it alone"
"$python" -m eartune train "${options[@]}" 2>&1 | tee -i -a "$log"
