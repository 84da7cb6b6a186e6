"""All image classifiers of torchvision, with facts about their bodies and published weights. No torch.

`tests/engine/fused/test_torchvision.py` compares the table with the installed torchvision.
"""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.catalog.networks.pretrained import IMAGENET_MEAN, IMAGENET_SD, PretrainedConfig

_HALF = (0.5, 0.5, 0.5)

_VGG_SOURCE = "Simonyan and Zisserman (2015), Very deep convolutional networks for large-scale image recognition"

_FAMILIES: tuple[tuple[str, str, str], ...] = (
    (
        "alexnet",
        "five convolutions, averaged over the image",
        "Krizhevsky (2014), One weird trick for parallelizing convolutional neural networks",
    ),
    ("convnext", "convolutions designed like a vision transformer", "Liu et al. (2022), A ConvNet for the 2020s"),
    (
        "densenet",
        "every layer gets the outputs of all previous layers",
        "Huang et al. (2017), Densely connected convolutional networks",
    ),
    (
        "efficientnet_v2",
        "fused inverted residuals, scaled together",
        "Tan and Le (2021), EfficientNetV2: smaller models and faster training",
    ),
    (
        "efficientnet",
        "inverted residuals, depth, width and resolution scaled together",
        "Tan and Le (2019), EfficientNet: rethinking model scaling for convolutional neural networks",
    ),
    (
        "googlenet",
        "parallel kernels of several sizes, no auxiliary output",
        "Szegedy et al. (2015), Going deeper with convolutions",
    ),
    (
        "inception_v3",
        "parallel kernels of several sizes, no auxiliary output",
        "Szegedy et al. (2016), Rethinking the Inception architecture for computer vision",
    ),
    ("maxvit", "attention within blocks and along a grid", "Tu et al. (2022), MaxViT: multi-axis vision transformer"),
    (
        "mnasnet",
        "inverted residuals found by a search for mobile phones",
        "Tan et al. (2019), MnasNet: platform-aware neural architecture search for mobile",
    ),
    (
        "mobilenet_v2",
        "inverted residuals of depthwise convolutions",
        "Sandler et al. (2018), MobileNetV2: inverted residuals and linear bottlenecks",
    ),
    (
        "mobilenet_v3",
        "inverted residuals with squeeze-and-excitation, with the published hidden layer",
        "Howard et al. (2019), Searching for MobileNetV3",
    ),
    (
        "regnet_x",
        "residual network of widths that grow linearly",
        "Radosavovic et al. (2020), Designing network design spaces",
    ),
    (
        "regnet_y",
        "residual network of widths that grow linearly, with squeeze-and-excitation",
        "Radosavovic et al. (2020), Designing network design spaces",
    ),
    ("resnet", "residual network of {digits} layers", "He et al. (2016), Deep residual learning for image recognition"),
    (
        "resnext",
        "residual network of {digits} layers with grouped convolutions",
        "Xie et al. (2017), Aggregated residual transformations for deep neural networks",
    ),
    (
        "shufflenet_v2",
        "grouped convolutions between which channels are shuffled",
        "Ma et al. (2018), ShuffleNet V2: practical guidelines for efficient CNN architecture design",
    ),
    (
        "squeezenet",
        "1x1 convolutions that squeeze, 3x3 ones that expand, averaged over the image",
        "Iandola et al. (2016), SqueezeNet: AlexNet-level accuracy with 50x fewer parameters",
    ),
    (
        "swin_v2",
        "attention within shifted windows, with log-spaced positions",
        "Liu et al. (2022), Swin transformer V2: scaling up capacity and resolution",
    ),
    (
        "swin",
        "attention within shifted windows",
        "Liu et al. (2021), Swin transformer: hierarchical vision transformer using shifted windows",
    ),
    ("vgg11", "eight 3x3 convolutions, averaged over the image", _VGG_SOURCE),
    ("vgg13", "ten 3x3 convolutions, averaged over the image", _VGG_SOURCE),
    ("vgg16", "thirteen 3x3 convolutions, averaged over the image", _VGG_SOURCE),
    ("vgg19", "sixteen 3x3 convolutions, averaged over the image", _VGG_SOURCE),
    (
        "vit",
        "vision transformer on patches of {last} pixels",
        "Dosovitskiy et al. (2021), An image is worth 16x16 words: transformers for image recognition at scale",
    ),
    (
        "wide_resnet",
        "residual network of {digits} layers, twice as wide",
        "Zagoruyko and Komodakis (2016), Wide residual networks",
    ),
)
"""Prefix of the names, what it is, and where it was published; the first prefix that fits counts."""


@dataclass(frozen=True)
class TorchvisionFacts:
    """Facts about one classifier.

    Attributes:
        name: in torchvision's registry.
        summary: what it is, in one line.
        source: where it was published.
        num_features: length of the body's feature vector.
        multiply_adds: multiply-adds per image of the size it was trained on, with its own head.
        least_size: side of the smallest input image, in pixels.
        is_fixed: whether it accepts images of `pretrained.size` alone.
        pretrained: how the images it was trained on were prepared.
    """

    name: str
    summary: str
    source: str
    num_features: int
    multiply_adds: int
    least_size: int
    is_fixed: bool
    pretrained: PretrainedConfig


def _describe(
    name: str,
    millions: float,
    num_features: int,
    mega_operations: int,
    size: int,
    resized: int,
    *,
    least: int = 32,
    interpolation: str = "bilinear",
    mean: tuple[float, ...] = IMAGENET_MEAN,
    sd: tuple[float, ...] = IMAGENET_SD,
    is_fixed: bool = False,
) -> TorchvisionFacts:
    """Return a row of the table: parameters below the head in millions; images resized, then cropped to `size`."""
    _, what, source = next(family for family in _FAMILIES if name.startswith(family[0]))
    numbers = name.replace("_", " ").split()
    digits = "".join(
        letter for letter in numbers[-2 if name.startswith(("resnext", "wide")) else -1] if letter.isdigit()
    )
    what = what.format(digits=digits, last=numbers[-1])
    return TorchvisionFacts(
        name=name,
        summary=f"{what}, {millions:.1f} million parameters below the head",
        source=source,
        num_features=num_features,
        multiply_adds=mega_operations * 1_000_000,
        least_size=least,
        is_fixed=is_fixed,
        pretrained=PretrainedConfig(mean, sd, (size, size), interpolation, size / resized),
    )


CLASSIFIERS: tuple[TorchvisionFacts, ...] = (
    _describe("alexnet", 2.5, 256, 714, 224, 256, least=63),
    _describe("convnext_base", 87.6, 1_024, 15_355, 224, 232),
    _describe("convnext_large", 196.2, 1_536, 34_361, 224, 232),
    _describe("convnext_small", 49.5, 768, 8_684, 224, 230),
    _describe("convnext_tiny", 27.8, 768, 4_456, 224, 236),
    _describe("densenet121", 7.0, 1_024, 2_834, 224, 256),
    _describe("densenet161", 26.5, 2_208, 7_728, 224, 256),
    _describe("densenet169", 12.5, 1_664, 3_360, 224, 256),
    _describe("densenet201", 18.1, 1_920, 4_291, 224, 256),
    _describe("efficientnet_b0", 4.0, 1_280, 386, 224, 256, interpolation="bicubic"),
    _describe("efficientnet_b1", 6.5, 1_280, 687, 240, 256, interpolation="bicubic"),
    _describe("efficientnet_b2", 7.7, 1_408, 1_088, 288, 288, interpolation="bicubic"),
    _describe("efficientnet_b3", 10.7, 1_536, 1_827, 300, 320, interpolation="bicubic"),
    _describe("efficientnet_b4", 17.5, 1_792, 4_394, 380, 384, interpolation="bicubic"),
    _describe("efficientnet_b5", 28.3, 2_048, 10_266, 456, 456, interpolation="bicubic"),
    _describe("efficientnet_b6", 40.7, 2_304, 19_068, 528, 528, interpolation="bicubic"),
    _describe("efficientnet_b7", 63.8, 2_560, 37_746, 600, 600, interpolation="bicubic"),
    _describe(
        "efficientnet_v2_l", 117.2, 1_280, 56_080, 480, 480, least=33, interpolation="bicubic", mean=_HALF, sd=_HALF
    ),
    _describe("efficientnet_v2_m", 52.9, 1_280, 24_582, 480, 480, least=33),
    _describe("efficientnet_v2_s", 20.2, 1_280, 8_366, 384, 384, least=33),
    _describe("googlenet", 5.6, 1_024, 1_498, 224, 256),
    _describe("inception_v3", 21.8, 2_048, 5_713, 299, 342, least=75),
    _describe("maxvit_t", 30.4, 512, 5_558, 224, 224, least=224, interpolation="bicubic", is_fixed=True),
    _describe("mnasnet0_5", 0.9, 1_280, 104, 224, 256),
    _describe("mnasnet0_75", 1.9, 1_280, 215, 224, 232),
    _describe("mnasnet1_0", 3.1, 1_280, 314, 224, 256),
    _describe("mnasnet1_3", 5.0, 1_280, 526, 224, 232),
    _describe("mobilenet_v2", 2.2, 1_280, 301, 224, 256),
    _describe("mobilenet_v3_large", 4.2, 1_280, 217, 224, 256),
    _describe("mobilenet_v3_small", 1.5, 1_024, 57, 224, 256),
    _describe("regnet_x_16gf", 52.2, 2_048, 15_941, 224, 256),
    _describe("regnet_x_1_6gf", 8.3, 912, 1_603, 224, 256),
    _describe("regnet_x_32gf", 105.3, 2_520, 31_736, 224, 256),
    _describe("regnet_x_3_2gf", 14.3, 1_008, 3_177, 224, 256),
    _describe("regnet_x_400mf", 5.1, 400, 414, 224, 256),
    _describe("regnet_x_800mf", 6.6, 672, 800, 224, 256),
    _describe("regnet_x_8gf", 37.7, 1_920, 7_995, 224, 256),
    _describe("regnet_y_128gf", 637.4, 7_392, 127_518, 224, 224, interpolation="bicubic"),
    _describe("regnet_y_16gf", 80.6, 3_024, 15_912, 224, 256),
    _describe("regnet_y_1_6gf", 10.3, 888, 1_612, 224, 256),
    _describe("regnet_y_32gf", 141.3, 3_712, 32_280, 224, 256),
    _describe("regnet_y_3_2gf", 17.9, 1_512, 3_176, 224, 256),
    _describe("regnet_y_400mf", 3.9, 440, 402, 224, 256),
    _describe("regnet_y_800mf", 5.6, 784, 834, 224, 256),
    _describe("regnet_y_8gf", 37.4, 2_016, 8_473, 224, 256),
    _describe("resnet101", 42.5, 2_048, 7_801, 224, 256),
    _describe("resnet152", 58.1, 2_048, 11_514, 224, 256),
    _describe("resnet18", 11.2, 512, 1_814, 224, 256),
    _describe("resnet34", 21.3, 512, 3_664, 224, 256),
    _describe("resnet50", 23.5, 2_048, 4_089, 224, 256),
    _describe("resnext101_32x8d", 86.7, 2_048, 16_414, 224, 256),
    _describe("resnext101_64x4d", 81.4, 2_048, 15_460, 224, 232),
    _describe("resnext50_32x4d", 23.0, 2_048, 4_230, 224, 256),
    _describe("shufflenet_v2_x0_5", 0.3, 1_024, 40, 224, 256),
    _describe("shufflenet_v2_x1_0", 1.3, 1_024, 145, 224, 256),
    _describe("shufflenet_v2_x1_5", 2.5, 1_024, 296, 224, 232),
    _describe("shufflenet_v2_x2_0", 5.3, 2_048, 583, 224, 232),
    _describe("squeezenet1_0", 0.7, 512, 819, 224, 256),
    _describe("squeezenet1_1", 0.7, 512, 349, 224, 256),
    _describe("swin_b", 86.7, 1_024, 15_431, 224, 238, least=224, interpolation="bicubic"),
    _describe("swin_s", 48.8, 768, 8_741, 224, 246, least=224, interpolation="bicubic"),
    _describe("swin_t", 27.5, 768, 4_491, 224, 232, least=224, interpolation="bicubic"),
    _describe("swin_v2_b", 86.9, 1_024, 20_325, 256, 272, least=256, interpolation="bicubic"),
    _describe("swin_v2_s", 49.0, 768, 11_546, 256, 260, least=256, interpolation="bicubic"),
    _describe("swin_v2_t", 27.6, 768, 5_940, 256, 260, least=256, interpolation="bicubic"),
    _describe("vgg11", 9.2, 512, 7_609, 224, 256),
    _describe("vgg11_bn", 9.2, 512, 7_609, 224, 256),
    _describe("vgg13", 9.4, 512, 11_308, 224, 256),
    _describe("vgg13_bn", 9.4, 512, 11_308, 224, 256),
    _describe("vgg16", 14.7, 512, 15_470, 224, 256),
    _describe("vgg16_bn", 14.7, 512, 15_470, 224, 256),
    _describe("vgg19", 20.0, 512, 19_632, 224, 256),
    _describe("vgg19_bn", 20.0, 512, 19_632, 224, 256),
    _describe("vit_b_16", 85.8, 768, 17_564, 224, 256, least=224, is_fixed=True),
    _describe("vit_b_32", 87.5, 768, 4_409, 224, 256, least=224, is_fixed=True),
    _describe("vit_h_14", 630.8, 1_280, 167_295, 224, 224, least=224, interpolation="bicubic", is_fixed=True),
    _describe("vit_l_16", 303.3, 1_024, 61_555, 224, 242, least=224, is_fixed=True),
    _describe("vit_l_32", 305.5, 1_024, 15_378, 224, 256, least=224, is_fixed=True),
    _describe("wide_resnet101_2", 124.8, 2_048, 22_753, 224, 256),
    _describe("wide_resnet50_2", 66.8, 2_048, 11_398, 224, 256),
)
