"""The model that Imagineer ships with: its weights, in ordinary diffusers layout, and the builder that made them.

Importing this package loads no torch. Only the builder (`python -m imagineer.starter_model.build`) does.
"""

from pathlib import Path

STARTER_MODEL_PATH = Path(__file__).parent / "weights"
