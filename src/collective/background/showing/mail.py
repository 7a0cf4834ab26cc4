"""``notify="mail"``: a mail to the user when a task has ended.

Comes in: the record of the task, in a task of the same user that is scheduled when
the other one has ended, see ``capture/callbacks.py``, which finds it as an INotifier.
So whatever the mail server does comes too late to change anything. It has a queue of
its own, since a mail server may take its time. The mail is sent inside of that task,
which fails if it was refused, and tries again if there may be a point in it.
"""

from collective.background.api.functions import task
from collective.background.capture.call import BATCH
from collective.background.exceptions import MailRefused
from collective.background.interfaces import INotifier
from collective.background.interfaces import ITransactionalScheduler
from collective.background.model.config import MAIL_QUEUE
from collective.background.model.messages import _
from collective.background.showing.presentation import duration
from collective.background.showing.presentation import error_text
from collective.background.showing.presentation import state_label
from collective.background.showing.results import content_url
from collective.background.showing.results import download_url
from collective.background.showing.results import failures_url
from collective.background.showing.results import is_for_people
from collective.background.showing.results import result_page
from collective.background.showing.visibility import shown
from email.mime.text import MIMEText
from plone import api
from smtplib import SMTPRecipientsRefused
from smtplib import SMTPResponseException
from zope.component import getUtility
from zope.component.hooks import getSite
from zope.globalrequest import getRequest
from zope.i18n import translate
from zope.i18nmessageid import Message
from zope.interface import provider

import logging


logger = logging.getLogger(__name__)

# Half a day in all, since delays are random and doubled up to an hour: time enough for
# a mail server that is away.
RETRIES = 16
BACKOFF = 60.0  # seconds
PERMANENT = 500  # RFC 5321: from here on there is no point in trying again


@provider(INotifier)
@task(queue=MAIL_QUEUE, retries=RETRIES, backoff=BACKOFF, retry_on=OSError)
def mail_user(record):
    """Send a mail about the task of ``record`` to the current user.

    One without an address gets none, which is logged. Raises ValueError if the site
    has no mail settings, MailRefused, and what the connection to the server raises.
    """
    address = _address_of_user()
    if not address:
        logger.warning(
            "no mail about task %s: the user %s has no address",
            record.id,
            record.user_id or "(anonymous)",
        )
        return
    language = _language()

    def text(message, **mapping):
        if mapping:
            message = Message(message, mapping=mapping)
        return translate(message, target_language=language)

    # On one line: titles may have been made of what a visitor has written.
    title = " ".join(text(record.title).split())
    state = text(state_label(record))
    body = "\n\n".join(filter(None, _paragraphs(record, title, state, text)))
    mail = MIMEText(body, "plain", "utf-8")
    # RFC 3834: nobody's holiday notice is to answer it.
    mail["Auto-Submitted"] = "auto-generated"
    _send(mail, address, text(_("${title}: ${state}"), title=title, state=state))


def _send(mail, address, subject):
    """Send it at once: at the commit nobody would learn that it was refused."""
    try:
        api.portal.send_email(
            recipient=address, subject=subject, body=mail, immediate=True
        )
    except SMTPRecipientsRefused as error:
        answers = error.recipients.values()
        if all(code >= PERMANENT for code, text in answers):
            raise MailRefused(
                f"the mail server refuses the recipient: {error}"
            ) from error
        raise
    except SMTPResponseException as error:
        if error.smtp_code >= PERMANENT:
            raise MailRefused(f"the mail server refuses the mail: {error}") from error
        raise


def _paragraphs(record, title, state, text):
    """Return the parts of the mail, as a list of texts."""
    site = api.portal.get()
    parts = [
        text(
            _("Your task “${title}” at ${site} has ended: ${state}."),
            title=title,
            site=site.Title(),
            state=state,
        )
    ]
    if record.run_time is not None:
        parts.append(text(_("It took ${time}."), time=duration(record.run_time)))
    if record.error is not None:
        parts.append(text(error_text(shown(record).error)))
    parts += [text(message.text) for message in record.messages]
    links = {
        _("Result: ${url}"): _result_url(record),
        _("Content: ${url}"): content_url(record, getRequest()),
        _("Site: ${url}"): site.absolute_url(),
    }
    parts.append("\n".join(text(link, url=url) for link, url in links.items() if url))
    return parts


def _address_of_user():
    if getSite() is None or api.user.is_anonymous():
        return None
    return api.user.get_current().getProperty("email", None)


def _language():
    """Return what the user has chosen, or the language in which he has worked."""
    chosen = api.user.get_current().getProperty("language", None)
    return chosen or api.portal.get_current_language()


def _result_url(record):
    if record.kind == BATCH or not is_for_people(record):
        return failures_url(record)
    result = getUtility(ITransactionalScheduler).peek_result(record.id)
    return result_page(result) or download_url(record.id, result)
