"""Short texts on which two tokenizers that claim to be the same must agree."""

SAMPLES = (
    "The quick brown fox jumps over the lazy dog.",
    "  two leading spaces, a tab\tand a line\n\nbreak ",
    "In 1867, 12345678 people paid $3.14 each: 50% more!",
    "def f(x):\n    return {'a': x ** 2}  # squared\n",
    "Café naïve, Straße, año, Ёлка, ελληνικά",
    "日本語の文章と한국어 그리고 中文。",
    "עברית العربية हिन्दी ไทย",
    "🙂👩‍👩‍👧‍👦 \u200b e\u0301 ﬁ ½ \ufffd",
    "don't I'll WE'VE   x\r\ny\u00a0z",
    "<0x0A> ▁under Ġdot ##ing </w>",
)
