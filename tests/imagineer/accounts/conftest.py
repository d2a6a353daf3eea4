import pytest

from imagineer.accounts.provider import GoogleAdapter
from tests.imagineer.accounts.fake_google import CLIENT_ID, CLIENT_SECRET, FakeGoogle


@pytest.fixture
def google(settings, monkeypatch):
    """A provider in Google's place; ``google.person`` is who sits before it."""
    settings.GOOGLE_CLIENT_ID, settings.GOOGLE_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
    provider = FakeGoogle()
    monkeypatch.setattr(GoogleAdapter, "authorize_url", f"{provider.base}/authorize")
    monkeypatch.setattr(GoogleAdapter, "access_token_url", f"{provider.base}/token")
    monkeypatch.setattr(GoogleAdapter, "identity_url", f"{provider.base}/userinfo")
    provider.person = {"sub": "1001", "email": "ada@example.org"}
    yield provider
    provider.close()
