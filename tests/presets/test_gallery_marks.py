import time
from pathlib import Path

import pytest
from PIL import Image

from presets.gallery import BoardRefused, Gallery, PictureUnknown
from presets.requests import TextToImage

RED = Image.new("RGB", (16, 8), "red")


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(tmp_path / "pictures")


def added(gallery: Gallery, seed: int = 7, owner: str = "") -> str:
    """The identifier of a new picture."""
    path = gallery.add(RED, TextToImage(prompt="a house", seed=seed, checkpoint="Storybook"), {}, owner=owner)
    return f"{path.parent.name}-{path.stem}"


def seeds(gallery: Gallery, text: str = "", owner: str | None = None) -> list[int]:
    return [picture.request.seed for picture in gallery.search(text, owner=owner)]


def test_a_deleted_picture_lies_in_the_trash_until_it_is_restored(gallery: Gallery):
    first, second = added(gallery, 1), added(gallery, 2)
    gallery.delete([first])
    assert (seeds(gallery), seeds(gallery, "deleted:yes")) == ([2], [1])
    assert (gallery.count(""), gallery.choices().deleted) == (1, 1)
    gallery.restore([first])
    assert (seeds(gallery), seeds(gallery, "deleted:yes")) == ([2, 1], [])
    assert second


def test_what_is_purged_is_gone_from_disk_and_list(gallery: Gallery):
    first, _ = added(gallery, 1), added(gallery, 2)
    gallery.delete([first])
    assert gallery.purge(time.time() - 60) == []
    (gone,) = gallery.purge(time.time() + 1)
    assert gone.identifier == first and not gone.path.exists()
    assert (seeds(gallery), seeds(gallery, "deleted:yes"), gallery.get(first)) == ([2], [], None)


@pytest.mark.parametrize("lost", [None, b"no database at all " * 100])
def test_what_people_said_outlives_the_index(gallery: Gallery, lost: bytes | None):
    first, second, third = (added(gallery, seed, "me") for seed in (1, 2, 3))
    gallery.star([first], True)
    gallery.put_on_board([second], "To print", True)
    gallery.delete([third])
    index = gallery.root / "index.sqlite"
    index.unlink() if lost is None else index.write_bytes(lost)
    again = Gallery(gallery.root)
    assert (seeds(again, "starred:yes"), seeds(again, "board:print"), seeds(again, "deleted:yes")) == ([1], [2], [3])
    assert seeds(again, owner="me") == [2, 1] and seeds(again, owner="you") == []


def test_stars_are_given_and_taken(gallery: Gallery):
    first, second = added(gallery, 1), added(gallery, 2)
    gallery.star([first, second], True)
    gallery.star([second], False)
    assert (seeds(gallery, "starred:yes"), seeds(gallery, "starred:no")) == ([1], [2])
    assert [picture.starred for picture in gallery.recent()] == [False, True]


def test_a_board_is_there_while_a_picture_is_on_it(gallery: Gallery):
    first, second = added(gallery, 1), added(gallery, 2)
    gallery.put_on_board([first, second], "  To   print ", True)
    gallery.put_on_board([first], "Cards", True)
    assert gallery.choices().boards == {"Cards": 1, "To print": 2}
    assert gallery.get(first).boards == ("Cards", "To print")
    gallery.put_on_board([first], "Cards", False)
    assert gallery.choices().boards == {"To print": 2}


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\x00b", "\ud800"])
def test_a_board_needs_a_name_that_can_be_shown(gallery: Gallery, name: str):
    picture = added(gallery)
    with pytest.raises(BoardRefused, match="1 to 60 characters"):
        gallery.put_on_board([picture], name, True)


def test_anothers_picture_is_as_unknown_as_none(gallery: Gallery):
    mine, theirs, nobodys = added(gallery, 1, "me"), added(gallery, 2, "you"), added(gallery, 3)
    for identifier in (theirs, nobodys):
        assert gallery.get(identifier, "me") is None
        for change in (gallery.delete, gallery.restore, gallery.several):
            with pytest.raises(PictureUnknown):
                change([mine, identifier], owner="me")
        with pytest.raises(PictureUnknown):
            gallery.star([mine, identifier], True, owner="me")
        with pytest.raises(PictureUnknown):
            gallery.put_on_board([mine, identifier], "Mine", True, owner="me")
    assert seeds(gallery) == [3, 2, 1] and seeds(gallery, "starred:yes") == [] and gallery.choices().boards == {}
    assert (seeds(gallery, owner="me"), gallery.count("", owner="me")) == ([1], 1)


def test_only_own_trash_is_emptied(gallery: Gallery):
    mine, theirs = added(gallery, 1, "me"), added(gallery, 2, "you")
    gallery.delete([mine, theirs])
    assert [picture.identifier for picture in gallery.purge(time.time() + 1, owner="me")] == [mine]
    assert gallery.choices("you").deleted == 1


def test_a_damaged_file_of_marks_is_put_aside_and_pictures_are_still_listed(gallery: Gallery):
    picture = added(gallery, 1)
    gallery.star([picture], True)
    for name in ("marks.sqlite-wal", "marks.sqlite-shm"):
        (gallery.root / name).unlink(missing_ok=True)
    (gallery.root / "marks.sqlite").write_bytes(b"no database at all " * 100)
    assert seeds(gallery) == seeds(Gallery(gallery.root)) == [1]
    (aside,) = gallery.root.glob("marks-damaged-*.sqlite")
    assert aside.read_bytes().startswith(b"no database")


def test_a_picture_is_saved_where_its_owner_cannot_be_noted(gallery: Gallery):
    gallery.root.mkdir()
    (gallery.root / "marks.sqlite").mkdir()
    path = gallery.add(RED, TextToImage(prompt=""), {}, owner="me")
    assert path.is_file()
    (gallery.root / "marks.sqlite").rmdir()
    assert len(gallery.recent()) == 1 and gallery.recent(owner="me") == []


def test_choices_count_own_pictures_that_are_not_deleted(gallery: Gallery):
    for seed, owner in ((1, "me"), (2, "you")):
        added(gallery, seed, owner)
    gallery.delete([added(gallery, 3, "me")])
    assert gallery.choices("me").checkpoints == {"Storybook": 1}
    assert gallery.choices().checkpoints == {"Storybook": 2}
