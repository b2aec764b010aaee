"""What a leaderboard is made of."""

from backbench.comparison.leaderboard import cells_of
from backbench.comparison.tables import LEADERBOARD
from tests.support.finished_benchmark import BACKBONES, STRATEGIES, cells


def test_cells_come_from_the_configuration_in_its_order() -> None:
    assert cells_of(BACKBONES, STRATEGIES) == cells()


def test_columns_are_those_of_the_contract() -> None:
    assert ",".join(LEADERBOARD) == (
        "rank,test_rank,backbone,strategy,weights,val_loss_mean,val_accuracy_mean,differs_from_chosen,"
        "test_accuracy_mean,test_accuracy_sd,test_accuracy_low,test_accuracy_high,test_balanced_accuracy_mean,"
        "test_macro_f1_mean,test_top_5_accuracy_mean,test_macro_auroc_mean,test_log_loss_mean,"
        "test_ece_mean,test_ece_after_temperature_scaling_mean,worst_class,worst_class_recall,"
        "worst_class_num_images,learning_rate,weight_decay,learning_rate_at_edge,num_trials,num_pruned,num_epochs,"
        "num_seeds,num_parameters,num_trainable_parameters,num_macs,model_bytes,enlarged_share"
    )
