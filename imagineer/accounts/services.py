from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from imagineer.accounts.models import ApiToken, User

CURATORS = "Curators"
CURATED_APPS = ("gallery", "templates_app", "jobs", "scraping", "labeling", "training")


def fill_curators_group(**_) -> None:
    """Give the group of all admins every permission on the curated apps; people and tokens stay with superusers."""
    group, _created = Group.objects.get_or_create(name=CURATORS)
    group.permissions.set(Permission.objects.filter(content_type__app_label__in=CURATED_APPS))


def make_admin(email: str) -> User:
    """The account of an allow-listed address as a member of the curators, made if it is not there yet.

    :raises ValidationError: the address is malformed or not among IMAGINEER_ADMIN_EMAILS.
    """
    email = email.strip().lower()
    validate_email(email)
    if email not in settings.ADMIN_EMAILS:
        raise ValidationError(f"{email} is not among IMAGINEER_ADMIN_EMAILS; add it there first.")
    with transaction.atomic():
        user = User.objects.filter(email=email).first() or User.objects.create_user(email)
        if not user.is_staff:
            user.is_staff = True
            user.save(update_fields=["is_staff"])
        user.groups.add(Group.objects.get_or_create(name=CURATORS)[0])
    return user


def create_api_token(user: User, *, name: str = "") -> tuple[ApiToken, str]:
    """A new token and its key, which is told only this once."""
    key = ApiToken.new_key()
    token = ApiToken(user=user, name=name, hash=ApiToken.hash_key(key), hint=key[:6])
    token.full_clean()
    token.save()
    return token, key


def revoke_api_token(token: ApiToken) -> ApiToken:
    token.revoked_at = timezone.now()
    token.save(update_fields=["revoked_at"])
    return token
