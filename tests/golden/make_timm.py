"""Write what timm computes: `pip install timm==1.0.31 && python -m tests.golden.make_timm`; about a minute.

Each file holds what timm says of one set of published weights (its name, the images' mean and standard deviation, the
licence), the names and shapes of the model's state dictionary, its number of parameters, and the pooled features of
drawn images under drawn weights. `tests/golden/drawn.py` draws the same ones without timm.
"""

from pathlib import Path

import numpy as np
import timm
import torch

from tests.golden.drawn import drawn_arrays, drawn_images

PUBLISHED = (
    "resnext50_32x4d.a1h_in1k",
    "resnext101_32x8d.tv_in1k",
    *(f"tf_efficientnet_lite{index}.in1k" for index in range(5)),
)
# Its sides are halved to 38, 19, 10, 5 and 3: strides meet odd and even ones, and pad them differently.
SIZE_PIXELS = 75


def timm_features(published: str, images: np.ndarray) -> tuple[torch.nn.Module, np.ndarray]:
    """Return timm's model under drawn weights, and its pooled features of images, `(batch, height, width, 3)`."""
    model = timm.create_model(published, pretrained=False).eval()
    arrays = drawn_arrays({name: tuple(value.shape) for name, value in model.state_dict().items()})
    model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    with torch.inference_mode():
        maps = model.forward_features(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        return model, model.forward_head(maps, pre_logits=True).numpy()


def write(published: str, folder: Path) -> None:
    """Write the golden file of one set of published weights."""
    model, features = timm_features(published, drawn_images(SIZE_PIXELS))
    state, said = model.state_dict(), model.pretrained_cfg
    np.savez_compressed(
        folder / f"timm_{published.partition('.')[0]}.npz",
        timm_version=np.array(timm.__version__),
        torch_version=np.array(str(torch.__version__)),
        published=np.array(published),
        mean=np.array(said["mean"]),
        std=np.array(said["std"]),
        licence=np.array(said["license"]),
        names=np.array(list(state)),
        # Rows of four, filled with zeros: a vector has one side, a scalar none.
        shapes=np.array([[*value.shape, *[0] * (4 - value.ndim)] for value in state.values()], "int32"),
        num_parameters=np.array(sum(parameter.numel() for parameter in model.parameters())),
        size_pixels=np.array(SIZE_PIXELS),
        features=features,
    )


if __name__ == "__main__":
    for each in PUBLISHED:
        write(each, Path(__file__).parent)
