"""The end-to-end variational network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from recon.errors import UsageError
from recon.interfaces import OperatorModel, describe
from recon.kspace import as_complex, crop_centred, root_sum_of_squares
from recon.operators import LinearOperator
from recon_plugins.varnet.norm_unet import NormUNet
from recon_plugins.varnet.sensitivity import SensitivityModel, central_block

__all__ = ["VarNet", "VarNetBlock"]

AXES = (-2, -1)


class VarNet(OperatorModel):
    """The end-to-end variational network, with fastMRI's state-dict keys and output, so that its weights load.

    Sensitivities s_c come from the fully sampled centre of k-space by a U-Net. Then, from k = y, each cascade descends

        k <- k - w M (k - y) - F s_c U(sum_c conj(s_c) F^H k_c)

    with the sampling mask M, a weight w and a U-Net U of its own. The result is the root sum of squares of F^H k over
    the coils. With the defaults 29,936,966 parameters; fastMRI's small version has 8 cascades and 20,119,610.

    k-space and sensitivities are kept with their centre at index 0, so that only the combined image, not the coils, is
    shifted for each U-Net. Transforms and data consistency are computed in full precision also under autocast.

    The network knows no units: another scale of y is that of x.

    Shapes: y (batch, coil, H, W), zero where not measured -> x (batch, 1, H, W), real; any number of coils.

    Parameters
    ----------
    num_cascades
        Number of cascades.
    sens_chans, sens_pools
        Channels and poolings of the U-Net for sensitivities.
    chans, pools
        Channels and poolings of the cascades' U-Nets.
    mask_center
        Whether sensitivities see the centre of k-space only.
    num_low_frequencies
        Lines in that centre; by default found in the mask of each item.
    crop
        (H, W) of the middle of the image that is returned, along axes that are longer; by default all of it.
    checkpoint
        Whether training computes sensitivities and cascades again on the way back instead of keeping their insides:
        about 1 / `num_cascades` of the memory, a third more time.

    Raises
    ------
    UsageError
        If the operator has no sampling mask (`fourier` has), or y is not k-space of two axes.

    References
    ----------
    Sriram et al., MICCAI 2020, doi:10.1007/978-3-030-59713-9_7
    """

    crops_to_target = True

    def __init__(
        self,
        *,
        num_cascades: Annotated[int, Ge(1)] = 12,
        sens_chans: Annotated[int, Ge(1)] = 8,
        sens_pools: Annotated[int, Ge(1)] = 4,
        chans: Annotated[int, Ge(1)] = 18,
        pools: Annotated[int, Ge(1)] = 4,
        mask_center: bool = True,
        num_low_frequencies: Annotated[int, Ge(1)] | None = None,
        crop: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]] | None = None,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.num_cascades = num_cascades
        self.sens_chans = sens_chans
        self.sens_pools = sens_pools
        self.chans = chans
        self.pools = pools
        self.mask_center = mask_center
        self.num_low_frequencies = num_low_frequencies
        self.crop = None if crop is None else tuple(crop)
        self.checkpoint = checkpoint
        self.sens_net = SensitivityModel(chans=sens_chans, num_pools=sens_pools)
        self.cascades = nn.ModuleList(VarNetBlock(chans=chans, num_pools=pools) for _ in range(num_cascades))

    def forward(self, y: Tensor, operator: LinearOperator) -> Tensor:
        """Reconstruct."""
        mask = self._mask(y, operator)
        y = torch.fft.ifftshift(as_complex(y), AXES)  # the centre lies at index 0 from here on
        maps = self._run(self.maps, y, mask)
        if mask is not None:
            mask = torch.fft.ifftshift(mask, [axis for axis in AXES if -axis <= mask.ndim])
        k = y
        for cascade in self.cascades:
            k = self._run(cascade, k, y, mask, maps)
        image = torch.fft.fftshift(root_sum_of_squares(_ifft(k)), AXES)
        if self.crop is not None:
            image = crop_centred(image, [min(pair) for pair in zip(self.crop, image.shape[2:], strict=True)])
        return image.contiguous()

    def maps(self, y: Tensor, mask: Tensor | None) -> Tensor:
        """Estimate sensitivities with their centre at index 0, from such k-space and a centred mask."""
        block = central_block(mask, y.shape[2:], self.num_low_frequencies, y.device) if self.mask_center else None
        if block is not None:
            y = torch.where(torch.fft.ifftshift(block, AXES), y, 0)
        maps: Tensor = self.sens_net(torch.fft.fftshift(_ifft(y), AXES))
        return torch.fft.ifftshift(maps, AXES)

    def _run(self, part: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        if self.checkpoint and torch.is_grad_enabled():
            result: Tensor = recompute(part, *inputs, use_reentrant=False)
        else:
            result = part(*inputs)
        return result

    def _mask(self, y: Tensor, operator: LinearOperator) -> Tensor | None:
        if y.ndim != 4:
            raise UsageError(f"varnet takes k-space (batch, coil, H, W), got a {describe(y)}")
        mask_for: Callable[..., Tensor | None] | None = getattr(operator, "mask_for", None)
        if mask_for is None:
            raise UsageError(
                f"varnet needs the sampling mask of an operator such as fourier, and {type(operator).__name__} has none"
            )
        return mask_for(y.shape[2:], y.device)


class VarNetBlock(nn.Module):
    """One cascade: soft data consistency and a U-Net on the combined image.

    Shapes: k-space, measurement and sensitivities (batch, coil, H, W) complex, with their centre at index 0 as has the
    boolean mask, which broadcasts to them -> k-space.

    Parameters
    ----------
    chans, num_pools
        Of the U-Net.
    """

    def __init__(self, *, chans: int, num_pools: int) -> None:
        super().__init__()
        self.model = NormUNet(chans=chans, num_pools=num_pools)
        self.dc_weight = nn.Parameter(torch.ones(1))

    def forward(self, k: Tensor, y: Tensor, mask: Tensor | None, maps: Tensor) -> Tensor:
        """Return the next k-space."""
        image = (maps.conj() * _ifft(k)).sum(1, keepdim=True)
        image = torch.fft.ifftshift(self.model(torch.fft.fftshift(image, AXES)), AXES)
        gap = (k - y) * self.dc_weight
        if mask is not None:
            gap = torch.where(mask, gap, 0)
        return k - gap - _fft(maps * image)


def _fft(x: Tensor) -> Tensor:
    return torch.fft.fft2(x, norm="ortho")


def _ifft(k: Tensor) -> Tensor:
    return torch.fft.ifft2(k, norm="ortho")
