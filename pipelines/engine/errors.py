"""What can go wrong with a model or a job, as sentences.

    UserError (presets/errors.py)
    +-- ModelNotFound         no checkpoint of that name               E-MODEL-MISSING
    +-- ModelFileGone         a file that vanished since it was listed E-MODEL-MISSING
    +-- HubUnreachable        the Hub did not give it                  E-MODEL-MISSING
    +-- ModelPath             a name that leads out of the folders     E-MODEL-PATH
    +-- ModelCorrupt          the file is not what it says             E-MODEL-CORRUPT
    +-- ModelFamily           a file of another kind or family         E-MODEL-FAMILY
    +-- ModelUnsafe           a file that would run code               E-MODEL-UNSAFE
    +-- VaeNotFound           no VAE of that name                      E-VAE-UNKNOWN
    +-- VaeRefused            a VAE that cannot be used here           E-VAE, E-MODEL-PATH
    +-- UpscalerNotFound      no upscaler of that name                 E-UPSCALER
    +-- UpscalerRefused       an upscaler that cannot be used here     E-MODEL-CORRUPT, E-MODEL-UNSAFE, E-MODEL-FAMILY,
    |                                                                  E-MODEL-PATH
    +-- FaceRestorerNotFound  no face restorer of that name            E-FACE-RESTORER
    +-- FaceRestorerRefused   one that cannot be used here             E-MODEL-CORRUPT, -UNSAFE, -PATH, -FAMILY
    +-- LoraNotFound          no LoRA of that name                     E-LORA-UNKNOWN
    +-- LoraUnusable          a LoRA's file that cannot be opened      E-MODEL-CORRUPT, E-MODEL-UNSAFE, E-MODEL-PATH
    +-- LoraFamily            a LoRA for other models, or none at all  E-LORA-FAMILY
    +-- LoraShape             a LoRA that does not fit the checkpoint  E-LORA-SHAPE
    +-- LoraNumbers           a LoRA that holds NaN or infinity        E-NAN
    +-- ControlNotFound       no control model of that name            E-CONTROL-UNKNOWN
    +-- NoControl             no control model for the checkpoint      E-CONTROL-UNKNOWN
    +-- ControlUnusable       a control model that cannot be opened    E-MODEL-CORRUPT, -UNSAFE, -PATH, -FAMILY
    +-- ControlFamily         one that is for another checkpoint       E-CONTROL-FAMILY
    +-- IpAdapterNotFound     no IP-Adapter of that name               E-REFERENCE-UNKNOWN
    +-- NoIpAdapter           no IP-Adapter for the checkpoint         E-REFERENCE-UNKNOWN
    +-- IpAdapterUnusable     an IP-Adapter that cannot be opened      E-MODEL-CORRUPT
    +-- IpAdapterFamily       one that is for another checkpoint       E-REFERENCE-FAMILY
    +-- ImageEncoderMissing   the encoder that it needs is not here    E-REFERENCE-MISSING
    +-- MotionNotFound        no motion module of that name            E-MOTION-UNKNOWN
    +-- MotionUnusable        a motion module that cannot be opened    E-MODEL-CORRUPT, -UNSAFE, -PATH, -FAMILY
    +-- MotionFamily          one that is for another checkpoint       E-MOTION-FAMILY
    +-- EmbeddingRefused      a word of a textual inversion file       E-EMBEDDING, E-NAN
    +-- PreprocessorMissing   a detector whose files are not here      E-PREPROCESSOR-MISSING
    +-- PreprocessorRefused   a detector whose file cannot be used     E-MODEL-CORRUPT, E-MODEL-UNSAFE
    +-- BrokenPicture         the decode gave NaN                      E-NAN
    +-- Withheld              the safety checker objects to a picture  E-SAFETY
    +-- OutOfMemory           does not fit on the device               E-MEMORY
    +-- ProgramDied           the whole program did, again and again   E-WORKER
    +-- WorkerDied            the worker process ended during the job  E-WORKER
    +-- GpuTaken              ZeroGPU ended the job                    E-WORKER
    +-- NoGpuLent             ZeroGPU lends no GPU for the job         E-GPU, E-GPU-QUOTA
    +-- NothingKept           no models to load where the GPU is lent  E-GPU
    +-- Busy                  the queue is full                        E-BUSY
    +-- TooManyJobs           one user's jobs fill their share of it   E-QUOTA
    +-- TooMuchWork           one user had drawn enough for an hour    E-QUOTA

`Cancelled` is no error of the person's and stands apart.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from presets.errors import UserError, shortened

KILLED = -9
"""Exit code of a process that the system ended by SIGKILL."""


class Cancelled(Exception):
    """Raised inside a job where it reports, once it has been cancelled."""


class NotListed(UserError):
    """No `what` of that name is in its list; `near` are names that are, the nearest first. Without any, `advice` is
    given."""

    what: str
    of_field: str
    advice = ""

    def __init__(self, name: str, near: Sequence[str] = ()):
        hint = f" The nearest: {', '.join(near[:3])}." if near else self.advice
        super().__init__(f"No {self.what} is called {shortened(name)}.{hint}", field=self.of_field)


class Unusable(UserError):
    """A file of some `what` that is there and cannot be used."""

    what: str
    of_field: str

    def __init__(self, name: str, reason: str, code: str | None = None):
        super().__init__(f"The {self.what} {shortened(name)} cannot be used: {reason}.", code=code, field=self.of_field)


class ModelNotFound(UserError):
    code = "E-MODEL-MISSING"

    def __init__(self, name: str, near: Sequence[str] = ()):
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"No checkpoint is called {shortened(name)}.{hint}", field="checkpoint")


class ModelFileGone(UserError):
    code = "E-MODEL-MISSING"

    def __init__(self, name: str, file: str):
        super().__init__(
            f"{shortened(name)} cannot be loaded: {shortened(file)} is no longer there.", field="checkpoint"
        )


class HubUnreachable(UserError):
    """The Hub could not be asked."""

    code = "E-MODEL-MISSING"

    def __init__(self, name: str, reason: str):
        super().__init__(
            f"{shortened(name)} is not in the list, and as a model of the Hugging Face Hub it cannot be had: {reason}.",
            field="checkpoint",
        )


class ModelPath(UserError):
    """A name or file that leads out of the model folders, or to something that is no regular file."""

    code = "E-MODEL-PATH"

    def __init__(self, name: str, reason: str):
        super().__init__(f"{shortened(name)} was not opened: {reason}.", field="checkpoint")


class ModelCorrupt(UserError):
    code = "E-MODEL-CORRUPT"

    def __init__(self, name: str, reason: str):
        super().__init__(f"The file of {shortened(name)} cannot be used: {reason}.", field="checkpoint")


class ModelFamily(UserError):
    code = "E-MODEL-FAMILY"

    def __init__(self, name: str, what: str, advice: str):
        super().__init__(f"{shortened(name)} is {what}: {advice}.", field="checkpoint")


class ModelUnsafe(UserError):
    code = "E-MODEL-UNSAFE"

    def __init__(self, name: str, reason: str):
        super().__init__(f"{shortened(name)} was not opened: {reason}.", field="checkpoint")


class VaeNotFound(NotListed):
    code = "E-VAE-UNKNOWN"
    what, of_field = "VAE", "vae"


class VaeRefused(Unusable):
    code = "E-VAE"
    what, of_field = "VAE", "vae"


class UpscalerNotFound(NotListed):
    code = "E-UPSCALER"
    what, of_field = "upscaler", "upscaler"


class UpscalerRefused(Unusable):
    code = "E-MODEL-CORRUPT"
    what, of_field = "upscaler", "upscaler"


class FaceRestorerNotFound(NotListed):
    code = "E-FACE-RESTORER"
    what, of_field = "face restorer", "face_restorer"
    advice = " Files of GFPGAN or RestoreFormer belong into models/face_restorers."


class FaceRestorerRefused(Unusable):
    code = "E-MODEL-CORRUPT"
    what, of_field = "face restorer", "face_restorer"


class LoraNotFound(NotListed):
    code = "E-LORA-UNKNOWN"
    what, of_field = "LoRA", "loras"


class LoraUnusable(Unusable):
    code = "E-MODEL-CORRUPT"
    what, of_field = "LoRA", "loras"


class LoraFamily(UserError):
    code = "E-LORA-FAMILY"

    def __init__(self, name: str, reason: str):
        super().__init__(f"{shortened(name)} {reason}.", field="loras")


class LoraShape(UserError):
    code = "E-LORA-SHAPE"

    def __init__(self, name: str, checkpoint: str, reason: str):
        message = f"The LoRA {shortened(name)} does not fit the checkpoint {shortened(checkpoint)}: {reason}."
        super().__init__(message, field="loras")


class LoraNumbers(UserError):
    code = "E-NAN"

    def __init__(self, name: str):
        super().__init__(
            f"The LoRA {shortened(name)} holds numbers that are none (NaN or infinity); its file is probably damaged.",
            field="loras",
        )


class ControlNotFound(NotListed):
    code = "E-CONTROL-UNKNOWN"
    what, of_field = "control model", "units"


class NoControl(UserError):
    """No control model is for the checkpoint `checkpoint`; they are looked for in `folder` of the models."""

    code = "E-CONTROL-UNKNOWN"

    def __init__(self, checkpoint: str, folder: str):
        super().__init__(
            f"No control model here is for {shortened(checkpoint)}: put one into models/{folder}.", field="units"
        )


class ControlUnusable(Unusable):
    code = "E-MODEL-CORRUPT"
    what, of_field = "control model", "units"


class ControlFamily(UserError):
    code = "E-CONTROL-FAMILY"

    def __init__(self, name: str, reason: str):
        super().__init__(f"{shortened(name)} {reason}.", field="units")


class IpAdapterNotFound(NotListed):
    code = "E-REFERENCE-UNKNOWN"
    what, of_field = "IP-Adapter", "references"


class NoIpAdapter(UserError):
    """No IP-Adapter is for the checkpoint `checkpoint`; they are looked for in `folder` of the models."""

    code = "E-REFERENCE-UNKNOWN"

    def __init__(self, checkpoint: str, folder: str):
        super().__init__(
            f"No IP-Adapter here is for {shortened(checkpoint)}: put one into models/{folder}, as h94/IP-Adapter has "
            "them.",
            field="references",
        )


class IpAdapterUnusable(Unusable):
    code = "E-MODEL-CORRUPT"
    what, of_field = "IP-Adapter", "references"


class IpAdapterFamily(UserError):
    code = "E-REFERENCE-FAMILY"

    def __init__(self, name: str, reason: str):
        super().__init__(f"{shortened(name)} {reason}.", field="references")


class ImageEncoderMissing(UserError):
    """The CLIP image encoder that the IP-Adapter `name` reads `width` numbers of is not in `folder` of the models."""

    code = "E-REFERENCE-MISSING"

    def __init__(self, name: str, width: int, folder: str):
        super().__init__(
            f"The IP-Adapter {shortened(name)} reads pictures by a CLIP image encoder of {width} numbers, which is not "
            f"here: put the folder image_encoder that belongs to it (h94/IP-Adapter has both) into models/{folder}.",
            field="references",
        )


class MotionNotFound(NotListed):
    code = "E-MOTION-UNKNOWN"
    what, of_field = "motion module", "motion_module"


class MotionUnusable(Unusable):
    code = "E-MODEL-CORRUPT"
    what, of_field = "motion module", "motion_module"


class MotionFamily(UserError):
    code = "E-MOTION-FAMILY"

    def __init__(self, reason: str):
        super().__init__(f"{reason}.", field="motion_module")


class EmbeddingRefused(Unusable):
    code = "E-EMBEDDING"
    what, of_field = "embedding", "prompt"


class PreprocessorMissing(UserError):
    """`files` (or one folder) of the Hub's `repository` are missing in `folder`, and could not be had for `reason`."""

    code = "E-PREPROCESSOR-MISSING"

    def __init__(self, title: str, files: Sequence[str], folder: Path, repository: str, reason: str):
        super().__init__(
            f"{title} needs {' and '.join(files)} in {shortened(str(folder), 100)}. The Hugging Face Hub has it in "
            f"{repository}, but {reason}.",
            field="preprocessor",
        )


class PreprocessorRefused(UserError):
    code = "E-MODEL-CORRUPT"

    def __init__(self, file: str, reason: str, code: str | None = None):
        super().__init__(f"{shortened(file)} cannot be used: {reason}.", code=code, field="preprocessor")


class Withheld(UserError):
    """The safety checker objects to picture `number` of a job, which is not saved."""

    code = "E-SAFETY"

    def __init__(self, number: int):
        super().__init__(
            f"The safety checker withheld picture {number}, which was not saved; another prompt or seed may give one "
            "that can be shown."
        )


class BrokenPicture(UserError):
    """`parts` are the components of the file `name` whose weights hold no numbers; none if they are sound."""

    code = "E-NAN"

    def __init__(self, name: str, parts: Sequence[str] = (), field: str = "checkpoint"):
        where = " and ".join(part.replace("_", " ") for part in parts)
        cause = (
            f"The weights of {shortened(name)} are damaged: its {where} holds NaN or infinity. Get the file anew."
            if parts
            else f"The weights of {shortened(name)} are sound; choose another size, prompt or precision (--dtype)."
        )
        super().__init__(f"The picture holds no valid numbers (NaN). {cause}", field=field)


class OutOfMemory(UserError):
    code = "E-MEMORY"


class ProgramDied(UserError):
    """Again and again, in one job."""

    code = "E-WORKER"

    def __init__(self, tries: int):
        super().__init__(
            f"The program was ended from outside {tries} times in this job, before it had made a picture. Choose a "
            "smaller size or model if the system did so, as where main memory has run out; else send the job again."
        )


class WorkerDied(UserError):
    code = "E-WORKER"

    def __init__(self, exit_code: int | None):
        killed = exit_code == KILLED
        hint = " Systems do so where main memory has run out: choose a smaller size or model." if killed else ""
        ended = "was killed" if killed else "stopped"
        super().__init__(
            f"The worker process {ended} during this job (exit code {exit_code}).{hint} "
            "It was tried twice; please send the job again."
        )


class GpuTaken(UserError):
    """Twice, before another picture was made; it had been lent for `seconds`."""

    code = "E-WORKER"

    def __init__(self, seconds: int):
        super().__init__(
            f"ZeroGPU ended this job, for which it had lent a GPU for {seconds} seconds, before a picture was made. "
            "It was tried twice; choose fewer steps or a smaller size or model, or send the job again."
        )


class NoGpuLent(UserError):
    """`reason` is ZeroGPU's own sentence; `is_quota` where the visitor has used up what is his."""

    code = "E-GPU"

    def __init__(self, reason: str, *, is_quota: bool = False):
        super().__init__(f"ZeroGPU lends no GPU: {reason}", code="E-GPU-QUOTA" if is_quota else None)


class NothingKept(UserError):
    code = "E-GPU"

    def __init__(self) -> None:
        super().__init__(
            "ZeroGPU lends a GPU to each job, which loads its models by itself; between jobs none is loaded, kept or "
            "unloaded."
        )


class Busy(UserError):
    code = "E-BUSY"


class TooManyJobs(UserError):
    code = "E-QUOTA"


class TooMuchWork(UserError):
    """`work`, what is `left` and the `limit` in megapixel-steps; `seconds` until it may be drawn, None for never."""

    code = "E-QUOTA"

    def __init__(self, work: float, left: float, limit: float, seconds: float | None):
        when = "choose fewer steps, pictures or pixels"
        if seconds is not None:
            minutes = max(1, math.ceil(seconds / 60))
            when = f"it can be drawn in {minutes} minute{'s' if minutes > 1 else ''}"
        super().__init__(
            f"This takes {_amount(work)} megapixel-steps, and {_amount(max(0.0, left))} are left of the "
            f"{_amount(limit)} that you may have drawn in an hour: {when}."
        )


def _amount(work: float) -> str:
    return f"{work:,.0f}" if work >= 100 else f"{work:.3g}"
