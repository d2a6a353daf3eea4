"""The curation desk of what is drawn: templates, the orders and runs of them, and what they begin with."""

from templates_app.admin import prompts, runs, sessions, settings, templates

__all__ = ["prompts", "runs", "sessions", "settings", "templates"]
