from hypothesis import given
from hypothesis import strategies as st

from imagineer.engine.planner import Signature, plan_batches, sign
from imagineer.engine.types import GenerationRequest, LoraRef

signatures = st.builds(
    Signature,
    loras=st.sampled_from([(), (LoraRef("a", "a.safetensors"),), (LoraRef("a", "a.safetensors", 0.5),)]),
    size=st.sampled_from([(64, 64), (64, 96)]),
    steps=st.sampled_from([10, 20]),
    scheduler=st.just("euler"),
    guidance_scale=st.just(7.5),
)


@given(st.lists(signatures, max_size=60), st.integers(min_value=0, max_value=9))
def test_every_row_is_in_one_batch_of_its_like_and_no_batch_is_too_large(rows, size):
    batches = plan_batches(rows, lambda _signature: size)
    assert sorted(index for batch in batches for index in batch) == list(range(len(rows)))
    for batch in batches:
        assert 1 <= len(batch) <= max(1, size)
        assert len({rows[index] for index in batch}) == 1
        assert batch == sorted(batch)


@given(st.lists(signatures, max_size=60), st.integers(min_value=1, max_value=9))
def test_no_batch_could_have_been_joined_with_another(rows, size):
    batches = plan_batches(rows, lambda _signature: size)
    for signature in set(rows):
        count = sum(rows[batch[0]] == signature for batch in batches)
        assert count == -(-rows.count(signature) // size)


def test_the_size_of_a_batch_may_depend_on_its_signature():
    small, large = (sign(GenerationRequest("a"), (side, side)) for side in (64, 128))
    rows = [small, large, small, large, small]
    assert plan_batches(rows, lambda signature: 3 if signature is small else 1) == [[0, 2, 4], [1], [3]]


def test_prompts_and_seeds_do_not_part_rows_but_what_the_network_is_set_to_does():
    def signed(**changes):
        return sign(GenerationRequest(**{"prompt": "a", **changes}), (64, 64))

    assert signed() == signed(prompt="b", seed=3, negative_prompt="c")
    for change in (
        {"steps": 1},
        {"guidance_scale": 1.0},
        {"scheduler": "ddim"},
        {"loras": (LoraRef("x", "x"),)},
    ):
        assert signed() != signed(**change)
