import pytest
import yaml
from pydantic import ValidationError

from selection_platform.pools.settings import PoolSettings


@pytest.mark.parametrize(
    "text",
    [
        "{source: {hub: someone/chats, revision: '0123456', config: all, split: train}, form: sharegpt}",
        "{source: {files: 'data/*.jsonl'}, form: alpaca, language: en, min_turns: 1, max_characters: 2000}",
        "{source: {package: instruct-mix}, limit: 300}",
    ],
)
def test_a_pool_is_a_line_or_a_few_of_yaml(text):
    assert PoolSettings.model_validate(yaml.safe_load(text)).decontaminate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{source: {}}", "name exactly one of hub, files and package"),
        ("{source: {hub: a/b, files: c}}", "name exactly one of hub, files and package"),
        ("{source: {files: c, split: train}}", "belong to a hub source only"),
        ("{source: {files: c}, held_out: 0.5, base_model: 0.5}", "keep their sum below 1"),
        ("{source: {files: c}, form: alpaca, column: turns}", "the alpaca form has no list"),
        ("{source: {package: instruct-mix}, licence: MIT}", "licence: a packaged pool says these itself"),
        ("{source: {package: instruct}}", "Input should be 'instruct-mix' or 'sharegpt-en'"),
        ("{source: {files: c}, langauge: en}", "Extra inputs are not permitted"),
        ("{source: {files: c}, language: english}", "String should match pattern"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(text, message):
    with pytest.raises(ValidationError, match=message):
        PoolSettings.model_validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("given", "column"),
    [({}, "messages"), ({"form": "sharegpt"}, "conversations"), ({"column": "conversation"}, "conversation")],
)
def test_column_of_the_messages(given, column):
    assert PoolSettings.model_validate({"source": {"files": "x"}, **given}).turns_column == column
