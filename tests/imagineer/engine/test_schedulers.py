import pytest

from imagineer.engine.schedulers import SCHEDULERS, build_scheduler, find_scheduler
from imagineer.engine.types import EngineError
from tests.imagineer.engine.asking import ask, difference


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_draws_and_tells_its_steps_up_to_the_last(engine, name):
    for steps in (1, 5):
        told = []
        alone, other = engine.draw(
            [ask(scheduler=name, steps=steps), ask(scheduler=name, steps=steps, seed=1)],
            on_step=lambda *step, told=told: told.append(step),
        )
        assert difference(alone, other) > 1
        assert told[-1] == (steps, steps)
        assert alone.recipe["scheduler"] == name


@pytest.mark.parametrize("name", SCHEDULERS)
def test_with_every_scheduler_a_row_alone_equals_the_row_in_a_batch(engine, name):
    requests = [ask(scheduler=name, steps=5, seed=seed) for seed in range(3)]
    for request, in_batch in zip(requests, engine.draw(requests), strict=True):
        assert difference(engine.draw([request])[0], in_batch) <= 1


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_models_betas_are_kept_and_its_way_of_solving_is_not(name):
    config = {"beta_start": 0.002, "beta_end": 0.01, "beta_schedule": "linear", "use_karras_sigmas": True}
    built = build_scheduler(name, config)
    assert (built.config.beta_start, built.config.beta_end) == (0.002, 0.01)
    spec = SCHEDULERS[name]
    assert type(built).__name__ == spec.class_name
    if "use_karras_sigmas" in spec.options:
        assert built.config.use_karras_sigmas == (spec.a1111_schedule == "Karras")


def test_an_unknown_scheduler_is_told_with_the_known_ones():
    with pytest.raises(EngineError, match="Choose one of: euler, euler_karras") as caught:
        find_scheduler("x" * 1000)
    assert len(str(caught.value)) < 400
