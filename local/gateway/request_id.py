"""The identifier that API Gateway gives a request."""

from __future__ import annotations

import base64
import os


def request_id() -> str:
    """Give an identifier like ``Mc7UVioPPHcEKPA=``: 11 random bytes in base64.

    Source: the form seen in the developer guide, http-api-troubleshooting-jwt (header apigw-requestid).
    """
    return base64.urlsafe_b64encode(os.urandom(11)).decode()
