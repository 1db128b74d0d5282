import pytest
import yaml

from selection_platform.configuration.pool_settings import PoolSettings


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
