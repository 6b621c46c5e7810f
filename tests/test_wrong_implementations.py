"""Wrong implementations that were written without sight of what `diagnose` knows.

They are data, and what is found of each stands here, so that nothing is lost unnoticed.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
    "gru_reset_on_everything": ("reset both parts",),
    "gru_reset_on_input_part": ("reset input",),
    "gru_interleaved_gate_view": ("gates cut interleaved",),
    "gru_minimal_gated_unit": ("reset z",),
    "gru_h_reset_in_place": ("reset in place",),
    "gru_update_not_complemented": ("h is n + z * h",),
    "gru_recurrent_rows_z_first": ("weight_hh and bias_hh: gates read as z r n",),
    "gru_single_bias": ("parameters of its own", "bias_hh missing"),
    "grucell_gates_input_only": ("projected state times 2.78e-07, in gate z only",),
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
}


def _cases() -> dict[str, Callable[[], Any]]:
    cases: dict[str, Callable[[], Any]] = {}
    for path in sorted((Path(__file__).parent / "wrong_implementations").glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        cases |= {case["name"]: case["build"] for case in module.CASES}
    return cases


CASES = _cases()


def test_all_are_told() -> None:
    assert NAMED.keys() | LOCATED.keys() == CASES.keys()
    assert not NAMED.keys() & LOCATED.keys()
    assert len(NAMED) >= 0.9 * len(CASES)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize("name", CASES)
def test_what_is_found(name: str) -> None:
    candidate, reference, keywords = CASES[name]()
    diagnosis = diagnose(candidate, reference, **keywords)
    assert diagnosis.names == NAMED.get(name, ())
    if name in LOCATED:
        assert any(clue.startswith(LOCATED[name]) for clue in diagnosis.clues)
