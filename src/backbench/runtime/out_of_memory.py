"""What a backend raises when its memory is full: recognised by name, so that no backend is imported to be asked."""

from backbench.runtime.errors import MemoryLimitError

# TensorFlow's on every device, PyTorch's on a GPU, and Python's and NumPy's own.
NAMES = {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"}
# JAX raises one error for everything that XLA refuses, and begins it with XLA's status.
XLA_NAMES, XLA_STATUS = {"XlaRuntimeError", "JaxRuntimeError"}, "RESOURCE_EXHAUSTED"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory is full, and less at once might fit."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & NAMES) or (bool(names & XLA_NAMES) and XLA_STATUS in str(error))


def halved(num_images: int, error: Exception) -> int:
    """Return how many images to predict at once after so many did not fit; raise an error of another kind again.

    Raises:
        MemoryLimitError: it was one image.
    """
    if not is_out_of_memory(error):
        raise error
    if num_images == 1:
        raise MemoryLimitError(
            "expected a prediction of one image to fit into memory, found that the backend ran out of it; "
            "lower input_size_pixels in conf/backbone, take a smaller backbone, or run fewer cells at once"
        ) from error
    return num_images // 2
