import io
import json
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagineer.engine.infotext import format_parameters, read_parameters, read_recipe, write_png
from imagineer.engine.lora_file import inspect_lora
from imagineer.engine.recipe import build_recipe
from imagineer.engine.schedulers import SCHEDULERS
from imagineer.engine.types import Generated, GenerationRequest
from tests.imagineer.engine.asking import ask, use

texts = st.text(max_size=200)
names = st.text(min_size=1, max_size=40).filter(lambda name: name.strip() == name)


def picture(prompt="a crown", model="tiny", **changes) -> Generated:
    """A small grey picture with the recipe that a request would have."""
    request = GenerationRequest(prompt, **changes)
    recipe = build_recipe(
        request,
        size=(8, 8),
        model={"name": model, "family": "sd15", "hash": "0123456789abcdef" * 4},
        loras=(),
        backend={"device": "cpu", "dtype": "float32"},
        is_truncated=False,
    )
    return Generated(request, Image.new("RGB", (8, 8), "grey"), 8, 8, recipe)


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        found.append((kind, png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def test_the_same_picture_gives_the_same_bytes(engine):
    first, second = (engine.draw([ask(seed=3)])[0] for _ in range(2))
    assert write_png(first) == write_png(second)


def test_the_png_holds_the_pixels_exactly(engine):
    (drawn,) = engine.draw([ask()])
    assert Image.open(io.BytesIO(write_png(drawn))).tobytes() == drawn.image.tobytes()


def test_the_chunks_are_the_documented_ones_and_none_tells_a_time():
    found = chunks(write_png(picture("Königin")))
    kinds = [kind for kind, _ in found]
    assert [kind for kind in kinds if kind != b"IDAT"] == [b"IHDR", b"tEXt", b"iTXt", b"iTXt", b"IEND"]
    keys = [data.split(b"\0")[0] for kind, data in found if kind in (b"tEXt", b"iTXt")]
    assert keys == [b"parameters", b"imagineer", b"XML:com.adobe.xmp"]
    assert kinds.index(b"iTXt") < kinds.index(b"IDAT")  # readers stop at the pixels


def test_a_prompt_beyond_latin_1_moves_the_parameters_to_an_international_chunk():
    found = chunks(write_png(picture("王冠 👑")))
    assert any(kind == b"iTXt" and data.startswith(b"parameters\0") for kind, data in found)
    assert Image.open(io.BytesIO(write_png(picture("王冠 👑")))).info["parameters"].startswith("王冠 👑")


def test_the_xmp_says_in_iptcs_words_that_an_algorithm_made_it():
    from xml.etree import ElementTree

    xmp = Image.open(io.BytesIO(write_png(picture()))).info["xmp"]
    (said,) = ElementTree.fromstring(xmp).iter(
        "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    )
    assert said.text == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def test_the_parameters_are_those_that_other_programs_read():
    drawn = picture(
        "a crown", negative_prompt="blur", seed=7, steps=25, scheduler="dpm++_2m_karras", guidance_scale=5.5
    )
    prompt, negative, pairs = format_parameters(drawn.recipe).split("\n")
    assert (prompt, negative) == ("a crown", "Negative prompt: blur")
    assert pairs.startswith(
        "Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 7, Size: 8x8, "
        "Model hash: 0123456789, Model: tiny, "
    )


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_has_its_name_in_the_parameters(scheduler):
    read = read_parameters(format_parameters(picture(scheduler=scheduler).recipe))["settings"]
    spec = SCHEDULERS[scheduler]
    assert (read["Sampler"], read["Schedule type"]) == (spec.a1111_sampler, spec.a1111_schedule)


def test_a_loras_name_weight_and_hash_are_in_the_parameters(engine, loras):
    (drawn,) = engine.draw([ask(loras=use(loras["plain"], 0.5))])
    read = read_parameters(Image.open(io.BytesIO(write_png(drawn))).info["parameters"])
    short = inspect_lora(loras["plain"]).autov3[:12]
    assert read["prompt"] == "a red crown <lora:plain:0.5>"
    assert read["settings"]["Lora hashes"] == f"plain: {short}"
    assert json.loads(read["settings"]["Hashes"])["lora:plain"] == short


@settings(deadline=None)
@given(texts | st.text(st.characters(categories=["Cs", "Lu", "Cc"]), max_size=20), texts)
def test_a_recipe_reads_back_exactly(prompt, negative):
    drawn = picture(prompt, negative_prompt=negative)
    assert read_recipe(write_png(drawn)) == drawn.recipe


@settings(deadline=None)
@given(texts, texts, names, st.integers(0, 2**64 - 1), st.floats(0, 30))
def test_parameters_read_back(prompt, negative, model, seed, guidance):
    drawn = picture(prompt, model, negative_prompt=negative, seed=seed, guidance_scale=guidance)
    read = read_parameters(Image.open(io.BytesIO(write_png(drawn))).info["parameters"])
    assert read["settings"]["Seed"] == str(seed)
    assert float(read["settings"]["CFG scale"]) == guidance
    assert read["settings"]["Model"] == model
    if not any(line.startswith("Negative prompt:") for line in f"{prompt}\n{negative}".split("\n")):
        assert read["prompt"] == prompt.strip()
        assert read["negative_prompt"] == negative.strip()


def test_what_other_programs_write_is_read():
    text = (
        "masterpiece, a crown,\nin gold (detailed:1.2) <lora:gold_v2:0.8>\nNegative prompt: blur, text\nwatermark\n"
        "Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 123, Size: 512x768, Model hash: abc, "
        'Model: my "best" one, Lora hashes: "gold_v2: 0a1b, ink: 2c3d", Version: v1.6.0'
    )
    read = read_parameters(text)
    assert read["prompt"] == "masterpiece, a crown,\nin gold (detailed:1.2) <lora:gold_v2:0.8>"
    assert read["negative_prompt"] == "blur, text\nwatermark"
    assert read["settings"]["Lora hashes"] == "gold_v2: 0a1b, ink: 2c3d"
    assert read["settings"]["Model"] == 'my "best" one'
    assert read["settings"]["Size"] == "512x768"


def test_a_text_without_settings_is_a_prompt():
    for text in ("just a prompt, mood: calm", "a\nb", "", "Steps: 1", "\n\n"):
        assert read_parameters(text) == {"prompt": text.strip(), "negative_prompt": "", "settings": {}}


@given(st.text(st.sampled_from('aS:,"\\ \n\t-é王\0') | st.characters(), max_size=300))
def test_no_text_makes_reading_raise(text):
    read = read_parameters("Steps: 1, a: 2, b: 3, " + text)
    assert isinstance(read["prompt"], str)
    assert all(isinstance(value, str) for value in read["settings"].values())


HOSTILE = {
    "blanks": " ",
    "keys without end": "a",
    "keys of keys": "a:",
    "keys and blanks": "a: ",
    "open quotes": 'a:"',
    "escaped quotes": 'a:\\"',
    "quotes behind commas": 'a:",',
    "blanks behind quotes": 'a:""  ',
    "commas": ",",
    "lines": "\n",
    "negative prompts": "Negative prompt:\n",
    "quotes": '"',
    "backslashes": "\\",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(("start", "end"), [("", ""), ("", '"x'), ('Steps: "', "x")])
def test_the_time_of_reading_grows_with_the_text_and_not_with_its_square(piece, start, end):
    """Sixteen times the text: sixteen times the time if linear, 256 times if quadratic."""

    def cost(length):
        text = start + piece * (length // len(piece)) + end
        times = []
        for _ in range(5):
            begun = time.process_time()
            read_parameters(text)
            times.append(time.process_time() - begun)
        return min(times)

    cost(1000)
    assert cost(32_000) < 64 * max(cost(2_000), 5e-6)


@pytest.mark.parametrize(
    "chunk",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "[" * 100_000,
        '{"a":' * 50_000,
        "9" * 10_000,
        '"text"',
        "\0",
        "{}" * 600_000,
    ],
)
def test_a_chunk_that_is_no_recipe_is_none(chunk):
    from PIL.PngImagePlugin import PngInfo

    info, buffer = PngInfo(), io.BytesIO()
    info.add_text("imagineer", chunk)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
    assert read_recipe(buffer.getvalue()) is None
    assert read_recipe(Image.open(buffer)) is None


def test_what_is_no_png_has_no_recipe():
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG")
    for source in (
        b"",
        b"GIF89a",
        jpeg.getvalue(),
        write_png(picture())[:20],
        b"\x89PNG\r\n\x1a\n" + b"\0" * 99,
    ):
        assert read_recipe(source) is None


def test_a_compressed_chunk_of_gigabytes_is_not_unpacked():
    import zlib

    packed = zlib.compress(b"0" * 200_000_000, 9)
    data = b"imagineer\0\0" + packed
    bomb = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    png = write_png(picture())
    without = png[: 8 + 25]  # signature and header
    assert read_recipe(without + bomb + png[8 + 25 :].replace(b"imagineer\0", b"imaginoor\0")) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_to_a_png_makes_reading_raise(data):
    raw = bytearray(write_png(picture("a crown", negative_prompt="blur")))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    assert read_recipe(bytes(raw)) is None or isinstance(read_recipe(bytes(raw)), dict)
