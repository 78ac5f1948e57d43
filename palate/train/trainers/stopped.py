"""Runs that had stopped before their last step stay stopped when they are continued.

Trainer keeps no record of why it stopped, and would train on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, Trainer, TrainerState
from transformers.trainer_utils import TrainOutput

from palate.core.errors import PalateError

PATIENCE = 8  # evaluations without a lower test loss before a run ends: two epochs


class StaysStoppedMixin(Trainer):
    """Takes no step after a checkpoint at which the run had stopped.

    It comes before TRL's trainer among a class's bases. Sharded weights are loaded only once
    Trainer has divided the model, so such a run goes on to its next evaluation, and stops there.
    """

    tell: Callable[[str], None] = staticmethod(print)

    def had_stopped(self, state: TrainerState) -> str | None:
        """Return why the run stopped at this state, None if it had not."""
        raise NotImplementedError

    def train(
        self, resume_from_checkpoint: str | bool | None = None, *args: Any, **options: Any
    ) -> TrainOutput:
        """Take the remaining steps: none after a checkpoint at which the run had stopped."""
        if isinstance(resume_from_checkpoint, str) and not self._is_sharded():
            folder = Path(resume_from_checkpoint)
            state = TrainerState.load_from_json(str(folder / "trainer_state.json"))
            if why := self.had_stopped(state):
                return self._stay_stopped(folder, state, why)
        return super().train(resume_from_checkpoint, *args, **options)

    def _is_sharded(self) -> bool:
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    def _stay_stopped(self, folder: Path, state: TrainerState, why: str) -> TrainOutput:
        """Take over the state and the kept weights of a run that had stopped."""
        kept = folder.parent / f"checkpoint-{state.best_global_step}"
        if not kept.exists():
            raise PalateError(
                f"The run stopped at step {state.global_step}. It keeps the weights of step"
                f" {state.best_global_step}, and these are not on this machine. Start over with"
                " another --seed."
            )
        if state.is_world_process_zero:
            self.tell(f"  {why} at step {state.global_step}, so training is over")
        state.best_model_checkpoint = str(kept)
        self.state = state
        self._load_best_model()
        # the log's file is not among what comes from the Hub
        self.callback_handler.on_log(self.args, state, self.control, {})
        return TrainOutput(state.global_step, 0.0, {})


def lost_patience(state: TrainerState) -> bool:
    """Tell whether early stopping ended the run at this state."""
    callbacks: Any = state.stateful_callbacks
    kept = callbacks.get(EarlyStoppingCallback.__name__)
    return bool(kept) and kept["attributes"]["early_stopping_patience_counter"] >= PATIENCE
