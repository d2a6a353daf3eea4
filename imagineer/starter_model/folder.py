"""Write the finished pipeline as the folder that is committed."""

import json
import shutil
from pathlib import Path

import torch

from .styles import COLOURS, STYLES
from .subjects import SUBJECTS

_KINDS = {"zodiac": "zodiac", "cards": "playing cards", "tarot": "tarot", "everyday": "everyday things"}
MODEL_JSON = {
    "name": "starter",
    "title": "Imagineer Starter",
    "max_pixels": 128 * 192,
    "max_side": 192,
    "size_multiple": 8,
    "defaults": {"steps": 12, "guidance_scale": 2.0, "scheduler": "dpm++_2m"},
    "vocabulary": {
        **{
            kind: [subject.name for subject in SUBJECTS if subject.group == group]
            for group, kind in _KINDS.items()
        },
        "colours": list(COLOURS),
        "backgrounds": [f"{colour} background" for colour in COLOURS],
        "styles": list(STYLES),
    },
}


def write_folder(pipeline, folder: Path) -> None:
    """fp16 safetensors in ordinary diffusers layout, and `imagineer.json`; replaces `folder` in one step."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(part)
    for name in ("text_encoder", "unet", "vae"):
        path = part / name / "config.json"
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)  # a path of the machine that built it
        if "dtype" in config:
            config["dtype"] = "float32"  # transformers would load fp16 by default, beside a UNet in fp32
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (part / "imagineer.json").write_text(json.dumps(MODEL_JSON, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
