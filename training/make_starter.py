"""Make a starter model from nothing: `python -m training.make_starter [--smallest] [--run DIR] [--output DIR]`.

Stages: tokenizer, autoencoder, latents, diffusion, decoder, judge, export, evaluation. Each leaves its result in the
run's folder; a stopped run goes on where it was. Everything is seeded. `--continue-from DIR` trains the text encoder
and UNet of an exported model further instead of starting with untrained ones.
"""

import argparse
import dataclasses
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from training.autoencoder import reconstruction, scale_of, train_autoencoder, train_decoder
from training.diffusion import Batches, DiffusionLearner, train_diffusion
from training.evaluate import STARTER, evaluate
from training.export import PREVIEW_SCENES, assemble, export
from training.judge import FILE, accuracy, load_judge, save_judge, train_judge
from training.latents import caption_of, encode_scenes, load_latents, pixels_of, scene_of
from training.recipe import SMALLEST, STORYBOOK, Recipe
from training.tokenizer import build_tokenizer

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "training" / "runs"
STAGES = ("tokenizer", "autoencoder", "latents", "diffusion", "decoder", "judge", "export", "evaluation")
CORPUS = 20_000


@dataclass(frozen=True, slots=True)
class Run:
    """A recipe, the folder of its intermediate results, and where the model goes."""

    recipe: Recipe
    folder: Path
    output: Path
    compiled: bool = True

    def continue_from(self, folder: Path) -> None:
        """Begin with the tokenizer, autoencoder, text encoder and UNet of the model in `folder`."""
        if (self.folder / "diffusion.pt").exists():
            return
        shutil.copytree(folder / "tokenizer", self.folder / "tokenizer", dirs_exist_ok=True)
        autoencoder = AutoencoderKL.from_pretrained(folder / "vae")
        autoencoder.save_pretrained(self.folder / "vae")
        (self.folder / "scale.json").write_text(json.dumps(autoencoder.config.scaling_factor))
        learner = DiffusionLearner(self.recipe, self.tokenizer())
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet")
        for models in (learner.models, learner.averaged):
            models["text_encoder"].load_state_dict(text_encoder.state_dict())
            models["unet"].load_state_dict(unet.state_dict())
        learner.save(self.folder / "diffusion.pt")

    def tell(self, message: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)

    def tokenizer(self) -> CLIPTokenizer:
        folder = self.folder / "tokenizer"
        if (folder / "tokenizer_config.json").exists():
            return CLIPTokenizer.from_pretrained(folder)
        random = Random(f"corpus {self.recipe.seed}")
        corpus = [caption_of(scene_of(index), random) for index in range(min(CORPUS, self.recipe.scenes * 50))]
        return build_tokenizer(corpus, folder)

    def autoencoder(self) -> AutoencoderKL:
        folder = self.folder / "vae"
        if not folder.exists():
            model = train_autoencoder(self.recipe, self.folder / "autoencoder.pt", self.tell, self.compiled)
            model.save_pretrained(folder)
            self.tell(f"autoencoder: {reconstruction(model.eval(), self.recipe.size):.2f} dB on unseen scenes")
        return AutoencoderKL.from_pretrained(folder).eval()

    def decoder(self) -> AutoencoderKL:
        """The autoencoder with its decoder trained further, if that has been done; training it now if not."""
        folder = self.folder / "vae-sharp"
        if not folder.exists():
            model = train_decoder(
                self.autoencoder(), self.recipe, self.folder / "decoder.pt", self.tell, self.compiled
            ).eval()
            model.save_pretrained(folder)
            self.tell(f"decoder: {reconstruction(model, self.recipe.size):.2f} dB on unseen scenes")
        return AutoencoderKL.from_pretrained(folder).eval()

    def latents(self) -> torch.Tensor:
        encode_scenes(self.autoencoder(), self.recipe, self.folder / "latents", self.tell)
        return load_latents(self.folder / "latents")

    def diffusion(self) -> DiffusionLearner:
        learner = DiffusionLearner(self.recipe, self.tokenizer())
        batches = Batches(self.recipe, learner.tokenizer, self.folder / "latents", self.scale())
        train_diffusion(learner, self.recipe, batches, self.folder / "diffusion.pt", self.tell, self.compiled)
        return learner

    def scale(self) -> float:
        """The scaling factor, fixed by the first chunk of latents."""
        file = self.folder / "scale.json"
        if not file.exists():
            file.write_text(json.dumps(scale_of(load_latents(self.folder / "latents")[:2000])))
        return json.loads(file.read_text())

    def judge(self) -> None:
        file = self.folder / "judge.safetensors"
        if not file.exists():
            save_judge(train_judge(self.recipe, self.tell), file)
        self.tell(f"judge: {accuracy(load_judge(file), self.recipe.size)}")

    def export(self) -> None:
        """Write the model as trained so far (averaged weights of the last checkpoint)."""
        learner = DiffusionLearner(self.recipe, self.tokenizer())
        learner.load(self.folder / "diffusion.pt")
        text_encoder, unet = learner.shipped()
        sharp = (self.folder / "vae-sharp").exists()
        autoencoder = self.decoder() if sharp else self.autoencoder()
        autoencoder.register_to_config(scaling_factor=self.scale())
        pipeline = assemble(autoencoder, text_encoder.eval(), unet.eval(), learner.tokenizer)
        latents = load_latents(self.folder / "latents")[:PREVIEW_SCENES]
        export(pipeline, latents, pixels_of(range(len(latents)), self.recipe.size), self.output)
        if self.output == STARTER:
            shutil.copyfile(self.folder / "judge.safetensors", FILE)
        self.tell(f"exported step {learner.step} to {self.output}")

    def evaluation(self) -> None:
        """Measure the exported model, and write a contact sheet beside the run's other results."""
        report, drawn = evaluate(self.output, self.folder / "judge.safetensors", self.recipe.questions)
        drawn.save(self.folder / "sheet.png")
        (self.folder / "evaluation.json").write_text(json.dumps(report, indent=2))
        self.tell(f"evaluation: {json.dumps(report)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smallest", action="store_true", help="every stage for a few steps, as the tests do")
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of intermediate results")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the model goes; the program's own by default")
    parser.add_argument("--continue-from", type=Path, metavar="DIR", help="an exported model to train further")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, help="diffusion steps, instead of the recipe's")
    parser.add_argument("--no-compile", action="store_true", help="do not compile (quicker for a few steps)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = SMALLEST if options.smallest else STORYBOOK
    if options.steps:
        recipe = dataclasses.replace(recipe, unet_steps=options.steps)
    folder = options.run or RUNS / ("smallest" if options.smallest else "storybook")
    output = options.output or (folder / "starter" if options.smallest else STARTER)
    run = Run(recipe, folder, output, compiled=not (options.smallest or options.no_compile))
    run.folder.mkdir(parents=True, exist_ok=True)
    if options.continue_from:
        run.continue_from(options.continue_from)
    for stage in options.stages:
        run.tell(f"stage {stage}")
        getattr(run, stage)()


if __name__ == "__main__":
    main()
