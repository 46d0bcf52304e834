"""The phone's pictures: glyphs drawn as SVG paths in a square of 24, and icons of apps made of them."""

from markupsafe import Markup

# ruff: noqa: E501 (paths are not text)

_GLYPHS: dict[str, str] = {
    "Browser": '<circle cx="12" cy="12" r="9"/><path d="M3 12h18M12 3c3 3 3.600 6 3.600 9s-.6 6-3.600 9c-3-3-3.600-6-3.600-9s.6-6 3.600-9z"/>',
    "Mail": '<rect x="3" y="5.500" width="18" height="13" rx="2"/><path d="M3.500 7l8.500 6.500L20.500 7"/>',
    "Clock": '<circle cx="12" cy="12" r="9"/><path d="M12 6.500V12l4 2.500"/>',
    "Contacts": '<circle cx="12" cy="8.500" r="4"/><path d="M4 20c1-4.500 4-6 8-6s7 1.500 8 6"/>',
    "Settings": '<circle cx="12" cy="12" r="3.200"/><path d="M12 2.500v4M12 17.500v4M2.500 12h4M17.500 12h4M5.300 5.300l2.800 2.800M15.900 15.900l2.800 2.800M18.700 5.300l-2.800 2.800M8.100 15.900l-2.800 2.800"/>',
    "Calculator": '<rect x="5" y="3" width="14" height="18" rx="2"/><path d="M8 7h8M8.500 12h.01M12 12h.01M15.500 12h.01M8.500 16.500h.01M12 16.500h.01M15.500 16.500h.01"/>',
    "Camera": '<path d="M3 8h4l2-3h6l2 3h4v11H3z"/><circle cx="12" cy="13" r="3.500"/>',
    "Gallery": '<rect x="3" y="4" width="18" height="16" rx="2"/><circle cx="8.500" cy="9" r="1.600"/><path d="M4 18l5-5 4 4 3-3 5 4"/>',
    "Maps": '<path d="M12 21c-4-5-6.500-8-6.500-11.500a6.500 6.500 0 0113 0C18.500 13 16 16 12 21z"/><circle cx="12" cy="9.500" r="2.300"/>',
    "Music": '<path d="M9 18V5l11-2v13"/><circle cx="6.500" cy="18" r="2.500"/><circle cx="17.500" cy="16" r="2.500"/>',
    "Notes": '<path d="M5 3h14v18H5z"/><path d="M8.500 8h7M8.500 12h7M8.500 16h4"/>',
    "Weather": '<circle cx="9" cy="9" r="3.500"/><path d="M9 2.500v1.500M2.500 9H4M4.500 4.500l1 1M8 19h9a3.500 3.500 0 000-7 5 5 0 00-9.500 1.500A3 3 0 008 19z"/>',
    "search": '<circle cx="10.500" cy="10.500" r="6"/><path d="M15 15l5.500 5.500"/>',
    "back": '<path d="M20 12H5M11 5.500L4.500 12l6.500 6.500"/>',
    "cart": '<path d="M3 4h2.500l2.500 11h9.500L20 7.500H6.500"/><circle cx="9" cy="19" r="1.500"/><circle cx="16.500" cy="19" r="1.500"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "more": '<path d="M12 5.500h.01M12 12h.01M12 18.500h.01" stroke-width="3"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "star": '<path d="M12 3.500l2.600 5.500 6 .8-4.400 4.200 1.100 6-5.300-3-5.300 3 1.100-6L3.400 9.800l6-.8z"/>',
    "bin": '<path d="M5 7h14M9.500 7V4h5v3M7 7l1 13h8l1-13"/>',
    "phone": '<path d="M6 3h4l1.500 5-2.300 1.800a12 12 0 005 5L16 12.500l5 1.500v4c0 2-2 3-4 2.500C9.500 19 5 14.500 3.500 7 3 5 4 3 6 3z"/>',
    "pen": '<path d="M4 20l1-4.500L16 4.500l3.500 3.500L8.500 19z"/>',
    "home": '<path d="M4 11l8-7 8 7v9h-5.500v-6h-5v6H4z"/>',
    "tag": '<path d="M3.500 12.500v-9h9l8 8-9 9z"/><circle cx="8" cy="8" r="1.300"/>',
    "cross": '<path d="M6 6l12 12M18 6L6 18"/>',
    "lock": '<rect x="5.500" y="10.500" width="13" height="9.500" rx="1.500"/><path d="M8 10.500V8a4 4 0 018 0v2.500"/>',
    "cloud": '<path d="M8 18.500h9a3.800 3.800 0 000-7.600 5.500 5.500 0 00-10.500 1.600A3.200 3.200 0 008 18.500z"/>',
    "next": '<path d="M9 5.500l6.500 6.500L9 18.500"/>',
}  # fmt: skip

_COLOURS: dict[str, tuple[str, str]] = {
    "Browser": ("#4f8df5", "#2563c9"),
    "Mail": ("#ef5a4c", "#c93a2c"),
    "Clock": ("#37405c", "#1d2338"),
    "Contacts": ("#3fa7e8", "#1f7fbe"),
    "Settings": ("#8b95a5", "#626c7c"),
    "Calculator": ("#3a4750", "#222c33"),
    "Camera": ("#6d5ce0", "#4d3cc0"),
    "Gallery": ("#f2a33a", "#d97f12"),
    "Maps": ("#3cb371", "#21884f"),
    "Music": ("#f0567f", "#c92f5a"),
    "Notes": ("#f4c542", "#d9a413"),
    "Weather": ("#58c1e0", "#2c95b8"),
}


def icon(name: str, size: int = 24, app: bool = False) -> Markup:
    """A glyph as SVG in the colour of the text, or (`app`) the icon of an app on its coloured tile."""
    glyph = _GLYPHS[name]
    line = 'fill="none" stroke="currentColor" stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round"'
    picture = f'<svg class="glyph" width="{size}" height="{size}" viewBox="0 0 24 24" {line}>{glyph}</svg>'
    if not app:
        return Markup(picture)
    top, bottom = _COLOURS[name]
    return Markup(f'<span class="tile" style="background:linear-gradient(160deg,{top},{bottom})">{picture}</span>')
