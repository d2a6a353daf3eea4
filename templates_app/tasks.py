from imagineer.jobs.runner import job_task
from templates_app.ordering import KIND, forgive_items


@job_task(KIND, queue="gpu", on_retry=forgive_items, page="/runs/{id}")
def generation(job, progress):
    # the engine stays out of every process that only registers this kind
    from templates_app.drawing import draw_run

    draw_run(job, progress)
