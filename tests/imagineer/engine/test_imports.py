"""What may be loaded by whom: a web process reads files and plans, and never pays for torch."""

import subprocess
import sys
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[3] / "imagineer" / "engine"
MODULES = sorted(f"imagineer.engine.{path.stem}" for path in ENGINE.glob("*.py") if path.stem != "__init__")


def loaded_by(program: str) -> set[str]:
    wanted = "{'torch', 'diffusers', 'transformers', 'peft', 'accelerate', 'safetensors', 'numpy', 'django'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sorted({wanted} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ENGINE.parents[1],
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_module_of_the_engine_loads_no_network_and_no_django(module):
    assert loaded_by(f"import {module}") == set()


def test_reading_a_model_a_lora_and_a_recipe_and_planning_load_none_either(tiny_folder, tiny_lora):
    program = f"""
from imagineer.engine import infotext, lora_file, model_folder, planner, types
info = model_folder.read_model({str(tiny_folder)!r})
model_folder.hash_model(info.path)
lora_file.explain_misfit(lora_file.inspect_lora({str(tiny_lora)!r}), info)
request = types.GenerationRequest("a cat")
planner.plan_batches([planner.sign(request, model_folder.fit_size(info, 512, 720))], lambda _: 8)
infotext.read_parameters("a cat")
infotext.read_recipe(b"")
"""
    assert loaded_by(program) == set()


def test_making_an_engine_loads_nothing_before_it_is_opened(tiny_folder):
    program = f"from imagineer.engine.pipeline import DiffusionEngine\nDiffusionEngine({str(tiny_folder)!r})"
    assert loaded_by(program) == set()


def test_an_open_engine_never_asks_the_hub(tiny_folder):
    """In a fresh process, where every connection is an error."""
    program = f"""
import socket
def refuse(*args): raise AssertionError("the network was asked")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from imagineer.engine.pipeline import DiffusionEngine
from imagineer.engine.types import GenerationRequest
with DiffusionEngine({str(tiny_folder)!r}, device="cpu", threads=1) as engine:
    engine.draw([GenerationRequest("a cat", width=64, height=64, steps=1)])
"""
    assert "torch" in loaded_by(program)
