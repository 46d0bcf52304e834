"""Names that vulture finds no use of in `src/`, and why they stay: `make lint` fails on any other.

Vulture knows names, not things: one that is named here may be unused anywhere.
"""

# fmt: off

# What libraries call or read by name: transformers, tokenizers, http.server, html.parser, sqlite3, uvicorn, functools.
config_class, base_model_prefix, get_output_embeddings, padding_side, normalizer, pre_tokenizer
layer_class_to_replicate, protocol_version, disable_nagle_algorithm, do_GET, log_message, daemon_threads
handle_starttag, handle_data, handle_endtag, text_factory, force_exit, should_exit
__wrapped__, __qualname__, __getattr__

render_mode, action_space, observation_space, action_mapping, caption_justify

# Contracts: a policy scores as well as it acts, an environment is told how its block ended.
log_prob, exc

# Arguments in a Protocol of what transformers' models and tokenizers take.
add_special_tokens, skip_special_tokens, save_directory

# Held so that it is closed with its owner; started by a user's own program (docs: MCP).
_stack, serve_stdio

# Under TYPE_CHECKING, in annotations that are strings.
Page, CDPSession, BrowserContext, Dialog, Download, AdbDevice, WebSocketRoute

# Fields that are written out whole (`dataclasses.asdict`), read by page templates, or counted for tests.
prompt_tokens, new_tokens, prefilled, reused, row_steps, critical, launches, restarts, indexes, utterance, search_first
nav, collections_of, buffer_pj, bus_pj, buffer_ns, bus_ns, leakage_uw, leakage_pj, pulses, euclidean_px, rmse_px
benchmark

# Endings of a program in the sandbox, which are told apart by value, and its limits, which are read as a table.
SYNTAX, RAISED, MEMORY, NOT_PLAIN, call_seconds, memory_bytes, open_files

# For code of users, each with a page in docs/ and tests: judges, importers, stores, policies that think longer, credit.
ExactAnswer, VisionJudge, OutcomeJudge, fit_judge, EndpointOutcomeJudge, EndpointProposer, exploration_task
save_tasks, load_webvoyager, trace_to_json, trace_from_json, add_verdicts, parse_plan, load_autoui, Blip2Vectors
per_turn_baseline, to_go_baseline, recurring_states, score_differences, turn_shares, dpo_loss, anchor, score_branches
BestOfN, BudgetForcing, tokens_spent, spend_steps, training_horizons, AUTHORS_LIST, needed_bin, at_equal_cost
with_truth, ModelFormat, TENSORS, Toolboxes, openai, synthetic_world, authors_list, audit

# Asked for by name over a pipe (`envs.tools.tau2`).
ping

# The papers' own forms beside ours, and what EEG and chip offer beside their recipes.
VerbatimThreads, serial_text, read_prompt, braindecode_model, rows_of_step, bars, from_epochs, eye_potentials
largest_sum, with_bits, program_levels, slot_subarrays

# The robot's files as their authors write them, for users' own data, and what its tests measure or compare with.
write_json_data, read_json_data, write_hdf5, read_hdf5, write_lerobot, split_by_parent, unreadable, GymEnvironment

# Not used by anything yet: to be used, or to go.
CONTROLNETS, OPENING, UNSEEN_SETS, camera_of
