import pytest
from django.core.exceptions import ValidationError

from gallery.models import DiffusionModel, Lora
from templates_app import ordering
from templates_app.generation_settings import change_settings, current_settings, size_for
from templates_app.models import GenerationSettings
from tests.factories import start_run

pytestmark = pytest.mark.django_db

PAGE = "/admin/templates_app/generationsettings/1/change/"


@pytest.fixture
def desk(client, ada):
    client.force_login(ada)
    return client


@pytest.fixture
def bare_model():
    """A model that recommends nothing."""
    return DiffusionModel.objects.create(
        name="bare", location="/nowhere", native_width=512, native_height=512
    )


def test_settings_that_nobody_has_changed_are_those_of_the_founding_document():
    settings = current_settings()
    assert [(ratio["width"], ratio["height"]) for ratio in settings.aspect_ratios] == [
        (1024, 1024),
        (832, 1216),
        (1216, 832),
    ]
    assert (settings.default_steps, settings.default_cfg_scale) == (30, 7.5)
    assert (settings.default_scheduler, settings.default_batch_size) == ("euler", 4)
    assert not GenerationSettings.objects.exists()


def test_an_order_asks_itself_then_the_template_then_the_model_then_the_settings(bare_model):
    change_settings(default_steps=11, default_cfg_scale=3.5, default_scheduler="ddim")
    of_settings = ordering.start_single("a crab", model="bare").items.get()
    assert (of_settings.steps, of_settings.guidance_scale, of_settings.scheduler) == (11, 3.5, "ddim")
    bare_model.defaults = {"steps": 12}
    bare_model.save()
    assert ordering.start_single("a crab", model="bare").items.get().steps == 12
    assert ordering.start_single("a crab", model="bare", steps=13).items.get().steps == 13


def test_a_running_order_keeps_what_it_was_ordered_with(tiny):
    run = start_run(steps=None)
    before = list(run.items.values_list("steps", "guidance_scale", "scheduler"))
    change_settings(default_steps=99, default_cfg_scale=1.0, default_scheduler="heun")
    assert list(run.items.values_list("steps", "guidance_scale", "scheduler")) == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"default_steps": 0}, "default_steps"),
        ({"default_steps": 151}, "default_steps"),
        ({"default_cfg_scale": -0.1}, "default_cfg_scale"),
        ({"default_cfg_scale": 30.1}, "default_cfg_scale"),
        ({"default_cfg_scale": float("nan")}, "default_cfg_scale"),
        ({"default_scheduler": "magic"}, "default_scheduler"),
        ({"default_batch_size": 0}, "default_batch_size"),
        ({"default_batch_size": 17}, "default_batch_size"),
        ({"aspect_ratios": []}, "aspect_ratios"),
        ({"aspect_ratios": {}}, "aspect_ratios"),
        ({"aspect_ratios": ["wide"]}, "aspect_ratios"),
        ({"aspect_ratios": [{"name": "wide", "width": 2056, "height": 64}]}, "aspect_ratios"),
        ({"aspect_ratios": [{"name": "wide", "width": 64, "height": 63}]}, "aspect_ratios"),
        ({"aspect_ratios": [{"name": "wide", "width": True, "height": 64}]}, "aspect_ratios"),
        ({"aspect_ratios": [{"name": "\n", "width": 64, "height": 64}]}, "aspect_ratios"),
        ({"aspect_ratios": [{"name": "a\u202eb", "width": 64, "height": 64}]}, "aspect_ratios"),
        ({"aspect_ratios": [{"name": "twice", "width": 64, "height": 64}] * 2}, "aspect_ratios"),
        ({"aspect_ratios": [{"name": "x", "width": 64, "height": 64, "path": "/"}]}, "aspect_ratios"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_changed(changes, field, admin_api):
    with pytest.raises(ValidationError) as caught:
        change_settings(**{"default_steps": 5} | changes)
    assert field in caught.value.message_dict
    assert current_settings().default_steps == 30
    if changes.get("default_cfg_scale") != changes.get("default_cfg_scale"):
        return  # not a number is no JSON
    answer = admin_api.put("/api/settings", changes)
    assert (answer.status_code, field in answer.json()["fields"]) == (400, True), answer.json()


@pytest.mark.parametrize(
    "changes",
    [
        {"default_steps": 1, "default_cfg_scale": 0, "default_batch_size": 1},
        {"default_steps": 150, "default_cfg_scale": 30, "default_batch_size": 16},
        {"aspect_ratios": [{"name": "x" * 60, "width": 64, "height": 2048}]},
    ],
)
def test_the_limits_themselves_are_let_in(changes, admin_api):
    answer = admin_api.put("/api/settings", changes)
    assert answer.status_code == 200
    assert changes.items() <= admin_api.get("/api/settings").json().items()


def test_settings_are_the_admins_alone(api, stranger, admin_api):
    assert api.get("/api/settings").status_code == 401
    assert api.put("/api/settings", {"default_steps": 9}).status_code == 401
    api.force_authenticate(stranger)
    assert api.get("/api/settings").status_code == 403
    assert admin_api.put("/api/settings", {"secret": "key"}).json()["fields"] == {
        "secret": ["There is no such key."]
    }
    assert admin_api.put("/api/settings", [1]).status_code == 400


def test_the_settings_page_shows_presets_as_lines_and_saves_them(desk):
    assert desk.get("/admin/templates_app/generationsettings/")["Location"] == PAGE
    page = desk.get(PAGE).content.decode()
    assert "Portrait (2:3), 832 × 1216" in page
    assert "for models that recommend nothing" in page
    form = {
        "aspect_ratios": "Tall, 64x128\n\n Wide, best , 256 × 64",
        "default_steps": 9,
        "default_cfg_scale": 2,
        "default_scheduler": "heun",
        "default_batch_size": 3,
    }
    assert desk.post(PAGE, form).status_code == 302
    assert current_settings().aspect_ratios == [
        {"name": "Tall", "width": 64, "height": 128},
        {"name": "Wide, best", "width": 256, "height": 64},
    ]
    for wrong, words in [("5", "Line 1"), ("Tall, 64x100", "divisible by 8"), ("", "required")]:
        page = desk.post(PAGE, form | {"aspect_ratios": wrong})
        assert words in page.content.decode(), wrong
    assert current_settings().aspect_ratios[0]["name"] == "Tall"


@pytest.mark.parametrize(
    ("native", "limits", "asked", "meant"),
    [
        (1024, {}, (1024, 1024), (1024, 1024)),
        (1024, {}, (832, 1216), (832, 1216)),
        (512, {}, (1024, 1024), (512, 512)),
        (512, {}, (832, 1216), (424, 616)),
        (512, {"size_multiple": 64}, (832, 1216), (448, 640)),
        (1024, {"max_side": 192, "max_pixels": 24576, "size_multiple": 8}, (832, 1216), (128, 184)),
        (None, {}, (1024, 1024), (1024, 1024)),
        (512, {}, (256, 256), (256, 256)),
    ],
)
def test_a_preset_is_scaled_to_what_the_model_draws(native, limits, asked, meant):
    model = DiffusionModel(name="m", native_width=native, native_height=native, limits=limits)
    width, height = size_for(model, *asked)
    assert (width, height) == meant


# ---- What there is to draw with


def test_the_lists_of_models_and_loras_tell_no_path_and_hide_what_is_disabled(api, admin_api, tiny):
    DiffusionModel.objects.create(name="off", location="/secret/place", is_enabled=False)
    Lora.objects.create(name="ink", file="loras/ink.safetensors", sha256="1" * 64, trigger_words=["inked"])
    Lora.objects.create(name="off", file="loras/off.safetensors", sha256="2" * 64, is_enabled=False)
    models = api.get("/api/models").json()
    assert [model["name"] for model in models["models"]] == ["tiny"]
    assert (models["models"][0]["native_width"], models["models"][0]["family"]) == (64, "sd15")
    loras = api.get("/api/loras").json()
    assert [(lora["name"], lora["trigger_words"]) for lora in loras["loras"]] == [("ink", ["inked"])]
    assert "location" not in str(models)
    assert "file" not in str(loras)
    assert {model["name"] for model in admin_api.get("/api/models").json()["models"]} == {"tiny", "off"}
    assert admin_api.get("/api/loras").json()["total"] == 2
    hidden = Lora.objects.get(name="off")
    assert api.get(f"/api/loras/{hidden.pk}").status_code == 404
    assert admin_api.get(f"/api/loras/{hidden.pk}").json()["is_enabled"] is False
    assert admin_api.post("/api/models", {}).status_code == 405
