"""RL's log-probabilities with each prompt of a batch computed once for all of its answers.

A batch has `n` answers to each prompt, and TRL computes prompt and answer again for each. Its
tensors have a row for each answer, (B, P + C): prompts are padded on the left, answers on the
right.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from trl import RLOOTrainer

from palate.core.errors import is_out_of_memory
from palate.train.config import BatchMode
from palate.train.packed import packed_forward
from palate.train.packed.agreement import TOLERANCE, forward_type
from palate.train.packed.packing import IGNORED, of_first, packed_inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LogProbs = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]


class SharedPromptsMixin(RLOOTrainer):
    """Computes a row per prompt where the model allows it, and what TRL does where it does not.

    Some answers of the first batch are computed both ways. `tell` gets the reason for TRL's way. It
    comes before TRL's trainer among a class's bases.
    """

    tell: Callable[[str], None]
    mode: BatchMode = "trl"
    _agreed = False

    def share_prompts(self, *models: "PreTrainedModel") -> None:
        """Let these models, whose heads TRL has patched, compute a row per prompt."""
        config = models[0].config
        self.mode, why = packed_forward.allowed_mode("tree", config)
        if why:
            self.tell(f"  {why}")
        if self.mode != "tree" or self.aux_loss_enabled:  # routers are balanced over all tokens
            self.mode = "trl"
            return
        for model in models:
            packed_forward.add_packed_forward(model)

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **other: object,
    ) -> LogProbs:
        batch = input_ids, attention_mask, logits_to_keep
        if self.mode == "tree" and not self._agreed:
            self._agree(model, *batch)
        if self.mode == "trl":
            return super()._get_per_token_logps_and_entropies(
                model, *batch, batch_size, compute_entropy, **other
            )
        size = batch_size or len(input_ids)
        parts = [
            self._of_shared(model, ids, mask, logits_to_keep, compute_entropy)
            for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True)
        ]
        logps, *entropies = (torch.cat(part) for part in zip(*parts, strict=True))
        return logps, entropies[0] if entropies else None, None

    def _of_shared(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        answer: int,
        compute_entropy: bool = False,
    ) -> list[torch.Tensor]:
        """Return log-probabilities of the tokens of answers, (B, C), else 0; then entropies."""
        length = input_ids.shape[1]
        prompts = attention_mask[:, : length - answer].sum(1, keepdim=True)
        place = torch.arange(length, device=input_ids.device)[None]
        # to the left edge, where packing expects a prompt's first token
        moved = (place + length - answer - prompts).clamp(max=length - 1)
        inside = place < attention_mask.sum(1, keepdim=True)
        ids, mask = input_ids.gather(1, moved) * inside, inside.long()
        labels = ids.masked_fill(~inside | (place < prompts), IGNORED)
        packed = packed_inputs(
            {
                "input_ids": ids,
                "attention_mask": mask,
                "completion_mask": (labels != IGNORED).long(),
            },
            share_prompt=True,
        )
        with self.accelerator.autocast():
            out = model(input_ids=ids, labels=labels, fused_lm_head=True, **packed)
        back = (place[:, :answer] + prompts - 1).clamp(max=length - 2)
        kept = attention_mask[:, length - answer :]
        values = [out.log_probs, out.entropy] if compute_entropy else [out.log_probs]
        return [x.gather(1, back) * kept for x in values]

    def _agree(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        answer: int,
    ) -> None:
        """Compute some answers both ways, and leave TRL's way where they differ."""
        self._agreed = True
        prompts = (input_ids * attention_mask)[:, : input_ids.shape[1] - answer]
        rows = torch.tensor(of_first([tuple(ids) for ids in prompts.tolist()]))
        part = input_ids[rows], attention_mask[rows], answer
        training = model.training
        model.eval()  # dropout would make both ways differ
        try:
            with torch.no_grad():
                theirs, _, _ = super()._get_per_token_logps_and_entropies(model, *part)
                (ours,) = self._of_shared(model, *part)
            tokens = part[1][:, -answer:]
            far = float((((ours - theirs) * tokens).sum(1) / tokens.sum(1)).abs().max())
        except Exception as error:  # of whatever kind a model's own code raises
            if is_out_of_memory(error):
                raise
            why = f"cannot ({type(error).__name__}: {error})".splitlines()[0][:120]
        else:
            if far <= TOLERANCE[forward_type(self)][0]:
                return
            why = f"differs from TRL's log-probabilities by {far:.1e}"
        finally:
            model.train(training)
        self.mode = "trl"
        self.tell(f"  A row per prompt {why}: each answer is computed with its prompt.")
