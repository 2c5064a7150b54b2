"""The parts of a running service, and how a request reaches them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from fundoscope.runtime.grader import Grader
from fundoscope.service.access.throttle import LoginThrottle
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.database import Database
from fundoscope.service.store.files import PhotographFiles
from fundoscope.service.store.shadow import ShadowStart
from fundoscope.service.work.grading import GradingWork
from fundoscope.service.work.intake import Intake


@dataclass(slots=True)
class Service:
    """What the routes of a service use."""

    settings: ServiceSettings
    database: Database
    files: PhotographFiles
    work: GradingWork
    intake: Intake
    shadow: ShadowStart
    """What the start made of shadow mode."""
    throttle: LoginThrottle = field(default_factory=LoginThrottle)

    @property
    def grader(self) -> Grader:
        """The release that answers."""
        return self.work.grader


def service_of(request: Request) -> Service:
    """Return the service that a request came to."""
    service: Service = request.app.state.service
    return service


Parts = Annotated[Service, Depends(service_of)]
"""Type of a route's argument that is the service."""
