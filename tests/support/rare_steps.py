"""Steps that the workers of the test sites do not know, until one joins that does."""

from steps import step


@step
def GetRareStep(value: int) -> int:
    return value


@step(critical=True)
def WriteRareStep(value: int) -> int:
    return value
