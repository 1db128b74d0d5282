"""Which text each model is used with, and what of a template counts."""

import pytest
import yaml

from assets.record.settings_used import text_of_record, text_used
from selection_platform.configuration.profile import Profile, ProfileError, load_profile, read_profile
from selection_platform.configuration.text_settings import PAPER, TextSettings
from selection_platform.text.rendering import template_hash

JINJA = "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}"
CONTENT = {
    "pools": {"p": {"source": {"files": "p.jsonl"}}},
    "models": {"a": {"path": "a"}, "b": {"path": "b"}, "own": {"pretraining": {"steps": 1}}},
    "scoring": {"max_length": 512},
    "fine_tuning": {"max_length": 512},
    "arms": {"token_length": {}},
}


def profile(**changes) -> Profile:
    return Profile.model_validate({"name": "test", **CONTENT, **changes})


def with_text(**text):
    return {**CONTENT["models"], "a": {"path": "a", "text": text}}


def test_a_model_s_own_settings_stand_before_the_profile_s():
    made = profile(
        text={"template": "chatml", "bos": "never", "template_arguments": {"date": "today"}},
        models=with_text(bos="always", template_arguments={}),
    )
    assert made.text_of("a") == TextSettings(template="chatml", bos="always")
    assert made.text_of("b") == TextSettings(template="chatml", bos="never", template_arguments={"date": "today"})


def test_what_is_pre_trained_here_has_the_papers_text_unless_it_is_told():
    assert profile().text_of("own") == PAPER
    assert profile().text_of("a") == TextSettings()
    assert profile(text={"template": "chatml"}).text_of("own") == TextSettings(template="chatml", bos="never")
    assert load_profile("demo").text_of("demo-3m") == PAPER
    assert load_profile("paper").text_of("llama3-8b") == PAPER
    assert load_profile("cpu").text_of("smollm2-135m") == TextSettings()


def test_the_content_of_a_file_counts_and_no_path(tmp_path):
    files = {"one.jinja": JINJA, "other/two.jinja": JINJA, "three.jinja": f"{JINJA} "}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    made = {}
    for name in files:
        path = tmp_path / f"{name.replace('/', '-')}.yaml"
        path.write_text(yaml.safe_dump({**CONTENT, "text": {"template": name}}))
        made[name] = read_profile(path).text_of("a")
    assert made["one.jinja"].template == JINJA
    assert made["one.jinja"] == made["other/two.jinja"] != made["three.jinja"]
    # A job elsewhere needs no file.
    assert TextSettings.model_validate_json(made["one.jinja"].model_dump_json()) == made["one.jinja"]
    names = [text_used(text)["template"] for text in made.values()]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("file ")


def test_the_papers_text_is_recorded_as_it_was_before_there_was_another():
    assert text_used(PAPER) == {"template": template_hash()}
    assert text_used(TextSettings(template="paper"))["template"] == template_hash()
    recorded = [
        str(text_used(TextSettings(template=name, bos=bos)))
        for name in (None, "model", "paper")
        for bos in ("auto", "always")
    ]
    assert len(set(recorded)) == len(recorded)
    assert text_of_record({"template": "x", "text.bos": "auto", "texture": 1}) == {"template": "x", "text.bos": "auto"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            {"template": "llama"},
            "text.template: 'llama' is not a template; write one of paper, model, chatml, or a file",
        ),
        ({"template": "no.jinja"}, "no.jinja cannot be read"),
        ({"template": "plain.jinja"}, "plain.jinja has neither {{ nor {%; name a file with a Jinja chat template"),
        (
            {"template": "paper", "template_arguments": {"a": 1}},
            "text: template_arguments: `template: paper` takes none",
        ),
        ({"template_arguments": {"messages": "x"}}, "text.template_arguments: 'messages' cannot be an argument"),
        ({"template_arguments": {"a b": "x"}}, "text.template_arguments: 'a b' cannot be an argument"),
        ({"bos": "once"}, "text.bos: must be 'auto', 'never' or 'always'"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, text, message):
    (tmp_path / "plain.jinja").write_text("Human: ")
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**CONTENT, "text": text}))
    with pytest.raises(ProfileError) as caught:
        read_profile(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
