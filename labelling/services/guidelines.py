"""What a project's people agreed on, in Markdown: a page in versions, none of which is ever changed."""

from __future__ import annotations

from functools import lru_cache

import nh3
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt

from labelling.models import Guideline, Project
from labelling.services import Refused, diary
from labelling.services.diary import Act

MAX_CHARS = 50_000
# No pictures: the pages load nothing from elsewhere.
HEADINGS = {"h2", "h3", "h4", "h5", "h6"}
TABLES = {"table", "thead", "tbody", "tr", "th", "td"}
TAGS = HEADINGS | TABLES | {"p", "br", "hr", "ul", "ol", "li", "a", "strong", "em", "s", "code", "pre", "blockquote"}
LOWEST_HEADING = 6

_markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def newest(project: Project) -> Guideline | None:
    return project.guidelines.select_related("author").first()


@transaction.atomic
def write(project: Project, text: str, author: User, version: int) -> None:
    """Give a project the next version of its guidelines, in the place of the one that the author has read.

    Raises:
        Refused: when there is a newer one by now, or the text is too long.
    """
    # Whoever writes takes turns.
    Project.objects.select_for_update().get(pk=project.pk)
    before = newest(project)
    if (before.version if before else 0) != version:
        raise Refused(_("Somebody has changed the guidelines meanwhile. Look at what they wrote, then save again."))
    text = text.replace("\0", "").replace("\r\n", "\n").strip()
    if len(text) > MAX_CHARS:
        raise Refused(_("At most %(n)s characters.") % {"n": f"{MAX_CHARS:,}"})
    old = before.text if before else ""
    if text == old:
        return
    Guideline.objects.create(project=project, version=version + 1, text=text, author=author)
    diary.write(Act.GUIDELINES, project, project, {"text": old}, {"text": text}, user=author)


@lru_cache(maxsize=64)
def rendered(text: str) -> SafeString:
    """Markdown as HTML that can do no harm: its headings below the page's own, no HTML of the author's, no pictures."""
    tokens = _markdown.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, LOWEST_HEADING)}"
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    clean = nh3.clean(html, tags=TAGS, attributes={"a": {"href"}}, url_schemes={"http", "https", "mailto"})
    return mark_safe(clean)  # noqa: S308 - nh3 has left nothing but the tags above
