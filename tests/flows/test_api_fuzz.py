"""The API withstands whatever is sent: schemathesis makes requests from the OpenAPI document, right and wrong ones,
and every answer is one of those that the document declares."""

import os
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import AcceptedNegativeData, Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gallery.ingest import ingest_image
from gallery.models import Label, Lora, SourceType
from gallery.services import add_images, create_album, retract_image, trash_image
from gallery.sharing import create_shared_link
from imagineer.accounts.services import create_api_token
from imagineer.jobs import runner
from imagineer.jobs.models import Job, JobStatus
from imagineer.wsgi import application
from templates_app import ordering, sessions
from templates_app.models import RunItem
from templates_app.prompt_library import save_prompt_template
from tests.factories import make_template, start_run
from tests.gallery.pictures import png

pytestmark = pytest.mark.django_db

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
NAMED_IN_BODIES = {
    "image_id": "/api/images",
    "image_ids": "/api/images",
    "source_image_id": "/api/images",
    "reference_image_id": "/api/images",
    "album_id": "/api/albums",
    "parent_id": "/api/sessions",
}
RATINGS = ("safe", "adult", "explicit", None)


def take_in(number, album, rating="safe"):
    image = ingest_image(png(number), source_type=SourceType.MANUAL, rating=rating, prompt="a crab").image
    add_images(album, [image])
    return image


@pytest.fixture
def library(db):
    """Something of every kind, in every state; for each beginning of an address the parameters that are there."""
    shown, hidden = create_album(name="Shown"), create_album(name="Hidden", is_public=False)
    images = [take_in(number, shown, rating) for number, rating in enumerate(RATINGS)]
    images += [take_in(number, hidden) for number in (5, 6, 7, 8)]
    trash_image(images[6])
    retract_image(images[7])
    for kind in ("tag", "caption"):
        Label.objects.create(image=images[0], type=kind, text="a crab")
    Lora.objects.create(name="Ink", file="loras/ink.safetensors", sha256="0" * 64, family="sd15")
    Lora.objects.create(name="Off", file="loras/off.safetensors", sha256="1" * 64, is_enabled=False)
    templates = [make_template(), make_template(name="Archived", is_archived=True), make_template(name="New")]
    runs = [start_run(templates[0], is_public=is_public) for is_public in (True, True, True, False, True)]
    drawn, failed = runs[0], runs[3]
    Job.objects.filter(pk=drawn.pk).update(status=JobStatus.COMPLETED, finished_at=timezone.now(), done=3)
    Job.objects.filter(pk=failed.pk).update(
        status=JobStatus.FAILED, finished_at=timezone.now(), error="Broken"
    )
    for run, first in ((drawn, 0), (failed, 4)):
        run.album = (hidden, shown)[run is drawn]
        run.save(update_fields=["album"])
        for position in (1, 2):
            of_run = RunItem.objects.filter(run=run, position=position)
            of_run.update(status=JobStatus.COMPLETED, image=images[first + position - 1])
    runner.request_cancel(runs[2].job)
    runner.claim("gpu")  # one of them runs
    single = ordering.start_single("a crab")
    begun, ended = (
        sessions.start_session("a crab"),
        sessions.start_session("a lobster", source_image=images[0]),
    )
    step = begun.steps.get()
    RunItem.objects.filter(run=step.run, position=1, variant=1).update(
        status=JobStatus.COMPLETED, image=images[2]
    )
    sessions.add_step(begun, "two crabs", parent=step, image=images[2])
    sessions.abandon_session(ended)
    prompt = save_prompt_template(name="Neon", prompt_text="neon lights", category="light")
    links = [create_shared_link(image=images[0])[0], create_shared_link(album=hidden)[0]]
    steps = [
        {"id": session.pk, "step": step.pk} for session in (begun, ended) for step in session.steps.all()
    ]
    run_pks = [run.pk for run in (*runs, single)]
    return {
        "/api/albums": [{"id": album.pk} for album in (shown, hidden)],
        "/api/images": [{"id": image.pk} for image in images],
        "/api/batch-templates": [{"id": template.pk} for template in templates],
        "/api/jobs": [{"id": pk} for pk in run_pks],
        "/api/runs": [{"job": pk, "position": position} for pk in run_pks for position in (1, 2, 3)],
        "/api/sessions": steps,
        "/api/loras": [{"id": pk} for pk in Lora.objects.values_list("pk", flat=True)],
        "/api/models": [{"id": runs[0].model_id}],
        "/api/prompt-templates": [{"id": prompt.pk}],
        "/api/shared-links": [{"id": link.pk} for link in links],
    }


@dataclass
class Fuzz:
    """Sends what schemathesis makes, and keeps what is wrong with the answers."""

    library: dict
    token: str

    def __post_init__(self):
        document = SchemaGenerator().get_schema(public=True)
        self.schema = schemathesis.openapi.from_dict(document)
        self.schema.app = application
        self.operations = [found.ok() for found in self.schema.get_all_operations()]
        self.wrong = {}
        self.answers = Counter()  # (operation, status): how many

    def cases(self, operation, mode):
        """Requests of one operation, most of them about what is there."""
        known = next((ids for path, ids in self.library.items() if operation.path.startswith(path)), [{}])
        named = {parameter.name for parameter in operation.path_parameters}
        about = {tuple(sorted((key, ids[key]) for key in named & set(ids))) for ids in known}
        strategies = [operation.as_strategy(generation_mode=mode)]
        if named:
            strategies += [
                operation.as_strategy(generation_mode=mode, path_parameters=dict(ids))
                for ids in sorted(about)[:12]
            ]
        requests = st.one_of(strategies)
        return requests.flatmap(self.about_something) if mode == GenerationMode.POSITIVE else requests

    def about_something(self, case):
        """The ids in the body of a right request become, as a rule, those of something that is there."""

        def aim(place):
            for name in set(case.body) & set(NAMED_IN_BODIES):
                known = self.library[NAMED_IN_BODIES[name]]
                pk = known[place % len(known)]["step" if name == "parent_id" else "id"]
                case.body[name] = [pk] if isinstance(case.body[name], list) else pk
            return case

        if not isinstance(case.body, dict) or not set(case.body) & set(NAMED_IN_BODIES):
            return st.just(case)
        return st.just(case) | st.integers(0, 11).map(aim)

    def explore(self, operation, mode, number, *, first):
        @seed(first)
        @settings(
            max_examples=number,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=self.cases(operation, mode))
        def send(case):
            for headers in ({}, {"Authorization": f"Token {self.token}"}):
                with transaction.atomic():  # each finds the library as it was
                    self.send(operation, case, headers)
                    transaction.set_rollback(True)

        try:
            send()
        except Unsatisfiable:  # there is nothing in such a request that could be wrong
            assert mode == GenerationMode.NEGATIVE, operation.label

    def send(self, operation, case, headers):
        response = case.call(headers=headers)
        self.answers[operation.label, response.status_code] += 1
        if response.status_code == 429:
            cache.clear()
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                self.note(operation, case, response, failure)
        except Failure as failure:
            self.note(operation, case, response, failure)

    def note(self, operation, case, response, failure):
        if isinstance(failure, AcceptedNegativeData) and nothing_was_sent(response.request):
            return
        key = (operation.label, type(failure).__name__, response.status_code)
        self.wrong.setdefault(key, (str(failure)[:1500], case.as_curl_command()[:600], response.text[:300]))


def nothing_was_sent(request) -> bool:
    """A parameter or a part of a multipart body that is empty is as if not given, as browsers send forms."""
    values = [value for _, value in parse_qsl(urlsplit(request.url).query, keep_blank_values=True)]
    body, is_form = request.body or b"", request.headers.get("Content-Type", "").startswith("multipart")
    return "" in values or (is_form and (b"Content-Disposition" not in body or b"\r\n\r\n\r\n--" in body))


@pytest.fixture
def fuzz(library, ada, settings):
    settings.PUBLIC_GENERATION = True
    settings.DEBUG_PROPAGATE_EXCEPTIONS = False
    cache.clear()
    # as Django's own test client does: the transaction of the test is in this connection
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield Fuzz(library, create_api_token(ada)[1])
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def explore_all(fuzz, number, *, first):
    for place, operation in enumerate(fuzz.operations):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            fuzz.explore(operation, mode, number, first=first + place)
    told = "\n\n".join(f"{key}\n" + "\n".join(lines) for key, lines in fuzz.wrong.items())
    assert not fuzz.wrong, f"{len(fuzz.wrong)} wrong of {fuzz.answers.total()} answers:\n{told}"


def test_every_answer_is_one_that_the_document_declares(fuzz):
    explore_all(fuzz, 3, first=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_answer_to_many_more_requests_is_one_that_the_document_declares(fuzz):
    cases = int(os.environ.get("IMAGINEER_FUZZ_CASES", 3000))
    seed = int(os.environ.get("IMAGINEER_FUZZ_SEED", 2))
    explore_all(fuzz, max(1, cases // (4 * len(fuzz.operations))), first=seed)
