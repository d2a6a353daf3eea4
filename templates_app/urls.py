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
from templates_app.views import sessions, single, slots
from templates_app.views.history import run_list
from templates_app.views.orders import draw_page
from templates_app.views.templates import template_list, template_page

page_patterns = [
    path("templates", template_list, name="templates"),
    path("templates/<int:pk>", template_page, name="template"),
    path("generate", single.generate, name="generate"),
    path("sessions", sessions.session_list, name="sessions"),
    path("sessions/new", sessions.session_new, name="session-new"),
    path("sessions/<int:pk>", sessions.session_page, name="session"),
    path("sessions/<int:pk>/steps/<int:position>", sessions.session_act, name="session-act"),
    path("templates/<int:pk>/draw", draw_page, name="template-draw"),
    path("runs", run_list, name="runs"),
    path("runs/<int:pk>", views.run_page, name="run"),
    path("runs/<int:pk>/progress", views.run_progress, name="run-progress"),
    path("runs/<int:pk>/cancel", views.cancel_run, name="run-cancel"),
    path("runs/<int:pk>/retry", views.retry_run, name="run-retry"),
    path("runs/<int:pk>/reroll", slots.reroll_ticked, name="run-reroll"),
    path("runs/<int:pk>/slots/<int:position>", slots.slot_page, name="slot"),
    path("runs/<int:pk>/slots/<int:position>/progress", slots.slot_progress, name="slot-progress"),
    path("runs/<int:pk>/slots/<int:position>/reroll", slots.reroll, name="slot-reroll"),
    path("runs/<int:pk>/slots/<int:position>/promote", slots.promote, name="slot-promote"),
    path("runs/<int:pk>/slots/<int:position>/discard", slots.discard, name="slot-discard"),
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
