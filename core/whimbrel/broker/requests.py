"""Makes what a runner gets out of an execution: complete parameters, paths, environment, token."""

from pathlib import Path

import msgspec

from whimbrel import errors
from whimbrel.broker.content import Content
from whimbrel.broker.identity import Identity
from whimbrel.broker.parameters import Resolver
from whimbrel.broker.views import Versions
from whimbrel.model import Action, Execution, Pack, RunnerType, RunRequest

TIMEOUT_SECONDS_DEFAULT = 60.0


class RunRequests:
    """The requests for runners."""

    def __init__(
        self,
        content: Content,
        resolver: Resolver,
        versions: Versions,
        identity: Identity,
        *,
        api_url: str,
    ) -> None:
        self._content = content
        self._resolver = resolver
        self._versions = versions
        self._identity = identity
        self._api_url = api_url

    def run_request(self, execution: Execution) -> RunRequest:
        """Return the run of an execution. Raises `InvalidInput` when its parameters do not resolve."""
        action, runner = self._documents(execution)
        resolved = self._resolver.final(action, runner, execution.parameters, execution.context)
        user = str(execution.context.get("user", ""))
        pack_path = self._pack_path(action)
        return RunRequest(
            run_id=execution.id,
            attempt=1,
            runner=runner.name,
            action_ref=action.ref,
            pack=action.pack,
            pack_path=str(pack_path or ""),
            entry_point=_entry_point(action, pack_path),
            user=user,
            runner_parameters=resolved.runner,
            action_parameters=resolved.action,
            action_schema=action.parameters,
            timeout_seconds=float(resolved.runner.get("timeout") or TIMEOUT_SECONDS_DEFAULT),
            env={
                "ST2_ACTION_PACK_NAME": action.pack,
                "ST2_ACTION_EXECUTION_ID": execution.id,
                "ST2_ACTION_API_URL": self._api_url,
            },
            token=self._identity.service_token(user, execution.id),
            trace_id=str((execution.context.get("trace_context") or {}).get("id_", "")),
        )

    def run_ended(self, execution_id: str) -> None:
        """Let the run's token die with it."""
        self._identity.end_service(execution_id)

    def _documents(self, execution: Execution) -> tuple[Action, RunnerType]:
        """Return what the execution was requested with, though the action may have changed since."""
        version = self._versions.get(execution.action_version)
        current = self._versions.current(execution.action_ref)
        if current is not None and current[2].key == version.key:
            return current[0], current[1]
        return msgspec.convert(version.action, Action), msgspec.convert(version.runner, RunnerType)

    def _pack_path(self, action: Action) -> Path | None:
        try:
            pack = self._content.find("pack", action.pack)
        except errors.NotFound:
            return None
        assert isinstance(pack, Pack)
        return Path(pack.path) if pack.path else None


def _entry_point(action: Action, pack_path: Path | None) -> str:
    if not action.entry_point or pack_path is None:
        return action.entry_point
    return str(pack_path / "actions" / action.entry_point)
