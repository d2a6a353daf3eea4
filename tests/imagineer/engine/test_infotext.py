import io
import json
import time
import zlib
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from imagineer.engine.infotext import read_parameters, read_recipe, write_parameters, write_png
from imagineer.engine.schedulers import SCHEDULERS
from imagineer.engine.types import Generated, GenerationRequest, LoraRef

LORAS = [
    {"name": "Ink & wash: v1.2", "weight": 0.8, "sha256": "a" * 64, "autov3": "b" * 64},
    {"name": "gold", "weight": -1.0, "sha256": "c" * 64, "autov3": "d" * 64},
]


def make_recipe(prompt="a cat", negative_prompt="", **changes) -> dict:
    return {
        "schema": 1,
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "truncated": False,
        "seed": 7,
        "asked_width": 512,
        "asked_height": 720,
        "width": 128,
        "height": 184,
        "steps": 12,
        "guidance_scale": 7.5,
        "scheduler": "dpm++_2m_karras",
        "model": {"name": "starter", "family": "sd15", "hash": "e" * 64},
        "loras": [],
        "backend": {"device": "cpu", "dtype": "float32"},
        "libraries": {"torch": "2.13.0"},
    } | changes


def make_drawn(recipe: dict) -> Generated:
    image = Image.linear_gradient("L").resize((16, 24)).convert("RGB")
    return Generated(GenerationRequest(recipe["prompt"]), image, 16, 24, recipe)


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG file by its own grammar, checksums checked."""
    found, at = [], 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + data) == int.from_bytes(png[at + 8 + length : at + 12 + length])
        found.append((kind, data))
        at += 12 + length
    return found


def test_the_same_picture_and_recipe_give_the_same_bytes():
    recipe = make_recipe(loras=LORAS)
    assert write_png(make_drawn(recipe)) == write_png(make_drawn(dict(reversed(recipe.items()))))
    assert write_png(make_drawn(recipe)) != write_png(make_drawn(make_recipe(seed=8)))


def test_the_picture_itself_is_stored_without_loss():
    drawn = make_drawn(make_recipe())
    assert Image.open(io.BytesIO(write_png(drawn))).tobytes() == drawn.image.tobytes()


def test_a_file_holds_the_text_our_recipe_and_what_made_it_and_nothing_else():
    kinds = [(kind, data.split(b"\0")[0]) for kind, data in chunks(write_png(make_drawn(make_recipe())))]
    named = [(kind, name) for kind, name in kinds if kind in (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"tIME")]
    assert named == [(b"tEXt", b"parameters"), (b"tEXt", b"imagineer"), (b"iTXt", b"XML:com.adobe.xmp")]


def test_a_prompt_beyond_latin_1_is_stored_as_international_text():
    png = write_png(make_drawn(make_recipe("狐 🦊")))
    assert (b"iTXt", b"parameters") in [(kind, data.split(b"\0")[0]) for kind, data in chunks(png)]
    assert Image.open(io.BytesIO(png)).text["parameters"].startswith("狐 🦊\n")


def test_the_xmp_packet_says_that_an_algorithm_made_it():
    packet = Image.open(io.BytesIO(write_png(make_drawn(make_recipe())))).text["XML:com.adobe.xmp"]
    [description] = ElementTree.fromstring(packet.encode()).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    made_by = description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert made_by == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def test_the_text_is_that_of_a1111():
    text = write_parameters(make_recipe("a cat,\nin ink", "dogs", loras=LORAS))
    assert text == (
        "a cat,\nin ink\n<lora:Ink_wash_v1.2:0.8> <lora:gold:-1>\n"
        "Negative prompt: dogs\n"
        "Steps: 12, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 7, Size: 128x184, "
        "Model hash: eeeeeeeeee, Model: starter, RNG: CPU, "
        'Lora hashes: "Ink_wash_v1.2: bbbbbbbbbbbb, gold: dddddddddddd", '
        'Hashes: {"model": "eeeeeeeeee", "lora:Ink_wash_v1.2": "aaaaaaaaaa", "lora:gold": "cccccccccc"}, '
        "Version: Imagineer"
    )


def test_what_is_written_is_read_back():
    found = read_parameters(write_parameters(make_recipe("a cat", "dogs", loras=LORAS)))
    assert found == {
        "prompt": "a cat\n<lora:Ink_wash_v1.2:0.8> <lora:gold:-1>",
        "negative_prompt": "dogs",
        "loras": [{"name": "Ink_wash_v1.2", "weight": 0.8}, {"name": "gold", "weight": -1.0}],
        "steps": 12,
        "sampler": "DPM++ 2M",
        "schedule_type": "Karras",
        "guidance_scale": 7.5,
        "seed": 7,
        "width": 128,
        "height": 184,
        "model": "starter",
        "model_hash": "eeeeeeeeee",
        "lora_hashes": {"Ink_wash_v1.2": "bbbbbbbbbbbb", "gold": "dddddddddddd"},
        "hashes": {"model": "eeeeeeeeee", "lora:Ink_wash_v1.2": "aaaaaaaaaa", "lora:gold": "cccccccccc"},
        "version": "Imagineer",
        "extra": {"RNG": "CPU"},
    }


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_has_a_name_that_a1111_knows(scheduler):
    found = read_parameters(write_parameters(make_recipe(scheduler=scheduler)))
    assert (found["sampler"], found["schedule_type"]) == (
        SCHEDULERS[scheduler].a1111_sampler,
        SCHEDULERS[scheduler].a1111_schedule,
    )


def as_a1111_reads(prompt: str) -> str:
    """What the text format can carry: no space around lines, no NUL, no line that begins a negative prompt."""
    text = prompt.encode("utf-8", "replace").decode().replace("\0", "")
    lines = (line.strip() for line in text.strip().split("\n"))
    mark = "Negative prompt:"
    return "\n".join(
        f"Negative prompt :{line.removeprefix(mark)}" if line.startswith(mark) else line for line in lines
    )


texts = st.text(max_size=300) | st.lists(
    st.sampled_from(
        [
            "Negative prompt:",
            "Steps: 1, Sampler: x, Seed: 2",
            "\n",
            '"',
            ":",
            ",",
            "{",
            "}",
            "\\",
            "🦊",
            " ",
            "a",
        ]
    ),
    max_size=20,
).map("".join)


@given(prompt=texts, negative_prompt=texts, seed=st.integers(0, 2**31 - 1), model=st.text(max_size=50))
@example("a", "b", 7, "\ud800\0\n")
@example("Negative prompt: x\nSteps: 1, Sampler: y, Seed: 2, Size: 1x1", "Negative prompt:", 7, "a, b: c")
@example("\ud800\0", "\r\n\x85\u2028", 7, '"\\"')
def test_no_prompt_can_pose_as_anything_else(prompt, negative_prompt, seed, model):
    recipe = make_recipe(
        prompt, negative_prompt, seed=seed, model={"name": model, "family": "sd15", "hash": "e" * 64}
    )
    png = write_png(make_drawn(recipe))
    assert read_recipe(png) == recipe
    found = read_parameters(Image.open(io.BytesIO(png)).text["parameters"])
    assert found["prompt"] == as_a1111_reads(prompt)
    assert found["negative_prompt"] == as_a1111_reads(negative_prompt)
    assert (found["seed"], found["steps"], found["width"], found["height"]) == (seed, 12, 128, 184)
    assert found["version"] == "Imagineer"


def test_a_drawn_picture_carries_the_recipe_that_draws_it_again(engine, tiny_lora, request_for):
    request = request_for("füchse", loras=(LoraRef("ink", str(tiny_lora), 0.5),), seed=3)
    png = write_png(engine.draw([request])[0])
    recipe = read_recipe(png)
    fields = ("prompt", "negative_prompt", "seed", "steps", "guidance_scale", "scheduler")
    again = GenerationRequest(
        **{field: recipe[field] for field in fields},
        width=recipe["asked_width"],
        height=recipe["asked_height"],
    )
    [entry] = recipe["loras"]
    again = replace(again, loras=(LoraRef("ink", str(tiny_lora), entry["weight"], entry["sha256"]),))
    assert write_png(engine.draw([again])[0]) == png


# ---- Texts of other programs, and of nobody's


def test_a_text_of_a1111_itself_is_read():
    found = read_parameters(
        "masterpiece, <lora:ink-v2:0.65>, (fox:1.2)\n"
        "Negative prompt: EasyNegative, blurry\nsecond line\n"
        "Steps: 28, Sampler: Euler a, CFG scale: 7, Seed: 1234567890, Size: 512x768, Model hash: 6ce0161689, "
        "Model: v1-5-pruned-emaonly, VAE hash: 735e4c3a44, VAE: vae.safetensors, Denoising strength: 0.45, "
        'Clip skip: 2, Hires prompt: "a, b: c", Lora hashes: "ink-v2: 1a2b3c4d5e6f", Version: v1.9.4'
    )
    assert found["prompt"] == "masterpiece, <lora:ink-v2:0.65>, (fox:1.2)"
    assert found["negative_prompt"] == "EasyNegative, blurry\nsecond line"
    assert found["loras"] == [{"name": "ink-v2", "weight": 0.65}]
    assert (found["seed"], found["clip_skip"], found["denoising_strength"]) == (1234567890, 2, 0.45)
    assert found["extra"] == {"VAE hash": "735e4c3a44", "Hires prompt": "a, b: c"}


def test_a_text_without_settings_is_all_prompt():
    found = read_parameters("a fox\nSteps: many, of them")
    assert found["prompt"] == "a fox\nSteps: many, of them"
    assert "steps" not in found


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("Steps: ٣", "steps"),
        ("Steps: 1e9", "steps"),
        ("Seed: " + "9" * 5000, "seed"),
        ("CFG scale: nan", "guidance_scale"),
        ("Size: 0x", "width"),
        ("Size: 99999999x1", "width"),
        ("Hashes: [1]", "hashes"),
        ('Steps: {"a": 1}', "steps"),
    ],
)
def test_a_setting_that_is_no_number_or_size_is_left_as_text(field, key):
    found = read_parameters(f"a\nSampler: x, Model: y, Version: z, {field}")
    assert key not in found or isinstance(found[key], int | float)
    assert found["version"] == "z"


HOSTILE = [
    "a" * 10**6,
    "a:" * 5 * 10**5,
    "a," * 10**5,
    ' "' * 10**5,
    'a: "' * 10**5,
    "a: [" * 10**5,
    "[" * 10**6,
]
HOSTILE += [
    "<lora:" * 10**5,
    "<lora:a:" + "1" * 10**6,
    "\n" * 10**6,
    "Steps: 1, " * 10**5,
    " " * 10**6 + ":",
    "-" * 10**6,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_read_in_linear_time(text):
    """A pattern that backtracks runs into the timeout."""
    assert read_parameters(text)["negative_prompt"] == ""


@pytest.mark.parametrize(
    "piece", [",", "a,", "a:", "a: [0,", 'a: "', 'a: {"b": "', ' "', ": ,", "<lora:a:1", "\n", " "]
)
@pytest.mark.parametrize("end", ["", ":", '"x'])
def test_sixteen_times_the_text_takes_no_hundred_times_as_long(piece, end):
    """Linear is 16 times, quadratic 256; least of several, since others share the processor."""

    def cost(length):
        text, times = piece * (length // len(piece)) + end, []
        for _ in range(5):
            begun = time.process_time()
            read_parameters(text)
            times.append(time.process_time() - begun)
        return min(times)

    assert cost(96_000) < 64 * max(cost(6_000), 1e-5)


@given(st.text(max_size=500) | st.text(alphabet='aS:,"{}[]\\\n <>lora0.', max_size=500))
def test_any_text_is_read_into_the_same_shape(text):
    found = read_parameters(text)
    assert {"prompt", "negative_prompt", "loras", "extra"} <= found.keys()
    json.dumps(found)


@pytest.mark.parametrize(
    "recipe",
    [
        "",
        "[]",
        "null",
        '{"schema": 2}',
        '{"schema": true}',
        '{"schema": "1"}',
        '{"schema": NaN}',
        "[" * 90_000,
        "x" * 200_000,
    ],
)
def test_a_chunk_that_is_no_recipe_of_ours_is_none(recipe):
    info = PngImagePlugin.PngInfo()
    info.add_text("imagineer", recipe)
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG", pnginfo=info)
    assert read_recipe(file.getvalue()) is None


def test_files_without_a_recipe_or_that_are_no_png_have_none():
    plain, jpeg = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (1, 1)).save(plain, "PNG")
    Image.new("RGB", (1, 1)).save(jpeg, "JPEG")
    png = write_png(make_drawn(make_recipe()))
    bomb = (
        png[:16]
        + (2**30).to_bytes(4) * 2
        + png[24:29]
        + zlib.crc32(png[12:16] + (2**30).to_bytes(4) * 2 + png[24:29]).to_bytes(4)
        + png[33:]
    )
    for source in (b"", b"\x89PNG\r\n\x1a\n", plain.getvalue(), jpeg.getvalue(), png[:60], bomb):
        assert read_recipe(source) is None


def test_a_text_that_unpacks_to_hundreds_of_megabytes_is_not_unpacked():
    packed = b"imagineer\0\0" + zlib.compress(b'{"schema":1,"a":"' + b" " * 300_000_000 + b'"}')
    chunk = len(packed).to_bytes(4) + b"zTXt" + packed + zlib.crc32(b"zTXt" + packed).to_bytes(4)
    png = write_png(make_drawn(make_recipe()))
    assert read_recipe(png[:33] + chunk + png[33:]) is None


@given(at=st.integers(0, 3000), value=st.integers(0, 255))
def test_a_damaged_file_gives_a_recipe_or_none(at, value):
    png = bytearray(write_png(make_drawn(make_recipe())))
    png[at % len(png)] = value
    recipe = read_recipe(bytes(png))
    assert recipe is None or recipe["schema"] == 1
