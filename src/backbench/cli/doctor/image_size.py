"""Which backbones of the benchmark would see enlarged images, before anything is computed."""

from backbench.cli.doctor.finding import Finding, ready, warning
from backbench.cli.doctor.images import Images
from backbench.cli.doctor.plan import Plan
from backbench.data.sizes import enlarged


def image_size_finding(plan: Plan, images: Images) -> Finding:
    """Say at which side images are stored, and whom that, or the photographs themselves, gives too few pixels."""
    dataset = plan.one.dataset
    found = f"stored at {images.stored_pixels} px by {dataset.resize}"
    if images.digest is None:
        found += f", as far as the headers of {len(images.sides):,} photographs tell"
    seen = {each.name: enlarged(images.sides, images.stored_pixels, each.input_size_pixels) for each in plan.backbones}
    grown = [f"{name}: {each}" for name, each in seen.items() if each.num_enlarged]
    if not grown:
        return ready("image size", f"{found}; no backbone sees an enlarged image")
    advice = "the photographs have no more pixels: mind it when these rows are compared with others"
    if any(images.sides > images.stored_pixels):
        advice = f"set image_size_pixels: null in conf/dataset/{dataset.name}.yaml: the photographs have more pixels"
    return warning("image size", f"{found}; {'; '.join(grown)}", advice)
