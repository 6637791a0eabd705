"""The packages that the explorer needs, which not every installation has."""

from mcevae.base.errors import UserError


def check_installed() -> None:
    """Check that the packages of the explorer are installed.

    Raises:
        UserError: one is not.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; pip install 'mcevae[serve]'.") from error
