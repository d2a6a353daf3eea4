"""Finding the pages of the site as a browser does: by following every link."""

import re
from collections import Counter, deque
from html import unescape
from urllib.parse import urljoin, urlsplit

from django.urls import Resolver404, resolve

LINK = re.compile(r'\s(?:href|src|action)="([^"#]+)"')


def route_of(path: str) -> str | None:
    try:
        return resolve(path).route
    except Resolver404:
        return None


def crawl(client, start, *, per_route=2):
    """(address, response) of what can be reached by links, few of each route.

    What a form asks is fetched like a link, without its fields; nothing is sent, so nothing changes.
    """
    waiting, seen, visited = deque([start]), {start}, Counter()
    while waiting:
        address = waiting.popleft()
        route = route_of(urlsplit(address).path)
        if route is None or visited[route] >= per_route:
            continue
        visited[route] += 1
        response = client.get(address)
        yield address, response
        found = []
        if response.has_header("Location"):
            found = [response["Location"]]
        elif response.headers["Content-Type"].startswith("text/html"):
            found = [unescape(link) for link in LINK.findall(response.content.decode())]
        for link in found:
            parts = urlsplit(urljoin(address, link))
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            is_ours = not parts.scheme and not parts.netloc and not parts.path.startswith("/static/")
            if is_ours and target not in seen:
                seen.add(target)
                waiting.append(target)
