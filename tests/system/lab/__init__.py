"""The laboratory of the system tests: the real program, a load that knows what was answered, and a destination that judges."""
from .audit import audit, deliveries  # noqa: F401
from .authority import Authority  # noqa: F401
from .chaos import Chaos  # noqa: F401
from .fleet import Fleet, audit_fleet  # noqa: F401
from .load import Load, message  # noqa: F401
from .platform import Platform  # noqa: F401
from .program import ROOT, Program, balanced, free_port, sluice  # noqa: F401
from .sink import Sink  # noqa: F401
