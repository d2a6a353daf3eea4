"""Old links never lead to something else: no number is given twice."""

import pytest
from django.apps import apps
from django.db import connection
from django.db.models.signals import post_migrate, pre_migrate

from gallery.models import Album, Image, SharedLink
from gallery.services import create_album
from gallery.sharing import create_shared_link


@pytest.mark.django_db
def test_the_number_of_a_deleted_row_is_never_given_again(take_in):
    """On PostgreSQL a sequence sees to it, on SQLite AUTOINCREMENT."""
    for make in (lambda: take_in(1), lambda: create_album(name="One")):
        first = make()
        pk = first.pk
        first.delete()
        assert make().pk > pk


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite makes tables anew")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("are_others_left", [True, False])
def test_not_even_after_a_migration_that_makes_the_table_anew(take_in, are_others_left):
    kept, last = take_in(1), take_in(2)
    pk = last.pk
    Image.objects.filter(pk__in=[last.pk] if are_others_left else [kept.pk, last.pk]).delete()
    config = apps.get_app_config("gallery")
    about = {"app_config": config, "verbosity": 0, "interactive": False, "using": "default", "apps": apps}
    pre_migrate.send(sender=config, plan=[], **about)
    with connection.schema_editor() as editor:
        editor._remake_table(Image)
    post_migrate.send(sender=config, plan=[], **about)
    assert take_in(3).pk > pk
    assert Album.objects.count() == 0


@pytest.mark.django_db
def test_the_number_of_a_link_does_not_come_back_either(take_in):
    link = create_shared_link(image=take_in(1))[0]
    pk = link.pk
    link.delete()
    assert create_shared_link(image=take_in(1))[0].pk > pk and SharedLink.objects.count() == 1
