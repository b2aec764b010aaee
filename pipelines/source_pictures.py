"""Draw the pictures of docs/formula-weights.md: `python pipelines/source_pictures.py` (minutes, on a busy machine).

One sheet per part of the source task, a class per column and a draw per row; one sheet of the mixture as it is
trained on; and the curves of the shipped runs.
"""

from pathlib import Path

import checkout  # noqa: F401

from backbench.pretraining.formula import mixture
from backbench.pretraining.source_pictures import class_sheet, curves_picture, mixture_sheet
from backbench.runtime.atomic_files import write_text

PICTURES = Path("docs/pictures")
CURVES = Path("assets/weights/formula/curves")


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for part in mixture.PARTS:
        class_sheet(part).save(PICTURES / f"source-{part.name}.png", optimize=True)
    mixture_sheet().save(PICTURES / "source-mixture.png", optimize=True)
    curves = {file.stem: file.read_text(encoding="utf-8") for file in sorted(CURVES.glob("*.csv"))}
    write_text(PICTURES / "source-curves.svg", curves_picture(curves))
    print(f"pictures in {PICTURES}; docs/formula-weights.md shows them")


if __name__ == "__main__":
    main()
