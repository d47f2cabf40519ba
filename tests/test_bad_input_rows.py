"""Which test holds what each kind of bad input gets; the tests named here exist.

Beside them stand `tests/soak/hostile_files.py`, `traversal.py` and `scripts.py`, which take minutes.
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

REFUSED = ("test_bad_inputs", "test_the_endpoint_refuses_with_the_fields_name_and_a_sentence")
DRAWN = ("test_bad_inputs", "test_the_endpoint_draws_what_only_looks_bad")
PICTURES = ("test_bad_pictures", "test_the_command_line_refuses_a_picture_in_one_line")
ODD = ("test_bad_pictures", "test_odd_pictures_are_drawn_on_and_what_is_to_be_said_is_said")
MASKS = ("test_bad_pictures", "test_a_mask_under_which_nothing_can_be_drawn_is_refused")
ODD_MASKS = ("test_bad_pictures", "test_odd_masks_are_followed_and_what_is_to_be_said_is_said")
BROKEN = ("test_catalog", "test_broken_file_is_not_listed_and_says_why")
LORAS = ("test_adapters", "test_what_does_not_fit_is_refused_before_anything_is_touched")

ROWS = {
    "1 empty prompt": DRAWN,
    "2 very long prompt": REFUSED,
    "3 control characters, right-to-left marks": (
        "test_bad_inputs",
        "test_the_endpoint_removes_control_characters_and_the_metadata_says_so",
    ),
    "3 right-to-left marks shown": ("test_markup", "test_text_of_a_person_is_never_html"),
    "4 lone surrogates": REFUSED,
    "5 unbalanced brackets": DRAWN,
    "5 weights that are none": REFUSED,
    "6 unknown LoRA, paths as LoRAs": (
        "test_bad_inputs",
        "test_a_lora_that_is_not_listed_ends_the_call_with_a_sentence",
    ),
    "7 wildcards, which are plain text here": DRAWN,
    "8 scripts": ("test_page", "test_a_script_in_the_prompt_is_shown_literally"),
    "8 scripts in failures": ("test_run", "test_a_failure_is_a_sentence_and_never_html"),
    "9 to 12 sizes, steps, guidance": REFUSED,
    "13 random seed": ("test_bad_inputs", "test_a_random_seed_is_chosen_and_told"),
    "14 to 16 seeds, counts, samplers": REFUSED,
    "14 digits as a seed": DRAWN,
    "17 strength": ("test_image_to_image", "test_a_strength_that_cannot_be_is_refused"),
    "18 to 23 too large, strips, no pictures, cut off, too small": PICTURES,
    "24 to 27 CMYK, 16 bit, transparent, animated": ODD,
    "25 the mean of 16 bit": ("test_inputs", "test_16_bits_of_grey_are_scaled_and_their_mean_is_kept"),
    "28 turned": ("test_inputs", "test_a_turned_picture_is_put_upright"),
    "29 uploads without end": (
        "test_upload_limits",
        "test_a_file_over_the_limit_is_refused_and_nothing_of_it_is_kept",
    ),
    "29 bodies without end": ("test_http_api", "test_a_body_without_end_is_refused_while_it_comes"),
    "30 formats that are not read": PICTURES,
    "31 33 34 empty, other and missing masks": MASKS,
    "32 33 34 white, larger, painted masks": ODD_MASKS,
    "35 missing checkpoint": ("test_catalog", "test_file_deleted_after_listing_is_missing"),
    "35 gone while it is loaded": ("test_loading", "test_file_that_vanishes_while_it_is_loaded_is_named"),
    "36 cut off, noughts, pointers, pages": BROKEN,
    "36 still being copied": (
        "test_catalog",
        "test_file_that_grows_is_still_being_copied_then_truncated_then_whole",
    ),
    "37 other kinds of models": (
        "test_catalog",
        "test_file_of_another_kind_is_told_what_it_is_and_where_it_belongs",
    ),
    "38 pickled code": ("test_pickles", "test_file_that_would_run_code_is_refused_with_its_name_and_nothing_runs"),
    "39 zip bombs": ("test_pickles", "test_compressed_members_are_refused_unread"),
    "40 weights without numbers": (
        "test_family_pictures",
        "test_checkpoint_without_numbers_is_named_and_not_loaded_again",
    ),
    "41 a million tensors, headers without end": ("test_headers", "test_million_tensors_are_refused_at_once"),
    "41 doubles and overlaps": ("test_headers", "test_headers_that_lie_are_refused"),
    "42 links": ("test_catalog", "test_links_that_leave_the_roots_are_not_listed"),
    "42 hard links": ("test_catalog", "test_hard_link_to_a_file_outside_is_not_listed"),
    "42 devices": ("test_catalog", "test_fifo_and_device_are_neither_opened_nor_listed"),
    "42 paths for names": ("test_catalog", "test_name_that_looks_like_a_path_is_refused"),
    "43 45 LoRAs of other families, shapes, without numbers": LORAS,
    "43 weights as before": (
        "test_adapters",
        "test_weights_are_restored_when_the_work_fails_and_what_is_kept_is_forgotten",
    ),
    "44 partial LoRAs": ("test_adapters", "test_layers_that_are_not_there_are_counted_and_told"),
    "45 a LoRA twice": ("test_prompts", "test_strengths_of_one_lora_must_not_add_up_to_more_than_ten"),
    "46 presets": ("test_library", "test_a_bad_file_is_skipped_with_its_reason_and_costs_no_other"),
    "46 newer presets": ("test_library", "test_a_newer_preset_is_used_but_not_changed"),
    "47 texts in pictures": ("test_foreign", "test_a_hostile_text_is_shown_and_breaks_nothing"),
    "47 texts that unpack to very much": (
        "test_chunks",
        "test_a_text_that_unpacks_to_very_much_is_left_out_in_little_time",
    ),
    "49 calls that cannot be meant": ("test_api", "test_a_call_that_cannot_be_meant_gets_a_sentence"),
    "49 bodies that are no JSON": ("test_api", "test_a_body_that_is_no_json_object_gets_a_sentence"),
    "50 full queue": ("test_local", "test_a_full_queue_says_so"),
    "50 when to try again": ("test_http_api", "test_a_refusal_has_its_number_and_says_when_to_try_again"),
    "50 stopping": ("test_local", "test_closing_the_engine_fails_what_waits_and_ends_the_worker"),
    "51 left while waiting": ("test_ledger", "test_a_job_that_nobody_waits_for_is_left_unless_it_is_kept"),
    "51 left while drawing": ("test_run", "test_the_job_of_a_closed_page_goes_on_and_the_next_page_shows_it"),
    "51 left while uploading": ("test_upload_limits", "test_nothing_is_kept_of_an_upload_that_breaks_off"),
    "52 cancelled twice": ("test_http_api", "test_a_job_can_be_cancelled_twice"),
    "52 somebody else's job": ("test_http_api", "test_anothers_job_is_as_unknown_as_one_that_there_is_not"),
}
"""Number and kind of input -> file and test. Workflows (48) are not in this version."""


@pytest.mark.parametrize("row", ROWS)
def test_what_holds_a_row_is_there(row):
    file, test = ROWS[row]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in TESTS.rglob(f"{file}.py")]
    assert test in {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_is_held():
    numbers = {int(word) for row in ROWS for word in row.replace("to", " ").split() if word.isdigit()}
    ranges = [(9, 12), (14, 16), (18, 23), (24, 27)]
    held = numbers | {number for first, last in ranges for number in range(first, last + 1)}
    assert held >= set(range(1, 53)) - {48}
