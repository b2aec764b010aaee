"""What a backend raises when its memory is full: recognised by name, so that no backend is imported to be asked."""

# TensorFlow's on every device, PyTorch's on a GPU, and Python's and NumPy's own.
NAMES = {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"}
# JAX raises one error for everything that XLA refuses, and begins it with XLA's status.
XLA_NAMES, XLA_STATUS = {"XlaRuntimeError", "JaxRuntimeError"}, "RESOURCE_EXHAUSTED"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory is full, and less at once might fit."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & NAMES) or (bool(names & XLA_NAMES) and XLA_STATUS in str(error))
