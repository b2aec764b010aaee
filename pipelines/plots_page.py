"""Write the page that `dvc plots show` fills, so that it works without a network: `make plots` calls it."""

import checkout  # noqa: F401

from backbench.report.vega import plots_page_template
from backbench.runtime import paths
from backbench.runtime.atomic_files import write_text


def main() -> None:
    write_text(paths.PLOTS_TEMPLATE, plots_page_template())
    print(f"a page without plots is in {paths.PLOTS_TEMPLATE}; next: dvc plots show, as `make plots` calls it")


if __name__ == "__main__":
    main()
