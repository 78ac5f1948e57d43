"""dpo.py in several processes on this machine's CPU, which talk by gloo."""

import os
import signal
from contextlib import ExitStack
from importlib.util import find_spec

import pytest
import yaml
from dpo_runs import CPU_AS_GPU, CPU_BY_DEEPSPEED, record, same_curves, saved_parameters
from dpo_runs import FAST as DEFAULTS

from palate.core.paths import shipped
from palate.web.serving import free_port

# TRL averages the SFT term over the tokens that each process holds
FAST = (*DEFAULTS, "--sft-weight", "0")
FAILING = """
def training_step(self, *args, real=PackedDPOTrainer.training_step, **kwargs):
    if os.environ["RANK"] == "1" and self.state.global_step == 3:
        {failure}
    return real(self, *args, **kwargs)
if "--accumulate" not in sys.argv:
    PackedDPOTrainer.training_step = training_step
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        (),
        # 72 rows are no multiple of 10, and prompts fall into both parts of a batch
        ("--batch-size", "10", "--method", "lora", "--reckless"),
    ],
)
def test_two_processes_have_the_losses_of_one(flags, labelled, jobs, reference):
    said = jobs("dpo", labelled.id, *FAST, *flags, "--processes", "2")
    assert said.count("the model prefers what people preferred in") == 1
    assert "Warning" not in said
    run = record(labelled.model_repo)
    assert run["positions"]["mode"] == "tree"
    assert "--processes 2" in run["command"]
    same_curves(reference(*FAST, *flags), run)


@pytest.mark.slow
def test_two_machines_have_the_losses_of_one(labelled, jobs, reference):
    port, job = str(free_port()), str(shipped("jobs") / "dpo.py")
    words = ["-m", "torch.distributed.run", "--nnodes", "2"]
    words += ["--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", port]
    jobs.env["GLOO_SOCKET_IFNAME"] = "lo"
    with ExitStack() as machines:
        started = [
            machines.enter_context(
                jobs.python(*words, "--node-rank", rank, job, labelled.id, *FAST)
            )
            for rank in ("0", "1")
        ]
        said = [machine.communicate() for machine in started]
    assert [machine.returncode for machine in started] == [0, 0], said
    assert ["the model prefers what people" in out for out, _ in said] == [True, False]
    same_curves(reference(*FAST), record(labelled.model_repo))


@pytest.mark.slow
def test_a_model_in_parts_is_trained_and_saved_as_a_whole_one(labelled, jobs, changed, reference):
    done = changed(CPU_AS_GPU, labelled.id, *FAST, "--processes", "2", "--accelerate", "fsdp2")
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = reference(*FAST), record(labelled.model_repo)
    assert two["positions"]["mode"] == "tree"
    same_curves(one, two)
    assert two["samples"]["examples"] == one["samples"]["examples"]
    assert saved_parameters(labelled.model_repo) == one["parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--method", "lora", "--reckless")])
def test_deepspeed_parts_a_model_as_well(flags, labelled, jobs, changed, reference):
    pytest.importorskip("deepspeed", reason="deepspeed is not installed: pip install deepspeed")
    jobs.env["DS_ACCELERATOR"] = "cpu"
    words = (labelled.id, *FAST, *flags, "--processes", "2", "--accelerate", "zero3")
    done = changed(CPU_BY_DEEPSPEED, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = reference(*FAST, *flags), record(labelled.model_repo)
    assert two["positions"]["mode"] == "tree"
    same_curves(one, two)
    assert two["samples"]["examples"] == one["samples"]["examples"]


@pytest.mark.slow
def test_when_memory_runs_out_in_one_process_all_end(labelled, jobs, changed):
    change = FAILING.format(failure="raise torch.OutOfMemoryError('CUDA out of memory')")
    done = changed(change, labelled.id, *FAST, "--processes", "2")
    assert done.returncode == 1
    assert done.stderr == (
        "palate: Memory ran out in one of the processes. Run the same command again with"
        " --accumulate 2: it continues from the last checkpoint.\n"
    )
    done = changed(change, labelled.id, *FAST, "--processes", "2", "--accumulate", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Continuing after step 2" in done.stdout


@pytest.mark.slow
def test_when_one_process_is_killed_all_end(labelled, jobs, changed):
    change = FAILING.format(failure="os.kill(os.getpid(), signal.SIGKILL)")
    done = changed(change, labelled.id, *FAST, "--processes", "2")
    assert done.returncode == 1
    assert done.stderr.startswith("palate: SIGKILL killed process 1, and the others were")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_ctrl_c_reaches_all_processes(labelled, jobs):
    with jobs.start("dpo", labelled.id, "--epochs", "50", "--processes", "2") as process:
        for line in process.stdout:
            if "test loss" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert out.count("To continue, run the same command again: palate train ") == 1
    assert "Traceback" not in err


@pytest.mark.slow
def test_an_error_of_all_processes_is_said_once(project, jobs):
    said = jobs("dpo", project.id, "--processes", "2", code=2)
    assert said.startswith(f"palate: {project.id} holds no preferences to train on.")
    assert said.count("palate: ") == 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--processes", "0"), "--processes 0: expected 1 or more."),
        (("--accelerate", "fsdp2"), "Say how many with --processes."),
        (("--accelerate", "zero2"), "expected one of ddp, fsdp2, zero3, or a file"),
        (("--processes", "2", "--accelerate", "fsdp2"), "this machine has none"),
        (
            ("--processes", "2", "--accelerate", "zero3"),
            "this machine has none" if find_spec("deepspeed") else "needs the package deepspeed",
        ),
    ],
)
def test_what_cannot_be_shared_is_wrong_usage(flags, says, jobs):
    said = jobs("dpo", "me/titles", *flags, code=2)
    assert says in said
    assert len(said.splitlines()) == 1


def test_more_processes_than_gpus_are_wrong_usage(monkeypatch):
    import torch

    from palate.core.errors import UsageError
    from palate.run import processes

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="--processes 3: this machine has 2 GPUs"):
        processes.check_devices(3, processes.find("ddp"))


def test_a_file_that_is_no_configuration_is_wrong_usage(tmp_path, jobs):
    file = tmp_path / "mine.yaml"
    file.write_text("shards: 3\n")
    said = jobs("dpo", "me/titles", "--processes", "2", "--accelerate", str(file), code=2)
    assert said.startswith(f"palate: {file} is not an accelerate config: ")


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero3"])
def test_configurations_are_accelerates_and_reach_its_launcher(name, monkeypatch):
    """What `accelerate launch` makes of them; ZeRO-3 itself needs GPUs and deepspeed."""
    from accelerate.commands import launch

    file = shipped("jobs") / "accelerate" / f"{name}.yaml"
    words = ["--config_file", str(file), "--num_processes", "4", "--num_machines", "1"]
    parsed = launch.launch_command_parser().parse_args([*words, "jobs/dpo.py", "me/titles"])
    args, _, _ = launch._validate_launch_command(parsed)
    assert args.num_processes == 4
    assert (args.use_fsdp, args.use_deepspeed) == (name == "fsdp2", name == "zero3")
    written = yaml.safe_load(file.read_text("utf-8"))
    for part in ("fsdp_config", "deepspeed_config"):
        for key, value in written.get(part, {}).items():
            assert getattr(args, key) == value, f"accelerate knows no {key}"
            assert key in launch.launch_command_parser().parse_args(["x"]).__dict__
    if name == "zero3":
        assert args.zero_stage == 3
    if name == "fsdp2":
        assert args.fsdp_version == 2
        monkeypatch.setattr(os, "environ", {})
        env = launch.prepare_multi_gpu_env(args)
        assert (env["FSDP_VERSION"], env["FSDP_STATE_DICT_TYPE"]) == ("2", "FULL_STATE_DICT")
