"""Templates are written by several at once, and nothing is lost."""

from threading import Barrier, Thread

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from imagineer.jobs.models import Job
from templates_app import authoring, ordering
from templates_app.models import BatchTemplate
from tests.factories import make_template, start_run

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts):
    """What each act did or raised, all begun together in threads of their own."""
    together, outcomes = Barrier(len(acts)), []

    def run(act):
        together.wait(10)
        try:
            outcomes.append(act())
        except (ValidationError, authoring.TemplateConflict) as error:
            outcomes.append(error)
        finally:
            connection.close()

    threads = [Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(acts), "an act ended with an error of another kind"
    return outcomes


def test_edits_at_one_time_become_versions_one_after_the_other():
    template = make_template()
    edits = [
        lambda word=word: authoring.save_template(template=template, base_prompt=word) for word in "abcd"
    ]
    at_once(*edits)
    versions = list(template.versions.order_by("number"))
    assert [version.number for version in versions] == [1, 2, 3, 4, 5]
    assert {version.base_prompt for version in versions[1:]} == set("abcd")
    assert BatchTemplate.objects.get().current == versions[-1]


def test_of_two_edits_of_one_version_the_second_is_told():
    template = make_template()
    edits = [
        lambda word=word: authoring.save_template(template=template, based_on=1, base_prompt=word)
        for word in "ab"
    ]
    outcomes = at_once(*edits)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["BatchTemplate", "TemplateConflict"]
    assert template.versions.count() == 2


def test_of_two_templates_of_one_name_one_is_made():
    outcomes = at_once(make_template, make_template)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["BatchTemplate", "ValidationError"]
    assert BatchTemplate.objects.count() == 1


def test_an_edit_of_what_is_being_deleted_is_told_or_comes_first():
    template = make_template()
    at_once(
        lambda: authoring.delete_template(template),
        lambda: authoring.save_template(template=template, base_prompt="changed"),
    )
    assert not BatchTemplate.objects.exists()


def test_a_wrong_edit_changes_nothing_at_all():
    template = make_template()
    with pytest.raises(ValidationError):
        authoring.save_template(template=template, name="Renamed", is_archived=True, width=100)
    template = BatchTemplate.objects.get()
    assert (template.name, template.is_archived, template.current.number) == ("Skies", False, 1)


def test_a_template_that_is_being_ordered_from_is_not_deleted(beside):
    template = make_template()
    with beside(lambda: authoring.delete_template(template), at='INSERT INTO "jobs_job"') as answers:
        run = start_run(template)
    assert isinstance(answers[0], authoring.TemplateConflict)
    assert BatchTemplate.objects.get() == run.template_version.template


def test_an_order_from_what_was_deleted_since_it_was_looked_at_is_told():
    order = ordering.plan_run(template := make_template(), album_name="Skies", user_theme="neon")
    authoring.delete_template(template)
    with pytest.raises(ValidationError, match="deleted meanwhile"):
        ordering.submit(order)
    assert not Job.objects.exists()
