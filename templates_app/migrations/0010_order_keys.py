from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('templates_app', '0009_purged_pictures'),
    ]

    operations = [
        migrations.AddField(
            model_name='batchgenerationrun',
            name='request_key',
            field=models.UUIDField(editable=False, help_text='Of the page that confirmed the order: sent twice, ordered once.', null=True, unique=True),
        ),
    ]
