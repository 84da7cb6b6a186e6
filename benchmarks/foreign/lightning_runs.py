"""Lightning: CSVLogger's metrics.csv and hparams.yaml; validation each epoch, a test at the end."""

from __future__ import annotations

import logging
import warnings

import lightning
import torch
from digits_task import EPOCHS, SEEDS, Scores, get_folder, split
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.simplefilter("ignore")


class Digits(lightning.LightningModule):
    def __init__(self, arm: str, seed: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = torch.nn.Sequential(torch.nn.Linear(64, 24), torch.nn.ReLU(), torch.nn.Linear(24, 10))

    def training_step(self, batch):
        loss = torch.nn.functional.cross_entropy(self.body(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch):
        self.log("val_acc", (self.body(batch[0]).argmax(1) == batch[1]).float().mean())

    def test_step(self, batch):
        self.log("test_acc", (self.body(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        is_adam = self.hparams.arm == "adam"
        return torch.optim.Adam(self.parameters(), 0.002) if is_adam else torch.optim.SGD(self.parameters(), 0.05, 0.9)


folder, scores = get_folder("lightning"), Scores("lightning", "test_acc")
for arm in ("adam", "sgd"):
    for seed in SEEDS:
        lightning.seed_everything(seed, verbose=False)
        images, held_out, labels, held_out_labels = (torch.from_numpy(part) for part in split(seed))
        train_loader = DataLoader(TensorDataset(images, labels), 64, shuffle=True)
        test_loader = DataLoader(TensorDataset(held_out, held_out_labels), len(held_out))
        trainer = lightning.Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            logger=CSVLogger(str(folder)),
            log_every_n_steps=5,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        model = Digits(arm, seed)
        trainer.fit(model, train_loader, test_loader)
        trainer.test(model, test_loader, verbose=False)
        with torch.no_grad():
            scores.add(arm, seed, (model.body(held_out).argmax(1) == held_out_labels).float().mean().item())
scores.write()
print("lightning", lightning.__version__)
