"""Wrong but plausible DAGs, one behaviour for each rule family: the failing examples of its rules, one after the other."""

import json
from collections.abc import Iterator

from agent.wire import encode
from evals.faulty.server import Asked, Behave, Say
from knowledge.resolve import resolve
from strategy.errors import InputError
from strategy.request import Request
from validators.registry import catalogue
from validators.subject import Subject

GPU = "h100-sxm"
HOSTS = 4


def failing() -> dict[str, list[tuple[str, Subject]]]:
    """Rule family -> (rule code, failing example) for every rule whose finding rejects a DAG."""
    found: dict[str, list[tuple[str, Subject]]] = {}
    for code, rule in catalogue().items():
        if rule.severity == "error":
            found.setdefault(rule.family, []).extend((code, one.make()) for one in rule.fails())
    return {family: examples for family, examples in sorted(found.items()) if examples}


def request_about(subject: Subject) -> Request:
    """A request that such a DAG would answer, if it were right."""
    model = subject.model.model_dump(mode="json", exclude={"aliases", "provenance"})
    asked = {"model": model, "cluster": {"gpu": GPU, "hosts": HOSTS}, "workload": {"isl": 512, "osl": 64}}
    return Request.model_validate(asked)


def by_model() -> Iterator[tuple[str, Request, Behave]]:
    """(name, request, behaviour): for each family and model the wrong answers in turn, for ever."""
    for family, examples in failing().items():
        grouped: dict[str, list[Subject]] = {}
        for _, subject in examples:
            if _can_be_asked(subject):
                grouped.setdefault(subject.model.model_dump_json(), []).append(subject)
        for number, subjects in enumerate(grouped.values()):
            name = f"wrong-{family.lower()}-{number}-{subjects[0].model.name}"
            yield name, request_about(subjects[0]), _in_turn(subjects)


def _can_be_asked(subject: Subject) -> bool:
    """Whether a request may name this model; some rules are about models that none can."""
    try:
        resolve(request_about(subject))
    except InputError:
        return False
    return True


def _in_turn(subjects: list[Subject]) -> Behave:
    answers = [json.dumps(encode(subject.dag, "Looks right to me.")) for subject in subjects]

    def behave(asked: Asked) -> Say:
        return Say(answers[asked.turn % len(answers)])

    return behave
