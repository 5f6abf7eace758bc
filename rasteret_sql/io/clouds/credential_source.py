"""`CredentialSource`: names what credentials a provider gives, finds those that a process has, and makes others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.credentials import Provider


@dataclass(frozen=True, slots=True)
class FoundCredential:
    """The credential that there is for one provider; never its values."""

    provider: str
    """Its name, such as aws."""
    found: bool
    source: str
    """Where it is from, or where one was looked for."""
    effect: str
    """What reads do, in words."""


class CredentialSource(ABC):
    """One provider of credentials: a cloud, or a login for files that lie in another's stores."""

    name: str = ""
    """In configs of datasets and in what is said of credentials (`aws`); empty for one that has no credentials."""
    word: str = ""
    """In `credential_provider := 'aws'` of SQL; empty for one that cannot be asked for."""
    arguments: tuple[str, ...] = ()
    """Arguments of rasteret_create_backend that are for this word alone."""
    extra: str = ""
    """The extra of this package with what its credentials need."""
    modules: tuple[str, ...] = ()
    """What that extra brings."""
    obstore_class: tuple[str, str] = ("", "")
    """Module and name of obstore's class that finds its credentials."""

    def answers(self, word: str) -> bool:
        """True where `credential_provider := word` asks for this one."""
        return bool(self.word) and word == self.word

    def credentials(self, word: str, given: Mapping[str, str]) -> Provider:  # noqa: ARG002
        """The credentials that `credential_provider := word` asks for.

        Args:
            word: One that it answers to.
            given: Those of its `arguments` that were given.

        Raises:
            InvalidArgumentError: There are none, or what they need is not installed; no secret is shown.
        """
        module, name = self.obstore_class
        try:
            made = getattr(import_module(module), name)()
        except ImportError:
            raise InvalidArgumentError(
                f"credential_provider := '{word}' needs more packages: pip install 'rasteret-sql[{self.extra}]'"
            ) from None
        except Exception as error:  # noqa: BLE001 - a foreign package; its text may hold what is secret
            raise InvalidArgumentError(
                f"credential_provider := '{word}' found no credentials ({type(error).__name__}); sign in with the "
                "cloud's own command line tool, or set its environment variables"
            ) from None
        return Provider(made)

    def region(self, given: Mapping[str, str]) -> str | None:  # noqa: ARG002
        """The region that these credentials name; None where they name none."""
        return None

    @abstractmethod
    def found(self, variables: Mapping[str, str], credential: Callable[[str], str]) -> FoundCredential:
        """The credentials that a process has.

        Args:
            variables: Of the process.
            credential: Gives what requests for an address carry, in words, by the variables alone.
        """

    def is_installed(self) -> bool:
        """True where all that its extra brings is there."""
        return all(map(has_module, self.modules))


def has_module(module: str) -> bool:
    """True where a module is installed."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is not there
        return False
