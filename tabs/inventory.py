"""What the engine has, for those who look names up in it."""

from pipelines.engine.jobs import Engine
from presets.available import Available


def available(engine: Engine) -> Available:
    """The checkpoints, LoRAs, VAEs, control models, upscalers, IP-Adapters, motion modules and face restorers there are
    now."""
    return Available(
        {model.name: model.sha256 for model in engine.models()},
        tuple(lora.name for lora in engine.loras() if not lora.problem),
        tuple(engine.vaes()),
        tuple(control.name for control in engine.controls() if not control.problem),
        tuple(engine.upscalers()),
        tuple(info.name for info in engine.ip_adapters() if not info.problem),
        tuple(info.name for info in engine.motion_modules() if not info.problem),
        {lora.name: lora.hashes for lora in engine.loras() if lora.hashes and not lora.problem},
        tuple(engine.face_restorers()),
    )
