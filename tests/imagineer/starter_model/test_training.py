import pytest
import torch
from safetensors.torch import save_file

from imagineer.starter_model import STARTER_MODEL_PATH
from imagineer.starter_model.training import WEIGHTS_FILE, Budget, Run, begin_with, rate
from imagineer.starter_model.unet import make_unet
from imagineer.starter_model.vae import make_vae


def _train(path, *, stop_at: int | None = None) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Fit a line to noise for twelve steps, saving after each; `stop_at` leaves in the middle, as a kill would."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    run = Run(path, model, Budget(12), seed=5, ema=0.9, every=0)
    for step, fraction in run:
        if step == stop_at:
            break
        x = torch.randn(8, 3) + float(run.numbers.normal())
        run.backward((model(x) - 1).pow(2).mean(), rate(0.01, step, fraction, warm=2))
    return run.step, model.weight.detach().clone(), run.averages[0].clone()


def test_an_interrupted_run_ends_with_the_same_weights_as_one_that_was_not(tmp_path):
    _, weight, average = _train(tmp_path / "whole.safetensors")
    stopped_at, *_ = _train(tmp_path / "stopped.safetensors", stop_at=7)
    assert stopped_at == 7
    steps, resumed, resumed_average = _train(tmp_path / "stopped.safetensors")
    assert steps == 12
    assert torch.equal(resumed, weight)
    assert torch.equal(resumed_average, average)


def test_a_finished_run_is_not_trained_again(tmp_path):
    _, weight, _ = _train(tmp_path / "run.safetensors")
    steps, again, _ = _train(tmp_path / "run.safetensors")
    assert steps == 12
    assert torch.equal(again, weight)


def test_a_kill_while_saving_leaves_the_last_checkpoint(tmp_path):
    _, weight, _ = _train(tmp_path / "run.safetensors")
    (tmp_path / "run.part").write_bytes(b"half a checkpoi")
    assert torch.equal(_train(tmp_path / "run.safetensors")[1], weight)


def test_the_rate_warms_up_holds_and_falls():
    rates = [rate(1.0, step, step / 100, warm=10, hold=0.4) for step in range(101)]
    assert rates[0] == 0.1
    assert rates[10] == rates[40] == 1.0
    assert rates[40] > rates[60] > rates[90] > rates[100]
    assert 0.02 < rates[100] < 0.04


def test_a_stage_may_begin_with_weights_of_which_some_no_longer_fit(tmp_path, capsys):
    given = {"weight": torch.full((1, 3), 7.0), "bias": torch.zeros(2), "gone": torch.zeros(1)}
    save_file(given, tmp_path / "given.safetensors")
    model = torch.nn.Linear(3, 1)
    before = model.bias.clone()
    left = begin_with(model, tmp_path / "given.safetensors", Budget(10, begun=0.8))
    assert torch.equal(model.weight, given["weight"])
    assert torch.equal(model.bias, before)
    assert left.fraction(0, 0.0) == 0.0, "its course begins at its start, not where finished weights go on"
    assert "1 of 2 tensors fit" in capsys.readouterr().out
    assert begin_with(model, None, Budget(10)) == Budget(10)


@pytest.mark.parametrize(("part", "make"), [("vae", make_vae), ("unet", make_unet)])
def test_weights_that_fit_as_a_whole_are_gone_on_from_late_in_the_course(part, make):
    late = Budget(10, begun=0.8)
    assert begin_with(make(), STARTER_MODEL_PATH / part / WEIGHTS_FILE, late) == late
