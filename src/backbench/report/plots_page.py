"""The page that `dvc plots show` fills, with its JavaScript inside: DVC's own loads it from the network."""

from backbench.report.vega import vega_bundle

# DVC puts its plots in place of {plot_divs}; {scripts}, its addresses in the network, is left out.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>backbench: plots</title>
{refresh_tag}
<style>
body { font-family: system-ui, sans-serif; margin: 2rem; }
body > div { margin-bottom: 2.5rem; }
</style>
<script>
%s
</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def page_template() -> str:
    """Return the page with Vega, Vega-Lite and vega-embed in it, 0.9 MB, for `dvc plots show --html-template`."""
    return PAGE % vega_bundle()
