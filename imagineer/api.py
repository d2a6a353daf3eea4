"""What every API of the house shares: who may write, one shape of error, one shape of list."""

import logging
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from django_filters import rest_framework as filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import exceptions, permissions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import BasePagination
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle

from imagineer.client import client_network
from imagineer.outages import ANSWERS, PAUSE, Outage, find_outage

logger = logging.getLogger(__name__)

DEFAULT_PER_PAGE = 50
MAX_PER_PAGE = 100
COUNT_LIMIT = 10_000  # rows counted at most, and the last row that ?page= reaches
MAX_ID = 2**63 - 1
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Your name for this request, such as a UUID: sent again with the same key and body, because no answer "
    "came, it is answered with what it has begun already.",
)


class IsAdmin(permissions.BasePermission):
    message = "Only an admin may do this."

    def has_permission(self, request, view):
        return bool(request.user and request.user.is_staff)


class IsAdminOrReadOnly(IsAdmin):
    """Reads go on to the gate (``visible_to``), which decides object by object."""

    def has_permission(self, request, view):
        return request.method in permissions.SAFE_METHODS or super().has_permission(request, view)


class NetworkThrottle(ScopedRateThrottle):
    """A limit of an address; whoever is not signed in is known by their network, which no header forges.

    Each request that is let through holds one of the limit's slots for the limit's duration. Taking one is a single
    step in the shared cache, so any number of processes together allow no more than one would; Django REST
    framework's own throttles read a list and write it back, and what comes in between is forgotten.
    """

    def get_ident(self, request):
        return client_network(request)

    def allow_request(self, request, view):
        self.scope = getattr(view, self.scope_attr, None)
        if not self.scope:
            return True
        slots, self.duration = self.parse_rate(self.get_rate())
        key, self.now = self.get_cache_key(request, view), self.timer()
        keys = [f"{key}:{slot}" for slot in range(slots)]
        self.held = self.cache.get_many(keys)  # slot: since when
        return any(key not in self.held and self.cache.add(key, self.now, self.duration) for key in keys)

    def wait(self):
        return max(1, min(self.held.values(), default=self.now) + self.duration - self.now)


class Conflict(exceptions.APIException):
    """The request is well formed and clashes with the state of things."""

    status_code = 409
    default_code = "conflict"


class Unavailable(exceptions.APIException):
    """Something of the house is away that comes back."""

    default_code = "unavailable"

    def __init__(self, outage: Outage):
        self.status_code, sentence = ANSWERS[outage]
        self.wait = PAUSE if self.status_code == 503 else None
        super().__init__(sentence)


class BoundedJSONParser(JSONParser):
    """JSON that is nested deeper than Python reads is a wrong request, not a broken server."""

    def parse(self, stream, media_type=None, parser_context=None):
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise exceptions.ParseError("The JSON is nested too deeply.") from error


class AnyAccepted(DefaultContentNegotiation):
    """For addresses that send pictures: whatever the request accepts, it gets what there is."""

    def select_renderer(self, request, renderers, format_suffix=None):
        return renderers[0], renderers[0].media_type


class IdFilter(filters.NumberFilter):
    """An id that fits a database's column, whatever is written."""

    field_class = forms.IntegerField

    def __init__(self, *args, **options):
        super().__init__(*args, min_value=0, max_value=MAX_ID, **options)


@extend_schema_field({"type": "boolean"})
class TrueOrFalseFilter(filters.TypedChoiceFilter):
    """``true`` or ``false``: anything else is refused, where Django takes it for a filter that was not given."""

    def __init__(self, *args, **options):
        choices = [(word, word) for word in ("true", "false")]
        super().__init__(*args, choices=choices, coerce=lambda value: value == "true", **options)


class StrictFilterBackend(DjangoFilterBackend):
    """A filter that a list does not know is refused: ignoring it would answer everything as if it matched."""

    PAGING = {"page", "per_page", "after", "before", "nsfw", "format"}

    def filter_queryset(self, request, queryset, view):
        filterset = self.get_filterset_class(view, queryset)
        known = self.PAGING | set(filterset.base_filters if filterset else ())
        if unknown := sorted(set(request.query_params) - known):
            raise exceptions.ValidationError(
                {name: ["This list has no such filter."] for name in unknown[:10]}
            )
        return super().filter_queryset(request, queryset, view)


def handle_exception(error, context):
    """Answer every error in one shape: ``{"error": sentence, "fields": {name: [sentences]}?}``."""
    if request := context.get("request"):
        # whatever was to be sent, and whatever is accepted: an error is JSON
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
    if not isinstance(error, exceptions.APIException) and (outage := find_outage(error)):
        logger.warning("%s: %s", outage, error)
        error = Unavailable(outage)
    if isinstance(error, exceptions.NotAuthenticated):
        error.detail = "Sign in, or send the key of an API token: Authorization: Token KEY."
    elif isinstance(error, Http404):
        error = exceptions.NotFound("There is nothing here.")
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied(str(error) or None)
    elif isinstance(error, ValidationError):
        error = exceptions.ValidationError(
            error.message_dict if hasattr(error, "error_dict") else error.messages
        )
    if not isinstance(error, exceptions.APIException):
        return None
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header
    if getattr(error, "wait", None) is not None:
        headers["Retry-After"] = str(max(1, round(error.wait)))
    return Response(error_body(error.detail), status=error.status_code, headers=headers)


def error_body(detail) -> dict:
    if isinstance(detail, dict):
        fields = {_sendable(str(name)): _sentences(value) for name, value in detail.items()}
        general = fields.pop("non_field_errors", None)
        if not fields:
            return {"error": " ".join(general or ["The request is wrong."])}
        first_name, first = next(iter(fields.items()))
        sentence = " ".join(general) if general else f"{first_name}: {first[0] if first else 'is wrong'}"
        return {"error": sentence, "fields": fields}
    return {"error": " ".join(_sentences(detail))}


def _sentences(detail) -> list[str]:
    if isinstance(detail, dict):
        return [f"{key}: {sentence}" for key, value in detail.items() for sentence in _sentences(value)]
    if isinstance(detail, (list, tuple)):
        return [sentence for part in detail for sentence in _sentences(part)]
    return [_sendable(str(detail))]


def _sendable(text: str) -> str:
    """What was sent may be repeated in an answer: without halves of signs, which UTF-8 has not."""
    return text.encode(errors="replace").decode()


class KeysetPagination(BasePagination):
    """``?page=1&per_page=50``; ``next`` and ``prev`` are cursors by primary key that cost the same at any depth.

    A view names its list with ``plural``. Rows stand in order of the primary key: newest first, or oldest first
    with ``is_newest_first = False``.
    """

    is_newest_first = True

    def paginate_queryset(self, queryset, request, view=None):
        self.request, self.plural = request, view.plural
        self.per_page = min(self._number("per_page", DEFAULT_PER_PAGE, least=1, most=MAX_ID), MAX_PER_PAGE)
        self.page = self._number("page", 1, least=1)
        after, before = (self._number(name, None, least=0, most=MAX_ID) for name in ("after", "before"))
        self.total = queryset.order_by().values("pk")[: COUNT_LIMIT + 1].count()
        self.total_is_exact = self.total <= COUNT_LIMIT
        self.total = min(self.total, COUNT_LIMIT)
        beyond, short_of = ("pk__lt", "pk__gt") if self.is_newest_first else ("pk__gt", "pk__lt")
        queryset = queryset.order_by("-pk" if self.is_newest_first else "pk")
        wanted = self.per_page + 1  # one more tells whether there is a next page
        if after is not None:
            rows = list(queryset.filter(**{beyond: after})[:wanted])
            self.has_prev, self.has_next = True, len(rows) == wanted
            rows = rows[: self.per_page]
        elif before is not None:
            rows = list(queryset.filter(**{short_of: before}).reverse()[:wanted])
            self.has_prev, self.has_next = len(rows) == wanted, True
            rows = rows[: self.per_page][::-1]
        else:
            start = (self.page - 1) * self.per_page
            if start >= COUNT_LIMIT:
                raise exceptions.ValidationError(
                    {
                        "page": [
                            f"Pages past row {COUNT_LIMIT:,} are reached with the `next` address of the page before."
                        ]
                    }
                )
            rows = list(queryset[start : start + wanted])
            self.has_prev, self.has_next = self.page > 1 and bool(rows), len(rows) == wanted
            rows = rows[: self.per_page]
        self.first_key, self.last_key = (rows[0].pk, rows[-1].pk) if rows else (None, None)
        return rows

    def get_paginated_response(self, data):
        pages = max(1, -(-self.total // self.per_page))
        return Response(
            {
                self.plural: data,
                "total": self.total,
                "total_is_exact": self.total_is_exact,
                "page": self.page,
                "per_page": self.per_page,
                "pages": pages,
                "next": self._link("after", self.last_key, self.page + 1) if self.has_next else None,
                "prev": self._link("before", self.first_key, self.page - 1) if self.has_prev else None,
            }
        )

    def get_paginated_response_schema(self, schema):
        link = {"type": "string", "format": "uri", "nullable": True}
        number = {"type": "integer"}
        properties = {
            "total": number,
            "total_is_exact": {"type": "boolean"},
            "page": number,
            "per_page": number,
            "pages": number,
            "next": link,
            "prev": link,
        }
        return {
            "type": "object",
            "required": [self.plural, *properties],
            "properties": {self.plural: schema, **properties},
        }

    def get_schema_operation_parameters(self, view):
        number, cursor = {"type": "integer", "minimum": 1}, {"type": "string"}
        parameters = {
            "page": (number, f"The page, from 1, up to row {COUNT_LIMIT:,}."),
            "per_page": (number, f"Rows a page, {MAX_PER_PAGE} at most."),
            "after": (cursor, "Cursor, as given in `next`."),
            "before": (cursor, "Cursor, as given in `prev`."),
        }
        return [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": text,
                "schema": schema,
            }
            for name, (schema, text) in parameters.items()
        ]

    def _number(self, name, default, *, least, most=COUNT_LIMIT):
        raw = self.request.query_params.get(name)
        if raw is None or raw == "":
            return default
        if not (raw.isascii() and raw.isdigit() and len(raw) < 20 and least <= int(raw) <= most):
            far = "; further pages are reached with `next`" if name == "page" else ""
            raise exceptions.ValidationError({name: [f"Write a whole number from {least} to {most:,}{far}."]})
        return int(raw)

    def _link(self, name, key, page):
        if key is None:
            return None
        query = self.request.query_params.copy()
        for old in ("after", "before", "page"):
            query.pop(old, None)
        query[name], query["page"] = key, max(1, page)
        return f"{self.request.build_absolute_uri(self.request.path)}?{urlencode(list(query.items()))}"


class NewestFirstPagination(KeysetPagination):
    pass


class InOrderPagination(KeysetPagination):
    is_newest_first = False
