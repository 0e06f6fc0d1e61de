"""Which of MONAI's networks and losses are offered, each with a small example. A test compares this with MONAI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["LOSSES", "NETWORKS", "Listed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A class of MONAI's, under MONAI's own name.

    Listed are networks that map an image to an image, and losses of a prediction and a target with a channel axis,
    whose constructors name all their parameters: behind ``**kwargs`` no name could be checked.

    Parameters
    ----------
    summary
        One line for listings.
    params, shape
        A small example: parameters of the constructor, and the shape of the network's input or the loss's prediction.
    labels
        Whether a loss's target is integer labels (batch, 1, *space).
    requires
        Modules that MONAI needs for it and does not install.
    dtypes
        Precisions that MONAI computes it in.
    expected_failures
        Checks of the conformance kit that fail, with the reason.
    """

    summary: str
    params: Mapping[str, Any]
    shape: tuple[int, ...]
    labels: bool = False
    requires: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32", "float64")
    expected_failures: tuple[tuple[str, str], ...] = ()


_2D = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}

NETWORKS: dict[str, Listed] = {
    "AttentionUnet": Listed(
        summary="U-Net with attention gates on its skips",
        params={**_2D, "channels": [4, 8, 16], "strides": [2, 2]},
        shape=(2, 1, 16, 24),
    ),
    "AutoEncoder": Listed(
        summary="Convolutional autoencoder",
        params={**_2D, "channels": [4, 8, 16], "strides": [2, 2, 2]},
        shape=(2, 1, 16, 24),
    ),
    "BasicUNet": Listed(
        summary="U-Net of five levels",
        params={**_2D, "features": [4, 4, 8, 8, 16, 4]},
        shape=(2, 1, 32, 48),
    ),
    "DynUNet": Listed(
        summary="nnU-Net's network",
        params={
            **_2D,
            "kernel_size": [3, 3, 3],
            "strides": [1, 2, 2],
            "upsample_kernel_size": [2, 2],
            "filters": [4, 8, 16],
        },
        shape=(2, 1, 16, 24),
    ),
    "FlexibleUNet": Listed(
        summary="U-Net with a residual or EfficientNet encoder",
        params={**_2D, "backbone": "resnet10", "decoder_channels": [16, 8, 8, 4, 4]},
        shape=(2, 1, 64, 64),
    ),
    "HighResNet": Listed(summary="Dilated residual network at full resolution", params=_2D, shape=(2, 1, 16, 12)),
    "Quicknat": Listed(
        summary="QuickNAT: dense blocks with unpooling",
        params={"num_classes": 2, "num_filters": 4},
        shape=(2, 1, 32, 32),
    ),
    "SegResNet": Listed(
        summary="Residual encoder and decoder",
        params={**_2D, "init_filters": 8, "blocks_down": [1, 1, 1], "blocks_up": [1, 1]},
        shape=(2, 1, 16, 24),
    ),
    "SegResNetDS": Listed(
        summary="Residual encoder and decoder of Auto3DSeg",
        params={**_2D, "init_filters": 4, "blocks_down": [1, 1, 1]},
        shape=(2, 1, 16, 24),
    ),
    "SwinUNETR": Listed(
        summary="U-Net with a shifted-window transformer as encoder",
        params={**_2D, "feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
        shape=(2, 1, 64, 64),
        requires=("einops",),
    ),
    "UNETR": Listed(
        summary="U-Net with a vision transformer as encoder",
        params={**_2D, "img_size": 32, "feature_size": 4, "hidden_size": 16, "mlp_dim": 16, "num_heads": 2},
        shape=(2, 1, 32, 32),
        requires=("einops",),
        expected_failures=(("gradients", "MONAI keeps an unused cross-attention normalisation in each block"),),
    ),
    "UNet": Listed(
        summary="Residual U-Net of any depth",
        params={**_2D, "channels": [4, 8, 16], "strides": [2, 2], "num_res_units": 1},
        shape=(2, 1, 16, 24),
    ),
    "VNet": Listed(
        summary="V-Net",
        params={**_2D, "dropout_prob_down": None, "dropout_prob_up": [None, 0.0]},
        shape=(2, 1, 32, 32),
    ),
    "VoxelMorphUNet": Listed(
        summary="VoxelMorph's U-Net",
        params={
            "spatial_dims": 2,
            "in_channels": 2,
            "unet_out_channels": 4,
            "channels": [4, 4, 4, 4, 4, 4],
            "final_conv_channels": [4, 4],
        },
        shape=(2, 2, 16, 24),
    ),
}

_IMAGE = (2, 1, 12, 14)
_CLASSES = (2, 3, 8, 10)
_SOFTMAX = {"softmax": True, "to_onehot_y": True}


_SINGLE = ("float32",)
_NEGATIVE = (("scalar", "a similarity with the sign changed is below zero by definition"),)


def _overlap(summary: str, **more: Any) -> Listed:
    settings: dict[str, Any] = {"params": _SOFTMAX, "shape": _CLASSES, "labels": True}
    return Listed(summary=summary, **settings | more)


LOSSES: dict[str, Listed] = {
    "DiceCELoss": _overlap("Dice overlap and cross entropy"),
    "DiceFocalLoss": _overlap("Dice overlap and focal loss", dtypes=_SINGLE),
    "DiceLoss": _overlap("1 - Dice overlap, or Jaccard index"),
    "FocalLoss": _overlap(
        "Cross entropy that looks away from easy pixels",
        params={"to_onehot_y": True, "use_softmax": True},
        dtypes=_SINGLE,
    ),
    "GeneralizedDiceFocalLoss": _overlap("Generalised Dice overlap and focal loss", dtypes=_SINGLE),
    "GeneralizedDiceLoss": _overlap("1 - Dice overlap with classes weighted by size"),
    "HausdorffDTLoss": _overlap("Hausdorff distance by distance transforms"),
    "LogHausdorffDTLoss": _overlap("Logarithm of the Hausdorff distance"),
    "SoftDiceclDiceLoss": _overlap("Dice overlap and centreline Dice"),
    "SoftclDiceLoss": _overlap("1 - centreline Dice, for tubular structures"),
    "TverskyLoss": _overlap("1 - Tversky index"),
    "GlobalMutualInformationLoss": Listed(
        summary="Negative mutual information", params={}, shape=_IMAGE, expected_failures=_NEGATIVE
    ),
    "JukeboxLoss": Listed(summary="Squared difference of Fourier magnitudes", params={"spatial_dims": 2}, shape=_IMAGE),
    "LocalNormalizedCrossCorrelationLoss": Listed(
        summary="Negative squared local correlation",
        params={"spatial_dims": 2},
        shape=_IMAGE,
        expected_failures=_NEGATIVE,
    ),
    "SSIMLoss": Listed(
        summary="1 - SSIM, as MONAI defines it", params={"spatial_dims": 2}, shape=_IMAGE, dtypes=_SINGLE
    ),
}
