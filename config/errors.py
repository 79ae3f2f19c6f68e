"""The root of all errors of Stepline, and the error of a wrong configuration.

SteplineError
+-- SettingsError
"""


class SteplineError(Exception):
    """The root: ``except SteplineError`` catches whatever Stepline raises on purpose."""


class SettingsError(SteplineError):
    """A setting or a rule is wrong; the text says which, where it came from and what is allowed.

    Attributes:
        problems: One sentence for each wrong value; all that were found, not only the first.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)
