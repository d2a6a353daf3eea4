"""What the apps above tell about the pictures they made, without the gallery importing them.

An app registers one provider for its ``source_type`` in ``AppConfig.ready()``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Origin:
    """The run or job that something came from, as the public may know it."""

    name: str
    url: str | None = None


class Provider(Protocol):
    def describe(self, source_ids: list[int], viewer) -> dict[int, Origin]:
        """Name and link of these runs or jobs as the viewer may know them, in one query at most."""

    def steps(self, image) -> list[dict]:
        """Its part of the picture's provenance, the latest first."""

    def pictures(self, images, source_id: int):
        """Of these pictures those of one run or job, with the order to list them in as ``slot``."""

    def dependents(self, image) -> list[Origin]:
        """What was made from the picture."""


_providers: dict[str, Provider] = {}
_actions: list[Callable[..., Origin | None]] = []
_releases: list[Callable[[list[int]], None]] = []


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
