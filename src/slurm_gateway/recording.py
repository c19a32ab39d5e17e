"""From the bus to the tables: messages of a queue, each an event, each recorded by what its detail-type says it is."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from .errors import EventNotValidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_logger = logging.getLogger(__name__)


class Recording:
    """Takes Lambda's batches of messages. `kinds` records an event's detail, by the event's detail-type.

    A message that fails is named in the answer, so that the others of its batch are done with: the queue gives it
    again, and after some times to the dead-letter queue.
    """

    def __init__(self, kinds: Mapping[str, Callable[[Mapping[str, Any]], None]]) -> None:
        self._kinds = dict(kinds)

    def __call__(self, event: Mapping[str, Any], _context: object = None) -> dict[str, list[dict[str, str]]]:
        """Take a batch; return which of its messages failed."""
        failed = [message["messageId"] for message in event["Records"] if not self._is_done(message)]
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def _is_done(self, message: Mapping[str, Any]) -> bool:
        line = {"message_id": message["messageId"]}
        try:
            self._record(message["body"], line)
        except (EventNotValidError, UnavailableError) as exc:
            _logger.error("not recorded", extra={**line, "error": str(exc)})
            return False
        except Exception:
            _logger.exception("unexpected error", extra=line)
            return False
        return True

    def _record(self, body: str, line: dict[str, Any]) -> None:
        try:
            event = json.loads(body)
            kind, detail = event["detail-type"], event["detail"]
        except (ValueError, KeyError, TypeError) as exc:
            raise EventNotValidError(f"the message is no event: {exc!r:.100}") from exc
        line["event_id"] = event.get("id")
        record = self._kinds.get(str(kind))
        if record is None or not isinstance(detail, dict):
            raise EventNotValidError(f"there is no such event: detail-type is {kind!r:.100}")
        record(detail)
