from gallery.visibility import Viewer
from imagineer.jobs.kinds import Span, Told, job_task
from templates_app.estimates import remaining_seconds
from templates_app.models import BatchGenerationRun
from templates_app.ordering import KIND, forgive_items
from templates_app.sessions import check_session_goes_on


def put_back(job):
    check_session_goes_on(job)
    forgive_items(job)


def tell_of_runs(jobs, request) -> dict[int, Told]:
    """The album's name and the theme, for whom the pictures are."""
    viewer = Viewer.from_request(request)
    runs = BatchGenerationRun.objects.for_lists().filter(pk__in=[job.pk for job in jobs])
    return {
        run.pk: Told(title=" · ".join(filter(None, (run.album_name, run.user_theme))), tells_texts=True)
        for run in runs
        if run.tells_texts_to(viewer)
    }


def time_of_runs(jobs) -> dict[int, Span | None]:
    found = remaining_seconds([job.pk for job in jobs])
    return {pk: span and (span.least, span.most) for pk, span in found.items()}


@job_task(KIND, queue="gpu", on_retry=put_back, page="/runs/{id}", tells=tell_of_runs, lasts=time_of_runs)
def generation(job, progress):
    # the engine stays out of every process that only registers this kind
    from templates_app.drawing import draw_run

    draw_run(job, progress)
