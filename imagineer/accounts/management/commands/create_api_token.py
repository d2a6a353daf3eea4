import json

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from imagineer.accounts.services import create_api_token, make_admin


class Command(BaseCommand):
    help = "Print a new API token of an admin, once. The address must be among IMAGINEER_ADMIN_EMAILS."

    def add_arguments(self, parser):
        parser.add_argument("email")
        parser.add_argument("--name", default="", help="what will use it")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args, **options):
        try:
            user = make_admin(options["email"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        _token, key = create_api_token(user, name=options["name"])
        self.stdout.write(json.dumps({"token": key, "email": user.email}) if options["json"] else key)
