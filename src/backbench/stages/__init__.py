"""One module per stage of dvc.yaml: read, compute, write; imports every room below."""
