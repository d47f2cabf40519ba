from pathlib import Path

from tabs import markup

SCRIPT = "<script>alert(1)</script>"


def test_text_of_a_person_is_never_html():
    shown = [
        markup.progress(SCRIPT, 0.5),
        markup.notice(SCRIPT, [SCRIPT]),
        markup.error(SCRIPT),
        markup.table([(SCRIPT, SCRIPT)]),
        markup.picture('"><script>', (8, 8), f'"{SCRIPT}', finished=True),
        markup.download(Path(f"/pictures/{SCRIPT}.png")),
    ]
    assert not any("<script" in part for part in shown)


def test_a_file_keeps_its_name_in_its_address():
    assert markup.file_source(Path("/pictures/a b#1.png")) == "gradio_api/file=/pictures/a%20b%231.png"


def test_a_small_picture_is_shown_larger_and_a_large_one_as_it_is():
    assert "width:512px;aspect-ratio:128/128" in markup.picture("x", (128, 128), "", finished=True)
    assert "width:341px;aspect-ratio:128/192" in markup.picture("x", (128, 192), "", finished=True)
    assert "width:1024px" in markup.picture("x", (1024, 768), "", finished=True)


def test_a_bar_without_a_known_fraction_has_no_length():
    assert "width" not in markup.progress("Loading", None)
    assert 'style="width:35.0%"' in markup.progress("Step 7 of 20", 0.35)
