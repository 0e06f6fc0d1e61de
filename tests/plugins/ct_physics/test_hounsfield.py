"""Hounsfield units and attenuation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import recon
from recon.errors import UsageError
from recon.io.hounsfield import WATER, from_hu, to_hu
from recon_plugins.ct_physics import Attenuation

NIST = {50: 0.2269, 60: 0.2059, 80: 0.1837, 100: 0.1707}
"""Mass attenuation of water in cm^2/g by keV, NIST Standard Reference Database 126, doi:10.18434/T4D01F."""


def test_water_is_the_tables_at_70_kev():
    energies = np.log(list(NIST))
    fit = np.polyfit(energies, np.log(list(NIST.values())), 3)
    at_70 = math.exp(np.polyval(fit, math.log(70))) / 10  # density 1 g/cm^3, per mm
    assert pytest.approx(at_70, rel=3e-3) == WATER


def test_water_and_air_are_what_they_are_called():
    assert to_hu(WATER) == 0
    assert to_hu(0.0) == -1000
    assert to_hu(0.02, water=0.02, air=2e-5) == 0
    assert to_hu(2e-5, water=0.02, air=2e-5) == pytest.approx(-1000)
    assert from_hu(1000.0, water=0.02) == pytest.approx(0.04)
    assert from_hu(np.array([-1000.0]), water=0.02, air=2e-5) == pytest.approx(2e-5)


def test_there_and_back():
    hu = torch.linspace(-1024, 3071, 4096, dtype=torch.float64)
    assert torch.allclose(to_hu(from_hu(hu, water=0.02, air=1e-5), water=0.02, air=1e-5), hu, rtol=0, atol=1e-9)
    single = to_hu(from_hu(hu.float()))
    assert single.dtype == torch.float32
    assert float((single - hu).abs().max()) < 2e-3


def test_operator():
    a = recon.build("operator", "attenuation", water=0.02)
    hu = torch.tensor([[[-1000.0, 0.0, 1000.0]]], dtype=torch.float64)
    assert torch.allclose(a(hu), torch.tensor([[[0.0, 0.02, 0.04]]], dtype=torch.float64))
    assert torch.allclose(a.inverse(a(hu)), hu)
    radon = recon.build("operator", "radon", size=(6, 6), angles=4)
    chain = radon @ Attenuation()
    x = torch.full((1, 1, 6, 6), -1000.0, dtype=torch.float64)
    assert float(chain(x).abs().max()) < 1e-12
    assert chain.input_unit == "HU"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"water": 0.193}, "looks like 1/cm"),
        ({"water": 0.02, "air": 0.02}, "0 <= air < water"),
        ({"water": math.nan}, "0 <= air < water"),
    ],
)
def test_bad_water(options, message):
    with pytest.raises(UsageError, match=message):
        to_hu(0.02, **options)
    with pytest.raises(UsageError, match=message):
        Attenuation(**options)
