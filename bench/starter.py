"""St1–St5: what the starter model draws, named by a classifier that never saw it, and what its autoencoder holds.

The baseline of each line is chance, or the same judge on the drawings that the model was trained to make: the most that
can be asked of it.
"""

import random
import time

SEED = 20_000  # none of training's


def measure(full: bool = False):
    import torch
    from diffusers import StableDiffusionPipeline

    from imagineer.starter_model import STARTER_MODEL_PATH
    from imagineer.starter_model.judge import fresh_pictures, judge_pictures, load_judge
    from imagineer.starter_model.pictures import draw_picture
    from imagineer.starter_model.sampling import judge_pipeline
    from imagineer.starter_model.subjects import SUBJECTS
    from imagineer.starter_model.vae import held_out_pictures, psnr

    torch.set_num_threads(1)
    count = 488 if full else 122
    pipeline = StableDiffusionPipeline.from_pretrained(
        STARTER_MODEL_PATH, local_files_only=True, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    judge = load_judge()
    asked, rng = fresh_pictures(SEED, count), random.Random(SEED)
    best = judge_pictures(judge, asked, [draw_picture(picture, rng) for picture in asked])
    for name, verdict in judge_pipeline(pipeline, judge, seed=SEED, count=count).items():
        for id_, what, goal in (
            ("St1", "subject", 0.85),
            ("St2", "colour", 0.95),
            ("St3", "background", 0.97),
        ):
            share, ceiling = getattr(verdict, what), getattr(best, what)
            yield {
                "id": id_,
                "what": f"{what} named right in {count} pictures, {name}",
                "ours": f"{share:.3f}",
                "baseline": f"on our own drawings {ceiling:.3f}; subjects: {len(SUBJECTS)}",
                "ratio": f"{share / ceiling:.2f}×",
                "goal": f"≥ {goal}",
                "met": share >= goal,
            }
    for name, pictures in held_out_pictures(SEED, count=100 if full else 30).items():
        ours = psnr(pipeline.vae, pictures).mean().item()
        yield {
            "id": "St4",
            "what": f"autoencoder on {name}",
            "ours": f"{ours:.1f} dB",
            "baseline": "prototype, on a simpler domain: 26.8 dB",
            "ratio": "",
            "goal": "≥ 30 dB",
            "met": ours >= 30,
        }
    began = time.process_time()
    pipeline("a crown", num_inference_steps=20, generator=torch.Generator().manual_seed(0))
    seconds = time.process_time() - began
    yield {
        "id": "St5",
        "what": "CPU-seconds of one picture, 20 steps, one thread",
        "ours": f"{seconds:.2f} s",
        "baseline": "",
        "ratio": "",
        "goal": "≤ about 1 s",
        "met": None,
    }
