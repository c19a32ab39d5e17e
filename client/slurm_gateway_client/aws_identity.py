"""An IAM principal: requests to POST /token signed with SigV4, by the ordinary chain of AWS credentials.

botocore is imported when a signature is needed, which a token from the cache never does.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from .errors import AuthenticationError, SettingsError
from .oidc_identity import of_ci

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import Settings
    from .transport import Call, Transport

_HOST = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com")
_STS_AUDIENCE = "sts.amazonaws.com"
# What decides which principal the chain finds. Whoever edits the profile behind it runs `slurm-gateway login`.
_DECIDES = (
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)  # fmt: skip


class AwsIdentity:
    """The principal of the environment's AWS credentials, or the role of the settings, assumed by a CI job."""

    path = "/token"

    def __init__(self, settings: Settings, transport: Transport, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._url = transport.url
        self._credentials: Any = None
        self._region = ""
        self._lock = threading.Lock()
        job = settings.id_token or environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "") if settings.role else ""
        self.cache_key = ("aws", settings.role, job, *(environ.get(name, "") for name in _DECIDES))

    def sign(self, call: Call) -> Mapping[str, str]:
        """Return the headers of a signature. Raises AuthenticationError, SettingsError."""
        try:
            from botocore.auth import SigV4Auth
            from botocore.awsrequest import AWSRequest
            from botocore.exceptions import BotoCoreError, ClientError
            from botocore.parsers import ResponseParserError
        except ImportError as exc:
            raise SettingsError(
                "To sign in with AWS credentials this needs botocore, which is not installed.",
                todo="Install this client again with [aws], as its README says, or give a token in SLURM_JWT.",
            ) from exc
        try:
            with self._lock:
                if self._credentials is None:
                    self._credentials, self._region = self._find()
                keys = self._credentials.get_frozen_credentials()
        except (BotoCoreError, ClientError, ResponseParserError) as exc:
            raise AuthenticationError(
                f"AWS gives no credentials: {str(exc).splitlines()[0]}",
                todo="Check them with `aws sts get-caller-identity`.",
            ) from exc
        request = AWSRequest(
            method=call.method, url=self._url + call.path, data=call.body or b"", headers=dict(call.headers)
        )
        SigV4Auth(keys, "execute-api", self._region).add_auth(request)
        return dict(request.headers)

    def advice(self) -> str:
        """Return what to do when the gateway does not take it."""
        return (
            "Check who you are with `aws sts get-caller-identity`, that this machine's clock is right, and that the "
            "principal is allowed execute-api:Invoke on POST /token."
        )

    def _find(self) -> tuple[Any, str]:
        from botocore.session import Session

        session = Session()
        in_host = _HOST.search(self._url)
        # botocore itself reads AWS_DEFAULT_REGION and the profile, and not the variable that every SDK has.
        region = in_host[1] if in_host else self._environ.get("AWS_REGION") or session.get_config_variable("region")
        if not region:
            raise SettingsError(
                "It is not said which AWS region the gateway is in.",
                todo="Set AWS_REGION: its own address does not tell it.",
            )
        credentials = self._assumed(session, region) if self._settings.role else session.get_credentials()
        if credentials is None:
            raise AuthenticationError(
                "There are no AWS credentials.",
                means="None in the environment, the profile, the container or the instance.",
                todo="Set AWS_PROFILE, run `aws sso login`, or give a token in SLURM_JWT.",
            )
        return credentials, region

    def _assumed(self, session: Any, region: str) -> Any:  # noqa: ANN401 (botocore has no types)
        """Return credentials of the role, which are had anew by a new OIDC token when they run out."""
        from botocore.credentials import AssumeRoleWithWebIdentityCredentialFetcher, DeferredRefreshableCredentials

        def client(name: str, **more: Any) -> Any:  # noqa: ANN401
            return session.create_client(name, region_name=region, **more)

        fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
            client_creator=client,
            web_identity_token_loader=lambda: of_ci(self._settings, self._environ, _STS_AUDIENCE),
            role_arn=self._settings.role,
            extra_args={"RoleSessionName": "slurm-gateway"},
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role-with-web-identity")
