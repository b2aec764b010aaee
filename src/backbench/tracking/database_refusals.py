"""What a database says that no waiting changes; everything else that its driver calls operational may pass."""

REFUSALS = (
    "is full",
    "readonly database",
    "unable to open database file",
    "no such table",
    "no such column",
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
)


def is_refused(told: str) -> bool:
    """Say whether what a driver told is a refusal."""
    return any(refusal in told for refusal in REFUSALS)
