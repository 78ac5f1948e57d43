"""A PostgreSQL and a Redis on free ports, apart from the machine's own services."""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from palate.argilla.server.settings import free_port

PACKAGES = "apt-get install postgresql redis-server"
PASSWORD = f"p@ss/w%rd:{secrets.token_hex(8)}"  # with every character that is special in a URL


def program(name: str) -> str:
    """Return the path of a program; Debian keeps PostgreSQL's servers off the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = shutil.which(name) or (str(debian[-1]) if debian else None)
    assert path, f"these tests need {name}: {PACKAGES}"
    return path


class Postgres:
    """A cluster in its own folder, with the database that `url` names."""

    def __init__(self, encoding: str = "UTF8"):
        self.root = Path(tempfile.mkdtemp(prefix="palate-pg-"))
        self.user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        if self.user:
            shutil.chown(self.root, self.user)
        self.port = free_port("127.0.0.1", 0)
        secret = self.root / "password"
        secret.write_text(PASSWORD)
        locale = "C.UTF-8" if encoding == "UTF8" else "C"
        self._run(
            "initdb", "-D", str(self.data), "-U", "palate", "-E", encoding, f"--locale={locale}",
            "--auth=scram-sha-256", f"--pwfile={secret}",
        )  # fmt: skip

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def url(self) -> str:
        return f"postgresql://palate:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def start(self) -> "Postgres":
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        log = str(self.root / "log")
        self._run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", log, "-o", options)
        return self

    def stop(self, mode: str = "fast") -> None:
        """End it; `immediate` is like a crash."""
        self._run("pg_ctl", "stop", "-w", "-D", str(self.data), "-m", mode)

    def query(self, statement: str) -> str:
        env = {"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}
        command = [program("psql"), "-XAt", "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-U", "palate", "-d", "postgres", "-c", statement]
        run = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return run.stdout.strip()

    def __enter__(self) -> "Postgres":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.root, ignore_errors=True)

    def _run(self, name: str, *arguments: str) -> None:
        # pg_ctl's child would hold a pipe open for as long as it lives
        with (self.root / "commands").open("a+") as out:
            run = subprocess.run(
                [program(name), *arguments], user=self.user, cwd=self.root, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        assert run.returncode == 0, (self.root / "commands").read_text()[-2000:]


class Redis:
    """A server with a password that stores nothing on disk."""

    def __init__(self) -> None:
        self.port = free_port("127.0.0.1", 0)
        self.process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/0"

    def start(self) -> "Redis":
        self.process = subprocess.Popen(
            [program("redis-server"), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tempfile.gettempdir(),
        )
        assert self.process.stdin
        assert self.process.stdout
        with self.process.stdin as settings:
            settings.write(f"port {self.port}\nbind 127.0.0.1\n")
            settings.write(f'requirepass "{PASSWORD}"\nsave ""\n')
        for line in self.process.stdout:
            if "Ready to accept connections" in line:
                return self
        raise AssertionError("redis-server ended at once")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    def __enter__(self) -> "Redis":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
