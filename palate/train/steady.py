"""What we change in every trainer of TRL's, so that several processes make what one makes."""

from typing import Any

from transformers import Trainer

from palate.train.batches import GroupSampler


class Steady(Trainer):
    """A step's rows are the same however many processes compute it, and whole models are saved.

    It stands before TRL's trainer among a class's bases.
    """

    def groups(self, rows: Any) -> list[Any]:
        """Return for each row what it shares with those that come in one batch with it."""
        return list(range(len(rows)))

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        args: Any = self.args
        parts = args.gradient_accumulation_steps * self.accelerator.num_processes
        batch = args.per_device_train_batch_size * parts
        return GroupSampler(self.groups(rows), args.data_seed or args.seed, batch)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        policy: Any = self.model
        if state_dict is not None and getattr(policy.config, "tie_word_embeddings", False):
            # gathered from several processes, a shared weight would be saved under both names
            for name in policy._tied_weights_keys or ():
                state_dict.pop(name, None)
        super()._save(output_dir, state_dict)
