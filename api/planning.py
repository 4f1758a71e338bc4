"""A request for a plan, in each of the ways in which it can be answered: at once, stored, as a stream."""

from fastapi import Request

from api import service
from api.admission import charge, spend_plan, told_refusal
from api.core import Core
from api.follow import outcome
from api.presence import while_present
from api.routes.work import core_of, off_loop
from api.state.runs import NewRun, Run
from strategy.request import Request as PlanRequest
from strategy.result import Result


async def answer(request: Request, ask: PlanRequest | str, proposer: service.Proposer | None) -> Result:
    """Plan while the client waits; nothing is stored. A client that leaves ends the call that is going on."""
    core = core_of(request)
    chosen = proposer or core.settings.proposer
    service.dependencies(core.settings, chosen)
    await spend_plan(core, request.state.caller)
    result = await while_present(request, _plan(core, ask, chosen))
    core.watch.metrics.planned(result)
    return result


async def store(
    request: Request, ask: PlanRequest | str, proposer: service.Proposer | None, *, key: str | None, attached: bool
) -> tuple[Run, bool]:
    """Queue a run, or find the one that this Idempotency-Key started (True). With a key it goes on when the client leaves."""
    core = core_of(request)
    chosen = proposer or core.settings.proposer
    service.dependencies(core.settings, chosen)
    if isinstance(ask, PlanRequest):
        await off_loop(request, lambda: service.resolve_request(ask))
    new = NewRun(
        ask=ask,
        proposer=chosen,
        key_id=request.state.caller.key_id,
        attached=attached and key is None,
        idempotency_key=key,
    )
    with told_refusal(core):
        run, replayed = await core.runs.add(
            new, max_queued=core.settings.max_queued_runs, charge=charge(core, request.state.caller)
        )
    if not replayed:
        core.worker.wake()
    return run, replayed


async def ended(request: Request, run: Run) -> Run:
    """The run once it has its outcome."""
    return await while_present(request, outcome(core_of(request), run))


def wants_async(prefer: str | None) -> bool:
    """Whether a `Prefer` header says that the client would rather not wait (RFC 7240)."""
    return any(wish.partition(";")[0].strip().lower() == "respond-async" for wish in (prefer or "").split(","))


async def _plan(core: Core, ask: PlanRequest | str, proposer: service.Proposer) -> Result:
    from agent.graph import run

    async with core.gate(proposer).turn():
        return await run(ask, service.dependencies(core.settings, proposer))
