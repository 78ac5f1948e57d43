"""The points of a training's curve, as `run.json` has them. Pure: no I/O."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DPOPoint:
    """The figures of one step; None where one was not measured or is not finite."""

    step: int
    epoch: float
    loss: float | None = None
    reward_margin: float | None = None
    reward_accuracy: float | None = None
    test_loss: float | None = None
    test_reward_accuracy: float | None = None
    test_reward_margin: float | None = None
    test_reward_chosen: float | None = None
    test_reward_rejected: float | None = None
    test_logp_chosen: float | None = None
    test_logp_rejected: float | None = None


@dataclass(frozen=True)
class SFTPoint:
    """The figures of one step; None where one was not measured or is not finite."""

    step: int
    epoch: float
    loss: float | None = None
    token_accuracy: float | None = None
    test_loss: float | None = None
    test_token_accuracy: float | None = None


@dataclass(frozen=True)
class KTOPoint:
    """The figures of one step; None where one was not measured or is not finite."""

    step: int
    epoch: float
    loss: float | None = None
    kl: float | None = None  # nats, estimated on the batch
    reward_good: float | None = None
    reward_bad: float | None = None
    test_loss: float | None = None
    test_reward_good: float | None = None
    test_reward_bad: float | None = None


@dataclass(frozen=True)
class RLPoint:
    """The figures of one step; None where one was not measured or is not finite.

    Rewards are in standard deviations of the base model's answers to a prompt; those of checks are
    on the same prompts, without what the guards take.
    """

    step: int
    epoch: float
    loss: float | None = None
    reward: float | None = None  # of the step's answers, after the guards
    kl: float | None = None  # nats an answer
    characters: float | None = None  # of an answer
    cut: float | None = None  # share of answers
    check_reward: float | None = None
    check_held_out: float | None = None
