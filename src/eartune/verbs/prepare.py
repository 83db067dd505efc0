"""prepare: a folder of recordings or a table -> train, val and test manifests, 16 kHz audio and an audit."""

from __future__ import annotations

from pathlib import Path

from eartune.prepare.corpus import PreparedCorpus, prepare_corpus
from eartune.reporting import Reporter, Silent


def prepare(
    source: Path,
    *,
    out: Path,
    language: str | None = None,
    copy_audio: bool = True,
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    skip_bad: bool = False,
    max_duration_s: float | None = None,
    reporter: Reporter | None = None,
) -> PreparedCorpus:
    """Prepare a corpus as prepare_corpus does, and report progress over its recordings."""
    report = reporter or Silent()
    with report.task("recordings", 0) as task:

        def progress(done: int, total: int) -> None:
            task.resize(total)
            task.jump(done)

        return prepare_corpus(
            source,
            out,
            language=language,
            copy_audio=copy_audio,
            splits=splits,
            seed=seed,
            skip_bad=skip_bad,
            max_duration_s=max_duration_s,
            progress=progress,
        )
