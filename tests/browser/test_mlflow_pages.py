"""What a person sees in MLflow: thirty tickets of three architectures, each page readable.

PRAC_SHOTS=DIR keeps the screenshots.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prac.tracking.connection import TICKETS, Connection
from prac.tracking.views import ticket_page

NAMES = tuple(f"prac {name} 48.8 % sparse" for name in ("resnet8", "vgg8s", "conv4"))


@pytest.fixture(scope="session")
def store(many_tickets: Path) -> Connection:
    return Connection(f"sqlite:///{many_tickets / 'mlflow.db'}")


@pytest.fixture(scope="session")
def experiment(store: Connection, server: str) -> str:
    return f"{server}/#/experiments/{store.experiment(TICKETS)}"


def test_the_list_names_method_network_and_sparsity(
    browser: Any, experiment: str, server: str
) -> None:
    address = ticket_page(server, experiment.rpartition("/")[2])
    page = browser.look(address, *NAMES, "steps_saved", "30", shot="tickets-list", height=1400)
    assert page.count(" % sparse") >= 30


def test_a_tickets_page_says_what_it_is_and_how_to_take_it(
    browser: Any, experiment: str, store: Connection
) -> None:
    version = store.client.get_model_version("prac-digits-resnet8", "3")
    browser.look(
        f"{experiment}/runs/{version.run_id}",
        "prac resnet8 48.8 % sparse, digits",
        "test accuracy, trained alone from here",
        "models:/prac-digits-resnet8/3",
        "steps_saved",
        shot="ticket-page",
        height=1500,
    )


def test_a_registered_model_has_aliases_and_a_text(browser: Any, server: str) -> None:
    browser.look(
        f"{server}/#/models/prac-digits-resnet8",
        "Lottery tickets of resnet8 on digits",
        "@ best",
        "@ smallest",
        shot="registered-model",
        height=2800,
    )
    browser.look(
        f"{server}/#/models/prac-digits-resnet8/versions/3",
        "SGD steps to find it",
        "mlflow models serve",
        shot="model-version",
        height=1500,
    )


def test_tickets_can_be_compared(browser: Any, experiment: str, store: Connection) -> None:
    runs = [
        store.client.get_model_version(f"prac-digits-{name}", "3").run_id
        for name in ("resnet8", "vgg8s", "conv4")
    ]
    number = experiment.rpartition("/")[2]
    listed = ",".join(f'"{run}"' for run in runs)
    address = f"{experiment.partition('#')[0]}#/compare-runs?runs=[{listed}]"
    address += f'&experiments=["{number}"]&workflowType=machine_learning'
    browser.look(address, *NAMES, "test_accuracy", shot="tickets-compare", height=1600)


def test_the_chart_page_draws_the_metrics(browser: Any, experiment: str, server: str) -> None:
    browser.look(
        ticket_page(server, experiment.rpartition("/")[2]) + "&compareRunsMode=CHART",
        # Of eight sparsities: two clouds and bars; MLflow adds the bars of the percents.
        "digits-conv4 (4)",
        "digits-conv4/test_percent",
        "digits-conv4/points_above_dense",
        NAMES[0],
        shot="tickets-chart",
        height=1300,
    )
