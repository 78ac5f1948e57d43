"""A run.json as a training job writes it, for those who render cards of it."""

from typing import Any

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
