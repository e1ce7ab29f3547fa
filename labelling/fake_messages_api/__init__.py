"""A stand-in for the Messages API on this machine: for tests, and for trying the product without a key.

It answers questions about labels by comparing words, or from true labels as often as it is told to, counts tokens,
caches prompts and keeps batches as the real one does, fails on demand in every way that the real one can, and keeps
books of its own: what it was asked, and what it would have charged.
"""

from labelling.fake_messages_api.answers import Reply, answer, error, message
from labelling.fake_messages_api.failures import FAILURES, Fault
from labelling.fake_messages_api.model import FakeModel
from labelling.fake_messages_api.server import MessagesApi, Request
from labelling.fake_messages_api.truth import Truth

__all__ = ["FAILURES", "FakeModel", "Fault", "MessagesApi", "Reply", "Request", "Truth", "answer", "error", "message"]
