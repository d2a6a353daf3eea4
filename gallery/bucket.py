"""Files in an S3 bucket (AWS_STORAGE_BUCKET_NAME), by django-storages."""

import errno
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.utils.deconstruct import deconstructible
from storages.backends.s3 import S3Storage

from gallery.storage import ExactKeys, check_key

ADDRESS_LIFETIME = 120  # seconds


@deconstructible(path="gallery.bucket.BucketStorage")
class BucketStorage(ExactKeys, S3Storage):
    """As :class:`gallery.storage.ContentStorage`, in a private bucket. S3 shows a file whole or not at all.

    A bucket that is away is an OSError, as a disk would be, so that jobs wait for it.
    """

    def __init__(self, *, addressing_style: str = "auto", **options):
        config = Config(
            s3={"addressing_style": addressing_style},
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 3},
            # the checksums that AWS added in 2025 are refused by older servers of other makers
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        super().__init__(
            client_config=config, default_acl=None, file_overwrite=True, max_memory_size=8 * 2**20, **options
        )

    def _open(self, name, mode="rb"):
        check_key(name)
        with as_os_error(name):
            return super()._open(name, mode)

    def _save(self, name, content):
        check_key(name)
        with as_os_error(name):
            return super()._save(name, content)

    def exists(self, name):
        check_key(name)
        with as_os_error(name):
            return super().exists(name)

    def delete(self, name):
        check_key(name)
        with as_os_error(name):
            super().delete(name)

    def listdir(self, name):
        with as_os_error(name):
            return super().listdir(name)

    def list_sizes(self, name) -> dict[str, int]:
        """The files of a folder with their bytes."""
        check_key(name)
        prefix = f"{self._normalize_name(name)}/"
        with as_os_error(name):
            pages = self.connection.meta.client.get_paginator("list_objects").paginate(
                Bucket=self.bucket_name, Delimiter="/", Prefix=prefix
            )
            return {
                entry["Key"].removeprefix(prefix): entry["Size"]
                for page in pages
                for entry in page.get("Contents", ())
                if entry["Key"] != prefix
            }

    def size(self, name):
        check_key(name)
        with as_os_error(name):
            return super().size(name)

    def get_modified_time(self, name):
        with as_os_error(name):
            return super().get_modified_time(name)

    def url(self, name, *args, **options):
        raise ValueError("Nothing has an address past the gate; it hands out signed ones.")

    def signed_url(self, name: str, *, content_type: str, disposition: str) -> str:
        """An address of the file that holds for two minutes, and says what the bytes are whatever the bucket thinks."""
        parameters = {
            "Bucket": self.bucket_name,
            "Key": self._normalize_name(name),
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
            "ResponseCacheControl": "private, max-age=60",
        }
        return self.connection.meta.client.generate_presigned_url(
            "get_object", Params=parameters, ExpiresIn=ADDRESS_LIFETIME
        )


@contextmanager
def as_os_error(name: str):
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        answer = getattr(error, "response", {})
        is_missing = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404
        has_no_bucket = answer.get("Error", {}).get("Code") == "NoSuchBucket"
        number = errno.ENOENT if is_missing and not has_no_bucket else errno.EIO
        raise OSError(number, f"The bucket does not give or take {name}: {error}") from error
