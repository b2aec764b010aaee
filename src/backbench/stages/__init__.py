"""One module or package per stage of dvc.yaml: read, compute, write; imports every room below, and no other stage."""
