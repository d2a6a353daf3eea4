"""S1, S2: what lists and pages of the library cost, with few rows and with many.

The rows have no files: what is measured is the database and the pages, and files are read by neither.
"""

import statistics
import time
from contextlib import contextmanager

from bench.library import a_library, fill

FEW = 10
MANY = 10_000  # pictures; ten times as many with full=1
PAIRS = 7


def measure(full: bool = False):
    many = MANY * 10 if full else MANY
    with a_library():
        from django.test import Client

        client = Client()
        fill(0, FEW)
        few = {address: count_queries(client, address) for address in ADDRESSES}
        fill(FEW, many)
        for address, limit in ADDRESSES.items():
            number = count_queries(client, address)
            yield {
                "id": "S1",
                "what": f"SQL queries of {address} with {many:,} pictures",
                "ours": str(number),
                "baseline": f"with {FEW} pictures: {few[address]}",
                "ratio": f"{number / few[address]:.1f}×",
                "goal": f"the same number{f', ≤ {limit}' if limit else ''}",
                "met": number == few[address] and (limit is None or number <= limit),
            }
        yield compare_last_page(client, many)


# address: most queries that its goal allows
ADDRESSES = {
    "/api/images": 3,
    "/api/images?nsfw=hide": 3,
    "/api/images?album=1": 3,
    "/api/images?run=1": 3,
    "/api/images?source_type=batch_generation": 3,
    "/api/images?rating=safe": 3,
    "/api/images?tag=rare": 3,
    "/api/images?model=model": 3,
    "/api/images/5": 3,
    "/api/albums": 3,
    "/api/albums?nsfw=hide": 3,
    "/api/albums/1": 3,
    "/": None,
    "/albums": None,
    "/albums?sort=name": None,
    "/albums?sort=most&q=album": None,
    "/albums/1": None,
    "/images/5": None,
    "/images/5?album=1": None,
    "/loras": None,
}


def count_queries(client, address: str) -> int:
    with counted() as queries:
        response = client.get(address)
    if response.status_code != 200:
        raise RuntimeError(f"{address} answers {response.status_code}")
    return len(queries)


@contextmanager
def counted():
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        yield queries


def compare_last_page(client, many: int) -> dict:
    """The first page against the last but one, both by cursor, in turns."""
    from gallery.models import Image

    deep = Image.objects.order_by("pk").values_list("pk", flat=True)[100]
    first, last = [], []
    for _ in range(PAIRS):
        first.append(processor_time(client, "/api/images?per_page=60"))
        last.append(processor_time(client, f"/api/images?per_page=60&after={deep}"))
    ratio = statistics.median(last) / statistics.median(first)
    return {
        "id": "S2",
        "what": f"processor time of the last page of {many:,} pictures against the first",
        "ours": f"{1000 * statistics.median(last):.1f} ms ({1000 * min(last):.1f}–{1000 * max(last):.1f})",
        "baseline": f"{1000 * statistics.median(first):.1f} ms ({1000 * min(first):.1f}–{1000 * max(first):.1f})",
        "ratio": f"{ratio:.2f}×",
        "goal": "≤ 1.1×",
        "met": ratio <= 1.1,
    }


def processor_time(client, address: str, repeats: int = 20) -> float:
    start = time.process_time()
    for _ in range(repeats):
        client.get(address)
    return (time.process_time() - start) / repeats
