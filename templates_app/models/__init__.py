"""What to draw (templates and their versions) and what has been drawn of it (runs and their ledger).

What deleting a row does to each row that names it stands in docs/ARCHITECTURE.md, "Deleting".
"""

from templates_app.models.prompt_template import PromptTemplate
from templates_app.models.run import BatchGenerationRun, RunItem
from templates_app.models.session import (
    EntryType,
    GenerationSession,
    GenerationStep,
    SessionStatus,
)
from templates_app.models.settings import GenerationSettings
from templates_app.models.template import BatchTemplate, BatchTemplateVersion

__all__ = [
    "BatchGenerationRun",
    "BatchTemplate",
    "BatchTemplateVersion",
    "EntryType",
    "GenerationSession",
    "GenerationSettings",
    "GenerationStep",
    "PromptTemplate",
    "RunItem",
    "SessionStatus",
]
