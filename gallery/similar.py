"""Pictures like a given one: those that share its tags and the rare words of its prompt.

No index knows how alike two pictures are. So a bounded number of candidates is fetched, each lot by an index: the
newest with each of its tags, those of the same run, and the newest of all. They are ranked here by the cosine of what
they share; a word or tag that most of them have counts next to nothing. The cost does not grow with the library.
"""

import math
import re
from collections import Counter

from gallery.models import Image, Label, LabelType
from gallery.visibility import Viewer, may_see_details

TAGS = 5  # of the picture that are looked up
WITH_TAG = 60  # candidates for each of them
OF_RUN = 60
NEWEST = 200
MAX_LABELS = 3000  # of all candidates
MAX_WORDS = 200  # of a prompt
ENOUGH = 0.12  # cosine; less alike than this is not alike
TAG_WEIGHT = 2.0  # a tag says what is to be seen, a word may be anything
SEEN = ["pk", "prompt", "rating", "is_public", "trashed_at", "retracted_at"]


def find_similar(image: Image, viewer: Viewer, *, limit: int = 12) -> list[Image]:
    """The pictures most like this one, best first; at most ``TAGS`` + 5 queries.

    Only those that the viewer may see clear take part, on both sides: a hidden word must not show by what it finds.
    """
    if not may_see_details(image, viewer):
        return []
    tags = list(image.labels.live().filter(type=LabelType.TAG).values_list("text", flat=True)[:TAGS])
    tagged: set[int] = set()
    for tag in tags:
        labels = Label.objects.live().filter(type=LabelType.TAG, text=tag).order_by("-image")
        tagged.update(labels.values_list("image", flat=True)[:WITH_TAG])
    listed = Image.objects.listed_for(viewer).only(*SEEN)
    lots = [listed.filter(pk__in=tagged), listed.order_by("-pk")[:NEWEST]]
    if image.source_id is not None:
        run = listed.filter(source_type=image.source_type, source_id=image.source_id)
        lots.append(run.order_by("-pk")[:OF_RUN])
    candidates = {found.pk: found for lot in lots for found in lot if may_see_details(found, viewer)}
    candidates[image.pk] = image
    features = {pk: words_of(found.prompt) for pk, found in candidates.items()}
    labels = Label.objects.live().filter(type=LabelType.TAG, image__in=candidates)
    for image_id, text in labels.values_list("image", "text")[:MAX_LABELS]:
        features[image_id].add(("tag", text.casefold()))
    best = rank(features, image.pk)[:limit]
    rows = Image.objects.listed_for(viewer).with_badges(viewer).in_bulk(best)
    return [rows[pk] for pk in best if pk in rows]


def words_of(prompt: str) -> set:
    return set(re.findall(r"\w{3,}", prompt.casefold())[:MAX_WORDS])


def rank(features: dict[int, set], wanted: int) -> list[int]:
    """Keys in order of likeness to ``wanted``, without it and those that are not alike; the newer first of equals."""
    number = Counter(feature for found in features.values() for feature in found)

    def weight(feature) -> float:
        rarity = math.log((1 + len(features)) / number[feature])
        return rarity * (TAG_WEIGHT if isinstance(feature, tuple) else 1)

    def length(found) -> float:
        return math.sqrt(sum(weight(feature) ** 2 for feature in found))

    mine, scores = features[wanted], {}
    for key, found in features.items():
        lengths = length(found) * length(mine)
        if key != wanted and lengths:
            scores[key] = sum(weight(feature) ** 2 for feature in found & mine) / lengths
    alike = [key for key, score in scores.items() if score >= ENOUGH]
    return sorted(alike, key=lambda key: (-scores[key], -key))
