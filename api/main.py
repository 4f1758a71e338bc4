"""For servers that want an application object: `uvicorn --factory api.main:app`."""

from fastapi import FastAPI

from api import logs
from api.app import create_app
from api.settings import load


def app() -> FastAPI:
    """The application with the settings of the environment."""
    settings = load()
    logs.configure(settings)
    return create_app(settings)
