"""An import is whole, repeatable, and shows gold to nobody."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cat_bench.cache import (
    Cache,
    Call,
    import_pool,
    info,
    pool_metadata,
    pool_names,
    pool_rows,
    prune,
    verify,
)
from cat_bench.cache.pools import deal
from cat_bench.errors import DataError, UnknownName, UsageError
from cat_bench.types.calls import JSON, Failure, Reply
from tests.places import SHARED

DATA = SHARED
ROW: Mapping[str, JSON] = {
    "id": "a",
    "problem": "1 + 1?",
    "answer": "2",
    "responses": ["two", "three", None, ""],
    "scores": {"rm": [0.5, -1, 0, None]},
    "correct": [True, False, False, False],
}
OTHER: Mapping[str, JSON] = {"id": "b", "problem": "1 + 2?", "answer": "3", "responses": ["3"]}


def written(folder: Path, *rows: JSON, name: str = "pool.jsonl") -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder / name


async def test_a_row_becomes_slots_in_a_recorded_order(cache: Cache, tmp_path: Path) -> None:
    import_pool(cache, written(tmp_path, ROW, OTHER), name="p")
    results = await cache.lookup(Call.imported("p", "a"), range(5))
    order = deal(0, "a", 4)
    assert sorted(order) == [0, 1, 2, 3] == sorted(results)
    expected = [
        Reply(text="two", served_by="response 0", scores={"rm": 0.5}),
        Reply(text="three", served_by="response 1", scores={"rm": -1.0}),
        Failure("null", "response 2 is null", permanent=True),
        Reply(text="", served_by="response 3"),
    ]
    assert [results[slot] for slot in range(4)] == [expected[index] for index in order]


async def test_the_pool_describes_itself(cache: Cache, tmp_path: Path) -> None:
    file = written(tmp_path, ROW, OTHER)
    params = {"pattern": "A: (.*)"}
    pool = import_pool(
        cache, file, name="p", exchangeable=False, scorer="math_equal", scorer_params=params
    )
    assert pool == pool_metadata(cache, "p")
    assert (pool.questions, pool.responses, pool.sizes) == (2, 5, {"1": 1, "4": 1})
    assert (pool.file, pool.scores, pool.exchangeable) == ("pool.jsonl", ("rm",), False)
    assert (pool.scorer, pool.scorer_params) == ("math_equal", params)
    assert pool_names(cache) == ["p"]
    with pytest.raises(UnknownName, match=r"no imported pool 'q'.* Known: p"):
        pool_metadata(cache, "q")


async def test_gold_stays_with_the_rows(cache: Cache, tmp_path: Path) -> None:
    import_pool(cache, written(tmp_path, ROW, OTHER), name="p")
    first, second = pool_rows(cache, "p")
    assert first == ("a", "1 + 1?", "2", {"correct": ROW["correct"]})
    assert second == ("b", "1 + 2?", "3", {})
    for result in (await cache.lookup(Call.imported("p", "a"), range(4))).values():
        assert "correct" not in repr(result)


async def test_orders_differ_by_question_and_seed() -> None:
    orders = [deal(seed, question, 8) for seed in (0, 1) for question in ("a", "b")]
    assert len({tuple(order) for order in orders}) == 4
    first = [deal(seed, "a", 4)[0] for seed in range(400)]
    assert all(70 < first.count(index) < 130 for index in range(4))


async def test_the_same_import_again_changes_nothing(cache: Cache, tmp_path: Path) -> None:
    file = written(tmp_path, ROW)
    first = import_pool(cache, file, name="p")
    assert import_pool(cache, file, name="p") == first
    assert info(cache).holdings[0].results == 4


async def test_another_import_under_a_name_must_be_asked_for(cache: Cache, tmp_path: Path) -> None:
    import_pool(cache, written(tmp_path, ROW), name="p")
    other = written(tmp_path, OTHER, name="other.jsonl")
    with pytest.raises(UsageError, match=r"imported from pool\.jsonl .* give --replace"):
        import_pool(cache, other, name="p")
    import_pool(cache, other, name="p", overwrite=True)
    assert await cache.lookup(Call.imported("p", "a"), range(4)) == {}
    assert [row.id for row in pool_rows(cache, "p")] == ["b"]
    assert list(verify(cache)) == []


async def test_odd_text_survives(cache: Cache, tmp_path: Path) -> None:
    odd = {"id": "a\0", "problem": "\0", "responses": ["x", "\ud800"]}
    import_pool(cache, written(tmp_path, odd), name="p")
    import_pool(cache, written(tmp_path, odd), name="p", seed=1, overwrite=True)
    assert [row.id for row in pool_rows(cache, "p")] == ["a\0"]
    assert prune(cache, model="p", dry_run=False).results == 2
    assert info(cache).holdings == ()


async def test_rows_match_a_task_by_id_or_by_exact_text(cache: Cache, tmp_path: Path) -> None:
    questions = {"a": "1 + 1?", "q7": "1 + 2?", "q8": "1 + 3?"}
    import_pool(cache, written(tmp_path, ROW, OTHER), name="p", questions=questions, task="t")
    assert [row.id for row in pool_rows(cache, "p")] == ["a", "q7"]
    assert 0 in await cache.lookup(Call.imported("p", "q7"), [0])


async def test_rows_that_match_no_question_are_listed(cache: Cache, tmp_path: Path) -> None:
    strangers = [{**OTHER, "id": str(i), "problem": f"{i}?"} for i in range(5)]
    impostor = {**OTHER, "id": "a"}
    file = written(tmp_path, ROW, impostor, *strangers)
    with pytest.raises(DataError) as caught:
        import_pool(cache, file, name="p", questions={"a": "1 + 1?"})
    message = str(caught.value)
    assert "6 rows match no question of the task: line 2 ('a': that question has" in message
    assert "line 3 ('0': no such question)" in message
    assert "task pool:NAME" in message
    assert pool_names(cache) == []


BROKEN: Mapping[str, tuple[JSON, str]] = {
    "json": ('{"id": ', "is not JSON"),
    "list": ("[1]", "is a JSON list, not an object"),
    "no id": ({"problem": "?", "responses": ["x"]}, "needs an 'id'"),
    "no responses": ({"id": "x", "problem": "?"}, "needs 'responses', a list of texts"),
    "numbers": ({**OTHER, "id": "x", "responses": [3]}, "needs 'responses', a list of texts"),
    "text": ({**OTHER, "id": "x", "responses": "3"}, "there is a malformed one"),
    "empty": ({**OTHER, "id": "x", "responses": []}, "has no response"),
    "nan": ({**OTHER, "id": "x", "answer": float("nan")}, "has NaN as its answer"),
    "scores": ({**OTHER, "id": "x", "scores": {"rm": [1, 2]}}, "'rm' needs an entry for each: 2"),
    "score": ({**OTHER, "id": "x", "scores": {"rm": ["high"]}}, "malformed entry"),
    "scores kind": ({**OTHER, "id": "x", "scores": [1]}, "'scores' must map names to lists"),
    "usage": ({**OTHER, "id": "x", "usage": [{"words": 3}]}, "malformed entry"),
    "twice": (OTHER, "answers 'b' again, after line 2"),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_row_is_named_and_nothing_is_kept(
    kind: str, cache: Cache, tmp_path: Path
) -> None:
    row, problem = BROKEN[kind]
    with pytest.raises(DataError) as caught:
        import_pool(cache, written(tmp_path, ROW, OTHER, row), name="p")
    assert f"{tmp_path / 'pool.jsonl'}, line 3: " in str(caught.value)
    assert problem in str(caught.value)
    assert pool_names(cache) == []
    assert info(cache).holdings == ()


async def test_a_file_that_is_not_there_and_a_name_that_is_none(
    cache: Cache, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl: cannot be read"):
        import_pool(cache, tmp_path / "nowhere.jsonl", name="p")
    for name in ("", "a\0b", "a\nb"):
        with pytest.raises(UsageError, match="cannot name a pool"):
            import_pool(cache, written(tmp_path, ROW), name=name)


@pytest.mark.parametrize(
    ("name", "questions", "size"), [("qwen_math_100x8", 100, 8), ("gsm8k_1319x4", 1319, 4)]
)
async def test_real_pools_come_in_whole(name: str, questions: int, size: int, cache: Cache) -> None:
    file = DATA / "pools" / f"{name}.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"{file.name} is not in CAT_BENCH_DATA/pools")
    pool = import_pool(cache, file, name=name)
    assert (pool.questions, pool.responses) == (questions, questions * size)
    with gzip.open(file, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    for row, found in zip(rows, pool_rows(cache, name), strict=True):
        assert (found.id, found.answer) == (row["id"], row["answer"])
    for row in rows[::50]:
        results = await cache.lookup(Call.imported(name, row["id"]), range(size))
        texts = [r.text for r in results.values() if isinstance(r, Reply)]
        assert sorted(texts) == sorted(row["responses"])
    assert list(verify(cache)) == []
