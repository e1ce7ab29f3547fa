"""Guidelines in versions that nobody overwrites, and threads that name colleagues and influence nobody."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from labelling.models import Comment, DiaryEntry, Guideline, Mention, Project, QueueEntry
from labelling.services import Refused, accounts, guidelines, removals, threads
from labelling.services.diary import Act
from tests.factories import account, fresh, fruit_project, make_user, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    people = {"manager": account("ann"), "reviewers": [account("bob"), account("cem.d")]}
    project = fruit_project(**people, batch_size=5, retrain_after=0)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out, client, ann) -> Project:
    client.force_login(ann)
    return fresh(laid_out)


@pytest.fixture
def document(project):
    """One that waits for nobody."""
    return project.documents.filter(queue_entry=None).first()


def show(client, name: str, *arguments: object, **query: str) -> str:
    return " ".join(client.get(reverse(name, args=arguments), query).content.decode().split())


class Tags(HTMLParser):
    """The tags of a page as a browser would read them, each with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


# Guidelines


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Rules", "<h2>Rules</h2>"),
        ("###### Deep", "<h6>Deep</h6>"),
        ("- one\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>"),
        ("**bold** ~~gone~~", "<p><strong>bold</strong> <s>gone</s></p>"),
        ("[here](https://example.org)", '<a href="https://example.org" rel="noopener noreferrer">here</a>'),
        ("a | b\n--|--\n1 | 2", "<td>1</td>"),
        ("أين\n", "<p>أين</p>"),
    ],
)
def test_markdown_is_shown(text, html):
    assert html in guidelines.rendered(text)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,boo)",
        "![x](https://example.org/x.png)",
        "<b onclick=alert(1)>b</b>",
        "`<script>`",
        "<a href='javascript:alert(1)'>x</a>",
        "[x](https://example.org 'a\" onmouseover=\"alert(1)')",
        "<style>*{display:none}</style>",
    ],
)
def test_what_is_typed_does_no_harm(text):
    found = Tags()
    found.feed(guidelines.rendered(text))
    assert {tag for tag, _attributes in found.seen} <= {"p", "a", "code"}
    for _tag, attributes in found.seen:
        assert set(attributes) <= {"href", "rel", "title"}
        assert attributes.get("href", "https://").startswith("https://")


def test_each_change_is_a_version_and_the_same_text_is_none(project, ann):
    for version, text in enumerate(["# One", "# Two", "# Two\r\n", "  # Two"]):
        guidelines.write(project, text, ann, min(version, 2))
    assert list(project.guidelines.values_list("version", "text")) == [(2, "# Two"), (1, "# One")]
    assert DiaryEntry.objects.filter(act=Act.GUIDELINES).count() == 2


@pytest.mark.parametrize("version", [0, 2, 99])
def test_a_newer_version_is_not_overwritten(project, ann, bob, version):
    guidelines.write(project, "Ann's", ann, 0)
    with pytest.raises(Refused, match="meanwhile"):
        guidelines.write(project, "Bob's", bob, version)
    assert guidelines.newest(project).text == "Ann's"


def test_too_much_is_refused(project, ann):
    with pytest.raises(Refused, match="50,000"):
        guidelines.write(project, "x" * 50_001, ann, 0)


def test_a_manager_writes_and_what_is_refused_is_not_lost(client, project, ann, bob):
    assert "Write the first ones" in show(client, "guidelines", project.slug)
    assert 'name="version" value="0"' in show(client, "guidelines", project.slug, edit="")
    address = reverse("write_guidelines", args=[project.slug])
    client.post(address, {"text": "# Two wishes\n\nTake the first.", "version": "0"})
    assert "<h2>Two wishes</h2>" in show(client, "guidelines", project.slug)
    late = client.post(address, {"text": "my long work", "version": "0"})
    shown = late.content.decode()
    assert late.status_code == 409
    assert "my long work</textarea>" in shown
    assert 'name="version" value="1"' in shown, "seen by now: saved again it replaces"
    assert "Take the first." in shown
    client.post(address, {"text": "# Two wishes\n\nAsk.", "version": "1"})
    shown = show(client, "guidelines", project.slug, version="2")
    assert "<ins>" in shown
    assert "2 versions" in shown


def test_a_reviewer_reads_and_changes_nothing(client, project, bob):
    client.force_login(bob)
    shown = show(client, "guidelines", project.slug, edit="")
    assert "<textarea" not in shown
    assert "A manager of this project can write down" in shown
    assert client.post(reverse("write_guidelines", args=[project.slug]), {"text": "x"}).status_code == 403
    assert not Guideline.objects.exists()


def test_they_are_one_key_away_from_a_decision_and_read_only_then(client, project, ann, django_assert_num_queries):
    guidelines.write(project, "Take the *first*.", ann, 0)
    shown = show(client, "review", project.slug)
    assert 'data-key="g" data-opens="guidelines"' in shown
    assert "Take the" not in shown
    asked = client.get(reverse("guidelines", args=[project.slug]), headers={"HX-Request": "true"}).content.decode()
    assert "<em>first</em>" in asked
    assert "<html" not in asked


# Threads


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("@bob look", ["bob"]),
        ("look, @Bob.", ["bob"]),
        ("@cem.d, and @cem.d.", ["cem.d"]),
        ("(@bob) @ann", ["bob", "ann"]),
        ("bob@bob", []),
        ("@@bob", []),
        ("@nobody @", []),
        ("@bobby", []),
        ("", []),
    ],
)
def test_who_is_named(project, text, named):
    assert [user.username for user in threads.named_in(text, project)] == named


def test_who_is_no_member_or_has_left_is_not_named(project, bob):
    make_user("eve")
    bob.is_active = False
    bob.save()
    assert threads.named_in("@eve @bob", project) == []


@pytest.mark.parametrize("text", ["", "  \n", "\0"])
def test_nothing_is_not_said(project, ann, text):
    with pytest.raises(Refused, match="Say something"):
        threads.say(project.labels.first(), ann, text)


def test_too_much_is_not_said(project, ann):
    with pytest.raises(Refused, match="2,000"):
        threads.say(project.labels.first(), ann, "x" * 2001)


def test_a_comment_is_on_one_thing(project, ann, document):
    for where in ({}, {"label": project.labels.first(), "document": document}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Comment.objects.create(project=project, author=ann, text="x", **where)


def test_a_thread_at_a_label_tells_whom_it_names(client, project, ann, bob):
    label = project.labels.first()
    address = reverse("comment_on_label", args=[project.slug, label.pk])
    answer = client.post(address, {"text": "@bob @ann: with <b>pears</b>?"})
    comment = Comment.objects.get()
    assert answer["Location"] == f"/p/{project.slug}/labels/{label.pk}/#comment-{comment.pk}"
    assert "@bob @ann: with &lt;b&gt;pears&lt;/b&gt;?" in show(client, "label", project.slug, label.pk)
    assert Mention.objects.get().user == bob, "nobody tells themselves"
    assert "has mentioned you" not in show(client, "project_list")
    client.force_login(bob)
    assert "A colleague has mentioned you" in show(client, "project_list")
    shown = show(client, "mentions")
    assert "with &lt;b&gt;pears" in shown
    assert ">new</span>" in shown
    assert ">new</span>" not in show(client, "mentions")
    assert "has mentioned you" not in show(client, "project_list")


def test_nobody_is_told_of_a_project_that_they_have_left(client, project, ann, bob):
    threads.say(project.labels.first(), ann, "@bob secret")
    project.memberships.get(user=bob).delete()
    client.force_login(bob)
    assert "secret" not in show(client, "mentions")
    assert "Nobody has mentioned you yet." in show(client, "mentions")
    assert threads.n_unseen(bob) == 0


def test_a_thread_at_a_document(client, project, document, bob):
    client.post(reverse("comment_on_document", args=[project.slug, document.pk]), {"text": "@bob see https://x.org"})
    shown = show(client, "document", project.slug, document.pk)
    assert '<a href="https://x.org" rel="nofollow">' in shown
    assert threads.n_unseen(bob) == 1


@pytest.mark.parametrize("change", [{}, {"people": 2}, {"answer_first": True}])
def test_nothing_is_told_of_a_document_that_waits_for_a_blind_decision(client, project, document, ann, bob, change):
    threads.say(document, ann, "@bob it is a fig")
    entry = project.queue.first()
    assert entry.query.is_audit
    if change:
        type(entry.query).objects.filter(pk=entry.query_id).update(reason="uncertain")
    QueueEntry.objects.filter(pk=entry.pk).update(document=document, **change)
    assert threads.is_blind(document)
    with pytest.raises(Refused, match="not to know what others think"):
        threads.say(document, ann, "a fig, surely")
    client.force_login(bob)
    for shown in (show(client, "document", project.slug, document.pk), show(client, "mentions")):
        assert "it is a fig" not in shown
        assert "without knowing what others think" in shown
    entry.delete()
    assert "it is a fig" in show(client, "document", project.slug, document.pk)
    assert "it is a fig" in show(client, "mentions")


@pytest.mark.parametrize(("who", "may"), [("author", True), ("manager", True), ("other", False)])
def test_author_and_managers_remove_a_comment(client, project, ann, bob, who, may):
    comment = threads.say(project.labels.first(), bob, "@ann nonsense")
    client.force_login({"author": bob, "manager": ann, "other": account("cem.d")}[who])
    client.post(reverse("remove_comment", args=[project.slug, comment.pk]))
    assert Comment.objects.exists() != may
    assert Mention.objects.exists() != may
    assert DiaryEntry.objects.filter(act=Act.COMMENT_REMOVED).exists() == may


def test_what_was_said_goes_with_its_document_and_stays_without_its_author(project, ann, bob, document):
    said = threads.say(project.labels.first(), bob, "kept")
    threads.say(document, bob, "@ann gone")
    accounts.deactivate(bob)
    removals.delete_documents(project, ann, project.documents.filter(pk=document.pk), "ticked")
    assert list(Comment.objects.all()) == [said]
    assert not Mention.objects.exists()


def test_mentions_take_as_many_queries_for_many_as_for_one(client, project, ann, bob, django_assert_max_num_queries):
    for label in project.labels.all():
        for n in range(3):
            threads.say(label, ann, f"@bob {n}")
    client.force_login(bob)
    with django_assert_max_num_queries(8):
        assert show(client, "mentions").count("@bob") == 12
