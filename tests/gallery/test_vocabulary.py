"""The words that a model knows, as the pages with a prompt show them."""

import json
import re
import shutil
from pathlib import Path

import pytest
from django.template import Context, Template

from gallery.weights import register_model, vocabularies
from tests.factories import make_template

pytestmark = pytest.mark.django_db


def _page() -> str:
    return Template('{% load vocabulary %}{% vocabulary "user_theme" %}').render(Context())


def _words(page: str) -> dict[str, list[str]]:
    lists = re.findall(r'<ul data-kind="([^"]*)"[^>]*>(.*?)</ul>', page)
    return {kind: re.findall(r"<span data-word>([^<]*)</span>", items) for kind, items in lists}


@pytest.fixture
def known_words(tiny_folder, tmp_path):
    """Make a model folder that declares these words."""

    def make(name: str, vocabulary: dict):
        folder = tmp_path / name
        shutil.copytree(tiny_folder, folder)
        (folder / "imagineer.json").write_text(json.dumps({"vocabulary": vocabulary}))
        return register_model(folder, name=name)

    return make


def test_the_starter_models_subjects_colours_and_styles_are_shown():
    shown = _words(_page())
    assert "ram" in shown["Zodiac"]
    assert "crown" in shown["Playing cards"]
    assert "blue background" in shown["Backgrounds"]
    assert "neon" in shown["Styles"]


def test_the_default_model_comes_first_and_only_its_words_are_shown_without_a_script(known_words):
    known_words("a-small-one", {"subjects": ["fox"]})
    models = re.findall(r'<details [^>]*data-name="([^"]+)"([^>]*)>', _page())
    assert [(name, "hidden" in rest) for name, rest in models] == [("starter", False), ("a-small-one", True)]


def test_a_model_that_declares_nothing_or_is_disabled_shows_no_words(known_words):
    known_words("silent", {})
    hidden = known_words("hidden", {"subjects": ["fox"]})
    hidden.is_enabled = False
    hidden.save()
    assert [model.name for model, _, _ in vocabularies()] == ["starter"]


def test_a_word_is_text_whatever_the_models_author_wrote(known_words):
    known_words("rude", {"<b>": ["<script>alert(1)</script>"]})
    page = _page()
    assert "<script>" not in page
    assert _words(page)["&lt;b&gt;"] == ["&lt;script&gt;alert(1)&lt;/script&gt;"]


def test_a_model_whose_folder_has_gone_or_is_malformed_does_not_break_the_page(known_words):
    gone, broken = known_words("gone", {"subjects": ["fox"]}), known_words("broken", {"subjects": ["fox"]})
    shutil.rmtree(gone.location)
    (Path(broken.location) / "imagineer.json").write_text('{"vocabulary": ["fox"]}')
    assert [model.name for model, _, _ in vocabularies()] == ["starter"]


def test_the_page_of_a_template_offers_the_styles_to_whoever_may_order(client, ada):
    page = f"/templates/{make_template().pk}"
    assert "user_theme=" not in client.get(page).content.decode()
    client.force_login(ada)
    address = re.search(r'href="([^"]*user_theme=stained%20glass)"', client.get(page).content.decode())[1]
    assert 'value="stained glass"' in client.get(address.replace("&amp;", "&")).content.decode()
