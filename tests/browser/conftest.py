"""A headless Chromium, and a real MLflow server with many tickets to look at with it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prac.lottery.store import Finished

SHOTS = os.environ.get("PRAC_SHOTS")
"""A folder for the screenshots; a temporary one by default."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--window-size=1500,1000",
]


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait(15)


@pytest.fixture(scope="session")
def many_tickets(
    commit_ticket: Callable[..., Finished],
    empty_database_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A home with 30 tickets of three architectures; random weights, made-up accuracies."""
    from prac.app.places import dress_ticket
    from prac.tracking.store import MlflowStore
    from prac.tracking.tickets import show_charts, update_aliases

    home = tmp_path_factory.mktemp("pages")
    shutil.copy(empty_database_file, home / "mlflow.db")
    store, with_figure = (
        MlflowStore(f"sqlite:///{home / 'mlflow.db'}", dress) for dress in (None, dress_ticket)
    )
    store.prepare()
    for offset, architecture in enumerate(("resnet8", "vgg8s", "conv4")):
        plan = [("prac", k) for k in range(1, 9)] + [("vanilla", 8), ("random-subset", 8)]
        for method, k in plan:
            fall = {"prac": 0.004, "vanilla": 0.003, "random-subset": 0.009}[method]
            commit_ticket(
                with_figure if k == 3 else store,
                architecture=architecture,
                method=method,
                round_index=k,
                test_accuracy=0.98 - fall * k - 0.003 * offset,
            )
        update_aliases(store, f"prac-digits-{architecture}")
    show_charts(store)
    return home


@pytest.fixture(scope="session")
def server(many_tickets: Path) -> Iterator[str]:
    """The address of an MLflow server on loopback."""
    port = _free_port()
    words = ["server", "--backend-store-uri", f"sqlite:///{many_tickets / 'mlflow.db'}"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with open(many_tickets / "server.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, (many_tickets / "server.log").read_text()
                assert time.monotonic() < deadline, "the server doesn't answer"
                time.sleep(0.3)
        yield address
    finally:
        _end(process)


class Browser:
    """One page of a headless Chromium, by its debugging protocol."""

    def __init__(self, address: str, shots: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._address, self.shots = address, shots
        self._count = 0
        self._loop.run_until_complete(self._open())

    async def _open(self) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession()
        async with self._session.get(f"{self._address}/json") as answer:
            pages = [page for page in await answer.json() if page["type"] == "page"]
        url = pages[0]["webSocketDebuggerUrl"]
        self._socket = await self._session.ws_connect(url, max_msg_size=0)

    def call(self, method: str, **parameters: Any) -> Any:
        """A command of the protocol; its result."""
        return self._loop.run_until_complete(self._call(method, parameters))

    async def _call(self, method: str, parameters: dict[str, Any]) -> Any:
        self._count += 1
        number = self._count
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await asyncio.wait_for(self._socket.receive_json(), 60)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return result["result"].get("value")

    def look(
        self,
        url: str,
        *texts: str,
        shot: str = "",
        timeout: float = 90,
        width: int = 1500,
        height: int = 1000,
    ) -> str:
        """Open a page, wait until it shows all the texts, and keep a picture; the page's text."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        return self.wait(*texts, shot=shot, timeout=timeout)

    def wait(self, *texts: str, shot: str = "", timeout: float = 90) -> str:
        """Wait until the page shows all the texts, and keep a picture; the page's text."""
        deadline = time.monotonic() + timeout
        while True:
            page = str(self.run("document.body ? document.body.innerText : ''"))
            page = " ".join(page.split())
            missing = [text for text in texts if text not in page]
            if not missing:
                break
            if time.monotonic() > deadline:
                self.picture(f"{shot or 'page'}-failed")
                raise AssertionError(f"{missing} not on the page after {timeout} s:\n{page[:3000]}")
            time.sleep(0.3)
        if shot:
            time.sleep(1.5)
            self.picture(shot)
        return page

    def picture(self, name: str) -> Path:
        """A screenshot."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        file = self.shots / f"{name}.png"
        file.write_bytes(base64.b64decode(data))
        return file

    def print(self, name: str) -> bytes:
        """The page as PDF, on the paper that its style asks for."""
        answer = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        made = base64.b64decode(answer["data"])
        (self.shots / f"{name}.pdf").write_bytes(made)
        return made

    def close(self) -> None:
        """Let go of the connection."""

        async def close() -> None:
            await self._socket.close()
            await self._session.close()

        self._loop.run_until_complete(close())
        self._loop.close()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with nothing open."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    profile = tmp_path_factory.mktemp("chromium")
    shots = Path(SHOTS) if SHOTS else tmp_path_factory.mktemp("shots")
    shots.mkdir(parents=True, exist_ok=True)
    with open(profile / "log", "w") as log:
        process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        port_file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not port_file.is_file() or len(port_file.read_text().split()) < 2:
            assert process.poll() is None, (profile / "log").read_text()
            assert time.monotonic() < deadline, (profile / "log").read_text()
            time.sleep(0.2)
        port = port_file.read_text().split()[0]
        page = Browser(f"http://127.0.0.1:{port}", shots)
        page.call("Page.enable")
        yield page
        page.close()
    finally:
        _end(process)


@pytest.fixture(scope="session")
def browser(server: str, chromium: Browser) -> Browser:
    """The browser, in which MLflow's Assistant is closed; a server answers."""
    settings = {
        "mlflow.assistant.panelOpen_v1": False,
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    }
    script = "".join(
        f"localStorage.setItem({json.dumps(k)}, {json.dumps(json.dumps(v))});"
        for k, v in settings.items()
    )
    source = f"try {{ {script} }} catch {{}}"
    chromium.call("Page.addScriptToEvaluateOnNewDocument", source=source)
    return chromium
