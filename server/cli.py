"""`infirmary`: the command line.

It imports next to nothing: like all children of multiprocessing, the privacy workers import the main script.
"""

import sys
from pathlib import Path
from typing import Any

import click

from server.errors import StartupError


@click.group()
@click.version_option(package_name="infirmary")
def main() -> None:
    """Infirmary: clinical language models inside the hospital."""


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes any free one.")
@click.option("--weights", type=click.Path(path_type=Path), help="The GGUF file to serve.")
def serve(**options: Any) -> None:
    """Serve until interrupted."""
    try:
        from server.serving import serve_until_interrupted  # noqa: PLC0415 - see above
        from server.settings import load_settings  # noqa: PLC0415 - see above

        serve_until_interrupted(
            load_settings(**{name: value for name, value in options.items() if value is not None})
        )
    except StartupError as error:
        click.echo(f"infirmary: {error.message}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
