"""Build the starter model: `python -m imagineer.starter_model.build`.

Every stage leaves its result in the work directory and goes on from its last checkpoint when it is run again, so the
command may be stopped and started at will. With budgets in steps two builds with one seed on one machine give the same
bytes; budgets in minutes use a machine better and do not promise that.
"""

import argparse
import os
import random
import shutil
import sys
from pathlib import Path

STAGES = ("pictures", "vae", "decoder", "text", "judge", "unet", "weights")
_HERE = Path(__file__).parent
_BEGUN = {"vae": 0.8, "unet": 0.7}  # where in its course a stage goes on from finished weights
_SMOKE = {
    "pictures": 80,
    "steps_vae": 6,
    "steps_decoder": 3,
    "steps_text": 6,
    "steps_judge": 4,
    "steps_unet": 6,
    "judge_pool": 48,
    "captions": 300,
    "shard": 10,
}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m imagineer.starter_model.build", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("build/starter_model"), help="state and results of the stages"
    )
    parser.add_argument(
        "--out", type=Path, default=_HERE / "weights", help="folder that the finished pipeline is written to"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=20_000, help="size of the data set")
    for stage, steps in (("vae", 7000), ("decoder", 3500), ("text", 1600), ("judge", 4000), ("unet", 8000)):
        parser.add_argument(f"--steps-{stage}", type=int, default=steps)
        parser.add_argument(f"--minutes-{stage}", type=float, help="instead of steps")
    parser.add_argument(
        "--stage", action="append", choices=STAGES, help="only these stages (repeat the option)"
    )
    parser.add_argument("--every", type=int, default=1500, help="UNet steps between two tables of the judge")
    parser.add_argument(
        "--focus",
        action="append",
        default=[],
        metavar="GROUP:WEIGHT",
        help="train more on a group of subjects",
    )
    parser.add_argument("--judged", type=int, default=488, help="pictures in the last table")
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FOLDER",
        help="a finished pipeline whose weights the stages begin with (the judge: the one that stands); where all "
        "of them fit, autoencoder and UNet go on late in their course",
    )
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        choices=("tokenizer", "text_encoder", "vae"),
        help="take this part from --start as it is (repeat the option)",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (VAE and UNet)")
    parser.add_argument(
        "--smoke", action="store_true", help="a build of seconds whose pictures are noise, for tests"
    )
    options = parser.parse_args(argv)
    if options.keep and not options.start:
        parser.error("--keep needs --start, the folder to take the part from")
    options.captions, options.judge_pool, options.shard = 20_000, 12_000, None
    if options.smoke:
        for name, value in _SMOKE.items():
            setattr(options, name, value)
        options.every, options.judged = 0, 4
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the stages that are asked for and not done yet; 0 when they are."""
    options = _arguments(argv)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    for part in options.keep:
        _keep(options.start / part, work / part)
    for stage in options.stage or STAGES:
        print(f"== {stage}", flush=True)
        _RUN[stage](work, options, device)
    return 0


def _keep(given: Path, kept: Path) -> None:
    """Copy a part of the pipeline, under another name at first: what a kill leaves half copied is not whole."""
    part = kept.with_name(f"{kept.name}.part")
    if not kept.exists():
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(given, part)
        part.rename(kept)


def _budget(options: argparse.Namespace, stage: str):
    from .training import Budget

    begun = _BEGUN.get(stage, 0.0) if options.start else 0.0
    return Budget(getattr(options, f"steps_{stage}"), getattr(options, f"minutes_{stage}"), begun)


def _pictures(work: Path, options: argparse.Namespace, device: str) -> None:
    from .dataset import SHARD, draw_shards

    draw_shards(work, seed=options.seed, total=options.pictures, shard=options.shard or SHARD)


def _vae(work: Path, options: argparse.Namespace, device: str) -> None:
    from .vae import train_vae

    train_vae(work, _budget(options, "vae"), seed=options.seed, device=device, start=options.start)


def _decoder(work: Path, options: argparse.Namespace, device: str) -> None:
    from .vae import held_out_pictures, psnr, refine_decoder, train_vae

    vae = train_vae(work, _budget(options, "vae"), seed=options.seed, device=device, start=options.start)
    vae = refine_decoder(work, vae, _budget(options, "decoder"), seed=options.seed, device=device)
    for name, pictures in held_out_pictures(options.seed, count=4 if options.smoke else 200).items():
        print(f"autoencoder, {name}: {psnr(vae, pictures).mean():.2f} dB", flush=True)


def _text(work: Path, options: argparse.Namespace, device: str) -> None:
    from .text_encoder import train_text_encoder
    from .tokenizer import train_tokenizer

    tokenizer = train_tokenizer(work, seed=options.seed, captions=options.captions)
    train_text_encoder(work, tokenizer, _budget(options, "text"), seed=options.seed, start=options.start)


def _judge(work: Path, options: argparse.Namespace, device: str) -> None:
    from .judge import JUDGE_PATH, draw_picture, fresh_pictures, judge_pictures, train_judge

    judge = train_judge(
        work,
        _budget(options, "judge"),
        seed=options.seed + 98,
        pool=options.judge_pool,
        start=JUDGE_PATH if options.start else None,
    )
    asked, rng = fresh_pictures(5, options.judged), random.Random(options.seed)
    print(
        "judge on our own drawings:",
        judge_pictures(judge, asked, [draw_picture(p, rng) for p in asked]),
        flush=True,
    )


def _parts(work: Path, options: argparse.Namespace, device: str):
    from .text_encoder import train_text_encoder
    from .tokenizer import train_tokenizer
    from .vae import train_vae

    tokenizer = train_tokenizer(work, seed=options.seed, captions=options.captions)
    encoder = train_text_encoder(
        work, tokenizer, _budget(options, "text"), seed=options.seed, start=options.start
    )
    return (
        train_vae(work, _budget(options, "vae"), seed=options.seed, device=device, start=options.start),
        tokenizer,
        encoder,
    )


def _unet(work: Path, options: argparse.Namespace, device: str) -> None:
    from .unet import assemble, train_unet

    vae, tokenizer, encoder = _parts(work, options, device)

    def show(step: int, unet) -> None:
        _show(assemble(vae.cpu(), tokenizer, encoder, unet), work, options, f"step {step}", 100)

    unet = train_unet(
        work,
        vae,
        tokenizer,
        encoder,
        _budget(options, "unet"),
        seed=options.seed,
        device=device,
        focus={group: float(weight) for group, _, weight in (f.partition(":") for f in options.focus)},
        start=options.start,
        every=options.every,
        on_checkpoint=show,
    )
    unet.save_pretrained(work / "unet")


def _show(pipeline, work: Path, options: argparse.Namespace, title: str, count: int) -> None:
    """Print the judge's table for the chips' wording and for wordings that training never uses."""
    from .judge import JUDGE_PATH, load_judge
    from .sampling import judge_pipeline

    own = work / "judge.safetensors"
    judge = load_judge(own if own.exists() else JUDGE_PATH)
    for name, verdict in judge_pipeline(pipeline, judge, seed=options.seed, count=count).items():
        print(f"{title}, {name}: {verdict}", flush=True)


def _weights(work: Path, options: argparse.Namespace, device: str) -> None:
    from .folder import write_folder
    from .sampling import write_grids
    from .unet import UNet2DConditionModel, assemble
    from .vae import latest_vae

    _, tokenizer, encoder = _parts(work, options, device)
    unet = UNet2DConditionModel.from_pretrained(work / "unet", local_files_only=True)
    pipeline = assemble(latest_vae(work), tokenizer, encoder, unet)
    _show(pipeline, work, options, "finished", options.judged)
    write_grids(pipeline, work, count=8 if options.smoke else 40)
    write_folder(pipeline, options.out)


_RUN = dict(zip(STAGES, (_pictures, _vae, _decoder, _text, _judge, _unet, _weights), strict=True))

if __name__ == "__main__":
    sys.exit(main())
