"""How the worker says no: a code of the host's catalogue, a message, and every finding in details."""

from typing import Any, Dict, Optional, Sequence


class Refusal(Exception):
    """A declared end of an operation; it travels to the host as data, never as a traceback to parse."""

    def __init__(self, code: str, message: str, details: Sequence[str] = (), remedy: Optional[str] = None) -> None:
        super(Refusal, self).__init__(message)
        self.code, self.message, self.details, self.remedy = code, message, list(details), remedy

    def as_json(self) -> Dict[str, Any]:
        """The ``error`` object of response.json."""
        return {"code": self.code, "message": self.message, "details": self.details, "remedy": self.remedy}
