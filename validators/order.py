"""Order inside a block, over edges of every kind: cycles, what reaches what. Iterative, so that depth costs no stack."""

from collections import deque
from collections.abc import Iterable

from strategy.dag import Block, edges


def sources(block: Block) -> dict[str, list[str]]:
    """Nodes that each node reads, by any kind of edge; names that do not exist and edges to itself are left out."""
    ids = {node.id for node in block.nodes}
    return {node.id: [e.source for e in edges(node) if e.source in ids and e.source != node.id] for node in block.nodes}


def flipped(graph: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same edges the other way."""
    found: dict[str, list[str]] = {name: [] for name in graph}
    for name, others in graph.items():
        for other in others:
            found[other].append(name)
    return found


def topological(graph: dict[str, list[str]]) -> list[str]:
    """Nodes after everything they read (Kahn); those on or behind a cycle are missing."""
    waiting = {name: len(reads) for name, reads in graph.items()}
    readers = flipped(graph)
    ready = deque(name for name, count in waiting.items() if count == 0)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for reader in readers[name]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                ready.append(reader)
    return order


def shortest_cycle(graph: dict[str, list[str]]) -> list[str]:
    """A shortest cycle through the first node that lies on one, in reading order; empty when there is none."""
    left = set(graph) - set(topological(graph))
    inner = {name: [s for s in graph[name] if s in left] for name in graph if name in left}
    outer = set(topological(flipped(inner)))  # behind a cycle, not on one
    for start in inner:
        if start not in outer and (path := _way_back(inner, start)):
            return path
    return []


def _way_back(graph: dict[str, list[str]], start: str) -> list[str]:
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for source in graph[name]:
            if source == start:
                path = [name]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path
            if source not in came_from:
                came_from[source] = name
                queue.append(source)
    return []


def reached(graph: dict[str, list[str]], starts: Iterable[str]) -> set[str]:
    """Nodes that can be reached from `starts` along `graph`, themselves among them."""
    seen = {name for name in starts if name in graph}
    queue = deque(seen)
    while queue:
        for other in graph[queue.popleft()]:
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return seen


def unordered(graph: dict[str, list[str]], chosen: Iterable[str]) -> list[tuple[str, str]]:
    """Neighbours among `chosen`, in topological order, of which neither depends on the other. Empty when all are in one order."""
    order = topological(graph)
    wanted = set(chosen)
    bit = {name: 1 << place for place, name in enumerate(n for n in order if n in wanted)}
    behind: dict[str, int] = {}
    found: list[tuple[str, str]] = []
    last: str | None = None
    for name in order:
        mask = 0
        for source in graph[name]:
            mask |= behind[source]
        if name in wanted:
            if last is not None and not mask & bit[last]:
                found.append((last, name))
            mask |= bit[name]
            last = name
        behind[name] = mask
    return found
