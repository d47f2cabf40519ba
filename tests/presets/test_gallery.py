import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from presets.drawing import LoraUse
from presets.gallery import Gallery, PictureNotSaved, PictureUnknown
from presets.metadata import read_request
from presets.requests import TextToImage

RED = Image.new("RGB", (16, 8), "red")


def request(prompt: str = "a red house", seed: int = 7, **more) -> TextToImage:
    return TextToImage(prompt=prompt, seed=seed, width=16 * 8, height=128, checkpoint="Storybook", **more)


@pytest.fixture
def gallery(tmp_path) -> Gallery:
    return Gallery(tmp_path / "pictures")


def test_a_gallery_touches_no_disk_until_it_is_used(gallery):
    assert not gallery.root.exists()


def test_a_saved_picture_carries_its_request_and_is_listed(gallery):
    path = gallery.add(RED, request(), {"device": "cpu"})
    recovered = read_request(path)
    assert recovered and recovered.request == request() and recovered.record["device"] == "cpu"
    (picture,) = gallery.recent()
    assert (picture.path, picture.request, picture.width, picture.height) == (path, request(), 16, 8)
    assert picture.created == recovered.record["created"]


def test_names_sort_by_time_and_hold_nothing_of_the_prompt(gallery):
    paths = [gallery.add(RED, request("../../evil", seed=seed), {}) for seed in (30, 20, 10)]
    assert paths == sorted(paths)
    assert [path.name.rpartition("-")[0] for path in paths] == ["000001-30", "000002-20", "000003-10"]
    assert {path.parent.parent for path in paths} == {gallery.root}


def test_no_two_pictures_have_names_that_tell_of_each_other(gallery):
    secrets = {gallery.add(RED, request(), {}).stem.rpartition("-")[2] for _ in range(5)}
    assert len(secrets) == 5 and all(re.fullmatch("[a-z2-7]{16}", secret) for secret in secrets)


def test_the_newest_come_first_and_in_pages(gallery):
    for seed in range(5):
        gallery.add(RED, request(seed=seed), {})
    first = gallery.search("", limit=2)
    rest = gallery.search("", after=first[-1].cursor)
    assert [picture.request.seed for picture in (*first, *rest)] == [4, 3, 2, 1, 0]
    assert gallery.search("", after=rest[-1].cursor) == []


def test_a_page_goes_on_behind_a_picture_that_is_gone_by_then(gallery):
    paths = [gallery.add(RED, request(seed=seed), {}) for seed in range(4)]
    (*_, last) = gallery.search("", limit=2)
    paths[2].unlink()
    gallery.rebuild()
    assert [picture.request.seed for picture in gallery.search("", after=last.cursor)] == [1, 0]


def test_a_picture_is_found_again_by_its_identifier(gallery):
    gallery.add(RED, request(), {})
    picture = gallery.recent()[0]
    assert gallery.get(picture.identifier) == picture
    assert "/" not in picture.identifier


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "\ud800", "2026-01-01-000001-7", "' OR 1=1 --"])
def test_an_unknown_identifier_finds_and_deletes_nothing(gallery, name):
    path = gallery.add(RED, request(), {})
    assert gallery.get(name) is None
    for change in (gallery.delete, gallery.restore, gallery.several):
        with pytest.raises(PictureUnknown):
            change([name])
    assert path.exists() and len(gallery.recent()) == 1


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("HOUSE", [2, 1]),
        ("house sea", [2]),
        ("ДОМ", [3]),
        ("100%", [4]),
        ("_", []),
        ("storybook", [4, 3, 2, 1]),
        ("ink", [1]),
        ("", [4, 3, 2, 1]),
        ("x " * 500, []),
        ("\ud800", []),
    ],
)
def test_search_finds_every_word_in_any_case_and_literally(gallery, text, seeds):
    gallery.add(RED, request("a red House", 1, loras=(LoraUse(name="Ink"),)), {})
    gallery.add(RED, request("a house by the SEA", 2), {})
    gallery.add(RED, request("Дом", 3), {})
    gallery.add(RED, request("100% wool", 4), {})
    assert [picture.request.seed for picture in gallery.search(text)] == seeds


@pytest.mark.parametrize("damage", [b"", b"no database at all " * 100, None])
def test_a_lost_or_corrupt_index_is_made_anew_from_the_files(gallery, damage):
    gallery.add(RED, request(seed=1), {})
    gallery.add(RED, request(seed=2), {})
    before = gallery.recent()
    index = gallery.root / "index.sqlite"
    index.unlink() if damage is None else index.write_bytes(damage)
    assert gallery.recent() == before
    assert Gallery(gallery.root).recent() == before


def test_an_index_damaged_in_its_middle_is_made_anew(gallery):
    for seed in range(40):
        gallery.add(RED, request("a house " * 50, seed), {})
    index = gallery.root / "index.sqlite"
    content = index.read_bytes()
    index.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert len(gallery.recent(100)) == 40


def test_an_index_of_another_version_is_made_anew(gallery):
    gallery.add(RED, request(), {})
    before = gallery.recent()
    with sqlite3.connect(gallery.root / "index.sqlite") as index:
        index.execute("ALTER TABLE pictures DROP COLUMN words")
        index.execute("PRAGMA user_version = 99")
    assert gallery.recent() == before


def test_a_picture_removed_by_hand_is_no_longer_listed(gallery):
    paths = [gallery.add(RED, request(seed=seed), {}) for seed in range(4)]
    paths[3].unlink()
    assert [picture.path for picture in gallery.recent(limit=2)] == [paths[2], paths[1]]
    paths[2].unlink()
    assert gallery.get("-".join((paths[2].parent.name, paths[2].stem))) is None


def test_a_picture_that_one_process_could_not_list_is_listed_by_another_that_runs(gallery):
    page, index, aside = Gallery(gallery.root), gallery.root / "index.sqlite", gallery.root / "aside"
    gallery.add(RED, request(seed=1), {})
    assert len(page.recent()) == 1
    index.rename(aside)
    index.mkdir()
    path = gallery.add(RED, request(seed=2), {})
    index.rmdir()
    aside.rename(index)
    assert page.recent()[0].path == path
    assert not (gallery.root / "index.stale").exists()


def test_a_picture_on_disk_is_saved_whatever_is_wrong_with_the_index(gallery):
    gallery.root.mkdir()
    (gallery.root / "index.sqlite").write_bytes(b"no database at all " * 100)
    (gallery.root / "index.sqlite-shm").mkdir()
    assert gallery.add(RED, request(), {}).is_file()


def test_rows_of_a_newer_easel_are_passed_over(gallery):
    for seed in (1, 2, 3):
        gallery.add(RED, request(seed=seed), {})
    with sqlite3.connect(gallery.root / "index.sqlite") as index:
        index.execute("UPDATE pictures SET kind = 'hologram' WHERE seed = 1")
        index.execute("UPDATE pictures SET request = '{\"depth\": 3}' WHERE seed = 2")
    assert [picture.request.seed for picture in gallery.recent()] == [3]


def test_rebuilding_forgets_what_vanished_and_learns_what_was_put_there(gallery):
    first, second = (gallery.add(RED, request(seed=seed), {}) for seed in (1, 2))
    first.unlink()
    (second.parent / "000009-9.png").write_bytes(second.read_bytes())
    gallery.rebuild()
    assert {picture.path.name for picture in gallery.recent()} == {second.name, "000009-9.png"}


def test_a_new_process_lists_a_file_whose_row_was_never_written(gallery):
    path = gallery.add(RED, request(), {})
    with sqlite3.connect(gallery.root / "index.sqlite") as index:
        index.execute("DELETE FROM pictures")
    assert [picture.path for picture in Gallery(gallery.root).recent()] == [path]


def test_foreign_and_broken_files_are_neither_listed_nor_removed(gallery):
    folder = gallery.add(RED, request(), {}).parent
    RED.save(folder / "000002-1.png")
    (folder / "000003-1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (folder / "holiday.jpg").write_bytes(b"mine")
    gallery.rebuild()
    assert len(gallery.recent()) == 1
    assert len(list(folder.iterdir())) == 4


def test_a_picture_that_cannot_be_encoded_leaves_nothing(gallery):
    with pytest.raises(OSError, match="cannot write mode"):
        gallery.add(Image.new("HSV", (8, 8)), request(), {})
    assert gallery.recent() == [] and not list(gallery.root.glob("*/*"))


def test_a_refusing_disk_is_told_in_a_sentence(tmp_path):
    (tmp_path / "pictures").write_text("a file where the folder should be")
    with pytest.raises(PictureNotSaved, match="E-DISK"):
        Gallery(tmp_path / "pictures").add(RED, request(), {})


REFUSED_WHILE_WRITING = """
import resource, signal, sys
from pathlib import Path
from PIL import Image
from presets.gallery import Gallery, PictureNotSaved, PictureUnknown
from presets.requests import TextToImage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    Gallery(Path(sys.argv[1])).add(Image.new("RGB", (8, 8)), TextToImage(prompt="lost"), {})
except PictureNotSaved as error:
    print(error.code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_file_that_the_disk_cuts_off_is_not_left_behind(gallery):
    command = [sys.executable, "-c", REFUSED_WHILE_WRITING, str(gallery.root)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == "E-DISK\n"
    assert not list(gallery.root.glob("*/*")) and gallery.recent() == []


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from PIL import Image
from presets.gallery import Gallery
from presets.requests import TextToImage
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
Gallery(Path(sys.argv[1])).add(Image.new("RGB", (8, 8)), TextToImage(prompt="lost"), {})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_process_killed_while_writing_leaves_nothing_that_is_listed_or_stays(gallery):
    subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(gallery.root)], check=False)
    (partial,) = gallery.root.glob("*/.*.part")
    assert gallery.recent() == []
    path = gallery.add(RED, request(), {})
    long_ago = time.time() - 3600
    os.utime(partial, (long_ago, long_ago))
    assert [picture.path for picture in Gallery(gallery.root).recent()] == [path]
    assert list(path.parent.iterdir()) == [path]


ADDING = """
import sys
from pathlib import Path
from PIL import Image
from presets.gallery import Gallery
from presets.requests import TextToImage
gallery = Gallery(Path(sys.argv[1]))
for _ in range(15):
    gallery.add(Image.new("RGB", (8, 8)), TextToImage(prompt="together", seed=1), {})
    gallery.recent()
"""


def test_several_processes_add_and_read_at_once(gallery):
    command = [sys.executable, "-c", ADDING, str(gallery.root)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len({picture.path for picture in gallery.recent(100)}) == 45


def test_paths_are_absolute_whatever_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gallery = Gallery(Path("pictures"))
    path = gallery.add(RED, request(), {})
    assert path.is_absolute() and gallery.recent()[0].path == path
