"""Pages by cursor: each costs the same at any depth."""

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Q
from rest_framework import exceptions

from imagineer.api import COUNT_LIMIT, DEFAULT_PER_PAGE, MAX_PER_PAGE, KeysetPagination

NEWEST_FIRST = ("-pk",)
ALBUM_ORDER = ("position", "place_id")  # annotations of ImageQuerySet.in_album_order()
RUN_ORDER = ("slot", "pk")  # annotation of gallery.origins.Provider.pictures()
TEXTS = {"sort_name"}  # keys that are no numbers; such a one comes first


@dataclass(frozen=True)
class Page:
    rows: list
    previous: str | None  # cursors
    next: str | None


def cut_page(
    queryset, keys: tuple[str, ...], *, size: int, after: str | None = None, before: str | None = None
):
    """The rows behind one cursor or in front of the other, at most ``size``; the first ones without either.

    :param keys: one or two columns that order the rows and tell them apart, all in one direction.
    :raises ValueError: the cursor is none of ours.
    """
    queryset = queryset.order_by(*keys)
    if before:
        rows = list(queryset.filter(_beyond(keys, before, backwards=True)).reverse()[: size + 1])
        has_previous, has_next = len(rows) > size, True
        rows = rows[:size][::-1]
    else:
        if after:
            queryset = queryset.filter(_beyond(keys, after))
        rows = list(queryset[: size + 1])
        has_previous, has_next = bool(after), len(rows) > size
        rows = rows[:size]
    return Page(
        rows,
        previous=_cursor(keys, rows[0]) if has_previous and rows else None,
        next=_cursor(keys, rows[-1]) if has_next and rows else None,
    )


def _cursor(keys, row) -> str:
    return "-".join(str(getattr(row, key.removeprefix("-"))) for key in keys)


def _beyond(keys, cursor: str, *, backwards: bool = False) -> Q:
    names = [key.removeprefix("-") for key in keys]
    values = cursor.rsplit("-", len(keys) - 1)
    if len(values) != len(keys) or "\0" in cursor:
        raise ValueError(f"{cursor!r} is no cursor of this list.")
    for place, name in enumerate(names):
        if name not in TEXTS:
            if not re.fullmatch(r"\d{1,18}", values[place], re.ASCII):
                raise ValueError(f"{cursor!r} is no cursor of this list.")
            values[place] = int(values[place])
    sign = "lt" if keys[0].startswith("-") != backwards else "gt"
    condition = Q(**{f"{names[-1]}__{sign}": values[-1]})
    for name, value in zip(names[-2::-1], values[-2::-1], strict=True):
        # the first part repeats what follows from the second, in a form that an index can seek by
        condition = Q(**{f"{name}__{sign}e": value}) & (Q(**{f"{name}__{sign}": value}) | condition)
    return condition


class AlbumOrderPagination(KeysetPagination):
    """The list of an album's pictures, in its order."""

    keys = ALBUM_ORDER

    def paginate_queryset(self, queryset, request, view=None):
        self.request, self.plural = request, view.plural
        total = queryset.order_by().values("pk")[: COUNT_LIMIT + 1].count()
        self.total, self.total_is_exact = min(total, COUNT_LIMIT), total <= COUNT_LIMIT
        self.per_page = min(self._number("per_page", DEFAULT_PER_PAGE, least=1), MAX_PER_PAGE)
        self.page = self._number("page", 1, least=1)
        after, before = (request.query_params.get(name) for name in ("after", "before"))
        start = 0 if after or before else (self.page - 1) * self.per_page
        if start >= COUNT_LIMIT:
            raise exceptions.ValidationError(
                {"page": [f"Pages past row {COUNT_LIMIT:,} are reached with the `next` address."]}
            )
        try:
            if start:
                rows = list(queryset.order_by(*self.keys)[start : start + self.per_page + 1])
                has_next, rows = len(rows) > self.per_page, rows[: self.per_page]
                self.cut = Page(
                    rows,
                    previous=_cursor(self.keys, rows[0]) if rows else None,
                    next=_cursor(self.keys, rows[-1]) if has_next else None,
                )
            else:
                self.cut = cut_page(queryset, self.keys, size=self.per_page, after=after, before=before)
        except ValueError as error:
            raise exceptions.ValidationError({"after": [str(error)]}) from error
        self.has_next, self.has_prev = bool(self.cut.next), bool(self.cut.previous)
        self.last_key, self.first_key = self.cut.next, self.cut.previous
        return self.cut.rows


class RunOrderPagination(AlbumOrderPagination):
    """The list of a run's pictures, in the order of its slots."""

    keys = RUN_ORDER


def page_links(request, page: Page) -> dict[str, str | None]:
    """Addresses of the neighbouring pages, with the other parameters kept."""

    def link(name, cursor):
        query = request.GET.copy()
        for old in ("after", "before"):
            query.pop(old, None)
        query[name] = cursor
        return f"?{urlencode(list(query.items()))}"

    return {
        "previous": link("before", page.previous) if page.previous else None,
        "next": link("after", page.next) if page.next else None,
    }
