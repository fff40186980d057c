"""A round of PrAC as a Lightning callback: python tests/examples/lightning_callback.py

Needs pytorch-lightning (`pip install prac[lightning]`). Batches are (ids, images, labels); the
module returns its logits beside the loss.
"""

import pytorch_lightning as lightning
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import prac


class PracRound(lightning.Callback):
    """Holds the mask, records the events, forms the next mask and stops where it has settled."""

    def __init__(self, mask, **stop):
        self.mask = mask
        self.recorder = prac.EventRecorder()
        self.tentative = prac.TentativeMask(mask, **stop)

    def on_train_start(self, trainer, module):
        self.masked = prac.MaskedStep(module.model, self.mask)
        for optimizer in trainer.optimizers:
            self.masked.watch(optimizer)

    def on_before_optimizer_step(self, trainer, module, optimizer):
        # Lightning makes the gradients inside the step, and clips them after this.
        self.masked.before_step()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        ids, _, labels = batch
        self.recorder.record(ids, outputs["logits"], labels)

    def on_train_epoch_end(self, trainer, module):
        self.recorder.end_epoch()
        trainer.should_stop = trainer.should_stop or self.tentative.update(module.model)

    def on_train_end(self, trainer, module):
        self.masked.remove()


class Classifier(lightning.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, batch_idx):
        _, images, labels = batch
        logits = self.model(images)
        return {"loss": cross_entropy(logits, labels), "logits": logits.detach()}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)


def train_round(model, mask, loader, epochs, **stop):
    """The callback after a round: its `recorder` and `tentative` have what the next one needs."""
    watching = PracRound(mask, **stop)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[watching],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(model), loader)
    return watching


def main():
    torch.set_num_threads(1)  # a network of this size is no faster on more
    data = prac.open_source(prac.DataConfig(source="digits")).load()
    ids = torch.tensor(data.training_ids)
    images = torch.tensor(data.train_images).permute(0, 3, 1, 2)[ids] / 255
    samples = TensorDataset(ids, images, torch.tensor(data.train_labels)[ids])
    model = prac.build_model("resnet8", num_classes=10, image_shape=data.image_shape, seed=0)
    loader = DataLoader(samples, batch_size=64, shuffle=True)
    done = train_round(model, prac.Mask.dense(model), loader, epochs=8, patience=3)
    critical = prac.critical_for_training(done.recorder.statistics())
    epochs = len(done.tentative.distances) + 1
    print(f"{len(critical)} critical samples after {epochs} epochs; next: {done.tentative.latest}")


if __name__ == "__main__":
    main()
