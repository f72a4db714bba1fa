from cat_bench.testing import FAULTS, Fault, Faults


def struck(faults: Faults, count: int) -> list[Fault | None]:
    return [faults.at(number) for number in range(count)]


def test_schedule_comes_first_and_nothing_after_it() -> None:
    assert struck(Faults(schedule=("null", None, "drop")), 5) == ["null", None, "drop", None, None]


def test_same_seed_same_faults_another_seed_others() -> None:
    rates: dict[Fault, float] = {"null": 0.3, "drop": 0.2}
    assert struck(Faults(rates, seed=1), 200) == struck(Faults(rates, seed=1), 200)
    assert struck(Faults(rates, seed=1), 200) != struck(Faults(rates, seed=2), 200)


def test_rates_are_met() -> None:
    seen = struck(Faults({"null": 0.3, "drop": 0.2}, seed=5), 4000)
    assert 0.27 < seen.count("null") / 4000 < 0.33
    assert 0.17 < seen.count("drop") / 4000 < 0.23


def test_rates_that_fill_the_whole_leave_no_request_alone() -> None:
    share = 1 / len(FAULTS)
    assert set(struck(Faults(dict.fromkeys(FAULTS, share)), 500)) >= set(FAULTS)


def test_a_storm_lasts() -> None:
    single = struck(Faults({"rate_limit": 0.02}, seed=3), 500)
    storm = struck(Faults({"rate_limit": 0.02}, seed=3, storm=5), 500)
    first = single.index("rate_limit")
    assert storm[first : first + 5] == ["rate_limit"] * 5
    assert storm[:first] == [None] * first
