import unicodedata

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone

from imagineer.accounts.models import ApiToken, User

CURATORS = "Curators"
CURATED_APPS = ("gallery", "templates_app", "jobs", "scraping", "labeling", "training")


def fill_curators_group(**_) -> None:
    """Give the group of all admins every permission on the curated apps; people and tokens stay with superusers."""
    group, _created = Group.objects.get_or_create(name=CURATORS)
    group.permissions.set(Permission.objects.filter(content_type__app_label__in=CURATED_APPS))


class Refused(Exception):
    """A sign-in that makes nobody an admin; the reason is for the log."""


def is_listed(email) -> bool:
    """Whether an address is among IMAGINEER_ADMIN_EMAILS.

    Letter for letter but for the case of ASCII: other alphabets have letters that become ASCII in lower case.
    """
    return isinstance(email, str) and email.isascii() and email.lower() in settings.ADMIN_EMAILS


def make_admin(email: str) -> User:
    """The account of an allow-listed address as a member of the curators, made if it is not there yet.

    :raises ValidationError: the address is malformed or not among IMAGINEER_ADMIN_EMAILS.
    """
    email = email.strip()
    validate_email(email)
    if not is_listed(email):
        raise ValidationError(
            f"{email} is not among IMAGINEER_ADMIN_EMAILS; add it there first, and restart the web program."
        )
    email = email.lower()
    with transaction.atomic():
        user = User.objects.filter(email=email).first() or User.objects.create_user(email)
        if not user.is_staff:
            user.is_staff = True
            user.save(update_fields=["is_staff"])
        user.groups.add(Group.objects.get_or_create(name=CURATORS)[0])
    return user


def admit_google_account(claims: dict, *, bound_to: User | None) -> User:
    """The curator that the claims of Google's id token let in. Call it in the transaction that binds the account.

    Who may come in is read anew at each sign-in: the address must be verified and listed *now*, and the account
    belongs for ever to the identity (``sub``) that was bound to it first, whoever comes to own its address.

    :param bound_to: the account that this identity is bound to already.
    :raises Refused: with the reason.
    """
    email = claims.get("email")
    if claims.get("email_verified") is not True:
        raise Refused("the address is not verified")
    if not is_listed(email):
        raise Refused("the address is not among IMAGINEER_ADMIN_EMAILS")
    email = email.lower()
    if bound_to:
        if bound_to.email != email:
            raise Refused(f"the address of this identity is no longer that of account {bound_to.pk}")
        if not (bound_to.is_active and bound_to.is_staff):
            raise Refused(f"account {bound_to.pk} has been deactivated or is no admin any more")
        return bound_to
    try:
        account = make_admin(email)
    except (IntegrityError, ValidationError) as error:  # another sign-in made the account at this instant
        raise Refused(str(error)) from error
    # Only who holds the account's row may look whether it is free: of two identities, the second sees the first.
    User.objects.select_for_update().get(pk=account.pk)
    if not account.is_active:
        raise Refused(f"account {account.pk} has been deactivated")
    if SocialAccount.objects.filter(user=account).exists():
        raise Refused(f"account {account.pk} is bound to another identity")
    if not account.name:
        account.name = _plain(claims.get("name"))
        account.save(update_fields=["name"])
    return account


def _plain(name) -> str:
    """A name as one line: without control characters and without marks that turn the direction of writing."""
    kept = [
        char
        for char in (name if isinstance(name, str) else "")
        if char.isspace() or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
    ]
    return " ".join("".join(kept).split())[: User._meta.get_field("name").max_length]


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
