from imagineer.jobs.runner import job_task
from templates_app.ordering import KIND, forgive_items
from templates_app.sessions import check_session_goes_on


def put_back(job):
    check_session_goes_on(job)
    forgive_items(job)


@job_task(KIND, queue="gpu", on_retry=put_back, page="/runs/{id}")
def generation(job, progress):
    # the engine stays out of every process that only registers this kind
    from templates_app.drawing import draw_run

    draw_run(job, progress)
