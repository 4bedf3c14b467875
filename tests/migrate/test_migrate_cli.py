"""``tricorn migrate`` as a command: what it reads, what it writes, how it ends."""

from __future__ import annotations

import io
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from migrate_peers import config_of, moved

from tricorn import cli
from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.migrate import PEERS
from tricorn.migrate.command_line import read_command, read_env_file


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return cli.main(["migrate", *arguments])


def test_a_file_is_written_that_loads(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["shop:app", "--bind", "[::]:80", "--workers", "4", "--statsd-host", "x:1"]
    assert run("--", "hypercorn", *line) == 0
    config = Config.from_toml(place / "tricorn.toml")
    assert (config.application, config.bind, config.workers) == ("shop:app", ("[::]:80",), 4)
    out, err = capsys.readouterr()
    assert out == ""
    assert "tricorn: warning: statsd_host has no effect" in err
    assert err.endswith("tricorn: wrote tricorn.toml with 4 options\n")
    assert "# No effect: " in (place / "tricorn.toml").read_text()


def test_every_value_survives_the_file(place: Path) -> None:
    line = ["uvicorn", "shop:app", "--header", 'X: "q" \\ b', "--root-path", "/ü"]
    assert run("--keep-defaults", "-o", "a.toml", "--", *line) == 0
    config = Config.from_toml(place / "a.toml")
    assert config == config_of(moved("uvicorn", line[1:], keep_defaults=True))
    assert config.headers == ('X: "q" \\ b',)


def test_standard_output(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    assert run("-o", "-", "hypercorn -w 2 shop:app") == 0
    out, err = capsys.readouterr()
    assert 'application = "shop:app"  # APP' in out
    assert "wrote" not in err
    assert list(place.iterdir()) == []


def test_an_existing_file_stays(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "tricorn.toml").write_text("# mine\n")
    assert run("--", "uvicorn", "shop:app") == 2
    assert "tricorn.toml exists; --force" in capsys.readouterr().err
    assert (place / "tricorn.toml").read_text() == "# mine\n"
    assert run("--force", "--", "uvicorn", "shop:app") == 0
    assert "shop:app" in (place / "tricorn.toml").read_text()
    assert os.listdir(place) == ["tricorn.toml"]


def test_a_dangling_link_stays(place: Path) -> None:
    (place / "tricorn.toml").symlink_to("elsewhere")
    assert run("--", "uvicorn", "shop:app") == 2
    assert not (place / "elsewhere").exists()


def test_a_password_is_for_the_owner(place: Path) -> None:
    assert run("--", "uvicorn", "a:b", "--ssl-certfile", "c", "--ssl-keyfile-password", "s") == 0
    assert stat.S_IMODE((place / "tricorn.toml").stat().st_mode) == 0o600
    assert run("-o", "b.toml", "--", "uvicorn", "a:b") == 0
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((place / "b.toml").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which server"),
        (["--", "shop:app"], "which server"),
        (["uvicorn"], "nothing to migrate"),
        (["uvicorn", "--", "gunicorn", "a:b"], "of gunicorn, not of uvicorn"),
        (["--file", "conf"], "which server"),
        (["uvicorn", "--file", "x"], "no configuration file"),
        (["--output"], "expected one argument"),
        (["--forse", "--", "uvicorn", "a:b"], "--forse"),
        (["uvicorn a:b 'x"], "cannot be read"),
        (['["uvicorn", 1]'], "strings"),
        (["[uvicorn"], "JSON"),
        (["-o", "no/such/dir/a.toml", "--", "uvicorn", "a:b"], "cannot write"),
        (["--env-file", "none", "--", "uvicorn", "a:b"], "cannot read none"),
        (["--", "uvicorn", "a:b", "--force"], "stand before the command"),
        (["--", "uvicorn", "a:b", "--root-path", "x"], "begins with /"),
        (["uvicorn a:b $X c:d"], "unexpected argument 'c:d'"),
        (["GUNICORN_CMD_ARGS='\"' gunicorn a:b"], "GUNICORN_CMD_ARGS cannot be read"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tricorn: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "peer", "words"),
    [
        ("uvicorn app:app --port 80", "uvicorn", ["app:app", "--port", "80"]),
        ("web: gunicorn -w 2 a:b", "gunicorn", ["-w", "2", "a:b"]),
        ("ExecStart=-/srv/venv/bin/granian a:b", "granian", ["a:b"]),
        ("ExecStart = /usr/bin/hypercorn --access-logformat '%%(h)s' \\\n a:b", "hypercorn",
         ["--access-logformat", "%(h)s", "a:b"]),
        ("CMD daphne -b 0.0.0.0 a:b", "daphne", ["-b", "0.0.0.0", "a:b"]),
        ('CMD ["uvicorn", "a:b", "--port", "$PORT"]', "uvicorn", ["a:b", "--port", "$PORT"]),
        ('ENTRYPOINT ["sh", "-c", "exec uvicorn a:b --port ${STAGE:-80}"]', "uvicorn",
         ["a:b", "--port", "prod"]),
        ("/usr/bin/python3.12 -X dev -m uvicorn a:b", "uvicorn", ["a:b"]),
        ("poetry run python -m hypercorn a:b", "hypercorn", ["a:b"]),
        ("env X=1 exec uvicorn 'a:make(\"$HOME\")'; echo", "uvicorn", ['a:make("$HOME")']),
        ("uvicorn a:b --root-path /$STAGE && echo", "uvicorn", ["a:b", "--root-path", "/prod"]),
        ("uvicorn.exe a:b", "uvicorn", ["a:b"]),
        ("uvicorn a:b --header 'x: a;b>c' \"--header=y: <&\"", "uvicorn",
         ["a:b", "--header", "x: a;b>c", "--header=y: <&"]),
        ("uvicorn a:b --root-path /a#b", "uvicorn", ["a:b", "--root-path", "/a#b"]),
        ("command=gunicorn --name a>b;c a:b", "gunicorn", ["--name", "a>b;c", "a:b"]),
        ("ExecStart=/bin/gunicorn --name a&b a:b", "gunicorn", ["--name", "a&b", "a:b"]),
    ],
)  # fmt: skip
def test_lines(line: str, peer: str, words: list[str]) -> None:
    command = read_command([line], list(PEERS.values()), {"STAGE": "prod"})
    assert (command.program, command.arguments) == (peer, words)


def test_what_stands_around_the_command_is_told() -> None:
    found = moved("uvicorn", ["cd /app && A=1 poetry run uvicorn a:b > log"])
    assert "# - Keep what stood in front of the command: cd /app && poetry run" in found.text
    assert "# - Keep what stood behind the command: > log" in found.text


@pytest.mark.parametrize(
    ("rest", "behind"),
    [
        (" ; echo", "; echo"),
        ("; echo", "; echo"),
        (" ;; b) echo", ";; b) echo"),
        ("&", "&"),
        (" & nginx", "& nginx"),
        ("&& echo", "&& echo"),
        ("|tee log", "| tee log"),
        (" || exit 1", "|| exit 1"),
        (" >log 2>&1 &", "> log 2>&1 &"),
        (" >>log 2>>err", ">> log 2>> err"),
        (" 2>/dev/null", "2> /dev/null"),
        (" </dev/null", "< /dev/null"),
        (" &>/dev/null", "&> /dev/null"),
        (" &>> log", "&>> log"),
        (" >| log 2>&1 | cat", ">| log 2>&1 | cat"),
        (" # behind a proxy", ""),
    ],
)
@pytest.mark.parametrize("around", ["{}", "web: {}", "CMD {}", "sh -c '{}'"])
def test_what_the_shell_reads_is_no_argument(around: str, rest: str, behind: str) -> None:
    found = moved("uvicorn", [around.format(f"uvicorn a:b --port 80{rest}")])
    assert config_of(found).bind == ("127.0.0.1:80",)
    told = [line for line in found.text.splitlines() if "stood behind" in line]
    assert told == [f"# - Keep what stood behind the command: {behind}"] * bool(behind)


def test_a_redirection_does_not_end_a_command() -> None:
    found = moved("uvicorn", ["uvicorn a:b > log 2>&1 --workers 4 && echo"])
    assert found.entries["workers"].value == 4
    assert "# - Keep what stood behind the command: > log 2>&1 && echo\n" in found.text


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("web: DJANGO_SETTINGS_MODULE=shop.settings B=secret gunicorn a:b",
         "DJANGO_SETTINGS_MODULE, B"),
        ("A=1 env B=2 sh -c 'C=3 uvicorn a:b'", "A, C"),
        ("env B=2 poetry run uvicorn a:b", "B"),
        ("UVICORN_PORT=80 WEB_CONCURRENCY=2 UVICORN_NO=1 uvicorn a:b", "UVICORN_NO"),
        ("WEB_CONCURRENCY=2 GUNICORN_CMD_ARGS='-t 9' SCRIPT_NAME=/a gunicorn a:b", ""),
        ("SCRIPT_NAME=/a gunicorn -k asgi a:b", "SCRIPT_NAME"),
        ("WEB_CONCURRENCY=2 hypercorn a:b", "WEB_CONCURRENCY"),
    ],
)  # fmt: skip
def test_variables_of_the_application_are_told(line: str, names: str) -> None:
    """Without what they hold, which may be secret."""
    found = moved(next(name for name in PEERS if f"{name} " in line), [line])
    assert "secret" not in found.text
    told = [text for text in found.text.splitlines() if "Keep the variables" in text]
    assert told == [f"# - Keep the variables in front of the command: {names}"] * bool(names)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("SCRIPT_NAME=/shop gunicorn a:b", "/shop"),
        ("gunicorn a:b -e SCRIPT_NAME=/shop", "/shop"),
        ("SCRIPT_NAME=/other gunicorn a:b -e A=1 -e SCRIPT_NAME=/shop", "/shop"),
        ("SCRIPT_NAME=/shop gunicorn a:b -e A=1", "/shop"),
        ("SCRIPT_NAME=/shop gunicorn -k tricorn.gunicorn.TricornWorker a:b", "/shop"),
        ("gunicorn -k tricorn.gunicorn.TricornWorker a:b -e SCRIPT_NAME=/shop", "/shop"),
        ("SCRIPT_NAME=/shop gunicorn a:b -k asgi", ""),
        ("gunicorn a:b -k asgi -e SCRIPT_NAME=/shop", ""),
    ],
)
def test_where_gunicorn_has_a_wsgi_application(line: str, path: str) -> None:
    found = moved("gunicorn", [line])
    assert config_of(found).root_path == path
    rest = "-e A=1" in line or ("-k asgi" in line and "-e " in line)
    told = [place for place, _ in found.left_out if place != "-k"]  # ours is told of another way
    assert told == ["-e"] * rest


def test_our_worker_reads_what_gunicorn_has_for_its_own() -> None:
    words = (
        "--asgi-lifespan off --asgi-loop asyncio --asgi-disconnect-grace-period 5 --root-path /x"
    )
    config = config_of(
        moved("gunicorn", [f"gunicorn -k tricorn.gunicorn.TricornWorker a:b {words}"])
    )
    assert (config.lifespan, config.worker_class, config.disconnect_grace) == ("off", "asyncio", 5)
    assert config.root_path == "/x"


def test_a_variable_of_the_shell() -> None:
    found = moved("uvicorn", ["uvicorn a:b --host 0.0.0.0 --port $PORT"])
    assert "bind" not in found.entries
    assert '--bind "0.0.0.0:$PORT", or in TRICORN_BIND' in found.left_out[0][1]
    known = moved("uvicorn", ["PORT=81 uvicorn a:b --port $PORT"])
    assert config_of(known).bind == ("127.0.0.1:81",)
    found = moved("gunicorn", ["gunicorn a:b -b :$PORT --log-level $LEVEL"])
    assert found.entries.keys() == {"application", "interface"}
    kept = moved("uvicorn", ["uvicorn a:b --timeout-keep-alive $K"], keep_defaults=True)
    assert "keep_alive_timeout" not in kept.entries


def test_a_path_with_the_name_of_a_server_is_no_program() -> None:
    command = read_command(["a:b", "--root-path", "/uvicorn"], list(PEERS.values()), {})
    assert (command.program, command.arguments[0]) == ("", "a:b")


@pytest.mark.parametrize(
    "arguments",
    [
        ["uvicorn", "--", "a:b", "--port", "80"],
        ["uvicorn", "--output", "tricorn.toml", "a:b", "--port", "80"],
        ["uvicorn", "a:b", "--port", "80"],
        ["uvicorn", "a:b --port 80"],
        ["uvicorn a:b --port 80"],
        ["--", "python", "-m", "uvicorn", "a:b", "--port", "80"],
    ],
)
def test_ways_to_say_it(arguments: list[str], place: Path) -> None:
    assert run(*arguments) == 0
    assert Config.from_toml(place / "tricorn.toml").bind == ("127.0.0.1:80",)


def test_the_server_is_guessed_from_the_file(place: Path) -> None:
    (place / "hypercorn.toml").write_text("backlog = 7\n")
    assert run("--file", "hypercorn.toml") == 0
    text = (place / "tricorn.toml").read_text()
    assert "backlog = 7  # backlog in hypercorn.toml" in text
    assert "# - No application was named" in text


def test_env_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# c\nexport UVICORN_HOST='::'\nUVICORN_PORT=81 # port\nEMPTY=\nnot a line\nQ=\"a b\"\n"
    assert read_env_file(text) == {
        "UVICORN_HOST": "::", "UVICORN_PORT": "81", "EMPTY": "", "Q": "a b",
    }  # fmt: skip
    (place / ".env").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.StringIO("UVICORN_PORT=82\n"))
    assert run("--env-file", ".env", "--env-file", "-", "--", "uvicorn", "a:b") == 0
    assert Config.from_toml(place / "tricorn.toml").bind == ("[::]:82",)


def test_the_environment_of_the_command_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UVICORN_PORT", "83")
    monkeypatch.setenv("WEB_CONCURRENCY", "9")
    assert moved("uvicorn", ["a:b"]).entries.keys() == {"application"}


def _documented() -> list[str]:
    docs = Path(__file__).parents[2] / "docs"
    pages = [*docs.glob("how-to/from-*.md"), docs / "reference" / "command-line.md"]
    lines = [line for page in sorted(pages) for line in page.read_text("utf-8").splitlines()]
    return [line for line in lines if line.startswith("tricorn migrate ") and "[FROM]" not in line]


@pytest.mark.parametrize("line", _documented())
def test_documented_commands_work(line: str, place: Path) -> None:
    for name, text in (("hypercorn.toml", "workers = 2"), ("gunicorn.conf.py", "workers = 2"),
                       (".env", "UVICORN_PORT=80\nGRANIAN_PORT=80\n")):  # fmt: skip
        (place / name).write_text(text)
    assert cli.main(shlex.split(line)[1:]) == 0


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "tricorn migrate -- uvicorn" in capsys.readouterr().out
    assert cli.main(["--help"]) == 0
    assert "tricorn migrate" in capsys.readouterr().out


def test_an_application_named_migrate(place: Path) -> None:
    (place / "migrate.py").write_text("async def app(scope, receive, send): ...\n")
    result = subprocess.run(
        [sys.executable, "-m", "tricorn", "--check-config", "migrate:app"],
        capture_output=True, text=True, cwd=place,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "migrate:app" in result.stdout


def test_the_server_does_not_load_it(place: Path) -> None:
    program = "import sys, tricorn.cli; tricorn.cli.main(['--version']); " \
        "sys.exit('tricorn.migrate' in sys.modules)"  # fmt: skip
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=place)
    assert result.returncode == 0


def test_an_answer_that_cannot_be_a_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="twice"):
        moved("hypercorn", ["a:b", "-b", "x:1", "-b", "X:1"])
