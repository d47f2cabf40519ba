"""The models on this machine that restore faces: in `face_restorers/` under the model roots, or in folders of the names
that other programs give theirs."""

from pipelines.engine.errors import FaceRestorerNotFound, FaceRestorerRefused
from pipelines.engine.headers import Header
from pipelines.engine.picture_model_files import PictureModelFiles
from pipelines.engine.recognition import UNET, is_face_restorer, what_else

_UNKNOWN = "it is none that is known here (GFPGAN, RestoreFormer and CodeFormer are)"


class FaceRestorerFiles(PictureModelFiles):
    """The face restorers there are now."""

    folders = ("face_restorers", "facerestore_models", "GFPGAN", "Codeformer")
    missing, refused = FaceRestorerNotFound, FaceRestorerRefused

    def names(self) -> tuple[str, ...]:
        """The models that can be used as far as their headers tell."""
        return tuple(self.usable())

    def objection(self, header: Header) -> str:
        if is_face_restorer(header):
            return ""
        if header.has(UNET):
            return "it is a checkpoint: move it to the checkpoints folder"
        other = what_else(header)
        known = other.advice.startswith("move it")
        return f"it is {other.what}: {other.advice}" if known else _UNKNOWN
