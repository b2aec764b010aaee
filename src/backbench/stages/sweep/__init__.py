"""The sweep stage: the study of a cell, who runs its trials, and what is kept of them."""
