from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from gallery.models import Album, Image, Rating
from imagineer.health import describe_house
from imagineer.jobs.models import Job, JobStatus

SHOWN_JOBS = 8


class ImagineerAdminSite(AdminSite):
    site_header = "Imagineer"
    site_title = "Imagineer"
    index_title = "The curation desk"
    site_url = "/"
    index_template = "admin/dashboard.html"

    # The order in which a curator works; what is not named follows by name.
    SECTIONS = (
        "gallery",
        "templates_app",
        "scraping",
        "labeling",
        "training",
        "jobs",
        "accounts",
        "socialaccount",
        "auth",
    )

    def get_app_list(self, request, app_label=None):
        rank = {label: place for place, label in enumerate(self.SECTIONS)}
        sections = super().get_app_list(request, app_label)
        return sorted(sections, key=lambda section: rank.get(section["app_label"], len(rank)))

    def login(self, request, extra_context=None):
        """The site's own sign-in page, with its limits, instead of a second form."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied
        goal = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index", current_app=self.name)
        return redirect_to_login(goal, settings.LOGIN_URL)

    def index(self, request, extra_context=None):
        dashboard = {
            "health": describe_house(),
            "active_jobs": Job.objects.active().order_by("-status", "-priority", "pk")[:SHOWN_JOBS],
            "failed_jobs": Job.objects.filter(status=JobStatus.FAILED).order_by("-finished_at")[:SHOWN_JOBS],
            "unrated": Image.objects.present().filter(rating=Rating.UNRATED).count(),
            "private_albums": Album.objects.filter(is_public=False).count(),
        }
        return super().index(request, dashboard | (extra_context or {}))
