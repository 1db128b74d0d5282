import os
import pickle
import random
import signal
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection_platform.methods.zip import checkpoint as zip_checkpoint
from selection_platform.methods.zip import ratio as zip_ratio
from selection_platform.methods.zip import selection as zip_module
from selection_platform.methods.zip.selection import ZipPick, ZipSettings, record_text, select
from selection_platform.text.conversation import Message

Record = dict[str, object]
Pool = dict[str, Record]


def true_ratio(records: list[Record]) -> Fraction:
    """The official ratio, exactly: text of the whole list, compressed at once."""
    raw = str(records).encode("utf-8", "surrogatepass")
    return Fraction(len(raw), len(zlib.compress(raw, 9)))


def slow_select(pool: Pool, budget: int, sizes: ZipSettings) -> list[ZipPick]:
    """The search as the module's docstring states it, with nothing remembered but the last ratios."""
    ratio = {name: true_ratio([pool[name]]) for name in pool}
    live, burnt, picks = set(pool), set[str](), list[ZipPick]()

    def lowest(names: set[str], count: int) -> list[str]:
        return sorted(names, key=lambda name: (ratio[name], name))[:count]

    while len(picks) < budget:
        if len(live) < sizes.k2:
            live, burnt = live | burnt, set()
        front = lowest(live, sizes.k1)
        for name in front:
            ratio[name] = true_ratio([pool[pick.sample_id] for pick in picks] + [pool[name]])
        shortlist = set(lowest(set(front), sizes.k2))
        live, burnt = live - shortlist, burnt | shortlist
        picked_now: list[Record] = []
        for _ in range(min(sizes.k3, len(shortlist), budget - len(picks))):
            with_each = {name: true_ratio([*picked_now, pool[name]]) for name in shortlist}
            best = min(shortlist, key=lambda name: (with_each[name], name))
            picks.append(ZipPick(best, len(picks), float(with_each[best])))
            picked_now.append(pool[best])
            shortlist.remove(best)
            burnt.remove(best)
    return picks


def record(*contents: str) -> Record:
    roles = ("user", "assistant") * len(contents)
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]}


def wordy_pool(size: int, seed: int = 0, longest: int = 60) -> Pool:
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefgh é\n'\"", k=rng.randint(2, 9))) for _ in range(300)]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, longest))) for _ in range(2 * size)]
    return {f"{rng.getrandbits(64):016x}": record(texts[2 * row], texts[2 * row + 1]) for row in range(size)}


def fast_select(pool: Pool, budget: int, sizes: ZipSettings, **options) -> list[ZipPick]:
    return select(list(pool), [str(value) for value in pool.values()], budget, sizes, **options)


ids = st.text("0123456789abcdef", min_size=1, max_size=4)
contents = st.one_of(
    st.sampled_from(["", "yes", "no", "the same answer, the same answer"]),
    st.text(st.characters(), max_size=30),  # with lone surrogates
    st.builds(lambda seed, length: random.Random(seed).randbytes(length).hex(), st.integers(0, 9), st.integers(0, 400)),
)
pools = st.dictionaries(ids, st.builds(record, contents, contents), min_size=1, max_size=25)
PAPER = ZipSettings(10_000, 200, 100)
sizes_of_rounds = st.tuples(*[st.integers(1, 12)] * 3).map(lambda ks: ZipSettings(*sorted(ks, reverse=True)))


@settings(max_examples=150)
@given(pools, sizes_of_rounds, st.integers(1, 3), st.data())
def test_picks_what_recompressing_everything_picks(pool: Pool, sizes: ZipSettings, workers: int, data: st.DataObject):
    budget = data.draw(st.integers(0, len(pool)))
    picks = fast_select(pool, budget, sizes, workers=workers)
    assert picks == slow_select(pool, budget, sizes.scaled(len(pool)))
    assert len({pick.sample_id for pick in picks}) == budget


@pytest.mark.slow
def test_picks_the_same_beyond_the_window_and_many_blocks():
    """Records of up to 100 KB, some incompressible, so that windows slide and blocks of every kind are written."""
    rng = random.Random(1)
    pool = wordy_pool(30, seed=2, longest=2000)
    pool |= {f"noise{n}": record("".join(map(chr, rng.choices(range(0x4E00, 0x9FA5), k=30_000)))) for n in range(3)}
    pool |= {f"bytes{n}": record(rng.randbytes(50_000).decode("latin-1")) for n in range(3)}
    assert fast_select(pool, 20, ZipSettings(12, 6, 3)) == slow_select(pool, 20, ZipSettings(12, 6, 3))


@pytest.mark.slow
def test_unscaled_sizes_on_a_pool_large_enough():
    pool = wordy_pool(90)
    assert ZipSettings(30, 8, 4).scaled(90) == ZipSettings(30, 8, 4)
    assert fast_select(pool, 70, ZipSettings(30, 8, 4)) == slow_select(pool, 70, ZipSettings(30, 8, 4))


def test_picks_by_hand():
    """Rounds that refresh two rows and pick one: a copy of a picked row has to wait."""
    pool = {
        "signs": record("!#$%&()*+,-./:;<=>?@"),  # lowest alone: nothing repeats, and the overhead counts for most
        "letters": record("abcdefghijklmnopqrstuvwxyz"),
        "letters again": record("abcdefghijklmnopqrstuvwxyz"),  # ties with the one before, and the lower id wins
        "many": record("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        "x": record("x" * 500),
        "y": record("y" * 500),
    }
    picks = fast_select(pool, 6, ZipSettings(2, 1, 1))
    assert [pick.sample_id for pick in picks] == ["signs", "letters", "many", "letters again", "x", "y"]
    alone = "[{'messages': [{'role': 'user', 'content': '!#$%&()*+,-./:;<=>?@'}]}]"
    assert picks[0] == ZipPick("signs", 0, len(alone) / len(zlib.compress(alone.encode(), 9)))


@pytest.mark.slow
def test_a_smaller_budget_picks_a_prefix():
    pool = wordy_pool(120)
    whole = fast_select(pool, 120, PAPER)
    assert sorted(pick.sample_id for pick in whole) == sorted(pool)
    for budget in (0, 1, 7, 50, 119):
        assert fast_select(pool, budget, PAPER) == whole[:budget]


def test_order_of_the_pool_and_workers_do_not_matter():
    pool = wordy_pool(60)
    shuffled = dict(random.Random(3).sample(list(pool.items()), len(pool)))
    sizes = ZipSettings(20, 6, 3)
    assert fast_select(pool, 40, sizes, workers=1) == fast_select(shuffled, 40, sizes, workers=4)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (1_000_000, (10_000, 200, 100)),
        (30_000, (10_000, 200, 100)),
        (29_999, (9_999, 199, 99)),
        (3_000, (1_000, 20, 10)),
        (100, (33, 1, 1)),
        (1, (1, 1, 1)),
    ],
)
def test_scaled_sizes(rows: int, expected: tuple[int, int, int]):
    assert PAPER.scaled(rows) == ZipSettings(*expected)


def test_record_text_is_the_text_inside_the_list():
    messages = [Message("system", "it's"), Message("user", "a\nb"), Message("assistant", "\ud800 é")]
    as_dict = {"messages": [{"role": message.role, "content": message.content} for message in messages]}
    assert f"[{record_text(messages)}, {record_text(messages)}]" == str([as_dict, as_dict])


@pytest.mark.parametrize(
    ("names", "texts", "budget", "message"),
    [
        (["a", "b", "a"], ["x", "y", "z"], 1, "sample id a is in the pool twice"),
        (["a", "b"], ["x"], 1, "2 sample ids but 1 records"),
        (["a", "b"], ["x", "y"], 3, "budget 3 is not between 0 and the pool's 2 rows"),
        (["a", "b"], ["x", "y"], -1, "budget -1 is not between"),
    ],
)
def test_refuses_bad_input(names: list[str], texts: list[str], budget: int, message: str):
    with pytest.raises(ValueError, match=message):
        select(names, texts, budget, PAPER)


def test_refuses_sizes_out_of_order():
    with pytest.raises(ValueError, match="k1 >= k2 >= k3 >= 1"):
        ZipSettings(10, 20, 5)


KILLED_RUN = """
import os, pickle, signal, sys
from pathlib import Path
from selection_platform.methods.zip import selection as zip_module
from selection_platform.methods.zip import checkpoint as zip_checkpoint
from selection_platform.methods.zip import search as zip_search

zip_checkpoint.SECONDS_BETWEEN_SAVES = 0
zip_search.ROWS_PER_BLOCK = 50
pool, checkpoint, chances = pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]), int(sys.argv[3])
fsync = os.fsync

def die_in_the_middle_of_a_save(descriptor):
    global chances
    chances -= 1
    if chances == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)

os.fsync = die_in_the_middle_of_a_save
sizes = zip_module.ZipSettings(60, 12, 6, published=sys.argv[4] == "True")
print(zip_module.select(list(pool), map(str, pool.values()), 100, sizes, checkpoint))
"""


@pytest.mark.slow
@pytest.mark.parametrize("published", [False, True])
def test_goes_on_after_kill_9(tmp_path: Path, published: bool):
    pool = wordy_pool(200)
    (tmp_path / "pool").write_bytes(pickle.dumps(pool))

    def run(chances: int) -> subprocess.CompletedProcess[bytes]:
        files = tmp_path / "pool", tmp_path / "checkpoint"
        arguments = [sys.executable, "-c", KILLED_RUN, *files, str(chances), str(published)]
        return subprocess.run(arguments, capture_output=True, cwd=Path(zip_module.__file__).parents[2])

    for chances in (1, 4, 9, 6):  # before anything is saved, while rows are scored alone, between rounds, once more
        assert run(chances).returncode == -signal.SIGKILL
    undisturbed = fast_select(pool, 100, ZipSettings(60, 12, 6, published))
    assert run(0).stdout == f"{undisturbed}{os.linesep}".encode()


@pytest.fixture
def save_always(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zip_checkpoint, "SECONDS_BETWEEN_SAVES", 0)


@pytest.mark.usefixtures("save_always")
def test_a_larger_budget_goes_on_and_other_work_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pool, sizes, checkpoint = wordy_pool(90), ZipSettings(30, 8, 4), tmp_path / "zip.npz"
    fast_select(pool, 41, sizes, checkpoint=checkpoint)
    assert fast_select(pool, 10, sizes, checkpoint=checkpoint) == fast_select(pool, 10, sizes)

    scored = []
    compute = zip_ratio.Anchor.ratios
    monkeypatch.setattr(zip_ratio.Anchor, "ratios", lambda self, texts: scored.append(1) or compute(self, texts))
    picks = fast_select(pool, 60, sizes, checkpoint=checkpoint, workers=1)
    tasks_of_resumed = len(scored)
    assert picks == fast_select(pool, 60, sizes, workers=1)
    assert tasks_of_resumed < (len(scored) - tasks_of_resumed) / 2

    other_pool = {**pool, "extra": record("something else")}
    for other, other_sizes in ((other_pool, sizes), (other_pool, ZipSettings(30, 8, 5))):
        assert fast_select(other, 20, other_sizes, checkpoint=checkpoint) == fast_select(other, 20, other_sizes)


def test_names_a_checkpoint_it_cannot_read(tmp_path: Path):
    checkpoint = tmp_path / "zip.npz"
    checkpoint.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ValueError, match=r"zip\.npz is not a checkpoint of ZIP .*delete it"):
        fast_select(wordy_pool(5), 2, PAPER, checkpoint=checkpoint)
