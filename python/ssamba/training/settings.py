"""Settings of the training programs."""

from __future__ import annotations

from dataclasses import dataclass

from .options import REQUIRED, Settings, option

DTYPES = ("float32", "bfloat16", "float16", "int8", "int8_weight_only")


@dataclass(kw_only=True)
class DataSettings(Settings):
    """Where labelled or unlabelled clips come from."""

    data: str = option(
        REQUIRED,
        "folder of class folders, flat folder, CSV (path,label) or SSAST JSON manifest",
        group="data",
        path=True,
    )
    label_csv: str | None = option(
        None, "label names for a JSON manifest (index,mid,display_name)", group="data", path=True
    )
    audio_root: str | None = option(
        None,
        "folder that relative paths in a CSV or JSON start from, and that takes the place of another machine's in "
        "absolute ones",
        group="data",
        path=True,
    )
    strict: bool = option(False, "stop at an unreadable, empty or silent file instead of skipping it", group="data")
    workers: int = option(0, "processes that read audio", group="data", minimum=0, affects_result=False)
    cache: bool = option(False, "decode every clip once and keep all in memory", group="data", affects_result=False)
    feature_cache: str | None = option(
        None,
        "folder that keeps the log-mel of every clip, 51 kB a second; crops then begin every 10 ms. Delete it at any "
        "time",
        group="data",
        path=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cache and self.feature_cache is not None:
            raise ValueError("cache keeps waveforms, which feature_cache does not read; leave one of the two out")


@dataclass(kw_only=True)
class ModelSettings(Settings):
    """The shape of a model; whatever is None is taken from `size` (or from the pretrained model)."""

    size: str | None = option(
        None, "model size (default: the pretrained model's, or tiny)", group="model", choices=("tiny", "small", "base")
    )
    embed_dim: int | None = option(None, "width of a token", group="model", minimum=1)
    depth: int | None = option(None, "number of layers", group="model", minimum=1)
    layout: str | None = option(
        None,
        "how layers are wired: plain (the default of new models), or as published",
        group="model",
        choices=("sequential", "paired"),
    )
    norm: str | None = option(None, "normalisation of the layers", group="model", choices=("layernorm", "rmsnorm"))
    backward_dt_init: str | None = option(
        None,
        "step sizes that the backward direction starts from: about 0.7, as published (the default of new models), or "
        "small like the forward direction's",
        group="model",
        choices=("like_forward", "zero_bias"),
    )
    drop_path: float | None = option(None, "stochastic depth rate of the last layer", group="model", minimum=0)
    fshape: int | None = option(None, "mel bins in a patch", group="model", minimum=1)
    tshape: int | None = option(None, "frames in a patch", group="model", minimum=1)
    fstride: int | None = option(None, "mel bins between patches", group="model", minimum=1)
    tstride: int | None = option(None, "frames between patches", group="model", minimum=1)
    input_tdim: int | None = option(None, "frames of input, 10 ms each (default: what --seconds needs)", group="model")
    seconds: float | None = option(
        None,
        "longest clip seen at once; longer ones are cropped (default: what input_tdim holds)",
        group="data",
        above=0,
    )
    mean: float | None = option(
        None, "mean of the log-mel (default: the pretrained model's, or measured on the training clips)", group="data"
    )
    std: float | None = option(None, "standard deviation of the log-mel (default: as for mean)", group="data", above=0)


@dataclass(kw_only=True)
class TrainingSettings(DataSettings, ModelSettings):
    """What pretraining and fine-tuning share."""

    out: str = option(REQUIRED, "run directory to create", group="run", path=True)
    resume: bool = option(
        False, "continue the run in --out (starts it if there is none)", group="run", affects_result=False
    )
    validation: str | None = option(None, "held-out clips, in any form that --data takes", group="data", path=True)
    validation_share: float = option(
        0.1, "part of --data held out when --validation is not given; 0 for none", group="data", minimum=0, maximum=0.9
    )
    epochs: int = option(10, "passes over the training clips", group="optimisation", minimum=1)
    max_steps: int | None = option(None, "train for this many steps instead of epochs", group="optimisation", minimum=1)
    batch_size: int = option(32, "clips in a batch, for each process", group="optimisation", minimum=1)
    accumulate: int = option(1, "batches whose gradients make one step", group="optimisation", minimum=1)
    learning_rate: float = option(1e-4, "highest learning rate", group="optimisation", above=0)
    warmup_steps: int | None = option(
        None, "steps of linear warm-up (default: a tenth of all, 1000 at most)", group="optimisation", minimum=0
    )
    schedule: str = option(
        "cosine",
        "learning rate after warm-up; epochs and plateau lower it by decay_factor",
        group="optimisation",
        choices=("cosine", "linear", "constant", "epochs", "plateau"),
    )
    final_learning_rate: float = option(
        0.01, "learning rate at the end, as a part of the highest", group="optimisation", minimum=0, maximum=1
    )
    decay_start: int = option(
        1, "schedule epochs: epochs before the learning rate is first lowered", group="optimisation", minimum=1
    )
    decay_every: int = option(
        1, "schedule epochs: epochs from one lowering to the next", group="optimisation", minimum=1
    )
    decay_factor: float = option(
        0.5, "schedules epochs and plateau: what lowering multiplies by", group="optimisation", above=0, maximum=1
    )
    plateau_patience: int = option(
        2, "schedule plateau: validations without improvement that are waited for", group="optimisation", minimum=0
    )
    optimizer: str = option(
        "adamw",
        "adam adds the weight decay to the gradient, as published fine-tuning does",
        group="optimisation",
        choices=("adamw", "adam"),
    )
    weight_decay: float = option(0.05, "pull of weights towards 0", group="optimisation", minimum=0)
    decay_all: bool = option(
        False, "weight decay for all parameters, as published, not for weight matrices only", group="optimisation"
    )
    beta1: float = option(0.95, "of Adam and AdamW", group="optimisation", minimum=0, maximum=0.99999)
    beta2: float = option(0.999, "of Adam and AdamW", group="optimisation", minimum=0, maximum=0.999999)
    clip_norm: float = option(1.0, "largest norm of the gradient; 0 for no clipping", group="optimisation", minimum=0)
    precision: str = option("no", "mixed precision", group="optimisation", choices=("no", "bf16", "fp16"))
    gradient_checkpointing: bool = option(
        False, "compute layers twice to save memory; same numbers", group="optimisation", affects_result=False
    )
    device: str = option("auto", "where to train", group="run", choices=("auto", "cpu"))
    seed: int = option(0, "of everything random", group="run", minimum=0)
    validate_every: int | None = option(None, "steps between validations (default: an epoch)", group="run", minimum=1)
    patience: int | None = option(None, "stop after this many validations without improvement", group="run", minimum=1)
    save_every: int = option(500, "steps between checkpoints", group="run", minimum=1, affects_result=False)
    log_every: int = option(10, "steps between lines of metrics.jsonl", group="run", minimum=1, affects_result=False)
    quiet: bool = option(False, "no progress display", group="run", affects_result=False)


@dataclass(kw_only=True)
class PretrainSettings(TrainingSettings):
    """Settings of `training.pretrain`: self-supervised learning from unlabelled clips.

    `data` and `out` are required. Masking follows the published model: about 78 % of the patches, drawn as clusters.
    """

    objective: str = option(
        "joint", "what to learn from masked patches", group="masking", choices=("joint", "discriminative", "generative")
    )
    generative_weight: float | None = option(None, "weight of reconstruction in joint", group="masking", minimum=0)
    infonce: str | None = option(
        None,
        "what the discriminative softmax runs over: the targets of a prediction (paper) or the predictions of a target "
        "(default: by layout, published_code for paired)",
        group="masking",
        choices=("paper", "published_code"),
    )
    masked_patches: int | None = option(None, "masked patches a clip (default: 78 %)", group="masking", minimum=1)
    masking: str | None = option(
        None, "shape of the mask", group="masking", choices=("cluster", "frame", "published_cluster")
    )
    features: str | None = option(
        None, "sound features, or compat: padded as published", group="masking", choices=("sound", "compat")
    )
    min_cluster: int | None = option(None, "smallest side of a masked square", group="masking", minimum=1)
    max_cluster: int | None = option(None, "largest side of a masked square", group="masking", minimum=1)
    select: str = option(
        "loss",
        "validation value that chooses the best checkpoint, and that schedule plateau watches",
        group="run",
        choices=("loss", "accuracy"),
    )


@dataclass(kw_only=True)
class FinetuneSettings(TrainingSettings):
    """Settings of `training.finetune`: supervised learning, from a pretrained model or (pretrained=None) from scratch.

    `data` (labelled) and `out` are required.
    """

    pretrained: str | None = option(
        None,
        "pretraining run, checkpoint directory or published .pth (default: train from scratch)",
        group="model",
        path=True,
    )
    pooling: str = option(
        "avgtok",
        "what the head reads: mean of tokens, cls, or the tokens of each second (labels then come by the second)",
        group="model",
        choices=("avgtok", "cls", "segments"),
    )
    freeze_encoder: bool = option(False, "train the head only (linear probe)", group="optimisation")
    head_lr_multiplier: float = option(
        1.0, "learning rate of the head, times the encoder's", group="optimisation", above=0
    )
    loss: str | None = option(
        None,
        "cross entropy or one-against-all (default: ce if each clip has one label)",
        group="optimisation",
        choices=("ce", "bce"),
    )
    select: str | None = option(
        None,
        "validation value that chooses the best checkpoint (default: accuracy for ce, map for bce)",
        group="run",
        choices=("accuracy", "map", "mauc", "loss"),
    )
    balance: bool = option(False, "draw clips so that all classes are equally frequent", group="augmentation")
    freq_mask: int = option(0, "SpecAugment: widest mask in mel bins", group="augmentation", minimum=0)
    time_mask: int = option(0, "SpecAugment: widest mask in frames", group="augmentation", minimum=0)
    mixup: float = option(0.0, "part of the clips mixed with another", group="augmentation", minimum=0, maximum=1)
    noise: bool = option(False, "add noise and shift in time", group="augmentation")
    average_from: int | None = option(
        None, "first epoch whose weights go into checkpoints/average", group="optimisation", minimum=1
    )
    average_to: int | None = option(
        None, "last epoch whose weights go into it (default: the last of the run)", group="optimisation", minimum=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling == "segments" and self.mixup > 0:
            raise ValueError("mixup does not go with pooling segments; set mixup to 0")
        if self.mixup > 0 and self.feature_cache is not None:
            raise ValueError(
                "mixup mixes waveforms, which feature_cache does not read; set mixup to 0 or leave feature_cache out"
            )
        if self.average_from is None:
            if self.average_to is not None:
                raise ValueError("average_to needs average_from, the first epoch to average")
            return
        for name in ("max_steps", "patience"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"average_from counts whole epochs, which {name} may end early; leave one of the two out"
                )
        last = self.average_to or self.epochs
        if not self.average_from <= last <= self.epochs:
            raise ValueError(f"epochs {self.average_from} to {last} cannot be averaged: the run has 1 to {self.epochs}")


@dataclass(kw_only=True)
class RepeatSettings(FinetuneSettings):
    """Settings of `training.repeat`: fine-tune and test over folds and seeds.

    `data` is a folder that `ssamba prepare` wrote, or with `test` anything that fine-tuning takes.
    """

    data: str = option(
        REQUIRED, "folder that ssamba prepare wrote; with --test, anything that finetune takes", group="data", path=True
    )
    test: str | None = option(None, "clips to test on, if --data is not a prepared folder", group="data", path=True)
    seeds: int = option(1, "number of seeds, counted up from --seed", group="run", minimum=1)
    folds: tuple[str, ...] = option((), "run these folds only, by name (default: all)", group="run")


@dataclass(kw_only=True)
class InferenceSettings(Settings):
    """How a trained model is run."""

    dtype: str = option("float32", "what the layers multiply in; int8 on a CPU only", group="run", choices=DTYPES)
    device: str = option("auto", "where to run: auto, cpu, cuda, or one of several GPUs such as cuda:1", group="run")


@dataclass(kw_only=True)
class EvaluateSettings(DataSettings, InferenceSettings):
    """Settings of `training.evaluate`: measure a fine-tuned model on labelled clips."""

    checkpoint: str = option(REQUIRED, "fine-tuning run or checkpoint directory", group="model", path=True)
    out: str | None = option(None, "JSON file for the results", group="run", path=True)
    batch_size: int = option(32, "clips in a batch", group="run", minimum=1)
    pooling: str | None = option(
        None, "what the head reads (default: as fine-tuned)", group="model", choices=("avgtok", "cls", "segments")
    )
    quiet: bool = option(False, "no progress display", group="run", affects_result=False)
