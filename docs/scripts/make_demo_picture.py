"""Make docs/images/demo.png, the README's picture, from the folder that `recon demo` wrote.

Usage: python docs/scripts/make_demo_picture.py recon-demo
"""

import sys
from pathlib import Path

from PIL import Image

from recon.demo.pictures import stack

TARGET = Path(__file__).resolve().parents[1] / "images" / "demo.png"


def main(folder):
    """Put the images of the two comparisons below each other, without their errors, in 64 grays."""
    pictures = [Image.open(folder / key / "comparison.png").convert("L") for key in ("mri", "ct")]
    # Caption and images; the error maps below them take as much room again.
    images = [picture.crop((0, 0, picture.width, 44 + (picture.height - 44 - 6) // 2)) for picture in pictures]
    picture = stack(images)
    picture.quantize(64, method=Image.Quantize.MEDIANCUT).save(TARGET, optimize=True)
    print(f"{TARGET}: {picture.size}, {TARGET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
