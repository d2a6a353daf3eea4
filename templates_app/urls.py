from django.urls import path
from rest_framework.routers import SimpleRouter

from templates_app.api.models import LoraViewSet, ModelViewSet
from templates_app.api.prompts import PromptTemplateViewSet
from templates_app.api.runs import RunViewSet
from templates_app.api.sessions import SessionViewSet
from templates_app.api.settings import SettingsView
from templates_app.api.single import GenerateView
from templates_app.api.templates import TemplateViewSet
from templates_app.views import runs as views
from templates_app.views import sessions, single
from templates_app.views.templates import template_list, template_page

page_patterns = [
    path("templates", template_list, name="templates"),
    path("templates/<int:pk>", template_page, name="template"),
    path("generate", single.generate, name="generate"),
    path("sessions", sessions.session_list, name="sessions"),
    path("sessions/new", sessions.session_new, name="session-new"),
    path("sessions/<int:pk>", sessions.session_page, name="session"),
    path("sessions/<int:pk>/steps/<int:position>", sessions.session_act, name="session-act"),
    path("runs/<int:pk>", views.run_page, name="run"),
    path("runs/<int:pk>/progress", views.run_progress, name="run-progress"),
]

router = SimpleRouter(trailing_slash=False)
router.register("batch-templates", TemplateViewSet, "template")
router.register("runs", RunViewSet, "run")
router.register("prompt-templates", PromptTemplateViewSet, "prompt-template")
router.register("sessions", SessionViewSet, "session")
router.register("models", ModelViewSet, "model")
router.register("loras", LoraViewSet, "lora")
api_patterns = [
    path("generate", GenerateView.as_view(), name="generate"),
    path("settings", SettingsView.as_view(), name="settings"),
    *router.urls,
]
