"""Who came in and who was turned away, in the log."""

import logging

from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.dispatch import receiver

from imagineer.client import client_address

logger = logging.getLogger(__name__)


@receiver(user_logged_in, dispatch_uid="accounts.journal")
def log_sign_in(sender, request, user, **_):
    by = getattr(user, "backend", "").rpartition(".")[2]
    fields = {"user": user.pk, "by": by, "address": client_address(request)}
    logger.info("signed in", extra={"fields": fields})


@receiver(user_login_failed, dispatch_uid="accounts.journal")
def log_failure(sender, credentials, request=None, **_):
    # not the address that was tried: people type their password into the wrong field
    logger.warning("a password was wrong", extra={"fields": {"address": request and client_address(request)}})
