from django.contrib.admin import AdminSite

from gallery.models import Album, Image, Rating
from imagineer.jobs.health import describe_health
from imagineer.jobs.models import Job, JobStatus

SHOWN_JOBS = 8


class ImagineerAdminSite(AdminSite):
    site_header = "Imagineer"
    site_title = "Imagineer"
    index_title = "The curation desk"
    site_url = "/"
    index_template = "admin/dashboard.html"

    # The order in which a curator works; what is not named follows by name.
    SECTIONS = ("gallery", "templates_app", "scraping", "labeling", "training", "jobs", "accounts", "auth")

    def get_app_list(self, request, app_label=None):
        rank = {label: place for place, label in enumerate(self.SECTIONS)}
        sections = super().get_app_list(request, app_label)
        return sorted(sections, key=lambda section: rank.get(section["app_label"], len(rank)))

    def index(self, request, extra_context=None):
        dashboard = {
            "health": describe_health(),
            "active_jobs": Job.objects.active().order_by("-status", "-priority", "pk")[:SHOWN_JOBS],
            "failed_jobs": Job.objects.filter(status=JobStatus.FAILED).order_by("-finished_at")[:SHOWN_JOBS],
            "unrated": Image.objects.present().filter(rating=Rating.UNRATED).count(),
            "private_albums": Album.objects.filter(is_public=False).count(),
        }
        return super().index(request, dashboard | (extra_context or {}))
