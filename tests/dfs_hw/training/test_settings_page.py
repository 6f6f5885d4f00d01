"""The page of settings says what the settings say of themselves."""

from dataclasses import fields

from settings_page import PAGE, documented, page

from dfs_hw.training.config import TrainConfig


def test_every_setting_is_explained() -> None:
    assert list(documented()) == [field.name for field in fields(TrainConfig)]


def test_the_page_is_what_the_settings_say() -> None:
    assert PAGE.read_text() == page(), "run python tests/helpers/settings_page.py"
