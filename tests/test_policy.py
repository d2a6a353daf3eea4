"""Every address declares who may ask for it, and keeps to it."""

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.test import APIClient

from gallery.addresses import content_name
from gallery.models import DiffusionModel, Lora
from gallery.renditions import open_rendition
from gallery.services import add_images, create_album, retract_image, trash_image
from imagineer import errors
from imagineer.policy import ADMIN, GATED, POLICY, PUBLIC, SIGNED_IN
from tests.factories import make_template, start_run


def routes(resolver=None, namespaces=()):
    """(name with its namespace, pattern) of every address; a subtree that is declared as one counts once."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            inner = (*namespaces, entry.namespace) if entry.namespace else namespaces
            if POLICY.get(":".join(inner)) == ADMIN:
                yield ":".join(inner), entry
            else:
                yield from routes(entry, inner)
        elif entry.callback is not errors.not_found:
            yield ":".join((*namespaces, entry.name or f"nameless {entry.pattern}")), entry


def gated():
    return [(name, entry) for name, entry in routes() if POLICY.get(name) == GATED]


def test_every_address_declares_its_policy():
    undeclared = sorted(name for name, _ in routes() if name not in POLICY)
    assert not undeclared, f"Declare in imagineer/policy.py who may ask for: {undeclared}"


def test_every_declared_address_exists_and_has_a_known_policy():
    assert set(POLICY) == {name for name, _ in routes()}
    assert set(POLICY.values()) <= {PUBLIC, GATED, SIGNED_IN, ADMIN}


SECRET = "a-secret-prompt"


@pytest.fixture
def hidden_things(db, request):
    """What the public may not see: for each kind of parameter the objects, with what is refused by 404 or 410."""
    from gallery.ingest import ingest_image
    from tests.gallery.pictures import png

    shown, hidden = create_album(name="Shown"), create_album(name=SECRET, is_public=False)
    images = {}
    for number, state in enumerate(("private", "trashed", "retracted", "adult", "unrated")):
        rating = {"adult": "adult", "unrated": None}.get(state, "safe")
        image = ingest_image(
            png(number), source_type="manual", filename=SECRET, prompt=SECRET, rating=rating
        ).image
        add_images(hidden if state == "private" else shown, [image])
        {"trashed": trash_image, "retracted": retract_image}.get(state, lambda image: None)(image)
        images[state] = image
    run = start_run(is_public=False, album_name=SECRET, user_theme=SECRET)
    model = DiffusionModel.objects.create(name=SECRET, location=f"/{SECRET}", is_enabled=False)
    lora = Lora.objects.create(name=SECRET, file=f"loras/{SECRET}", sha256="0" * 64, is_enabled=False)
    archived = make_template(name=SECRET, base_prompt=SECRET, is_archived=True)
    explicit = make_template(name=f"{SECRET} 2", base_prompt=SECRET, rating="explicit")
    templates = [archived, explicit]
    return {
        "images": images,
        "album": hidden,
        "run": run,
        "model": model,
        "lora": lora,
        "templates": templates,
    }


def parameters_of(name, entry, things):
    """(parameters, what is asked for) of an address for every hidden thing that it could be asked about."""
    if not entry.pattern.regex.groups:
        return [({}, "list")]
    if name in ("image", "api:image", "api:image-thumbnail", "api:image-file"):
        return [({"pk": image.pk}, state) for state, image in things["images"].items()]
    if name == "media":
        return [
            ({"pk": image.pk, "spec": spec, "name": content_name(image, spec)}, state)
            for state, image in things["images"].items()
            for spec in ("grid", "large", "full")
        ]
    if name in ("album", "api:album", "api:album-download"):
        return [({"pk": things["album"].pk}, "private")]
    if name.startswith(("run", "api:run")):
        return [({"pk": things["run"].pk}, "counts")]  # which are public; its words are not
    if name in ("api:model-detail", "api:lora-detail"):
        return [({"pk": things[name.removeprefix("api:").removesuffix("-detail")].pk}, "private")]
    if name == "api:template-runs":
        of_run = ({"pk": things["run"].template_version.template_id}, "counts")
        return [of_run, *(({"pk": template.pk}, "private") for template in things["templates"])]
    if name in ("template", "api:template-detail"):
        return [({"pk": template.pk}, "private") for template in things["templates"]]
    raise AssertionError(f"tests/test_policy.py does not know what to ask {name} for; tell it here.")


def test_every_gated_address_keeps_hidden_things_from_the_public(hidden_things):
    client = Client()
    clear = {
        open_rendition(image, name).read()
        for image in hidden_things["images"].values()
        for name in ("grid", "large", "full")
    }
    for name, entry in gated():
        assert isinstance(entry, URLPattern)
        for parameters, state in parameters_of(name, entry, hidden_things):
            address = reverse(name, kwargs=parameters)
            response = client.get(address)
            sent = b"".join(response) if response.streaming else response.content
            if state in ("private", "trashed"):
                assert response.status_code == 404, address
            elif state == "retracted":
                assert response.status_code == 410, address
            assert SECRET.encode() not in sent and sent not in clear, address


def test_what_only_admins_may_do_asks_for_the_sign_in_and_then_for_the_right(hidden_things, stranger):
    visitor, signed_in = APIClient(), APIClient()
    signed_in.force_authenticate(stranger)
    addresses = [
        (name, entry) for name, entry in routes() if POLICY[name] == ADMIN and isinstance(entry, URLPattern)
    ]
    assert addresses
    for name, entry in addresses:
        for pk in (hidden_things["run"].pk, 999):
            address = reverse(name, kwargs=dict.fromkeys(entry.pattern.regex.groupindex, pk))
            assert visitor.post(address).status_code == 401, address
            assert signed_in.post(address).status_code == 403, address


def test_admin_addresses_send_the_public_and_strangers_away(stranger):
    visitor, signed_in = Client(), Client()
    signed_in.force_login(stranger)
    for name, entry in routes():
        if POLICY[name] == ADMIN and isinstance(entry, URLResolver):
            for client in (visitor, signed_in):
                response = client.get(reverse(f"{name}:index"))
                assert response.status_code in (302, 403), name
