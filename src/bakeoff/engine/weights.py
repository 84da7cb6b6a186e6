"""Weight transfer: finds a body's weights in a file, a trial or published weights, and matches them by name."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from bakeoff.catalog.networks.named import AnyNetwork
from bakeoff.catalog.transfer import FileWeights, StudyWeights, Transfer, TrialWeights, check_transfer
from bakeoff.engine.fused.build import State
from bakeoff.engine.fused.module_network import BODY
from bakeoff.engine.published import fetch_published
from bakeoff.engine.weight_files import read_source
from bakeoff.errors import NetworkError, WeightsFitError
from bakeoff.workspace import Folders

_WRAPPING = ("module.", "model.", "_orig_mod.", "body.", "network.", "backbone.")
"""Name prefixes added by data-parallel training, compiling and other tools."""

_HEADS = re.compile(r"(head|classifier|fc|AuxLogits|aux|last_linear|head_drop|fc_norm)\w*\.")
"""Names of published heads. They are dropped; the head is newly initialized."""

_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")
"""Names of layers in a DenseNet block in older torchvision files: `norm.1`, now `norm1`."""

_NUMBERED = re.compile(r"(?:(?P<part>\w+)\.)?(?P<number>\d+)\.(?P<what>weight|bias|mean|variance)$")

_TORCH_NAMES = {"running_mean": "mean", "running_var": "variance"}
_COUNTER = "num_batches_tracked"
_MAX_NAMED = 12


@dataclass(frozen=True)
class _Fit:
    """The match between given and required weights: what can be transferred, and what does not fit."""

    taken: State
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.unexpected or self.misshapen)


def load_weights(
    network: AnyNetwork,
    transfer: Transfer,
    state: State,
    folders: Folders,
    num_body_layers: int = 0,
    tied: Mapping[str, str] | None = None,
) -> State:
    """Return `state` with its body's parameters and buffers replaced by the transfer's weights.

    Names may be the network's own (torch's, for torchvision, timm and user networks), bakeoff's, or prefixed by
    data-parallel training (`module.`). The old head is dropped. Plain sequences of layers (torchvision's
    `features.0.weight`, nn.Sequential, bakeoff's layers) are matched in order if every shape agrees. For grayscale
    images a first convolution for colour is summed over its channels, which is equivalent to repeating the image.

    Args:
        network: the recipe's network.
        transfer: the recipe's transfer; without `weights` nothing is replaced.
        state: the initialized parameters and buffers, by bakeoff's names; not changed.
        folders: the workspace, for trials and copied files.
        num_body_layers: number of leading layers of a layer network that form its body.
        tied: other names of shared tensors in an outside network, each with its name in `state`.

    Raises:
        WeightsError: the weights cannot be found, downloaded or read, or do not fit; names every mismatched tensor.
    """
    try:
        check_transfer(network, transfer)
    except NetworkError as error:
        raise WeightsFitError(str(error)) from None
    if transfer.weights is None:
        return dict(state)
    if network.has_module:
        wanted = {name.removeprefix(BODY): value for name, value in state.items() if name.startswith(BODY)}
        prefix = BODY
    else:
        wanted = {name: value for name, value in state.items() if int(name.partition(".")[0]) < num_body_layers}
        prefix = ""
    given, title = _open(transfer.weights, network, folders)
    taken = fit_weights(wanted, given, title=title, network=network.name, tied=tied or {})
    return {**state, **{prefix + name: value for name, value in taken.items()}}


def _open(
    weights: str | FileWeights | TrialWeights | StudyWeights, network: AnyNetwork, folders: Folders
) -> tuple[State, str]:
    """Return the tensors and the name of their source for messages."""
    if isinstance(weights, str):
        return fetch_published(network), f"the published weights of {network.name}"
    title = weights.file if isinstance(weights, FileWeights) else f"trial {getattr(weights, 'trial', '')}"
    return read_source(weights, folders), title


def fit_weights(
    wanted: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    *,
    title: str,
    network: str,
    tied: Mapping[str, str] = MappingProxyType({}),
) -> State:
    """Select a body's tensors from the given ones, by the body's names and in its dtypes.

    Args:
        wanted: the body's tensors by name; only their shapes and dtypes are used.
        given: tensors by any names.
        title: name of the source in messages.
        network: name of the network in messages.
        tied: other names of a body's tensors, each with its name in `wanted`.

    Raises:
        WeightsError: some are missing, have another shape, or are unexpected; names them.
    """
    named = _name_once(_rename(given, {*wanted, *tied}), tied)
    fit = _fit_by_name(wanted, named)
    if not fit.is_whole:
        in_order = _fit_in_order(wanted, named)
        if in_order is not None:
            return in_order
        raise WeightsFitError(f"{title}: these weights do not fit {network}: {_describe(fit)}.")
    return fit.taken


def _name_once(given: Mapping[str, Tensor], tied: Mapping[str, str]) -> State:
    """Return the given tensors without duplicate names; if their values differ, both are kept."""
    named = dict(given)
    for alias, name in tied.items():
        if alias in named and (name not in named or torch.equal(named[name], named[alias])):
            named[name] = named.pop(alias)
    return named


def _rename(given: Mapping[str, Tensor], wanted: Container[str]) -> State:
    """Return the given tensors with known prefixes and naming variants replaced by the body's names."""
    renamed: State = {}
    for name, value in given.items():
        while name not in wanted:
            prefix = next((prefix for prefix in _WRAPPING if name.startswith(prefix)), None)
            if prefix is None:
                break
            name = name.removeprefix(prefix)
        old = _DENSENET.fullmatch(name)
        renamed[old[1] + old[2] if old and name not in wanted else name] = value
    return renamed


def _fit_by_name(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> _Fit:
    taken: State = {}
    missing, misshapen = [], []
    for name, value in wanted.items():
        if name not in given:
            # The number of batches in a running average: older files lack it, and it has no effect.
            missing += [] if name.endswith(_COUNTER) else [name]
            continue
        adapted = _adapt(given[name], value)
        if adapted is None:
            misshapen.append(f"{name} ({_format(given[name])}, needed {_format(value)})")
        else:
            taken[name] = adapted
    unexpected = [name for name in given if name not in wanted and not _is_head(name, wanted)]
    return _Fit(taken, tuple(missing), tuple(unexpected), tuple(misshapen))


def _is_head(name: str, wanted: Mapping[str, Tensor]) -> bool:
    """Return whether a tensor belongs to the old head, which is dropped."""
    numbered = [int(known.partition(".")[0]) for known in wanted if known.partition(".")[0].isdigit()]
    number = name.partition(".")[0]
    if number.isdigit() and len(numbered) == len(wanted):
        return int(number) > max(numbered, default=-1)
    return _HEADS.match(name) is not None


def _adapt(given: Tensor, wanted: Tensor) -> Tensor | None:
    """Return a given tensor in the required shape and dtype; None if it does not fit."""
    if given.dim() == wanted.dim() == 4 and given.shape[1] == 3 and wanted.shape[1] == 1:
        given = given.float().sum(1, keepdim=True)
    if given.shape != wanted.shape or given.is_complex() or given.is_quantized:
        return None
    return given.detach().to(wanted.dtype, copy=True).contiguous()


def _fit_in_order(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> State | None:
    """Match two plain sequences of layers position by position; None unless every shape agrees.

    The rest of the given sequence is its head, and may not contain another convolution.
    """
    needed, found = _sequence(wanted), _sequence(given)
    if needed is None or found is None or not needed or len(found) < len(needed):
        return None
    if any(value.dim() == 4 for _, layer in found[len(needed) :] for value in layer.values()):
        return None
    taken: State = {}
    for (path, layer), (_, other) in zip(needed, found[: len(needed)], strict=True):
        if layer.keys() != other.keys():
            return None
        for what, value in layer.items():
            adapted = _adapt(other[what], value)
            if adapted is None:
                return None
            taken[_restore(path, what, wanted)] = adapted
    return taken


def _sequence(state: Mapping[str, Tensor]) -> list[tuple[str, State]] | None:
    """Return a plain sequence's layers with their tensors, in order; None for any other network.

    For a network in parts (`features.0.weight`, `classifier.6.weight`) these are its features.
    """
    layers: dict[tuple[str, int], State] = {}
    for name, value in state.items():
        path, _, what = name.rpartition(".")
        if what == _COUNTER:
            continue
        match = _NUMBERED.fullmatch(f"{path}.{_TORCH_NAMES.get(what, what)}")
        if match is None:
            return None
        layers.setdefault((match["part"] or "", int(match["number"])), {})[match["what"]] = value
    parts = {part for part, _ in layers}
    chosen = "features" if "features" in parts else next(iter(parts), "")
    if parts - {chosen, "classifier", "head"}:
        return None
    kept = sorted((number, layer) for (part, number), layer in layers.items() if part == chosen)
    return [(f"{chosen}.{number}" if chosen else str(number), layer) for number, layer in kept]


def _restore(path: str, what: str, wanted: Mapping[str, Tensor]) -> str:
    """Return a body's name for a tensor of one of its layers."""
    torch_names = {short: name for name, short in _TORCH_NAMES.items()}
    plain = f"{path}.{what}"
    return plain if plain in wanted else f"{path}.{torch_names[what]}"


def _describe(fit: _Fit) -> str:
    parts = [("missing", fit.missing), ("unexpected", fit.unexpected), ("of another shape", fit.misshapen)]
    return "; ".join(f"{title} {_list(names)}" for title, names in parts if names)


def _list(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _MAX_NAMED} more" if len(shown) > _MAX_NAMED else ""
    return ", ".join(shown[:_MAX_NAMED]) + more


def _format(value: Tensor) -> str:
    return "x".join(str(size) for size in value.shape) or "one number"
