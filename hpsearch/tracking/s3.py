"""What goes wrong on the way to artifacts in S3, which MLflow's client reaches through boto3."""

from __future__ import annotations

SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Environment variables that hold credentials."""
_PACKAGES = ("boto3", "botocore", "s3transfer")


def is_of_s3(error: Exception) -> bool:
    """Whether an error comes from a store in S3, or from looking for it: MLflow passes most on as they are.

    What it says is never about one record: no answer, no credentials, no such bucket.
    """
    return type(error).__module__.partition(".")[0] in _PACKAGES
