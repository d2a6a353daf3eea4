"""Where the weights of models and LoRAs lie. Rows name them; this module finds the files."""

import re
from pathlib import Path

from django.conf import settings

from gallery.models import DiffusionModel, Lora
from gallery.storage import local_path
from imagineer.engine.model_folder import ModelInfo, is_folder, read_model, read_vocabulary
from imagineer.engine.types import ModelError
from imagineer.starter_model import STARTER_MODEL_PATH

STARTER = "starter"


def find_model(name: str = "") -> DiffusionModel | None:
    """The enabled model of this name; empty: the one that IMAGINEER_MODEL names. None if there is none.

    The starter model, folders in IMAGINEER_MODELS_DIR and the folder that IMAGINEER_MODEL names get their rows
    when they are first asked for.

    :raises ModelError: such a folder is there, and cannot be used.
    """
    wanted = name or settings.MODEL
    folder = _folder_of(wanted, may_be_path=not name)
    model = DiffusionModel.objects.filter(name=_name_of(wanted)).first()
    if model is None and folder is not None:
        model = register_model(folder, name=_name_of(wanted))
    return model if model is not None and model.is_enabled else None


def register_model(folder: Path, *, name: str) -> DiffusionModel:
    """The row of a model folder, made or brought up to date with what the folder says of itself.

    :raises ModelError: the folder is no whole diffusers model.
    """
    info = read_model(folder)
    model, _ = DiffusionModel.objects.update_or_create(
        name=name, defaults={"location": _location_of(folder), **_describe(info)}
    )
    return model


def model_path(model: DiffusionModel) -> Path:
    """The folder of a model. The starter's place follows the program, wherever that is installed."""
    return STARTER_MODEL_PATH if model.location == STARTER else Path(model.location)


def vocabularies() -> list[tuple[DiffusionModel, bool, dict[str, list[str]]]]:
    """Enabled models that declare which words they know: the model, whether it is the default one, its words by kind.

    The default model comes first. A folder that cannot be read has no words; drawing with it says why.
    """
    try:
        default = find_model()
    except ModelError:
        default = None
    models = [model for model in DiffusionModel.objects.enabled() if model != default]
    told = [
        (model, model == default, read_vocabulary(model_path(model))) for model in [default, *models] if model
    ]
    return [(model, is_default, words) for model, is_default, words in told if words]


def lora_path(lora: Lora) -> str:
    return local_path(lora.file.name)


def _describe(info: ModelInfo) -> dict:
    limits = {"max_pixels": info.max_pixels, "max_side": info.max_side, "size_multiple": info.size_multiple}
    return {
        "title": info.title,
        "family": info.family,
        "native_width": info.native_size,
        "native_height": info.native_size,
        "limits": limits,
        "defaults": info.defaults,
    }


def _folder_of(wanted: str, *, may_be_path: bool) -> Path | None:
    """A path is taken from the settings alone: what a visitor writes is a name and nothing else."""
    if wanted == STARTER:
        return STARTER_MODEL_PATH
    if "/" in wanted or wanted.startswith("~"):
        if not may_be_path:
            return None
        folder = Path(wanted).expanduser()
        if not is_folder(folder):
            raise ModelError(
                f"IMAGINEER_MODEL names {folder}, and there is no such folder. Correct the setting."
            )
        return folder
    if not re.fullmatch(r"[\w-][\w.-]{0,99}", wanted):
        return None
    folder = settings.MODELS_DIR / wanted
    return folder if is_folder(folder) else None


def _location_of(folder: Path) -> str:
    return STARTER if folder == STARTER_MODEL_PATH else str(folder.absolute())


def _name_of(wanted: str) -> str:
    """The name of a row for what IMAGINEER_MODEL or a user wrote."""
    return (
        re.sub(r"[^A-Za-z0-9_.-]", "_", wanted.rstrip("/").rpartition("/")[2]).lstrip(".-")[:100] or STARTER
    )
