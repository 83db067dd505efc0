"""TrainConfig, the resolved options of a training run, and the index of all options by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from eartune.config.adapter import AdapterSection
from eartune.config.optimizer import OptimizerSection
from eartune.config.options import Option, Section, options_of
from eartune.config.partial import PartialSection
from eartune.config.sections import DataSection, ModelSection, RunSection, ValidationSection
from eartune.config.window import WindowSection

SECTIONS: dict[str, type[Section]] = {
    "data": DataSection,
    "model": ModelSection,
    "partial": PartialSection,
    "run": RunSection,
    "validation": ValidationSection,
    "window": WindowSection,
    "optimizer": OptimizerSection,
    "adapter": AdapterSection,
}
OPTIONS: tuple[Option, ...] = tuple(
    option for name, section in SECTIONS.items() for option in options_of(name, section)
)
BY_NAME: dict[str, Option] = {name: option for option in OPTIONS for name in option.names}
Provenance = Mapping[str, str]


@dataclass(frozen=True)
class TrainConfig:
    """The resolved configuration of a training run; `provenance` has the source of each value."""

    family: str
    data: DataSection
    model: ModelSection
    partial: PartialSection
    run: RunSection
    validation: ValidationSection
    window: WindowSection
    optimizer: OptimizerSection
    adapter: AdapterSection
    provenance: Provenance

    def values(self) -> dict[str, Any]:
        """Return every option under its canonical name, as JSON values."""
        flat: dict[str, Any] = {"family": self.family}
        for name in SECTIONS:
            flat |= getattr(self, name).model_dump(mode="json")
        return flat

    def given(self, name: str) -> bool:
        """Return whether the user (or a preset) set this option."""
        return not self.provenance[name].startswith("default")

    def changed(self, name: str) -> bool:
        """Return whether the user (or a preset) set this option to a value other than its default."""
        option = BY_NAME[name]
        return self.given(name) and getattr(getattr(self, option.section), name) != option.default

    def has_adapter(self) -> bool:
        """Return whether low-rank adapters are trained, alone or together with parts of the network."""
        return self.model.method == "lora" or (self.model.method == "partial" and self.partial.with_lora)

    def run_takes_best(self) -> bool:
        """Return whether later verbs use best/ of the run (last/ otherwise, and if there is no best/)."""
        return self.validation.load_best_model_at_end

    def training_fingerprint(self) -> dict[str, Any]:
        """Return the options that affect the training: a run is resumed with equal values only."""
        return {
            name: value for name, value in self.values().items() if name == "family" or not BY_NAME[name].resume_safe
        }


def with_values(config: TrainConfig, origin: str, **values: Any) -> TrainConfig:
    """Return the configuration with other values, and `origin` as their provenance."""
    changed: dict[str, Any] = {}
    for section_name in SECTIONS:
        update = {name: value for name, value in values.items() if BY_NAME[name].section == section_name}
        if update:
            changed[section_name] = getattr(config, section_name).model_copy(update=update)
    return replace(config, provenance={**config.provenance, **dict.fromkeys(values, origin)}, **changed)
