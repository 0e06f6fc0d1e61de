"""A third-party plugin, frozen: written against plugin API 1."""

from recon import Command, Component, hookimpl

recon_api = 1


@hookimpl
def recon_components():
    yield Component(
        kind="operator",
        name="double",
        target="recon_golden.parts:Double",
        summary="Twice the image",
        examples="recon_golden.examples:images",
        tags=("test",),
        references=("10.1000/182",),
        licence="MIT",
        stability="experimental",
    )
    yield Component(
        kind="operator",
        name="noise",
        target="recon_golden.parts:Noise",
        summary="Uniform noise",
        examples="recon_golden.examples:noise",
    )
    yield Component(
        kind="model",
        name="bias",
        target="recon_golden.parts:Bias",
        summary="Adds a learned number",
        examples="recon_golden.examples:bias",
    )
    yield Component(
        kind="loss",
        name="square",
        target="recon_golden.parts:Square",
        summary="Mean squared error",
        examples="recon_golden.examples:images",
    )
    yield Component(
        kind="loss",
        name="consistency",
        target="recon_golden.parts:Consistency",
        summary="Misfit of the measurement",
        examples="recon_golden.examples:with_operator",
    )
    yield Component(
        kind="metric",
        name="distance",
        target="recon_golden.parts:Distance",
        summary="Largest difference",
        examples="recon_golden.examples:images",
    )
    yield Component(
        kind="dataset",
        name="ramps",
        target="recon_golden.parts:Ramps",
        summary="Ramps",
        examples="recon_golden.examples:ramps",
    )
    yield Component(
        kind="reader",
        name="bytes",
        target="recon_golden.parts:BytesReader",
        summary="Square images of bytes",
        examples="recon_golden.examples:bytes_file",
        suffixes=(".goldenbytes",),
        magic=((0, b"GOLDEN"),),
    )
    yield Component(
        kind="writer",
        name="bytes",
        target="recon_golden.parts:BytesWriter",
        summary="Square images of bytes",
        examples="recon_golden.examples:square_image",
        suffixes=(".goldenbytes",),
    )
    yield Component(
        kind="method",
        name="backproject",
        target="recon_golden.parts:Backproject",
        summary="The adjoint over the square of the norm",
        examples="recon_golden.examples:with_operator",
    )


@hookimpl
def recon_commands():
    yield Command(name="golden", target="recon_golden.parts:main", summary="print golden")


@hookimpl
def recon_environment():
    return {"golden": "1"}
