"""What is published of each backbone with its ImageNet classifier: one row each, and where it stands.

A row is parameters in millions, multiply-accumulates of one image in billions, and their sources; None where nothing is
published that counts the same network. `Published.places` is how exact the printed figure is.
"""

from dataclasses import dataclass

KERAS = "https://keras.io/api/applications/"
TORCHVISION = "https://pytorch.org/vision/stable/models.html"
HUB = "KerasHub's preset metadata"
FLOPCO = "https://github.com/evgps/flopco-keras"  # which also counts what is no multiplication: half a per cent
# Half the operations of TF-Slim's networks, which stride where Keras's second versions do; without classifier.
SLIM = "https://github.com/google-research/receptive_field, RECEPTIVE_FIELD_TABLE.md"


@dataclass(frozen=True)
class Classifier:
    """What stands between the pooled features and the logits."""

    parameters: int
    macs: int


@dataclass(frozen=True)
class Published:
    """Figures as they are printed, in millions and billions, as text: their last digit says how exact they are."""

    parameters: str | None
    macs: str | None
    source: str
    classifier: Classifier | None = None  # None: one linear layer to 1,000 classes


def layers(*dense: tuple[int, int]) -> Classifier:
    """Dense layers with bias, of so many inputs and outputs."""
    return Classifier(sum(i * o + o for i, o in dense), sum(i * o for i, o in dense))


NOTHING = Classifier(0, 0)
NO_MACS = Classifier(2048 * 1000 + 1000, 0)
VGG = layers((25088, 4096), (4096, 4096), (4096, 1000))


def more_positions(dim: int) -> Classifier:
    """What DINOv2's positions have more at the 518 pixels that its figure is for than at 224, once interpolated."""
    return Classifier((518**2 - 224**2) // 14**2 * dim, 0)


# Left out: of Lite, the authors' multiply-adds (407 million for Lite0), which count more than convolutions; of
# MobileNetV3, the paper's 2.9 million parameters of the small one, which no implementation has.
PUBLISHED = {
    "mobilenet": Published("4.3", "0.569", f"{KERAS}, https://arxiv.org/abs/1704.04861"),
    "mobilenet_v2": Published("3.5", "0.300", f"{KERAS}, https://arxiv.org/abs/1801.04381"),
    "mobilenet_v3_small": Published("2.54", "0.06", TORCHVISION, layers((576, 1024), (1024, 1000))),
    "mobilenet_v3_large": Published(
        "5.48", "0.217", f"{TORCHVISION}, keras.applications.mobilenet_v3", layers((960, 1280), (1280, 1000))
    ),
    "resnet18": Published("11.69", "1.81", TORCHVISION),
    "resnet34": Published("21.80", "3.66", TORCHVISION),
    "resnet50": Published("25.6", "3.879", f"{KERAS}, {FLOPCO}"),
    "resnet101": Published("44.7", "7.602", f"{KERAS}, {FLOPCO}"),
    "resnet152": Published("60.4", "11.3", f"{KERAS}, https://arxiv.org/abs/1512.03385"),
    "resnet50_v2": Published("25.6", "3.4845", f"{KERAS}, {SLIM}", NO_MACS),
    "resnet101_v2": Published("44.7", "7.1985", f"{KERAS}, {SLIM}", NO_MACS),
    "resnet152_v2": Published("60.4", "10.913", f"{KERAS}, {SLIM}", NO_MACS),
    "resnext50_32x4d": Published("25.03", "4.23", TORCHVISION),
    "resnext101_32x8d": Published("88.79", "16.41", TORCHVISION),
    "inception_v3": Published("23.9", "5.71", f"{KERAS}, {TORCHVISION}"),
    "inception_resnet_v2": Published("55.9", "13.18", f"{KERAS}, timm"),
    "xception": Published("22.9", "8.4", f"{KERAS}, timm"),
    "vgg16": Published("138.4", "15.47", f"{KERAS}, {TORCHVISION}", VGG),
    "vgg19": Published("143.7", "19.63", f"{KERAS}, {TORCHVISION}", VGG),
    "densenet121": Published("8.1", "2.83", f"{KERAS}, {TORCHVISION}"),
    "densenet169": Published("14.3", "3.36", f"{KERAS}, {TORCHVISION}"),
    "densenet201": Published("20.2", "4.29", f"{KERAS}, {TORCHVISION}"),
    "nasnet_mobile": Published("5.3", "0.564", f"{KERAS}, https://arxiv.org/abs/1707.07012"),
    "nasnet_large": Published("88.9", "23.8", f"{KERAS}, https://arxiv.org/abs/1707.07012"),
    "efficientnet_b0": Published("5.3", "0.39", f"{KERAS}, {TORCHVISION}"),
    "efficientnet_b1": Published("7.9", "0.69", f"{KERAS}, {TORCHVISION}"),
    "efficientnet_b2": Published("9.2", "1.0", f"{KERAS}, https://arxiv.org/abs/1905.11946"),
    "efficientnet_b3": Published("12.3", "1.83", f"{KERAS}, {TORCHVISION}"),
    "efficientnet_b4": Published("19.5", "4.39", f"{KERAS}, {TORCHVISION}"),
    "efficientnet_b5": Published("30.6", "10.27", f"{KERAS}, {TORCHVISION}"),
    "efficientnet_b6": Published("43.3", "19.07", f"{KERAS}, {TORCHVISION}"),
    "efficientnet_b7": Published("66.7", "37.75", f"{KERAS}, {TORCHVISION}"),
    "efficientnet_v2_b0": Published("7.2", "0.7", f"{KERAS}, google/automl"),
    "efficientnet_v2_b1": Published("8.2", "1.2", f"{KERAS}, google/automl"),
    "efficientnet_v2_b2": Published("10.2", "1.7", f"{KERAS}, google/automl"),
    "efficientnet_v2_b3": Published("14.5", "3.0", f"{KERAS}, google/automl"),
    "efficientnet_v2_s": Published("21.6", "8.4", f"{KERAS}, google/automl"),
    "efficientnet_v2_m": Published("54.4", "24.58", f"{KERAS}, {TORCHVISION}"),
    "efficientnet_v2_l": Published("119.0", "56.08", f"{KERAS}, {TORCHVISION}"),
    "efficientnet_lite0": Published("4.7", None, "tensorflow/tpu, models/official/efficientnet/lite"),
    "efficientnet_lite0_64px": Published("4.7", None, "tensorflow/tpu, models/official/efficientnet/lite"),
    "efficientnet_lite1": Published("5.4", None, "tensorflow/tpu, models/official/efficientnet/lite"),
    "efficientnet_lite2": Published("6.1", None, "tensorflow/tpu, models/official/efficientnet/lite"),
    "efficientnet_lite3": Published("8.2", None, "tensorflow/tpu, models/official/efficientnet/lite"),
    "efficientnet_lite4": Published("13.0", None, "tensorflow/tpu, models/official/efficientnet/lite"),
    "convnext_tiny": Published("28.6", "4.5", f"{KERAS}, https://arxiv.org/abs/2201.03545"),
    "convnext_small": Published("50.2", "8.7", f"{KERAS}, https://arxiv.org/abs/2201.03545"),
    "convnext_base": Published("88.5", "15.4", f"{KERAS}, https://arxiv.org/abs/2201.03545"),
    "convnext_large": Published("197.7", "34.4", f"{KERAS}, https://arxiv.org/abs/2201.03545"),
    "convnext_xlarge": Published("350.1", "60.9", f"{KERAS}, https://arxiv.org/abs/2201.03545"),
    "vit_b16": Published("86.57", "17.56", TORCHVISION),
    "vit_l16": Published("304.33", "61.55", TORCHVISION),
    "deit_tiny": Published("5.524800", None, HUB, NOTHING),
    "deit_small": Published("21.666432", None, HUB, NOTHING),
    "deit_base": Published("85.800192", None, HUB, NOTHING),
    "swin_tiny": Published("28.29", "4.49", TORCHVISION),
    "swin_small": Published("49.61", "8.74", TORCHVISION),
    "swin_base": Published("87.77", "15.43", TORCHVISION),
    "dinov2_small": Published("22.582656", None, HUB, more_positions(384)),
    "dinov2_base": Published("87.632640", None, HUB, more_positions(768)),
    "dinov2_large": Published("305.771520", None, HUB, more_positions(1024)),
    "dinov3_small": Published("21.6", None, HUB, NOTHING),
    "dinov3_base": Published("86", None, HUB, NOTHING),
    "dinov3_large": Published(None, None, f"{HUB}: 300, which is rounded by more than one per cent", NOTHING),
    "mobilenetv5_300m": Published("294.284096", None, HUB, NOTHING),
    "clip_vit_b32": Published("87.85", "4.41", "timm, vit_base_patch32_clip_224", Classifier(768 * 512, 768 * 512)),
    "clip_vit_b16": Published("86.19", "17.58", "timm, vit_base_patch16_clip_224", Classifier(768 * 512, 768 * 512)),
    "clip_vit_l14": Published("304", "81.08", "timm, vit_large_patch14_clip_224", Classifier(1024 * 768, 1024 * 768)),
    "siglip_b16": Published("92.88", None, "timm, vit_base_patch16_siglip_224", NOTHING),
    "siglip_so400m": Published("428", None, "timm, vit_so400m_patch14_siglip_224", NOTHING),
}
