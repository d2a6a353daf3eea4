"""The curation desk of what is drawn: templates, and the orders and runs of them."""

from templates_app.admin import runs, templates

__all__ = ["runs", "templates"]
