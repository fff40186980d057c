"""The whole method in an ordinary PyTorch loop: python tests/examples/plain_pytorch.py

Three rounds of PrAC tickets on the digits; everything that is `prac` works in a loop of yours.
"""

from copy import deepcopy
from fractions import Fraction

import torch
from torch.nn.functional import cross_entropy

import prac

EPOCHS, FEWEST_EPOCHS, MILESTONES, RATE, BATCH, REWIND_EPOCHS = 16, 6, (8, 12), 0.2, 32, 1


def predict(model, images):
    model.eval()
    with torch.no_grad():
        return model(images).argmax(1)


def find_ticket(model, images, labels, training_ids, validation_ids, generator, *, rounds=3):
    """The ticket, and of each round its mask, its set and the epochs that it took.

    images: (N, C, H, W) float32; labels: (N,) int64; ids: rows of both, sorted int32;
    generator(round, epoch): a torch.Generator for the order of an epoch.
    """
    mask, samples, history = prac.Mask.dense(model), prac.PracSet.everything(training_ids), []
    training, validation = torch.tensor(training_ids), torch.tensor(validation_ids)
    rewind, dense = None, None
    for k in range(rounds):
        if rewind is not None:
            model.load_state_dict(rewind)
        count = len(samples)
        share = max(Fraction(count, len(training_ids)), Fraction(FEWEST_EPOCHS, EPOCHS))
        epochs, milestones = int(share * EPOCHS), [max(1, int(share * m)) for m in MILESTONES]
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
        masked = prac.MaskedStep(model, mask, optimizer)
        earliest = REWIND_EPOCHS if k == 0 else 0
        tentative = prac.TentativeMask(mask, 0.2, 0.08, patience=3, earliest_epochs=earliest)
        recorder, most_right = prac.EventRecorder(), -1
        for epoch in range(epochs):
            model.train()
            optimizer.param_groups[0]["lr"] = RATE * 0.1 ** sum(m <= epoch for m in milestones)
            order = torch.randperm(count, generator=generator(k, epoch))
            steps = -(-count // BATCH)
            for step in range(steps):
                places = order[count * step // steps : count * (step + 1) // steps]
                ids = samples.sample_ids[places.numpy()]
                logits = model(images[ids])
                recorder.record(ids, logits, labels[ids])
                optimizer.zero_grad()
                cross_entropy(logits, labels[ids]).backward()
                optimizer.step()
            recorder.end_epoch()
            if k == 0 and epoch + 1 == REWIND_EPOCHS:
                rewind = deepcopy(model.state_dict())
            right = (predict(model, images[validation]) == labels[validation]).sum()
            if right > most_right:
                most_right, best = right, deepcopy(model.state_dict())
            if tentative.update(model):
                break
        masked.remove()
        history.append((mask, samples, epoch + 1))

        mask = tentative.latest
        chosen = {prac.Reason.FORGOTTEN: prac.critical_for_training(recorder.statistics())}
        model.load_state_dict(best)
        predicted = predict(model, images[training]).numpy()
        if dense is None:
            dense = predicted
        else:
            chosen[prac.Reason.DISAGREED] = prac.critical_for_pruning(
                dense, predicted, training_ids
            )
        samples = prac.PracSet.from_reasons(chosen)
    return prac.Ticket.of(mask, rewind, {}), [*history, (mask, samples, 0)]


def main():
    torch.set_num_threads(1)  # a network of this size is no faster on more
    data = prac.open_source(prac.DataConfig(source="digits")).load()
    images = torch.tensor(data.train_images).permute(0, 3, 1, 2) / 255
    images = (images - data.mean[0]) / data.std[0]
    model = prac.build_model("resnet8", num_classes=10, image_shape=data.image_shape, seed=0)
    ticket, history = find_ticket(
        model,
        images,
        torch.tensor(data.train_labels),
        data.training_ids,
        data.validation_ids,
        lambda k, epoch: torch.Generator().manual_seed(1000 * k + epoch),
    )
    for mask, samples, epochs in history[:-1]:
        print(f"sparsity {mask.sparsity:6.2%}  set {len(samples):4}  epochs {epochs}")
    print(f"ticket: sparsity {ticket.sparsity:.2%}")


if __name__ == "__main__":
    main()
