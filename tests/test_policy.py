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
from imagineer.policy import ADMIN, GATED, METHODS, POLICY, PUBLIC, SHARED, SIGNED_IN, WRITABLE_BY_ALL
from templates_app.sessions import start_session
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
    assert set(POLICY.values()) <= {PUBLIC, GATED, SHARED, SIGNED_IN, ADMIN}


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
        "session": start_session(SECRET, name=SECRET, negative_prompt=SECRET),
        "model": model,
        "lora": lora,
        "templates": templates,
    }


def parameters_of(name, entry, things):
    """(parameters, what is asked for) of an address for every hidden thing that it could be asked about."""
    if not entry.pattern.regex.groups:
        return [({}, "list")]
    if name in ("image", "api:image", "api:image-thumbnail", "api:image-file") or "provenance" in name:
        return [({"pk": image.pk}, state) for state, image in things["images"].items()]
    if name == "media":
        return [
            ({"pk": image.pk, "spec": spec, "name": content_name(image, spec)}, state)
            for state, image in things["images"].items()
            for spec in ("grid", "large", "full")
        ]
    if name in ("album", "api:album", "api:album-download"):
        return [({"pk": things["album"].pk}, "private")]
    if name == "api:run-candidates":
        return [({"pk": things["run"].pk, "position": 1}, "counts")]
    if name.startswith(("run", "api:run", "api:job")):
        return [({"pk": things["run"].pk}, "counts")]  # which are public; its words are not
    if name in ("api:model-detail", "api:lora-detail"):
        return [({"pk": things[name.removeprefix("api:").removesuffix("-detail")].pk}, "private")]
    if name in ("api:session-detail", "api:session-steps"):
        return [({"pk": things["session"].pk}, "counts")]
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


# ---- Every address × every method × everybody

ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE")
READS = ("GET", "HEAD")
EXAMPLES = {"key": "A" * 43, "name": "0" * 24, "spec": "grid"}  # of parameters that are no numbers


def addresses():
    """(name, address, methods that it answers) of every address, asked for something that is not there."""
    for name, entry in routes():
        if isinstance(entry, URLPattern):
            parameters = {group: EXAMPLES.get(group, 987654) for group in entry.pattern.regex.groupindex}
            methods = set(METHODS.get(name, "GET").split())
            yield name, reverse(name, kwargs=parameters), methods | ({"HEAD"} if "GET" in methods else set())


def test_methods_are_declared_of_addresses_that_are_there():
    assert set(METHODS) <= set(POLICY) and set(METHODS) >= WRITABLE_BY_ALL


@pytest.mark.parametrize("who", ["anonymous", "stranger", "admin"])
def test_each_address_answers_each_method_as_declared(who, stranger, ada):
    """To reads: what is not there is 404. To writes: first the sign-in, then the right, then the object, so that the
    first two never tell whether it exists. To what is not declared: 405, once the right to write is there."""
    client = Client()
    if who != "anonymous":
        client.force_login({"stranger": stranger, "admin": ada}[who])
    wrong = []
    for name, address, methods in addresses():
        refusal = {"anonymous": 401, "stranger": 403}.get(who)
        for method in ALL_METHODS:
            status = client.generic(method, address, "{}", content_type="application/json").status_code
            is_api, is_write = name.startswith("api:"), method not in READS
            if is_api and refusal and name not in WRITABLE_BY_ALL and (is_write or POLICY[name] == ADMIN):
                expected = {refusal} if method in methods else {refusal, 405}
            elif method in methods and not is_api and POLICY[name] == ADMIN and who != "admin":
                expected = {302} if who == "anonymous" else {403}  # a person is asked to sign in
            elif method in methods:
                expected = {200, 201, 202, 204, 302, 400, 404, 409, 410} | (
                    {503} if name == "api:health" else set()
                )
            else:
                expected = {405}
            if name == "demo-sign-in" and method == "HEAD":
                expected = {405}  # a program that only looks must not use it up
            if status not in expected:
                wrong.append(f"{who} {method} {address} ({name}): {status} instead of {sorted(expected)}")
            if name in ("account_login", "account_logout") and who != "anonymous":
                client.force_login({"stranger": stranger, "admin": ada}[who])
    assert not wrong, "\n".join(["See POLICY and METHODS in imagineer/policy.py.", *wrong])


def test_no_session_writes_without_a_csrf_token(ada):
    """Neither an admin's nor a visitor's, wherever something can be written."""
    for user in (ada, None):
        client = Client(enforce_csrf_checks=True)
        if user:
            client.force_login(user)
        for name, address, methods in addresses():
            for method in methods - set(READS):
                response = client.generic(method, address, "{}", content_type="application/json")
                is_refused = response.status_code in (
                    (403,) if user or not name.startswith("api:") else (401,)
                )
                assert is_refused, f"{method} {address} ({name}): {response.status_code}"


def test_a_write_never_tells_strangers_whether_its_object_exists(hidden_things, stranger):
    visitor, signed_in = APIClient(), APIClient()
    signed_in.force_authenticate(stranger)
    for name, entry in routes():
        parameters = entry.pattern.regex.groupindex if isinstance(entry, URLPattern) else ()
        if not name.startswith("api:") or list(parameters) != ["pk"]:
            continue
        for method in set(METHODS.get(name, "").split()) - set(READS):
            for pk in (hidden_things["run"].pk, 987654):
                address = reverse(name, kwargs={"pk": pk})
                assert visitor.generic(method, address).status_code == 401, address
                assert signed_in.generic(method, address).status_code == 403, address


def test_admin_addresses_send_the_public_and_strangers_away(stranger):
    visitor, signed_in = Client(), Client()
    signed_in.force_login(stranger)
    for name, entry in routes():
        if POLICY[name] == ADMIN and isinstance(entry, URLResolver):
            for client in (visitor, signed_in):
                response = client.get(reverse(f"{name}:index"))
                assert response.status_code in (302, 403), name
