from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagineer.engine.planner import plan_batches, sign
from imagineer.engine.types import GenerationRequest, LoraRef

BASE = GenerationRequest("a cat", width=64, height=64)
INK = LoraRef("ink", "ink.safetensors")


def plan(requests, size=8):
    return plan_batches(
        (sign(request, (request.width, request.height)) for request in requests), lambda _: size
    )


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 31},
        {"scheduler": "ddim"},
        {"guidance_scale": 7.0},
        {"width": 96},
        {"loras": (INK,)},
    ],
)
def test_requests_that_differ_in_what_the_network_shares_are_drawn_apart(change):
    assert plan([BASE, replace(BASE, **change), BASE]) == [[0, 2], [1]]


@pytest.mark.parametrize("change", [{"prompt": "b"}, {"negative_prompt": "b"}, {"seed": 5}])
def test_requests_that_differ_in_what_each_row_has_go_together(change):
    assert plan([BASE, replace(BASE, **change)]) == [[0, 1]]


def test_the_weight_and_content_of_a_lora_matter():
    heavier, changed = replace(INK, weight=0.5), replace(INK, sha256="a")
    assert plan([replace(BASE, loras=(lora,)) for lora in (INK, heavier, changed, INK)]) == [[0, 3], [1], [2]]


def test_nothing_to_draw_is_no_batch():
    assert plan([]) == []


@given(kinds=st.lists(st.integers(0, 3), max_size=60), size=st.integers(0, 9))
def test_every_request_is_planned_once_in_order_and_within_the_batch_size(kinds, size):
    batches = plan([replace(BASE, steps=kind + 1) for kind in kinds], size)
    assert sorted(index for batch in batches for index in batch) == list(range(len(kinds)))
    for batch in batches:
        assert 1 <= len(batch) <= max(1, size)
        assert batch == sorted(batch)
        assert len({kinds[index] for index in batch}) == 1
    by_kind = {kind: [batch for batch in batches if kinds[batch[0]] == kind] for kind in set(kinds)}
    assert all(len(batch) == max(1, size) for same in by_kind.values() for batch in same[:-1]), (
        "only the last is short"
    )
