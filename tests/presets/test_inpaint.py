import pytest
from PIL import Image

from presets.checks import parse
from presets.errors import InvalidField
from presets.images import ImageRef
from presets.infotext import parameters_text
from presets.inputs import Inputs
from presets.metadata import encode_png, read_request
from presets.requests import Inpaint

PHOTO = ImageRef(sha256="ab" * 32, width=640, height=480)
MASK = ImageRef(sha256="cd" * 32, width=640, height=480)
LEFT = Image.new("RGB", (64, 48))
LEFT.paste("white", (0, 0, 20, 48))


def request(**values):
    return parse(Inpaint, {"prompt": "a", "image": PHOTO, "mask": MASK} | values)


def examined(tmp_path, mask, **values):
    inputs = Inputs(tmp_path)
    image = inputs.keep(Image.new("RGB", (64, 48)))
    return Inpaint(prompt="a", image=image, mask=inputs.keep(mask), **values).examined(inputs)


def test_the_whole_picture_is_drawn_in_its_own_size_and_a_part_in_the_native_one():
    assert request().resolved("x", (512, 512)).picture_size == (640, 480)
    whole, part = (request(area=area).resolved("x", (512, 512)) for area in ("whole", "masked"))
    assert (whole.width, whole.height) == (640, 480)
    assert (part.width, part.height) == (512, 512)
    assert part.warnings == ()


def test_what_is_extended_is_larger():
    extended = request(extend_left=64, extend_top=8, mask=None)
    assert extended.picture_size == (704, 488)
    resolved = extended.resolved("x", (512, 512))
    assert (resolved.width, resolved.height) == (704, 488)


SIDES = ("extend_left", "extend_right", "extend_top", "extend_bottom")
REFUSED = [
    ({"mask": None}, "mask", "E-MASK", "A mask is missing: paint what is to be redrawn, or extend a side."),
    ({"mask": None, "invert_mask": True, "extend_left": 8}, "mask", "E-MASK", "missing"),
    ({"mask": MASK.model_copy(update={"width": 600})}, "mask", "E-MASK-SIZE", "600 × 480 pixels and the picture 640"),
    (dict.fromkeys(SIDES, 2048), "extend_left", "E-SIZE", "4736 × 4576 pixels; the limit is 16.8 Mpx"),
    *(({"grow_mask": value}, "grow_mask", "E-MASK", "0 to 256") for value in (-1, 257, 1.5, True)),
    ({"padding": 513}, "padding", "E-MASK", "0 to 512"),
    ({"extend_top": -8}, "extend_top", "E-SIZE", "0 to 2048."),
    ({"invert_mask": "yes"}, "invert_mask", "E-API-ARGS", "cannot be 'yes'"),
    ({"soft_mask": 1}, "soft_mask", "E-MASK", "cannot be 1"),
    ({"content": "latent"}, "content", "E-API-ARGS", "Allowed: original, fill, noise, nothing"),
    ({"strength": 0.01}, "strength", "E-STRENGTH", "leaves no step"),
]


@pytest.mark.parametrize(("values", "field", "code", "words"), REFUSED)
def test_what_cannot_be_done_is_refused(values, field, code, words):
    with pytest.raises(InvalidField) as refused:
        request(**values)
    assert (refused.value.field, refused.value.code) == (field, code)
    assert words in refused.value.message


def test_a_mask_of_another_size_of_the_same_shape_is_taken_and_told():
    other = request(mask=MASK.model_copy(update={"width": 320, "height": 241}))
    assert other.warnings == ("The mask was brought from 320 × 241 to 640 × 480 pixels.",)


@pytest.mark.parametrize(("colour", "invert", "words"), [("black", False, "is empty"), ("white", True, "covers all")])
def test_a_mask_under_which_nothing_is_redrawn_is_refused(tmp_path, colour, invert, words):
    with pytest.raises(InvalidField, match=rf"The mask {words}.*\[E-MASK-EMPTY\]"):
        examined(tmp_path, Image.new("RGB", (64, 48), colour), invert_mask=invert)


@pytest.mark.parametrize(("colour", "invert"), [("white", False), ("black", True)])
def test_a_mask_that_spares_nothing_is_warned_of(tmp_path, colour, invert):
    told = examined(tmp_path, Image.new("RGB", (64, 48), colour), invert_mask=invert)
    assert told.warnings == ("The mask spares nothing: the whole picture is redrawn.",)
    assert told.resolved("x", (64, 64)).warnings[0] == told.warnings[0]


def test_a_mask_may_be_painted_on_a_transparent_picture(tmp_path):
    painted = Image.new("RGBA", (64, 48), (255, 0, 0, 0))
    with pytest.raises(InvalidField, match="E-MASK-EMPTY"):
        examined(tmp_path, painted)
    painted.paste((0, 0, 0, 255), (0, 0, 20, 48))
    assert examined(tmp_path, painted).warnings == ()


def test_an_empty_mask_does_where_a_side_is_extended(tmp_path):
    assert examined(tmp_path, Image.new("RGB", (64, 48)), extend_left=8).warnings == ()


def test_a_saved_picture_carries_the_request(tmp_path):
    wanted = request(grow_mask=9, content="fill", extend_left=8).resolved("x", (512, 512))
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(Image.new("RGB", (8, 8)), wanted, {"notes": ["0 px changed outside the mask"]}))
    recovered = read_request(path)
    assert recovered.request == wanted
    assert recovered.record["notes"] == ["0 px changed outside the mask"]


def test_a_soft_mask_may_be_dark_grey_and_must_not_be_black(tmp_path):
    grey = LEFT.point(([0] * 255 + [60]) * 3)
    assert examined(tmp_path, grey, soft_mask=True).warnings == ()
    with pytest.raises(InvalidField, match="The mask is empty"):
        examined(tmp_path, grey)
    with pytest.raises(InvalidField, match="The mask is empty"):
        examined(tmp_path, Image.new("RGB", (64, 48)), soft_mask=True)


def test_a1111s_text_says_that_the_mask_is_soft():
    assert "Soft inpainting enabled: True" in parameters_text(request(soft_mask=True))
    assert "Soft inpainting" not in parameters_text(request())


def test_a1111s_text_tells_of_the_mask_what_that_program_tells():
    changed = request(strength=0.6, invert_mask=True, feather_mask=3, area="masked", padding=24, content="noise")
    assert (
        "Denoising strength: 0.6, Mask mode: Inpaint not masked, Mask blur: 3, Inpaint area: Only masked, "
        "Masked area padding: 24, Masked content: latent noise, " in parameters_text(changed)
    )
    usual = parameters_text(request(feather_mask=0))
    assert not any(key in usual for key in ("Mask mode", "Mask blur", "Inpaint area", "padding", "Masked content"))
