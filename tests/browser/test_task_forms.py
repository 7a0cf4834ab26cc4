"""``@@background-task-action``: a user cancels, retries and dismisses his own tasks."""

from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.browser import wholes
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from visitors import ACTION
from visitors import VIEWLET

import pytest
import transaction


JSON = {"Accept": "application/json"}


def state_of(task_id):
    return get_scheduler().record(task_id).state


@pytest.fixture
def queued(portal):
    """The id of a task of editor1 that waits, as long as the test goes on."""
    with waiting():
        task_id = using(title="A <task>").schedule(int)
        transaction.commit()
        yield task_id
        get_scheduler().remove(task_id)


class TestWithoutScript:
    """The browser is sent back, and the page says what has happened."""

    def message_after(self, editor, answer):
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"{editor.url}/folder/@@background-tasks"
        page = editor.see("folder/@@background-tasks")
        return page.select_one("#global_statusmessage").text

    def act(self, editor, task_id, action):
        return editor.act(task_id, action, "folder")

    def test_cancel(self, editor, queued):
        answer = self.act(editor, queued, "cancel")
        assert state_of(queued) == "cancelled"
        assert "“A <task>” is cancelled." in self.message_after(editor, answer)

    def test_cancel_what_has_ended(self, editor, done):
        answer = self.act(editor, done, "cancel")
        assert state_of(done) == "succeeded"
        assert "has ended already" in self.message_after(editor, answer)

    def test_retry(self, editor, failed):
        with waiting():
            answer = self.act(editor, failed, "retry")
            assert state_of(failed) == "queued"
        assert get_scheduler().wait(failed, TIMEOUT).attempts == 2
        assert "“Failing” is queued again." in self.message_after(editor, answer)

    def test_retry_what_cannot_be(self, editor, done):
        answer = self.act(editor, done, "retry")
        assert "cannot be tried again" in self.message_after(editor, answer)

    def test_dismiss(self, editor, failed):
        answer = self.act(editor, failed, "dismiss")
        message = self.message_after(editor, answer)
        assert "“Failing” is not shown any more." in message
        assert editor.see().select(VIEWLET) == []
        assert get_scheduler().record(failed).dismissed

    def test_dismiss_what_has_not_ended(self, editor, queued):
        answer = self.act(editor, queued, "dismiss")
        assert "Only a task that has ended" in self.message_after(editor, answer)
        assert list(editor.tasks()) == [queued]

    def test_the_message_is_escaped(self, editor, queued):
        self.act(editor, queued, "cancel")
        assert "“A &lt;task&gt;” is cancelled." in editor.get("").text

    def test_dismiss_what_has_ended(self, editor, done, failed):
        with waiting():
            queued = schedule(int)
            transaction.commit()
            answer = self.act(editor, done, "dismiss-finished")
            message = self.message_after(editor, answer)
            assert "Tasks that have ended are not shown any more." in message
            assert list(editor.tasks()) == [queued]

    @pytest.mark.parametrize(
        "url",
        ["http://example.org/", "//example.org", "javascript:alert(1)", "\\\\x", ""],
    )
    def test_nobody_is_sent_to_another_site(self, editor, done, url):
        answer = editor.act(done, "dismiss", came_from=url)
        assert answer.headers["Location"] == editor.url


class TestForTheScript:
    """It is told whether it was done, and asks for the list then."""

    def test_cancel(self, editor, queued):
        answer = editor.act(queued, "cancel", headers=JSON)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json() == {"error": ""}
        assert state_of(queued) == "cancelled"

    def test_retry(self, editor, failed):
        with waiting():
            answer = editor.act(failed, "retry", headers=JSON)
            assert answer.json() == {"error": ""}
            assert state_of(failed) == "queued"

    def test_dismiss(self, editor, done):
        answer = editor.act(done, "dismiss", headers=JSON)
        assert answer.json() == {"error": ""}
        assert get_scheduler().record(done).dismissed

    def test_what_is_not_possible(self, editor, done):
        answer = editor.act(done, "retry", headers=JSON)
        assert answer.status_code == 409
        assert answer.json() == {"error": "This task cannot be tried again."}

    def test_what_there_is_no_room_for(self, editor, failed, settings):
        settings(max_waiting=1)
        with waiting():
            schedule(int)
            transaction.commit()
            answer = editor.act(failed, "retry", headers=JSON)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "takes no more tasks now" in answer.json()["error"]
        assert state_of(failed) == "failed"

    def test_dismiss_what_has_ended_but_no_group_that_goes_on(self, editor, failed):
        with group(title="Both") as both:
            ended = schedule(int)
            goes_on = using(delay=3600).schedule(int)
        finished(ended)
        editor.act(failed, "dismiss-finished", headers=JSON)
        assert list(editor.tasks()) == [both.id]
        assert not get_scheduler().record(ended).dismissed
        get_scheduler().cancel(goes_on)
        editor.act(both.id, "dismiss-finished", headers=JSON)
        assert editor.see().select(VIEWLET) == []
        assert get_scheduler().record(ended).dismissed

    def test_dismiss_what_has_ended_and_was_forgotten_meanwhile(
        self, editor, done, failed, monkeypatch
    ):
        dismiss = wholes.dismiss_task

        def forget_first(id):
            if id == done:
                get_scheduler().remove(id)
            return dismiss(id)

        monkeypatch.setattr(wholes, "dismiss_task", forget_first)
        answer = editor.act(failed, "dismiss-finished", headers=JSON)
        assert answer.json() == {"error": ""}
        assert get_scheduler().record(failed).dismissed

    def test_a_group(self, editor, portal):
        """What is done to it is done to its tasks."""
        with waiting():
            with group(title="Both") as both:
                ids = [schedule(int) for _ in "12"]
            transaction.commit()
            editor.act(both.id, "cancel", headers=JSON)
        assert {state_of(id) for id in ids} == {"cancelled"}
        assert editor.act(both.id, "dismiss", headers=JSON).json() == {"error": ""}
        assert editor.see().select(VIEWLET) == []


class TestRefused:
    def post(self, visitor, headers=None, **form):
        return visitor.post(ACTION, data=form, headers=headers, allow_redirects=False)

    @pytest.mark.parametrize("action", ["cancel", "retry", "dismiss"])
    def test_anothers_task_is_as_unknown_as_one_that_is_not(
        self, other, editor, failed, action
    ):
        own = finished(using(user="editor2").schedule(int)).id
        for task_id in (failed, "0" * 32):
            answer = other.act(own, action, id=task_id)
            assert answer.status_code == 404
        assert state_of(failed) == "failed"
        assert not get_scheduler().record(failed).dismissed

    def test_without_the_token_of_the_page(self, editor, queued):
        form = editor.form_of(queued)
        del form["_authenticator"]
        assert self.post(editor, action="cancel", **form).status_code == 403
        form["_authenticator"] = "0" * 40
        assert self.post(editor, action="cancel", **form).status_code == 403
        assert state_of(queued) == "queued"

    def test_with_the_token_of_somebody_else(self, editor, other, failed):
        theirs = finished(using(user="editor2").schedule(int)).id
        token = other.form_of(theirs)["_authenticator"]
        form = {**editor.form_of(failed), "_authenticator": token}
        assert self.post(editor, action="retry", **form).status_code == 403
        assert state_of(failed) == "failed"

    def test_by_a_get(self, editor, queued):
        params = {**editor.form_of(queued), "action": "cancel"}
        assert editor.get(ACTION, params=params).status_code == 403
        assert state_of(queued) == "queued"

    @pytest.mark.parametrize("action", ["forget", "", "_act"])
    def test_what_is_no_action(self, editor, queued, action):
        answer = editor.act(queued, action, headers=JSON)
        assert answer.status_code == 400
        assert (
            "it must be one of cancel, retry, dismiss, dismiss-finished" in answer.text
        )

    def test_anonymous_visitors(self, anonymous, editor, queued):
        form = editor.form_of(queued)
        answer = self.post(anonymous, action="cancel", **form)
        assert "require_login" in answer.headers["Location"]
        answer = self.post(anonymous, headers=JSON, action="cancel", **form)
        assert answer.status_code == 401
        assert state_of(queued) == "queued"

    def test_where_only_managers_may_cancel(self, editor, failed, queued, setting):
        setting("owners_may_cancel", False)
        for task_id, action in ((queued, "cancel"), (failed, "retry")):
            answer = editor.act(task_id, action, headers=JSON)
            assert answer.status_code == 401
        assert (state_of(queued), state_of(failed)) == ("queued", "failed")
        assert editor.act(failed, "dismiss", headers=JSON).status_code == 200
