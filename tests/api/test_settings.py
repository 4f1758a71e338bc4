"""Settings from the environment and from TOML; what is misspelt is refused with what was meant."""

import os
from pathlib import Path

import pytest

from api.settings import load
from strategy.errors import InputError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MESHWRIGHT_")]:
        monkeypatch.delenv(name)


def test_a_toml_file_sets_what_the_environment_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meshwright.toml").write_text("port = 9000\nthreads = 2\n[loop]\nmax_attempts = 7\n")
    monkeypatch.setenv("MESHWRIGHT_PORT", "9001")

    settings = load()

    assert (settings.port, settings.threads, settings.loop.max_attempts) == (9001, 2, 7)


@pytest.mark.parametrize("text", ["retention_day = 3", "[loop]\nmax_attempt = 3"])
def test_a_misspelt_name_in_the_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "meshwright.toml").write_text(text)

    with pytest.raises(InputError) as refused:
        load()

    assert "unknown setting `MESHWRIGHT_" in str(refused.value)
    assert refused.value.hint.startswith("did you mean")


def test_lines_of_other_programs_in_the_env_file_are_theirs(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=hunter2\nMESHWRIGHT_PORT=9002\n")

    assert load().port == 9002

    (tmp_path / ".env").write_text("MESHWRIGHT_PROT=9002\n")
    with pytest.raises(InputError, match="MESHWRIGHT_PROT"):
        load()


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "meshwright.toml").write_bytes(b"\xff")

    with pytest.raises(InputError, match=r"meshwright\.toml.*UTF-8"):
        load()


def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHWRIGHT_REQUIRE_KEY", "true")

    with pytest.raises(InputError) as refused:
        load()

    assert "MESHWRIGHT_REQUIRE_KEYS" in refused.value.hint


def test_a_value_that_does_not_fit_is_told_without_repeating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHWRIGHT_THREADS", "sk-secret")

    with pytest.raises(InputError) as refused:
        load()

    assert "MESHWRIGHT_THREADS" in str(refused.value)
    assert "sk-secret" not in str(refused.value)


def test_a_list_that_is_not_json_is_told_with_the_form_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHWRIGHT_KNOWLEDGE", "/some/folder")

    with pytest.raises(InputError) as refused:
        load()

    assert "MESHWRIGHT_KNOWLEDGE" in str(refused.value)
    assert '["FOLDER"' in refused.value.hint


def test_a_file_that_is_named_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHWRIGHT_CONFIG", "nowhere.toml")

    with pytest.raises(InputError, match=r"nowhere\.toml"):
        load()


def test_the_url_of_the_database_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHWRIGHT_DATABASE", "postgresql://user:hunter2@host/name")

    assert "hunter2" not in repr(load())
