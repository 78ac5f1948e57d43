"""Reward margins of every test row, one by one: what batch averages cannot give exactly."""

from typing import Any


def margins(trainer: Any) -> list[float]:
    """Return β · (log-ratio of chosen − log-ratio of rejected) for each row of the test split.

    The reference's log-probabilities are those that the trainer computed before its first step.
    """
    import torch

    result: list[float] = []
    trainer.model.eval()
    for batch in trainer.get_eval_dataloader():
        with torch.no_grad(), trainer.accelerator.autocast():
            chosen, rejected = _log_probabilities(trainer.model, batch).chunk(2)
        reference = batch["ref_chosen_logps"] - batch["ref_rejected_logps"]
        each = trainer.beta * (chosen - rejected - reference.to(chosen))
        result += trainer.accelerator.gather_for_metrics(each).tolist()
    return result


def _log_probabilities(model: Any, batch: Any) -> Any:
    """Return the summed log-probability of each completion, shape (2 · rows,): chosen first."""
    tokens, mask = batch["input_ids"], batch["completion_mask"][:, 1:]
    logits = model(input_ids=tokens, attention_mask=batch["attention_mask"]).logits[:, :-1]
    each = logits.float().log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return (each * mask).sum(-1)
