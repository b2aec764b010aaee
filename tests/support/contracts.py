"""One class per protocol: what everything that claims it must do."""

import numpy as np

from backbench.features.activations import ActivationSource


class ActivationSourceContract:
    """A subclass has a fixture `source`."""

    def test_labels_are_one_per_example(self, source: ActivationSource) -> None:
        assert source.labels.ndim == 1
        assert source.labels.dtype == np.int32

    def test_what_is_taken_is_single_precision_of_one_shape(self, source: ActivationSource) -> None:
        one = source.take(np.array([0]), np.array([0]))
        two = source.take(np.array([0, source.num_views - 1]), np.array([len(source.labels) - 1, 0]))
        assert one.dtype == two.dtype == np.float32
        assert two.shape == (2, *one.shape[1:])

    def test_batches_and_their_order_change_nothing(self, source: ActivationSource) -> None:
        views, examples = np.divmod(np.arange(2 * len(source.labels)), len(source.labels))
        whole = source.take(views, examples)
        order = np.random.default_rng(0).permutation(len(views))
        shuffled = source.take(views[order], examples[order])
        one_by_one = [source.take(views[[at]], examples[[at]])[0] for at in order]
        # A network's sums depend on the size of the batch in their last bit.
        np.testing.assert_allclose(shuffled, whole[order], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one_by_one, whole[order], rtol=1e-5, atol=1e-6)

    def test_sources_are_compared_by_identity(self, source: ActivationSource) -> None:
        cache = {source: "features"}
        assert cache[source] == "features"
