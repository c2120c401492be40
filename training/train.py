"""Trains the model from a pack: the base (decoder, token vectors, tower), then on the frozen base the three adapters and the
multi-vector projector, then the retrieval adapter again with what the base has not learnt.

usage: python training/train.py --pack PACK --run DIR --out DIR (--seconds 3000 | --deadline 540) [--device cuda]
--seconds is what the steps take altogether; --deadline is when, after the start, everything has been written, whatever
the preparation took. DIR of --run keeps a checkpoint, from which the same command goes on; DIR of --out gets the weights in
pieces (weights-1 ..., joined by cat), and log.jsonl. What a stage that fails had reached before is kept.
"""
import argparse
import contextlib
import copy
import io
import json
import math
import pathlib
import shutil
import signal
import time
import traceback

STARTED = time.time()

import numpy as np
import torch

from bank import Bank
from model import TARGET, Model
from trainer import Trainer

# Share of the time of each stage.
SHARES = {"base": 0.72, "retrieval": 0.11, "text-matching": 0.06, "code": 0.05, "fresh": 0.06}
TASK = {"base": None, "retrieval": "retrieval", "text-matching": "text-matching", "code": "code", "fresh": "retrieval"}
# Of the base, this last part is trained with some steps as if stored in few bits; the adapters' stages are throughout.
STORED_FROM, STORED_SHARE = 0.66, 0.5
PIECE = 15_000_000


def optimiser(model, rates):
    table, matrices, vectors, tower = [], [], [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (table if "embed_tokens" in name else tower if "visual" in name else matrices if p.dim() > 1 else vectors).append(p)
    groups = [{"params": table, "lr": rates["table"], "weight_decay": 0.0}, {"params": matrices, "lr": rates["matrices"], "weight_decay": 0.02},
              {"params": vectors, "lr": rates["matrices"], "weight_decay": 0.0},
              {"params": tower, "lr": rates["tower"], "weight_decay": 0.05}]
    for g in groups:
        g["base"] = g["lr"]
    return torch.optim.AdamW([g for g in groups if g["params"]], betas=(0.9, 0.98), fused=True)


class Run:
    """The stages, one behind the other, each for its share of the seconds."""

    def __init__(self, folder, out, trainer, arguments):
        # The projector that all tasks share learns with retrieval, unless the others' additions to it are to stay as they are.
        self.projector = len(arguments.stages) > 1
        self.folder, self.out, self.t, self.model, self.arguments = pathlib.Path(folder), pathlib.Path(out), trainer, trainer.model, arguments
        self.folder.mkdir(parents=True, exist_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)
        self.stop, self.stage, self.used, self.step, self.looking = False, arguments.stages[0], 0.0, 0, 0.0
        for s in (signal.SIGTERM, signal.SIGINT):
            signal.signal(s, lambda *_: setattr(self, "stop", True))

    def log(self, **values):
        line = json.dumps({"at": round(time.time() - STARTED, 1), "stage": self.stage, "step": self.step, "seconds": round(self.used, 1), **values}, ensure_ascii=False)
        print(line, flush=True)
        with open(self.out / "log.jsonl", "a") as f:
            f.write(line + "\n")

    def look(self, **more):
        """Logs the evaluation, unless one takes too much of the time that there is."""
        if self.arguments.deadline and self.looking > 0.02 * self.arguments.deadline:
            return
        began = time.time()
        found = self.t.evaluate(TASK[self.stage])
        self.looking = time.time() - began
        self.log(**more, eval=found)

    def state(self):
        before = self.t.before and {n: t for n, t in self.t.before.state_dict().items() if "lora" in n}
        return {"model": self.model.state_dict(), "stage": self.stage, "used": self.used, "step": self.step, "before": before}

    def save(self, opt):
        torch.save({**self.state(), "opt": opt.state_dict()}, self.folder / "new.pt")
        (self.folder / "new.pt").replace(self.folder / "last.pt")
        self.export()

    def export(self):
        """The weights for --out, in f32 and in pieces; each replaced at once."""
        whole = io.BytesIO()
        torch.save({k: v.detach().cpu() for k, v in self.model.state_dict().items()}, whole)
        data = whole.getvalue()
        pieces = [data[i: i + PIECE] for i in range(0, len(data), PIECE)]
        for n, piece in enumerate(pieces, 1):
            (self.folder / f"piece-{n}").write_bytes(piece)
        for n in range(1, len(pieces) + 1):
            shutil.move(self.folder / f"piece-{n}", self.out / f"weights-{n}")

    def trained(self, stage):
        """Which parameters a stage trains."""
        for name, p in self.model.named_parameters():
            if stage == "base":
                p.requires_grad = "lora" not in name and "multi_vector" not in name
            else:
                p.requires_grad = (".lora_" in name and name.endswith("." + TASK[stage])) or (
                    self.projector and stage == "retrieval" and name.startswith("multi_vector_projector.") and "lora" not in name)

    def stored(self, part):
        """How the matrices are held during this step: (text, tower), None as they are."""
        rng = self.t.bank.rng
        if not self.t.extras or (self.stage == "base" and part < STORED_FROM and not self.t.begun) or rng.random() >= STORED_SHARE:
            return None, None
        return "q4_0", "q4_0" if rng.random() < 0.33 else "q8_0"

    def losses(self, ask, part):
        with self.t.autocast():
            self.model.store(*self.stored(part))
            step, asked = ask(part, self.step)
            asked = [x for x in asked if x[2] is not None]
            step.encode()
            values = [(name, weight, loss()) for name, weight, loss in asked]
        return sum(weight * value for _, weight, value in values), [(name, value.detach()) for name, _, value in values]

    def run(self, stage, seconds, losses, rates, resumed, looks, save_every, end_at):
        self.stage = stage
        self.trained(stage)
        opt = optimiser(self.model, rates)
        if resumed:
            opt.load_state_dict(resumed["opt"])
            self.used, self.step = resumed["used"], resumed["step"]
        else:
            self.used, self.step = 0.0, 0
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        good, good_opt, slow = copy.deepcopy(self.model.state_dict()), copy.deepcopy(opt.state_dict()), 1.0
        sums, count, saved, reported = {}, {}, time.time(), time.time()
        looked = sum(self.used >= f * seconds for f in looks)
        # What a pause of the machine took is not counted, so that no step counts as more than 15 seconds.
        while self.used < seconds and not self.stop and not (end_at and time.time() > end_at):
            began = time.time()
            part = min(1.0, self.used / seconds)
            factor = slow * min(1.0, (self.step + 1) / (10 if stage == "fresh" else 100)) * (0.01 + 0.99 * (1 + math.cos(math.pi * part)) / 2)
            for g in opt.param_groups:
                g["lr"] = g["base"] * factor
            opt.zero_grad(set_to_none=True)
            try:
                total, values = self.losses(losses, part)
                total.backward()
            except torch.cuda.OutOfMemoryError:
                total = values = None
                torch.cuda.empty_cache()
                self.t.scale *= 0.7
                self.log(note=f"too little memory: batches of {self.t.scale:.2f}")
                self.used += min(time.time() - began, 15.0)
                continue
            except Exception:
                if not self.t.extras:
                    raise
                self.t.extras = False  # without what is newest, rather than not at all
                self.log(note="on without steps as if stored and hard negatives", error=traceback.format_exc())
                continue
            finally:
                self.model.store()
            for name, value in values:
                sums[name], count[name] = sums.get(name, 0) + value, count.get(name, 0) + 1
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            opt.step()
            self.step += 1
            if self.step % 25 == 0 or self.t.device == "cpu":
                value = total.item()  # waits for the device: the clock is honest at these steps
                if not math.isfinite(value):
                    self.model.load_state_dict(good)
                    opt.load_state_dict(good_opt)
                    slow *= 0.5
                    self.log(note="the loss is not finite: back to the last good state, half the rate")
                    sums, count = {}, {}
                elif self.step % 500 == 0:
                    good, good_opt = copy.deepcopy(self.model.state_dict()), copy.deepcopy(opt.state_dict())
            self.used += min(time.time() - began, 15.0)
            if time.time() - reported > 10:
                reported = time.time()
                self.log(loss={k: round((v / count[k]).item(), 3) for k, v in sorted(sums.items())})
                sums, count = {}, {}
            if looked < len(looks) and self.used >= looks[looked] * seconds:
                looked += 1
                self.look()
            if time.time() - saved > save_every:
                saved = time.time()
                self.save(opt)
        self.log(end=not self.stop, loss={k: round((v / count[k]).item(), 3) for k, v in sorted(sums.items())})
        self.save(opt)
        if not self.stop:
            self.look()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--pack", required=True)
    p.add_argument("--run", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--seconds", type=float, default=10_000)
    p.add_argument("--deadline", type=float, help="seconds after the start at which all is written")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--scale", type=float, help="of the batches; 1 on a GPU, 0.2 on a CPU")
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--adapter-rate", type=float, default=2e-3)
    p.add_argument("--teach", type=int, help="how many texts are distilled at most")
    p.add_argument("--threads", type=int, default=2, help="on a CPU")
    p.add_argument("--save-every", type=float, default=60)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--begin", help="weights of an earlier run (a state dict in f32 or f16, or weights-* joined by cat) to begin with, instead of afresh")
    p.add_argument("--shares", nargs="+", type=float, default=list(SHARES.values()), help="of the time: " + ", ".join(SHARES))
    p.add_argument("--stages", nargs="+", choices=SHARES, default=list(SHARES), help="with --begin; the others stay as they are")
    a = p.parse_args()
    cuda = a.device.startswith("cuda")
    if cuda:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cuda.enable_cudnn_sdp(False)  # it makes a plan for every new shape, which takes 50 times the attention's time
    else:
        torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    last = pathlib.Path(a.run) / "last.pt"
    resumed = torch.load(last, weights_only=False, map_location=a.device) if last.exists() else None
    say = lambda text: print(f"{time.time() - STARTED:6.1f} s  {text}", flush=True)
    say(f"torch {torch.__version__}, {torch.cuda.get_device_name() if cuda else 'cpu'}")
    bank = Bank(a.pack, a.device, a.seed + (resumed["step"] if resumed else 0))
    say("unpacked")
    if {"base", "text-matching"} & set(a.stages):
        bank.teach(a.teach, log=say)
    model = Model()
    model.frame_of(bank.meta["special"])
    model.to(a.device)
    trainer = Trainer(bank, model, a.scale or (1.0 if cuda else 0.2))
    if resumed:
        model.load_state_dict(resumed["model"])
    elif a.begin:
        model.start()
        begin = torch.load(a.begin, map_location=a.device)
        model.load_state_dict({k: v.float() for k, v in begin.get("model", begin).items()})
        if "base" in a.stages:  # which moves: what was added to it for two tasks begins anew
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if "lora_B" in name and not name.endswith(".code"):
                        parameter.zero_()
    else:
        model.start()
        with torch.no_grad():
            model.model.embed_tokens.weight.copy_(bank.table())
            rows = torch.from_numpy(bank.rng.integers(0, len(bank.pixels), 1024)).to(a.device)
            model.whiten(bank.augment(rows, torch.ones(len(rows), dtype=torch.bool, device=a.device), torch.zeros(len(rows), dtype=torch.bool, device=a.device)))
            for name, parameter in model.model.named_parameters():
                if "norm" in name:
                    parameter[TARGET:] = 0  # nothing reads the constant at first
    trainer.begun = bool(a.begin)
    run = Run(a.run, a.out, trainer, a)
    with run_errors(run):
        run.look(start=True, device=torch.cuda.get_device_name() if cuda else "cpu", torch=torch.__version__, arguments=vars(a),
                 parameters=sum(q.numel() for q in model.parameters()))
    seconds, end = a.seconds, None
    if a.deadline:
        end = STARTED + a.deadline - 12
    steps = {"base": trainer.base, "retrieval": trainer.retrieval, "text-matching": trainer.matching, "code": trainer.code, "fresh": trainer.fresh}
    shares = {s: n for s, n in zip(SHARES, a.shares) if s in a.stages and (s != "fresh" or trainer.fresh_kinds)}
    if not shares:
        raise SystemExit(f"no descriptions for the stage fresh in {a.pack}: pack_fresh.py packs them")
    shares = {s: n / sum(shares.values()) for s, n in shares.items()}
    done = list(shares).index(resumed["stage"]) if resumed else 0
    for n, (stage, share) in enumerate(shares.items()):
        if n < done or run.stop:
            continue
        if stage in ("text-matching", "code") and not (resumed and n == done):
            with torch.no_grad():  # the additions begin where retrieval's projector ended
                for lora in (model.multi_vector_projector.lora_A, model.multi_vector_projector.lora_B):
                    lora[stage].copy_(lora["retrieval"])
        rates = {"table": 5 * a.rate, "matrices": a.rate, "tower": 2 * a.rate} if stage == "base" else dict.fromkeys(("table", "matrices", "tower"), a.adapter_rate * {"retrieval": 0.5, "fresh": 2.0}.get(stage, 1.0))
        looks = (0.1, 0.3, 0.6) if stage == "base" else ()
        if stage == "fresh":
            trainer.remember(resumed["before"] if resumed and n == done else None)
        if stage == "retrieval":
            with run_errors(run):
                run.stage = stage
                run.log(mined=trainer.mine(None if cuda else 1500, 0.045 * (a.deadline or a.seconds)))
        spent = seconds * share
        if end:  # what is left is shared by the stages that are left; each looks and writes for a few seconds as well
            left = sum(list(shares.values())[n:])
            spent = max(1.0, min(spent, (end - time.time() - 12 * share - 3 * (len(shares) - n)) * share / left))
        with run_errors(run):
            run.run(stage, spent, steps[stage], rates, resumed if resumed and n == done else None, looks, a.save_every, end)
    with run_errors(run):
        run.export()
        run.log(finished=not run.stop)


@contextlib.contextmanager
def run_errors(run):
    """An error ends its stage alone; what was reached is written."""
    try:
        yield
    except Exception:
        run.log(error=traceback.format_exc())
        try:
            run.export()
        except Exception:
            traceback.print_exc()


if __name__ == "__main__":
    main()
