"""How the page looks: one theme from fonts that Gradio serves itself, so that no page asks another host.

Of Gradio's fonts, IBM Plex Sans is whole in weights 400 and 700; most others lack letters.
"""

from pathlib import Path

from gradio import themes
from gradio.themes.utils.fonts import LocalFont

FOLDER = Path(__file__).parent
STYLE_SHEETS = [FOLDER / "style.css", FOLDER / "gallery.css"]
SCRIPT = FOLDER / "page.js"


def easel_theme() -> themes.Base:
    return themes.Default(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        radius_size="lg",
        font=(LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(LocalFont("IBM Plex Mono", weights=(400,)), "ui-monospace", "Consolas", "monospace"),
    ).set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        block_shadow="none",
        block_label_text_weight="600",
        block_title_text_weight="600",
    )


def head() -> str:
    """The page's own script, for `launch(head=...)`."""
    return f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>"
