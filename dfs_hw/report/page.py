"""The page itself: a template filled from `Facts`, its figures and images inside."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from accel_models.costs.energy_split import energy_split
from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.files import whole_file, writable_folder
from accel_models.replay import spread
from accel_models.si import si
from dfs_hw.report.facts import Facts, gather
from dfs_hw.report.plots import FIGURES

SHOWN_INPUTS = 8


def write_report(run_dir: Path | str) -> Path:
    """Write ``report.html`` and ``plots/*.png`` into a run's folder.

    Returns:
        The path of the page, which needs no other file and no network.

    Raises:
        InputError: if the folder does not hold a finished run.
    """
    return write_page(gather(run_dir), Path(run_dir))


def write_page(facts: Facts, run_dir: Path) -> Path:
    """Write ``report.html`` and ``plots/*.png`` of facts into a folder; returns the page's path."""
    plots = _draw(facts, run_dir / "plots")
    environment = Environment(
        loader=PackageLoader("dfs_hw.report", "."), undefined=StrictUndefined, autoescape=True
    )
    environment.filters |= {"si": si, "percent": percent, "signed": signed}
    pricing = Pricing(facts.table.accelerator)
    cheap, dear = facts.extremes(SHOWN_INPUTS)
    page = environment.get_template("report.html.jinja").render(
        facts=facts,
        spread=spread,
        run=facts.run,
        machine=facts.table.accelerator,
        area=pricing.area_mm2,
        leakage_w=sum(pricing.leakage_w.values()),
        plots=plots,
        cheapest=[_shown(facts, row) for row in cheap],
        dearest=[_shown(facts, row) for row in dear],
        components=COMPONENTS,
        split=energy_split(facts.replay.energy_pj.mean(axis=0)),
        component_j=facts.replay.energy_pj.mean(axis=0) * 1e-12,
        layer_rows=_layer_rows(facts),
    )
    target = run_dir / "report.html"
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8")
    return target


def percent(share: float, digits: int = 1) -> str:
    """Share as a percentage."""
    return f"{share:.{digits}%}"


def signed(share: float) -> str:
    """Share as a percentage with its sign."""
    return f"{share:+.1%}".replace("-", "−")


def _draw(facts: Facts, folder: Path) -> dict[str, str]:
    """Save every figure as PNG; return those there are as data URIs by name."""
    writable_folder(folder)
    drawn = {}
    for name, draw in FIGURES.items():
        figure = draw(facts)
        if figure is None:
            continue
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        (folder / f"{name}.png").write_bytes(buffer.getvalue())
        drawn[name] = _data_uri(buffer.getvalue())
    return drawn


def _shown(facts: Facts, row: int) -> dict[str, object]:
    trace, severity = facts.replay.trace, facts.images.severity
    chosen = [str(facts.table.choices[index]) for index in trace.choices[row]]
    return {
        "image": _picture(facts.images.pixels[row].numpy()),
        "energy": facts.replay.energy_j[row],
        "label": facts.run.classes[int(trace.labels[row])],
        "prediction": facts.run.classes[int(trace.predictions[row])],
        "right": bool(trace.labels[row] == trace.predictions[row]),
        "severity": None if severity is None else float(severity[row]),
        "choices": " ".join("–" if choice == "skip" else choice for choice in chosen),
    }


def _picture(pixels: np.ndarray) -> str:
    """PNG data URI of an image, uint8 [C, H, W]."""
    image = np.moveaxis(pixels, 0, -1)
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, format="png")
    return _data_uri(buffer.getvalue())


def _layer_rows(facts: Facts) -> list[dict[str, object]]:
    energy = facts.replay.layer_energy_pj * 1e-12
    layers = facts.table.workload.layers
    return [
        {
            "name": layer.name,
            "macs": layer.macs,
            "energy": float(energy[row].sum()),
            "share": float(energy[row].sum() / energy.sum()),
            "latency": float(facts.replay.layer_latency_s[row]),
        }
        for row, layer in enumerate(layers)
    ]


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
