import os
import time

import pytest
from PIL import Image

from presets.control_pictures import ABANDONED_SECONDS, ControlPictures, key_of
from tests.scenes import house

KEY, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def kept(tmp_path):
    return ControlPictures(tmp_path / "control")


def size_of(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def test_what_is_put_is_got_again_to_the_pixel(kept):
    assert kept.get(KEY) is None
    kept.put(KEY, house())
    assert kept.get(KEY).tobytes() == house().tobytes()
    assert kept.get(OTHER) is None


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_damaged_entry_is_as_good_as_none_and_made_again(kept, content):
    kept.put(KEY, house())
    (path,) = kept.root.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert kept.get(KEY) is None
    kept.put(KEY, house())
    assert kept.get(KEY).tobytes() == house().tobytes()


def test_another_picture_under_its_name_is_no_entry(kept):
    kept.put(KEY, house())
    Image.new("RGB", (128, 128)).save(kept.root / f"{KEY}.png")
    assert kept.get(KEY) is None


def test_the_least_recently_used_go_first_when_the_limit_is_reached(tmp_path):
    one = ControlPictures(tmp_path / "one")
    one.put(KEY, house())
    kept = ControlPictures(tmp_path / "control", limit=size_of(one.root) * 5 // 2)
    for age, key in ((30, KEY), (20, OTHER)):
        kept.put(key, house())
        os.utime(kept.root / f"{key}.png", (time.time() - age,) * 2)
    assert kept.get(KEY)  # and so it is the more recently used of the two
    kept.put("c" * 64, house())
    assert [kept.get(key) is not None for key in (KEY, OTHER, "c" * 64)] == [True, False, True]


def test_what_a_process_that_died_left_half_written_is_removed(kept):
    kept.put(KEY, house())
    old, new = kept.root / ".old.part", kept.root / ".new.part"
    for path, age in ((old, ABANDONED_SECONDS + 10), (new, 0)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    kept.put(OTHER, house())
    assert (old.exists(), new.exists()) == (False, True)


def test_a_disk_that_refuses_is_no_error(tmp_path):
    (tmp_path / "control").write_text("a file where the folder should be")
    kept = ControlPictures(tmp_path / "control")
    kept.put(KEY, house())
    assert kept.get(KEY) is None


def test_the_key_follows_pixels_and_settings():
    made_by = {"preprocessor": "canny", "low_threshold": 100}
    assert key_of(house(), made_by) == key_of(house(), dict(reversed(made_by.items())))
    others = [key_of(house(64), made_by), key_of(house(), made_by | {"low_threshold": 101})]
    assert len({key_of(house(), made_by), *others}) == 3
