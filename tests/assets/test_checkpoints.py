"""What a training made of its selection can be queried, and a training on fewer samples is seen."""

import json

from resources import build_resources
from tests.small_run import TOKEN_LENGTH, change_profile, output_of


def training(capsys, place) -> list[tuple[int, int, int, int, bool, bool]]:
    columns = "selected, trained, cut, dropped, answer_tokens > 0, answer_tokens_cut > 0"
    question = f"SELECT {columns} FROM experiments.training WHERE experiment = '{TOKEN_LENGTH}'"
    return [tuple(row.values()) for row in json.loads(output_of(capsys, place, "sql", "--json", question))]


def test_cut_and_left_out_samples_are_in_the_warehouse_and_in_the_report(capsys, place):
    assert training(capsys, place) == [(6, 6, 0, 0, True, False)]
    page = place.home / "artifacts" / "report" / "index.html"
    assert "trainings used every selected sample" in page.read_text()
    change_profile(place, fine_tuning={"max_length": 64, "cut": "shared"})
    output_of(capsys, place, "refresh", "checkpoint")
    assert training(capsys, place) == [(6, 6, 6, 0, True, True)]


def test_a_home_of_an_earlier_version_has_its_report(capsys, place, tmp_path):
    with build_resources(place.home).warehouse.write() as connection:
        connection.execute("DROP TABLE experiments.training")
    output_of(capsys, place, "report", "--to", str(tmp_path / "page"))
    assert "What was trained on" not in (tmp_path / "page" / "index.html").read_text()
