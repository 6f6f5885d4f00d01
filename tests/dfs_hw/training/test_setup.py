"""What a training needs is worked out once, the same way from wherever it is asked for."""

import ast
import inspect
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from trainings import DFS_STAGES, QUICK, setup_of

from dfs_hw.baselines.setups import ContenderSetups
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training import loop, stages
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.before_joint import train_backbone
from dfs_hw.training.stages.plan import StagePlan, carry_out

pytestmark = pytest.mark.usefixtures("one_thread")

DERIVED = ("lengths", "batch", "rates", "sgd", "gates", "distill", "norm_by_batch", "faults")


def test_static_baselines_have_the_rate_of_what_they_stand_in_for() -> None:
    assert setup_of(QUICK).rates.static == QUICK.supernet_lr
    assert setup_of(DFS_STAGES).rates.static == DFS_STAGES.joint_lr


def test_a_batch_is_no_larger_than_the_data() -> None:
    this = setup_of(replace(QUICK, batch=10**6))
    assert this.batch == len(this.splits.train) == this.stream("joint").batch_size
    assert setup_of(QUICK).batch == QUICK.batch


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{}, {"budget": "0.8"}, {"choices": "skip,8"}, {"knob": True}, {"seed": 2}]
)
def test_contenders_that_share_data_have_the_setups_they_would_have_alone(
    change: dict[str, Any],
) -> None:
    shared = ContenderSetups()
    shared.of(QUICK)
    config = replace(QUICK, **change)
    for _ in range(2):  # built, then found
        this, alone = shared.of(config), setup_of(config)
        assert (this.fingerprint, this.prices) == (alone.fingerprint, alone.prices)
        assert (this.budget, this.settings) == (alone.budget, alone.settings)
        assert [getattr(this, name) for name in DERIVED] == [
            getattr(alone, name) for name in DERIVED
        ]


def test_a_plan_begins_only_where_there_is_no_result(tmp_path: Path) -> None:
    this, begun = setup_of(QUICK), []
    left = train_backbone(this, tmp_path)

    def begin() -> DynamicNetwork:
        begun.append(True)
        return left.network

    plan = StagePlan("backbone", "backbone", "backbone.safetensors", begin)
    assert carry_out(this, plan, tmp_path).history == left.history
    assert begun == []
    elsewhere = carry_out(this, plan, tmp_path / "elsewhere")
    assert begun == [True]
    assert (elsewhere.chosen, elsewhere.outcome) == (None, left.outcome)


@pytest.mark.parametrize("kind", [TrainConfig, TrainingSetup])
def test_every_field_is_explained(kind: type) -> None:
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    explained = {
        ast.unparse(above.target)
        for above, below in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(above, ast.AnnAssign) and isinstance(below, ast.Expr)
    }
    assert {field.name for field in fields(kind)} == explained


def test_stages_and_their_loop_see_no_settings() -> None:
    for package in (stages, loop):
        for path in Path(package.__path__[0]).glob("*.py"):
            assert "training.config" not in path.read_text(), path
