"""The loop: understand -> retrieve -> propose -> validate -> (repair -> propose) -> finish.

A node takes the state and returns what changed. `Run`, the runtime context, holds what reaches outside. State is JSON only, so that
any checkpointer can keep it; `loop.py` has the values behind it and the small decisions.
"""

import asyncio
from functools import cache
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agent import loop
from agent.deps import Deps, default_deps
from agent.events import OnEvent
from agent.loop import Run, State, Update
from agent.settings import LoopSettings
from agent.tracing import traced
from strategy.request import Request
from strategy.result import Result

Compiled = CompiledStateGraph[State, Run, State, State]
STEPS_OF_AN_ATTEMPT = 3
"""propose, validate, repair."""


async def understand(state: State, runtime: Runtime[Run]) -> Update:
    """Turn text into a request, or into the one question that has to be answered first."""
    return await loop.read_request(state, runtime.context)


async def retrieve(state: State, runtime: Runtime[Run]) -> Update:
    """Pick the knowledge sections that this run reads and may cite."""
    return await loop.pick_sections(state, runtime.context)


async def propose(state: State, runtime: Runtime[Run]) -> Update:
    """Ask the proposer for a strategy; its last candidate and the findings are part of the brief."""
    return await loop.ask(state, runtime.context)


async def validate(state: State, runtime: Runtime[Run]) -> Update:
    """Judge the proposal: rules, proof, price, and the wishes of the request."""
    return await loop.judge(state, runtime.context)


async def repair(state: State, runtime: Runtime[Run]) -> Update:
    """Decide how to ask again: a patch or a whole answer, and whether to try harder."""
    return loop.plan_repair(state, runtime.context)


async def fall_back(state: State, runtime: Runtime[Run]) -> Update:
    """Leave the model: first the canonical graph of its own strategy, then the planner."""
    return await loop.next_best(state, runtime.context)


async def finish(state: State, runtime: Runtime[Run]) -> Update:
    """Assemble the result: valid only when the validator says so."""
    return loop.conclude(state, runtime.context)


# The choices of the next step are coroutines because langgraph hands plain functions to a thread.


async def after_understand(state: State) -> Literal["retrieve", "finish"]:
    """A question ends the run."""
    return "finish" if state.get("question") else "retrieve"


async def after_retrieve(state: State) -> Literal["propose", "finish"]:
    """Nothing is asked of a model about a request that the planner showed to be infeasible."""
    return "finish" if loop.planned_infeasible(state) else "propose"


async def after_validate(state: State, runtime: Runtime[Run]) -> Literal["repair", "fall_back", "finish"]:
    """Accepted: finish. Otherwise repair while there is hope and budget, then fall back, then give up."""
    if state["accepted"] or loop.nothing_left(state):
        return "finish"
    return "fall_back" if loop.stop_reason(state, runtime.context) else "repair"


def build_graph(checkpointer: Any = None) -> Compiled:
    """The compiled loop; `checkpointer` is langgraph's, for runs that must survive their process."""
    graph = StateGraph(State, context_schema=Run)
    graph.add_node("understand", traced("understand", understand))
    graph.add_node("retrieve", traced("retrieve", retrieve))
    graph.add_node("propose", traced("propose", propose))
    graph.add_node("validate", traced("validate", validate))
    graph.add_node("repair", traced("repair", repair))
    graph.add_node("fall_back", traced("fall_back", fall_back))
    graph.add_node("finish", traced("finish", finish))
    graph.add_edge(START, "understand")
    graph.add_conditional_edges("understand", after_understand)
    graph.add_conditional_edges("retrieve", after_retrieve)
    graph.add_edge("propose", "validate")
    graph.add_conditional_edges("validate", after_validate)
    graph.add_edge("repair", "propose")
    graph.add_edge("fall_back", "validate")
    graph.add_edge("finish", END)
    return graph.compile(checkpointer=checkpointer, name="meshwright")


@cache
def _graph() -> Compiled:
    return build_graph()


def recursion_limit(settings: LoopSettings) -> int:
    """Steps that a run can take: the attempts, the way in and out, and the two fall-backs."""
    return STEPS_OF_AN_ATTEMPT * settings.max_attempts + 10


async def run(asked: Request | str, deps: Deps | None = None, *, on_event: OnEvent | None = None) -> Result:
    """Answer one request, as text or as a value. Cancelling it cancels the call that is going on.

    A rejected or infeasible request is a result. Raises `InputError` for a `Request` that names what nobody knows (text that does so
    gets a question instead).
    """
    state: State = (
        {"text": asked} if isinstance(asked, str) else {"request": asked.model_dump(mode="json", exclude_unset=True)}
    )
    context = Run(deps or default_deps(), on_event)
    config: Any = {"recursion_limit": recursion_limit(context.deps.settings)}
    final = await _graph().ainvoke(state, config, context=context, output_keys=["result"])
    return context.once("result", final["result"], lambda: Result.model_validate(final["result"]))


def run_sync(asked: Request | str, deps: Deps | None = None, *, on_event: OnEvent | None = None) -> Result:
    """`run` for callers without an event loop."""
    return asyncio.run(run(asked, deps, on_event=on_event))
