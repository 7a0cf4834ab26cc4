"""A task runs as the user who scheduled it, with the rights that he has by then."""

from AccessControl import getSecurityManager
from AccessControl import SpecialUsers
from AccessControl.SecurityManagement import newSecurityManager
from AccessControl.SecurityManagement import noSecurityManager
from AccessControl.users import UnrestrictedUser
from Acquisition import aq_base
from Acquisition import aq_parent
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.capture.users import current_user
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from helpers import finished
from helpers import result_of
from helpers import waiting
from OFS.userfolder import manage_addUserFolder
from plone import api
from plone.app.testing import login
from plone.app.testing import SITE_OWNER_NAME
from plone.app.testing import TEST_USER_ID
from zope.globalrequest import getRequest

import pytest
import transaction


GONE = "collective.background.exceptions.UserGone"


class TemporaryUser(UnrestrictedUser):
    """As in Plone's documentation."""

    def getId(self):
        return self.getUserName()


def who():
    """Return who is asking, by all the ways that there are to know."""
    user = getSecurityManager().getUser()
    assert getRequest()["AUTHENTICATED_USER"] is user
    assert api.user.get_current().getId() == user.getId()
    folder = aq_parent(user)
    return (
        user.getId(),
        user.getUserName(),
        folder and "/".join(folder.getPhysicalPath()),
        sorted(user.getRoles()),
    )


def may(permission, context):
    return api.user.has_permission(permission, obj=context)


def become(user):
    newSecurityManager(None, user)


@pytest.fixture
def editor(site, folder):
    """A user of the site, who is the current one and has no rights in the folder."""
    api.user.create(
        username="editor1", email="editor1@example.org", password="editor1-password"
    )
    transaction.commit()
    login(site, "editor1")
    return "editor1"


@pytest.fixture
def deep(folder):
    """A user of a user folder inside of the site, who is the current one."""
    manage_addUserFolder(folder)
    folder.acl_users._doAddUser("deep", "deep-password", ["Editor"], [])
    transaction.commit()
    become(folder.acl_users.getUser("deep").__of__(folder.acl_users))
    return folder.acl_users


class TestWho:
    def test_user_of_the_site(self, editor):
        assert result_of(schedule(who)) == (
            editor,
            editor,
            "/plone/acl_users",
            ["Authenticated", "Member"],
        )

    def test_user_of_zope(self, site):
        app = site.getPhysicalRoot()
        login(app, SITE_OWNER_NAME)
        assert result_of(schedule(who)) == (
            SITE_OWNER_NAME,
            SITE_OWNER_NAME,
            "/acl_users",
            ["Authenticated", "Manager"],
        )

    def test_user_of_a_folder_below_the_site(self, deep, folder):
        def function():
            return who()[:3], may("Modify portal content", folder)

        user = ("deep", "deep", "/plone/folder/acl_users")
        assert result_of(schedule(function)) == (user, True)

    def test_anonymous(self, site, folder):
        noSecurityManager()
        task_id = schedule(who)
        user_id, _, path, roles = result_of(task_id)
        assert (user_id, path, roles) == (None, "/plone/acl_users", ["Anonymous"])
        assert result_of(schedule(may, "Modify portal content", folder)) is False

    def test_emergency_user(self, site, monkeypatch):
        rescue = UnrestrictedUser("rescue", "password", ("manage",), [])
        monkeypatch.setattr(SpecialUsers, "emergency_user", rescue)
        become(rescue.__of__(site.getPhysicalRoot().acl_users))

        def function():
            user = getSecurityManager().getUser()
            return user.getUserName(), may("Manage portal", api.portal.get())

        assert result_of(schedule(function)) == ("rescue", True)

    def test_emergency_user_who_is_gone(self, site, monkeypatch):
        """His file was removed, which needs a restart; so this takes a persistent
        record, or a process that forgets him."""
        rescue = UnrestrictedUser("rescue", "password", ("manage",), [])
        monkeypatch.setattr(SpecialUsers, "emergency_user", rescue)
        become(rescue.__of__(site.getPhysicalRoot().acl_users))
        with waiting():
            task_id = schedule(who)
            transaction.commit()
            monkeypatch.undo()
        record = finished(task_id)
        assert record.error.type == GONE
        assert "the emergency user 'rescue' no longer exists" in record.error.message

    def test_zope_itself(self, site):
        become(SpecialUsers.system)

        def function():
            user = getSecurityManager().getUser()
            return aq_base(user) is SpecialUsers.system

        assert result_of(schedule(function)) is True

    def test_the_record_says_it(self, editor):
        record = finished(schedule(who))
        assert (record.user_id, record.user_path) == (editor, "/plone/acl_users")

    def test_what_he_creates_is_his(self, site, folder, editor):
        roles = ["Editor", "Contributor"]
        api.user.grant_roles(username=editor, roles=roles, obj=folder)

        def function(container):
            api.content.create(container, "Document", "made")

        assert finished(schedule(function, folder)).state == "succeeded"
        made = folder["made"]
        assert made.Creator() == editor
        assert made.getOwner().getId() == editor
        assert api.user.get_roles(username=editor, obj=made, inherit=False) == ["Owner"]


class TestRightsWhenItStarts:
    """Neither those when it was scheduled, nor a copy of them."""

    @pytest.fixture
    def task_id(self, editor, folder):
        """A task that asks for a right, and has not started."""
        with waiting():
            task_id = schedule(may, "Modify portal content", folder)
            transaction.commit()
            yield task_id

    def test_without_a_change(self, task_id):
        get_scheduler().resume("default")
        assert result_of(task_id) is False

    def test_role_that_was_granted(self, task_id, editor):
        api.user.grant_roles(username=editor, roles=["Editor"])
        transaction.commit()
        get_scheduler().resume("default")
        assert result_of(task_id) is True

    def test_local_role_that_was_granted(self, task_id, editor, folder):
        api.user.grant_roles(username=editor, roles=["Editor"], obj=folder)
        transaction.commit()
        get_scheduler().resume("default")
        assert result_of(task_id) is True

    def test_group_that_was_joined(self, task_id, editor):
        api.group.add_user(groupname="Administrators", username=editor)
        transaction.commit()
        get_scheduler().resume("default")
        assert result_of(task_id) is True

    def test_rights_that_were_revoked(self, editor, folder):
        api.user.grant_roles(username=editor, roles=["Editor"])
        api.group.add_user(groupname="Administrators", username=editor)
        api.user.grant_roles(username=editor, roles=["Editor"], obj=folder)
        transaction.commit()
        login(api.portal.get(), editor)
        assert may("Modify portal content", folder)
        with waiting():
            task_id = schedule(may, "Modify portal content", folder)
            transaction.commit()
            api.group.remove_user(groupname="Administrators", username=editor)
            api.user.revoke_roles(username=editor, roles=["Editor"])
            api.user.revoke_roles(username=editor, roles=["Editor"], obj=folder)
            transaction.commit()
        assert result_of(task_id) is False


class TestNeverMoreRights:
    def test_than_he_has(self, folder, editor):
        def function(container):
            api.content.create(container, "Document", "made")

        record = finished(schedule(function, folder))
        assert record.state == "failed"
        assert "made" not in folder

    def test_by_adopted_roles(self, folder, editor):
        with api.env.adopt_roles(["Manager"]):
            assert may("Modify portal content", folder)
            task_id = schedule(may, "Modify portal content", folder)
            transaction.commit()
        assert result_of(task_id) is False

    def test_by_adopted_roles_of_nobody(self, folder):
        noSecurityManager()
        with api.env.adopt_roles(["Manager"]):
            task_id = schedule(may, "Modify portal content", folder)
            transaction.commit()
        assert result_of(task_id) is False

    def test_by_adopting_a_user(self, folder, editor):
        """He is the current one, and nothing of the other is left."""
        login(folder.getPhysicalRoot(), SITE_OWNER_NAME)
        with api.env.adopt_user(username=editor):
            task_id = schedule(who)
            transaction.commit()
        assert result_of(task_id)[0] == editor

    @pytest.mark.parametrize("wrapped", [True, False])
    def test_by_a_temporary_user(self, site, folder, editor, wrapped):
        """As code makes one to do what the visitor must not."""
        user = TemporaryUser(editor, "", ["Manager"], [])
        become(user.__of__(site.acl_users) if wrapped else user)
        assert may("Modify portal content", folder)
        may_in_task = schedule(may, "Modify portal content", folder)
        who_in_task = schedule(who)
        assert result_of(may_in_task) is False
        assert result_of(who_in_task) == (
            editor,
            editor,
            "/plone/acl_users",
            ["Authenticated", "Member"],
        )

    def test_by_a_temporary_user_whom_nobody_knows(self, site):
        become(TemporaryUser("ghost", "", ["Manager"], []))
        with pytest.raises(BadOption, match="'ghost'"):
            schedule(who)

    def test_by_a_temporary_user_without_an_id(self, site):
        become(UnrestrictedUser("ghost", "", ["Manager"], []))
        with pytest.raises(NotPortable, match="'ghost'"):
            schedule(who)


class TestWhoIsGone:
    def test_deleted(self, site, editor):
        calls = []
        with waiting():
            task_id = schedule(lambda: calls.append(1))
            transaction.commit()
            # Without the event at which his tasks are forgotten.
            site.acl_users.source_users.removeUser(editor)
            transaction.commit()
        record = finished(task_id)
        assert record.state == "failed"
        assert record.error.type == GONE
        message = record.error.message
        assert message.startswith("/plone/acl_users knows no user 'editor1' (any more)")
        assert calls == []

    def test_another_one_of_that_name_further_up(self, site, deep):
        """With the user folder, its users are gone, whoever has their names."""
        site.acl_users._doAddUser("deep", "another-password", ["Manager"], [])
        with waiting():
            task_id = schedule(who)
            transaction.commit()
            site["folder"]._delObject("acl_users")
            transaction.commit()
        record = finished(task_id)
        assert record.error.type == GONE
        message = record.error.message
        assert message.startswith("/plone/folder/acl_users knows no user 'deep'")


class TestAnotherUser:
    """``using(user=…)``: for trusted code."""

    def test_of_the_site(self, site, editor):
        login(site.getPhysicalRoot(), SITE_OWNER_NAME)
        task_id = using(user=editor).schedule(who)
        assert result_of(task_id)[::2] == (editor, "/plone/acl_users")

    def test_of_zope(self, site, editor):
        task_id = using(user=SITE_OWNER_NAME).schedule(who)
        assert result_of(task_id)[::2] == (SITE_OWNER_NAME, "/acl_users")

    def test_by_his_id(self, site):
        """The name to log in with is another thing."""
        assert result_of(using(user=TEST_USER_ID).schedule(who))[0] == TEST_USER_ID
        with pytest.raises(BadOption):
            using(user="test-user").schedule(who)

    def test_unknown(self, site):
        before = get_scheduler().count()
        with pytest.raises(BadOption, match="'nobody1'"):
            using(user="nobody1").schedule(who)
        transaction.commit()
        assert get_scheduler().count() == before

    @pytest.mark.parametrize("user", ["", 7, True])
    def test_no_user_id(self, site, user):
        with pytest.raises(BadOption):
            using(user=user).schedule(who)


def test_the_id_of_a_user_is_a_plain_text(site, editor, monkeypatch):
    """Whatever class a plug-in has for it, which other processes may not know."""

    class Id(str):
        """That of a plug-in."""

    folder = site.acl_users
    user = folder.getUserById(editor)
    monkeypatch.setattr(aq_base(user), "getId", lambda: Id(editor), raising=False)
    newSecurityManager(None, user)
    reference = current_user()
    assert (reference.id, type(reference.id)) == (editor, str)
