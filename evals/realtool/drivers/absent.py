"""A stand-in for torchvision, whose published wheels do not load with a CPU build of torch, and which nothing here computes with."""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAME, VERSION = "torchvision", "0.29.0"


class AnyName(type):
    """A class of which every attribute is there."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class AnyModule(ModuleType):
    """A module in which every name is there: classes for capitals, modules else."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        whole = f"{self.__name__}.{name}"
        return AnyName(name, (), {}) if name[:1].isupper() else AnyModule(whole)


class Finder(MetaPathFinder, Loader):
    """Finds torchvision and everything in it."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.partition(".")[0] == NAME else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = AnyModule(spec.name)
        module.__dict__["__version__"] = VERSION
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def stand_in() -> None:
    """From now on `import torchvision` finds the stand-in."""
    sys.meta_path.insert(0, Finder())
