"""Whoever saves a page of the admin writes what they have changed on it; what others decided meanwhile stays."""

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from gallery.ingest import ingest_image
from gallery.models import Album, AlbumImage, DiffusionModel, Image, LibrarySettings, Lora, SharedLink
from gallery.services import add_images, create_album, trash_image
from gallery.sharing import create_shared_link
from imagineer.accounts.models import ApiToken, User
from imagineer.accounts.services import create_api_token
from imagineer.own_changes import CONTESTED, OwnChangesAdmin, OwnChangesForm
from templates_app import authoring
from templates_app.generation_settings import change_settings
from templates_app.models import BatchTemplate, GenerationSettings, PromptTemplate
from tests.factories import make_template
from tests.forms import as_seen
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(client, ada):
    """The browser of somebody who may change everything."""
    User.objects.filter(pk=ada.pk).update(is_superuser=True)
    client.force_login(ada)
    return client


def picture(number=1):
    return ingest_image(png(number), source_type="manual", rating="safe").image


def address(row, view="change"):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{view}", args=[row.pk])


def fresh(row):
    return type(row).objects.get(pk=row.pk)


@contextmanager
def meanwhile(model, value, act):
    """Somebody else acts once the rows with this value have been read; a rollback of ours takes nothing of theirs back."""
    state = {"is_read": False, "is_acting": False}

    def watch(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if state["is_acting"]:
            return result
        is_read = (
            sql.startswith("SELECT") and f'FROM "{model._meta.db_table}"' in sql and value in (params or ())
        )
        if (is_read and not state["is_read"]) or (state["is_read"] and sql.startswith("ROLLBACK TO")):
            state.update(is_read=True, is_acting=True)
            act()
            state["is_acting"] = False
        return result

    with connection.execute_wrapper(watch):
        yield
    assert state["is_read"], "it was read"


@dataclass
class Page:
    row: object
    change: dict  # what is written on it
    others: dict  # what somebody else decides


@pytest.fixture(
    params=[
        SharedLink, ApiToken, User, Group, BatchTemplate, DiffusionModel, Lora, PromptTemplate, GenerationSettings,
        LibrarySettings, Image, Album,
    ],
    ids=lambda model: model.__name__,
)  # fmt: skip
def page(request, ada, stranger):
    match request.param.__name__:
        case "SharedLink":
            link, _key = create_shared_link(image=picture())
            change = {"expires_at_0": "2099-05-01", "expires_at_1": "00:00:00"}
            return Page(link, change, {"revoked_at": timezone.now()})
        case "ApiToken":
            return Page(create_api_token(ada)[0], {"name": "backup"}, {"revoked_at": timezone.now()})
        case "User":
            others = {"is_active": False, "is_staff": True, "password": "!", "email": "new@example.org"}
            return Page(stranger, {"name": "Somebody"}, others)
        case "Group":
            return Page(Group.objects.create(name="Readers"), {"name": "Writers"}, {})
        case "BatchTemplate":
            others = {"name": "Renamed", "description": "Words", "is_archived": True}
            return Page(make_template(), {"style_suffix": "sepia"}, others)
        case "DiffusionModel":
            row = DiffusionModel.objects.create(name="m", location="x")
            return Page(
                row, {"title": "M"}, {"is_enabled": False, "location": "y", "limits": {"max_side": 64}}
            )
        case "Lora":
            row = Lora.objects.create(name="l", file="loras/l", sha256="0", family="sd15")
            return Page(row, {"description": "inky"}, {"is_enabled": False, "trigger_words": ["ink"]})
        case "PromptTemplate":
            row = PromptTemplate.objects.create(name="p", prompt_text="{prompt}, sharp")
            return Page(row, {"is_favorite": "on"}, {"prompt_text": "{prompt}, soft", "category": "Light"})
        case "GenerationSettings":
            ratios = [{"name": "Tall", "width": 64, "height": 128}]
            others = {"default_scheduler": "heun", "aspect_ratios": ratios}
            return Page(change_settings(), {"default_steps": "9"}, others)
        case "LibrarySettings":
            return Page(LibrarySettings.objects.create(pk=1), {"trash_days": "9"}, {})
        case "Image":
            others = {"rating": "explicit", "prompt": "new words", "trashed_at": timezone.now()}
            return Page(picture(), {"filename": "b.png"}, others)
        case "Album":
            return Page(
                create_album(name="a"), {"description": "Words"}, {"name": "b", "is_training_source": True}
            )


def decide(page):
    if page.others:
        type(page.row).objects.filter(pk=page.row.pk).update(**page.others)


def remove(row):
    """As somebody else does, unless it has been done."""
    rows = type(row).objects.filter(pk=row.pk)
    if isinstance(row, BatchTemplate) and rows:
        authoring.delete_template(row)
    rows.delete()


def assert_both(page):
    row = fresh(page.row)
    for name, value in page.others.items():
        assert getattr(row, name) == value, name
    shown = {
        "style_suffix": lambda: row.current.style_suffix,
        "expires_at_0": lambda: str(row.expires_at.date()),
    }
    for name, value in list(page.change.items())[:1]:
        written = shown[name]() if name in shown else getattr(row, name)
        assert written is True or str(written) == value, name


def test_an_old_page_writes_only_what_was_changed_on_it(root, page):
    sent = as_seen(root.get(address(page.row)))
    decide(page)
    assert root.post(address(page.row), sent | page.change).status_code == 302
    assert_both(page)


@pytest.mark.parametrize(
    ("make", "change", "others"),
    [
        (picture, {"person_rating": "safe"}, {"rating": "adult"}),
        (picture, {"prompt": "mine"}, {"prompt": "theirs"}),
        (
            lambda: create_shared_link(image=picture())[0],
            {"expires_at_0": "2099-05-01", "expires_at_1": "00:00:00"},
            {"expires_at": timezone.now()},
        ),
        (lambda: create_album(name="a"), {"is_public": ""}, {"name": "theirs", "is_public": False}),
        (make_template, {"name": "Mine"}, {"name": "Theirs"}),
        (lambda: change_settings(), {"default_steps": "9"}, {"default_steps": 7}),
    ],
    ids=["rating", "prompt", "time", "same", "template", "settings"],
)
def test_of_two_who_change_one_field_the_second_is_told_and_may_insist(root, make, change, others):
    row = make()
    if "rating" in others:
        type(row).objects.filter(pk=row.pk).update(rating="unrated")
    sent = as_seen(root.get(address(row)))
    type(row).objects.filter(pk=row.pk).update(**others)
    mine = {name: value for name, value in (sent | change).items() if value}
    answer = root.post(address(row), mine)
    if change == {"is_public": ""}:  # both of one mind
        assert answer.status_code == 302 and fresh(row).name == "theirs"
        return
    assert answer.status_code == 200 and CONTESTED in answer.content.decode()
    for name, value in others.items():
        assert getattr(fresh(row), name) == value, "nothing was written"
    assert root.post(address(row), as_seen(answer)).status_code == 302
    [name] = others
    assert getattr(fresh(row), name) != others[name]


def test_what_is_decided_while_a_page_is_being_saved_stays(root, page):
    sent = as_seen(root.get(address(page.row)))
    with meanwhile(type(page.row), page.row.pk, lambda: decide(page)):
        assert root.post(address(page.row), sent | page.change).status_code == 302
    assert_both(page)


def test_what_is_deleted_while_its_page_is_being_saved_is_told_as_missing_and_does_not_rise_again(root, page):
    if isinstance(page.row, (GenerationSettings, LibrarySettings)):
        return  # nobody deletes them
    sent = as_seen(root.get(address(page.row)))
    with meanwhile(type(page.row), page.row.pk, lambda: remove(page.row)):
        answer = root.post(address(page.row), sent | page.change, follow=True)
    assert answer.status_code == 200
    assert "deleted" in " ".join(str(message) for message in answer.context["messages"])
    assert not type(page.row).objects.filter(pk=page.row.pk).exists()


def test_a_page_that_nobody_has_touched_writes_nothing(root, page):
    sent, before = as_seen(root.get(address(page.row))), type(page.row).objects.values().get(pk=page.row.pk)
    assert root.post(address(page.row), sent).status_code == 302
    after = type(page.row).objects.values().get(pk=page.row.pk)
    if not isinstance(page.row, (BatchTemplate, Album, GenerationSettings)):  # whose services count each save
        assert after == before


def test_a_change_moves_the_time_of_the_last_one(root):
    row = PromptTemplate.objects.create(name="p", prompt_text="x")
    root.post(address(row), as_seen(root.get(address(row))) | {"name": "q"})
    assert fresh(row).updated_at > row.updated_at


def changeable_pages():
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_active=True)
    for model, page in admin.site._registry.items():
        if page.has_change_permission(request, model()):
            yield model, page, request


@pytest.mark.parametrize(
    ("model", "page", "request_"), list(changeable_pages()), ids=lambda part: getattr(part, "__name__", "")
)
def test_every_page_of_the_admin_with_something_to_change_knows_what_was_seen_on_it(model, page, request_):
    assert isinstance(page, OwnChangesAdmin)
    assert issubclass(page.get_form(request_, model(), change=True), OwnChangesForm)
    assert issubclass(page.get_changelist_form(request_), OwnChangesForm)


# ---- Lists, groups, times and passwords


def test_a_list_writes_only_what_was_changed_in_it(root):
    rows = [PromptTemplate.objects.create(name=name, prompt_text="x") for name in "ab"]
    page = "/admin/templates_app/prompttemplate/"
    sent = as_seen(root.get(page)) | {"_save": "Save"}
    PromptTemplate.objects.filter(name="b").update(is_favorite=True)
    place = next(name for name, value in sent.items() if value == [str(rows[0].pk)]).removesuffix("-id")
    change = {f"{place}-is_favorite": "on"}
    with meanwhile(PromptTemplate, rows[0].pk, lambda: PromptTemplate.objects.update(prompt_text="y")):
        assert root.post(page, sent | change).status_code == 302
    assert set(PromptTemplate.objects.values_list("is_favorite", "prompt_text")) == {(True, "y")}
    rows[0].refresh_from_db()
    with meanwhile(PromptTemplate, rows[0].pk, lambda: remove(rows[0])):
        del sent[f"initial-{place}-is_favorite"]
        answer = root.post(page, sent | {f"initial-{place}-is_favorite": "True"})
    assert answer.status_code == 200
    assert PromptTemplate.objects.get() == rows[1]


def test_the_groups_that_others_gave_or_took_stay_unless_groups_were_changed(root, stranger):
    given, taken, chosen = (Group.objects.create(name=name) for name in ("given", "taken", "chosen"))
    stranger.groups.set([taken])
    sent = as_seen(root.get(address(stranger)))
    stranger.groups.set([given])
    taken.delete()
    assert root.post(address(stranger), sent | {"name": "Somebody"}).status_code == 302
    assert set(stranger.groups.all()) == {given} and fresh(stranger).name == "Somebody"
    sent = as_seen(root.get(address(stranger)))
    with meanwhile(User, stranger.pk, lambda: stranger.groups.clear()):
        root.post(address(stranger), sent | {"name": "Nobody"})
    assert not stranger.groups.exists()
    root.post(address(stranger), as_seen(root.get(address(stranger))) | {"groups": [chosen.pk]})
    assert stranger.groups.get() == chosen


def test_the_rights_that_a_group_got_meanwhile_stay(root):
    group, right = Group.objects.create(name="Readers"), Permission.objects.first()
    sent = as_seen(root.get(address(group)))
    group.permissions.add(right)
    root.post(address(group), sent | {"name": "Writers"})
    assert fresh(group).name == "Writers" and group.permissions.get() == right


def test_what_was_changed_is_still_a_change_when_the_page_comes_back_with_an_error(root, stranger):
    group = Group.objects.create(name="chosen")
    sent = as_seen(root.get(address(stranger))) | {"groups": [group.pk], "name": "Somebody"}
    answer = root.post(address(stranger), sent | {"email": "no address"})
    assert "Enter a valid email address" in answer.content.decode()
    assert root.post(address(stranger), as_seen(answer) | {"email": stranger.email}).status_code == 302
    assert stranger.groups.get() == group and fresh(stranger).name == "Somebody"
    link, _key = create_shared_link(image=picture(), expires_at=timezone.now() + timedelta(days=3))
    answer = root.post(address(link), as_seen(root.get(address(link))) | {"expires_at_0": "2099-13-01"})
    root.post(address(link), as_seen(answer) | {"expires_at_0": "", "expires_at_1": ""})
    assert fresh(link).expires_at is None


def test_what_a_page_shows_of_a_password_is_no_part_of_it(root, stranger):
    text = root.get(address(stranger)).content.decode()
    assert stranger.password not in text and stranger.password.rpartition("$")[2] not in text


def test_a_new_password_brings_no_right_back(root, stranger):
    page = reverse("admin:auth_user_password_change", args=[stranger.pk])
    word = {
        "usable_password": "true",
        "password1": "a passphrase of hers",
        "password2": "a passphrase of hers",
    }
    with meanwhile(User, stranger.pk, lambda: User.objects.filter(pk=stranger.pk).update(is_active=False)):
        assert root.post(page, word).status_code == 302
    assert not fresh(stranger).is_active and fresh(stranger).check_password("a passphrase of hers")
    with meanwhile(User, stranger.pk, lambda: remove(stranger)):
        assert root.post(page, word).status_code == 404


# ---- What is refused


def test_an_untouched_field_of_an_old_page_is_no_mistake(root):
    row = DiffusionModel.objects.create(name="a", location="x")
    sent = as_seen(root.get(address(row)))
    DiffusionModel.objects.update(name="b")
    DiffusionModel.objects.create(name="a", location="x")
    assert root.post(address(row), sent | {"title": "T"}).status_code == 302
    assert (fresh(row).name, fresh(row).title) == ("b", "T")


def test_what_is_changed_is_checked_as_ever(root):
    row = DiffusionModel.objects.create(name="a", location="x")
    DiffusionModel.objects.create(name="b", location="x")
    sent = as_seen(root.get(address(row)))
    for change, words in (
        ({"name": "b"}, "already exists"),
        ({"name": "../b"}, "Write letters"),
        ({"location": ""}, "required"),
        ({"limits": "{"}, "valid JSON"),
    ):
        answer = root.post(address(row), sent | change)
        assert words in answer.content.decode(), change
    assert fresh(row).name == "a"


@pytest.mark.parametrize("model", [DiffusionModel, BatchTemplate])
def test_a_name_that_somebody_else_takes_while_it_is_being_saved_is_told_at_its_field(model, root):
    def take_it():
        if not model.objects.filter(name="b").exists():
            model.objects.create(name="b")

    row = make_template() if model is BatchTemplate else model.objects.create(name="a", location="x")
    sent = as_seen(root.get(address(row)))
    with meanwhile(model, "b", take_it):
        answer = root.post(address(row), sent | {"name": "b"})
    assert answer.status_code == 200 and "name" in answer.context["adminform"].form.errors
    assert fresh(row).name == row.name


def test_a_picture_that_goes_while_it_is_being_made_the_cover_becomes_none(root):
    album, images = create_album(name="a"), [picture(1), picture(2)]
    add_images(album, images)
    sent = as_seen(root.get(address(album)))
    with meanwhile(AlbumImage, images[1].pk, lambda: trash_image(images[1])):
        answer = root.post(address(album), sent | {"cover": images[1].pk})
    assert "Only a picture of the album can be its cover." in answer.content.decode()
    assert (fresh(album).cover, fresh(album).image_count) == (images[0], 1)


def test_a_program_that_shows_nothing_of_what_it_saw_means_all_that_it_sends(root, stranger):
    root.post(address(stranger), {"email": stranger.email, "name": "Somebody"})
    stranger = fresh(stranger)
    assert stranger.name == "Somebody" and not stranger.is_active
