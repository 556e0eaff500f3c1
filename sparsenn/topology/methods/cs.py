"""Continuous Sparsification: gates that harden while they and the weights train."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from sparsenn.autograd import Tensor
from sparsenn.optim import SGD
from sparsenn.sparse import SparseParameter, TopologyChange
from sparsenn.topology.gates import SoftGates
from sparsenn.topology.methods.recipe import choose
from sparsenn.topology.updater import Change, sparse_parameters

if TYPE_CHECKING:
    from sparsenn.optim import Optimizer


@final
@dataclass(frozen=True)
class Temperature:
    """Beta of the gates: from 1 to `final`, exponentially, anew in each round.

    Parameters
    ----------
    round_steps : int
        Steps of a round.
    every : int
        Steps between changes, an epoch in the paper.
    rounds : int
    final : float
        Reached by the last change of a round, and kept after the last round.
    """

    round_steps: int
    every: int
    rounds: int
    final: float

    def __post_init__(self) -> None:
        """Checks the arguments."""
        if self.every < 1 or self.rounds < 1:
            raise ValueError(
                f"every and rounds must be at least 1, got {self.every}, {self.rounds}"
            )
        if self.round_steps <= self.every:
            raise ValueError(
                f"a round of {self.round_steps} steps must be longer than the "
                f"{self.every} between changes of the temperature"
            )
        if not 1 <= self.final < np.inf:
            raise ValueError(f"final_beta must be at least 1, got {self.final}")

    @property
    def end(self) -> int:
        """Steps of all rounds."""
        return self.rounds * self.round_steps

    def __call__(self, step: int) -> float:
        """Beta in a step, from 0."""
        if step >= self.end:
            return self.final
        changes = -(-self.round_steps // self.every) - 1
        return self.final ** (step % self.round_steps // self.every / changes)


@final
class ContinuousSparsification:
    """Learns which connections to keep by gates that turn from soft to hard.

    A connection weighs ``w * sigmoid(beta s) / sigmoid(s0)``; s has an optimiser of its
    own and a penalty on the open gates, beta rises, and what has s > 0 at the end
    stays. It starts from all connections that the weights have: full ones as in the
    paper, or any superset of what is sought. Connections leave the pattern as soon as
    their gate has underflowed to 0 for good, which changes nothing else. It is used
    like a :class:`~sparsenn.topology.TopologyUpdater`; :meth:`finish` leaves ordinary
    weights.

    Parameters
    ----------
    params, optimizer
        What to train, and the optimiser of weights and biases, whose state follows.
    round_steps : int
        Steps of a round.
    every : int
        Steps between changes of beta, an epoch in the paper.
    rounds : int
        Between rounds beta returns to 1 and gates that closed stay so.
    mode : {"supermask", "ticket"}
        "supermask" keeps the weights that were found with their mask. "ticket", after
        the last round, returns weights and biases to those of `rewind_step`, forgets
        the optimiser's state, and trains what the mask left.
    start : float
        s0: below 0 for fewer connections, above for more.
    penalty : float
        Lambda, of the sum of all gates, ``lambda * sum(m)``.
    final_beta : float
    lr, momentum : float
        Of Nesterov's SGD on s; no decay.
    restart : {"beta", "released"}
        s at the end of a round: ``min(beta s, s0)`` (the paper), or ``min(s, s0)``,
        what the released code does as it has reset beta before. Then gates open again,
        and no connection leaves before the last round.
    rewind_step : int
        Two epochs in the paper.
    exempt : iterable of SparseParameter
        Parameters without gates.

    Attributes
    ----------
    phase : {"search", "ticket", "finished"}
    gates : dict of int to SoftGates
        By number among the sparse parameters.
    schedule : Temperature

    Notes
    -----
    Density is an outcome, see :attr:`density`. The authors count gates that are exactly
    0 in float32; at beta 200 that needs s below -0.44 and says little, so here s > 0
    counts. Until :meth:`finish` a model can be evaluated and checkpointed, not saved or
    frozen. As the gates act from the moment of construction on, this cannot be a later
    phase of a :class:`~sparsenn.topology.Switch`.

    References
    ----------
    Savarese, Silva & Maire, "Winning the lottery with continuous sparsification",
    arXiv:1912.04427.
    """

    def __init__(
        self,
        params: Iterable[Any],
        optimizer: Optimizer | None = None,
        *,
        round_steps: int,
        every: int,
        rounds: int = 3,
        mode: Literal["supermask", "ticket"] = "supermask",
        start: float = 0.0,
        penalty: float = 1e-8,
        final_beta: float = 200.0,
        lr: float = 0.1,
        momentum: float = 0.9,
        restart: Literal["beta", "released"] = "beta",
        rewind_step: int = 0,
        exempt: Iterable[SparseParameter] = (),
    ) -> None:
        choose("mode", mode, {"supermask": 0, "ticket": 0})
        choose("restart", restart, {"beta": 0, "released": 0})
        if not (np.isfinite(start) and 0 <= penalty < np.inf):
            raise ValueError(
                f"start must be finite and penalty not negative, got {start}, {penalty}"
            )
        self.schedule = Temperature(round_steps, every, rounds, final_beta)
        if not 0 <= rewind_step < self.schedule.end:
            raise ValueError(
                f"rewind_step must be one of the {self.schedule.end} steps that the "
                f"rounds take, got {rewind_step}"
            )
        tensors = list(params)
        self.params = sparse_parameters(tensors)
        self._dense = [p for p in tensors if isinstance(p, Tensor)]
        self.optimizer = optimizer
        self.mode = mode
        self.start = start
        self.penalty = penalty
        self.restart = restart
        self.rewind_step = rewind_step
        self.phase: Literal["search", "ticket", "finished"] = "search"
        self.steps = 0
        self.updates = 0
        self.flops = 0  # nothing is searched
        self.last_changes: list[Change] = []
        self._rewind: dict[int, np.ndarray] = {}
        self._rewind_dense: list[np.ndarray] = []
        left_out = {id(p) for p in exempt}
        self.gates: dict[int, SoftGates] = {}
        for i, p in enumerate(self.params):
            if id(p) not in left_out:
                p.check_trainable()
                p.gate = self.gates[i] = SoftGates(
                    np.full(p.nnz, start, p.dtype), start
                )
        if not self.gates:
            raise ValueError("there is no sparse parameter to put gates on")
        self._lr, self._momentum = lr, momentum
        self._scores = self._new_scores()

    def _new_scores(self) -> SGD:
        return SGD(
            [gate.scores for gate in self.gates.values()],
            self._lr,
            momentum=self._momentum,
            nesterov=self._momentum > 0,
        )

    # ------------------------------------------------------------ one step

    def backward(self, loss: Tensor) -> None:
        """``loss.backward()``; the penalty's gradient is added by :meth:`step`."""
        loss.backward()

    def step(self) -> bool:
        """Moves the gates, and hardens them when it is time.

        Call it after the backward pass and before the optimiser's step.

        Returns
        -------
        bool
            True where weights were rewound, which replaces the optimiser's step.
        """
        self._check_gates()
        if self.phase != "search":
            self.steps += 1
            return False
        if self.mode == "ticket" and self.steps == self.rewind_step:
            self._rewind = {i: self.params[i].values.data.copy() for i in self.gates}
            self._rewind_dense = [p.data.copy() for p in self._dense]
        self._move()
        self.steps += 1
        over = self.steps >= self.schedule.end
        if self.steps == self.schedule.end and self.mode == "ticket":
            self._begin_ticket()
            return True
        if self.steps % self.schedule.round_steps == 0 and not over:
            self._end_round()
        elif self.steps % self.schedule.every == 0:
            self._leave()
        for gate in self.gates.values():
            gate.beta = self.schedule(self.steps)
        return False

    def _move(self) -> None:
        """One step of the scores."""
        for gate in self.gates.values():
            scores = gate.scores
            if self.penalty:
                pull = gate.slope() * scores.dtype.type(self.penalty)
                scores.grad = pull if scores.grad is None else scores.grad.data + pull
        self._scores.step()
        self._scores.zero_grad()

    def _end_round(self) -> None:
        """Gates that closed stay so, open ones begin again; beta returns to 1."""
        self._leave()
        for gate in self.gates.values():
            scores = gate.scores
            factor = gate.beta if self.restart == "beta" else 1.0
            scores.assign_(np.minimum(factor * scores.data, self.start))

    def _leave(self) -> None:
        """Takes connections out whose gate is closed for good."""
        last = self.steps > self.schedule.end - self.schedule.round_steps
        if self.restart == "released" and not last:
            return
        keeps = {}
        for i, gate in self.gates.items():
            state = self._scores.state(gate.scores)
            momentum = state.get("momentum", np.zeros_like(gate.scores.data))
            keeps[i] = ~gate.closed(momentum, self._scores.lr, self._scores.momentum)
        self._keep(keeps)

    def _keep(self, keeps: dict[int, np.ndarray]) -> None:
        if all(keep.all() for keep in keeps.values()):
            return
        self.last_changes = []
        for i, keep in keeps.items():
            param, gate = self.params[i], self.gates[i]
            if keep.all():
                continue
            change: TopologyChange = param.pattern.with_changes(keep)
            param.replace(change)  # which takes the gate along
            self._scores.remap(gate.scores, change)
            if self.optimizer is not None:
                self.optimizer.remap(param, change)
            if i in self._rewind:
                self._rewind[i] = change.remap(self._rewind[i])
            self.last_changes.append(Change(param.name, change.n_dropped, 0))
        self.updates += 1

    # ------------------------------------------------------------ the end

    def _begin_ticket(self) -> None:
        self._keep({i: gate.scores.data > 0 for i, gate in self.gates.items()})
        for i, gate in self.gates.items():
            gate.hard = True
            param = self.params[i]
            param.values.assign_(self._rewind[i])
        for tensor, array in zip(self._dense, self._rewind_dense, strict=True):
            tensor.assign_(array)
        if self.optimizer is not None:
            self.optimizer.steps = 0
            for p in self.optimizer.params:
                for array in self.optimizer.state(p).values():
                    array[...] = 0
        self._rewind, self._rewind_dense = {}, []
        self.phase = "ticket"

    def finish(self) -> None:
        """Leaves ordinary weights: the mask is made hard, its scale folded in.

        The function computed does not change but for gates that are still soft. Calling
        it again does nothing.
        """
        if self.phase == "finished":
            return
        self._check_gates()
        if self.phase == "search":
            self._keep({i: gate.scores.data > 0 for i, gate in self.gates.items()})
        for i, gate in self.gates.items():
            param = self.params[i]
            gate.hard = True
            effective = gate(param.values.detach()).data
            param.gate = None
            param.values.assign_(effective)
        self.phase = "finished"

    @property
    def density(self) -> float:
        """Density of the whole network if the mask were made hard now."""
        positions = sum(p.shape[0] * p.shape[1] for p in self.params)
        kept = sum(p.nnz for p in self.params)
        if self.phase == "search":
            for gate in self.gates.values():
                kept -= int(np.count_nonzero(gate.scores.data <= 0))
        return kept / positions if positions else 0.0

    def _check_gates(self) -> None:
        for i, gate in self.gates.items():
            if self.params[i].gate is not gate and self.phase != "finished":
                raise RuntimeError(
                    f"the gates of weight {self.params[i].name!r} are gone: its "
                    "pattern was set by somebody else; make a new "
                    "ContinuousSparsification"
                )

    # ------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """What resuming needs; arrays of connections in storage order."""
        found: dict[str, Any] = {
            "steps": self.steps,
            "updates": self.updates,
            "phase": self.phase,
            "scores": {},
            "momentum": {},
            "rewind": {},
            "rewind_dense": list(self._rewind_dense),
        }
        if self.phase == "finished":
            return found
        for i, gate in self.gates.items():
            name = self.params[i].name
            found["scores"][name] = gate.scores.data
            found["momentum"][name] = self._scores.state(gate.scores).get("momentum")
            if i in self._rewind:
                found["rewind"][name] = self._rewind[i]
        return found

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave, on the patterns of that moment."""
        self.steps = int(state["steps"])
        self.updates = int(state["updates"])
        self.phase = choose("phase", state["phase"], _PHASES)
        self._rewind_dense = [np.array(a) for a in state["rewind_dense"]]
        self._rewind = {}
        for i in self.gates:
            param = self.params[i]
            param.gate = None
            if self.phase == "finished":
                continue
            scores = np.array(state["scores"][param.name], param.dtype)
            if scores.shape != (param.nnz,):
                raise ValueError(
                    f"the scores of {param.name!r} have shape {scores.shape}, its "
                    f"pattern has nnz={param.nnz}"
                )
            param.gate = self.gates[i] = SoftGates(scores, self.start)
            self.gates[i].beta = self.schedule(self.steps)
            self.gates[i].hard = self.phase == "ticket"
            if param.name in state["rewind"]:
                self._rewind[i] = np.array(state["rewind"][param.name], param.dtype)
        self._scores = self._new_scores()
        for i, gate in self.gates.items():
            momentum = state["momentum"].get(self.params[i].name)
            if momentum is not None:
                self._scores.state(gate.scores)["momentum"][:] = momentum

    def __repr__(self) -> str:
        """Its temperature, and how far it is."""
        return (
            f"ContinuousSparsification({len(self.gates)} gated parameters, "
            f"mode={self.mode!r}, {self.schedule}, phase={self.phase!r}, "
            f"steps={self.steps}, density={self.density:.4g})"
        )


_PHASES = {name: name for name in ("search", "ticket", "finished")}
