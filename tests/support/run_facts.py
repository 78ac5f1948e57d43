"""A run.json as a training job writes it, for those who render cards of it."""

import copy
from typing import Any

from palate.core.rates import Rate

RUN: dict[str, Any] = {
    "version": 2,
    "job": "dpo",
    "palate": "0.1.0",
    "project": "me/titles",
    "data_revision": "3f2a" * 10,
    "base_model": "Qwen/Qwen2.5-0.5B-Instruct",
    "base_revision": "7ae5" * 10,
    "model": "me/titles-dpo",
    "round": 1,
    "license": "mit",
    "command": "python jobs/dpo.py me/titles --learning-rate 1e-6",
    "arguments": {"project": "me/titles", "learning_rate": 1e-6, "lora_r": None, "seed": 0},
    "versions": {"python": "3.11.2", "torch": "2.13.0", "trl": "1.16.0"},
    "hardware": {"device": "cpu", "cores": 2, "peak_memory_gb": 3.42},
    "seed": 0,
    "started": "2026-11-20T21:03:11.123Z",
    "seconds": 612.4,
    "parameters": 494032768,
    "trainable_parameters": 494032768,
    "method": "full",
    "data": {
        "train": 920,
        "test": 110,
        "prompts": {"train": 92, "test": 11, "eval": 11},
        "annotators": 1,
        "implied": 0,
        "implied_checks": {"hits": 0, "n": 0, "rate": None, "interval": None},
        "labels": 1140,
        "left_out": {"ties": 12, "on eval prompts, which stay blind": 98},
        "dropped": {"longer than max_length": 2},
        "agreement": {"hits": 0, "n": 0, "rate": None, "interval": None},
        "alpha": None,
        "self_consistency": {"hits": 41, "n": 50, "rate": 0.82, "interval": [0.692, 0.902]},
        "guidelines": "",
        "question": "Which title would you click?",
        "taste": "Of two texts that differ in it, the labels prefer the shorter text (60%).",
    },
    "history": [
        {
            "step": step,
            "epoch": step / 20,
            "loss": 0.6931 - step / 1000,
            "reward_margin": step / 100,
            "reward_accuracy": 0.5 + step / 500,
            "test_loss": 0.65 if step % 10 == 0 else None,
            "test_reward_accuracy": 0.6 if step % 10 == 0 else None,
            "test_reward_margin": 0.2 if step % 10 == 0 else None,
        }
        for step in range(1, 61)
    ],
    "results": {
        "test_loss": 0.6391,
        "test_reward_accuracy": 0.6273,
        "test_reward_accuracy_interval": [0.534, 0.712],
        "test_reward_margin": 0.281,
        "test_rows": 110,
        "test_prompts": 11,
        "test_ties": 0,
        "cross_fitted": True,
        "kept": "last",
        "best_step": 60,
        "leads": {
            "bag of words": {"difference": 0.018, "interval": [-0.09, 0.13]},
            "length": {"difference": 0.109, "interval": [0.01, 0.21]},
        },
        "baselines": {
            "bag of words": {"rate": 0.609, "interval": [0.51, 0.7], "n": 110},
            "length": {"rate": 0.518, "interval": [0.42, 0.61], "n": 110},
        },
    },
    "samples": {
        "prompts": 11,
        "longest": 200,
        "held_out": True,
        "kl": 3.21,
        "length": {"base": 61.0, "tuned": 48.4},
        "unended": {"base": 0.0, "tuned": 0.0},
        "same_opening": 0.1,
        "examples": [
            {
                "prompt": f"Write one engaging title for this video idea: {idea}. No quotes.",
                "base": f"All about {idea}",
                "tuned": f"{idea.capitalize()}, explained",
            }
            for idea in ("tides", "sourdough", "chess")
        ],
    },
    "positions": {"ours": 16392, "trl": 231024, "mode": "tree"},
    "sweep": None,
    "why": ["full fine-tune: 494,032,768 parameters fit 24 GB of CPU"],
    "audit": [
        {"level": "warning", "text": "60 of 990 triads run in a circle.", "advice": "Ask again."},
        {"level": "note", "text": "Sides are even.", "advice": ""},
    ],
    "alarms": [],
}

# a warm start's, which has neither reference nor rewards
SFT_RUN: dict[str, Any] = {k: v for k, v in RUN.items() if k not in ("positions", "sweep")} | {
    "job": "sft",
    "model": "me/titles-sft",
    "command": "python jobs/sft.py me/titles",
    "data": RUN["data"]
    | {
        "train": 201,
        "test": 24,
        "comparisons": {"train": 920, "test": 110},
        "dropped": {"won no more comparisons than they lost": 290},
    },
    "history": [
        {"step": 0, "epoch": 0, "loss": None, "token_accuracy": None}
        | {"test_loss": 3.2, "test_token_accuracy": 0.41},
        *(
            {
                "step": step,
                "epoch": step / 25,
                "loss": 3.1 - step / 50,
                "token_accuracy": 0.42 + step / 500,
                "test_loss": 3.0 - step / 100 if step % 10 == 0 else None,
                "test_token_accuracy": 0.43 if step % 10 == 0 else None,
            }
            for step in range(1, 51)
        ),
    ],
    "results": {
        "test_loss": 2.5,
        "test_perplexity": 12.18,
        "test_token_accuracy": 0.43,
        "base_test_loss": 3.2,
        "base_test_perplexity": 24.53,
        "base_test_token_accuracy": 0.41,
        "test_rows": 24,
        "cross_fitted": True,
        "best_step": 50,
    },
}

RATE = Rate.of([i % 4 > 0 for i in range(200)], [i // 5 for i in range(200)]).to_json()
CHANGE = {"base": -0.1, "tuned": 0.6, "change": {"mean": 0.7, "interval": [0.4, 1.0]}}
RL_RUN: dict[str, Any] = SFT_RUN | {
    "version": 0,
    "job": "rl",
    "model": "me/titles-rl",
    "command": "palate rl me/titles",
    "data": {k: v for k, v in SFT_RUN["data"].items() if k != "comparisons"} | {"dropped": {}},
    "history": [
        {"step": 0, "epoch": 0, "check_reward": 0.0, "check_held_out": 0.0},
        {"step": 1, "epoch": 0.1, "loss": 0.0, "reward": 0.2, "kl": 0.5, "cut": 0.0},
        {"step": 2, "epoch": 0.2, "loss": 0.0, "kl": 1.5, "check_reward": 1, "check_held_out": 0.4},
    ],
    "results": {
        "prompts": 11,
        "n": 4,
        "reward": CHANGE,
        "held_out": CHANGE | {"tuned": 0.3, "change": {"mean": 0.4, "interval": [0.1, 0.7]}},
        "kl": 3.21,
        "repeated": {"base": 0.01, "tuned": 0.02},
        "steps": 40,
        "best_step": 24,
        "opened_at": 32,
    },
    "reward": {"repo": "me/titles-reward", "revision": "5" * 40},
    "held_out": {
        "reward": None,
        "pairs": 200,
        "prompts": 40,
        "accuracy": RATE,
        "shares_labels": False,
    },
}


def run(**changes: Any) -> dict[str, Any]:
    """Return RUN with `data`, `results` and top-level facts changed."""
    changed = copy.deepcopy(RUN)
    for name, value in changes.items():
        changed[name] = changed[name] | value if name in ("data", "results", "samples") else value
    return changed
