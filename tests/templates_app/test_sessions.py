"""Sessions as the services keep them: the tree, the choice, what is kept, what goes."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Thread

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from gallery.models import Album, Image, SourceType
from gallery.services import add_images, create_album, delete_album, restore_image, trash_image
from gallery.trash import purge_from_trash
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from imagineer.jobs.reaper import tick
from templates_app import ordering, session_sweep, sessions
from templates_app.generation_settings import change_settings
from templates_app.models import GenerationSession, GenerationStep, RunItem
from templates_app.sessions import SessionConflict
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(db):
    from gallery.ingest import ingest_image

    return ingest_image(
        png(1, size=(96, 64)), source_type="manual", filename="source.png", rating="safe"
    ).image


def begin(prompt="a crab", **options):
    options = {"steps": 1, "variants": 2, "width": 64, "height": 64} | options
    return sessions.start_session(prompt, **options)


def pretend_drawn(step):
    """The pictures of a step as drawing leaves them, without the network."""
    from gallery.ingest import create_image, prepare_image

    for item in step.run.items.all():
        image = create_image(
            prepare_image(png(item.pk + 100, size=(64, 64))),
            source_type=SourceType.BATCH_GENERATION,
            source_id=step.run_id,
            filename="a.png",
            model=step.run.model,
        )
        RunItem.objects.filter(pk=item.pk).update(status=JobStatus.COMPLETED, image=image)
    # as a worker of the fence would have left it
    runner_row = Job.objects.filter(pk=step.run_id)
    runner_row.update(
        status=JobStatus.COMPLETED, done=step.run.items.count(), finished_at=step.created_at, lease_until=None
    )
    return list(Image.objects.filter(run_item__run=step.run_id).order_by("pk"))


def first_step(session):
    return session.steps.get(position=1)


# ---- Beginning and going on


def test_a_session_begins_with_a_step_of_as_many_alternatives_as_the_settings_say(ada):
    change_settings(default_batch_size=3)
    session = sessions.start_session(" a red\n crab ", created_by=ada)
    step = session.steps.get()
    assert (session.name, session.entry_type, session.status) == ("a red crab", "scratch", "active")
    assert (step.position, step.parent, step.run.items.count()) == (1, None, 3)
    run = step.run
    assert (run.has_own_album, run.job.priority, run.job.created_by) == (False, ordering.INTERACTIVE, ada)


@pytest.mark.django_db(transaction=True)
def test_three_steps_and_a_branch_are_a_tree_drawn_from_the_chosen_pictures(tiny):
    session = begin(seed=7)
    first = first_step(session)
    runner.run_inline(first.run.job)
    alternatives = list(Image.objects.filter(run_item__run=first.run_id).order_by("run_item__variant"))
    assert len(alternatives) == 2
    assert not any(image.is_public or image.albums.exists() for image in alternatives)
    second = sessions.add_step(session, "a crab, brass", parent=first, image=alternatives[1], strength=0.9)
    runner.run_inline(second.run.job)
    assert (second.run.reference_image, second.run.strength) == (alternatives[1], 0.9)
    [item] = second.run.items.filter(variant=1)
    assert (item.steps, item.width, item.image.reference_image) == (1, 64, alternatives[1])
    sessions.choose_image(second, item.image)
    third = sessions.add_step(session, "a crab, gold", parent=second, use_image=False)
    branch = sessions.add_step(session, "a crab, ink", parent=first)
    assert third.run.reference_image is None
    assert branch.run.reference_image == alternatives[1]
    tree = list(session.steps.values_list("position", "parent__position"))
    assert tree == [(1, None), (2, 1), (3, 2), (4, 1)]


def test_a_refinement_begins_from_its_picture_in_its_shape(source, tiny):
    session = sessions.start_session("brighter", source_image=source, variants=1, strength=0.3)
    run = first_step(session).run
    assert (session.entry_type, run.reference_image, run.strength) == ("refinement", source, 0.3)
    item = run.items.get()
    assert item.width > item.height, "as its source; scaled to what the model was trained at"
    from_words = sessions.add_step(session, "other", use_image=False, variants=1)
    assert from_words.run.reference_image is None


def test_what_is_not_said_is_as_in_the_parent_and_an_empty_word_clears_it():
    session = begin(negative_prompt="blur", guidance_scale=3, scheduler="ddim")
    first = first_step(session)
    [image, _] = pretend_drawn(first)
    second = sessions.add_step(session, "next", parent=first, image=image, variants=1)
    item = second.run.items.get()
    assert (item.negative_prompt, item.guidance_scale, item.scheduler) == ("blur", 3, "ddim")
    assert (item.width, item.height, item.steps) == (64, 64, 1)
    third = sessions.add_step(session, "next", parent=first, negative_prompt="", width=72, height=80)
    item = third.run.items.first()
    assert (item.negative_prompt, item.width, item.height) == ("", 72, 80)


def test_a_form_sent_twice_takes_one_step():
    key = uuid.uuid4()
    session = begin(request_key=key)
    assert begin(request_key=key) == session
    assert GenerationSession.objects.count() == 1
    key = uuid.uuid4()
    steps = [sessions.add_step(session, "again", request_key=key) for _ in range(2)]
    assert steps[0] == steps[1]
    assert (session.steps.count(), Job.objects.count()) == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_two_tabs_at_once_take_two_steps_with_positions_of_their_own():
    session = begin()
    ready, failures = Barrier(4), []

    def take():
        try:
            ready.wait(10)
            sessions.add_step(session, "go on")
        except Exception as error:  # noqa: BLE001
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list(session.steps.values_list("position", flat=True)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"prompt": " "}, "prompt"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"variants": 17}, "variants"),
        ({"strength": 0.5}, "strength"),
        ({"width": 65}, "width"),
        ({"model": "none"}, "model"),
        ({"name": "x" * 201}, "name"),
    ],
)
def test_a_wrong_beginning_leaves_nothing_behind(options, field):
    with pytest.raises(ValidationError) as caught:
        sessions.start_session(**{"prompt": "a crab"} | options)
    assert field in caught.value.message_dict
    assert not GenerationSession.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("strength", [0.05, 1])
def test_the_limits_of_strength_are_let_in(source, strength):
    assert sessions.start_session("x", source_image=source, strength=strength).steps.count() == 1


@pytest.mark.parametrize("strength", [0.04, 1.01, float("nan")])
def test_beyond_the_limits_of_strength_nothing_begins(source, strength):
    with pytest.raises(ValidationError):
        sessions.start_session("x", source_image=source, strength=strength)
    assert not GenerationSession.objects.exists()


def test_a_prompt_of_signs_that_no_name_may_hold_still_begins_a_session():
    assert begin("\u202eevil\u200b crab").name == "evil crab"
    assert begin("\u200b x").steps.count() == 1


def test_a_full_session_takes_no_further_step(monkeypatch):
    monkeypatch.setattr(sessions, "MAX_STEPS", 1)
    session = begin()
    with pytest.raises(SessionConflict, match="full"):
        sessions.add_step(session, "more")


# ---- Choosing


def test_going_on_needs_a_chosen_picture_or_the_words_alone():
    session = begin()
    with pytest.raises(SessionConflict, match="Choose an alternative of step 1"):
        sessions.add_step(session, "next", parent=first_step(session))
    assert sessions.add_step(session, "next", parent=first_step(session), use_image=False).position == 2


def test_only_an_alternative_of_the_step_itself_is_chosen(source):
    session, other = begin(), begin()
    image = pretend_drawn(first_step(other))[0]
    for wrong in (source, image):
        with pytest.raises(ValidationError, match="no alternative of step 1"):
            sessions.choose_image(first_step(session), wrong)
    with pytest.raises(ValidationError, match="another session"):
        sessions.add_step(session, "x", parent=first_step(other))
    with pytest.raises(ValidationError, match="parent_id"):
        sessions.add_step(session, "x", image=image)


def test_choosing_anew_leaves_the_steps_taken_from_the_first_choice_as_they_are():
    session = begin()
    step = first_step(session)
    one, two = pretend_drawn(step)
    taken = sessions.add_step(session, "next", parent=step, image=one)
    sessions.choose_image(step, two)
    taken.run.refresh_from_db()
    assert (step.chosen_image, taken.run.reference_image) == (two, one)
    sessions.choose_image(step, None)
    assert GenerationStep.objects.get(pk=step.pk).chosen_image is None


def test_a_reference_trashed_meanwhile_starts_no_step(source):
    session = begin()
    step = first_step(session)
    one, _two = pretend_drawn(step)
    sessions.choose_image(step, one)
    trash_image(one)
    with pytest.raises(ValidationError, match="no picture"):
        sessions.add_step(session, "next", parent=step)
    with pytest.raises(SessionConflict, match="in the trash"):
        sessions.choose_image(step, one)


# ---- Keeping and discarding


def test_kept_pictures_go_to_a_new_album_private_or_public_as_said(ada):
    for is_public in (True, False):
        session = begin()
        step = first_step(session)
        one, _two = pretend_drawn(step)
        album, added = sessions.keep_images(
            step, [one.pk], album_name=" Crabs ", is_public=is_public, created_by=ada
        )
        assert (album.name, album.is_public, album.source_type, added) == (
            "Crabs",
            is_public,
            "batch_generation",
            1,
        )
        one.refresh_from_db()
        assert one.is_public is is_public


def test_keeping_twice_makes_no_second_album_and_adds_nothing():
    session = begin()
    step = first_step(session)
    one, two = pretend_drawn(step)
    album, _ = sessions.keep_images(step, [one.pk], album_name="Crabs")
    assert sessions.keep_images(step, [one.pk, two.pk], album_name="Crabs") == (album, 1)
    assert Album.objects.count() == 1
    chosen = create_album(name="Chosen", is_public=False)
    assert sessions.keep_images(step, [one.pk], album=chosen) == (chosen, 1)
    chosen.refresh_from_db()
    assert not chosen.is_public


def test_an_album_that_was_kept_into_before_the_last_one_is_found_by_its_name():
    step = first_step(begin())
    one, two = pretend_drawn(step)
    first, _ = sessions.keep_images(step, [one.pk], album_name="Crabs")
    sessions.keep_images(step, [one.pk], album_name="Best")
    assert sessions.keep_images(step, [two.pk], album_name="Crabs") == (first, 1)
    assert Album.objects.count() == 2


def test_a_public_album_does_not_tell_the_prompt_of_a_picture_that_is_not_for_everybody():
    step = first_step(begin("a bare crab"))
    one, two = pretend_drawn(step)
    Image.objects.filter(pk__in=[one.pk, two.pk]).update(prompt="a bare crab", rating="adult")
    kept = [sessions.keep_images(step, [one.pk], album_name="a bare crab")[0] for _ in range(2)]
    assert (kept[0], Album.objects.get().name) == (kept[1], "Single picture")
    private, _ = sessions.keep_images(step, [two.pk], album_name="a bare crab", is_public=False)
    assert private.name == "a bare crab"


@pytest.mark.django_db(transaction=True)
def test_keeping_at_once_makes_one_album():
    step = first_step(begin())
    one, two = pretend_drawn(step)
    begins = Barrier(4)

    def keep(_number):
        try:
            mine = GenerationStep.objects.select_related("session").get(pk=step.pk)
            begins.wait(timeout=30)
            return sessions.keep_images(mine, [one.pk, two.pk], album_name="Crabs")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as people:
        kept = list(people.map(keep, range(4)))
    assert {album for album, _ in kept} == {Album.objects.get()}
    assert sum(added for _, added in kept) == 2


def test_an_album_deleted_meanwhile_is_told_and_nothing_is_kept():
    session = begin()
    step = first_step(session)
    one, _two = pretend_drawn(step)
    album = create_album(name="Gone")
    delete_album(Album.objects.get(pk=album.pk))
    with pytest.raises(ValidationError, match="deleted"):
        sessions.keep_images(step, [one.pk], album=album)
    with pytest.raises(ValidationError, match="Name the album"):
        sessions.keep_images(step, [one.pk])


def test_discarded_pictures_go_to_the_trash_and_come_back():
    session = begin()
    step = first_step(session)
    one, two = pretend_drawn(step)
    sessions.choose_image(step, one)
    assert sessions.discard_images(step, [one.pk, two.pk]) == 2
    assert step.chosen_image is None
    assert Image.objects.present().count() == 0
    assert sessions.discard_images(step, [one.pk]) == 0
    with pytest.raises(SessionConflict, match="trash"):
        sessions.keep_images(step, [one.pk], album_name="Crabs")
    assert sessions.restore_images(step, [one.pk]) == 1
    assert Image.objects.present().get() == one


def test_what_is_kept_is_not_discarded_from_a_page_that_does_not_know_it():
    step = first_step(begin())
    one, two = pretend_drawn(step)
    sessions.keep_images(step, [one.pk], album_name="Crabs")
    with pytest.raises(SessionConflict, match="kept in “Crabs”, so nothing was discarded"):
        sessions.discard_images(step, [one.pk, two.pk])
    assert Image.objects.present().count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "use",
    [
        lambda step, image: sessions.keep_images(step, [image.pk], album_name="Best"),
        lambda step, image: sessions.choose_image(step, image),
        lambda step, image: sessions.add_step(step.session, "more", parent=step, image=image),
    ],
)
def test_who_wants_a_picture_that_is_being_discarded_is_told(beside, use):
    step = first_step(begin())
    one, two = pretend_drawn(step)
    mine = GenerationStep.objects.select_related("session", "run__model").get(pk=step.pk)
    with beside(lambda: use(mine, two), at='UPDATE "gallery_image"') as answers:
        assert sessions.discard_images(step, [one.pk, two.pk]) == 2
    assert "in the trash" in str(answers[0])
    assert not Album.objects.exists()
    step.refresh_from_db()
    assert step.chosen_image is None


def test_what_is_deleted_for_good_while_pictures_are_restored_keeps_no_other_in_the_trash():
    step = first_step(begin())
    one, two = pretend_drawn(step)
    sessions.discard_images(step, [one.pk, two.pk])
    with instead(lambda: purge_from_trash(one), before='UPDATE "gallery_image"'):
        assert sessions.restore_images(step, [one.pk, two.pk]) == 1
    assert Image.objects.present().get() == two


# ---- Ending


@pytest.mark.parametrize("end", [sessions.complete_session, sessions.abandon_session])
def test_a_session_that_has_ended_takes_nothing_more(end):
    session = begin()
    step = first_step(session)
    one, _two = pretend_drawn(step)
    end(session)
    writes = [
        lambda: sessions.add_step(session, "more"),
        lambda: sessions.choose_image(step, one),
        lambda: sessions.keep_images(step, [one.pk], album_name="Late"),
        lambda: sessions.discard_images(step, [one.pk]),
        lambda: sessions.restore_images(step, [one.pk]),
        lambda: sessions.retry_step(step),
        lambda: sessions.complete_session(session),
        lambda: sessions.abandon_session(session),
    ]
    for write in writes:
        with pytest.raises(SessionConflict, match=r"This session is (completed|abandoned)"):
            write()
    assert not Album.objects.exists()


def test_what_is_being_drawn_keeps_a_session_from_being_completed_and_is_cancelled_when_it_is_abandoned():
    session = begin()
    with pytest.raises(SessionConflict, match="Step 1 is still being drawn"):
        sessions.complete_session(session)
    sessions.abandon_session(session)
    job = first_step(session).run.job
    assert job.status == JobStatus.CANCELLED
    with pytest.raises(runner.JobConflict, match="session is abandoned"):
        runner.retry(job)
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED


def test_a_failed_step_is_drawn_again():
    session = begin()
    step = first_step(session)
    runner.request_cancel(step.run.job)
    assert sessions.retry_step(step).run.job.status == JobStatus.QUEUED
    with pytest.raises(runner.JobConflict):
        sessions.retry_step(step)


def test_the_tick_moves_what_an_abandoned_session_has_not_kept_to_the_trash(source):
    session = begin()
    step = first_step(session)
    kept, unkept = pretend_drawn(step)
    more = sessions.add_step(session, "more", use_image=False, variants=1)
    [refined] = pretend_drawn(more)
    add_images(create_album(name="Mine", is_public=False), [kept])
    other = begin("from it", source_image=refined)
    tick()
    assert Image.objects.present().count() == 4, "nothing goes before the end"
    sessions.abandon_session(session)
    assert tick()["session_sweep.sweep_discarded"] == 1
    assert set(Image.objects.present()) == {source, kept, refined}, "another session began from the third"
    restore_image(unkept)
    assert "session_sweep.sweep_discarded" not in tick(), "what a person takes back stays"
    assert other.source_image == refined


def test_what_a_person_takes_back_between_two_sweeps_stays(monkeypatch):
    monkeypatch.setattr(session_sweep, "SWEPT_AT_ONCE", 1)
    session = begin()
    one, _two = pretend_drawn(first_step(session))
    sessions.abandon_session(session)
    assert session_sweep.sweep_discarded() == 1
    restore_image(one)
    assert [session_sweep.sweep_discarded() for _ in range(3)] == [1, 0, 0]
    assert Image.objects.present().get() == one


def test_what_a_person_takes_back_while_two_machines_sweep_stays():
    session = begin()
    _one, two = pretend_drawn(first_step(session))
    sessions.abandon_session(session)

    def the_other_one_sweeps():
        assert session_sweep.sweep_discarded() == 2
        restore_image(two)

    with instead(the_other_one_sweeps, before='"swept_up_to"'):
        assert session_sweep.sweep_discarded() == 0
    assert Image.objects.present().get() == two


def test_a_picture_from_which_a_session_begins_while_it_is_swept_stays():
    session = begin()
    one, two = pretend_drawn(first_step(session))
    sessions.abandon_session(session)
    with instead(
        lambda: begin("from it", source_image=two), before='UPDATE "templates_app_generationsession"'
    ):
        assert session_sweep.sweep_discarded() == 1
    assert Image.objects.present().get() == two
    with pytest.raises(ValidationError, match="no picture"):
        begin("from the other", source_image=one)


@contextmanager
def instead(act, *, before):
    """Somebody else acts just before the first statement with these words."""
    waits = iter([act])

    def watch(execute, sql, *arguments):
        if before in sql and sql.startswith("UPDATE") and (act := next(waits, None)):
            act()
        return execute(sql, *arguments)

    with connection.execute_wrapper(watch):
        yield
    assert next(waits, None) is None, f"an update has {before!r}"


def test_a_session_is_swept_when_its_last_pictures_are_there():
    session = begin()
    step = first_step(session)
    more = sessions.add_step(session, "more", use_image=False, variants=2)
    pretend_drawn(step)
    Job.objects.filter(pk=more.run_id).take(owner_id=None, now=timezone.now(), lease_until=timezone.now())
    sessions.abandon_session(session)
    assert session_sweep.sweep_discarded() == 0
    pretend_drawn(more)
    assert session_sweep.sweep_discarded() == 4


@pytest.mark.django_db(transaction=True)
def test_a_step_that_is_retried_while_its_session_is_given_up_draws_nothing(beside):
    session = begin()
    step = first_step(session)
    runner.request_cancel(step.run.job)
    with beside(lambda: sessions.abandon_session(session), at='UPDATE "templates_app_runitem"') as answers:
        ordering.retry_run(step.run)
    assert not isinstance(answers[0], Exception)
    assert not Job.objects.active().exists()


@pytest.mark.parametrize(("discard_rest", "left"), [(True, 1), (False, 2)])
def test_completing_leaves_what_is_not_kept_unless_it_is_told_to_discard_it(discard_rest, left):
    session = begin()
    step = first_step(session)
    one, _two = pretend_drawn(step)
    sessions.keep_images(step, [one.pk], album_name="Crabs")
    sessions.complete_session(session, discard_rest=discard_rest)
    tick()
    assert Image.objects.present().count() == left


def test_a_large_sweep_is_done_over_several_ticks(monkeypatch):
    monkeypatch.setattr(session_sweep, "SWEPT_AT_ONCE", 3)
    for _ in range(2):
        session = begin()
        pretend_drawn(first_step(session))
        sessions.abandon_session(session)
    assert [session_sweep.sweep_discarded() for _ in range(3)] == [3, 1, 0]
    assert not GenerationSession.objects.filter(swept_at=None).exists()


def test_a_run_cannot_be_deleted_under_a_step():
    from django.db.models import ProtectedError

    step = first_step(begin())
    with pytest.raises(ProtectedError):
        step.run.job.delete()
