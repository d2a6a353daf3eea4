"""One line an event: ``2026-01-31T12:00:00Z INFO imagineer.jobs job=12 epoch=3 finished status=completed``.

Fields are given as ``logger.info("finished", extra={"fields": {"status": "completed"}})``; the job that the
current thread works on stands in every line it logs. Line breaks and control characters are escaped, so a
hostile name cannot forge a line, and what looks like a credential is blacked out.
"""

import contextvars
import logging
import re
import time

current_job: contextvars.ContextVar[str] = contextvars.ContextVar("current_job", default="")

SECRET = re.compile(
    r"(?i)((?:authorization|token|bearer|api[-_]?key|secret|password|passwd|cookie|sessionid)\b[\"']?\s*[:=]?\s*)"
    r"(?:token\s+|bearer\s+)?[\"']?[^\s\"',;&]{8,}"
)
URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@/\s]+@")
SHARED_KEY = re.compile(r"(?i)((?:/|%2f)s(?:/|%2f))[\w-]{43}")  # of a shared link, as it stands in addresses
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def redact(text: str) -> str:
    text = SHARED_KEY.sub(r"\1***", text)
    return SECRET.sub(r"\1***", URL_PASSWORD.sub(r"\1***@", text))


def escape(text: str) -> str:
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class LineFormatter(logging.Formatter):
    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        parts = [self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"), record.levelname, record.name]
        if job := current_job.get():
            parts.append(f"job={job}")
        parts.append(record.getMessage())
        parts += [f"{key}={value}" for key, value in getattr(record, "fields", {}).items()]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        return escape(redact(" ".join(parts)))
