"""Write what timm computes: `pip install timm==1.0.31 && python -m tests.golden.make_timm`; about a minute.

Each file holds timm's version, the names and shapes of a model's state dictionary, its number of parameters, and the
pooled features of drawn images under drawn weights. `tests/golden/drawn.py` draws the same ones without timm.
"""

from pathlib import Path

import numpy as np
import timm
import torch

from tests.golden.drawn import drawn_arrays, drawn_images

MODELS = ("resnext50_32x4d", "resnext101_32x8d", *(f"tf_efficientnet_lite{index}" for index in range(5)))
# Its sides are halved to 38, 19, 10, 5 and 3: strides meet odd and even ones, and pad them differently.
SIZE_PIXELS = 75


def timm_features(name: str, images: np.ndarray) -> tuple[torch.nn.Module, np.ndarray]:
    """Return timm's model under drawn weights, and its pooled features of images, `(batch, height, width, 3)`."""
    model = timm.create_model(name).eval()
    arrays = drawn_arrays({key: tuple(value.shape) for key, value in model.state_dict().items()})
    model.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    with torch.inference_mode():
        maps = model.forward_features(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        return model, model.forward_head(maps, pre_logits=True).numpy()


def write(name: str, folder: Path) -> None:
    """Write the golden file of one model."""
    model, features = timm_features(name, drawn_images(SIZE_PIXELS))
    shapes = [list(value.shape) for value in model.state_dict().values()]
    np.savez_compressed(
        folder / f"timm_{name}.npz",
        timm_version=np.array(timm.__version__),
        torch_version=np.array(torch.__version__),
        size_pixels=np.array(SIZE_PIXELS),
        names=np.array(list(model.state_dict())),
        # Rows of four, filled with zeros: a vector has one side, a scalar none.
        shapes=np.array([shape + [0] * (4 - len(shape)) for shape in shapes], "int32"),
        num_parameters=np.array(sum(parameter.numel() for parameter in model.parameters())),
        features=features,
    )


if __name__ == "__main__":
    for each in MODELS:
        write(each, Path(__file__).parent)
