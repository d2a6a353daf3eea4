import json

from django.core.management.base import BaseCommand
from django.db import transaction

from templates_app import authoring
from templates_app.models import BatchTemplate
from templates_app.prompt_library import seed_prompt_templates
from templates_app.sets import load_sets


class Command(BaseCommand):
    help = (
        "Put the three sets into the library (cards, tarot, zodiac) and our prompt templates. "
        "Those that are there are left as they are."
    )

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args, **options):
        seeded = []
        for definition in load_sets():
            with transaction.atomic():
                # an admin's edit of a set is never undone by seeding again
                if BatchTemplate.objects.filter(name=definition.name).exists():
                    continue
                seeded.append(
                    authoring.save_template(
                        name=definition.name,
                        description=definition.description,
                        rows=list(definition.items.rows),
                        base_prompt=definition.base_prompt,
                        prompt_template=definition.prompt_template,
                        style_suffix=definition.style_suffix,
                        example_theme=definition.example_theme,
                        width=definition.width,
                        height=definition.height,
                        negative_prompt=definition.negative_prompt,
                    )
                )
        prompts = [template.name for template in seed_prompt_templates()]
        if options["json"]:
            added = {"added": [template.name for template in seeded], "added_prompt_templates": prompts}
            self.stdout.write(json.dumps(added))
            return
        for template in seeded:
            self.stdout.write(f"Added {template.name}, {template.current.row_count} rows.")
        if prompts:
            self.stdout.write(f"Added {len(prompts)} prompt templates.")
        self.stdout.write(f"{BatchTemplate.objects.count()} templates are in the library.")
