"""A cell's search and training as Vega-Lite: two specifications for all cells, and each cell's compact data."""

from backbench.records import PRUNED, CellRecord
from backbench.report.vega import ACCENT, CONFIG, SECOND, Spec, digits

SWEEP_FIELDS = ("trial", "learning rate", "weight decay", "val accuracy", "val loss", "epochs", "state")


def sweep_spec() -> Spec:
    """Specify a cell's trials: validation accuracy by learning rate; the chosen one is ringed. Data is put in later."""
    rate = {
        "field": "learning rate",
        "type": "quantitative",
        "scale": {"type": "log", "padding": 12},
        "axis": {"format": "~e", "tickCount": 3, "title": "learning rate"},
    }
    y = {
        "field": "val accuracy",
        "type": "quantitative",
        "scale": {"zero": False, "padding": 12},
        "axis": {"tickCount": 4, "title": "val accuracy"},
    }
    states = {
        "field": "state",
        "scale": {"domain": ["COMPLETE", PRUNED], "range": ["circle", "triangle-down"]},
        "legend": None,
    }
    tooltip = [{"field": name, "type": "nominal"} for name in SWEEP_FIELDS]
    return {
        "config": CONFIG,
        "width": "container",
        "height": 150,
        "encoding": {"x": rate, "y": y},
        "layer": [
            {
                "mark": {"type": "point", "filled": True, "size": 50, "color": ACCENT, "opacity": 0.85},
                "encoding": {"shape": states, "tooltip": tooltip},
            },
            {
                "transform": [{"filter": "datum.chosen"}],
                "mark": {"type": "point", "size": 190, "color": SECOND, "strokeWidth": 2},
            },
        ],
    }


# Between whole epochs stands nothing.
EPOCHS = {"tickMinStep": 1, "format": "d", "labelExpr": "datum.value % 1 ? '' : datum.label"}


def curves_spec() -> Spec:
    """Specify a cell's final models: loss by epoch, a line per seed and split. Data is put in later."""
    split = {"field": "split", "legend": None}
    sides = ["validation", "training"]
    tooltip = [{"field": name, "type": "nominal"} for name in ("seed", "split", "epoch", "loss")]
    return {
        "config": CONFIG,
        "width": "container",
        "height": 150,
        "mark": {"type": "line", "strokeWidth": 1.4, "point": {"size": 14}},
        "encoding": {
            "x": {"field": "epoch", "type": "quantitative", "axis": EPOCHS},
            "y": {"field": "loss", "type": "quantitative", "axis": {"tickCount": 4, "title": "loss, nats"}},
            "color": {**split, "scale": {"domain": sides, "range": [ACCENT, SECOND]}},
            "strokeDash": {**split, "scale": {"domain": sides, "range": [[1, 0], [4, 3]]}},
            "detail": {"field": "seed"},
            "tooltip": tooltip,
        },
    }


def cell_data(record: CellRecord) -> Spec:
    """Spell a cell's trials and curves compactly: rows in the order of `SWEEP_FIELDS`, losses by epoch per seed."""
    return {
        "chosen": record.best.choice.trial,
        "trials": [
            [
                trial.index,
                digits(trial.learning_rate),
                digits(trial.weight_decay),
                digits(trial.val_accuracy),
                digits(trial.val_loss),
                trial.epochs,
                trial.state,
            ]
            for trial in record.trials
        ],
        "seeds": [
            {
                "seed": seed.seed,
                "first": seed.history[0].epoch if seed.history else 0,
                "training": [digits(epoch.train_loss) for epoch in seed.history],
                "validation": [digits(epoch.val_loss) for epoch in seed.history],
            }
            for seed in record.seeds
        ],
    }
