"""The recipe inside a PNG: for ourselves in full, for other programs in the form that A1111 gave it.

Three chunks: ``parameters`` (the A1111 layout, read by most tools), ``imagineer`` (our recipe as JSON) and an XMP packet
that says, in IPTC's words, that a trained algorithm made the picture. Everything read back is hostile input.
"""

import io
import json
import re
from collections.abc import Iterator

from PIL import Image, PngImagePlugin

from imagineer.engine.schedulers import SCHEDULERS
from imagineer.engine.types import Generated

COMPRESSION = 2  # of 9; twice as fast as the default and about a tenth larger
MAX_TEXT = 1_000_000  # characters of a chunk that are looked at
RECIPE_CHUNK = "imagineer"
XMP_CHUNK = "XML:com.adobe.xmp"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
# One `Key: value` of the last line; a value in quotes is JSON. Matched from comma to comma and without going back, so
# that the time is linear in the text: a quote that opens a value ends whatever an earlier one left open.
PAIR = re.compile(r'\s*+(\w[\w /+-]{0,60}+):\s*+("(?:\\.|[^"\\])*+"(?=\s*+(?:,|$))|[^,]*+)\s*+(?:,|$)')


def write_png(drawn: Generated) -> bytes:
    """PNG bytes that depend on the picture and its recipe alone."""
    info = PngImagePlugin.PngInfo()
    # A lone surrogate, which JSON may bring along, cannot be encoded; our own chunk keeps it, escaped.
    parameters = format_parameters(drawn.recipe).encode("utf-8", "replace").decode()
    try:
        parameters.encode("latin-1")
        info.add_text("parameters", parameters)
    except UnicodeEncodeError:
        info.add_itxt("parameters", parameters)
    info.add_itxt(RECIPE_CHUNK, json.dumps(drawn.recipe, sort_keys=True))
    info.add_itxt(XMP_CHUNK, format_xmp())
    buffer = io.BytesIO()
    drawn.image.save(buffer, "PNG", pnginfo=info, compress_level=COMPRESSION)
    return buffer.getvalue()


def format_parameters(recipe: dict) -> str:
    """The recipe as A1111 writes it: prompt, negative prompt, one line of pairs."""
    spec = SCHEDULERS[recipe["scheduler"]]
    model, loras = recipe["model"], recipe["loras"]
    hashes = {"model": model["hash"][:10]} | {f"lora:{lora['name']}": lora["autov3"][:12] for lora in loras}
    pairs = {
        "Steps": recipe["steps"],
        "Sampler": spec.a1111_sampler,
        "Schedule type": spec.a1111_schedule,
        "CFG scale": recipe["guidance_scale"],
        "Seed": recipe["seed"],
        "Size": f"{recipe['width']}x{recipe['height']}",
        "Model hash": model["hash"][:10],
        "Model": model["name"],
        "RNG": "CPU",
        "Lora hashes": ", ".join(f"{lora['name']}: {lora['autov3'][:12]}" for lora in loras),
        "Hashes": json.dumps(hashes),
        "Version": "Imagineer",
    }
    uses = "".join(f" <lora:{lora['name']}:{lora['weight']:g}>" for lora in loras)
    lines = [recipe["prompt"] + uses]
    if recipe["negative_prompt"]:
        lines.append(f"Negative prompt: {recipe['negative_prompt']}")
    lines.append(", ".join(f"{key}: {quote(value)}" for key, value in pairs.items() if value != ""))
    return "\n".join(lines)


def quote(value) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if set(text) & set(',:\n"') else text


def read_parameters(text: str) -> dict:
    """``{"prompt", "negative_prompt", "settings": {key: text}}`` of an A1111 text; whatever it is, nothing is raised.

    As there, the last line holds settings only if it has at least three pairs. A prompt that itself has a line
    beginning with "Negative prompt:" reads back as two; our own chunk keeps it exactly.
    """
    lines = text[:MAX_TEXT].strip("\n").split("\n")
    settings = dict(_find_pairs(lines[-1]))
    if len(settings) < 3 or "Steps" not in settings:
        settings = {}
    else:
        lines.pop()
    prompt, negative = [], None
    for line in lines:
        if negative is None and line.startswith("Negative prompt:"):
            negative = [line.removeprefix("Negative prompt:").lstrip()]
        else:
            (prompt if negative is None else negative).append(line)
    return {
        "prompt": "\n".join(prompt).strip(),
        "negative_prompt": "\n".join(negative or []).strip(),
        "settings": settings,
    }


def _find_pairs(line: str) -> Iterator[tuple[str, str]]:
    at = 0
    while 0 <= at < len(line):
        if match := PAIR.match(line, at):
            yield match[1], unquote(match[2])
            at = match.end()
        else:
            at = line.find(",", at) + 1 or len(line)


def unquote(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            return value.strip('"')
    return value.strip()


def read_recipe(source: bytes | Image.Image) -> dict | None:
    """The recipe in our own chunk, or None if there is none that can be read."""
    try:
        picture = Image.open(io.BytesIO(source), formats=["PNG"]) if isinstance(source, bytes) else source
        text = picture.info.get(RECIPE_CHUNK, "")
        recipe = json.loads(text) if isinstance(text, str) and 0 < len(text) <= MAX_TEXT else None
    except (OSError, ValueError, RecursionError, Image.DecompressionBombError):
        return None
    return recipe if isinstance(recipe, dict) else None


def format_xmp() -> str:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    )
