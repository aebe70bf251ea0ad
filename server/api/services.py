"""How a handler reaches the services."""

from fastapi import Request

from server.state import Services


def services_of(request: Request) -> Services:
    """The services behind a request."""
    services: Services = request.app.state.services
    return services
