"""Wrong implementations that were written without sight of what `diagnose` knows.

They are data, and what is found of each stands here, so that nothing is lost unnoticed. On the
first 90 the search was developed. The second 60 it saw when it was done: at first sight it named
or located 57 of them, one more by the name of another mistake that comes to the same numbers, and
two not at all. The nightly profile alone searches for the 12 that take long, and for what is not
named, of which a default run sees where it is. Some cases are not traced: see `TRACED`.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.test_diagnose import NIGHTLY, without_search
from unrolled import diagnose

# What is named, and by which explanations.
NAMED: dict[str, tuple[str, ...]] = {
    "rnn_missing_b_hh": ("bias_hh missing",),
    "rnn_bias_after_tanh": ("added behind the activation: bias_hh after",),
    "rnn_relu_for_tanh": ("relu in place of tanh",),
    "rnn_whh_not_transposed": ("weight_hh not transposed",),
    "rnn_hx_ignored": ("hx not used",),
    "rnn_state_never_updated": ("one state for all time steps",),
    "rnn_output_preactivation": ("output: the sums",),
    "rnn_same_buffer_stored": ("output: always h at time step 6",),
    "rnn_batch_first_view_output": ("output reshaped, not transposed",),
    "rnn_tanh_twice_on_output": ("output: tanh",),
    "rnn_leaky_integrator": ("new h is 0.3 of the formula, the rest the old h",),
    "rnn_cell_layernorm_preact": ("tanh of the layer norm as the activation",),
    "rnn_output_shifted": ("state stored before the step",),
    "rnn_time_backwards": ("sequence read backwards",),
    "rnn_whh_scaled": ("weight_hh times 1/sqrt(H)",),
    "rnn2_layer0_whh_everywhere": ("weight_hh of the first layer",),
    "rnn3_state_carried_to_next_layer": ("initial state: final below",),
    "rnn3_hn_layers_reversed": ("h_n in reversed order",),
    "rnn_bi_backward_not_flipped_back": ("reverse direction not flipped back",),
    "rnn_bi_hn_from_output_end": ("h_n of the last time step",),
    "rnn2_bi_concat_swapped": ("reverse half first",),
    "rnn3_bias_first_layer_only": ("both biases missing, in layers 1 and 2 only",),
    "rnn2_one_shared_h_variable": ("one variable h for all layers",),
    "gru_r_z_swapped": ("gates read as z r n",),
    "gru_reset_before_matmul": ("reset before the product",),
    "gru_bhn_outside_reset": ("biases merged",),
    "grucell_update_inverted": ("z and 1 - z exchanged",),
    "grucell_no_reset": ("reset gate not used",),
    "gru_keras_hard_sigmoid": ("hard sigmoid of Keras 2",),
    "gru_candidate_sigmoid": ("sigmoid on the candidate",),
    "gru_reset_on_everything": ("reset gate: both parts",),
    "gru_reset_on_input_part": ("reset gate: input",),
    "gru_interleaved_gate_view": ("gates cut interleaved",),
    "gru_minimal_gated_unit": ("reset gate: z",),
    "gru_h_reset_in_place": ("reset gate: in place",),
    "gru_update_not_complemented": ("h is n + z * h",),
    "gru_recurrent_rows_z_first": ("weight_hh and bias_hh: gates read as z r n",),
    "gru_single_bias": ("bias_hh missing",),
    "grucell_gates_input_only": ("projected state times 0, in gate z only",),
    "grucell_extra_tanh": ("new h: tanh",),
    "gru_softmax_gates": ("softmax over the gates on the gates",),
    "gru_wikipedia_form": ("reset before the product + z and 1 - z exchanged",),
    "gru_window_reset": ("state set to zeros every 3 steps",),
    "gru2_returns_first_layer": ("output: other states",),
    "gru_bi_backward_continues": ("initial state: final forward",),
    "gru2_bi_hx_wrong_index": ("hx read by direction",),
    "gru2_bi_hn_direction_major": ("h_n ordered by direction",),
    "gru3_last_layer_reset_before": ("reset before the product, in layer 2 only",),
    "lstm_order_ifog": ("gates read as i f o g",),
    "lstm_tf_order_ijfo": ("gates read as i g f o",),
    "lstm_forget_bias_one": ("1 added to the forget gate",),
    "lstm_no_tanh_on_cell": ("no tanh on the cell state",),
    "lstmcell_tanh_of_product": ("h is tanh(o * c)",),
    "lstmcell_stale_cell": ("old cell state in the output",),
    "lstmcell_returns_c_h": ("h_n and c_n exchanged",),
    "lstm_initial_state_swapped": ("h_0 and c_0 exchanged",),
    "lstm_output_is_cell": ("output: c",),
    "lstm_coupled_input_forget": ("gate f is 1 - i",),
    "lstm_concat_h_x_order": ("joined product: h, x",),
    "lstm_gates_viewed_4_B_H": ("gates cut by batch",),
    "lstmcell_no_forget_gate": ("gate f is 1",),
    "lstm_g_bias_missing": ("bias_hh missing, in gate g only",),
    "lstm_cell_clip": ("new c: clip at 0.5",),
    "lstm_layernorm_cell_output": ("tanh of the layer norm on the cell state",),
    "lstm_zoneout_expectation": ("new h mixed with the old: 0.9",),
    "lstm_softsign": ("softsign in place of tanh on candidate and cell state",),
    "lstm_output_gate_reads_cell": ("new c multiplied by weight_hh",),
    "lstm_cn_is_initial": ("c_n: initial states",),
    "lstm_double_bih_and_c0_zero": ("bias_ih in place of bias_hh + initial state: c zeros",),
    "lstm_reshaped_input_and_i_f_roles": (
        "gates read as f i g o + input reshaped, not transposed",
    ),
    "lstm2_shared_cell": ("one variable c for all layers",),
    "lstm3_states_of_last_layer_repeated": ("h_n and c_n: other states",),
    "lstm2_delayed_between_layers": ("input of the layer: states before, below",),
    "lstm2_hn_view_and_bias": ("bias_hh missing, in layer 0 only + h_n: other states",),
    "lstm_proj_tanh_and_layer1_forget": (
        "new h: tanh + 1 - sigmoid on the gates, in gate f only of layer 1",
    ),
    "lstm2_proj_layer0_matrix_reused": ("weight_hr of the first layer",),
    "lstm_proj_view_not_transpose": ("projection reshaped",),
    "lstm_proj_before_output_gate": ("projection before the output gate",),
    "lstm_bi_flips_batch": ("reverse: flipped in the batch",),
    "lstm_bi_forward_weights_twice": ("reverse direction with the forward parameters",),
    "lstm2_bi_layer1_gets_forward_twice": ("input of the layer: forward half twice",),
    "lstm_bi_backward_no_tanh_cn_swapped": (
        "no tanh on the cell state, in the reverse direction only + c_n: other states",
    ),
    "lstm2_relu_between_and_hx0_reused": (
        "output: relu, in layer 0 only + first state for all layers and directions",
    ),
    "second rnn_relu_for_tanh": ("relu in place of tanh",),
    "second rnn_no_bias_hh": ("bias_hh missing",),
    "second rnn_whh_not_transposed": ("weight_hh not transposed",),
    "second rnn_ignores_hx": ("hx not used",),
    "second rnn_reshape_for_transpose": ("input reshaped, not transposed",),
    "second rnn_output_before_update": ("state stored before the step",),
    "second rnn_first_step_skipped": ("steps: not the first + output: h at time step 1",),
    "second rnn_aliased_outputs": ("output: always h at time step 6",),
    "second rnncell_bias_after_tanh": ("added behind the activation: bias_hh after",),
    "second rnncell_leaky": ("new h is 0.2 of the formula, the rest the old h",),
    "second rnn_whh_not_transposed_and_no_bias_ih": ("weight_hh not transposed + bias_ih missing",),
    "second rnn2_all_layers_start_from_hx0": ("first state for all layers and directions",),
    "second rnn3_relu_ref_default_tanh_cells": ("tanh in place of relu",),
    "second birnn_reverse_not_flipped_back": ("reverse direction not flipped back",),
    "second rnn2_layer_input_stale": ("input of the layer: states before, below",),
    "second bigru_hn_reverse_from_last_step": ("h_n of the last time step",),
    "second bigru_flip_batch_dim": ("reverse: flipped in the batch",),
    "second bigru2_hx_index_and_update_swapped": ("z and 1 - z exchanged + hx read by direction",),
    "second lstm_tf_gate_order": ("gates read as i g f o",),
    "second lstmcell_forget_bias_one": ("1 added to the forget gate",),
    "second lstm_no_tanh_on_cell": ("no tanh on the cell state",),
    "second lstm_sigmoid_on_all_gates": ("sigmoid on the candidate",),
    "second lstm_cell_state_squashed": ("tanh kept in the cell state",),
    "second lstm_coupled_input_forget": ("gate i is 1 - f",),
    "second lstm_hidden_from_old_cell": ("old cell state in the output",),
    "second lstmcell_state_unpacked_as_c_h": ("h_0 and c_0 exchanged",),
    "second lstm_returns_c_h": ("h_n and c_n exchanged",),
    "second lstm_c0_at_every_step": ("c not carried",),
    "second lstm_c0_ignored": ("initial state: c zeros",),
    "second birnn_cat_order_and_forward_biases": (
        "the biases of the forward + output: other states",
    ),
    "second gru_update_gate_swapped": ("z and 1 - z exchanged",),
    "second grucell_reset_before_matmul": ("reset before the product",),
    "second gru_keras_gate_order": ("gates read as z r n",),
    "second gru_bhn_outside_reset": ("biases merged",),
    "second gru_bin_inside_reset": ("biases merged inside the reset",),
    "second gru_state_overwritten_by_reset": ("h is (1 - z) * n + z * r * h",),
    "second gru_gates_interleaved_view": ("gates cut interleaved",),
    "second grucell_sigmoid_new_gate": ("sigmoid on the candidate",),
    "second grucell_lerp_sign": ("h is n + z * (n - h)",),
    "second gru_port_biases_not_permuted": ("the biases: gates read as z r n",),
    "second gru_recurrent_einsum_untransposed": ("weight_hh not transposed",),
    "second gru_cho_update_swapped_and_reset_before": (
        "reset before the product + z and 1 - z exchanged",
    ),
    "second bigru_shared_weights": ("reverse direction with the forward parameters",),
    "second gru2_layer2_starts_from_layer1_final": ("initial state: final below",),
    "second lstm_hard_sigmoid": ("hard sigmoid of Keras 2",),
    "second lstm_bias_ih_twice": ("bias_ih in place of bias_hh",),
    "second lstm_f_i_gate_order": ("gates read as f i g o",),
    "second lstm_relu_cell_gate_and_unit_forget_bias": (
        "relu on the candidate + 1 added to the forget gate",
    ),
    "second lstm_onnx_order_and_no_bias_hh": ("gates read as i o f g + bias_hh missing",),
    "second lstmcell_tf_order_and_forget_bias": (
        "gates read as i g f o + 1 added to the forget gate",
    ),
    "second bilstm_output_interleaved": ("directions interleaved",),
    "second bilstm_reverse_starts_from_forward_state": (
        "first state for all layers and directions",
    ),
    "second bilstm2_final_states_order": ("h_n ordered by direction",),
    "second lstmp_tanh_after_projection": ("new h: tanh",),
    "second lstmp2_layer1_uses_layer0_projection": ("weight_hr of the first layer",),
    "second bilstm2_inner_reverse_not_flipped": (
        "reverse direction not flipped back, in layer 0 only",
    ),
    "second lstm2_layer1_c_from_h0": ("initial state: h for both, in layer 1 only",),
    "second bilstmp_no_cell_tanh_and_shared_projection": (
        "no tanh on the cell state + weight_hr of the forward",
    ),
}

# What is not named: a part of the clue that says where it is.
LOCATED: dict[str, str] = {
    "rnn3_skip_plus_last_linear": "The first that is wrong, from below, is layer 2.",
    "rnn2_dropout_mask_between_layers": "The first that is wrong, from below, is layer 1.",
    "lstm_peephole": "In the first step, h is not o * tanh(c) with an",
    "lstm_sigmoid_first_three_blocks": "In the first step: o is off by up to 1.1, f is r",
    "lstm_linear_g_no_output_gate": "In the first step: o is off by up to 0.82, f is",
    "lstm_proj_feedback_unprojected": "Of the 6 time steps these are wrong: 2, 3, 4, 5,",
    "lstm3_layernorm_and_forget_bias": "The first that is wrong, from below, is layer 0.",
    "second gru3_layer3_reuses_layer2_weights": "The first that is wrong, from below, is layer 2.",
}

# What is no function of its arguments.
REFUSED = {"second lstm2_dropout_active_in_eval": "is dropout on"}


SLOW = {
    "gru3_last_layer_reset_before",
    "gru_wikipedia_form",
    "lstm2_hn_view_and_bias",
    "lstm2_relu_between_and_hx0_reused",
    "lstm_bi_backward_no_tanh_cn_swapped",
    "lstm_double_bih_and_c0_zero",
    "lstm_proj_tanh_and_layer1_forget",
    "lstm_reshaped_input_and_i_f_roles",
    "second bigru2_hx_index_and_update_swapped",
    "second bilstm2_inner_reverse_not_flipped",
    "second bilstmp_no_cell_tanh_and_shared_projection",
    "second lstm2_layer1_c_from_h0",
}
"""What takes a long search, and runs in the nightly profile alone."""
TRACED = {
    "gru_single_bias",
    "lstm_cn_is_initial",
    "lstm_proj_feedback_unprojected",
    "lstmcell_returns_c_h",
    "rnn_cell_layernorm_preact",
    "second lstm_hard_sigmoid",
    "second rnn_aliased_outputs",
    "second rnn_first_step_skipped",
}
"""What runs lines that nothing else does; to trace the others would take as long again."""


def _cases() -> dict[str, Callable[[], Any]]:
    cases: dict[str, Callable[[], Any]] = {}
    for path in sorted((Path(__file__).parent / "wrong_implementations").glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        series = "second " * path.stem.startswith("second")
        cases |= {series + case["name"]: case["build"] for case in module.CASES}
    return cases


CASES = _cases()


def test_all_are_told() -> None:
    assert NAMED.keys() | LOCATED.keys() | REFUSED.keys() == CASES.keys()
    assert len(NAMED) + len(LOCATED) + len(REFUSED) == len(CASES) == 150
    assert len(NAMED) >= 0.9 * len(CASES)
    assert NAMED.keys() >= SLOW
    assert CASES.keys() >= TRACED


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in TRACED else [pytest.mark.no_cover])
        for name in (*NAMED, *LOCATED)
        if NIGHTLY or name not in SLOW
    ],
)
def test_what_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate, reference, keywords = CASES[name]()
    if name in LOCATED:
        without_search(monkeypatch)
    diagnosis = diagnose(candidate, reference, **keywords)
    assert diagnosis.names == NAMED.get(name, ())
    if name in LOCATED:
        assert any(clue.startswith(LOCATED[name]) for clue in diagnosis.clues)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    candidate, reference, keywords = CASES[name]()
    with pytest.raises(ValueError, match=REFUSED[name]):
        diagnose(candidate, reference, **keywords)
