"""A conformance kit: messages and flows that any user agent or registrar can be tried with, and the judge.

The kit is a root machine (`ConformanceRun`) as the phone and the server are: a driver runs it against a peer on the
network, a `simulation.World` against one in the same process. Its cases are scripts: generators that send, wait, and
say what was wrong. What they send is made here, in the manner of RFC 4475, RFC 5118 and RFC 3665.
"""

from .case import Case, Result
from .catalogue import cases_for
from .end import Target
from .matrix import Matrix
from .run import CaseFinished, CaseStarted, ConformanceRun, RunFinished
from .script import Role, Verdict

__all__ = [
    "Case",
    "CaseFinished",
    "CaseStarted",
    "ConformanceRun",
    "Matrix",
    "Result",
    "Role",
    "RunFinished",
    "Target",
    "Verdict",
    "cases_for",
]
