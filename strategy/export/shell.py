"""Launch scripts, one a host: written, and read again."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from strategy.capabilities import Capabilities
from strategy.errors import InputError
from strategy.export.artifacts import Artifact, Plan
from strategy.export.placement import Placed
from strategy.legality import even_stages
from strategy.request import Engine
from strategy.strategy import Pool, describe

SCRIPT = "text/x-shellscript"
Flags = tuple[tuple[str, str | None], ...]
_ADDRESSES = re.compile(r"\$\{HOST\d+\}(?::\d+)?(?:,\$\{HOST\d+\}(?::\d+)?)*")


@dataclass(frozen=True)
class Command:
    """One process: environment, program with its positional arguments, flags (None for a switch)."""

    program: tuple[str, ...]
    flags: Flags = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def flag(self, *names: str) -> str | None:
        """The value of the first of `names` that is set."""
        found = dict(self.flags)
        return next((found[name] for name in names if name in found), None)

    def has(self, name: str) -> bool:
        """Whether a switch is set."""
        return any(flag == name for flag, _ in self.flags)

    def number(self, name: str, default: int = 1) -> int:
        """An integer flag. Raises `InputError` when it is none."""
        value = self.flag(name)
        try:
            return default if value is None else int(value)
        except ValueError:
            raise InputError(f"`{name} {value}` is no integer") from None

    def lines(self) -> list[str]:
        """The command over several lines, each but the last one continued."""
        parts = [" ".join(map(_quoted, self.program))]
        parts += [f"  {name}" + ("" if value is None else f" {_quoted(value)}") for name, value in self.flags]
        if self.env:
            parts.insert(0, " ".join(f"{name}={_quoted(value)}" for name, value in self.env.items()))
        return [f"{part} \\" for part in parts[:-1]] + parts[-1:]

    def line(self) -> str:
        """The command on one line."""
        return " ".join(line.removesuffix(" \\").strip() for line in self.lines())


def _quoted(value: str) -> str:
    """The value as one word; the shell fills in addresses of hosts, and nothing else: a model's name may hold anything."""
    return f'"{value}"' if _ADDRESSES.fullmatch(value) else shlex.quote(value)


class Launch(NamedTuple):
    """A command and the host that runs it."""

    host: int
    command: Command


def host_variable(host: int) -> str:
    """How scripts name a host's address."""
    return f"${{HOST{host}}}"


def scripts(launches: Sequence[Launch], title: str, notes: Iterable[str] = ()) -> tuple[Artifact, ...]:
    """One script a host, each with the same notes on top."""
    told = tuple(notes)
    hosts = sorted({launch.host for launch in launches})
    return tuple(
        _script(host, [launch.command for launch in launches if launch.host == host], title, told) for host in hosts
    )


def needed_addresses(text: str) -> list[str]:
    """Lines that stop a script unless the addresses it uses are set."""
    hosts = sorted({int(number) for number in re.findall(r"\$\{HOST(\d+)\}", text)})
    return [f": ${{HOST{host}:?set HOST{host} to the address of host {host}}}" for host in hosts]


def _script(host: int, commands: Sequence[Command], title: str, notes: tuple[str, ...]) -> Artifact:
    lines = [
        "#!/usr/bin/env bash",
        f"# {one_line(title)}. Host {host}.",
        *(f"# {one_line(note)}" for note in notes),
        "set -euo pipefail",
    ]
    lines += needed_addresses("\n".join(command.line() for command in commands))
    for command in commands:
        lines += ["", *command.lines()]
        if len(commands) > 1:
            lines[-1] += " &"
    if len(commands) > 1:
        lines += ["", "wait"]
    return Artifact(f"host{host}.sh", "\n".join(lines) + "\n", SCRIPT)


def read_commands(script: str, *programs: tuple[str, ...]) -> list[Command]:
    """The commands of a script whose program begins with one of `programs`, in order."""
    joined = script.replace("\\\n", " ")
    found = [_parsed(shlex.split(line, comments=True)) for line in joined.splitlines() if line.strip()]
    return [command for command in found if any(command.program[: len(name)] == name for name in programs)]


def _parsed(words: list[str]) -> Command:
    tokens = words[:-1] if words[-1:] == ["&"] else words[:]
    env: dict[str, str] = {}
    while tokens and _is_assignment(tokens[0]):
        name, _, value = tokens.pop(0).partition("=")
        env[name] = value
    first = next((k for k, word in enumerate(tokens) if word.startswith("--")), len(tokens))
    return Command(tuple(tokens[:first]), _flags(tokens[first:]), env)


def _is_assignment(token: str) -> bool:
    name, equals, _ = token.partition("=")
    return bool(equals) and name.isidentifier()


def _flags(tokens: list[str]) -> Flags:
    found: list[tuple[str, str | None]] = []
    for token in tokens:
        if token.startswith("--"):
            name, equals, value = token.partition("=")
            found.append((name, value if equals else None))
        elif found:
            found[-1] = (found[-1][0], token)
    return tuple(found)


# --- what every engine's commands share ---------------------------------------------------------------------------------------------


def visible_gpus(plan: Plan, gpus: tuple[int, ...]) -> dict[str, str]:
    """The environment that gives a process its GPUs; nothing when it has the whole host."""
    if len(gpus) == plan.gpus_per_host:
        return {}
    name = "HIP_VISIBLE_DEVICES" if plan.amd else "CUDA_VISIBLE_DEVICES"
    return {name: ",".join(map(str, gpus))}


def layers_of_stages(pool: Pool) -> tuple[int, ...]:
    """Layers of each stage."""
    return tuple(end - start for start, end in pool.stages)


def uneven_layers(pool: Pool, num_layers: int, engine: Engine) -> str | None:
    """The layers of each stage as engines take them, `16,15`; None where the engine's own split is the same."""
    default = even_stages(num_layers, pool.pp_size, engine)
    if pool.pp_size == 1 or tuple(pool.stages) == tuple(default):
        return None
    return ",".join(map(str, layers_of_stages(pool)))


def headline(engine: Capabilities, plan: Plan) -> str:
    """What a file is for, in a line."""
    pools = "; ".join(f"{pool.name}: {describe(pool)}" for pool in plan.strategy.pools)
    return one_line(f"{plan.model.name} on {engine.title} {engine.version}, {plan.strategy.world_size} GPUs ({pools})")


def one_line(text: str) -> str:
    """A text as a comment may hold it: a name that breaks the line would end the comment, and the shell would run the rest."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def role(plan: Plan, pool: Pool) -> str:
    """prefill, decode, or serve for a pool that does both."""
    return pool.phases[0] if plan.strategy.disaggregated else "serve"


def endpoint(one: Placed, base_port: int) -> str:
    """Where a replica answers."""
    return f"http://{host_variable(one.shares[0].host)}:{base_port + one.slot}"
