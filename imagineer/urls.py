from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

import gallery.urls as gallery
from imagineer import errors
from imagineer.accounts.api import WhoAmI

api_patterns = [
    path("auth/me", WhoAmI.as_view(), name="auth-me"),
    path("schema", SpectacularJSONAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="api:schema"), name="docs"),
    *gallery.api_patterns,
    re_path(r"", errors.not_found),
]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("auth/login", auth_views.LoginView.as_view(template_name="auth/login.html"), name="login"),
    path("auth/logout", auth_views.LogoutView.as_view(), name="logout"),
    path("api/", include((api_patterns, "api"))),
    *gallery.page_patterns,
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
