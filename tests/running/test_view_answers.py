"""What becomes of the answer of a view: the task's result, or its error."""

from AccessControl import Unauthorized
from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule_view
from collective.background import using
from collective.background.model.spool import MEMORY_LIMIT
from collective.background.running import retrying
from helpers import body_of
from helpers import failure_of
from helpers import finished
from helpers import kept_files
from helpers import result_of
from plone import api
from plone.namedfile import NamedBlobFile
from zExceptions import BadRequest
from zExceptions import Forbidden
from zExceptions import HTTPNoContent
from zExceptions import HTTPSeeOther
from zExceptions import HTTPServiceUnavailable
from zExceptions import NotFound
from zExceptions import Redirect
from ZODB.POSException import ConflictError
from zope.interface import implementer
from zope.publisher.interfaces import NotFound as PublisherNotFound
from ZPublisher.Iterators import filestream_iterator
from ZPublisher.Iterators import IUnboundStreamIterator

import os
import pytest
import transaction


pytestmark = pytest.mark.usefixtures("views")


def act(context, function, **kwargs):
    """Schedule a view that answers with what ``function(view)`` returns."""
    return schedule_view(context, "@@act", {"function": function}, **kwargs)


def rename(view):
    """Change the context of the view."""
    view.context.setTitle("Changed")


def raising(error):
    """Return what a view can do: change its context, then raise ``error``."""

    def function(view):
        rename(view)
        raise error

    return function


@implementer(IUnboundStreamIterator)
class Chunks:
    """An iterator of unknown length, as it may be published."""

    def __init__(self, chunks):
        self._chunks = iter(chunks)
        self.closed = False

    def __next__(self):
        return next(self._chunks)

    def close(self):
        self.closed = True


class TestBodies:
    @pytest.mark.parametrize(
        ("returned", "body"),
        [("text with ä €", "text with ä €".encode()), (b"bytes", b"bytes"), (7, b"7")],
    )
    def test_what_is_returned(self, folder, returned, body):
        response = result_of(act(folder, lambda view: returned))
        assert response.status == 200
        assert response.body == body

    @pytest.mark.parametrize("returned", ["", None])
    def test_an_empty_one(self, folder, returned):
        response = result_of(act(folder, lambda view: returned))
        assert response.status == 204
        assert response.body == b""

    @pytest.mark.parametrize("status", [204, 304])
    def test_none_where_a_server_sends_none(self, folder, status):
        """As services of the REST API do, whose None is "null" otherwise."""

        def answer(view):
            view.request.response.setStatus(status)
            return "null"

        response = result_of(act(folder, answer))
        assert (response.status, response.body) == (status, b"")

    def test_what_was_written(self, folder):
        def write(view):
            view.request.response.setHeader("Content-Type", "text/csv")
            view.request.response.write(b"a,b\n")
            view.request.response.write(b"c,d\n")

        response = result_of(act(folder, write))
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.body == b"a,b\nc,d\n"

    def test_a_file(self, tmp_path, folder):
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        opened = []

        def open_file(view):
            opened.append(path.open("rb"))
            return opened[0]

        response = result_of(act(folder, open_file))
        assert response.body == b"0123456789"
        assert response.headers["Content-Length"] == "10"
        assert opened[0].closed

    def test_a_file_iterator(self, tmp_path, folder):
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        task_id = act(folder, lambda view: filestream_iterator(str(path), streamsize=3))
        assert body_of(task_id) == "0123456789"

    def test_an_iterator_without_a_length(self, folder):
        made = []

        def stream(view):
            made.append(Chunks([b"one ", b"", b"two"]))
            return made[0]

        assert body_of(act(folder, stream)) == "one two"
        assert made[0].closed

    def test_an_iterator_that_fails(self, folder):
        def chunks():
            yield b"one "
            raise ValueError("broken")

        def stream(view):
            rename(view)
            return Chunks(chunks())

        record, response = failure_of(act(folder, stream))
        assert record.error.message == "broken"
        assert response.status == 500
        assert folder.title == "A folder"

    def test_a_small_one_stays_in_memory(self, folder):
        response = result_of(act(folder, lambda view: b"x" * MEMORY_LIMIT))
        assert not response.spool.on_disk

    def test_a_large_file_goes_to_disk_until_the_record_goes(self, folder):
        data = os.urandom(MEMORY_LIMIT + 1)
        file = api.content.create(
            folder, "File", "file", file=NamedBlobFile(data, filename="random.bin")
        )
        task_id = schedule_view(file, "@@download")
        response = result_of(task_id)
        assert response.spool.on_disk
        assert response.body == data
        assert response.headers["Content-Length"] == str(len(data))
        assert "random.bin" in response.headers["Content-Disposition"]

        get_scheduler().remove(task_id)
        assert response.body == data  # for as long as somebody has it
        before = kept_files()
        del response
        assert kept_files() < before


class TestHeaders:
    def test_are_kept(self, folder):
        def answer(view):
            view.request.response.setHeader("X-One", "1")
            view.request.response.addHeader("Link", "<a>")
            view.request.response.addHeader("Link", "<b>")
            return "text"

        headers = result_of(act(folder, answer)).headers
        assert headers["x-one"] == "1"
        assert headers["Link"] == "<a>, <b>"
        assert headers["Content-Length"] == "4"

    def test_cookies_are_not(self, folder):
        def answer(view):
            view.request.response.setCookie("token", "secret")
            view.request.response.addHeader("Set-Cookie", "token=secret")
            return "text"

        headers = result_of(act(folder, answer)).headers
        assert "secret" not in str(headers.items())

    def test_none_reaches_the_visitor(self, functional_http_request, folder):
        visitors = functional_http_request.response

        def answer(view):
            view.request.response.setCookie("token", "secret")
            view.request.response.setHeader("X-One", "1")
            view.request.response.setStatus(201)
            return "text"

        task_id = act(folder, answer)
        before = dict(visitors.headers), dict(visitors.cookies)
        assert result_of(task_id).status == 201
        assert (visitors.headers, visitors.cookies) == before
        assert visitors.status == 200
        assert visitors.body == b""


class TestRedirects:
    @pytest.mark.parametrize("location", ["http://example.org/a?b=c#d", "../b", "/c"])
    def test_of_the_response(self, folder, location):
        def redirect(view):
            rename(view)
            view.request.response.redirect(location)

        task_id = act(folder, redirect)
        assert finished(task_id).state == "succeeded"
        response, _ = get_scheduler().get_result(task_id)
        assert (response.status, response.location) == (302, location)
        assert folder.title == "Changed"

    @pytest.mark.parametrize("location", ["http://example.org/a?b=c#d", "../b", "/c"])
    @pytest.mark.parametrize(
        ("error", "status"), [(Redirect, 302), (HTTPSeeOther, 303)]
    )
    def test_that_are_raised(self, folder, location, error, status):
        """Nothing is committed then, as in a request."""
        task_id = act(folder, raising(error(location)))
        assert finished(task_id).state == "succeeded"
        response, _ = get_scheduler().get_result(task_id)
        assert (response.status, response.location) == (status, location)
        assert folder.title == "A folder"

    def test_there_is_no_location_otherwise(self, folder):
        assert result_of(act(folder, lambda view: "text")).location is None


class TestErrors:
    def test_one_that_is_busy_is_asked_again(self, folder, monkeypatch):
        """With ``retries``; only the answer that is good counts."""
        monkeypatch.setattr(retrying, "uniform", lambda low, high: 0)
        answers = [HTTPServiceUnavailable("later"), None]

        def answer(view):
            view.context.setTitle(f"{view.context.title}, changed")
            error = answers.pop(0)
            if error is not None:
                raise error
            return "now"

        form = {"function": answer}
        task_id = using(retries=1).schedule_view(folder, "@@act", form)
        record = finished(task_id)
        assert record.state == "succeeded"
        assert record.attempts == 2
        assert body_of(task_id) == "now"
        assert folder.title == "A folder, changed"

    @pytest.mark.parametrize("status", [200, 202, 304, 400, 403, 404, 409, 500, 503])
    def test_a_status_alone_is_none(self, folder, status):
        """The publisher commits, and so does the task."""

        def answer(view):
            rename(view)
            view.request.response.setStatus(status)
            return "why"

        task_id = act(folder, answer)
        assert finished(task_id).state == "succeeded"
        assert folder.title == "Changed"
        response = result_of(task_id)
        assert response.status == status

    @pytest.mark.parametrize(
        ("error", "name", "status"),
        [
            (BadRequest("x"), "zExceptions.BadRequest", 400),
            (Unauthorized("x"), "AccessControl.unauthorized.Unauthorized", 401),
            (Forbidden("x"), "zExceptions.Forbidden", 403),
            (NotFound("x"), "zExceptions.NotFound", 404),
            (PublisherNotFound("x", "y"), "zope.publisher.interfaces.NotFound", 404),
            (ValueError("x"), "builtins.ValueError", 500),
            (KeyError("x"), "builtins.KeyError", 500),
        ],
    )
    def test_an_exception(self, folder, error, name, status):
        record, response = failure_of(act(folder, raising(error)))
        assert record.error.type == name
        assert "raise error" in record.error.traceback
        assert record.has_result
        assert response.status == status
        assert response.body == b""
        assert folder.title == "A folder"

    def test_the_exception_of_a_view_is_that_of_the_task(self, folder):
        task_id = act(folder, raising(ValueError("the number is odd")))
        finished(task_id)
        _, exception = get_scheduler().get_result(task_id)
        assert isinstance(exception, ValueError)
        assert str(exception) == "the number is odd"

    def test_a_status_that_is_raised_without_being_an_error(self, folder):
        task_id = act(folder, raising(HTTPNoContent("x")))
        assert finished(task_id).state == "succeeded"
        response, _ = get_scheduler().get_result(task_id)
        assert response.status == 204
        assert folder.title == "A folder"

    def test_a_view_that_is_cancelled_has_not_failed(self, folder):
        def cancel_itself(view):
            rename(view)
            task = current_task()
            get_scheduler().cancel(task.id)
            task.check_cancelled()

        record = finished(act(folder, cancel_itself))
        assert record.state == "cancelled"
        assert not record.has_result
        assert folder.title == "A folder"

    def test_a_conflict_is_repeated(self, folder):
        attempts = []

        def conflicting(view):
            rename(view)
            attempts.append(view.request)
            if len(attempts) < 3:
                raise ConflictError
            return "in the end"

        assert body_of(act(folder, conflicting)) == "in the end"
        assert len({id(request) for request in attempts}) == 3

    def test_a_conflict_with_another_transaction_is_repeated(self, folder):
        attempts = []

        def conflicting(view):
            attempts.append(view.context.title)
            if len(attempts) == 1:
                change_elsewhere(view.context)
            view.context.title += "!"

        result_of(act(folder, conflicting))
        assert attempts == ["A folder", "Elsewhere"]
        assert folder.title == "Elsewhere!"


def change_elsewhere(context):
    """Commit a new title of the context in a connection of its own."""
    manager = transaction.TransactionManager()
    connection = context._p_jar.db().open(manager)
    try:
        connection.get(context._p_oid).title = "Elsewhere"
        manager.commit()
    finally:
        connection.close()
