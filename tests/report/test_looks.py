"""What the report says of seeds where a comparison is looked at while they are added."""

from dataclasses import replace

from selection_platform.configuration.arm_settings import ArmSettings, SeedRange
from selection_platform.report.answer import answer
from selection_platform.report.cells import spreads
from selection_platform.report.verdict_sections import verdict_numbers
from selection_platform.verdict.looks import schedule
from selection_platform.verdict.statistics import seeds_to_see
from selection_platform.verdict.tables import verdict_rows
from selection_platform.verdict.verdicts import verdicts
from tests.report.frames import CELL, data, runs
from tests.report.test_sections import section

VALUES = {"average": {"random": [10, 11, 12], "ifd": [11, 12, 13], "zip": [5, 5.1, 5.2]}}
LOOKS = schedule(dict.fromkeys(VALUES["average"], ArmSettings(seeds=SeedRange(first=3, max=10))))
LAST = 1 - 0.9**3
"""What the last of the eight looks spends."""


def test_seeds_are_counted_by_the_rule_of_looks():
    found = verdicts(runs(VALUES), {}, 1, schedule=LOOKS)
    alone, together = (seeds_to_see(1, 1, compared / LAST) or 0 for compared in (1, 2))
    assert alone > (seeds_to_see(1, 1, 1) or 0)
    made = replace(data(VALUES), verdict=verdict_rows(found, {}))
    trust = answer(made).sentences[1]
    assert f"among 2 comparisons, it takes {together} seeds of each arm." in trust
    assert "half the time" not in trust
    (table,) = section("trust", made).tables
    assert not any("half the time" in name for name in verdict_numbers(found))
    assert [cell.text for cell in table.rows[0]][-2:] == ["", f"{alone}, {together} for 1"]


def test_random_runs_are_not_too_few_where_an_arm_waits_for_its_first_look():
    values = {"average": VALUES["average"] | {"zip": [5]}}
    found = verdicts(runs(values), {}, 1, schedule=LOOKS)
    assert [each.comparison.look for each in found] == [1, 0]
    trust = answer(replace(data(values), verdict=verdict_rows(found, {}))).sentences[1]
    assert "there are 3 random runs" in trust
    assert "too few" not in trust
    assert spreads(found, "average") == {CELL: 1.0}
