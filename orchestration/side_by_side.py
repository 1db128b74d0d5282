"""Which steps of a graph can start, while others are at work."""

from collections.abc import Callable, Sequence
from graphlib import TopologicalSorter

from orchestration.graph import Graph, Step


class ReadySteps:
    """Steps whose inputs among the others are made.

    Attributes:
        not_done: the steps that are not done, in order.
        started: how many were given out.
    """

    def __init__(self, graph: Graph, steps: Sequence[Step], *, first: Callable[[Step], bool]) -> None:
        """Take the steps, upstream before downstream.

        Args:
            graph: says what each needs.
            steps: all of them.
            first: whether a step goes before all others that are ready. Evaluations do: until then, the weights of
                their checkpoint are on the disk. So there are at most as many checkpoints as running steps.
        """
        makers = {node: step for step in steps for node in step.nodes}
        inputs = {step: {node for own in step.nodes for node in graph.inputs(own)} for step in steps}
        self._sorter = TopologicalSorter(
            {step: {makers[node] for node in of if node in makers} - {step} for step, of in inputs.items()}
        )
        self._sorter.prepare()
        self._turn = {step: (not first(step), number) for number, step in enumerate(steps)}
        self._ready: list[Step] = []
        self.not_done = list(steps)
        self.started = 0

    @property
    def left(self) -> bool:
        """Whether any step was not given out yet."""
        return self.started < len(self._turn)

    def next(self) -> Step | None:
        """The first step that can start now; None if all that are left wait for others."""
        self._ready += self._sorter.get_ready()
        if not self._ready:
            return None
        step = min(self._ready, key=self._turn.__getitem__)
        self._ready.remove(step)
        self.started += 1
        return step

    def done(self, step: Step) -> None:
        """Say that a step is made, so that those that need it can start."""
        self._sorter.done(step)
        self.not_done.remove(step)
