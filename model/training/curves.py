"""A picture of a training run: its losses and dev scores."""

from pathlib import Path

from matplotlib.figure import Figure

from model.training.optimization import History


def draw_curves(pretraining: History, finetuning: History, path: Path) -> None:
    """Draw the pre-training loss, if any, and the fine-tuning loss with the dev score beside it."""
    panels = 2 if pretraining else 1
    figure = Figure(figsize=(6 * panels, 4), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    if pretraining:
        axis = axes[0]
        axis.plot([h["step"] for h in pretraining], [h["loss"] for h in pretraining])
        axis.set(title="Language-model pre-training", xlabel="step", ylabel="loss")
    axis = axes[-1]
    epochs = [h["epoch"] for h in finetuning]
    axis.plot(epochs, [h["loss"] for h in finetuning], "o-", label="training loss")
    axis.set(title="Fine-tuning", xlabel="epoch", ylabel="loss", xticks=epochs)
    if "dev" in finetuning[-1]:
        scores = axis.twinx()
        scores.plot(epochs, [h["dev"] for h in finetuning], "s--", color="C1", label="dev score")
        scores.set_ylabel("dev score (mean over sets)")
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=120)
