"""What the apps above tell about the pictures they made, without the gallery importing them.

An app registers one provider for its ``source_type`` in ``AppConfig.ready()``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Origin:
    """The run or job that something came from, as the public may know it."""

    name: str
    url: str | None = None


@dataclass(frozen=True)
class Step:
    """One station on the way of a picture, as one viewer may know it."""

    kind: str  # run, template, model …
    title: str
    url: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # JSON-able; the keys are names for programs
    is_redacted: bool = False  # there is more that is not for this viewer


class Provider(Protocol):
    def describe(self, source_ids: list[int], viewer) -> dict[int, Origin]:
        """Name and link of these runs or jobs as the viewer may know them, in one query at most."""

    def steps(self, image, viewer) -> list[Step]:
        """Its part of the picture's provenance as the viewer may know it, the latest first. Asked only of pictures
        that the viewer may see clear."""

    def pictures(self, images, source_id: int):
        """Of these pictures those of one run or job, with the order to list them in as ``slot``."""

    def dependents(self, image, viewer) -> list[Origin]:
        """What was made from the picture, of whatever source that is; the newest first, a few."""


_providers: dict[str, Provider] = {}
_actions: list[Callable[..., Origin | None]] = []
_releases: list[Callable[[list[int]], None]] = []
_histories: dict[str, Callable[..., list[Step]]] = {}


def register_origin(source_type: str, provider: Provider) -> None:
    _providers[source_type] = provider


def register_action(action: Callable[..., Origin | None]) -> None:
    """:param action: ``action(image, viewer)``: what an app offers to do with a picture, or None."""
    _actions.append(action)


def actions_for(image, viewer) -> list[Origin]:
    return [offered for action in _actions if (offered := action(image, viewer))]


def register_release(release: Callable[[list[int]], None]) -> None:
    """:param release: ``release(image_ids)``: an app's rows let go of pictures that are deleted for good, in the
    transaction that deletes them."""
    _releases.append(release)


def release_all(image_ids: list[int]) -> None:
    for release in _releases:
        release(image_ids)


def register_history(kind: str, tell: Callable[..., list[Step]]) -> None:
    """:param tell: ``tell(row, viewer)``: how a LoRA (kind "lora") or a model ("model") came to be, latest first."""
    _histories[kind] = tell


def history_of(kind: str, row, viewer) -> list[Step]:
    return _histories[kind](row, viewer) if row is not None and kind in _histories else []


def dependents_of(image, viewer) -> list[Origin]:
    return [found for provider in _providers.values() for found in provider.dependents(image, viewer)]


def provider_of(source_type: str) -> Provider | None:
    return _providers.get(source_type)


def describe_all(sources, viewer) -> dict[tuple[str, int], Origin]:
    """Origins of many pictures or albums, given as (source_type, source_id): one call a source type."""
    asked: dict[str, set[int]] = {}
    for source_type, source_id in sources:
        if source_id is not None and source_type in _providers:
            asked.setdefault(source_type, set()).add(source_id)
    return {
        (source_type, source_id): origin
        for source_type, ids in asked.items()
        for source_id, origin in _providers[source_type].describe(sorted(ids), viewer).items()
    }
