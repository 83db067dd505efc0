"""Names of modules to adapt, checked against the network: a name that matches nothing is an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from eartune.config.adapter import AdapterSection
from eartune.errors import nearest, raise_findings
from eartune.model import Blocks
from eartune.training.adaptation.unfreezing import is_within

_ADAPTABLE = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True)
class Targets:
    """Target names for PEFT, the modules they match, and notes for the user."""

    target_modules: list[str] | str
    exclude_modules: list[str] | str | None
    matched: tuple[str, ...]
    notes: tuple[str, ...]


def resolve_targets(
    network: nn.Module,
    adapter: AdapterSection,
    blocks: Blocks,
    *,
    freeze_encoder: bool,
    in_full: Sequence[str] = (),
) -> Targets:
    """Resolve target names against the network; modules within those trained `in_full` get no adapter.

    Raises InputError that lists every name without a match.
    """
    adaptable = [name for name, module in network.named_modules() if isinstance(module, _ADAPTABLE)]
    leaves = sorted({name.rpartition(".")[2] for name in adaptable if not name.rpartition(".")[2].isdigit()})
    wanted, notes = _without_aliases(adapter.target_modules or blocks.default_targets, blocks, leaves)
    findings = []
    matched: set[str] = set()
    for target in wanted:
        hits = [name for name in adaptable if _matches(name, target)]
        if not hits:
            findings.append(
                f"target_modules: {target!r} matches no module that can be adapted.{nearest(target, leaves)}"
            )
        findings += [
            f"target_modules: {target!r} would adapt {name}: {reason}; leave it out"
            for name, reason in blocks.forbidden_targets.items()
            if name in hits and target != "all-linear"
        ]
        matched.update(hits)
    excluded = list(adapter.exclude_modules or ())
    findings += [
        f"exclude_modules: {name!r} matches no module.{nearest(name, leaves)}"
        for name in excluded
        if not any(_matches(module, name) for module in adaptable)
    ]
    findings += _saved_module_findings(network, adapter.modules_to_save or (), in_full)
    if "all-linear" not in wanted:
        included = [name for name in sorted(matched) if not any(_matches(name, pattern) for pattern in excluded)]
        findings += _unsuitable(network, adapter, included)
    findings += _pattern_findings("rank_pattern", adapter.rank_pattern, matched)
    findings += _pattern_findings("alpha_pattern", adapter.alpha_pattern, matched)
    if adapter.lora_bias:
        modules = dict(network.named_modules())
        without = sorted({n.rpartition(".")[2] for n in matched if getattr(modules[n], "bias", None) is None})
        findings += [f"lora_bias: {name} has no bias, so lora_bias cannot be merged; adapt others" for name in without]
    raise_findings(findings, advice=f"Modules that can be adapted: {', '.join(leaves)}.")
    matched = {name for name in matched if not any(_matches(name, pattern) for pattern in excluded)}
    outside = [blocks.encoder] if freeze_encoder else []
    matched = {name for name in matched if not is_within(name, outside)}
    trained = {name for name in matched if is_within(name, in_full)}
    if trained:
        notes.append(f"no adapter in {len(trained)} of the target modules: they are trained in full")
        outside += [name for name in in_full if any(is_within(module, [name]) for module in trained)]
    matched -= trained
    raise_findings(
        []
        if matched
        else ["target_modules: nothing is left to adapt; all targets are excluded, frozen or trained in full"]
    )
    return Targets(
        target_modules=wanted[0] if len(wanted) == 1 and _is_pattern(wanted[0]) else list(wanted),
        exclude_modules=_exclusions(excluded, outside),
        matched=tuple(sorted(matched - blocks.forbidden_targets.keys())),
        notes=tuple(notes),
    )


def _saved_module_findings(network: nn.Module, saved: Sequence[str], in_full: Sequence[str]) -> list[str]:
    every_name = [name for name, _ in network.named_modules() if name]
    endings = sorted({name.rpartition(".")[2] for name in every_name})
    hits = {name: [module for module in every_name if _matches(module, name)] for name in saved}
    found = [
        f"modules_to_save: {name!r} matches no module.{nearest(name, endings)}"
        for name, modules in hits.items()
        if not modules
    ]
    twice = {
        name: module
        for name, modules in hits.items()
        for module in modules
        if is_within(module, in_full) or any(is_within(full, [module]) for full in in_full)
    }
    return found + [
        f"modules_to_save: {name!r} is {module}, which is trained in full already; leave it out"
        for name, module in twice.items()
    ]


def _unsuitable(network: nn.Module, adapter: AdapterSection, matched: Sequence[str]) -> list[str]:
    """Report the first module of a type that an option does not support; PEFT reports it late or never."""
    modules = {name: network.get_submodule(name) for name in matched}
    others = [name for name, module in modules.items() if not isinstance(module, nn.Linear)]
    found = []
    initialisation = adapter.init_lora_weights
    if isinstance(initialisation, str) and initialisation != "gaussian" and others:
        found.append(
            f"init_lora_weights: {initialisation} is for linear layers, and {others[0]} is a "
            f"{type(modules[others[0]]).__name__}; leave it out of target_modules"
        )
    # DoRA computes a plain convolution in place of the module's own forward
    own = [name for name in others if type(modules[name]).forward not in (c.forward for c in _ADAPTABLE)]
    if adapter.use_dora and own:
        found.append(
            f"use_dora: {own[0]} ({type(modules[own[0]]).__name__}) is not a plain layer, and DoRA supports only "
            "plain ones; leave it out of target_modules"
        )
    return found


def _without_aliases(wanted: Sequence[str], blocks: Blocks, leaves: Sequence[str]) -> tuple[list[str], list[str]]:
    names, notes = [], []
    for target in wanted:
        own = blocks.target_aliases.get(target, target)
        if own != target and target not in leaves:
            notes.append(f"target_modules: {target} is called {own} in this model; {own} is adapted")
            target = own
        if target not in names:
            names.append(target)
    return names, notes


def _is_pattern(target: str) -> bool:
    return target == "all-linear" or bool(re.search(r"[\\^$*+?()\[\]{}|]", target))


def _matches(name: str, target: str) -> bool:
    """Match as PEFT does: a name by its ending, a regular expression by the whole name."""
    if target == "all-linear":
        return True
    if _is_pattern(target):
        try:
            return re.fullmatch(target, name) is not None
        except re.error:
            return False
    return name == target or name.endswith(f".{target}")


def _pattern_findings(option: str, patterns: dict[str, int] | dict[str, float] | None, matched: set[str]) -> list[str]:
    leaves = sorted({name.rpartition(".")[2] for name in matched})
    return [
        f"{option}: {pattern!r} matches none of the adapted modules.{nearest(pattern, [*leaves, *sorted(matched)])}"
        for pattern in patterns or ()
        if not any(_pattern_matches(pattern, name) for name in matched)
    ]


def _pattern_matches(pattern: str, name: str) -> bool:
    try:
        # peft.utils.other.get_pattern_key
        return re.match(rf"(.*\.)?({pattern})$", name) is not None
    except re.error:
        return False


def _exclusions(excluded: list[str], outside: Sequence[str]) -> list[str] | str | None:
    if not outside:
        return excluded or None
    # PEFT takes names or one expression, so names become part of the expression
    endings = [name if _is_pattern(name) else rf"(?:.*\.)?{re.escape(name)}" for name in excluded]
    return "|".join([*(rf"(?:.*\.)?{re.escape(name)}(?:\..*)?" for name in outside), *endings])
