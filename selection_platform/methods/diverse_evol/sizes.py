"""How many samples DiverseEvol adds in each round. Importable without torch."""


def round_sizes(budget: int, initial_share: float, rounds: int) -> list[int]:
    """Samples of the random start and of each round, without rounds that would add no sample."""
    start = max(1, round(initial_share * budget))
    per_round, more = divmod(budget - start, rounds)
    return [start, *(size for size in (per_round + (number < more) for number in range(rounds)) if size)]
