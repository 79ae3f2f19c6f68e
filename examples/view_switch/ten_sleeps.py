"""The ten-sleep view: synthetic steps that only sleep, as long as the ten calls of a measured view took."""

import time
from typing import Final

from steps import step

SLEEPS_MS: Final = {
    "GetSyntheticChatHistoryStep": 117,
    "GetSyntheticGitStatusStep": 19,
    "GetSyntheticGitBranchStep": 9,
    "GetSyntheticChatListStep": 117,
    "GetSyntheticPreferencesStep": 95,
    "GetSyntheticSystemStatusStep": 88,
    "FetchSyntheticUserStep": 83,
    "RetrieveSyntheticProjectStep": 79,
    "LoadSyntheticConfigurationStep": 76,
    "QuerySyntheticDatabaseStep": 70,
}
"""How long each step sleeps, in milliseconds; together 753."""


def _sleeper(name: str, sleep_ms: int) -> None:
    def sleep() -> int:
        time.sleep(sleep_ms / 1000)
        return sleep_ms

    step(name=name)(sleep)


for _name, _sleep_ms in SLEEPS_MS.items():
    _sleeper(_name, _sleep_ms)
