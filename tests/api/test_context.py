"""At which content people see a task."""

from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_request
from collective.background import schedule_view
from collective.background import task
from collective.background import using
from collective.background.api.scheduling import get_scheduler
from collective.background.exceptions import BadOption
from functools import partial
from plone import api
from plone.dexterity.content import Item

import pytest
import transaction


NOWHERE = "http://localhost:1/"


def work(*args, **kwargs):
    """Do nothing."""


@task(context=lambda name, folder: folder.get(name))
def make(name, folder):
    """Do nothing."""


class NeverStored:
    """Has a path, as things of the skins tool have, and no place in a database."""

    def getPhysicalPath(self):
        return ("", "plone", "never-stored")


@pytest.fixture
def page(folder):
    content = api.content.create(folder, "Document", "page")
    transaction.commit()
    return content


def context_of(task_id):
    """Return path and UID, which people are shown."""
    record = get_scheduler().record(task_id)
    return record.context_path, record.context_uid


def here(content):
    return "/".join(content.getPhysicalPath()), content.UID()


class TestDefault:
    def test_the_first_argument_that_is_content(self, tier, page, folder):
        for task_id in (
            schedule(work, page, folder),
            schedule(work, "a text", {"a": folder}, page, folder),
            schedule(work, 1, page=page),
            schedule(partial(work, 1, page), folder),
            schedule(partial(work, page=page), 1),
            schedule_batch(work, [1, 2], "a text", page),
        ):
            assert context_of(task_id) == here(page)

    def test_before_that_the_object_of_a_method(self, tier, page, folder):
        assert context_of(schedule(page.setTitle, folder)) == here(page)

    def test_the_context_of_a_view(self, tier, page):
        assert context_of(schedule_view(page, "view")) == here(page)

    def test_there_may_be_none(self, tier, folder):
        assert context_of(schedule(work, "a text", [folder])) == (None, None)
        assert context_of(schedule_request("GET", NOWHERE)) == (None, None)


class TestChosen:
    def test_for_any_call(self, tier, page, folder):
        there = using(context=page)
        for task_id in (
            there.schedule(work, folder),
            there.schedule(folder.setTitle, "x"),
            there.schedule_view(folder, "view"),
            there.schedule_request("GET", NOWHERE),
            there.schedule_batch(work, [1, 2], folder),
            there.schedule_batch(work, [], folder, inline_below=1),
        ):
            assert context_of(task_id) == here(page)

    def test_content_of_the_same_transaction(self, tier, folder):
        new = api.content.create(folder, "Document", "new")
        task_id = using(context=new).schedule(work)
        path, uid = here(new)
        assert context_of(task_id) == (path, uid)

    def test_by_a_function_of_the_arguments(self, tier, page, folder):
        assert context_of(make.schedule("page", folder)) == here(page)
        # It may have none, and then it is as without it.
        assert context_of(make.schedule("other", folder)) == here(folder)

    def test_the_task_runs_as_it_would(self, tier, page, folder):
        task_id = using(context=page).schedule(folder.setTitle, "Another title")
        transaction.commit()
        assert get_scheduler().wait(task_id, 60).state == "succeeded"
        transaction.begin()
        assert (folder.title, page.title) == ("Another title", "")

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda page: Item("new"), "not stored in the database"),
            (lambda page: page.aq_base, "without its folder"),
            (lambda page: NeverStored(), "without its folder"),
        ],
    )
    def test_content_without_a_place_is_refused(self, tier, page, make, words):
        with pytest.raises(BadOption, match=words):
            using(context=make(page)).schedule(work)

    def test_a_function_has_to_return_content(self, tier):
        with pytest.raises(BadOption, match=r"context\(…\) has to return"):
            using(context=lambda: "/plone/page").schedule(work)
