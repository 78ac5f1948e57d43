"""The machines, plans and limits of huggingface.co, read from `palate/service.json`.

They let clients choose and estimate as they would there. Here everything runs on the Hub's own
machine, whatever it asks for, and nobody is charged.
"""

import json
from pathlib import Path

SERVICE = json.loads((Path(__file__).parents[1] / "service.json").read_text("utf-8"))
FLAVORS: dict[str, dict] = {row["name"]: row for row in SERVICE["flavors"]}
ZERO: dict = SERVICE["zero_gpu"]
PLANS: dict[str, dict] = SERVICE["plans"]
REFUSALS: dict[str, str] = SERVICE["refusals"]


def listing() -> list[dict[str, object]]:
    """Return the answer to `list_jobs_hardware`."""
    return [_described(row) for row in FLAVORS.values()]


def _described(row: dict) -> dict[str, object]:
    dollars = row["dollars_an_hour"]
    return {
        "name": row["name"],
        "prettyName": row["shown"],
        "cpu": f"{row['cores']} vCPU",
        "ram": f"{row['memory_gb']} GB",
        "ephemeralStorage": f"{row['disk_gb']} GB",
        "accelerator": row["gpu"]
        and {
            "type": "gpu",
            "model": row["gpu"],
            "quantity": str(row["gpus"]),
            "vram": f"{row['gpu_gb']} GB",
            "manufacturer": "Nvidia",
        },
        "unitCostMicroUSD": round(dollars / 60 * 1e6),
        "unitCostUSD": round(dollars / 60, 6),
        "unitLabel": "minute",
    }
