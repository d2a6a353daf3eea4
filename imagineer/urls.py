from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

import gallery.urls as gallery
import imagineer.accounts.urls as accounts
import templates_app.urls as templates_app
from imagineer import errors
from imagineer.accounts.api import WhoAmI
from imagineer.health import Health
from imagineer.jobs import api as jobs
from imagineer.queue_page import queue

api_patterns = [
    path("health", Health.as_view(), name="health"),
    path("auth/me", WhoAmI.as_view(), name="auth-me"),
    path("schema", SpectacularJSONAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="api:schema"), name="docs"),
    *jobs.router.urls,
    *gallery.api_patterns,
    *templates_app.api_patterns,
    re_path(r"", errors.not_found),
]

urlpatterns = [
    path("admin/", admin.site.urls),
    *accounts.page_patterns,
    path("api", errors.not_found, name="api-root"),
    path("api/", include((api_patterns, "api"))),
    path("queue", queue, name="queue"),
    *gallery.page_patterns,
    *templates_app.page_patterns,
    re_path(r"^.+/$", errors.not_found),  # the last one: old links that end in a slash
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
handler429 = errors.too_many_requests  # not Django's; django-allauth looks for it
