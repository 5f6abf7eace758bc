"""Keeps the settings of one session."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class SessionSettings:
    """Settings that may be changed for one session."""

    max_call_bytes: int
    """Most bytes of pixels that one call may hold."""
    on_error: str = "raise"
    """Of calls that do not say."""
    on_change: str = "raise"
    """Of calls that do not say."""
    default_call_bytes: int = field(init=False)
    """What `max_call_bytes` was at first."""

    def __post_init__(self) -> None:
        self.default_call_bytes = self.max_call_bytes

    def of_calls(self) -> dict[str, str]:
        """Settings that hold for calls that do not say, where they are not the default."""
        said = {"on_error": self.on_error, "on_change": self.on_change}
        return {name: value for name, value in said.items() if value != "raise"}
