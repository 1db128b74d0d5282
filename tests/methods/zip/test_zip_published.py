"""`ZipSettings.published` against the official algorithm, written out slowly."""

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection_platform.methods.zip import checkpoint as zip_checkpoint
from selection_platform.methods.zip.picks import write_picks
from selection_platform.methods.zip.selection import ZipPick, ZipSettings, published_record_text, select
from selection_platform.text.conversation import Message
from tests.methods.zip.test_zip import Pool, fast_select, pools, record, slow_select, true_ratio, wordy_pool


def official_select(pool: Pool, budget: int, sizes: ZipSettings) -> tuple[list[ZipPick], list[str]]:
    """The official search: its picks, each once, and all of them with repetitions.

    Fewer than `budget` where it went on picking the same rows for more rounds than it takes to shortlist the pool.
    """

    def ratio(chosen: Sequence[str], name: str) -> np.float32:
        return np.float32(float(true_ratio([pool[each] for each in [*chosen, name]])))

    def lowest(names: Sequence[str], count: int) -> list[str]:
        return sorted(names, key=lambda name: (state[name], name))[:count]

    state = {name: ratio([], name) for name in pool}
    picks, picked_in_all, idle = dict[str, ZipPick](), list[str](), 0
    while len(picks) < budget and idle * sizes.k2 < len(pool) + sizes.k2:
        picks_before = len(picks)
        front = lowest(list(state), sizes.k1)
        state |= {name: ratio(picked_in_all, name) for name in front}
        shortlist = lowest(front, sizes.k2)
        state |= dict.fromkeys(shortlist, np.float32(1e6))
        picked_now: list[str] = []
        while len(picked_now) < sizes.k3 and len(picks) < budget:
            with_each = {name: ratio(picked_now, name) for name in shortlist if name not in picked_now}
            best = min(with_each, key=lambda name: (with_each[name], name))
            picked_now.append(best)
            picks.setdefault(best, ZipPick(best, len(picks), float(with_each[best])))
        picked_in_all += picked_now
        idle = idle + 1 if len(picks) == picks_before else 0
    return list(picks.values()), picked_in_all


def published(k1: int, k2: int, k3: int) -> ZipSettings:
    return ZipSettings(k1, k2, k3, published=True)


@pytest.mark.slow
@settings(max_examples=150)
@given(pools, st.integers(1, 3), st.data())
def test_picks_what_the_official_search_picks(pool: Pool, workers: int, data: st.DataObject):
    k1 = data.draw(st.integers(1, len(pool)))
    k2 = data.draw(st.integers(1, k1))
    sizes = published(k1, k2, data.draw(st.integers(1, k2)))
    budget = data.draw(st.integers(0, len(pool)))
    expected, _ = official_select(pool, budget, sizes)
    if len(expected) == budget:
        assert fast_select(pool, budget, sizes, workers=workers) == expected
    else:
        with pytest.raises(ValueError, match=f"picked {len(expected)} of the pool's {len(pool)} rows"):
            fast_select(pool, budget, sizes, workers=workers)
        assert fast_select(pool, len(expected), sizes, workers=workers) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "budget"), [((60, 12, 6), 80), ((90, 8, 4), 70), ((120, 30, 10), 85)])
def test_repeats_count_once_and_lead_elsewhere_than_the_default(sizes: tuple[int, int, int], budget: int):
    pool = wordy_pool(120)
    expected, picked_in_all = official_select(pool, budget, published(*sizes))
    assert len(picked_in_all) > len(expected) == budget
    assert fast_select(pool, budget, published(*sizes)) == expected
    default = fast_select(pool, budget, ZipSettings(*sizes))
    assert {pick.sample_id for pick in default} != {pick.sample_id for pick in expected}


def test_is_the_default_while_k1_rows_are_live_but_for_float32():
    pool = wordy_pool(200)
    picks = fast_select(pool, 48, published(60, 12, 6))  # 12 of 200 go in each of 8 rounds: 104 are live in the last
    default = fast_select(pool, 48, ZipSettings(60, 12, 6))
    assert [pick.sample_id for pick in picks] == [pick.sample_id for pick in default]
    assert [pick.ratio for pick in picks] == [float(np.float32(pick.ratio)) for pick in default]


def test_a_float32_tie_goes_to_the_lower_id():
    rng = random.Random(0)
    records = [record(rng.randbytes(rng.randint(8000, 9000)).hex()) for _ in range(500)]
    exact = sorted((true_ratio([each]), index) for index, each in enumerate(records))
    ties = [
        (lower, higher)
        for (low, lower), (high, higher) in pairwise(exact)
        if low < high and np.float32(float(low)) == np.float32(float(high))
    ]
    assert ties
    for lower, higher in ties:
        pool = {"a": records[higher], "b": records[lower]}
        assert fast_select(pool, 1, published(2, 2, 1))[0].sample_id == "a"
        assert fast_select(pool, 1, ZipSettings(2, 2, 1))[0].sample_id == "b"


def test_refuses_a_pool_below_k1():
    with pytest.raises(ValueError, match="k1 = 10,000 rows per round, but the pool has 30; lower k1 in the profile's"):
        fast_select(wordy_pool(30), 3, ZipSettings(10_000, 200, 100, published=True))
    assert len(fast_select(wordy_pool(30), 3, published(30, 4, 2))) == 3


def test_gives_up_when_only_picked_rows_are_left_to_pick():
    """With everything on the shortlist, step 3 picks the same half of the pool in each round."""
    pool = wordy_pool(20)
    assert len(fast_select(pool, 10, published(20, 20, 10))) == 10
    with pytest.raises(ValueError, match=r"picked 10 of the pool's 20 rows.*lower the budget to 10, or k1"):
        fast_select(pool, 11, published(20, 20, 10))


@pytest.mark.slow
def test_a_smaller_budget_picks_a_prefix():
    pool = wordy_pool(120)
    whole = fast_select(pool, 80, published(60, 12, 6))
    for budget in (0, 1, 7, 50, 79):
        assert fast_select(pool, budget, published(60, 12, 6)) == whole[:budget]


@pytest.mark.slow
def test_goes_on_from_its_own_checkpoint_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zip_checkpoint, "SECONDS_BETWEEN_SAVES", 0)
    pool, checkpoint = wordy_pool(120), tmp_path / "zip.npz"
    texts = [str(value) for value in pool.values()]

    def resumed(budget: int, sizes: ZipSettings) -> list[ZipPick]:
        return select(list(pool), texts, budget, sizes, checkpoint)

    for budget in (70, 75, 80):
        assert resumed(budget, published(60, 12, 6)) == fast_select(pool, budget, published(60, 12, 6))
    with np.load(checkpoint) as saved:
        assert len(saved["anchor"]) > len(saved["picks"]) > 60
    assert resumed(80, ZipSettings(60, 12, 6)) == fast_select(pool, 80, ZipSettings(60, 12, 6))
    assert resumed(80, published(60, 12, 6)) == fast_select(pool, 80, published(60, 12, 6))


def as_their_readme_has_it(place: int, source: str, *pairs: tuple[str, str]) -> dict[str, object]:
    return {"id": place, "conversations": [{"from": who, "value": text} for who, text in pairs], "source": source}


def test_a_record_is_a_row_of_the_official_readme():
    messages = [Message("system", "it's"), Message("user", "a\nb"), Message("assistant", "é")]
    texts = [published_record_text(messages, place, "Share") for place in (0, 1)]
    pairs = [("system", "it's"), ("human", "a\nb"), ("gpt", "é")]
    assert f"[{', '.join(texts)}]" == str([as_their_readme_has_it(place, "Share", *pairs) for place in (0, 1)])


def test_the_published_picks_are_of_the_official_records(tmp_path: Path):
    names, sources = [f"{index:02d}" for index in range(60)], [f"s{index % 3}" for index in range(60)]
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 9))) for _ in range(300)]
    texts = [[" ".join(rng.choices(vocabulary, k=rng.randint(1, 60))) for _ in range(2)] for _ in names]
    words = {name: record(*pair) for name, pair in zip(names, texts, strict=True)}
    messages = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in texts]
    file = tmp_path / "samples.parquet"
    pq.write_table(pa.table({"sample_id": names, "messages": messages, "source": sources}), file)
    sizes = published(30, 6, 3)
    picked = pq.read_table(write_picks(file, 12, sizes, tmp_path)).to_pylist()
    theirs = {
        name: as_their_readme_has_it(place, sources[place], ("human", texts[place][0]), ("gpt", texts[place][1]))
        for place, name in enumerate(names)
    }
    expected, _ = official_select(theirs, 12, sizes)
    assert [(row["sample_id"], row["ratio"]) for row in picked] == [(pick.sample_id, pick.ratio) for pick in expected]
    ours, _ = official_select(words, 12, sizes)
    assert {pick.sample_id for pick in expected} != {pick.sample_id for pick in ours}
    # The default reads neither place nor source.
    (tmp_path / "default").mkdir()
    default = pq.read_table(write_picks(file, 12, ZipSettings(30, 6, 3), tmp_path / "default")).to_pylist()
    assert [row["sample_id"] for row in default] == [
        pick.sample_id for pick in slow_select(words, 12, ZipSettings(30, 6, 3).scaled(60))
    ]
