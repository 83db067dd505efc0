"""Defaults of a model family, and options that do not apply to it."""

from __future__ import annotations

from eartune.config.train_config import BY_NAME, TrainConfig, with_values
from eartune.family import families, family_named, joined, refuse


def fill_in_family(config: TrainConfig) -> TrainConfig:
    """Replace general defaults by those of the family."""
    family = family_named(config.family)
    values = {name: value for name, value in family.defaults.items() if not config.given(name)}
    return with_values(config, f"default of {config.family}", **values) if values else config


def family_conflicts(config: TrainConfig) -> list[str]:
    """List options that do not apply to the family, one sentence each."""
    family = family_named(config.family)
    found = []
    for name in family.refused:
        option = BY_NAME[name]
        default = family.defaults.get(name, option.default)
        if config.given(name) and getattr(getattr(config, option.section), name) != default:
            found.append(f"{name}: {refuse(name, family)}: remove it")
    if config.data.task not in family.tasks:
        others = [each.name for each in families().values() if config.data.task in each.tasks]
        found.append(
            f"task: {family.title} cannot {config.data.task}, only {joined(family.tasks)}; {joined(others)} can"
        )
    target = config.run.export
    if target is not None and target.suffix == ".nemo" and "nemo" not in family.formats:
        found.append(f"export: {target}: a {family.title} model is written as a folder, not as a .nemo file")
    return found
