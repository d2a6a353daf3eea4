import pytest

from tests.clusters import (  # noqa: F401  fixtures
    migrated_postgres,
    migrated_sqlite,
    postgres,
    redis_server,
    site,
    site_on,
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """What the clusters said, beside the failure of a test that started some."""
    report = yield
    if report.failed and hasattr(item, "site"):
        report.sections.append(("clusters", item.site.logs))
    return report
