"""Drawing in the manner of other pictures, as a `with`: an IP-Adapter for each, on the UNet for one use."""

import contextlib
from collections.abc import Iterator

from pipelines.engine.components import CheckpointKey
from pipelines.engine.context import Context
from pipelines.engine.ip_adapter_files import ImageEncoderFile, IpAdapterFile
from pipelines.engine.ip_adapters import (
    IpAdapter,
    Reference,
    attending_to,
    load_image_encoder,
    load_ip_adapter,
    words_of,
)
from pipelines.engine.jobs import Loading
from pipelines.engine.loading import Components
from pipelines.engine.manager import Loaded
from presets.drawing import Drawing
from presets.inputs import on_white
from presets.references import StyleReference


@contextlib.contextmanager
def styled(request: Drawing, loaded: Loaded, context: Context) -> Iterator[None]:
    """Until the block is left, what was loaded draws in the manner of the request's references.

    Raises what `IpAdapterFiles.find` raises, `IpAdapterUnusable` and `IpAdapterFamily`.
    """
    counting = [reference for reference in request.references if reference.weight]
    if not counting:
        yield
        return
    with contextlib.ExitStack() as stack:
        read = [_read(reference, loaded, context, stack) for reference in counting]
        stack.enter_context(attending_to(loaded.pipe.unet, read, loaded.model.name))
        yield


def _read(reference: StyleReference, loaded: Loaded, context: Context, stack: contextlib.ExitStack) -> Reference:
    """What the reference's IP-Adapter, which `stack` keeps in memory, makes of its picture."""
    assert reference.picture is not None
    file, encoder_file = context.models.ip_adapters.find(reference.adapter, loaded.model)
    adapter = _adapter(file, loaded, context, stack)
    picture = on_white(context.inputs.open(reference.picture, "references"))
    with _encoder(encoder_file, loaded, context) as parts:
        words = words_of(picture, parts["encoder"], adapter, by_squares=file.reads_squares)
    context.check()
    return Reference(file.name, adapter, words, reference.weight)


def _adapter(file: IpAdapterFile, loaded: Loaded, context: Context, stack: contextlib.ExitStack) -> IpAdapter:
    dtype = loaded.pipe.vae.dtype

    def build() -> Components:
        context.report(Loading(what=file.name))
        return {"adapter": load_ip_adapter(file, loaded.pipe.unet, dtype)}

    key = CheckpointKey(str(file.path), file.identity, str(dtype))
    return stack.enter_context(context.models.tool(key, f"{file.name} ({file.kind})", build))["adapter"]


def _encoder(file: ImageEncoderFile, loaded: Loaded, context: Context) -> contextlib.AbstractContextManager[Components]:
    dtype = loaded.pipe.vae.dtype

    def build() -> Components:
        context.report(Loading(what=file.name))
        return {"encoder": load_image_encoder(file, dtype)}

    key = CheckpointKey(str(file.path), file.identity, str(dtype))
    return context.models.tool(key, f"{file.name} (image encoder)", build)
