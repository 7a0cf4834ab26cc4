"""``notify="mail"``: the user gets a mail when his task has ended."""

from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.exceptions import TaskFailed
from collective.background.interfaces import INotifier
from collective.background.interfaces import ITaskRetrying
from collective.background.showing.mail import mail_user
from collective.background.testing import drain
from email import message_from_bytes
from email.header import decode_header
from email.header import make_header
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from plone.app.testing import login
from plone.app.testing import setRoles
from plone.app.testing import TEST_USER_ID
from Products.CMFPlone.tests.utils import MockMailHost
from Products.MailHost.interfaces import IMailHost
from queue import Queue
from socketserver import StreamRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from zope.component import getGlobalSiteManager
from zope.component import getSiteManager
from zope.i18n.interfaces import ITranslationDomain
from zope.i18n.simpletranslationdomain import SimpleTranslationDomain
from zope.i18nmessageid import MessageFactory

import pytest
import socket
import transaction


class Mail:
    """A mail that was sent, decoded."""

    def __init__(self, message):
        self.to = message["To"]
        self.sender = message["From"]
        self.subject = str(make_header(decode_header(message["Subject"])))
        self.type = message.get_content_type()
        self.text = message.get_payload(decode=True).decode()


@pytest.fixture
def portal(folder):
    """A site with mail settings, and a folder."""
    site = api.portal.get()
    site.title = "Our site"
    for name, value in {
        "smtp_host": "127.0.0.1",
        "email_from_address": "site@example.org",
        "email_from_name": "The site",
    }.items():
        api.portal.set_registry_record(f"plone.{name}", value)
    user = api.user.get(TEST_USER_ID)
    user.setMemberProperties({"email": "user@example.org"})
    transaction.commit()
    return site


@pytest.fixture
def mails(portal):
    """Return a function that waits for all tasks and returns the Mails."""
    host = MockMailHost("MailHost")
    portal.MailHost = host
    getSiteManager().registerUtility(host, IMailHost)
    transaction.commit()

    def mails():
        transaction.commit()
        drain()
        return [Mail(message_from_bytes(bytes(m))) for m in portal.MailHost.messages]

    return mails


@pytest.fixture
def german():
    """The texts of an add-on that has a German translation."""
    domain = SimpleTranslationDomain("my.addon", {("de", "Import"): "Einfuhr"})
    getGlobalSiteManager().registerUtility(domain, ITranslationDomain, "my.addon")
    yield MessageFactory("my.addon")
    getGlobalSiteManager().unregisterUtility(domain, ITranslationDomain, "my.addon")


def fail():
    raise ValueError("it went <wrong>")


def fail_with(text):
    raise TaskFailed(text)


def mail_task():
    """Wait, and return the record of the task that sends the mail."""
    transaction.commit()
    drain()
    (record,) = [r for r in get_scheduler().records() if "mail_user" in r.callable]
    return record


class TestMail:
    def test_about_a_task_that_has_succeeded(self, mails, folder):
        using(title="Import", notify="mail").schedule(api.content.get_path, folder)
        (mail,) = mails()
        assert mail.to == "user@example.org"
        assert mail.sender == "The site <site@example.org>"
        assert mail.subject == "Import: done"
        assert mail.type == "text/plain"
        assert "“Import” at Our site has ended: done." in mail.text
        # Where it is found when it was moved as well.
        assert f"Content: http://nohost/plone/resolveuid/{folder.UID()}" in mail.text

    def test_about_one_that_has_failed(self, mails):
        """With the error, but without the traceback; and nothing is escaped twice."""
        using(title="Import", notify="mail").schedule(fail)
        (mail,) = mails()
        assert mail.subject == "Import: failed"
        assert "ValueError: it went <wrong>" in mail.text
        assert "Traceback" not in mail.text

    def test_about_one_that_has_failed_of_a_user_without_rights(self, mails):
        setRoles(api.portal.get(), TEST_USER_ID, ["Member"])
        task_id = using(notify="mail").schedule(fail)
        (mail,) = mails()
        error = get_scheduler().record(task_id).error
        assert f"An error has happened ({error.id})." in mail.text
        assert "wrong" not in mail.text

    def test_has_what_a_task_tells_of_its_failure(self, mails, german):
        api.user.get(TEST_USER_ID).setMemberProperties({"language": "de"})
        using(notify="mail").schedule(fail_with, german("Import"))
        (mail,) = mails()
        assert "\n\nEinfuhr\n\n" in mail.text.replace("\r\n", "\n")

    def test_about_one_that_was_cancelled_is_not_sent(self, mails):
        with waiting():
            task_id = using(notify="mail").schedule(int)
            transaction.commit()
            get_scheduler().cancel(task_id)
        assert mails() == []

    def test_without_the_option_there_is_none(self, mails):
        schedule(int)
        assert mails() == []

    def test_leads_to_the_file(self, mails, folder):
        task_id = using(notify="mail").schedule_view(
            folder, "@@plone_context_state/object_url"
        )
        (mail,) = mails()
        url = f"http://nohost/plone/@@background-result/{task_id}"
        assert f"Result: {url}" in mail.text

    def test_about_one_that_is_forgotten_by_then_leads_to_no_file(self, mails, folder):
        """As when the mail server was away for a while."""
        scheduler = get_scheduler()
        scheduler.pause("mail")
        name = "@@plone_context_state/object_url"
        task_id = using(title="Address", notify="mail").schedule_view(folder, name)
        transaction.commit()
        scheduler.wait(task_id, TIMEOUT)
        scheduler.remove(task_id)
        scheduler.resume("mail")
        (mail,) = mails()
        assert mail.subject == "Address: done"
        assert "Result:" not in mail.text

    def test_about_a_group_is_one_mail(self, mails):
        with group(title="Two of them", notify="mail"):
            schedule(int)
            schedule(fail)
        (mail,) = mails()
        assert mail.subject == "Two of them: failed"
        assert (
            "1 of 2 tasks have failed. The first one, “test_mail.fail”: " in mail.text
        )

    def test_about_one_that_is_cancelled_since_another_has_failed(self, mails):
        first = schedule(fail)
        using(after=first, title="Second", notify="mail").schedule(int)
        (mail,) = mails()
        assert mail.subject == "Second: cancelled"

    def test_is_in_the_language_that_the_user_has_chosen(self, mails, german):
        api.user.get(TEST_USER_ID).setMemberProperties({"language": "de"})
        using(title=german("Import"), notify="mail").schedule(int)
        (mail,) = mails()
        assert mail.subject.startswith("Einfuhr: ")

    def test_is_in_the_language_of_the_request_otherwise(self, mails, german):
        using(title=german("Import"), notify="mail").schedule(int)
        (mail,) = mails()
        assert mail.subject == "Import: done"

    def test_a_title_cannot_add_headers(self, mails):
        title = "Import\r\nBcc: everybody@example.org"
        using(title=title, notify="mail").schedule(int)
        (mail,) = mails()
        assert mail.subject == "Import Bcc: everybody@example.org: done"

    def test_comes_with_a_function_of_the_add_on(self, mails):
        """The option does not take the place of ``on_success``."""
        called = []

        def callback(record):
            called.append(record)

        using(notify="mail", on_success=callback).schedule(int)
        assert len(mails()) == 1
        assert len(called) == 1


class TestNoMail:
    def test_to_a_user_without_an_address(self, mails, caplog):
        api.user.get(TEST_USER_ID).setMemberProperties({"email": ""})
        task_id = using(notify="mail").schedule(int)
        assert mails() == []
        assert mail_task().state == "succeeded"
        assert f"no mail about task {task_id}" in caplog.text

    def test_to_a_user_who_is_gone(self, mails, portal):
        portal.acl_users.userFolderAddUser("guest", "a secret", ["Member"], [])
        login(portal, "guest")
        with waiting():
            task_id = using(notify="mail").schedule(int)
            transaction.commit()
            portal.acl_users.userFolderDelUsers(["guest"])
            transaction.commit()
        assert mails() == []
        assert get_scheduler().record(task_id) is None


def use_port(port):
    """Let the site send its mails to that port."""
    api.portal.set_registry_record("plone.smtp_port", port)
    api.portal.get().MailHost.smtp_port = port
    transaction.commit()


class Session(StreamRequestHandler):
    """What a mail server says to one client."""

    def handle(self):
        self.say("220 ready")
        while line := self.rfile.readline():
            word = line.split()[0].upper()
            if word == b"DATA":
                self.say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.mails.append(message_from_bytes(b"".join(lines)))
                self.say("250 taken")
            else:
                self.say(self.server.answers.get(word, "250 fine"))
            if word == b"QUIT":
                return

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")


@pytest.fixture
def server(portal):
    """A mail server that takes everything, unless its ``answers`` are others."""
    with ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.answers, server.mails = {}, []
        thread = Thread(target=server.serve_forever)
        thread.start()
        use_port(server.server_address[1])
        yield server
        server.shutdown()
        thread.join()


def first_attempt():
    """Wait for the first attempt to send a mail, and return the record of its task."""
    events = Queue()

    def note(event):
        if "mail_user" in event.record.callable:
            events.put(event.record)

    manager = getGlobalSiteManager()
    manager.registerHandler(note, (ITaskRetrying,))
    try:
        using(notify="mail").schedule(int)
        transaction.commit()
        return events.get(timeout=TIMEOUT)
    finally:
        manager.unregisterHandler(note, (ITaskRetrying,))


class TestMailServer:
    def test_takes_it(self, server):
        finished(using(notify="mail").schedule(int))
        assert mail_task().state == "succeeded"
        (mail,) = server.mails
        assert mail["To"] == "user@example.org"
        assert mail["Auto-Submitted"] == "auto-generated"

    def test_that_cannot_be_reached_is_tried_again(self, portal):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            use_port(unused.getsockname()[1])
            record = first_attempt()
            assert "ConnectionRefusedError" in record.error.type
            get_scheduler().cancel(record.id)

    @pytest.mark.parametrize("word", [b"RCPT", b"MAIL"])
    def test_that_wants_to_be_asked_again_is(self, server, word):
        server.answers[word] = "451 too busy"
        record = first_attempt()
        assert record.state == "retrying"
        get_scheduler().cancel(record.id)

    @pytest.mark.parametrize("word", [b"RCPT", b"MAIL"])
    def test_that_refuses_it_is_not_asked_again(self, server, word):
        server.answers[word] = "550 nobody here"
        task_id = finished(using(notify="mail").schedule(int)).id
        record = mail_task()
        assert record.state == "failed"
        assert record.attempts == 1
        assert record.error.type.endswith("MailRefused")
        assert "nobody here" in record.error.message
        assert get_scheduler().record(task_id).state == "succeeded"

    def test_holds_up_no_other_tasks(self, server):
        assert finished(using(notify="mail").schedule(int)).queue == "default"
        assert mail_task().queue == "mail"

    def test_that_is_not_configured(self, portal):
        api.portal.set_registry_record("plone.smtp_host", "")
        task_id = finished(using(notify="mail").schedule(int)).id
        assert mail_task().error.message == "MailHost is not configured."
        assert get_scheduler().record(task_id).state == "succeeded"


def test_what_comes_of_it_is_not_shown_to_the_user(mails):
    """The task that sends the mail is dismissed from the beginning."""
    using(notify="mail").schedule(int)
    mails()
    assert mail_task().dismissed


def test_the_function_keeps_its_name(mails):
    """By which it is found again, in the database, where tasks wait."""
    using(notify="mail").schedule(int)
    mails()
    assert mail_task().callable == "collective.background.showing.mail.mail_user"


def test_without_the_zcml_of_the_package(site):
    registry = getGlobalSiteManager()
    registry.unregisterUtility(mail_user, INotifier, "mail")
    try:
        with pytest.raises(BadOption, match="notify is 'mail', but there is no"):
            using(notify="mail").schedule(int)
    finally:
        registry.registerUtility(mail_user, INotifier, "mail")


@pytest.mark.parametrize("value", ["mial", "Mail", "e-mail"])
def test_a_mistake_gets_a_hint(value):
    with pytest.raises(BadOption, match=rf"notify is '{value}'; did you mean 'mail'\?"):
        using(notify=value)


@pytest.mark.parametrize("value", ["sms", True, 1, ""])
def test_what_is_no_way_to_tell_is_refused(value):
    with pytest.raises(BadOption, match="it must be one of: mail"):
        using(notify=value)
