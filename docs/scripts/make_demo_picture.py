"""Make docs/images/demo.png, the README's picture, from the folder that `recon demo` wrote.

Usage: python docs/scripts/make_demo_picture.py recon-demo
"""

import sys
from pathlib import Path

from PIL import Image

from recon.demo.pictures import stack

TARGET = Path(__file__).resolve().parents[1] / "images" / "demo.png"


def main(folder):
    """Put the two comparisons below each other and shrink them to a palette."""
    picture = stack([Image.open(folder / key / "comparison.png").convert("RGB") for key in ("mri", "ct")])
    # 128 colours keep gray and error scale apart without visible steps, at a third of the size.
    picture.quantize(128, method=Image.Quantize.MEDIANCUT).save(TARGET, optimize=True)
    print(f"{TARGET}: {picture.size}, {TARGET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
