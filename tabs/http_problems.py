"""Errors as JSON and their HTTP numbers."""

from pydantic import BaseModel, ConfigDict, Field

from presets.errors import UserError

STATUSES = {
    "E-JOB-UNKNOWN": 404,
    "E-PICTURE-UNKNOWN": 404,
    "E-PICTURES-PRIVATE": 401,
    "E-IMAGE-FILE": 413,
    "E-BODY-LARGE": 413,
    "E-ORIGIN": 403,
    "E-QUOTA": 429,
    "E-GPU-QUOTA": 429,
    "E-GPU": 503,
    "E-BUSY": 503,
    "E-INTERNAL": 500,
    "E-WORKER": 500,
    "E-DISK": 503,
}
"""HTTP's number for an error's code; 422 for all others."""

RETRY_SECONDS = 30
"""Told with 429 and 503."""


class Problem(BaseModel):
    """Why something was refused or failed."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="Stable, such as E-SIZE.")
    field: str | None = Field(default=None, description="The request's field that is wrong, where it is one.")
    message: str = Field(description="A sentence for a person.")


def problem_of(error: UserError) -> Problem:
    return Problem(code=error.code, field=error.field, message=error.message)


def status_of(error: UserError) -> int:
    return STATUSES.get(error.code, 422)
